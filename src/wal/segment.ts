/**
 * One file of the log, `log-1`, `log-2` and so on, and what its header says. Files keep their names for ever and are
 * used again, so a reused one has no rename to lose.
 *
 * The header names the LSN of the file's first byte: a group lies at the offset LSN - first LSN. A segment begins
 * where the group before it ended, so the next one is found by that LSN alone, without the file before it.
 */
import {
  DAMAGE_IDENTITY,
  DAMAGE_KIND,
  DAMAGE_NONE,
  GROUP_HEADER_SIZE,
  LOG_AREA,
  SECTOR_SIZE,
  SEGMENT_HEADER_SIZE,
} from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../backend/backend.ts';
import { AegisError } from '../base/errors.ts';
import type { LogCore } from './log.ts';

/** What a segment header says. */
export interface SegmentHeader {
  /** LSN of the file's first byte. */
  readonly firstLsn: number;
  /** Bytes of the file that are used, header included. */
  readonly size: number;
  /** Fence of the writer that began the segment. */
  readonly fence: number;
}

/** A log file that is open. */
export class Segment {
  readonly number: number;
  readonly file: BackendFile;
  /** Absent: never used, or not to be trusted. */
  header: SegmentHeader | undefined;
  /** Bytes of the file. Known, not asked for: where it is needed, a question that fails would end the store. */
  size = 0;
  /** Bytes of the file that are filled for certain, and that groups may be written to. */
  limit = 0;
  /** Filled, and never used: nothing to be read lies behind its first sector. */
  blank = false;
  /** The header is another store's: not ours to write over. */
  foreign = false;
  /** Filled with bytes to its full size, on stable storage and in the directory. */
  ready = false;
  /** Writes so far, and how many of them a finished sync covers. */
  writes = 0;
  synced = 0;
  /** Syncs under way; while there are any, the segment is not used again. */
  syncing = 0;

  constructor(number: number, file: BackendFile) {
    this.number = number;
    this.file = file;
  }

  get name(): string {
    return logNameOf(this.number);
  }

  /** LSN of the first byte; NaN without header, which equals no LSN. */
  get firstLsn(): number {
    return this.header?.firstLsn ?? Number.NaN;
  }

  /** Takes on a header; how much of the segment may be written is bounded by what is there of the file. */
  begin(header: SegmentHeader): void {
    this.header = header;
    this.limit = Math.min(header.size, this.size - (this.size % SECTOR_SIZE));
  }
}

/** What is written over the header of a group that must not count. */
export const EMPTY_SECTOR: Uint8Array = new Uint8Array(SECTOR_SIZE);

/** What a file begins with that was filled and never used. */
export const BLANK_SECTOR: Uint8Array = new Uint8Array(SECTOR_SIZE);
BLANK_SECTOR.set([0x41, 0x4e, 0x45, 0x57]); // "ANEW"

const NAME_HEAD = 'log-';
const NAME = /^log-[1-9][0-9]{0,8}$/;

/** The log files among names: those that a store could have given. */
export function logNamesOf(names: readonly string[]): string[] {
  return names.filter((name) => NAME.test(name));
}

/** The name of the log file with a number. */
export function logNameOf(number: number): string {
  return `${NAME_HEAD}${number}`;
}

/** Opens all log files, in the order of their numbers, and reads their headers. */
export async function openSegments(
  core: LogCore,
  backend: Pick<StorageBackend, 'list' | 'open'>,
  readOnly: boolean,
): Promise<Segment[]> {
  const numbers = logNamesOf(await backend.list()).map((name) => Number(name.slice(NAME_HEAD.length)));
  const segments: Segment[] = [];
  try {
    for (const number of numbers.sort((a, b) => a - b)) {
      const file = await backend.open(logNameOf(number), { create: false, readOnly });
      const segment = new Segment(number, file);
      segments.push(segment);
      segment.size = file.size();
      readHeader(core, segment);
      // A file without a header is filled anew, so look twice: one wrong answer of the device must not cost a
      // segment.
      if (segment.header === undefined && !segment.blank) readHeader(core, segment);
    }
  } catch (error) {
    closeSegments(segments);
    throw error;
  }
  return segments;
}

/** Closes files; closing has nothing left to report. */
export function closeSegments(segments: readonly Segment[]): void {
  for (const { file } of segments) file.close();
}

/** A damaged header is none; whether the log needed it, the marks say. */
function readHeader(core: LogCore, segment: Segment): void {
  const { x } = core;
  const target = core.u8.subarray(LOG_AREA, LOG_AREA + SEGMENT_HEADER_SIZE);
  const length = segment.file.read(target, 0);
  if (length < GROUP_HEADER_SIZE) return;
  segment.blank = length === SECTOR_SIZE && target.every((byte, at) => byte === BLANK_SECTOR[at]);
  const what = x.segmentCheck(LOG_AREA);
  if (what === DAMAGE_KIND) {
    const message = `${segment.name} was written by a newer version of this program`;
    throw new AegisError('UNSUPPORTED_VERSION', message, { file: segment.name, offset: 0 });
  }
  segment.foreign = what === DAMAGE_IDENTITY;
  if (what === DAMAGE_NONE) segment.begin(headerAt(core, LOG_AREA));
}

/** A header that `segmentCheck` found whole. */
export function headerAt({ x }: LogCore, address: number): SegmentHeader {
  return {
    firstLsn: x.segmentFirstLsn(address),
    size: x.segmentSize(address),
    fence: x.segmentFence(address),
  };
}
