/**
 * Checkpoints: a snapshot reader that writes the store as of its snapshot, while writers go on.
 *
 *   1. take snapshot P with its checkpoint descriptor, and take over the changed chunks
 *   2. write every page that is dirty as of P, in slices
 *   3. compose and write the changed chunks of the directory as of P, then the chunks above them, up to the root
 *   4. sync the data file
 *   5. write the superblock to the slot not written last      6. sync
 *   7. write it to the other slot                             8. sync
 *   9. the previous checkpoint ends: its extents are free, and so is the log below P's position; log files that the
 *      superblock does not count are removed
 *
 * One run is a generator that says where it can pause and where it needs a sync. Usually it is driven with promises;
 * a program that never yields drives the same run to its end with blocking syncs.
 *
 * Invariants
 *   1. At most one run at a time; callers that come meanwhile share the one after it.
 *   2. Nothing of the durable checkpoint is released before step 8; nothing of P if the run fails.
 *   3. The directory as of P is composed from versions, never from live entries alone (chunks.ts).
 *   4. A failed sync, or a superblock that could not be written, fails the store.
 *   5. Once the store has failed, whatever failed it, no step is begun: nothing is written and nothing is released, and
 *      who waits for the next run is refused.
 *   6. No slot with a foreign fence is written over: somebody else opened the store, so the lock did not hold.
 */

import { VICTIM_AREA, VICTIM_CAPACITY } from '../../assembly/layout.ts';
import type { BackendFile } from '../backend/backend.ts';
import { AegisError, causedBy } from '../base/errors.ts';
import type { CatalogState } from '../store/catalog.ts';
import type { Place } from '../store/directory.ts';
import type { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';
import { isFencedOff, writeSuperblock } from '../store/superblock.ts';
import type { SnapshotNode } from '../store/versions.ts';
import type { Log, LogPosition } from '../wal/log.ts';
import { describeCheckpoint } from './checkpoint-descriptor.ts';
import { entriesAsOf, writeChunks } from './chunks.ts';

/** What a finished checkpoint says of itself. */
export interface CheckpointData {
  /** Last commit it holds. */
  readonly sequence: number;
  /** Where recovery would begin to read the log; 0 while the log is off. */
  readonly lsn: number;
  /** Pages written for it. */
  readonly pages: number;
}

/** What a checkpoint asks of the commits. */
export interface Commits {
  /** Last commit that readers see. */
  readonly applied: number;
  /** Where the first group begins that holds an unapplied commit; else the end of the log. */
  readonly replayPosition: LogPosition;
  /** Fails the store. */
  fail(cause: unknown): void;
  /** Why the store has failed, once it has. */
  readonly failure: AegisError | undefined;
}

/** What a checkpoint works with. */
export interface CheckpointParts {
  readonly pager: Pager;
  readonly log: Log | undefined;
  readonly pipeline: Commits;
  /** The durable superblock and the slot it was written to last. */
  readonly superblock: Superblock;
  /** What the next superblock says of trees. */
  readonly catalog: { readonly state: CatalogState };
  readonly slot: number;
  /** Snapshot of the durable checkpoint. */
  readonly durable: SnapshotNode;
  /** Lets other work run; resolves soon. */
  readonly pause: () => Promise<void>;
  readonly onProgress: ((done: number, total: number) => void) | undefined;
  /** Called when a run ended, well or not. */
  readonly finished: () => void;
}

type Step = 'pause' | 'sync';

interface Run {
  readonly steps: Generator<Step, CheckpointData>;
  readonly promise: Promise<CheckpointData>;
  readonly resolve: (data: CheckpointData) => void;
  readonly reject: (error: unknown) => void;
  /** What the last step asked for and has not got. */
  waiting: Step | undefined;
  /** Counts the steps, so that a driver sees that the other one went on. */
  turn: number;
}

/** Pages written in one go. */
const SLICE_PAGES = 64;

export class Checkpointer {
  readonly #parts: CheckpointParts;
  #superblock: Superblock;
  #slot: number;
  #durable: SnapshotNode;
  #run: Run | undefined;
  #next: Promise<CheckpointData> | undefined;
  #unsettled: Place[] | undefined;
  /** Why the last run failed, if it did. */
  lastFailure: AegisError | undefined;
  count = 0;

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
    this.#superblock = parts.superblock;
    this.#slot = parts.slot;
    this.#durable = parts.durable;
  }

  /** The superblock of the last durable checkpoint. */
  get superblock(): Superblock {
    return this.#superblock;
  }

  /** Blocks of the directory written by a run that is under way, or that failed so that nobody knows what is durable. */
  get unsettled(): readonly Place[] | undefined {
    return this.#unsettled;
  }

  get running(): boolean {
    return this.#run !== undefined;
  }

  /** A checkpoint that holds everything committed by now. */
  checkpoint(): Promise<CheckpointData> {
    const run = this.#run;
    if (!run) return this.start();
    this.#next ??= run.promise.then(
      () => this.#startNext(),
      () => this.#startNext(),
    );
    return this.#next;
  }

  #startNext(): Promise<CheckpointData> {
    this.#next = undefined;
    return this.#run ? this.#run.promise : this.start();
  }

  /** Starts a run, or joins the one under way; never rejects unheard: a failure is kept in `lastFailure` too. */
  start(): Promise<CheckpointData> {
    if (this.#run) return this.#run.promise;
    const run = this.#newRun();
    run.promise.catch(() => undefined);
    void this.#drive(run);
    return run.promise;
  }

  /** Runs a checkpoint, or the rest of the one under way, to its end without yielding. */
  runBlocking(): CheckpointData {
    const run = this.#run ?? this.#newRun();
    run.promise.catch(() => undefined);
    ++run.turn;
    try {
      if (run.waiting === 'sync') this.#file.syncSync();
      for (;;) {
        const step = this.#step(run);
        if (step.done) return this.#finish(run, step.value);
        ++run.turn;
        if (step.value === 'sync') this.#file.syncSync();
      }
    } catch (error) {
      throw this.#stop(run, error);
    }
  }

  /** Throws, and fails the store, when another writer has opened it since. */
  checkFence(): void {
    const { pager, pipeline } = this.#parts;
    if (!isFencedOff(pager.core, this.#file, this.#superblock)) return;
    const error = new AegisError('STORE_FAILED', 'another writer opened this store: the lock did not hold');
    pipeline.fail(error);
    throw error;
  }

  get #file(): BackendFile {
    return this.#parts.pager.blocks.file;
  }

  #newRun(): Run {
    let resolve: Run['resolve'] = () => undefined;
    let reject: Run['reject'] = () => undefined;
    const promise = new Promise<CheckpointData>((yes, no) => {
      resolve = yes;
      reject = no;
    });
    this.#run = { steps: this.#steps(), promise, resolve, reject, waiting: undefined, turn: 0 };
    return this.#run;
  }

  async #drive(run: Run): Promise<void> {
    try {
      for (;;) {
        const step = this.#step(run);
        if (step.done) return void this.#finish(run, step.value);
        const turn = ++run.turn;
        run.waiting = step.value;
        if (step.value === 'sync') await this.#file.sync();
        else await this.#parts.pause();
        if (run.turn !== turn) return;
        run.waiting = undefined;
      }
    } catch (error) {
      if (this.#run === run) this.#stop(run, error);
      // A blocking call finished the run meanwhile, but this sync failed: that fails the store.
      else this.#parts.pipeline.fail(error);
    }
  }

  /** The next step, unless the store has failed since the last one. */
  #step(run: Run): IteratorResult<Step, CheckpointData> {
    const { failure } = this.#parts.pipeline;
    if (failure) throw failure;
    return run.steps.next();
  }

  #finish(run: Run, data: CheckpointData): CheckpointData {
    this.#run = undefined;
    this.lastFailure = undefined;
    ++this.count;
    run.resolve(data);
    this.#parts.finished();
    return data;
  }

  /** Ends a run that failed; answers what its callers are told. */
  #stop(run: Run, cause: unknown): AegisError {
    this.#run = undefined;
    let told = cause;
    try {
      run.steps.throw(cause);
    } catch (error) {
      told = error; // the generator has cleaned up, and knows whether the store has failed
    }
    this.lastFailure = told instanceof AegisError ? told : causedBy('IO_ERROR', 'the checkpoint', told);
    run.reject(this.lastFailure);
    this.#parts.finished();
    return this.lastFailure;
  }

  *#steps(): Generator<Step, CheckpointData> {
    const { pager, pipeline, log, catalog } = this.#parts;
    const { directory, blocks } = pager;
    this.checkFence();
    const snapshot = pager.takeSnapshot();
    const descriptor = describeCheckpoint(
      { pager, pipeline, catalog, superblock: this.#superblock },
      snapshot.epoch,
    );
    const { sequence, lsn, chunkCount } = descriptor;
    const changed = directory.takeChanged(snapshot.epoch);
    const fresh: Place[] = [];
    this.#unsettled = fresh;
    // After the first sync of a slot has begun, a failure leaves unknown what is on the disk.
    let unsure = false;
    try {
      const pages = yield* this.#writePages(snapshot.epoch);
      const retired: Place[] = [];
      const plan = yield* writeChunks({
        directory,
        blocks,
        chunkCount,
        changed,
        entries: (index) => entriesAsOf(pager, snapshot.epoch, index, descriptor.nextPage),
        written: (place, old) => {
          if (place.sectors > 0) fresh.push(place);
          if (old && old.sectors > 0) retired.push(old);
        },
      });
      const superblock: Superblock = {
        ...this.#superblock,
        ...descriptor,
        generation: this.#superblock.generation + 1,
        mark: log ? log.durable : lsn,
        directory: plan.root,
        codecs: (this.#superblock.codecs & ~blocks.retiredCodecs) | blocks.codecs.used,
        endSector: blocks.extents.end,
        logSize: log?.plan(lsn) ?? 0,
      };
      unsure = true;
      yield 'sync';
      for (const slot of [1 - this.#slot, this.#slot]) {
        this.checkFence();
        writeSuperblock(pager.core, blocks.file, slot, superblock);
        yield 'sync';
      }
      pager.drain();
      this.#superblock = superblock;
      this.#unsettled = undefined;
      for (const { level, index, place } of plan.places) directory.level(level)[index] = place;
      directory.endTaken(false);
      for (const place of retired) blocks.extents.free(place.start, place.sectors);
      const before = this.#durable;
      this.#durable = snapshot;
      pager.versions.setDurable(snapshot);
      pager.versions.release(snapshot);
      // Without a change in between both are the same epoch and the same node.
      if (before !== snapshot) pager.versions.releaseDurable(before);
      log?.release(lsn);
      return { sequence, lsn, pages };
    } catch (error) {
      pager.drain();
      directory.endTaken(true);
      if (unsure) {
        // Nothing is released or overwritten. The caller gets the error that every later call will get.
        pipeline.fail(error);
        throw pipeline.failure ?? error;
      }
      for (const place of fresh) blocks.extents.free(place.start, place.sectors);
      this.#unsettled = undefined;
      pager.versions.release(snapshot);
      throw error;
    }
  }

  /** Step 2. Passes over the pool until none finds a page of the snapshot that lies in no extent. */
  *#writePages(epoch: number): Generator<Step, number> {
    const { pager, onProgress } = this.#parts;
    const { core } = pager;
    const { x } = core;
    const total = x.dirtyCount();
    let written = 0;
    for (let found = true; found; ) {
      found = false;
      for (let frame = 1; frame <= core.frames; ) {
        pager.drain();
        const listed = x.framesDirtyAt(epoch, frame, SLICE_PAGES);
        frame = core.u32[VICTIM_AREA / 4 + VICTIM_CAPACITY] as number;
        if (listed === 0) continue;
        found = true;
        pager.writeFrames(Array.from(core.u32.subarray(VICTIM_AREA / 4, VICTIM_AREA / 4 + listed)));
        written += listed;
        onProgress?.(Math.min(written, total), total);
        yield 'pause';
      }
    }
    return written;
  }
}
