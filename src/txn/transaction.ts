/**
 * Transactions: a snapshot to read from, a private set of writes, and what a serializable one has read.
 *
 * Nothing of a transaction touches the store's pages before its commit. At commit it is validated against everything
 * committed (or queued) after its snapshot: the keys it wrote (first committer wins), and for `serializable` also the
 * keys and ranges it read. A transaction that wrote nothing is not validated: its snapshot is a state of the store in
 * commit order, which is the serial order.
 */
import { AegisError, checkOptions, invalid } from '../errors.ts';
import type { Bytes, Range, RangeOptions } from '../store/range.ts';
import { OPEN_BOUND, resolveRange } from '../store/range.ts';
import type { Trees } from '../store/trees.ts';
import { checkKeyList, decodeString, TOMBSTONE, valueBytes } from '../store/trees.ts';
import type { Admission } from './admission.ts';
import type { CommitPipeline } from './commit.ts';
import type { Conflicts } from './conflicts.ts';
import type { MergedTree } from './merged-reads.ts';
import { getManyMerged, ownSurplus } from './merged-reads.ts';
import type { CommitResult, Committed } from './queue.ts';
import { ReadSet } from './read-set.ts';
import type { Savepoint } from './savepoint.ts';
import { Savepoints } from './savepoint.ts';
import { Scan } from './scan.ts';
import type { Lease, Leases } from './snapshot.ts';
import { WriteSet } from './write-set.ts';
import type { Attempt, Writer } from './writer.ts';

/** What a transaction is checked for when it commits. */
export type IsolationLevel = 'snapshot' | 'serializable';

/** Where a transaction is in its life. */
export type TransactionState = 'active' | 'committing' | 'committed' | 'aborted';

/** What transactions work with. */
export interface TransactionParts {
  readonly trees: Trees;
  readonly pipeline: CommitPipeline;
  readonly admission: Admission;
  readonly writer: Writer;
  readonly conflicts: Conflicts;
  readonly leases: Leases;
  /** Tree id and root of the default tree. */
  readonly mainTree: number;
  readonly mainRoot: number;
  readonly syncOnCommit: boolean;
  /** Throws when the engine cannot be read any more. */
  readonly checkReadable: () => void;
  /** Called once when a transaction ends. */
  readonly ended: (committed: boolean) => void;
}

/** What a transaction holds, apart from the object its user holds: the collector may take that one first. */
class Holdings {
  readonly #parts: TransactionParts;
  readonly sequence: number;
  /** What its commit is validated with (conflicts.ts). */
  readonly stamp: number;
  readonly isReadOnly: boolean;
  readonly writes: WriteSet;
  readonly reads: ReadSet | undefined;
  readonly savepoints: Savepoints;
  /** The write set is on its way to the store and no longer ours to drop. */
  handedOver = false;
  committed = false;

  constructor(parts: TransactionParts, isolation: IsolationLevel, readOnly: boolean) {
    this.#parts = parts;
    this.isReadOnly = readOnly;
    this.sequence = parts.pipeline.applied;
    this.writes = new WriteSet(parts.trees);
    this.savepoints = new Savepoints(parts.trees, this.writes);
    this.reads = isolation === 'serializable' && !readOnly ? new ReadSet(parts.trees) : undefined;
    if (!readOnly) parts.admission.noteQueued();
    this.stamp = readOnly ? 0 : parts.conflicts.begin(this.sequence);
  }

  /** The snapshot is given back: nothing can be read or validated any more. */
  release(): void {
    this.reads?.drop();
    this.savepoints.drop();
    if (!this.handedOver) this.writes.drop();
    if (!this.isReadOnly) this.#parts.conflicts.end(this.stamp);
    this.#parts.ended(this.committed);
  }
}

/**
 * A transaction. It reads from one committed state plus its own writes, and changes the store at `commit` only, whole
 * or not at all. The legal order of calls: `(read | write | savepoint | rollbackTo)* (commit | abort)`; afterwards
 * `TRANSACTION_FINISHED`.
 */
export class Transaction implements Disposable {
  /** Number of the transaction, unique in this process's opening of the store. */
  readonly id: number;
  readonly isolation: IsolationLevel;
  readonly #parts: TransactionParts;
  readonly #holdings: Holdings;
  readonly #lease: Lease;
  #state: TransactionState = 'active';

  /** Transactions come from `beginTransaction()` of an engine. */
  constructor(parts: TransactionParts, id: number, isolation: IsolationLevel, readOnly: boolean) {
    this.id = id;
    this.isolation = isolation;
    this.#parts = parts;
    const holdings = new Holdings(parts, isolation, readOnly);
    this.#holdings = holdings;
    this.#lease = parts.leases.take(() => holdings.release());
    parts.leases.watch(this, this.#lease);
  }

  /** Where it is in its life. */
  get state(): TransactionState {
    return this.#state === 'active' && !this.#lease.isOpen ? 'aborted' : this.#state;
  }

  // --- reading --------------------------------------------------------------------------------------------------

  /**
   * Reads a key. @throws AegisError `TRANSACTION_FINISHED`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`,
   *   `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED`
   */
  get(key: Bytes): Uint8Array | undefined {
    this.#active();
    const length = this.#parts.trees.setKey(key);
    const own = this.#own?.get(length);
    if (own !== undefined) return own === TOMBSTONE ? undefined : own;
    const value = this.#parts.trees.get(this.#parts.mainRoot, this.#lease.epoch, length);
    this.#readKey(key);
    return value as Uint8Array | undefined;
  }

  /** As `get`, as text: a byte order mark is kept, invalid UTF-8 shows as U+FFFD. @throws AegisError as `get` */
  getString(key: Bytes): string | undefined {
    const value = this.get(key);
    return value && decodeString(value);
  }

  /** Reads many keys in one go, faster than one by one; absent ones are undefined. @throws AegisError as `get` */
  getMany(keys: readonly Bytes[]): (Uint8Array | undefined)[] {
    this.#active();
    checkKeyList(keys);
    return getManyMerged(this.#merged, keys, (key) => this.#readKey(key));
  }

  /** Whether a key is there. @throws AegisError as `get` */
  has(key: Bytes): boolean {
    this.#active();
    const length = this.#parts.trees.setKey(key);
    const own = this.#own?.has(length);
    if (own) return own === true;
    const found = this.#parts.trees.has(this.#parts.mainRoot, this.#lease.epoch, length);
    this.#readKey(key);
    return found === true;
  }

  /** The records of a range, own writes as of this call included: a loop may write. @throws AegisError as `get` */
  scan(options?: RangeOptions): Scan {
    this.#active();
    return this.#scan(resolveRange(this.#parts.trees, options));
  }

  /** Number of the records of a range; goes no further than to its limit. @throws AegisError as `get` */
  count(options?: RangeOptions): number {
    this.#active();
    const { trees, mainTree, mainRoot } = this.#parts;
    const range = resolveRange(trees, options);
    if (range.limit !== Number.POSITIVE_INFINITY && (this.#own || this.#holdings.reads)) {
      let count = 0;
      for (const _ of this.#scan(range).keys()) ++count;
      return count;
    }
    this.#holdings.reads?.addRange(mainTree, range.lower, range.upper);
    return trees.countRange(mainRoot, this.#lease.epoch, range) + ownSurplus(this.#merged, range);
  }

  #scan(range: Range): Scan {
    const { trees, mainTree, mainRoot, leases, checkReadable } = this.#parts;
    const ownRoot = this.#own?.root ?? 0;
    const lease = leases.share(this.#lease, ownRoot !== 0);
    const onRead = this.#rangeNoter(mainTree, range);
    const scan = new Scan({ trees, root: mainRoot, ownRoot, lease, range, check: checkReadable, onRead });
    leases.watch(scan, lease);
    return scan;
  }

  /** Notes a scanned range as it grows, for `serializable`. */
  #rangeNoter(tree: number, range: Range): ((last: Uint8Array | undefined) => void) | undefined {
    const { reads } = this.#holdings;
    if (!reads || range.limit === 0) return undefined;
    let noted: ReturnType<ReadSet['addRange']> | undefined;
    return (last) => {
      noted ??= reads.addRange(tree, range.reverse ? range.upper : range.lower, OPEN_BOUND);
      const reached = last && { key: last, inclusive: true };
      noted.lower = range.reverse ? (reached ?? range.lower) : range.lower;
      noted.upper = range.reverse ? range.upper : (reached ?? range.upper);
    };
  }

  get #merged(): MergedTree {
    const { trees, mainRoot: root } = this.#parts;
    return { trees, root, epoch: this.#lease.epoch, own: this.#own };
  }

  get #own(): ReturnType<WriteSet['tree']> {
    return this.#holdings.writes.tree(this.#parts.mainTree);
  }

  #readKey(key: Bytes): void {
    this.#holdings.reads?.addKey(this.#parts.mainTree, this.#parts.trees.keyBytes(key));
  }

  // --- writing --------------------------------------------------------------------------------------------------

  /** Writes a key, for this transaction until it commits. @throws AegisError as `get`, `READ_ONLY` */
  put(key: Bytes, value: Bytes): void {
    this.#writable();
    const bytes = this.#parts.trees.keyBytes(key);
    this.#holdings.writes.put(this.#parts.mainTree, bytes, valueBytes(value));
  }

  /** Removes a key, for this transaction until it commits. @throws AegisError as `put` */
  delete(key: Bytes): void {
    this.#writable();
    this.#holdings.writes.delete(this.#parts.mainTree, this.#parts.trees.keyBytes(key));
  }

  /**
   * Removes the records of a range, own writes included, for this transaction until it commits; with a limit the first
   * so many, in the range's direction. Values are not read. When it fails midway the transaction is aborted.
   * @throws AegisError as `put`
   */
  deleteRange(range: RangeOptions): void {
    this.#writable();
    if (range === undefined) throw invalid('deleteRange', range, 'a range');
    const resolved = resolveRange(this.#parts.trees, range);
    const { mainTree } = this.#parts;
    this.#whole(() => {
      for (const key of this.#scan(resolved).keys()) this.#holdings.writes.delete(mainTree, key);
    });
  }

  /**
   * Notes the present point in the transaction's writes, to go back to with `rollbackTo`. One that nobody holds any
   * more costs nothing. @throws AegisError `TRANSACTION_FINISHED`, `STORE_FAILED`, `CLOSED`
   */
  savepoint(): Savepoint {
    this.#active();
    return this.#holdings.savepoints.take();
  }

  /**
   * Takes back everything written since a savepoint, which stays good; newer ones are gone. Scans opened before go on
   * as they were, and what was read stays read: a serializable transaction is validated for it. When it fails midway
   * the transaction is aborted.
   * @throws AegisError as `get` (`INVALID_ARGUMENT`: the savepoint is of another transaction, or gone)
   */
  rollbackTo(savepoint: Savepoint): void {
    this.#active();
    const { savepoints } = this.#holdings;
    const level = savepoints.find(savepoint);
    this.#whole(() => savepoints.rollback(level));
  }

  /** Does what must not stay half done. */
  #whole(change: () => void): void {
    try {
      change();
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  // --- ending ---------------------------------------------------------------------------------------------------

  /**
   * Commits. Resolves when the commit is visible and, with `sync` (default: the store's `syncOnCommit`), durable.
   * @throws AegisError `CONFLICT` (nothing was changed; run the transaction again), `INVALID_ARGUMENT`, `CORRUPTION`,
   *   `OUT_OF_SPACE`, `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `TRANSACTION_FINISHED`, `CLOSED`
   */
  async commit(options: { sync?: boolean } = {}): Promise<CommitResult> {
    const attempt = this.#begin(options, false);
    if (!attempt) return this.#nothingToDo();
    try {
      return this.#finish(await this.#parts.writer.commit(attempt));
    } catch (error) {
      throw this.#giveUp(error);
    }
  }

  /** As `commit`, blocking. @throws AegisError as `commit`, `UNSUPPORTED` */
  commitSync(options: { sync?: boolean } = {}): CommitResult {
    const attempt = this.#begin(options, true);
    if (!attempt) return this.#nothingToDo();
    try {
      return this.#finish(this.#parts.writer.commitSync(attempt));
    } catch (error) {
      throw this.#giveUp(error);
    }
  }

  /** Gives everything up; idempotent. @throws AegisError `TRANSACTION_FINISHED` (it was committed) */
  abort(): void {
    if (this.#state === 'committed' || this.#state === 'committing') {
      throw new AegisError('TRANSACTION_FINISHED', `the transaction is ${this.#state}`);
    }
    this.#state = 'aborted';
    this.#lease.close();
  }

  /** Aborts if still active. */
  [Symbol.dispose](): void {
    if (this.#state === 'active') this.abort();
  }

  #begin(options: { sync?: boolean }, blocking: boolean): Attempt | undefined {
    this.#active();
    const { admission, pipeline, syncOnCommit } = this.#parts;
    const { writes } = this.#holdings;
    checkOptions('commit', options, ['sync']);
    const { sync = syncOnCommit } = options;
    if (typeof sync !== 'boolean') throw invalid('commit: sync', sync, 'true or false');
    if (writes.isEmpty) return undefined;
    const how = { sync, blocking };
    this.#state = 'committing';
    return (done) => {
      if (!this.#lease.isOpen) throw new AegisError('CLOSED', 'the engine was closed before the commit');
      // Before validation: what never came to be may be noted, and a conflict would say that trying again helps.
      if (pipeline.failure) throw pipeline.failure;
      this.#validate();
      const commit =
        writes.bytes <= admission.maxRecords
          ? admission.queue((at, limit) => writes.packWhole(at, limit), writes, how, done)
          : admission.queueLarge(writes, how, done);
      if (commit) {
        // From here on the snapshot serves nobody; holding it would set aside every page the commit changes.
        this.#holdings.handedOver = true;
        this.#holdings.committed = true;
        this.#lease.close();
      }
      return commit;
    };
  }

  #validate(): void {
    const { conflicts } = this.#parts;
    const { writes, reads, stamp } = this.#holdings;
    for (const [tree, own] of writes.trees) {
      own.walk((key, keyLength) => {
        if (!conflicts.keyChanged(tree, key, keyLength, stamp)) return true;
        throw conflict('a key this transaction writes');
      });
    }
    if (reads?.changedSince(stamp, conflicts)) throw conflict('what this transaction has read');
  }

  #nothingToDo(): CommitResult {
    this.#state = 'committed';
    this.#holdings.committed = true;
    this.#lease.close();
    return { lsn: 0, sequence: this.#holdings.sequence };
  }

  #finish(commit: Committed): CommitResult {
    this.#state = 'committed';
    this.#holdings.writes.drop();
    return { lsn: commit.end, sequence: commit.sequence };
  }

  #giveUp(error: unknown): unknown {
    this.#state = 'aborted';
    if (this.#holdings.handedOver) this.#holdings.writes.drop();
    this.#lease.close();
    return error;
  }

  #active(): void {
    if (this.#state !== 'active')
      throw new AegisError('TRANSACTION_FINISHED', `the transaction is ${this.#state}`);
    this.#parts.checkReadable();
    if (!this.#lease.isOpen) throw new AegisError('TRANSACTION_FINISHED', 'the transaction is aborted');
  }

  #writable(): void {
    this.#active();
    if (this.#holdings.isReadOnly)
      throw new AegisError('READ_ONLY', 'the transaction was begun for reading only');
  }
}

function conflict(what: string): AegisError {
  return new AegisError('CONFLICT', `${what} was committed by another one first`);
}
