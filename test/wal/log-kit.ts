/** What the tests of the log share: a core, payloads made by hand, and a log opened the way a store opens it. */
import { expect } from 'vitest';
import {
  GROUP_HEADER_SIZE,
  LOG_AREA,
  PART_FIRST,
  PART_HEADER_SIZE,
  PART_LAST,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
} from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import { bytes as release } from '../../build/wasm/release.js';
import type { StorageBackend } from '../../src/backend/backend.ts';
import type { MemoryBackend } from '../../src/backend/memory.ts';
import { createCore } from '../../src/core/wasm.ts';
import type { Log, LogCore, LogStart, Word } from '../../src/wal/log.ts';
import { type LogScan, scanLog } from '../../src/wal/scan.ts';
import { SegmentLog } from '../../src/wal/segments.ts';
import { seed } from '../support/seed.ts';
import { CrashDisk } from './crash-disk.ts';
import { Random } from './random.ts';

export const STORE_ID: Word = [0x12345678, 0x9abcdef0];
export const BEGINNING: LogStart = { lsn: 0, link: [0, 0], sequence: 0, mark: 0, size: 0 };
export const WHOLE = PART_FIRST | PART_LAST;

/** A core with the smallest pool; the debug build checks more. */
export function newCore(target: 'release' | 'debug' = 'debug'): LogCore {
  const module = target === 'debug' ? debug : release;
  return createCore({ pageSize: 4096, frames: 16, storeId: STORE_ID, module });
}

/** One operation of a commit. */
export interface TestRecord {
  readonly kind: number;
  readonly key?: Uint8Array;
  /** Bytes in the record. */
  readonly value?: Uint8Array;
  /** Length the record states, if it is not that of the bytes. */
  readonly valueLength?: number;
  readonly tree?: number;
}

/** A commit, or a piece of one. */
export interface TestPart {
  readonly sequence: number;
  readonly flags: number;
  readonly records: readonly TestRecord[];
}

/** A commit with one put of these bytes. */
export function commit(sequence: number, value: Uint8Array, flags = WHOLE): TestPart {
  return { sequence, flags, records: [{ kind: RECORD_PUT, key: new Uint8Array([1, 2, 3]), value }] };
}

/** Payload bytes of a record that holds so many bytes of key and value. */
function recordLength({ key, value }: TestRecord): number {
  return (RECORD_HEADER_SIZE + (key?.length ?? 0) + (value?.length ?? 0) + 3) & ~3;
}

function partLength(part: TestPart): number {
  const records = part.records.reduce((sum, record) => sum + recordLength(record), 0);
  return PART_HEADER_SIZE + ((records + 7) & ~7);
}

/** Bytes of a payload with these parts. */
export function payloadLength(parts: readonly TestPart[]): number {
  return parts.reduce((sum, part) => sum + partLength(part), 0);
}

/** Builds a payload behind the place of its group header; answers its length. */
export function buildPayload({ u8 }: LogCore, parts: readonly TestPart[], address = LOG_AREA): number {
  const view = new DataView(u8.buffer);
  let at = address + GROUP_HEADER_SIZE;
  for (const part of parts) {
    const length = partLength(part);
    u8.fill(0, at, at + length);
    view.setUint32(at, length - PART_HEADER_SIZE, true);
    view.setUint32(at + 4, part.flags, true);
    view.setBigUint64(at + 8, BigInt(part.sequence), true);
    view.setUint32(at + 16, part.records.length, true);
    let place = at + PART_HEADER_SIZE;
    for (const record of part.records) {
      const key = record.key ?? new Uint8Array();
      const value = record.value ?? new Uint8Array();
      u8[place] = record.kind;
      view.setUint16(place + 2, key.length, true);
      view.setUint32(place + 4, record.tree ?? 1, true);
      view.setUint32(place + 8, record.valueLength ?? value.length, true);
      u8.set(key, place + RECORD_HEADER_SIZE);
      u8.set(value, place + RECORD_HEADER_SIZE + key.length);
      place += recordLength(record);
    }
    at += length;
  }
  return at - address - GROUP_HEADER_SIZE;
}

/** Writes one group of these parts; space is asked for first. */
export function writeGroup(core: LogCore, log: Log, parts: readonly TestPart[], endsCommit = true): number {
  const length = buildPayload(core, parts);
  log.prepareSync(length, parts.length);
  return log.write(LOG_AREA, length, endsCommit);
}

/** Value bytes that tell a commit from every other one. */
export function valueFor(sequence: number, size: number, salt = 0): Uint8Array {
  let state = (sequence * 2_654_435_761 + salt * 40_503 + 12_345) >>> 0;
  return Uint8Array.from({ length: size }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

/** What a replayed part held. */
export interface ReplayedPart {
  readonly sequence: number;
  readonly flags: number;
  /** Bytes of the part behind its header. */
  readonly body: Uint8Array;
}

/** The parts of a payload, taken out of memory. */
export function partsAt({ u8 }: LogCore, address: number, length: number): ReplayedPart[] {
  const view = new DataView(u8.buffer);
  const parts: ReplayedPart[] = [];
  for (let at = address; at < address + length; ) {
    const bytes = view.getUint32(at, true);
    const body = u8.slice(at + PART_HEADER_SIZE, at + PART_HEADER_SIZE + bytes);
    const sequence = Number(view.getBigUint64(at + 8, true));
    parts.push({ sequence, flags: view.getUint32(at + 4, true), body });
    at += PART_HEADER_SIZE + bytes;
  }
  return parts;
}

/** All parts a scan accepted. */
export function replayAll(core: LogCore, scan: LogScan): ReplayedPart[] {
  const parts: ReplayedPart[] = [];
  scan.replay((address, length) => parts.push(...partsAt(core, address, length)));
  return parts;
}

/** How a test opens a log. */
export interface OpenOptions {
  readonly core?: LogCore;
  readonly start?: LogStart;
  readonly fence?: number;
  readonly segmentSize?: number;
}

/** Scans, writes the tail again and goes on, as recovery does. */
export async function openLog(
  backend: StorageBackend,
  { core = newCore(), start = BEGINNING, fence, segmentSize = 8192 }: OpenOptions = {},
): Promise<{ core: LogCore; log: SegmentLog; scan: LogScan }> {
  const scan = await scanLog({ core, backend, storeId: STORE_ID, start });
  await scan.rewriteTail();
  const log = new SegmentLog({
    core,
    backend,
    storeId: STORE_ID,
    fence: fence ?? scan.highestFence + 1,
    segmentSize,
    scan,
  });
  return { core, log, scan };
}

/** Reads a log without going on. */
export async function readLog(
  backend: StorageBackend,
  start: LogStart = BEGINNING,
  core: LogCore = newCore(),
): Promise<{ scan: LogScan; parts: ReplayedPart[]; sequences: number[] }> {
  const scan = await scanLog({ core, backend, storeId: STORE_ID, start, readOnly: true });
  const parts = replayAll(core, scan);
  scan.close();
  return { scan, parts, sequences: parts.map(({ sequence }) => sequence) };
}

/** A group header somewhere in the files. */
export interface FoundGroup {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
  readonly lsn: number;
  readonly mark: number;
  readonly fence: number;
}

/** All whole group headers at multiples of 512, in the order of file numbers and offsets. */
export function groupsIn({ u8, x }: LogCore, backend: MemoryBackend | CrashDisk): FoundGroup[] {
  const groups: FoundGroup[] = [];
  const files = backend.list().sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
  for (const file of files) {
    const bytes = contentOf(backend, file);
    for (let offset = 0; offset + GROUP_HEADER_SIZE <= bytes.length; offset += 512) {
      u8.set(bytes.subarray(offset, offset + GROUP_HEADER_SIZE), LOG_AREA);
      if (x.groupHeaderCheck(LOG_AREA) !== 0) continue;
      const [lsn, mark, fence] = [x.groupLsn(LOG_AREA), x.groupMark(LOG_AREA), x.groupFence(LOG_AREA)];
      groups.push({ file, offset, length: x.groupLength(LOG_AREA), lsn, mark, fence });
    }
  }
  return groups;
}

/** The bytes of a file. */
export function contentOf(backend: MemoryBackend | CrashDisk, file: string): Uint8Array {
  const handle = backend.open(file, { create: false });
  const bytes = new Uint8Array(handle.size());
  handle.read(bytes, 0);
  handle.close();
  return bytes;
}

/** Writes bytes over a file behind the log's back. */
export function overwrite(
  backend: MemoryBackend | CrashDisk,
  file: string,
  offset: number,
  bytes: Uint8Array,
): void {
  const handle = backend.open(file, { create: true });
  handle.write([bytes], offset);
  handle.close();
}

/** The XXH64 of some bytes, as a group's payload has it. */
export function checksumBytes({ u8, x }: LogCore, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  u8.set(bytes, LOG_AREA + GROUP_HEADER_SIZE);
  x.groupSeal(LOG_AREA, bytes.length, 512, 0);
  return u8.slice(LOG_AREA + 48, LOG_AREA + 56);
}

/** Lets everything run that waits for a settled promise. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

/** An error that names damage. */
export const damage = expect.objectContaining({ code: 'CORRUPTION' });
export const EMPTY = new Uint8Array(512);

/** Writes commits of one group each. */
export function writeCommits(core: LogCore, log: SegmentLog, first: number, last: number, size = 10): void {
  for (let sequence = first; sequence <= last; sequence++) {
    writeGroup(core, log, [commit(sequence, valueFor(sequence, size, size))]);
  }
}

export const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

export function newDisk(): CrashDisk {
  return new CrashDisk(new Random(seed));
}
