/**
 * Transactions: a snapshot to read from, a private set of writes, and what a serializable one has read.
 *
 * Nothing of a transaction touches the store's pages before its commit. At commit it is validated against everything
 * committed (or queued) after its snapshot: the keys it wrote (first committer wins), and for `serializable` also the
 * keys and ranges it read. A transaction that wrote nothing is not validated: its snapshot is a state of the store in
 * commit order, which is the serial order.
 */
import { AegisError, checkOptions, invalid } from '../base/errors.ts';
import { checkTreeName, MAIN_NAME, NO_TREE } from '../store/tree-name.ts';
import {
  type IsolationLevel,
  TransactionContext,
  type TransactionParts,
  type TransactionState,
} from './context.ts';
import type { CommitResult, Committed, Proposal } from './queue.ts';
import type { Savepoint } from './savepoint.ts';
import { TransactionSpace } from './transaction-space.ts';
import { TransactionTree } from './transaction-tree.ts';

export type { IsolationLevel, TransactionParts, TransactionState } from './context.ts';

/** For whoever runs a transaction for its user: see `#end`. */
export let endTransaction: (tx: Transaction) => Promise<void>;

/**
 * A transaction. It reads from one committed state plus its own writes, and changes the store at `commit` only, whole
 * or not at all. The legal order of calls: `(read | write | savepoint | rollbackTo)* (commit | abort)`; afterwards
 * `TRANSACTION_FINISHED`. `engine.transaction()` begins, commits, aborts and tries again by itself.
 */
export class Transaction extends TransactionSpace implements Disposable {
  /** Number of the transaction, unique in this process's opening of the store. */
  readonly id: number;
  /** What it is protected from, as it was begun with. */
  readonly isolation: IsolationLevel;
  readonly #context: TransactionContext;
  #committing: Promise<CommitResult> | undefined;

  static {
    endTransaction = (tx) => tx.#end();
  }

  /** Transactions come from `beginTransaction()` of an engine. @internal */
  constructor(parts: TransactionParts, id: number, isolation: IsolationLevel, readOnly: boolean) {
    const context = new TransactionContext(parts, isolation, readOnly);
    super(context, MAIN_NAME);
    this.id = id;
    this.isolation = isolation;
    this.#context = context;
  }

  /** Where it is in its life. */
  get state(): TransactionState {
    const { state, handle } = this.#context;
    return state === 'active' && !handle.isOpen ? 'aborted' : state;
  }

  /**
   * The tree with a name, inside this transaction: its own key space, one commit for all. One that is not there reads as
   * empty; the first put makes it.
   *
   * @example
   * await engine.transaction((tx) => {
   *   tx.tree('people').put('7', 'Ada');
   *   tx.tree('names').put('Ada', '7');
   * });
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `INVALID_ARGUMENT`, `TOO_LARGE`, `STORE_FAILED`, `UNSUPPORTED` (called
   *   from inside a backend or codec)
   */
  tree(name: string): TransactionTree {
    this.#context.checkActive();
    return new TransactionTree(this.#context, checkTreeName(name));
  }

  /**
   * Notes the present point in the transaction's writes, to go back to with `rollbackTo`. One that nobody holds any
   * more costs nothing.
   *
   * @example
   * const tx = engine.beginTransaction();
   * tx.put('a', '1');
   * const halfway = tx.savepoint();
   * tx.put('a', '2');
   * tx.rollbackTo(halfway);
   * tx.getString('a'); // => '1'
   * tx.abort();
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (called from inside a backend or
   *   codec)
   */
  savepoint(): Savepoint {
    this.#context.checkActive();
    return this.#context.holdings.savepoints.take();
  }

  /**
   * Takes back everything written since a savepoint, which stays good; newer ones are gone. Scans opened before go on
   * as they were, and what was read stays read: a serializable transaction is validated for it. When it fails midway
   * the transaction is aborted.
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `INVALID_ARGUMENT` (the savepoint is of another transaction, or gone),
   *   `TOO_LARGE`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from inside a
   *   backend or codec)
   */
  rollbackTo(savepoint: Savepoint): void {
    this.#context.checkActive();
    const { savepoints } = this.#context.holdings;
    const level = savepoints.find(savepoint);
    this.#context.whole(() => savepoints.rollback(level));
  }

  // --- ending ---------------------------------------------------------------------------------------------------

  /**
   * Commits. Resolves when the commit is visible and, with `sync` (default: the store's `syncOnCommit`), durable.
   *
   * @example
   * import { AegisError } from 'aegis-storage';
   *
   * const tx = engine.beginTransaction();
   * tx.put('a', 'mine');
   * await engine.put('a', 'theirs');
   * try {
   *   await tx.commit();
   * } catch (error) {
   *   if (!(error instanceof AegisError) || error.code !== 'CONFLICT') throw error;
   * }
   * engine.getString('a'); // => 'theirs'
   *
   * @throws AegisError (as a rejection) `CONFLICT` (nothing was changed; run the transaction again),
   *   `INVALID_ARGUMENT`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`,
   *   `TRANSACTION_FINISHED`, `CLOSED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  async commit(options: { sync?: boolean } = {}): Promise<CommitResult> {
    const proposal = this.#begin(options);
    if (!proposal) {
      const result = this.#nothingToDo();
      await this.#context.parts.rest();
      return result;
    }
    this.#committing = this.#context.parts.writer.commit(proposal).then(
      (commit) => this.#finish(commit),
      (error: unknown) => {
        throw this.#giveUp(error);
      },
    );
    return this.#committing;
  }

  /**
   * Commits; returns when the commit is visible and, with `sync` (default: the store's `syncOnCommit`), durable. Nothing
   * else runs meanwhile: for scripts, not for servers, where callers of `commit` share a sync.
   *
   * @throws AegisError `CONFLICT` (nothing was changed; run the transaction again), `INVALID_ARGUMENT`, `CORRUPTION`,
   *   `OUT_OF_SPACE`, `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `TRANSACTION_FINISHED`, `CLOSED`, `UNSUPPORTED`
   *   (the backend cannot make a file at once; or called from inside a backend or codec)
   */
  commitSync(options: { sync?: boolean } = {}): CommitResult {
    const proposal = this.#begin(options);
    if (!proposal) return this.#nothingToDo();
    try {
      return this.#finish(this.#context.parts.writer.commitSync(proposal));
    } catch (error) {
      throw this.#giveUp(error);
    }
  }

  /**
   * Gives everything up; idempotent.
   *
   * @throws AegisError `TRANSACTION_FINISHED` (it was committed), `UNSUPPORTED` (called from inside a backend or codec)
   */
  abort(): void {
    this.#context.abort();
  }

  /**
   * Aborts, if it is still active, at the end of a `using` block.
   *
   * @throws AegisError `UNSUPPORTED` (called from inside a backend or codec)
   */
  [Symbol.dispose](): void {
    if (this.#context.state === 'active') this.abort();
  }

  /**
   * Commits what is not ended yet, and waits for a commit under way. Rejects unless the transaction was committed, or
   * aborted by its user.
   */
  async #end(): Promise<void> {
    const context = this.#context;
    if (context.state === 'active') {
      if (!context.handle.isOpen) throw new AegisError('CLOSED', 'the engine was closed before the commit');
      await this.commit();
    }
    await this.#committing;
    if (context.failure !== undefined) throw context.failure;
  }

  #begin(options: { sync?: boolean }): Proposal | undefined {
    const context = this.#context;
    context.checkActive();
    const { writer, syncOnCommit } = context.parts;
    const { holdings } = context;
    checkOptions('commit', options, ['sync']);
    const { sync = syncOnCommit } = options;
    if (typeof sync !== 'boolean') throw invalid('commit: sync', sync, 'true or false');
    // Reading options may run getters of the caller, which may end the transaction.
    context.checkActive();
    if (holdings.writes.isEmpty) return undefined;
    const proposal = writer.propose(holdings.writes, sync, () => {
      if (!context.handle.isOpen) throw new AegisError('CLOSED', 'the engine was closed before the commit');
      this.#validate();
      // Nobody reads the snapshot any more. While it is held, every page that the commit changes leaves an old
      // version.
      holdings.handedOver = true;
      context.handle.close();
    });
    context.state = 'committing';
    return proposal;
  }

  #validate(): void {
    const { conflicts } = this.#context.parts;
    const { writes, reads, timestamp } = this.#context.holdings;
    for (const { name, bytes, id: tree, keys } of writes.trees) {
      if (name !== MAIN_NAME && conflicts.wasDropped(bytes, timestamp)) {
        throw conflict('the drop of a tree this transaction writes to');
      }
      if (tree === NO_TREE) continue;
      keys.walk((key, keyLength) => {
        if (!conflicts.keyChanged(tree, key, keyLength, timestamp)) return true;
        throw conflict('a key this transaction writes');
      });
    }
    if (reads?.changedSince(timestamp, conflicts)) throw conflict('what this transaction has read');
  }

  #nothingToDo(): CommitResult {
    this.#context.state = 'committed';
    this.#context.handle.close();
    return { lsn: 0, sequence: this.#context.holdings.sequence };
  }

  #finish(commit: Committed): CommitResult {
    this.#context.state = 'committed';
    this.#context.holdings.writes.drop();
    return { lsn: commit.end, sequence: commit.sequence };
  }

  #giveUp(error: unknown): unknown {
    this.#context.state = 'aborted';
    this.#context.failure = error;
    if (error instanceof AegisError && error.retryable) this.#context.parts.conflicted();
    if (this.#context.holdings.handedOver) this.#context.holdings.writes.drop();
    this.#context.handle.close();
    return error;
  }
}

function conflict(what: string): AegisError {
  return new AegisError('CONFLICT', `${what} was committed by another one first`);
}
