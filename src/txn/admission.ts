/**
 * Admission: the first half of the commit pipeline. A commit is let in when there is room for all of it: in the log
 * buffer, in the log, in the pool and in the data file. Then it has its sequence, and its records lie in the buffer.
 *
 * Invariants
 *   1. A commit for which there is no room is refused, or waits, before it has a sequence; nothing was changed.
 *   2. From validation to sequence nothing else runs: callers validate in the same turn.
 *   3. The pages a commit will change have been read before it is logged, as far as they fit in the pool: damage
 *      refuses the commit instead of stopping the apply of one that is durable.
 *   4. A commit that is to be alone (it drops a tree) is let in when no other is on its way, and none behind it until it
 *      is applied: so every other finds names in the state it will be applied to.
 *   5. Once a commit has its sequence nothing of its admission can fail: its notes, which may need frames, come
 *      before, and last of all, since a caller that has to try again is validated against them.
 */
import {
  GROUP_HEADER_SIZE,
  PART_FIRST,
  PART_HEADER_SIZE,
  PART_LAST,
  RECORD_HEADER_SIZE,
} from '../../assembly/layout.ts';
import { AegisError } from '../errors.ts';
import type { Applier } from '../store/apply.ts';
import type { Trees } from '../store/trees.ts';
import type { Log } from '../wal/log.ts';
import type { CommitPipeline } from './commit.ts';
import type { Conflicts } from './conflicts.ts';
import type { Commit, Committed, Done, Half, Packer } from './queue.ts';
import { packPieces, recordsOf } from './queue.ts';
import type { Room } from './room.ts';
import type { WriteSet } from './write-set.ts';

/** How much a commit may be, at the most. */
export interface CommitSize {
  readonly operations: number;
  /** Bytes of its records. */
  readonly bytes: number;
  /** Pages that its keys and values can fill; 0: it only deletes. */
  readonly pages: number;
  /** Trees that it writes to, the default one aside. */
  readonly named: number;
}

/** How a commit is to be made. */
export interface CommitWay {
  /** Answer only when it is durable. */
  readonly sync: boolean;
  /** The caller cannot wait for a promise. */
  readonly blocking: boolean;
  /** It changes what names mean: nothing else is on its way beside it. */
  readonly alone?: boolean;
}

/** What admission works with. */
export interface AdmissionParts {
  readonly trees: Trees;
  readonly log: Log | undefined;
  readonly applier: Applier;
  readonly conflicts: Conflicts;
  readonly room: Room;
  readonly pipeline: CommitPipeline;
  /** Whether writers must wait for a checkpoint (the log has outgrown its limit); throws when that is hopeless. */
  readonly held: () => boolean;
  /** Makes log files free for new use by a checkpoint, without yielding; false when there is nothing to be gained. */
  readonly freeLog: () => boolean;
}

export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** Most bytes of records of a commit that fits in a half. */
  get maxRecords(): number {
    return this.#parts.pipeline.maxPayload - PART_HEADER_SIZE - 8;
  }

  /**
   * Queues a commit that fits in a half, now; undefined when it has to wait for room. @throws AegisError `OUT_OF_SPACE`, `CORRUPTION` (a page it would change is damaged), `STORE_FAILED`
   */
  queue(pack: Packer, size: CommitSize, how: CommitWay, done: Done): Committed | undefined {
    const { room, trees, applier, conflicts, pipeline, held } = this.#parts;
    if (pipeline.failure) throw pipeline.failure;
    const { x } = trees.pager.core;
    const { queue } = pipeline;
    if (how.alone ? !pipeline.isIdle : queue.isBarred) return undefined;
    const half = queue.filling;
    const limit = half.base + GROUP_HEADER_SIZE + pipeline.maxPayload - 8;
    const from = half.at + PART_HEADER_SIZE;
    if (from + size.bytes > limit || held()) return undefined;
    const to = pack(from, limit);
    if (!trees.pager.allResident) applier.touch(from, to);
    const noted = conflicts.needed;
    const pages = room.pagesFor(size);
    room.ensure((noted ? 2 * pages : pages) + queue.pages, size.pages === 0);
    if (!this.#logRoom(to - half.base, queue.unwritten + 1, how)) return undefined;
    if (noted) this.#noteNext((note) => note(from, to));
    const alone = how.alone === true;
    const commit = this.#commit(half, { from, to, pages, sync: how.sync, done, noted, alone });
    half.at = x.partSeal(half.at, to, PART_FIRST | PART_LAST, commit.sequence, x.recordsCount(from, to));
    queue.push(commit);
    return commit;
  }

  /** Queues a commit from a write set too large for a half: it must be alone, and is written at once. */
  queueLarge(writes: WriteSet, how: CommitWay, done: Done): Committed | undefined {
    const { room, trees, applier, conflicts, pipeline, held } = this.#parts;
    if (pipeline.failure) throw pipeline.failure;
    if (!pipeline.isIdle || held()) return undefined;
    const { x } = trees.pager.core;
    const half = pipeline.queue.filling;
    const pages = room.pagesFor(writes);
    const noted = conflicts.needed;
    let groups = 0;
    packPieces(writes, half, pipeline.maxPayload, (from, end) => {
      ++groups;
      applier.touch(from, end);
    });
    room.ensure(noted ? 2 * pages : pages, writes.pages === 0);
    // A group may also end within a value, which then has one piece more.
    const bytes = writes.bytes + groups * (PART_HEADER_SIZE + 8 + RECORD_HEADER_SIZE + 4);
    if (!this.#logRoom(bytes, groups, how)) return undefined;
    if (noted) {
      this.#noteNext((note) => packPieces(writes, half, pipeline.maxPayload, (from, end) => note(from, end)));
    }
    const commit = this.#commit(half, { from: 0, to: 0, pages, sync: how.sync, done, noted, writes });
    pipeline.writeLarge(commit, (write) => {
      let flags = PART_FIRST;
      packPieces(writes, half, pipeline.maxPayload, (from, end, records, last) => {
        const part = from - PART_HEADER_SIZE;
        const to = x.partSeal(part, end, flags | (last ? PART_LAST : 0), commit.sequence, records);
        flags = 0;
        write(to - part, last);
      });
    });
    return commit;
  }

  #commit(
    half: Half,
    given: {
      from: number;
      to: number;
      pages: number;
      sync: boolean;
      done: Done;
      noted: boolean;
      alone?: boolean;
      writes?: WriteSet;
    },
  ): Commit {
    return {
      writes: undefined,
      alone: false,
      ...given,
      sync: given.sync && this.#parts.log !== undefined,
      sequence: this.#parts.pipeline.takeSequence(),
      half,
      end: 0,
      written: false,
      deleted: 0,
    };
  }

  /** Log room for a commit, in hand; false: it is on its way, and waiting callers are told when it is there. */
  #logRoom(bytes: number, commits: number, how: CommitWay): boolean {
    const { log, pipeline } = this.#parts;
    if (!log) return true;
    const makeNow = (): void => {
      try {
        try {
          log.prepareSync(bytes, commits);
        } catch (error) {
          this.#freeLog(error);
          log.prepareSync(bytes, commits);
        }
      } finally {
        if (log.failure) pipeline.fail(log.failure);
      }
    };
    if (how.blocking) {
      makeNow();
      return true;
    }
    const promise = log.prepare(bytes, commits);
    if (promise) {
      const room = promise.catch((error: unknown) => {
        // A sync that failed while a file was made is like any other: the store has failed, not the log alone.
        if (log.failure) pipeline.fail(log.failure);
        this.#freeLog(error);
      });
      pipeline.resumeAfter(room, makeNow);
    }
    return promise === undefined;
  }

  /** A full disk has no space for another log file: a checkpoint may free one. Throws when it cannot. */
  #freeLog(error: unknown): void {
    if (!(error instanceof AegisError) || error.code !== 'OUT_OF_SPACE') throw error;
    if (!this.#parts.freeLog()) throw error;
  }

  /** Notes queued commits for a transaction that begins now (conflicts.ts, invariant 1). */
  noteQueued(): void {
    for (const commit of this.#parts.pipeline.queue) if (!commit.noted) this.#note(commit);
  }

  /** Notes the commit that is let in next; one that cannot be noted whole is not let in, and counts as taken back. */
  #noteNext(work: (note: (from: number, end: number) => void) => void): void {
    const { conflicts, pipeline } = this.#parts;
    try {
      work((from, end) => conflicts.note(from, end, pipeline.nextSequence));
    } catch (error) {
      conflicts.takeBack(1);
      pipeline.queue.forgetNotes();
      throw error;
    }
  }

  #note(commit: Commit): void {
    const { conflicts, pipeline } = this.#parts;
    recordsOf(commit, pipeline.maxPayload, (from, end) => conflicts.note(from, end, commit.sequence));
    commit.noted = true;
  }
}
