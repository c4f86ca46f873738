/**
 * Recovery reading: what the log holds after a checkpoint, whether it is all there, and what must be written again
 * before it may be relied on.
 *
 *   1. The log ends with the last complete commit; the leading groups of an unfinished one are cut, or the next
 *      commit would be glued to them.
 *   2. A whole group header anywhere in the files, or a superblock, whose mark lies above that end means that
 *      something durable is gone: `CORRUPTION`, and nothing is written. A torn tail lies above every mark. So does a
 *      file that ends where the log may have gone on, and files with fewer bytes than the superblock knows of.
 *   3. What lies above the highest mark may be in the system's cache only, after a sync that failed: it is written
 *      again, same bytes to the same place, and synced (`rewriteTail`). So is the header of a segment that no mark
 *      vouches for, even when nothing but the place to go on lies in it. They are read a second time for that, and
 *      what is not the group or header that was accepted is not written over it.
 *   4. What is cut stays cut: wherever the next group may be looked for, an empty sector is written and synced with the
 *      tail. A group there that is torn in the cache may be whole on the device, if a write failed and so did the
 *      attempt to take it back.
 *   5. Scanning and replaying write nothing; time and memory are bounded by the size of the files.
 *   6. Of a file only the first sector is read, if by that it holds nothing from the checkpoint on: a group there lies
 *      before the checkpoint, its mark before it, and its fence below the next writer's (`FENCE_STEP`).
 */
import {
  DAMAGE_NONE,
  GROUP_HEADER_SIZE,
  LOG_AREA,
  LOG_BUFFER_SIZE,
  SECTOR_SIZE,
  SEGMENT_HEADER_SIZE,
} from '../../assembly/layout.ts';
import type { StorageBackend } from '../backend/backend.ts';
import { AegisError, invariant } from '../base/errors.ts';
import { type LogCore, type LogPosition, type LogStart, linkOf, type Word } from './log.ts';
import { LogReader, type Mark, type Run, recordMark, type Unvouched } from './log-reader.ts';
import { closeSegments, EMPTY_SECTOR, headerAt, logNameOf, openSegments, type Segment } from './segment.ts';
import { LogView } from './view.ts';

/** What `scanLog` needs. */
export interface ScanOptions {
  readonly core: LogCore;
  readonly backend: Pick<StorageBackend, 'list' | 'open'>;
  readonly storeId: Word;
  readonly start: LogStart;
  /** Open the files for reading only; then there is no `rewriteTail` and no going on. */
  readonly readOnly?: boolean;
  /** Hears what is wrong with the log, which then ends before that (salvage). Default: it is thrown. */
  readonly refuse?: (error: unknown) => void;
  /** Lets other work run, which leaves the core's link and log area alone. Default: all of it is one turn. */
  readonly rest?: (() => Promise<void>) | undefined;
}

/** Reads the log files. @throws AegisError `CORRUPTION` with file and offset, or what the backend throws. */
export async function scanLog({
  core,
  backend,
  storeId,
  start,
  readOnly = false,
  refuse = rethrow,
  rest,
}: ScanOptions): Promise<LogScan> {
  core.x.groupConfigure(...storeId, 0);
  const segments = await openSegments(core, backend, readOnly);
  try {
    const steps = readFiles(core, segments, start, refuse);
    let step = steps.next();
    for (; !step.done; step = steps.next()) if (rest) await rest();
    return new LogScan(core, segments, start, readOnly, refuse, step.value);
  } catch (error) {
    closeSegments(segments);
    throw error;
  }
}

/** Whether the bytes at an address are what the scan accepted. */
type Same = (address: number) => boolean;

/** What the files were found to hold. */
interface Found {
  readonly reader: LogReader;
  readonly mark: Mark;
  /** Highest fence outside the groups that the reader accepted. */
  readonly staleFence: number;
}

/** Reads all files; other work may run at every `yield`. */
function* readFiles(
  core: LogCore,
  segments: readonly Segment[],
  start: LogStart,
  refuse: (error: unknown) => void,
): Generator<void, Found> {
  const mark: Mark = { lsn: start.mark, file: undefined, offset: 0 };
  const reader = new LogReader(core, segments, start, mark);
  try {
    yield* reader.walk();
  } catch (error) {
    refuse(error);
  }
  const staleFence = yield* readStaleHeaders(core, segments, reader.runs, mark, start.lsn);
  return { reader, mark, staleFence };
}

/** The payload of a group in linear memory. */
interface Payload {
  readonly address: number;
  readonly length: number;
  /** The LSN after the group. */
  readonly end: number;
}

/** The accepted part of a log. It owns the open files until a `SegmentLog` goes on with them. */
export class LogScan {
  /** Where the last complete commit ends, and the next group goes. */
  readonly end: LogPosition;
  /** Last commit in the log, or the checkpoint's if that is higher. */
  readonly lastSequence: number;
  /** Everything below was on stable storage once, as some group or the superblock says. */
  readonly highestMark: number;
  /** Highest fence of any group or segment header; 0 in an empty log. */
  readonly highestFence: number;
  /** Bytes that `replay` reads. */
  readonly bytes: number;
  /** All files of the log, in the order of their numbers. */
  readonly segments: readonly Segment[];
  /** Where the accepted groups lie, in the order of the log. */
  readonly runs: readonly Run[];
  /** The segment in which the log can go on; absent when the next group begins a new one. */
  readonly current: Segment | undefined;

  readonly #core: LogCore;
  readonly #start: LogStart;
  readonly #readOnly: boolean;
  /** Groups that no mark vouches for. */
  readonly #tail: readonly Unvouched[];
  #rewritten = false;

  constructor(
    core: LogCore,
    segments: readonly Segment[],
    start: LogStart,
    readOnly: boolean,
    refuse: (error: unknown) => void,
    { reader, mark, staleFence }: Found,
  ) {
    this.#core = core;
    this.#start = start;
    this.#readOnly = readOnly;
    this.segments = segments;
    const { end } = reader;
    if (mark.lsn > end.lsn) refuse(brokenBelow(mark, reader, segments));
    const missing = missingOf(segments, start.size, end.lsn);
    if (missing) refuse(missing);
    this.end = { lsn: end.lsn, link: end.link };
    this.lastSequence = end.sequence;
    this.highestMark = mark.lsn;
    this.highestFence = Math.max(
      staleFence,
      reader.highestFence,
      ...segments.map(({ header }) => header?.fence ?? 0),
    );
    this.runs = reader.runs.slice(0, end.runs);
    const last = this.runs.at(-1);
    if (last !== undefined) last.to = end.offset;
    this.bytes = this.runs.reduce((sum, run) => sum + run.to - run.from, 0);
    this.current = last?.segment ?? holderOf(segments, end.lsn);
    this.#tail = reader.tail.filter(({ segment, offset }) => {
      const lsn = segment.firstLsn + offset;
      return lsn >= mark.lsn && lsn < end.lsn;
    });
  }

  /** Whether the log up to `end` is on stable storage, so that it may be relied on. */
  get settled(): boolean {
    return this.#rewritten;
  }

  /** Bytes of the files that were used once, and so are on stable storage. */
  get usedSize(): number {
    return this.segments.reduce((sum, { limit }) => sum + limit, 0);
  }

  /** Writes again what no mark vouches for, makes the end an end, and syncs both. */
  async rewriteTail(): Promise<void> {
    invariant(!this.#readOnly, 'a log opened for reading is not written');
    const view = new LogView(this.#core, LOG_AREA);
    const touched = new Set<Segment>();
    const again = (segment: Segment, offset: number, length: number, isSame: Same): void => {
      const address = view.find(segment, offset, length);
      if (address === 0 || !isSame(address)) throw changed(segment, offset);
      segment.file.write([this.#core.u8.subarray(address, address + length)], offset);
      touched.add(segment);
    };
    const begun = new Set(this.runs.map(({ segment }) => segment));
    if (this.current !== undefined) begun.add(this.current);
    for (const segment of begun) {
      if (segment.firstLsn < this.highestMark) continue;
      again(segment, 0, SEGMENT_HEADER_SIZE, (address) => this.#isHeader(address, segment));
    }
    for (const { segment, offset, length, sum } of this.#tail) {
      again(segment, offset, length, (address) => this.#isGroup(address, sum));
    }
    for (const segment of this.segments) {
      const begins = segment.firstLsn === this.end.lsn;
      if (!begins && segment !== this.current) continue;
      const offset = begins ? SEGMENT_HEADER_SIZE : this.end.lsn - segment.firstLsn;
      if (offset >= segment.limit) continue;
      segment.file.write([EMPTY_SECTOR], offset);
      touched.add(segment);
    }
    for (const { file } of touched) await file.sync();
    this.#rewritten = true;
  }

  /** Hands every accepted group's payload to a function, in order: address, length, and the LSN after the group. */
  replay(visit: (address: number, length: number, end: number) => void): void {
    for (const { address, length, end } of this.groups()) visit(address, length, end);
  }

  /**
   * Every accepted group's payload, in order. It lies in the log area until the next one is asked for. Not beside a
   * `SegmentLog` that goes on: both use the core's link.
   */
  *groups(): Generator<Payload, void> {
    const { x } = this.#core;
    const view = new LogView(this.#core, LOG_AREA);
    x.groupLinkSet(...this.#start.link);
    for (const { segment, from, to } of this.runs) {
      for (let offset = from; offset < to; ) {
        const address = this.#findAgain(view, segment, offset);
        offset += x.groupLength(address);
        yield {
          address: address + GROUP_HEADER_SIZE,
          length: x.groupPayloadLength(address),
          end: segment.firstLsn + offset,
        };
      }
    }
    // Each group links to the one before: if the last one is the same, so are all.
    const last = this.runs.at(-1);
    if (last !== undefined && !isSum(linkOf(this.#core), this.end.link))
      throw changed(last.segment, last.from);
  }

  /** The scan accepted this group; the device may answer otherwise the second time. */
  #findAgain(view: LogView, segment: Segment, offset: number): number {
    const { x } = this.#core;
    let address = view.find(segment, offset, GROUP_HEADER_SIZE);
    let holds = address !== 0 && x.groupHeaderCheck(address) === DAMAGE_NONE && x.groupFollows(address) !== 0;
    if (holds) {
      address = view.find(segment, offset, x.groupLength(address));
      holds =
        address !== 0 && x.groupPayloadHolds(address) !== 0 && x.groupStructureCheck(address) === DAMAGE_NONE;
    }
    if (!holds) throw changed(segment, offset);
    x.groupAccept(address);
    return address;
  }

  #isHeader(address: number, { header }: Segment): boolean {
    if (this.#core.x.segmentCheck(address) !== DAMAGE_NONE) return false;
    const { firstLsn, size, fence } = headerAt(this.#core, address);
    return firstLsn === header!.firstLsn && size === header!.size && fence === header!.fence;
  }

  #isGroup(address: number, sum: Word): boolean {
    const { x } = this.#core;
    if (x.groupHeaderCheck(address) !== DAMAGE_NONE || !x.groupPayloadHolds(address)) return false;
    x.groupAccept(address);
    return isSum(linkOf(this.#core), sum);
  }

  /** Closes the files of a scan that nothing goes on from. */
  close(): void {
    closeSegments(this.segments);
  }
}

function isSum(one: Word, other: Word): boolean {
  return one[0] === other[0] && one[1] === other[1];
}

/** The device answers otherwise the second time. */
function changed(segment: Segment, offset: number): AegisError {
  const what = offset === 0 ? 'its header' : `the group at ${offset}`;
  const message = `${segment.name} is damaged: ${what} changed while it was read`;
  return new AegisError('CORRUPTION', message, { file: segment.name, offset });
}

/**
 * Reads the sectors from the checkpoint on, outside the accepted groups, for group headers, whole ones of torn or old
 * groups: their marks count. Answers the highest fence among them. Accepted groups are left out, so no value in them is
 * taken for one. A file without a header may hold anything, unless it was never used.
 */
function* readStaleHeaders(
  core: LogCore,
  segments: readonly Segment[],
  runs: readonly Run[],
  mark: Mark,
  start: number,
): Generator<void, number> {
  const { x } = core;
  const view = new LogView(core, LOG_AREA);
  let fence = 0;
  const search = function* (segment: Segment, from: number, to: number): Generator<void, void> {
    for (let begin = from; begin < to; begin += LOG_BUFFER_SIZE) {
      const length = view.read(segment, begin, Math.min(LOG_BUFFER_SIZE, to - begin));
      for (let at = 0; at < length; at += SECTOR_SIZE) {
        at += x.groupFind(view.address + at, length - at);
        if (at >= length) break;
        const address = view.address + at;
        recordMark(mark, x.groupMark(address), segment, begin + at);
        fence = Math.max(fence, x.groupFence(address));
      }
      yield;
    }
  };
  for (const segment of segments) {
    if (segment.blank) continue;
    const { header, firstLsn, limit, size } = segment;
    const [from, to] = header === undefined ? [0, size] : [Math.max(0, start - firstLsn), limit];
    const run = runs.find((one) => one.segment === segment);
    yield* search(segment, from, run?.from ?? from);
    yield* search(segment, run?.to ?? from, to);
  }
  return fence;
}

/**
 * The file in which the log goes on when no group was found: one that holds the place behind its first group. A
 * segment that an earlier life began and recovery gave up may claim the place as well; any of them will do.
 */
function holderOf(segments: readonly Segment[], lsn: number): Segment | undefined {
  return segments.find(({ header }) => {
    const offset = lsn - (header?.firstLsn ?? lsn);
    return offset >= SEGMENT_HEADER_SIZE && offset < header!.size;
  });
}

/**
 * Lost files take their marks with them. So a file that ends before its segment does, where the log seems to end, has
 * lost what followed; and all of them together are no smaller than they were.
 */
function missingOf(segments: readonly Segment[], size: number, end: number): AegisError | undefined {
  const own = segments.filter(({ foreign }) => !foreign);
  const cut = own.find(({ header, size: there }) => {
    if (header === undefined || header.size <= there) return false;
    return header.firstLsn <= end && end < header.firstLsn + header.size;
  });
  if (cut !== undefined) {
    const offset = cut.size;
    const message = `${cut.name} was cut short: it ends at ${offset}, where the log may have gone on`;
    return new AegisError('CORRUPTION', message, { file: cut.name, offset });
  }
  const found = own.reduce((sum, segment) => sum + segment.size, 0);
  if (found >= size) return undefined;
  const message = `log files are missing or cut short: they have ${found} bytes, and had ${size}`;
  const gap = own.findIndex(({ number }, index) => number !== index + 1);
  const file = logNameOf(gap < 0 ? own.length + 1 : gap + 1);
  return new AegisError('CORRUPTION', message, { file, offset: 0 });
}

function rethrow(error: unknown): never {
  throw error;
}

function brokenBelow(mark: Mark, reader: LogReader, segments: readonly Segment[]): AegisError {
  const witness = mark.file === undefined ? 'the superblock' : `${mark.file} at ${mark.offset}`;
  const last = reader.runs.at(-1)?.segment;
  const segment =
    segments.find(({ firstLsn }) => firstLsn === reader.lsn) ?? last ?? holderOf(segments, reader.lsn);
  const offset = segment && Math.max(reader.lsn - segment.firstLsn, SEGMENT_HEADER_SIZE);
  const place = segment === undefined ? '' : ` (no group follows in ${segment.name} at ${offset})`;
  const message = `the log ends at LSN ${reader.end.lsn}${place}, but ${witness} says it was durable up to ${mark.lsn}`;
  if (segment !== undefined)
    return new AegisError('CORRUPTION', message, { file: segment.name, offset: offset! });
  if (mark.file === undefined) return new AegisError('CORRUPTION', message);
  return new AegisError('CORRUPTION', message, { file: mark.file, offset: mark.offset });
}
