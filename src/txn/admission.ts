/**
 * Admission: the first half of the commit pipeline. A commit comes here once, when there is space for it in the log
 * buffer and in the log (reservations.ts). Here the space it needs in the pool and in the data file is ensured. Then
 * the commit has its sequence, and its records lie in the log buffer.
 *
 * Invariants
 *   1. A commit for which there is not enough space is refused before it has a sequence; nothing was changed.
 *   2. Nothing else runs between validation and sequence: callers validate in the same turn.
 *   3. The pages that a commit will change are read before it is logged, as far as they fit in the pool. So damage
 *      refuses the commit, and does not stop the apply of a durable one.
 *   4. An exclusive commit (a drop of a tree) is admitted when no other is queued, and no other is admitted until it
 *      is applied. So every other commit resolves names in the state that it will be applied to.
 *   5. Once a commit has its sequence, nothing in its admission can fail. Adding it to the recent writes may need
 *      frames, so that comes before, as the last step.
 */
import {
  GROUP_HEADER_SIZE,
  PART_FIRST,
  PART_HEADER_SIZE,
  PART_LAST,
  RECORD_HEADER_SIZE,
} from '../../assembly/layout.ts';
import { invariant } from '../base/errors.ts';
import type { Applier } from '../store/apply.ts';
import type { NewTrees } from '../store/coming-trees.ts';
import type { Trees } from '../store/trees.ts';
import type { Log } from '../wal/log.ts';
import type { CommitPipeline } from './commit.ts';
import type { Conflicts } from './conflicts.ts';
import type { FreeSpace, Load } from './free-space.ts';
import type { Commit, Committed, Done, LogBuffer, Packer } from './queue.ts';
import { packPieces, recordsOf } from './queue.ts';
import type { WriteSet } from './write-set.ts';

/** How much a commit may be, at the most. */
export interface CommitSize extends Load {
  /** Bytes of its records. */
  readonly bytes: number;
}

/** How a commit is to be made. */
export interface CommitWay {
  /** Answer only when it is durable. */
  readonly sync: boolean;
  /** It changes what names mean: nothing else is on its way beside it. */
  readonly alone?: boolean;
  /** Trees that it makes. */
  readonly makes?: NewTrees | undefined;
}

/** What of a commit is there before its sequence. */
type Drafted = Pick<Commit, 'from' | 'to' | 'load' | 'done' | 'tracked' | 'writes'>;

/** Bytes that each piece of a long commit adds: its part, and a value that goes on in it. */
const PIECE_BYTES = PART_HEADER_SIZE + 8 + RECORD_HEADER_SIZE + 4;

/** What admission works with. */
export interface AdmissionParts {
  readonly trees: Trees;
  readonly log: Log | undefined;
  readonly applier: Applier;
  readonly conflicts: Conflicts;
  readonly freeSpace: FreeSpace;
  readonly pipeline: CommitPipeline;
}

export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** Most bytes of records of a commit that fits in a log buffer. */
  get maxRecords(): number {
    return this.#parts.pipeline.maxPayload - PART_HEADER_SIZE - 8;
  }

  /** Most bytes that a write set takes in the log, with what its pieces add: a group is at least half full. */
  bytesOf(writes: WriteSet): number {
    const { bytes } = writes;
    if (bytes <= this.maxRecords) return bytes;
    const pieces = 2 * Math.ceil(bytes / this.#parts.pipeline.maxPayload) + 1;
    return bytes + pieces * PIECE_BYTES;
  }

  /**
   * Queues a commit that fits in a log buffer. Throws OUT_OF_SPACE, CORRUPTION (a page it would change is damaged), IO_ERROR,
   * STORE_FAILED; then nothing was changed.
   */
  queue(pack: Packer, size: CommitSize, how: CommitWay, done: Done): Committed {
    const { trees, applier, conflicts, pipeline } = this.#parts;
    const { x } = trees.pager.core;
    const { queue } = pipeline;
    const buffer = queue.filling;
    const limit = buffer.base + GROUP_HEADER_SIZE + pipeline.maxPayload - 8;
    const from = buffer.at + PART_HEADER_SIZE;
    invariant(from + size.bytes <= limit, 'a commit comes when there is space for it in the log buffer');
    const to = pack(from, limit);
    if (!trees.pager.allResident) applier.touch(from, to);
    const tracked = conflicts.needed;
    this.#ensure(size, tracked);
    if (tracked) this.#trackNext((track) => track(from, to));
    const commit = this.#commit(buffer, how, { from, to, load: size, done, tracked, writes: undefined });
    buffer.at = x.partSeal(buffer.at, to, PART_FIRST | PART_LAST, commit.sequence, x.recordsCount(from, to));
    queue.push(commit);
    return commit;
  }

  /** Queues a commit from a write set too large for a log buffer: nothing else is queued, and it is written at once. */
  queueLarge(writes: WriteSet, how: CommitWay, done: Done): Committed {
    const { trees, applier, conflicts, pipeline } = this.#parts;
    invariant(pipeline.isIdle, 'a large commit has the log buffer for itself');
    const { x } = trees.pager.core;
    const buffer = pipeline.queue.filling;
    const load = writes.size;
    const tracked = conflicts.needed;
    if (!trees.pager.allResident) {
      packPieces(writes, buffer, pipeline.maxPayload, (from, end) => applier.touch(from, end));
    }
    this.#ensure(load, tracked);
    if (tracked) {
      this.#trackNext((track) =>
        packPieces(writes, buffer, pipeline.maxPayload, (from, end) => track(from, end)),
      );
    }
    const commit = this.#commit(buffer, how, { from: 0, to: 0, load, done, tracked, writes });
    pipeline.writeLarge(commit, (write) => {
      let flags = PART_FIRST;
      packPieces(writes, buffer, pipeline.maxPayload, (from, end, records, last) => {
        const part = from - PART_HEADER_SIZE;
        const to = x.partSeal(part, end, flags | (last ? PART_LAST : 0), commit.sequence, records);
        flags = 0;
        write(to - part, last);
      });
    });
    return commit;
  }

  /** Makes sure of free space for a commit beside those that are queued, and for its recent writes. */
  #ensure(load: Load, tracked: boolean): void {
    const { freeSpace, pipeline } = this.#parts;
    const pages = freeSpace.pagesFor(pipeline.queue.loadWith(load));
    freeSpace.ensure(tracked ? pages + freeSpace.pagesFor(load) : pages, load.pages === 0);
  }

  /** Field by field: an object that is spread costs more than all else of a small commit. */
  #commit(buffer: LogBuffer, how: CommitWay, { from, to, load, done, tracked, writes }: Drafted): Commit {
    const { log, pipeline } = this.#parts;
    return {
      sync: how.sync && log !== undefined,
      sequence: pipeline.takeSequence(),
      buffer,
      from,
      to,
      writes,
      load,
      makes: how.makes,
      alone: how.alone === true,
      end: 0,
      written: false,
      tracked,
      deleted: 0,
      done,
    };
  }

  /** Notes queued commits for a transaction that begins now (conflicts.ts, invariant 1). */
  trackQueued(): void {
    for (const commit of this.#parts.pipeline.queue) if (!commit.tracked) this.#track(commit);
  }

  /** Adds the next commit to the recent writes; if that fails midway it is not admitted and counts as taken back. */
  #trackNext(work: (track: (from: number, end: number) => void) => void): void {
    const { conflicts, pipeline } = this.#parts;
    try {
      work((from, end) => conflicts.track(from, end, pipeline.nextSequence));
    } catch (error) {
      conflicts.takeBack(1);
      pipeline.queue.untrackQueued();
      throw error;
    }
  }

  #track(commit: Commit): void {
    const { conflicts, pipeline } = this.#parts;
    recordsOf(commit, pipeline.maxPayload, (from, end) => conflicts.track(from, end, commit.sequence));
    commit.tracked = true;
  }
}
