/**
 * The queue of commits between their sequence and their answer, and the two log buffers that hold their records.
 *
 * Commits are packed into one buffer while the other, which is written to the log, waits for its sync; then the two
 * swap. What was logged is what is applied, from the same bytes.
 *
 * Invariants
 *   1. The queue is in the order of sequences; written commits come before unwritten ones.
 *   2. A buffer is free when no commit in it is unapplied; only then is it filled again.
 */
import { GROUP_HEADER_SIZE, LOG_AREA, LOG_BUFFER_SIZE, PART_HEADER_SIZE } from '../../assembly/layout.ts';
import type { AegisError } from '../base/errors.ts';
import type { ComingTrees, NewTrees } from '../store/coming-trees.ts';
import type { Load } from './free-space.ts';
import type { WriteSet } from './write-set.ts';

/** What a commit became. */
export interface CommitResult {
  /** Log position after the commit; 0 while the log is off, or when there was nothing to commit. */
  readonly lsn: number;
  /** Number of the commit, gap-free. */
  readonly sequence: number;
}

/** What a caller learns of its commit; complete when the commit is applied. */
export interface Committed {
  readonly sequence: number;
  /** Log position after it; 0: not written yet, or the log is off. */
  readonly end: number;
  /** Keys it removed. */
  readonly deleted: number;
}

/** Hears how a commit ended. */
export type Done = (error: AegisError | undefined) => void;

/** A commit that is to be made: how much space it asks for, and its admission once that is there. */
export interface Proposal {
  /** As for a reservation. */
  readonly bytes: number;
  readonly exclusive: boolean;
  ready?(now: boolean): boolean;
  /** Queues the commit, or throws. */
  admit(done: Done): Committed;
}

/** Packs the records of a commit at an address; the caller has seen that they fit below the limit. Answers the end. */
export type Packer = (at: number, limit: number) => number;

/** One of the two log buffers. */
export interface LogBuffer {
  readonly base: number;
  /** Where the next part goes. */
  at: number;
  /** Commits in it that are not applied. */
  pending: number;
}

/** A commit between its sequence and its answer. */
export interface Commit extends Committed {
  /** Whether it waits for the log to be durable. */
  readonly sync: boolean;
  readonly buffer: LogBuffer;
  /** Its records in the buffer; unused when it has a write set. */
  readonly from: number;
  readonly to: number;
  /** The write set of a commit too large for a log buffer. */
  readonly writes: WriteSet | undefined;
  /** What it can change, at the most. */
  readonly load: Load;
  /** Trees that it makes. */
  readonly makes: NewTrees | undefined;
  /** Nothing is queued behind it. */
  readonly alone: boolean;
  end: number;
  written: boolean;
  /** Whether its keys are among the recent writes, for open transactions. */
  tracked: boolean;
  deleted: number;
  readonly done: Done;
}

/** Adds up what commits may change; nothing is left of it when the last one is gone. */
class LoadSum implements Load {
  operations = 0;
  pages = 0;
  named = 0;

  add({ operations, pages, named }: Load, sign: 1 | -1): void {
    this.operations += sign * operations;
    this.pages += sign * pages;
    this.named += sign * named;
  }

  /** Fractions of pages do not add up to nothing by themselves. */
  clear(): void {
    this.operations = 0;
    this.pages = 0;
    this.named = 0;
  }
}

export class CommitQueue {
  readonly #buffers: readonly [LogBuffer, LogBuffer];
  #filling: LogBuffer;
  #commits: Commit[] = [];
  #head = 0;
  #written = 0;
  readonly #load = new LoadSum();
  readonly #coming: ComingTrees;

  /** @param coming hears of trees that queued commits make. */
  constructor(coming: ComingTrees) {
    this.#coming = coming;
    const buffer = (index: number): LogBuffer => {
      const base = LOG_AREA + index * LOG_BUFFER_SIZE;
      return { base, at: base + GROUP_HEADER_SIZE, pending: 0 };
    };
    this.#buffers = [buffer(0), buffer(1)];
    this.#filling = this.#buffers[0];
  }

  /** The buffer that takes new commits. */
  get filling(): LogBuffer {
    return this.#filling;
  }

  /** Whether the buffer that does not take new commits is free. */
  get otherIsFree(): boolean {
    return this.#other().pending === 0;
  }

  get length(): number {
    return this.#commits.length - this.#head;
  }

  /** Commits that are not in the log yet. */
  get unwritten(): number {
    return this.#commits.length - this.#written;
  }

  /** What the queued commits can change, all together. */
  get load(): Load {
    return this.#load;
  }

  /** The same with one more. */
  loadWith(more: Load): Load {
    const sum = new LoadSum();
    sum.add(this.#load, 1);
    sum.add(more, 1);
    return sum;
  }

  /** The oldest commit. */
  get first(): Commit | undefined {
    return this.#commits[this.#head];
  }

  /** Whether nothing may be queued: a commit that must be alone is. */
  get isBarred(): boolean {
    return this.first?.alone === true;
  }

  /** Whether a written commit waits for a sync. */
  get awaitsSync(): boolean {
    for (let i = this.#head; i < this.#written; ++i) if ((this.#commits[i] as Commit).sync) return true;
    return false;
  }

  push(commit: Commit): void {
    ++commit.buffer.pending;
    this.#load.add(commit.load, 1);
    if (commit.makes) this.#coming.add(commit.makes);
    this.#commits.push(commit);
    if (commit.written) this.#written = this.#commits.length;
  }

  /** The filling buffer is in the log up to a position: its commits are written and the buffers swap. */
  markWritten(end: number): void {
    for (; this.#written < this.#commits.length; ++this.#written) {
      const commit = this.#commits[this.#written] as Commit;
      commit.written = true;
      commit.end = end;
    }
    this.swap();
  }

  /** Swaps the buffers. */
  swap(): void {
    this.#filling = this.#other();
  }

  /** Takes the oldest commit out, applied. */
  shift(): void {
    const commit = this.#commits[this.#head++] as Commit;
    this.#leaves(commit);
    const { buffer } = commit;
    if (--buffer.pending === 0) buffer.at = buffer.base + GROUP_HEADER_SIZE;
    if (this.#head === this.#commits.length) {
      this.#commits = [];
      this.#head = 0;
      this.#written = 0;
      // The load counts fractions of pages; rounding errors must not add up.
      this.#load.clear();
    }
  }

  /** Takes all unwritten commits out: their buffer could not be written. */
  takeBack(): Commit[] {
    const refused = this.#commits.splice(this.#written);
    const buffer = this.#filling;
    buffer.at = buffer.base + GROUP_HEADER_SIZE;
    for (const commit of refused) {
      --buffer.pending;
      this.#leaves(commit);
    }
    this.untrackQueued();
    return refused;
  }

  #leaves({ load, makes }: Commit): void {
    this.#load.add(load, -1);
    if (makes) this.#coming.remove(makes);
  }

  /** What is still queued must be added to the recent writes again, with other timestamps. */
  untrackQueued(): void {
    for (const commit of this) commit.tracked = false;
  }

  /** Takes everything out: the store has failed. */
  clear(): Commit[] {
    const rest = this.#commits.slice(this.#head);
    this.#commits = [];
    this.#head = 0;
    this.#written = 0;
    this.#load.clear();
    return rest;
  }

  /** All commits, oldest first. */
  *[Symbol.iterator](): IterableIterator<Commit> {
    for (let i = this.#head; i < this.#commits.length; ++i) yield this.#commits[i] as Commit;
  }

  #other(): LogBuffer {
    return this.#filling === this.#buffers[0] ? this.#buffers[1] : this.#buffers[0];
  }
}

/** Packs a write set into a buffer piece by piece, each as large as a group may be. */
export function packPieces(
  writes: WriteSet,
  buffer: LogBuffer,
  maxPayload: number,
  visit: (from: number, end: number, records: number, last: boolean) => void,
): void {
  const start = buffer.base + GROUP_HEADER_SIZE + PART_HEADER_SIZE;
  const limit = buffer.base + GROUP_HEADER_SIZE + maxPayload - 8;
  writes.pack(start, limit, (end, records, last) => visit(start, end, records, last));
}

/** Visits the records of a commit: where they lie, or packed again from its write set. */
export function recordsOf(
  commit: Commit,
  maxPayload: number,
  visit: (from: number, end: number) => void,
): void {
  if (commit.writes) packPieces(commit.writes, commit.buffer, maxPayload, visit);
  else visit(commit.from, commit.to);
}
