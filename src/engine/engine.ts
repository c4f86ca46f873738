/**
 * The engine: one open store's public face. It checks on every call that it is open and sound and hands the work to
 * the core behind it.
 *
 * Life cycle: open -> closing -> closed. A failed sync or a defect makes an open store FAILED: writes are refused from
 * then on, reads go on unless memory itself is no state of the store any more.
 */
import type { StorageBackend } from '../backend/backend.ts';
import { invalid } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { ResolvedConfig, StorageConfig } from '../config/config.ts';
import { resolveConfig } from '../config/config.ts';
import type { BackupReport } from '../maintenance/backup.ts';
import type { CheckpointData } from '../maintenance/checkpoint.ts';
import type { CompactReport } from '../maintenance/compact.ts';
import type { VerifyReport } from '../maintenance/verify.ts';
import type { BlockId } from '../store/block-id.ts';
import { checkTreeName, MAIN_NAME } from '../store/tree-name.ts';
import { runTransaction } from '../txn/run-transaction.ts';
import { Transaction } from '../txn/transaction.ts';
import type { Block } from './block.ts';
import type { EngineCore } from './engine-core.ts';
import { KeySpace } from './key-space.ts';
import { openEngineCore } from './open.ts';
import { Snapshot } from './snapshot.ts';
import type { StorageStats } from './stats.ts';
import { deleteStored, readStored, writeStored } from './stored-blocks.ts';
import type { RetryOptions, TransactionOptions } from './transaction-options.ts';
import { checkedRetry, checkedTransaction } from './transaction-options.ts';
import { Tree } from './tree.ts';
import { backUpWhole, compactWhole, verifyWhole } from './whole-store.ts';

/**
 * An open store: ordered keys and values, transactions, snapshots, scans.
 *
 * @example
 * import { StorageEngine } from 'aegis-storage';
 *
 * const store = await StorageEngine.open({ dataDirectory: './data' });
 * await store.put('greeting', 'good morning');
 * store.getString('greeting'); // => 'good morning'
 * await store.close();
 */
export class StorageEngine extends KeySpace implements AsyncDisposable {
  /** The configuration in force: what was given, the defaults, and for an existing store its own page size. */
  readonly config: Readonly<ResolvedConfig>;
  readonly #engineCore: EngineCore;
  #lastTransaction = 0;

  /**
   * Opens a store, creating it if it is not there: in the folder `dataDirectory`, or in memory.
   *
   * @example
   * const inMemory = await StorageEngine.open();
   * const inFolder = await StorageEngine.open({ dataDirectory: './data', bufferPoolSize: '256MB' });
   * await inFolder.close();
   * await inMemory.close();
   *
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `UNSUPPORTED`, `NOT_FOUND`, `EXISTS`, `NOT_A_STORE`,
   *   `UNSUPPORTED_VERSION`, `LOCKED`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED` (a defect of ours)
   */
  static async open(config?: StorageConfig): Promise<StorageEngine> {
    return openEngine(resolveConfig(config));
  }

  /** Engines come from `StorageEngine.open`. @internal */
  constructor(engineCore: EngineCore) {
    super(engineCore, MAIN_NAME);
    this.config = engineCore.config;
    this.#engineCore = engineCore;
  }

  // --- snapshots ------------------------------------------------------------------------------------------------

  /**
   * A read-only view of the present state. Close it: the old pages it sees are kept as long as it is open.
   *
   * @example
   * await engine.put('a', '1');
   * const before = engine.snapshot();
   * await engine.put('a', '2');
   * before.getString('a'); // => '1'
   * before.close();
   *
   * @throws AegisError `CLOSED`, `STORE_FAILED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  snapshot(): Snapshot {
    const engineCore = this.#engineCore.readable();
    const { store, handles, transactions } = engineCore;
    return new Snapshot({
      trees: store.trees,
      catalog: store.catalog,
      handles,
      check: transactions.checkReadable,
      rest: transactions.rest,
      guard: (error) => engineCore.guard(error),
    });
  }

  // --- named trees ----------------------------------------------------------------------------------------------

  /**
   * The tree with a name: 1 to 255 bytes of UTF-8. It need not be there: then it reads as empty, and the first put makes
   * it. One transaction or batch may span several trees.
   *
   * @example
   * const people = engine.tree('people');
   * await people.put('7', 'Ada');
   * people.getString('7'); // => 'Ada'
   * engine.get('7'); // => undefined
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CLOSED`, `STORE_FAILED`, `UNSUPPORTED` (called from inside a
   *   backend or codec)
   */
  tree(name: string): Tree {
    return new Tree(this.#engineCore.readable(), checkTreeName(name));
  }

  /**
   * The names of all trees there are, the default one aside, in the order of their bytes.
   *
   * @throws AegisError `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`, `OUT_OF_SPACE` (a page must leave memory
   *   first, and has no room on the device), `UNSUPPORTED` (called from inside a backend or codec)
   */
  trees(): string[] {
    return this.#engineCore.readable().store.catalog.names();
  }

  /**
   * Drops a tree with all its records; resolves to whether there was one, when the commit is visible and, with
   * `syncOnCommit`, durable. Snapshots taken before read on; a transaction that began before and wrote to it (or, if
   * serializable, read it) gets CONFLICT. Its space is given back in the background.
   *
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`,
   *   `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  async dropTree(name: string): Promise<boolean> {
    const { writer, reclaimer, config, breath } = this.#engineCore.writable();
    const existed = await writer.drop(checkTreeName(name), config.syncOnCommit);
    void reclaimer.start();
    await breath.rest();
    return existed;
  }

  // --- blocks ---------------------------------------------------------------------------------------------------

  /**
   * Writes a block, compressed as it says; resolves to its id, which is never used again, when the commit is visible and,
   * with `syncOnCommit`, durable.
   *
   * @example
   * import { Block } from 'aegis-storage';
   *
   * const id = await engine.writeBlock(new Block(new Uint8Array(5000)).withCompression('lz4'));
   * engine.readBlock(id)?.data.length; // => 5000
   *
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`,
   *   `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (zstd cannot be loaded here; or called from
   *   inside a backend or codec)
   */
  async writeBlock(block: Block): Promise<BlockId> {
    return writeStored(this.#engineCore.writable(), block);
  }

  /**
   * Reads a block; undefined when there is none with that id.
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `OUT_OF_SPACE` (a page must leave memory first, and has no room on the device), `UNSUPPORTED` (the block is
   *   compressed with zstd, which a browser has to be told to load: `await loadCodec('zstd')`; or called from inside a
   *   backend or codec)
   */
  readBlock(id: BlockId): Block | undefined {
    return readStored(this.#engineCore.readable(), id);
  }

  /**
   * Removes a block; resolves to whether it was there, when the commit is visible and, with `syncOnCommit`, durable.
   *
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`,
   *   `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  async deleteBlock(id: BlockId): Promise<boolean> {
    return deleteStored(this.#engineCore.writable(), id);
  }

  // --- transactions ---------------------------------------------------------------------------------------------

  /**
   * Begins a transaction on the present state. Commit or abort it: until then the old pages it sees are kept.
   *
   * @example
   * const tx = engine.beginTransaction({ isolation: 'serializable' });
   * tx.put('a', '1');
   * await tx.commit();
   * engine.getString('a'); // => '1'
   *
   * @throws AegisError `INVALID_ARGUMENT`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`,
   *   `STORE_FAILED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  beginTransaction(options: TransactionOptions = {}): Transaction {
    const { isolation, readOnly } = checkedTransaction(options);
    const engineCore = readOnly ? this.#engineCore.readable() : this.#engineCore.writable();
    const tx = new Transaction(engineCore.transactions, ++this.#lastTransaction, isolation, readOnly);
    ++engineCore.activeTransactions;
    return tx;
  }

  /**
   * Runs `work` in a transaction and commits it; on CONFLICT runs it again with a new one, when those that lost before
   * it have had their turn. Resolves to what `work` answered, and only once the commit is made, or `work` itself has
   * aborted. When `work` throws, the transaction is aborted and the error passed on.
   *
   * @example
   * const visits = await engine.transaction((tx) => {
   *   const next = Number(tx.getString('visits') ?? 0) + 1;
   *   tx.put('visits', String(next));
   *   return next;
   * });
   * visits; // => 1
   *
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`,
   *   `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `CONFLICT` (each time it was tried), `TRANSACTION_FINISHED`,
   *   `CLOSED` (the engine was closed meanwhile; nothing was changed), `UNSUPPORTED` (called from inside a backend or
   *   codec)
   */
  async transaction<T>(work: (tx: Transaction) => T | Promise<T>, options: RetryOptions = {}): Promise<T> {
    if (typeof work !== 'function') throw invalid('transaction', work, 'a function');
    const { maxRetries, signal, ...begin } = checkedRetry(options);
    const { retries, pipeline } = this.#engineCore;
    return runTransaction(work, {
      begin: () => this.beginTransaction(begin),
      retries,
      caughtUp: () => pipeline.caughtUp(),
      maxRetries,
      signal,
    });
  }

  // --- maintenance ---------------------------------------------------------------------------------------------------

  /**
   * Writes a checkpoint of everything committed by now; blocks neither readers nor writers. The store does it by itself
   * when the log has grown by `checkpointWalSize`, and when it is closed.
   *
   * @throws AegisError (as a rejection) `READ_ONLY`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `UNSUPPORTED` (called from inside a backend or codec)
   */
  async checkpoint(): Promise<CheckpointData> {
    const { checkpointer, breath } = this.#engineCore.writable();
    const data = await checkpointer.checkpoint();
    await breath.rest();
    return data;
  }

  /**
   * Makes the data file as small as what is in it: fills pages that deletes have left half empty, writes blocks of
   * another codec than the configured one anew, gathers everything at the start of the file and cuts the rest off. No
   * record changes; readers and writers go on, and a crash at any moment loses nothing. What open snapshots, scans and
   * transactions see stays where it is until they are closed (`bytesHeld`). The next writes make the file longer again.
   * Calls while one is under way share it. Rejects when the device is full before it is done; what was gained stays.
   *
   * @throws AegisError (as a rejection) `READ_ONLY`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `UNSUPPORTED` (called from inside a backend or codec)
   */
  async compact(): Promise<CompactReport> {
    return compactWhole(this.#engineCore);
  }

  /**
   * Reads every page and checks every checksum and structural rule; lists damage and changes nothing.
   *
   * @example
   * const { problems } = await engine.verify();
   * problems.length; // => 0
   *
   * @throws AegisError (as a rejection) `CLOSED`, `STORE_FAILED`, `TOO_LARGE` (this machine refuses the memory),
   *   `OUT_OF_SPACE` (a page must leave memory first, and has no room on the device), `UNSUPPORTED` (called from inside
   *   a backend or codec), `IO_ERROR` (in a browser: the part of this package that does it cannot be loaded)
   */
  async verify(): Promise<VerifyReport> {
    return verifyWhole(this.#engineCore);
  }

  /**
   * Copies the store as it is now to a folder or a backend, as a store of its own, while readers and writers go on.
   * The copy is durable, and has been read again and verified, when the promise resolves; it holds every commit
   * resolved before the call, and one committed state whatever is written meanwhile. Until then the target is locked,
   * and what lies there is no store: when the copy fails or the process dies, the next backup or opening begins anew.
   * Open a copy like any store.
   *
   * @example
   * await engine.put('a', '1');
   * await engine.backup('./copy');
   * const copy = await StorageEngine.open({ dataDirectory: './copy', readOnly: true });
   * copy.getString('a'); // => '1'
   * await copy.close();
   *
   * @param target A folder, which is made if it is not there, or a backend; nothing of a store may be in it.
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT` (also for the store's own place), `EXISTS` (a store is
   *   there), `NOT_A_STORE` (something else is), `UNSUPPORTED_VERSION`, `LOCKED` (of the target), `CORRUPTION` (a page
   *   of this store is damaged, and is named; or what is at the target), `OUT_OF_SPACE`, `IO_ERROR`, `UNSUPPORTED` (a
   *   folder, where the runtime has none; or called from inside a backend or codec), `CLOSED`, `STORE_FAILED`
   */
  async backup(target: string | StorageBackend): Promise<BackupReport> {
    return backUpWhole(this.#engineCore, target);
  }

  /**
   * Counters and sizes: of the pool, the files, the log, transactions and snapshots.
   *
   * @example
   * const { pool, versions } = engine.stats();
   * pool.evictions; // => 0
   * versions.openSnapshots; // => 0
   *
   * @throws AegisError `IO_ERROR`, `CLOSED`
   */
  stats(): StorageStats {
    this.#engineCore.checkOpen();
    return this.#engineCore.stats();
  }

  /**
   * Waits for queued commits, aborts what is open, writes a checkpoint, and gives files and lock back. Idempotent;
   * afterwards every call answers CLOSED. When the last checkpoint fails the store is closed all the same, and the
   * error passed on: what was acknowledged is in the log. So is it of a store that has failed, when commits made without
   * a sync (or without a log) may be lost by that.
   *
   * @throws AegisError (as a rejection) `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED`
   */
  close(): Promise<void> {
    return this.#engineCore.close();
  }

  /**
   * Closes the store at the end of an `await using` block.
   *
   * @throws AegisError (as a rejection) `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED`
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Opens an engine; tests give the debug build of the core, and log files smaller than any configuration makes. */
export async function openEngine(
  config: ResolvedConfig,
  module?: OwnBytes,
  segmentSize?: number,
): Promise<StorageEngine> {
  return new StorageEngine(await openEngineCore(config, module, segmentSize));
}
