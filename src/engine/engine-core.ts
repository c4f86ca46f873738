/**
 * The engine core: wires all parts of an open store together, and makes the few decisions that need more than one of
 * them: what closing waits for, and when nothing can be trusted any more.
 *
 * Invariants
 *   1. After a trap or a broken rule nothing is read from memory and nothing is written to the store.
 */

import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendHost, Lock, StorageBackend } from '../backend/backend.ts';
import type { Breath } from '../backend/breath.ts';
import { breathOf } from '../backend/breath.ts';
import { hostOf, pauseOf, timerOf } from '../backend/host.ts';
import { MemoryBackend } from '../backend/memory.ts';
import type { Outside } from '../backend/outside.ts';
import { AegisError } from '../base/errors.ts';
import type { GivenCodecs } from '../codec/user-block.ts';
import type { ResolvedConfig } from '../config/config.ts';
import { guardTrap } from '../core/wasm.ts';
import { Checkpointer } from '../maintenance/checkpoint.ts';
import type { Compactor, CompactParts } from '../maintenance/compact.ts';
import { LogLimit } from '../maintenance/log-limit.ts';
import type { OpenedStore } from '../maintenance/opened-store.ts';
import type { Tell } from '../maintenance/progress.ts';
import { tellerOf } from '../maintenance/progress.ts';
import { Reclaimer } from '../maintenance/reclaimer.ts';
import { Admission } from '../txn/admission.ts';
import { CommitPipeline } from '../txn/commit.ts';
import { Conflicts } from '../txn/conflicts.ts';
import { FreeSpace } from '../txn/free-space.ts';
import { Reservations } from '../txn/reservations.ts';
import { RetryQueue } from '../txn/retry-queue.ts';
import { SnapshotHandles } from '../txn/snapshot-handle.ts';
import type { TransactionParts } from '../txn/transaction.ts';
import { Writer } from '../txn/writer.ts';
import type { StorageStats } from './stats.ts';

/** What a machine has around it: a backend and codecs whose calls go `outside`, and the lock. */
interface Surroundings {
  readonly backend: StorageBackend;
  readonly codecs: GivenCodecs;
  readonly outside: Outside;
  readonly lock: Lock;
}

export class EngineCore {
  readonly config: ResolvedConfig;
  readonly store: OpenedStore;
  readonly host: BackendHost;
  readonly pipeline: CommitPipeline;
  readonly writer: Writer;
  readonly handles: SnapshotHandles;
  readonly checkpointer: Checkpointer;
  /** Compaction, once it was asked for, and what it works with. */
  compactor: Compactor | undefined;
  readonly compactParts: CompactParts;
  readonly reclaimer: Reclaimer;
  /** Transactions that lost a conflict. */
  readonly retries: RetryQueue;
  /** What transactions work with. */
  readonly transactions: TransactionParts;
  /** Lets other work run. */
  readonly pause: () => Promise<void>;
  /** Lets other work run between calls that wait for nothing. */
  readonly breath: Breath;
  /** Tells the program how far long work is. */
  readonly tell: Tell;
  /** Commits refused with CONFLICT. */
  conflicts = 0;
  activeTransactions = 0;
  /** Codecs that were given for users' blocks. */
  readonly codecs: GivenCodecs;
  /** The way to backends and given codecs; for the time of a call nothing can be asked. */
  readonly outside: Outside;
  readonly #backend: StorageBackend;
  readonly #lock: Lock;
  readonly #limit: LogLimit;
  readonly #reservations: Reservations;
  #life: 'open' | 'closing' | 'closed' = 'open';
  #closing: Promise<void> | undefined;
  #defect: AegisError | undefined;

  constructor(config: ResolvedConfig, { backend, codecs, outside, lock }: Surroundings, store: OpenedStore) {
    this.config = config;
    this.codecs = codecs;
    this.outside = outside;
    this.store = store;
    this.#backend = backend;
    this.#lock = lock;
    this.host = hostOf(backend);
    this.pause = pauseOf(backend);
    this.breath = breathOf(backend);
    this.tell = tellerOf(config.onProgress);
    this.retries = new RetryQueue(timerOf(backend));
    const { trees, catalog, pager, log, applier } = store;
    const conflicts = new Conflicts(trees, () => this.pipeline.applied);
    this.handles = new SnapshotHandles(
      pager,
      () => this.pipeline.applied,
      () => outside.check(),
    );
    this.pipeline = new CommitPipeline({
      log,
      applier,
      breath: this.breath,
      host: this.host,
      flushInterval: config.walFlushInterval,
      sequence: store.sequence,
      position: store.position,
      logged: (bytes) => this.#limit.logged(bytes),
      conflicts,
      coming: catalog.coming,
      callers: {
        serve: () => this.#reservations.serve(),
        waiting: () => this.#reservations.length,
      },
    });
    const freeSpace = new FreeSpace(pager, log !== undefined, () => void this.checkpointer.runBlocking());
    const { pipeline } = this;
    const admission = new Admission({ trees, log, applier, conflicts, freeSpace, pipeline });
    this.checkpointer = new Checkpointer({
      pager,
      log,
      pipeline: this.pipeline,
      superblock: store.superblock,
      catalog,
      slot: store.slot,
      durable: store.durable,
      pause: this.pause,
      onProgress: (done, total) => this.tell('checkpoint', done, total),
      finished: () => this.#checkpointed(),
    });
    this.#limit = new LogLimit({
      log,
      checkpointer: this.checkpointer,
      size: config.checkpointWalSize,
      paysWithoutLog: !(backend instanceof MemoryBackend),
    });
    this.#reservations = new Reservations({ pipeline, log, limit: this.#limit });
    this.writer = new Writer({
      trees,
      catalog,
      admission,
      reservations: this.#reservations,
      pipeline,
      rest: () => this.breath.rest(),
    });
    const ensure = (pages: number, mayUseReserve: boolean): void => {
      const own = pager.versions.hasReader ? 2 * pages : pages;
      freeSpace.ensure(own + freeSpace.pagesFor(pipeline.queue.load), mayUseReserve);
    };
    if (!config.readOnly) {
      trees.beforePrivate = (bytes, isDelete) =>
        freeSpace.ensurePrivate(bytes, pipeline.queue.load, isDelete);
    }
    this.reclaimer = new Reclaimer({
      trees,
      catalog,
      ensure: (pages) => ensure(pages, true),
      pause: this.pause,
      mayWrite: () => this.#mayWrite,
      guard: (error) => this.guard(error),
    });
    this.compactParts = {
      pager,
      checkpointer: this.checkpointer,
      roots: () => catalog.latestRoots(),
      ensure: (pages) => ensure(pages, false),
      cut: () => freeSpace.cut(freeSpace.pagesFor(pipeline.queue.load)),
      pause: this.pause,
      check: () => void this.writable(),
      onProgress: (done, total) => this.tell('compaction', done, total),
    };
    this.transactions = {
      trees,
      pipeline: this.pipeline,
      admission,
      writer: this.writer,
      conflicts,
      handles: this.handles,
      catalog,
      syncOnCommit: config.syncOnCommit,
      rest: () => this.breath.rest(),
      checkReadable: () => this.checkReadable(),
      ended: () => void --this.activeTransactions,
      conflicted: () => void ++this.conflicts,
    };
  }

  /** Finishes a new store, and what recovery leaves to be done after it. */
  async start(): Promise<void> {
    if (this.config.readOnly) return;
    const { created, staleLog, replayed } = this.store;
    if (created || staleLog.length > 0) await this.checkpointer.start();
    else if (replayed > 0) void this.checkpointer.start();
    for (const name of staleLog) await this.#backend.remove(name);
    if (staleLog.length > 0) await this.#backend.syncDirectory();
    void this.reclaimer.start();
  }

  /** Ends everything, once; releases files and lock even when the last checkpoint fails. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#life = 'closing';
    try {
      await this.#finish();
    } finally {
      this.#life = 'closed';
      await this.store.log?.close();
      this.store.pager.blocks.file.close();
      await this.#lock.release();
    }
  }

  /** Waits for queued commits, aborts what is open, writes a checkpoint if one is owed. */
  async #finish(): Promise<void> {
    await this.compactor?.ended();
    await this.pipeline.drained();
    this.handles.closeAll();
    // Once more: a transaction may have been committed in between.
    await this.pipeline.drained();
    this.pipeline.stop();
    await this.store.log?.retire();
    if (this.config.readOnly) return;
    const { superblock, running } = this.checkpointer;
    const { failure, unsaved } = this.pipeline;
    // Whoever wrote without waiting for a sync, and nothing since, hears of it nowhere else. Nor does anybody whose
    // files are gone: what was durable there is not found again.
    if (failure && (unsaved > superblock.sequence || failure.errno === 'ESTALE')) throw failure;
    if (failure) return;
    const isBehind = this.pipeline.applied !== superblock.sequence || superblock.generation === 0;
    const hasFiles = (this.store.log?.diskSize ?? 0) > 0;
    if (isBehind || hasFiles || running || this.reclaimer.worked) await this.checkpointer.checkpoint();
    // Without a checkpoint, at least this sync tells whether the files are still there.
    else await this.store.pager.blocks.file.sync();
    // Another writer may have written behind our end by now.
    this.checkpointer.checkFence();
    this.store.pager.blocks.cutTail();
  }

  // --- checks ---------------------------------------------------------------------------------------------------

  /** Throws when the engine is closed, or about to be. */
  checkOpen(): void {
    if (this.#life !== 'open') throw new AegisError('CLOSED', 'the engine is closed');
  }

  /** This core, for a call that reads. Throws when it cannot. */
  readable(): this {
    this.checkOpen();
    this.checkReadable();
    return this;
  }

  /** This core, for a call that writes. Throws when it cannot. */
  writable(): this {
    this.checkOpen();
    this.checkWritable();
    return this;
  }

  /** Throws when nothing can be read from memory. */
  checkReadable(): void {
    this.outside.check();
    const failure = this.#defect ?? this.store.pager.defect ?? this.pipeline.unreadable;
    if (failure) throw failure;
  }

  /** Throws when the store has failed: what goes on in the background for a caller ends then. */
  checkIntact(): void {
    this.checkReadable();
    if (this.pipeline.failure) throw this.pipeline.failure;
  }

  /** Throws when nothing can be written. */
  checkWritable(): void {
    this.checkReadable();
    if (this.config.readOnly) throw new AegisError('READ_ONLY', 'the store was opened for reading only');
    this.checkIntact();
  }

  get #mayWrite(): boolean {
    const failure = this.#defect ?? this.store.pager.defect ?? this.pipeline.failure;
    return this.#life === 'open' && !failure;
  }

  /** Whether the store is kept by this backend. */
  isIn(backend: StorageBackend): boolean {
    return backend === this.config.backend;
  }

  /** Names of the files there are. */
  list(): string[] | Promise<string[]> {
    return this.#backend.list();
  }

  /** What to throw for an error met while working on pages: a trap or a broken rule ends the work on this memory. */
  guard(error: unknown): unknown {
    const mended = guardTrap(error);
    if (mended instanceof AegisError && mended.code === 'STORE_FAILED' && mended !== this.pipeline.failure) {
      this.#defect ??= mended;
      this.pipeline.fail(mended);
    }
    return mended;
  }

  #checkpointed(): void {
    this.#limit.checkpointed();
    this.pipeline.resume();
    // The reclaimer may have waited for the space that is free now.
    if (this.#mayWrite && !this.config.readOnly) void this.reclaimer.start();
  }

  // --- telling --------------------------------------------------------------------------------------------------

  stats(): StorageStats {
    const { core, pager, log } = this.store;
    const { x } = core;
    const { extents, counters, file } = pager.blocks;
    const { commits, groups, syncs } = this.pipeline.counters;
    return {
      pool: {
        frames: core.framesMax,
        freeFrames: core.framesMax - core.frames + x.freeCount(),
        dirtyFrames: x.dirtyCount(),
        hits: Math.max(0, x.touchCount() - pager.misses),
        misses: pager.misses,
        evictions: pager.evictions,
      },
      pages: { size: core.pageSize, count: pager.pageCount },
      trees: this.store.catalog.size,
      versions: {
        count: pager.versions.count + pager.privateVersions.count,
        openSnapshots: this.handles.count,
        oldestSnapshotAge: this.handles.oldestAge,
      },
      data: {
        fileSize: file.size(),
        usedSize: extents.used * SECTOR_SIZE,
        freeSize: extents.holeSectors * SECTOR_SIZE,
        blocksRead: counters.blocksRead,
        blocksWritten: counters.blocksWritten,
        bytesWritten: counters.bytesWritten,
        compressionRatio: counters.bytesWritten === 0 ? 1 : counters.bytesRaw / counters.bytesWritten,
        damagedSlots: Number(this.store.slotDamaged),
      },
      log: {
        enabled: log !== undefined,
        diskSize: log?.diskSize ?? 0,
        sinceCheckpoint: this.#limit.sinceCheckpoint,
        groups,
        syncs,
      },
      transactions: { commits, active: this.activeTransactions, conflicts: this.conflicts },
      checkpoints: this.checkpointer.count,
      sequence: this.pipeline.applied,
    };
  }
}
