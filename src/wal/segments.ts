/**
 * The log as files on one backend: groups are written to the last segment. A group that does not fit begins the next
 * segment, header and group in one write.
 *
 * Owns the segments that recovery needs (`#live`, in the order of the log; the segment recycler has all others), the
 * end of the log, and how far it is known to be durable.
 *
 *   1. A group lies at its LSN: first LSN of its segment + offset. A segment whose first LSN is the end of the log
 *      holds no group yet, and its header is written with its first group.
 *   2. Once a segment was begun at a place, the next group goes into it, even if the write failed: of two groups at
 *      one place, recovery prefers the one its segment begins with.
 *   3. The mark of a group is what is durable, never what is merely written.
 *   4. A sync covers what was written when it began. `durable` then moves to the end of the last commit that was
 *      complete at that time, and only after every segment it touched has been synced.
 *   5. A commit that fails halfway is taken back: the log continues where the commit began. The header of its first
 *      group is overwritten and that is synced before the caller hears of it. If even that fails, the log has failed.
 *   6. What follows has a higher fence. The groups after the first one stay in their segments, whole, and the same
 *      commit tried again has the same bytes: without a new fence a group of the first try could follow one of the
 *      second. No other writer has any of these fences, whether or not it sees the files: openings take them
 *      `FENCE_STEP` apart.
 *   7. A file is removed only when both superblocks on stable storage say that there may be fewer. Until its removal
 *      is on stable storage too it may come back, with groups that lie before the checkpoint.
 *
 * Must not: wait for space (the commit pipeline reserved it), or know what a record means.
 */
import {
  GROUP_HEADER_SIZE,
  LOG_BUFFER_SIZE,
  SECTOR_SIZE,
  SEGMENT_HEADER_SIZE,
} from '../../assembly/layout.ts';
import type { StorageBackend } from '../backend/backend.ts';
import { type AegisError, invariant } from '../base/errors.ts';
import { auditLog } from './audit.ts';
import { LogHealth } from './health.ts';
import {
  type AuditStart,
  type Log,
  type LogCore,
  type LogFault,
  type LogPosition,
  linkOf,
  type Word,
} from './log.ts';
import type { LogBeginning } from './log-beginning.ts';
import { closeSegments, EMPTY_SECTOR, type Segment } from './segment.ts';
import { SegmentRecycler } from './segment-recycler.ts';

/** Fences from one writer to the next: each takes one more for every commit that it takes back. */
export const FENCE_STEP = 1_048_576;

/** Files of the log when writers wait for a checkpoint; a log that had more between two has seen a burst. */
const SPARE_MAX = 16;
const SEGMENT_SIZE_MIN = 262_144;
const SEGMENT_SIZE_MAX = 8_388_608;

/** Size of new segments: an eighth of the log that starts a checkpoint, within bounds. */
export function segmentSizeFor(checkpointWalSize: number): number {
  const eighth = Math.floor(checkpointWalSize / 8 / SECTOR_SIZE) * SECTOR_SIZE;
  return Math.min(Math.max(eighth, SEGMENT_SIZE_MIN), SEGMENT_SIZE_MAX);
}

/** What a `SegmentLog` is made of. */
export interface SegmentLogOptions {
  readonly core: LogCore;
  readonly backend: StorageBackend;
  readonly storeId: Word;
  /** Of this writer; higher than any the scan saw. */
  readonly fence: number;
  /** How many it has, with those that follow; default `FENCE_STEP`. */
  readonly fences?: number;
  /** Bytes of a new segment; see `segmentSizeFor`. */
  readonly segmentSize: number;
  /** Where to go on; its tail has been written again. The log takes over its files. */
  readonly scan: LogBeginning;
}

/** A log in segment files. */
export class SegmentLog implements Log {
  readonly maxPayload: number;
  readonly #core: LogCore;
  readonly #storeId: Word;
  readonly #health = new LogHealth();
  readonly #recycler: SegmentRecycler;
  readonly #live: Segment[];
  /** Bytes of a new segment that hold groups, and of the largest group. */
  readonly #usable: number;
  readonly #largest: number;
  #fence: number;
  /** The first one that another writer may have. */
  readonly #fenceEnd: number;
  #end: number;
  /** End of the last complete commit, and the link there. */
  #commitEnd: LogPosition;
  #durable: number;
  #syncing: Promise<void> | undefined;
  /** Segments begun since the last plan. */
  #begun = 0;
  /** Files that stay for what comes next, and the bytes that are to be there with them. */
  #spare = 1;
  #planned = 0;
  /** New segments that what was admitted and is not written yet may need. */
  #reserved = 0;
  #retired = false;

  constructor({ core, backend, storeId, fence, fences = FENCE_STEP, segmentSize, scan }: SegmentLogOptions) {
    invariant(scan.settled, 'a log goes on only from what is on stable storage');
    invariant(fence > scan.highestFence, 'every writer has a fence of its own, higher than all before');
    this.#core = core;
    this.#storeId = storeId;
    this.#fence = fence;
    this.#fenceEnd = fence + fences;
    this.#usable = segmentSize - SEGMENT_HEADER_SIZE;
    this.#largest = largestGroup(this.#usable);
    this.maxPayload = this.#largest - GROUP_HEADER_SIZE;
    this.#live = [...new Set(scan.runs.map(({ segment }) => segment))];
    if (this.#live.length === 0 && scan.current !== undefined) this.#live.push(scan.current);
    this.#recycler = new SegmentRecycler(backend, this.#health, segmentSize, scan.segments, this.#live);
    this.#end = scan.end.lsn;
    this.#commitEnd = scan.end;
    this.#durable = scan.end.lsn;
    core.x.groupConfigure(...storeId, fence);
    core.x.groupLinkSet(...scan.end.link);
  }

  get end(): number {
    return this.#end;
  }

  get position(): LogPosition {
    return { lsn: this.#end, link: linkOf(this.#core) };
  }

  get durable(): number {
    return this.#durable;
  }

  get diskSize(): number {
    const files = [...this.#live, ...this.#recycler.segments];
    return files.reduce((sum, { size }) => sum + size, 0);
  }

  get files(): readonly string[] {
    return this.#ready.map(({ name }) => name);
  }

  /** Files that are on stable storage with their names. */
  get #ready(): Segment[] {
    return [...this.#live, ...this.#recycler.segments.filter(({ ready }) => ready)];
  }

  get failure(): AegisError | undefined {
    return this.#health.failure;
  }

  prepare(bytes: number, commits = 1): undefined | Promise<void> {
    this.#health.check();
    const needed = this.#segmentsFor(bytes, commits);
    if (this.#recycler.ready < needed) return this.#recycler.make();
    this.#reserved = needed;
    return undefined;
  }

  prepareSync(bytes: number, commits = 1): void {
    this.#health.check();
    const needed = this.#segmentsFor(bytes, commits);
    while (this.#recycler.ready < needed) this.#recycler.makeSync();
    this.#reserved = needed;
  }

  write(address: number, payloadLength: number, endsCommit: boolean): number {
    this.#health.check();
    invariant(payloadLength <= this.maxPayload, 'a group is no larger than maxPayload');
    const core = this.#core;
    const { x } = core;
    const segment = this.#segmentFor(paddedGroup(payloadLength));
    const lsn = this.#placeIn(segment);
    const length = x.groupSeal(address, payloadLength, lsn, this.#durable);
    const parts = [core.u8.subarray(address, address + length)];
    if (lsn > this.#end) parts.unshift(this.#header(segment));
    segment.writes++;
    try {
      segment.file.write(parts, this.#end - segment.firstLsn);
    } catch (error) {
      this.#takeBack(error);
      throw this.failure ?? error;
    }
    this.#end = lsn + length;
    if (endsCommit) {
      this.#commitEnd = this.position;
      this.#reserved = 0;
    }
    return this.#end;
  }

  takeBack(cause: unknown): void {
    if (this.#end !== this.#commitEnd.lsn) this.#takeBack(cause);
  }

  async sync(): Promise<void> {
    this.#health.check();
    const goal = this.#commitEnd.lsn;
    while (this.#syncing !== undefined) await this.#syncing;
    this.#health.check();
    if (this.#durable >= goal) return;
    this.#syncing = this.#syncAll().finally(() => {
      this.#syncing = undefined;
    });
    await this.#syncing;
  }

  syncSync(): void {
    this.#health.check();
    for (const segment of this.#live.filter(isDirty)) {
      try {
        segment.file.syncSync();
      } catch (cause) {
        throw this.#health.fail(`the sync of ${segment.name} failed`, cause);
      }
      segment.synced = segment.writes;
    }
    this.#durable = this.#commitEnd.lsn;
  }

  plan(lsn: number): number {
    // As many segments as were begun since the last checkpoint will be needed again. A burst predicts nothing.
    if (this.#begun <= SPARE_MAX) this.#spare = Math.max(1, this.#begun);
    this.#begun = 0;
    const needed = this.#live.slice(this.#needlessAt(lsn));
    const others = this.#ready.filter((segment) => !needed.includes(segment));
    this.#planned = this.#retired ? 0 : filledOf([...needed, ...others.slice(0, this.#spare)]);
    return this.#planned;
  }

  async retire(): Promise<void> {
    this.#retired = true;
    this.#reserved = 0;
    while (this.#syncing !== undefined) await this.#syncing.catch(() => undefined);
    await this.#recycler.rest();
  }

  release(lsn: number): void {
    this.#health.check();
    invariant(lsn <= this.#commitEnd.lsn, 'a checkpoint starts within the log');
    for (const segment of this.#live.splice(0, this.#needlessAt(lsn))) this.#recycler.give(segment);
    const [last] = this.#live;
    if (last !== undefined && lsn === this.#end && this.#mayLeave(last)) {
      this.#recycler.give(last);
      this.#live.length = 0;
    }
    // Groups that would have followed the end go into a ready segment now. There is one; the reservation does not
    // count it.
    const count = this.#retired ? 0 : Math.max(this.#spare, this.#reserved);
    this.#recycler.trim(count, this.#planned - filledOf(this.#live));
  }

  /**
   * Whether the log may go on elsewhere than behind its end. On a full disk another place in the same file is better
   * than none, but not while a sync of it is under way: it could not be taken again at once, and its space may be promised.
   */
  #mayLeave({ firstLsn, syncing }: Segment): boolean {
    return this.#retired || (this.#recycler.isShort && firstLsn !== this.#end && syncing === 0);
  }

  /** How many of the segments in use a checkpoint that starts there makes needless. */
  #needlessAt(lsn: number): number {
    return Math.max(
      0,
      this.#live.findLastIndex((segment, index) => index > 0 && segment.firstLsn <= lsn),
    );
  }

  audit(start: () => AuditStart, found: (fault: LogFault) => void): Generator<void> {
    const log = {
      core: this.#core,
      live: () => this.#live,
      ready: () => this.#ready,
      durable: () => this.#durable,
    };
    return auditLog(log, start, found);
  }

  close(): Promise<void> {
    this.#health.close();
    closeSegments(this.#live);
    return this.#recycler.close();
  }

  async #syncAll(): Promise<void> {
    const goal = this.#commitEnd.lsn;
    const dirty = this.#live.filter(isDirty).map((segment) => ({ segment, writes: segment.writes }));
    for (const { segment } of dirty) segment.syncing++;
    try {
      for (const { segment, writes } of dirty) {
        await segment.file.sync();
        segment.synced = Math.max(segment.synced, writes);
      }
    } catch (cause) {
      throw this.#health.fail('a sync of the log failed', cause);
    } finally {
      for (const { segment } of dirty) segment.syncing--;
    }
    this.#health.check();
    this.#durable = Math.max(this.#durable, goal);
  }

  /** LSN of the next group if it goes into this segment. */
  #placeIn({ firstLsn }: Segment): number {
    return firstLsn === this.#end ? this.#end + SEGMENT_HEADER_SIZE : this.#end;
  }

  /** Bytes of groups the last segment still takes. */
  get #rest(): number {
    const last = this.#live.at(-1);
    return last === undefined ? 0 : Math.max(0, last.firstLsn + last.limit - this.#placeIn(last));
  }

  /** The segment the next group of this length goes to. */
  #segmentFor(length: number): Segment {
    if (length <= this.#rest) return this.#live.at(-1)!;
    const next = this.#recycler.take();
    invariant(next !== undefined, 'log space is in hand before a group is written');
    const size = this.#usable + SEGMENT_HEADER_SIZE;
    next.begin({ firstLsn: this.#end, size, fence: this.#fence });
    this.#live.push(next);
    this.#begun++;
    return next;
  }

  #header({ firstLsn, limit }: Segment): Uint8Array {
    const address = this.#core.x.segmentSeal(firstLsn, limit);
    return this.#core.u8.subarray(address, address + SEGMENT_HEADER_SIZE);
  }

  /**
   * New segments that so many bytes of so many commits can need. A group costs its header and padding; every group
   * of a long commit but the last is at least half full. A segment is left when a group does not fit: two that follow
   * each other then hold more than one of them can, and each alone misses less than one group.
   */
  #segmentsFor(bytes: number, commits: number): number {
    const pieces = bytes <= this.maxPayload ? 0 : Math.ceil(bytes / (this.maxPayload / 2));
    const groups = commits + pieces;
    const total = groups <= 1 ? paddedGroup(bytes) : bytes + groups * (GROUP_HEADER_SIZE + SECTOR_SIZE);
    if (total <= this.#rest) return 0;
    const byPairs = 2 * Math.ceil(total / this.#usable) - 1;
    const byLargest = Math.ceil(total / (this.#usable - this.#largest + SECTOR_SIZE));
    return Math.min(byPairs, byLargest);
  }

  /**
   * Goes back to where the unfinished commit began, and makes sure that no recovery takes it for a commit: a write
   * that failed may have left all of the group but its padding, and the device may have it already.
   */
  #takeBack(cause: unknown): void {
    const { lsn, link } = this.#commitEnd;
    while (this.#live.at(-1)!.firstLsn > lsn) this.#recycler.give(this.#live.pop()!);
    this.#end = lsn;
    this.#reserved = 0;
    this.#core.x.groupConfigure(...this.#storeId, ++this.#fence);
    this.#core.x.groupLinkSet(...link);
    const segment = this.#live.at(-1)!;
    if (segment.firstLsn === lsn) segment.begin({ ...segment.header!, fence: this.#fence });
    segment.writes++;
    try {
      segment.file.write([EMPTY_SECTOR], this.#placeIn(segment) - segment.firstLsn);
      segment.file.syncSync();
    } catch {
      this.#health.fail('a commit could be neither written to the log nor taken back', cause);
    }
    if (this.#fence === this.#fenceEnd) this.#health.fail('too many commits had to be taken back', cause);
  }
}

function filledOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { limit }) => sum + limit, 0);
}

function isDirty({ writes, synced }: Segment): boolean {
  return synced < writes;
}

/** Length of a group on disk. */
function paddedGroup(payloadLength: number): number {
  return Math.ceil((GROUP_HEADER_SIZE + payloadLength) / SECTOR_SIZE) * SECTOR_SIZE;
}

/** The largest group: it fits one log buffer, and a whole number of them fills a segment. */
function largestGroup(usable: number): number {
  const groups = Math.ceil(usable / LOG_BUFFER_SIZE);
  return Math.floor(usable / groups / SECTOR_SIZE) * SECTOR_SIZE;
}
