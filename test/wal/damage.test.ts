/*
 * Damaged and forged log files. Every single bit of a small log is flipped and the answer compared with what the marks
 * that are left allow; then whole files are mutated at random, half of the time with every checksum and link made
 * right again, so that the structure checks stand alone. Whatever the bytes, the answer is a prefix of what was
 * written or CORRUPTION, soon, and nothing outside the log area is touched.
 */
import { expect, test } from 'vitest';
import {
  GROUP_HEADER_SIZE,
  LOG_AREA,
  LOG_BUFFER_SIZE,
  PART_FIRST,
  PART_LAST,
  RECORD_DELETE,
  RECORD_PUT,
  RECORD_PUT_LONG,
  RECORD_VALUE,
  STATE_AREA,
} from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { seed, sized } from '../support/seed.ts';
import {
  BEGINNING,
  checksumBytes,
  commit,
  contentOf,
  type FoundGroup,
  groupsIn,
  newCore,
  openLog,
  overwrite,
  type ReplayedPart,
  readLog,
  valueFor,
  writeGroup,
} from './log-kit.ts';
import { Random } from './random.ts';

const core = newCore('release');

/** Time this process worked, however busy the machine is. */
function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

interface Sample {
  readonly backend: MemoryBackend;
  readonly parts: readonly ReplayedPart[];
  readonly groups: readonly FoundGroup[];
  readonly end: number;
}

/** A log with every kind of record, a commit over several groups, syncs now and then, over several segments. */
async function makeSample(): Promise<Sample> {
  const backend = new MemoryBackend();
  const { log } = await openLog(backend, { core, segmentSize: 2048 });
  const key = new Uint8Array([9, 8, 7]);
  const put = (sequence: number) => commit(sequence, valueFor(sequence, 60 + sequence * 20));
  writeGroup(core, log, [put(1), put(2)]);
  log.syncSync();
  writeGroup(core, log, [
    { sequence: 3, flags: PART_FIRST | PART_LAST, records: [{ kind: RECORD_DELETE, key }] },
  ]);
  const records = (length: number) => [{ kind: RECORD_VALUE, value: valueFor(4, length) }];
  const first = [{ kind: RECORD_PUT_LONG, key, valueLength: 1500 }, ...records(500)];
  writeGroup(core, log, [{ sequence: 4, flags: PART_FIRST, records: first }], false);
  writeGroup(core, log, [{ sequence: 4, flags: 0, records: records(900) }], false);
  const last = [...records(100), { kind: RECORD_PUT, key, value: valueFor(4, 9) }];
  writeGroup(core, log, [{ sequence: 4, flags: PART_LAST, records: last }]);
  log.syncSync();
  writeGroup(core, log, [put(5)]);
  writeGroup(core, log, [put(6), put(7), put(8)]);
  log.syncSync();
  writeGroup(core, log, [put(9)]);
  writeGroup(core, log, [put(10)]);
  const { parts } = await readLog(backend, BEGINNING, core);
  expect(parts.length).toBe(12);
  return { backend, parts, groups: groupsIn(core, backend), end: log.end };
}

const text = (parts: readonly ReplayedPart[]) =>
  parts.map(({ sequence, flags, body }) => `${sequence} ${flags} ${Buffer.from(body).toString('base64')}`);

test('log: every flipped bit is harmless, cuts what no mark vouches for, or is CORRUPTION', async () => {
  const { backend, parts, groups } = await makeSample();
  const whole = text(parts);
  const counts = { harmless: 0, cut: 0, found: 0 };
  for (const file of backend.list()) {
    const bytes = contentOf(backend, file);
    for (let bit = (seed * 5) % 7; bit < bytes.length * 8; bit += sized(97, 7, 1)) {
      const at = bit >> 3;
      overwrite(backend, file, at, Uint8Array.of(bytes[at]! ^ (1 << (bit & 7))));
      const hit = groups.find(
        (group) => group.file === file && at >= group.offset && at < group.offset + group.length,
      );
      // A group that is hit says nothing any more, unless its header is still whole.
      const marks = groups.filter((group) => group !== hit || at >= group.offset + GROUP_HEADER_SIZE);
      const mark = Math.max(...marks.map((group) => group.mark));
      const outcome = await readLog(backend, BEGINNING, core).then(
        ({ parts: left }) => text(left),
        (error: unknown) => error,
      );
      if (Array.isArray(outcome)) {
        expect(outcome).toEqual(whole.slice(0, outcome.length));
        if (outcome.length === whole.length) counts.harmless++;
        else {
          counts.cut++;
          const place = at < 512 ? groups.find((group) => group.file === file)! : hit!;
          expect(mark).toBeLessThanOrEqual(place.lsn);
        }
      } else {
        counts.found++;
        expect(outcome).toMatchObject({ code: 'CORRUPTION' });
        expect((outcome as AegisError).file).toBeDefined();
        expect((outcome as AegisError).offset).toBeDefined();
      }
      overwrite(backend, file, at, bytes.subarray(at, at + 1));
    }
  }
  expect(Math.min(counts.harmless, counts.cut, counts.found)).toBeGreaterThan(sized(40, 500, 500));
});

/** Numbers that break arithmetic. */
const EVIL = [
  0,
  1,
  7,
  0x7fff,
  0xffff,
  0x7fffffff,
  0x80000000,
  0xfffffff0,
  0xffffffff,
  0x3fffffff,
  0x40000000,
  1 << 20,
];

function mutate(random: Random, file: string, bytes: Uint8Array, groups: readonly FoundGroup[]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const inside = groups.filter((group) => group.file === file);
  const group = inside[random.below(inside.length)];
  const at = random.below(bytes.length);
  const what = random.below(6);
  if (what === 0) bytes[at]! ^= 1 << random.below(8);
  else if (what === 1) bytes.fill(random.below(2) * 255, at, at + random.below(700));
  else if (what === 2)
    bytes.copyWithin(512 * random.below(bytes.length / 512), 512 * random.below(bytes.length / 512), 512);
  else if (group !== undefined) {
    // A field: of the group's header, of its first part, of its first records, or of the segment's header.
    const field =
      what === 3
        ? group.offset + 4 * random.below(40)
        : what === 4
          ? group.offset + 64 + 4 * random.below(30)
          : 4 * random.below(14);
    const value = random.chance(0.5) ? EVIL[random.below(EVIL.length)]! : random.below(2000);
    if (random.chance(0.3)) view.setUint16(field, value & 0xffff, true);
    else view.setUint32(field, value >>> 0, true);
  }
}

/** Makes every checksum and every link right again, as an attacker would. */
function reseal(files: ReadonlyMap<string, Uint8Array>, groups: readonly FoundGroup[]): void {
  for (const bytes of files.values()) bytes.set(checksumBytes(core, bytes.subarray(0, 56)), 56);
  let link = new Uint8Array(8);
  for (const { file, offset } of [...groups].sort((a, b) => a.lsn - b.lsn)) {
    const header = files.get(file)!.subarray(offset, offset + GROUP_HEADER_SIZE);
    if (header.length < GROUP_HEADER_SIZE) continue;
    const length = new DataView(header.buffer, header.byteOffset).getUint32(4, true);
    const payload = files
      .get(file)!
      .subarray(offset + GROUP_HEADER_SIZE, offset + GROUP_HEADER_SIZE + length);
    header.set(link, 32);
    if (payload.length < LOG_BUFFER_SIZE - 64) header.set(checksumBytes(core, payload), 48);
    header.set(checksumBytes(core, header.subarray(0, 56)), 56);
    link = header.slice(56, 64);
  }
}

test('log: whatever the files hold, the answer is what was written, or CORRUPTION, and comes soon', async () => {
  const sample = await makeSample();
  const random = new Random(seed);
  const whole = text(sample.parts);
  const counts = { answered: 0, found: 0, forgedAnswered: 0, forgedFound: 0 };
  const rest = () => [core.u8.slice(0, STATE_AREA + 0x800), core.u8.slice(STATE_AREA + 0xc00, LOG_AREA)];
  const before = rest();
  let slowest = 0;
  const rounds = Number(process.env['FUZZ'] ?? sized(250, 6000, 300_000));
  for (let round = 0; round < rounds; round++) {
    const files = new Map(sample.backend.list().map((file) => [file, contentOf(sample.backend, file)]));
    for (let count = 1 + random.below(3); count > 0; count--) {
      const [file, bytes] = [...files][random.below(files.size)]!;
      mutate(random, file, bytes, sample.groups);
    }
    const forged = random.chance(0.5);
    if (forged) reseal(files, sample.groups);
    const backend = new MemoryBackend();
    for (const [file, bytes] of files) {
      overwrite(
        backend,
        file,
        0,
        random.chance(0.03) ? bytes.subarray(0, random.below(bytes.length)) : bytes,
      );
    }
    const start = cpuMilliseconds();
    try {
      const { parts } = await readLog(backend, BEGINNING, core);
      if (!forged) expect(text(parts)).toEqual(whole.slice(0, parts.length));
      counts[forged ? 'forgedAnswered' : 'answered']++;
    } catch (error) {
      if (!(error instanceof AegisError))
        throw new Error(`SEED=${seed} round ${round}: ${error}`, { cause: error });
      expect(['CORRUPTION', 'UNSUPPORTED_VERSION']).toContain(error.code);
      counts[forged ? 'forgedFound' : 'found']++;
    }
    slowest = Math.max(slowest, cpuMilliseconds() - start);
  }
  expect(rest()).toEqual(before);
  expect(slowest).toBeLessThan(1000);
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(rounds / 50);
});

test('log: a thousand files that claim the same place cost one look each', async () => {
  const { backend, parts } = await makeSample();
  const bytes = contentOf(backend, 'log-1');
  for (let number = 100; number < 1100; number++) overwrite(backend, `log-${number}`, 0, bytes);
  const start = cpuMilliseconds();
  expect(text((await readLog(backend, BEGINNING, core)).parts)).toEqual(text(parts));
  expect(cpuMilliseconds() - start).toBeLessThan(5000);
});
