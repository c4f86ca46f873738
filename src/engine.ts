/**
 * The engine: one open store and its public face. It owns backend, lock, files and all that works on them, and checks
 * on every call that it is open and sound; what happens then is described where it happens.
 *
 * Life cycle: opening -> open -> closing -> closed. A failed sync or a defect makes an open store FAILED: writes are
 * refused from then on, reads go on unless memory itself is no state of the store any more.
 */
import type { BackendHost, Lock, StorageBackend } from './backend/backend.ts';
import { hostOf, pauseOf } from './backend/host.ts';
import { MemoryBackend } from './backend/memory.ts';
import type { ResolvedConfig, StorageConfig } from './config.ts';
import { resolveConfig } from './config.ts';
import { AegisError } from './errors.ts';
import { Scan } from './scan.ts';
import { Snapshot } from './snapshot.ts';
import type { StorageStats } from './stats.ts';
import type { Bytes, RangeOptions } from './store/range.ts';
import { resolveRange } from './store/range.ts';
import type { TOMBSTONE } from './store/trees.ts';
import { CommitPipeline } from './txn/commit.ts';
import { Conflicts } from './txn/conflicts.ts';
import { Room } from './txn/room.ts';
import { Leases } from './txn/snapshot.ts';
import type { IsolationLevel, TransactionParts } from './txn/transaction.ts';
import { Transaction } from './txn/transaction.ts';
import type { BatchOperation } from './txn/writer.ts';
import { Writer } from './txn/writer.ts';
import type { CheckpointData } from './upkeep/checkpoint.ts';
import { Checkpointer } from './upkeep/checkpoint.ts';
import type { OpenedStore } from './upkeep/recovery.ts';
import { MAIN_TREE, openStore } from './upkeep/recovery.ts';
import type { VerifyReport } from './upkeep/verify.ts';
import { verifyStore } from './upkeep/verify.ts';
import { guardTrap, LATEST } from './wasm.ts';

/** Options of `beginTransaction`. */
export interface TransactionOptions {
  /** Default `snapshot`. */
  isolation?: IsolationLevel;
  /** Refuses writes; such a transaction never conflicts and costs writers nothing but the old pages it sees. */
  readOnly?: boolean;
}

/** Options of `transaction`. */
export interface RetryOptions {
  isolation?: IsolationLevel;
  /** How often a conflict is tried again; default 10. */
  maxRetries?: number;
  /** Stops before the next try. */
  signal?: AbortSignal;
}

/** Tries of a transaction that conflicts, before the conflict is the caller's. */
const RETRIES_DEFAULT = 10;
/** Most turns of the event loop that a conflicting transaction waits before its next try. */
const BACK_OFF_MAX = 64;

/** An open store: ordered keys and values, transactions, snapshots, scans. */
export class StorageEngine implements AsyncDisposable {
  /** The configuration in force: what was given, the defaults, and for an existing store its own page size. */
  readonly config: Readonly<ResolvedConfig>;
  readonly #backend: StorageBackend;
  readonly #host: BackendHost;
  readonly #lock: Lock;
  readonly #store: OpenedStore;
  readonly #pipeline: CommitPipeline;
  readonly #writer: Writer;
  readonly #conflicts: Conflicts;
  readonly #leases: Leases;
  readonly #checkpointer: Checkpointer;
  readonly #transactionParts: TransactionParts;
  readonly #root: number;
  readonly #pause: () => Promise<void>;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closing: Promise<void> | undefined;
  #lastTransaction = 0;
  #activeTransactions = 0;
  #conflictCount = 0;
  #unloggedBytes = 0;
  #failure: AegisError | undefined;

  /**
   * Opens a store, creating it if it is not there.
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `UNSUPPORTED`, `NOT_FOUND`, `EXISTS`, `NOT_A_STORE`,
   *   `UNSUPPORTED_VERSION`, `LOCKED`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`
   */
  static async open(config?: Partial<StorageConfig>): Promise<StorageEngine> {
    return openEngine(resolveConfig(config), undefined);
  }

  /** Engines come from `StorageEngine.open`. */
  constructor(config: ResolvedConfig, backend: StorageBackend, lock: Lock, store: OpenedStore) {
    this.config = config;
    this.#backend = backend;
    this.#host = hostOf(backend);
    this.#lock = lock;
    this.#store = store;
    this.#root = store.superblock.mainRoot;
    this.#pause = pauseOf(backend);
    const { trees, pager, log, applier } = store;
    this.#conflicts = new Conflicts(trees);
    this.#leases = new Leases(pager);
    this.#pipeline = new CommitPipeline({
      trees,
      log,
      applier,
      conflicts: this.#conflicts,
      room: new Room(pager, log !== undefined, () => void this.#checkpointer.runBlocking()),
      host: this.#host,
      flushInterval: config.walFlushInterval,
      sequence: store.sequence,
      held: () => this.#held(),
      logged: (bytes) => this.#logged(bytes),
      unhold: () => this.#unhold(),
    });
    this.#writer = new Writer(trees, this.#pipeline);
    this.#checkpointer = new Checkpointer({
      pager,
      log,
      pipeline: this.#pipeline,
      superblock: store.superblock,
      slot: store.slot,
      durable: store.durable,
      pause: this.#pause,
      onProgress: config.onProgress && ((done, total) => config.onProgress?.({ phase: 'checkpoint', done, total })),
      finished: () => this.#checkpointed(),
    });
    this.#transactionParts = {
      trees,
      pipeline: this.#pipeline,
      writer: this.#writer,
      conflicts: this.#conflicts,
      leases: this.#leases,
      mainTree: MAIN_TREE,
      mainRoot: this.#root,
      syncOnCommit: config.syncOnCommit,
      checkReadable: () => this.#checkReadable(),
      ended: () => void --this.#activeTransactions,
    };
  }

  // --- reading the latest state ---------------------------------------------------------------------------------

  /**
   * Reads a key: its value, or undefined. The bytes are the caller's own.
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`
   */
  get(key: Bytes): Uint8Array | undefined {
    this.#checkReadable();
    const { trees } = this.#store;
    try {
      return plain(trees.get(this.#root, LATEST, trees.setKey(key)));
    } catch (error) {
      throw this.#guard(error);
    }
  }

  /** As `get`, as text: a byte order mark is kept, invalid UTF-8 shows as U+FFFD. */
  getString(key: Bytes): string | undefined {
    this.#checkReadable();
    const { trees } = this.#store;
    try {
      const value = trees.getString(this.#root, LATEST, trees.setKey(key));
      return typeof value === 'string' ? value : undefined;
    } catch (error) {
      throw this.#guard(error);
    }
  }

  /** Reads many keys in one go, faster than one by one; absent ones are undefined. */
  getMany(keys: readonly Bytes[]): (Uint8Array | undefined)[] {
    this.#checkReadable();
    try {
      return this.#store.trees.getMany(this.#root, LATEST, keys).map(plain);
    } catch (error) {
      throw this.#guard(error);
    }
  }

  /** Whether a key is there. */
  has(key: Bytes): boolean {
    this.#checkReadable();
    const { trees } = this.#store;
    try {
      return trees.has(this.#root, LATEST, trees.setKey(key)) === true;
    } catch (error) {
      throw this.#guard(error);
    }
  }

  /** The records of a range as of now, whatever is written while it is read. Close it, or read it to the end. */
  scan(options?: RangeOptions): Scan {
    this.#checkReadable();
    const { trees } = this.#store;
    const range = resolveRange(trees, options);
    const lease = this.#leases.take();
    const scan = new Scan({ trees, root: this.#root, ownRoot: 0, lease, range, check: this.#transactionParts.checkReadable });
    this.#leases.watch(scan, lease);
    return scan;
  }

  /** Number of the records of a range. */
  count(options?: RangeOptions): number {
    this.#checkReadable();
    const { trees } = this.#store;
    const range = resolveRange(trees, options);
    if (range.limit === 0) return 0;
    try {
      return Math.min(trees.countRange(this.#root, LATEST, range), range.limit);
    } catch (error) {
      throw this.#guard(error);
    }
  }

  /** A read-only view of the present state. Close it: the old pages it sees are kept as long as it is open. */
  snapshot(): Snapshot {
    this.#checkReadable();
    const lease = this.#leases.take();
    const snapshot = new Snapshot({
      trees: this.#store.trees,
      root: this.#root,
      lease,
      leases: this.#leases,
      check: this.#transactionParts.checkReadable,
    });
    this.#leases.watch(snapshot, lease);
    return snapshot;
  }

  // --- single operations ----------------------------------------------------------------------------------------

  /**
   * Writes a key. Resolves when the commit is visible and, with `syncOnCommit`, durable.
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `OUT_OF_SPACE`, `COMMIT_UNKNOWN`,
   *   `STORE_FAILED`, `CLOSED`
   */
  async put(key: Bytes, value: Bytes): Promise<void> {
    this.#checkWritable();
    await this.#writer.put(MAIN_TREE, key, value, this.config.syncOnCommit);
  }

  /** Removes a key; resolves to whether it was there. Durable and visible as `put`. */
  async delete(key: Bytes): Promise<boolean> {
    this.#checkWritable();
    return (await this.#writer.delete(MAIN_TREE, key, this.config.syncOnCommit)).deleted > 0;
  }

  /** Does all operations in one commit, in their order, or none. Durable and visible as `put`. */
  async batch(operations: Iterable<BatchOperation>): Promise<void> {
    this.#checkWritable();
    await this.#writer.batch(MAIN_TREE, operations, this.config.syncOnCommit);
  }

  /** As `put`, blocking. */
  putSync(key: Bytes, value: Bytes): void {
    this.#checkWritable();
    this.#writer.putSync(MAIN_TREE, key, value, this.config.syncOnCommit);
  }

  /** As `delete`, blocking. */
  deleteSync(key: Bytes): boolean {
    this.#checkWritable();
    return this.#writer.deleteSync(MAIN_TREE, key, this.config.syncOnCommit).deleted > 0;
  }

  /** As `batch`, blocking. */
  batchSync(operations: Iterable<BatchOperation>): void {
    this.#checkWritable();
    this.#writer.batchSync(MAIN_TREE, operations, this.config.syncOnCommit);
  }

  // --- transactions ---------------------------------------------------------------------------------------------

  /** Begins a transaction on the present state. */
  beginTransaction(options: TransactionOptions = {}): Transaction {
    const readOnly = options.readOnly ?? false;
    if (readOnly) this.#checkReadable();
    else this.#checkWritable();
    const isolation = isolationOf(options.isolation);
    ++this.#activeTransactions;
    return new Transaction(this.#transactionParts, ++this.#lastTransaction, isolation, readOnly);
  }

  /**
   * Runs `work` in a transaction and commits it; on CONFLICT runs it again with a new one, after a growing wait.
   * Resolves to what `work` answered. When `work` throws, the transaction is aborted and the error passed on.
   */
  async transaction<T>(work: (tx: Transaction) => T | Promise<T>, options: RetryOptions = {}): Promise<T> {
    const retries = options.maxRetries ?? RETRIES_DEFAULT;
    if (!Number.isSafeInteger(retries) || retries < 0) {
      throw new AegisError('INVALID_ARGUMENT', `maxRetries: a whole number from 0 on is needed, got ${String(retries)}`);
    }
    for (let attempt = 0; ; ++attempt) {
      options.signal?.throwIfAborted();
      const tx = this.beginTransaction(options.isolation ? { isolation: options.isolation } : {});
      try {
        const result = await work(tx);
        if (tx.state === 'active') await tx.commit();
        return result;
      } catch (error) {
        if (tx.state === 'active') tx.abort();
        if (!(error instanceof AegisError) || !error.retryable || attempt >= retries) throw error;
        ++this.#conflictCount;
      }
      await this.#backOff(attempt);
    }
  }

  /** Waits a random share of a growing number of turns, so that two that conflict do not meet again at once. */
  async #backOff(attempt: number): Promise<void> {
    const random = new Uint8Array(1);
    this.#host.random(random);
    const most = Math.min(BACK_OFF_MAX, 2 ** attempt);
    for (let turns = 1 + (((random[0] as number) * most) >> 8); turns > 0; --turns) await this.#pause();
  }

  // --- upkeep ---------------------------------------------------------------------------------------------------

  /** Writes a checkpoint of everything committed by now; blocks neither readers nor writers. */
  async checkpoint(): Promise<CheckpointData> {
    this.#checkWritable();
    return this.#checkpointer.checkpoint();
  }

  /** Reads every page and checks every checksum and structural rule; lists damage and changes nothing. */
  async verify(): Promise<VerifyReport> {
    this.#checkReadable();
    const lease = this.#leases.take();
    try {
      return await verifyStore({
        trees: this.#store.trees,
        roots: [this.#root],
        lease,
        pause: this.#pause,
        check: this.#transactionParts.checkReadable,
        onProgress: (done, total) => this.config.onProgress?.({ phase: 'verify', done, total }),
      });
    } finally {
      lease.close();
    }
  }

  /** Counters and sizes. */
  stats(): StorageStats {
    this.#checkOpen();
    const { core, pager, log } = this.#store;
    const { x } = core;
    const { extents, counters, file } = pager.blocks;
    const commits = this.#pipeline.counters;
    const visits = x.touchCount();
    return {
      pool: {
        frames: core.frames,
        freeFrames: x.freeCount(),
        dirtyFrames: x.dirtyCount(),
        hits: Math.max(0, visits - pager.misses),
        misses: pager.misses,
        evictions: pager.evictions,
      },
      pages: { size: core.pageSize, count: pager.pageCount },
      versions: {
        count: pager.versions.count + pager.privateVersions.count,
        openSnapshots: this.#leases.count,
      },
      data: {
        fileSize: file.size(),
        usedSize: extents.used * 512,
        freeSize: extents.holeUnits * 512,
        blocksRead: counters.blocksRead,
        blocksWritten: counters.blocksWritten,
        bytesWritten: counters.bytesWritten,
        compressionRatio: counters.bytesWritten === 0 ? 1 : counters.bytesRaw / counters.bytesWritten,
      },
      log: {
        enabled: log !== undefined,
        diskSize: log?.diskSize ?? 0,
        sinceCheckpoint: this.#sinceCheckpoint(),
        groups: commits.groups,
        syncs: commits.syncs,
      },
      transactions: {
        commits: commits.commits,
        active: this.#activeTransactions,
        conflicts: this.#conflictCount,
      },
      checkpoints: this.#checkpointer.count,
      sequence: this.#pipeline.applied,
    };
  }

  /**
   * Waits for queued commits, aborts what is open, writes a checkpoint, and gives files and lock back. Idempotent;
   * afterwards every call answers CLOSED. When the last checkpoint fails the store is closed all the same, and the
   * error passed on: what was acknowledged is in the log.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#state = 'closing';
    let failure: unknown;
    try {
      await this.#pipeline.drained();
      this.#leases.closeAll();
      if (!this.config.readOnly && !this.#pipeline.failure) {
        const before = this.#checkpointer.superblock;
        const clean = this.#pipeline.applied === before.sequence && this.#store.staleLog.length === 0;
        if (!clean || this.#checkpointer.running || before.generation === 0) await this.#checkpointer.checkpoint();
        this.#store.pager.blocks.cutTail();
      }
    } catch (error) {
      failure = error;
    }
    this.#state = 'closed';
    this.#store.log?.close();
    this.#store.pager.blocks.file.close();
    await this.#lock.release();
    if (failure) throw failure;
  }

  // --- opening --------------------------------------------------------------------------------------------------

  /** Finishes a new store, and what recovery leaves to be done after it. */
  async start(): Promise<void> {
    if (this.config.readOnly) return;
    const { created, staleLog, replayed } = this.#store;
    if (created || staleLog.length > 0) await this.#checkpointer.start();
    else if (replayed > 0) void this.#checkpointer.start();
    for (const name of staleLog) await this.#backend.remove(name);
    if (staleLog.length > 0) await this.#backend.syncDirectory();
  }

  // --- the log's limit ------------------------------------------------------------------------------------------

  #sinceCheckpoint(): number {
    const { log } = this.#store;
    return log ? log.end - this.#checkpointer.superblock.lsn : this.#unloggedBytes;
  }

  #logged(bytes: number): void {
    if (!this.#store.log) this.#unloggedBytes += bytes;
    // In memory with the log off nothing is gained by a checkpoint before `close`.
    if (!this.#store.log && this.#backend instanceof MemoryBackend) return;
    if (this.#sinceCheckpoint() > this.config.checkpointWalSize && !this.#checkpointer.running) {
      void this.#checkpointer.start();
    }
  }

  /** Whether writers wait: the log has outgrown twice its limit. Throws when the last checkpoint found no space. */
  #held(): boolean {
    const { log } = this.#store;
    if (!log || this.#sinceCheckpoint() <= 2 * this.config.checkpointWalSize) return false;
    const failure = this.#checkpointer.lastFailure;
    if (!this.#checkpointer.running) void this.#checkpointer.start();
    if (failure?.code === 'OUT_OF_SPACE') {
      throw new AegisError('OUT_OF_SPACE', `the log cannot be shortened: ${failure.message}`, { cause: failure });
    }
    return true;
  }

  #unhold(): void {
    if (this.#sinceCheckpoint() > 2 * this.config.checkpointWalSize) this.#checkpointer.runBlocking();
  }

  #checkpointed(): void {
    this.#unloggedBytes = 0;
    this.#pipeline.resume();
  }

  // --- checks ---------------------------------------------------------------------------------------------------

  #checkOpen(): void {
    if (this.#state !== 'open') throw new AegisError('CLOSED', 'the engine is closed');
  }

  #checkReadable(): void {
    this.#checkOpen();
    const failure = this.#failure ?? this.#pipeline.unreadable;
    if (failure) throw failure;
  }

  #checkWritable(): void {
    this.#checkReadable();
    if (this.config.readOnly) throw new AegisError('READ_ONLY', 'the store was opened for reading only');
    if (this.#pipeline.failure) throw this.#pipeline.failure;
  }

  /** A trap means that memory cannot be trusted any more. */
  #guard(error: unknown): unknown {
    const mended = guardTrap(error);
    if (mended instanceof AegisError && mended.code === 'STORE_FAILED') {
      this.#failure = mended;
      this.#pipeline.fail(mended);
    }
    return mended;
  }
}

/** Opens an engine; tests give the debug build of the core. */
export async function openEngine(
  config: ResolvedConfig,
  module: Uint8Array<ArrayBuffer> | undefined,
): Promise<StorageEngine> {
  const backend = await backendOf(config);
  if (config.readOnly && (await backend.list()).length === 0) {
    throw new AegisError('NOT_FOUND', 'there is no store');
  }
  await refuseForeignFolder(backend);
  const lock = await backend.lock(config.readOnly ? 'shared' : 'exclusive');
  try {
    const store = await openStore({ backend, host: hostOf(backend), config, module });
    const own = { ...config, pageSize: store.core.pageSize };
    const engine = new StorageEngine(Object.freeze(own), backend, lock, store);
    try {
      await engine.start();
    } catch (error) {
      await engine.close().catch(() => undefined);
      throw error;
    }
    return engine;
  } catch (error) {
    await lock.release();
    throw guardTrap(error);
  }
}

/** Before the lock makes a file: a folder that holds other people's files stays as it is. */
async function refuseForeignFolder(backend: StorageBackend): Promise<void> {
  const names = await backend.list();
  if (names.includes('data') || names.length === 0) return;
  const stranger = names.find((name) => !/^(lock|log-\d+)$/.test(name));
  if (stranger === undefined) return;
  throw new AegisError('NOT_A_STORE', `no store is there, but another file is: ${stranger}`, { file: stranger });
}

async function backendOf(config: ResolvedConfig): Promise<StorageBackend> {
  if (config.backend === 'memory') return new MemoryBackend();
  if (config.backend !== 'local') return config.backend;
  const { LocalBackend } = await import('./backend/local.ts');
  return new LocalBackend(config.dataDirectory);
}

function isolationOf(given: unknown): IsolationLevel {
  if (given === undefined) return 'snapshot';
  if (given === 'snapshot' || given === 'serializable') return given;
  throw new AegisError('INVALID_ARGUMENT', `isolation: 'snapshot' or 'serializable' is needed, got ${String(given)}`);
}

/** Deletions are marked in transactions' own trees only. */
function plain(value: Uint8Array | typeof TOMBSTONE | undefined): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}

