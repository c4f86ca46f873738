/**
 * The engine: one open store's public face. It checks on every call that it is open and sound and hands the work to
 * the machine behind it.
 *
 * Life cycle: open -> closing -> closed. A failed sync or a defect makes an open store FAILED: writes are refused from
 * then on, reads go on unless memory itself is no state of the store any more.
 */
import type { StorageBackend } from './backend/backend.ts';
import { hostOf } from './backend/host.ts';
import { MemoryBackend } from './backend/memory.ts';
import type { ResolvedConfig, StorageConfig } from './config.ts';
import { resolveConfig } from './config.ts';
import { AegisError, checkOptions, invalid } from './errors.ts';
import { Machine } from './machine.ts';
import { Snapshot } from './snapshot.ts';
import type { StorageStats } from './stats.ts';
import type { Bytes, RangeOptions } from './store/range.ts';
import { resolveRange } from './store/range.ts';
import type { TOMBSTONE } from './store/trees.ts';
import { Scan } from './txn/scan.ts';
import type { IsolationLevel } from './txn/transaction.ts';
import { Transaction } from './txn/transaction.ts';
import type { BatchOperation } from './txn/writer.ts';
import type { CheckpointData } from './upkeep/checkpoint.ts';
import { refuseForeignPlace } from './upkeep/find-store.ts';
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
  readonly #machine: Machine;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closing: Promise<void> | undefined;
  #lastTransaction = 0;

  /**
   * Opens a store, creating it if it is not there.
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `UNSUPPORTED`, `NOT_FOUND`, `EXISTS`, `NOT_A_STORE`,
   *   `UNSUPPORTED_VERSION`, `LOCKED`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED` (a defect of ours)
   */
  static async open(config?: Partial<StorageConfig>): Promise<StorageEngine> {
    return openEngine(resolveConfig(config));
  }

  /** Engines come from `StorageEngine.open`. */
  constructor(machine: Machine) {
    this.config = machine.config;
    this.#machine = machine;
  }

  // --- reading the latest state ---------------------------------------------------------------------------------

  /**
   * Reads a key: its value, or undefined. The bytes are the caller's own.
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `OUT_OF_SPACE` (a page must leave memory first, and has no room on the device)
   */
  get(key: Bytes): Uint8Array | undefined {
    const { root, store } = this.#readable();
    try {
      return plain(store.trees.get(root, LATEST, store.trees.setKey(key)));
    } catch (error) {
      throw this.#machine.guard(error);
    }
  }

  /** As `get`, as text: a byte order mark is kept, invalid UTF-8 shows as U+FFFD. @throws AegisError as `get` */
  getString(key: Bytes): string | undefined {
    const { root, store } = this.#readable();
    try {
      const value = store.trees.getString(root, LATEST, store.trees.setKey(key));
      return typeof value === 'string' ? value : undefined;
    } catch (error) {
      throw this.#machine.guard(error);
    }
  }

  /** Reads many keys in one go, faster than one by one; absent ones are undefined. @throws AegisError as `get` */
  getMany(keys: readonly Bytes[]): (Uint8Array | undefined)[] {
    const { root, store } = this.#readable();
    try {
      return store.trees.getMany(root, LATEST, keys).map(plain);
    } catch (error) {
      throw this.#machine.guard(error);
    }
  }

  /** Whether a key is there. @throws AegisError as `get` */
  has(key: Bytes): boolean {
    const { root, store } = this.#readable();
    try {
      return store.trees.has(root, LATEST, store.trees.setKey(key)) === true;
    } catch (error) {
      throw this.#machine.guard(error);
    }
  }

  /**
   * The records of a range as of now, whatever is written while it is read. Close it, or read it to the end.
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CLOSED`, `STORE_FAILED`
   */
  scan(options?: RangeOptions): Scan {
    const { root, store, leases, transactions } = this.#readable();
    const { trees } = store;
    const range = resolveRange(trees, options);
    const lease = leases.take();
    const scan = new Scan({ trees, root, ownRoot: 0, lease, range, check: transactions.checkReadable });
    leases.watch(scan, lease);
    return scan;
  }

  /** Number of the records of a range. @throws AegisError as `get` */
  count(options?: RangeOptions): number {
    const { root, store } = this.#readable();
    const range = resolveRange(store.trees, options);
    if (range.limit === 0) return 0;
    try {
      return Math.min(store.trees.countRange(root, LATEST, range), range.limit);
    } catch (error) {
      throw this.#machine.guard(error);
    }
  }

  /**
   * A read-only view of the present state. Close it: the old pages it sees are kept as long as it is open.
   * @throws AegisError `CLOSED`, `STORE_FAILED`
   */
  snapshot(): Snapshot {
    const { root, store, leases, transactions } = this.#readable();
    const lease = leases.take();
    const snapshot = new Snapshot({
      trees: store.trees,
      root,
      lease,
      leases,
      check: transactions.checkReadable,
    });
    leases.watch(snapshot, lease);
    return snapshot;
  }

  // --- single operations ----------------------------------------------------------------------------------------

  /**
   * Writes a key. Resolves when the commit is visible and, with `syncOnCommit`, durable.
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`,
   *   `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`
   */
  async put(key: Bytes, value: Bytes): Promise<void> {
    await this.#writable().writer.put(MAIN_TREE, key, value, this.config.syncOnCommit);
  }

  /** Removes a key; resolves to whether it was there. Durable and visible as `put`. @throws AegisError as `put` */
  async delete(key: Bytes): Promise<boolean> {
    return (await this.#writable().writer.delete(MAIN_TREE, key, this.config.syncOnCommit)).deleted > 0;
  }

  /** Does all in one commit, in their order, or none. Durable and visible as `put`. @throws AegisError as `put` */
  async batch(operations: Iterable<BatchOperation>): Promise<void> {
    await this.#writable().writer.batch(MAIN_TREE, operations, this.config.syncOnCommit);
  }

  /** As `put`, blocking. @throws AegisError as `put`, `UNSUPPORTED` (the backend cannot make a file at once) */
  putSync(key: Bytes, value: Bytes): void {
    this.#writable().writer.putSync(MAIN_TREE, key, value, this.config.syncOnCommit);
  }

  /** As `delete`, blocking. @throws AegisError as `putSync` */
  deleteSync(key: Bytes): boolean {
    return this.#writable().writer.deleteSync(MAIN_TREE, key, this.config.syncOnCommit).deleted > 0;
  }

  /** As `batch`, blocking. @throws AegisError as `putSync` */
  batchSync(operations: Iterable<BatchOperation>): void {
    this.#writable().writer.batchSync(MAIN_TREE, operations, this.config.syncOnCommit);
  }

  // --- transactions ---------------------------------------------------------------------------------------------

  /**
   * Begins a transaction on the present state.
   * @throws AegisError `INVALID_ARGUMENT`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`
   */
  beginTransaction(options: TransactionOptions = {}): Transaction {
    checkOptions('beginTransaction', options, ['isolation', 'readOnly']);
    const { readOnly = false } = options;
    if (typeof readOnly !== 'boolean') {
      throw invalid('beginTransaction: readOnly', readOnly, 'true or false');
    }
    const isolation = isolationOf(options.isolation);
    const machine = readOnly ? this.#readable() : this.#writable();
    const tx = new Transaction(machine.transactions, ++this.#lastTransaction, isolation, readOnly);
    ++machine.activeTransactions;
    return tx;
  }

  /**
   * Runs `work` in a transaction and commits it; on CONFLICT runs it again with a new one, after a growing wait.
   * Resolves to what `work` answered. When `work` throws, the transaction is aborted and the error passed on.
   * @throws AegisError as `put`, `CONFLICT` (each time it was tried), `TRANSACTION_FINISHED`
   */
  async transaction<T>(work: (tx: Transaction) => T | Promise<T>, options: RetryOptions = {}): Promise<T> {
    if (typeof work !== 'function') throw invalid('transaction', work, 'a function');
    checkOptions('transaction', options, ['isolation', 'maxRetries', 'signal']);
    const { isolation, maxRetries = RETRIES_DEFAULT, signal } = options;
    if (!Number.isSafeInteger(maxRetries) || maxRetries < 0) {
      throw invalid('transaction: maxRetries', maxRetries, 'a whole number from 0 on');
    }
    if (signal !== undefined && typeof signal?.throwIfAborted !== 'function') {
      throw invalid('transaction: signal', signal, 'an AbortSignal');
    }
    for (let attempt = 0; ; ++attempt) {
      signal?.throwIfAborted();
      const tx = this.beginTransaction(isolation === undefined ? {} : { isolation });
      try {
        const result = await work(tx);
        if (tx.state === 'active') await tx.commit();
        return result;
      } catch (error) {
        if (tx.state === 'active') tx.abort();
        if (!(error instanceof AegisError) || !error.retryable || attempt >= maxRetries) throw error;
        ++this.#machine.conflicts;
      }
      await this.#backOff(attempt);
    }
  }

  /**
   * Waits for what is queued, since another try before that would meet the same commit again; then a random share of
   * a growing number of turns, so that two that conflict do not meet again at once.
   */
  async #backOff(attempt: number): Promise<void> {
    const { host, pause, pipeline } = this.#machine;
    await pipeline.caughtUp();
    const random = new Uint8Array(1);
    host.random(random);
    const most = Math.min(BACK_OFF_MAX, 2 ** attempt);
    for (let turns = 1 + (((random[0] as number) * most) >> 8); turns > 0; --turns) await pause();
  }

  // --- upkeep ---------------------------------------------------------------------------------------------------

  /**
   * Writes a checkpoint of everything committed by now; blocks neither readers nor writers.
   * @throws AegisError `READ_ONLY`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`
   */
  async checkpoint(): Promise<CheckpointData> {
    return this.#writable().checkpointer.checkpoint();
  }

  /**
   * Reads every page and checks every checksum and structural rule; lists damage and changes nothing.
   * @throws AegisError `CLOSED`, `STORE_FAILED`
   */
  async verify(): Promise<VerifyReport> {
    const machine = this.#readable();
    const { root, store, leases, pause, config } = machine;
    const lease = leases.take();
    try {
      return await verifyStore({
        pager: store.pager,
        roots: [root],
        epoch: lease.epoch,
        release: () => lease.close(),
        durable: machine.checkpointer,
        readOnly: config.readOnly,
        pause,
        check: () => void this.#readable(),
        onProgress: (done, total) => config.onProgress?.({ phase: 'verify', done, total }),
      });
    } catch (error) {
      throw machine.guard(error);
    } finally {
      lease.close();
    }
  }

  /** Counters and sizes. @throws AegisError `IO_ERROR`, `CLOSED` */
  stats(): StorageStats {
    this.#checkOpen();
    return this.#machine.stats();
  }

  /**
   * Waits for queued commits, aborts what is open, writes a checkpoint, and gives files and lock back. Idempotent;
   * afterwards every call answers CLOSED. When the last checkpoint fails the store is closed all the same, and the
   * error passed on: what was acknowledged is in the log. So is it of a store that has failed, when commits made without
   * a sync (or without a log) may be lost by that. @throws AegisError `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED`
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** As `close`. @throws AegisError as `close` */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#state = 'closing';
    try {
      await this.#machine.finish();
    } finally {
      this.#state = 'closed';
      await this.#machine.release();
    }
  }

  #checkOpen(): void {
    if (this.#state !== 'open') throw new AegisError('CLOSED', 'the engine is closed');
  }

  #readable(): Machine {
    this.#checkOpen();
    this.#machine.checkReadable();
    return this.#machine;
  }

  #writable(): Machine {
    this.#checkOpen();
    this.#machine.checkWritable();
    return this.#machine;
  }
}

/** Opens an engine; tests give the debug build of the core, and log files smaller than any configuration makes. */
export async function openEngine(
  config: ResolvedConfig,
  module?: Uint8Array<ArrayBuffer>,
  segmentSize?: number,
): Promise<StorageEngine> {
  const backend = await backendOf(config);
  await refuseForeignPlace(backend, config);
  const lock = await backend.lock(config.readOnly ? 'shared' : 'exclusive');
  try {
    const store = await openStore({ backend, host: hostOf(backend), config, module, segmentSize });
    const own = { ...config, pageSize: store.core.pageSize };
    const machine = new Machine(Object.freeze(own), backend, lock, store);
    const engine = new StorageEngine(machine);
    try {
      await machine.start();
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

async function backendOf(config: ResolvedConfig): Promise<StorageBackend> {
  if (config.backend === 'memory') return new MemoryBackend();
  if (config.backend !== 'local') return config.backend;
  const { LocalBackend } = await import('./backend/local.ts');
  return new LocalBackend(config.dataDirectory);
}

function isolationOf(given: unknown): IsolationLevel {
  if (given === undefined) return 'snapshot';
  if (given === 'snapshot' || given === 'serializable') return given;
  throw invalid('isolation', given, "'snapshot' or 'serializable'");
}

/** Deletions are marked in transactions' own trees only. */
function plain(value: Uint8Array | typeof TOMBSTONE | undefined): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}
