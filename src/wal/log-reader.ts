/**
 * Follows the groups through the log files, from a checkpoint's start to where it ends. Writes nothing.
 *
 * A group counts if
 *   1. its header and its payload have their checksums and the store's id,
 *   2. its LSN is its place: the first LSN of its segment and its offset in the file,
 *   3. its link is the checksum of the group accepted before it: what a torn tail or an earlier use of the file left
 *      behind links to something else,
 *   4. its fence is not below its segment header's. A reused segment whose first write lost only its header holds a
 *      whole group that recovery rightly does not see; when a later life rolls into that file at the same LSN and
 *      only *its* header lands, that group has the right place and the right link. It is older than the header.
 * Of two that count at one place the higher fence wins, then the one its segment begins with: the other was given up.
 *
 * What counts was sealed by a writer of this store, so what is wrong inside it is damage, never the end of the log.
 */
import {
  DAMAGE_NONE,
  GROUP_HEADER_SIZE,
  LOG_AREA,
  LOG_BUFFER_SIZE,
  SEGMENT_HEADER_SIZE,
} from '../../assembly/layout.ts';
import { AegisError, invariant } from '../base/errors.ts';
import { type LogCore, type LogPosition, type LogStart, linkOf, type Word } from './log.ts';
import { LogValidator } from './log-validator.ts';
import type { Segment } from './segment.ts';
import { LogView } from './view.ts';

/** Accepted groups that lie one after the other in one file, as offsets. */
export interface Run {
  readonly segment: Segment;
  readonly from: number;
  to: number;
}

/** An accepted group that no mark vouches for. */
export interface Unvouched {
  readonly segment: Segment;
  readonly offset: number;
  readonly length: number;
  /** Its checksum. */
  readonly sum: Word;
}

/** Where the last complete commit ends. */
export interface LogEnd extends LogPosition {
  /** Runs up to there; the last one is cut at `offset`. */
  readonly runs: number;
  readonly offset: number;
  /** Its sequence, or the checkpoint's if that is higher. */
  readonly sequence: number;
}

/** The highest mark found so far, and who says it. */
export interface Mark {
  lsn: number;
  file: string | undefined;
  offset: number;
}

interface Candidate {
  readonly segment: Segment;
  readonly offset: number;
  readonly length: number;
  readonly fence: number;
}

/** Walks once; afterwards its fields say what was found. */
export class LogReader {
  readonly runs: Run[] = [];
  /** Groups above the highest mark among those read. */
  tail: Unvouched[] = [];
  end: LogEnd;
  /** The place where the next group was looked for in vain. */
  lsn: number;
  highestFence = 0;

  readonly #core: LogCore;
  readonly #start: LogStart;
  readonly #segments: readonly Segment[];
  readonly #beginning = new Map<number, Segment[]>();
  readonly #mark: Mark;
  #near: LogView;
  #far: LogView;
  readonly #content: LogValidator;

  constructor(core: LogCore, segments: readonly Segment[], start: LogStart, mark: Mark) {
    this.#core = core;
    this.#start = start;
    this.#segments = segments;
    this.#mark = mark;
    this.#near = new LogView(core, LOG_AREA);
    this.#far = new LogView(core, LOG_AREA + LOG_BUFFER_SIZE);
    this.#content = new LogValidator(core, start.sequence);
    this.lsn = start.lsn;
    this.end = { lsn: start.lsn, link: start.link, runs: 0, offset: 0, sequence: start.sequence };
    for (const segment of segments) {
      if (segment.header === undefined) continue;
      const { firstLsn } = segment.header;
      this.#beginning.set(firstLsn, [...(this.#beginning.get(firstLsn) ?? []), segment]);
    }
  }

  /**
   * Follows the groups to their end; says after some bytes that other work may run.
   * @throws AegisError `CORRUPTION` for a group that no writer could have made.
   */
  *walk(): Generator<void, void> {
    this.#core.x.groupLinkSet(...this.#start.link);
    let rested = this.lsn;
    for (;;) {
      const next = this.#next() ?? this.#lookAgain();
      if (next === undefined) return;
      this.#accept(next);
      if (this.lsn - rested < LOG_BUFFER_SIZE) continue;
      rested = this.lsn;
      yield;
    }
  }

  /** What is not found is written over: a device that once answered something else must not make an end. */
  #lookAgain(): Candidate | undefined {
    this.#near.forget();
    this.#far.forget();
    return this.#next();
  }

  /** The segment of the last accepted group. */
  get #current(): Segment | undefined {
    return this.runs.at(-1)?.segment;
  }

  #next(): Candidate | undefined {
    let best: Candidate | undefined;
    for (const [segment, offset] of this.#places()) {
      const candidate = this.#check(segment, offset);
      if (candidate === undefined) continue;
      if (best === undefined || candidate.fence > best.fence) best = candidate;
      else if (candidate.fence === best.fence && offset === SEGMENT_HEADER_SIZE) best = candidate;
    }
    return best;
  }

  /**
   * Where the next group may lie: behind the last one, or at the head of a segment that begins here. Of the first
   * group only the LSN is known, which several files may claim: segments are left before they are full.
   */
  #places(): [Segment, number][] {
    const { lsn } = this;
    const holders = this.#current === undefined ? this.#segments : [this.#current];
    const places: [Segment, number][] = [];
    for (const segment of holders) {
      const offset = lsn - segment.firstLsn;
      if (offset >= SEGMENT_HEADER_SIZE) places.push([segment, offset]);
    }
    for (const segment of this.#beginning.get(lsn) ?? []) places.push([segment, SEGMENT_HEADER_SIZE]);
    return places;
  }

  /** Whether a group that counts lies at a place. */
  #check(segment: Segment, offset: number): Candidate | undefined {
    const { x } = this.#core;
    const header = segment.header;
    if (header === undefined || offset + GROUP_HEADER_SIZE > header.size) return undefined;
    const view = segment === this.#current ? this.#near : this.#far;
    let address = view.find(segment, offset, GROUP_HEADER_SIZE);
    if (address === 0 || x.groupHeaderCheck(address) !== DAMAGE_NONE) return undefined;
    if (x.groupLsn(address) !== header.firstLsn + offset || !x.groupFollows(address)) return undefined;
    const fence = x.groupFence(address);
    if (fence < header.fence) return undefined;
    const length = x.groupLength(address);
    if (offset + length > header.size) return undefined;
    address = view.find(segment, offset, length);
    if (address === 0 || !x.groupPayloadHolds(address)) return undefined;
    return { segment, offset, length, fence };
  }

  #accept({ segment, offset, length, fence }: Candidate): void {
    const { x } = this.#core;
    if (segment !== this.#current) {
      [this.#near, this.#far] = [this.#far, this.#near];
      this.runs.push({ segment, from: offset, to: offset });
    }
    const address = this.#near.find(segment, offset, length);
    invariant(address !== 0, 'a group that counts lies in its file');
    const refusal = this.#content.refusal(address);
    if (refusal !== undefined) {
      const message = `${segment.name} is damaged: the group at ${offset} ${refusal}`;
      throw new AegisError('CORRUPTION', message, { file: segment.name, offset });
    }
    x.groupAccept(address);
    recordMark(this.#mark, x.groupMark(address), segment, offset);
    this.tail.push({ segment, offset, length, sum: linkOf(this.#core) });
    const vouched = this.tail.findIndex((group) => group.segment.firstLsn + group.offset >= this.#mark.lsn);
    if (vouched !== 0) this.tail = vouched < 0 ? [] : this.tail.slice(vouched);
    this.highestFence = Math.max(this.highestFence, fence);
    const run = this.runs.at(-1)!;
    run.to = offset + length;
    this.lsn = segment.firstLsn + run.to;
    if (this.#content.open !== undefined) return;
    const at = { lsn: this.lsn, link: linkOf(this.#core) };
    this.end = { ...at, runs: this.runs.length, offset: run.to, sequence: this.#content.sequence };
  }
}

/** Remembers a mark if it is the highest so far. */
export function recordMark(highest: Mark, lsn: number, segment: Segment, offset: number): void {
  if (lsn <= highest.lsn) return;
  highest.lsn = lsn;
  highest.file = segment.name;
  highest.offset = offset;
}
