import { describe, expect, test } from 'vitest';
import { LOG_AREA, PART_FIRST, PART_LAST } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { LogCore } from '../../src/wal/log.ts';
import { scanLog } from '../../src/wal/scan.ts';
import type { SegmentLog } from '../../src/wal/segments.ts';
import { seed } from '../support/seed.ts';
import { CrashDisk } from './crash-disk.ts';
import {
  BEGINNING,
  buildPayload,
  checksumBytes,
  commit,
  contentOf,
  groupsIn,
  newCore,
  openLog,
  overwrite,
  readLog,
  STORE_ID,
  valueFor,
  writeGroup,
} from './log-kit.ts';
import { Random } from './random.ts';

const damage = expect.objectContaining({ code: 'CORRUPTION' });
const EMPTY = new Uint8Array(512);

/** Writes commits of one group each. */
function writeCommits(core: LogCore, log: SegmentLog, first: number, last: number, size = 10): void {
  for (let sequence = first; sequence <= last; sequence++) {
    writeGroup(core, log, [commit(sequence, valueFor(sequence, size, size))]);
  }
}

describe('the end of the log', () => {
  test('log: a last group that is torn after any byte is cut, and nothing else', async () => {
    const whole = new MemoryBackend();
    const core = newCore('release');
    const { log } = await openLog(whole, { core });
    writeCommits(core, log, 1, 3, 100);
    const end = log.end;
    writeCommits(core, log, 4, 4, 1300);
    const bytes = contentOf(whole, 'log-1');
    for (let kept = 0; kept < log.end - end; kept++) {
      const backend = whole.copy();
      overwrite(backend, 'log-1', end + kept, new Uint8Array(log.end - end - kept));
      const { scan, sequences } = await readLog(backend, BEGINNING, core);
      const complete = bytes.subarray(end + kept).every((byte) => byte === 0);
      expect(sequences, `${kept} bytes`).toEqual(complete ? [1, 2, 3, 4] : [1, 2, 3]);
      expect(scan.end.lsn).toBe(complete ? log.end : end);
    }
  });

  test('log: a file cut short where the log ends is CORRUPTION, wherever that is', async () => {
    const whole = new MemoryBackend();
    const core = newCore('release');
    const { log } = await openLog(whole, { core });
    writeCommits(core, log, 1, 3, 100);
    for (let size = 512; size < 8192; size += 16) {
      const backend = whole.copy();
      backend.open('log-1', { create: false }).truncate(size);
      await expect(readLog(backend, BEGINNING, core)).rejects.toMatchObject({
        code: 'CORRUPTION',
        file: 'log-1',
      });
    }
  });

  test('log: any sector of the last group may be missing', async () => {
    const whole = new MemoryBackend();
    const { core, log } = await openLog(whole);
    writeCommits(core, log, 1, 3, 100);
    const end = log.end;
    writeCommits(core, log, 4, 4, 2000);
    for (let offset = end; offset < log.end; offset += 512) {
      const backend = whole.copy();
      overwrite(backend, 'log-1', offset, EMPTY);
      expect((await readLog(backend, BEGINNING, core)).sequences).toEqual([1, 2, 3]);
    }
  });

  test('log: the groups of a commit without its last one are cut, and the next commit is not glued to them', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend, { segmentSize: 4096 });
    writeCommits(first.core, first.log, 1, 2);
    const end = first.log.position;
    writeGroup(first.core, first.log, [commit(3, valueFor(1, 2900), PART_FIRST)], false);
    writeGroup(first.core, first.log, [commit(3, valueFor(2, 2900), 0)], false);
    expect(groupsIn(first.core, backend).length).toBe(4);
    const { core, log, scan } = await openLog(backend, { segmentSize: 4096 });
    expect(scan.end).toEqual(end);
    expect(scan.lastSequence).toBe(2);
    expect((await readLog(backend)).sequences).toEqual([1, 2]);
    writeGroup(core, log, [commit(3, valueFor(3, 10))]);
    const { parts } = await readLog(backend);
    expect(parts.map(({ sequence, flags }) => [sequence, flags])).toEqual([1, 2, 3].map((n) => [n, 3]));
  });

  test('log: the mark of a torn group counts, and accuses nobody', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    writeCommits(core, log, 1, 2);
    log.syncSync();
    const end = log.end;
    writeCommits(core, log, 3, 3, 1300);
    overwrite(backend, 'log-1', log.end - 512, EMPTY);
    const { scan, sequences } = await readLog(backend);
    expect(sequences).toEqual([1, 2]);
    expect(scan.highestMark).toBe(end);
  });
});

describe('what is durable and gone', () => {
  test('log: a rotten byte below a mark is CORRUPTION with its place, wherever the mark is', async () => {
    const whole = new MemoryBackend();
    const { core, log } = await openLog(whole, { segmentSize: 2048 });
    for (let sequence = 1; sequence <= 8; sequence++) {
      writeCommits(core, log, sequence, sequence, 300);
      log.syncSync();
    }
    const groups = groupsIn(core, whole);
    expect(new Set(groups.map(({ file }) => file)).size).toBeGreaterThan(2);
    for (const [index, { file, offset }] of groups.entries()) {
      for (const at of [0, 30, 50, 60, 64, 100, 200]) {
        const backend = whole.copy();
        const byte = contentOf(backend, file)[offset + at]!;
        overwrite(backend, file, offset + at, Uint8Array.of(byte ^ 4));
        const last = index === groups.length - 1;
        if (last) expect((await readLog(backend, BEGINNING, core)).sequences.length).toBe(7);
        else
          await expect(readLog(backend, BEGINNING, core)).rejects.toMatchObject({
            code: 'CORRUPTION',
            file,
            offset,
          });
        await expect(readLog(backend, { ...BEGINNING, mark: log.end }, core)).rejects.toMatchObject({
          code: 'CORRUPTION',
          file,
          offset,
        });
      }
    }
  });

  test('log: the first group behind a checkpoint is CORRUPTION with its place too', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    writeCommits(core, log, 1, 2);
    const start = { ...log.position, sequence: 2, mark: 0, size: 0 };
    writeCommits(core, log, 3, 3);
    log.syncSync();
    writeCommits(core, log, 4, 4);
    overwrite(backend, 'log-1', start.lsn + 100, Uint8Array.of(255, 255, 255));
    const place = { code: 'CORRUPTION', file: 'log-1', offset: start.lsn };
    await expect(readLog(backend, start)).rejects.toMatchObject(place);
  });

  test('log: a whole group that no writer could have made is CORRUPTION, before anything is replayed', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    writeCommits(core, log, 1, 1);
    writeGroup(core, log, [{ sequence: 2, flags: 3, records: [{ kind: 9 }] }]);
    const scanned = scanLog({ core, backend, storeId: STORE_ID, start: BEGINNING });
    await expect(scanned).rejects.toMatchObject({ code: 'CORRUPTION', file: 'log-1', offset: 1024 });
  });

  test('log: a mark outlives the payload behind it, and the header of its segment', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 2048 });
    writeCommits(core, log, 1, 2);
    log.syncSync();
    writeCommits(core, log, 3, 3, 1200);
    const [first, , third] = groupsIn(core, backend);
    overwrite(backend, third!.file, third!.offset + 100, EMPTY);
    overwrite(backend, third!.file, 0, EMPTY);
    overwrite(backend, first!.file, first!.offset + 100, EMPTY);
    await expect(readLog(backend)).rejects.toEqual(damage);
  });

  test('log: a damaged segment header is CORRUPTION if a mark needs it, else a free file', async () => {
    for (const synced of [true, false]) {
      const backend = new MemoryBackend();
      const { core, log } = await openLog(backend, { segmentSize: 2048 });
      writeCommits(core, log, 1, 1, 900);
      const end = log.end;
      writeCommits(core, log, 2, 2, 900);
      if (synced) log.syncSync();
      overwrite(backend, 'log-2', 30, EMPTY.subarray(0, 1));
      overwrite(backend, 'log-2', 24, Uint8Array.of(1, 1));
      const start = { ...BEGINNING, mark: log.durable };
      if (synced)
        await expect(readLog(backend, start)).rejects.toMatchObject({ code: 'CORRUPTION', file: 'log-1' });
      else {
        const next = await openLog(backend, { segmentSize: 2048 });
        expect(next.scan.end.lsn).toBe(end);
        writeCommits(next.core, next.log, 2, 2, 1000);
        expect(backend.list()).toEqual(['log-1', 'log-2']);
        expect((await readLog(backend)).sequences).toEqual([1, 2]);
      }
    }
  });

  test('log: missing files are CORRUPTION if the superblock knows that they were durable', async () => {
    await expect(readLog(new MemoryBackend(), { ...BEGINNING, mark: 1024 })).rejects.toEqual(damage);
    const { sequences } = await readLog(new MemoryBackend(), {
      lsn: 4096,
      link: [1, 2],
      sequence: 7,
      mark: 4096,
      size: 0,
    });
    expect(sequences).toEqual([]);
  });

  test('log: a file that the superblock knows of is missed, whatever was in it', async () => {
    const whole = new MemoryBackend();
    const core = newCore('release');
    const { log } = await openLog(whole, { core, segmentSize: 2048 });
    writeCommits(core, log, 1, 9, 600);
    const start = { ...BEGINNING, size: log.plan(log.end) };
    expect((await readLog(whole, start, core)).sequences).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const file of whole.list()) {
      const lost = whole.copy();
      lost.remove(file);
      await expect(readLog(lost, start, core)).rejects.toMatchObject({ code: 'CORRUPTION', file, offset: 0 });
      const emptied = whole.copy();
      emptied.open(file, { create: false }).truncate(0);
      await expect(readLog(emptied, start, core)).rejects.toEqual(damage);
    }
  });

  test('log: nothing is written while it is scanned, damaged or not', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log } = await openLog(disk);
    writeCommits(core, log, 1, 4);
    log.syncSync();
    writeCommits(core, log, 5, 5);
    disk.events.length = 0;
    await readLog(disk);
    overwrite(disk, 'log-1', 600, EMPTY);
    disk.events.length = 0;
    await expect(readLog(disk)).rejects.toEqual(damage);
    expect(disk.events).toEqual([]);
  });

  test('log: a value that looks like a group with a mark accuses nobody', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    const length = buildPayload(core, []);
    core.x.groupSeal(LOG_AREA, length, 1_048_576, 1_048_576);
    const forged = core.u8.slice(LOG_AREA, LOG_AREA + 512);
    core.x.groupLinkSet(0, 0);
    // The value begins 64 + 24 + 12 + 3 bytes behind the group's place: the forged group lies on a multiple of 512.
    const value = new Uint8Array(2048);
    value.set(forged, 512 - 103);
    writeGroup(core, log, [commit(1, value)]);
    expect(groupsIn(core, backend).length).toBe(2);
    expect((await readLog(backend)).sequences).toEqual([1]);
  });
});

describe('what must not come back', () => {
  test('log: a stale group behind a new one is kept out by the link', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend);
    writeCommits(first.core, first.log, 1, 3);
    const [, second] = groupsIn(first.core, backend);
    overwrite(backend, second!.file, second!.offset, EMPTY);
    const { core, log, scan } = await openLog(backend);
    expect(scan.lastSequence).toBe(1);
    writeCommits(core, log, 2, 2, 20);
    expect(groupsIn(core, backend).map(({ fence }) => fence)).toEqual([1, 2, 1]);
    expect((await readLog(backend)).sequences).toEqual([1, 2]);
  });

  test('log: groups of an earlier use of a segment are kept out', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 4096 });
    writeCommits(core, log, 1, 6);
    log.release(log.end);
    const start = { ...log.position, sequence: 6, mark: 0, size: 0 };
    writeCommits(core, log, 7, 7, 2000);
    log.release(log.end);
    writeCommits(core, log, 8, 8, 2500);
    expect(backend.list()).toEqual(['log-1', 'log-2']);
    expect((await readLog(backend, start)).sequences).toEqual([7, 8]);
    writeCommits(core, log, 9, 9);
    expect((await readLog(backend, start)).sequences).toEqual([7, 8, 9]);
  });

  /*
   * Life 1 begins log-2 with commit 3; the power cut loses only the header sector. Life 2 does not see the group and
   * begins log-2 at the same LSN with another commit 3; of that write only the header lands. Now commit 3 of life 1
   * has the right place and the right link again.
   */
  test('log: a group older than the header of its segment is a ghost', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend, { segmentSize: 2048 });
    writeCommits(first.core, first.log, 1, 2, 200);
    first.log.prepareSync(1200);
    const before = contentOf(backend, 'log-2').slice(0, 512);
    writeCommits(first.core, first.log, 3, 3, 1200);
    expect((await readLog(backend)).sequences).toEqual([1, 2, 3]);
    overwrite(backend, 'log-2', 0, before);
    const ghost = contentOf(backend, 'log-2').slice(512);

    const second = await openLog(backend, { segmentSize: 2048 });
    expect(second.scan.lastSequence).toBe(2);
    writeCommits(second.core, second.log, 3, 3, 1000);
    expect(backend.list()).toEqual(['log-1', 'log-2']);
    overwrite(backend, 'log-2', 512, ghost);
    expect(groupsIn(second.core, backend).map(({ fence, lsn }) => [fence, lsn])).toEqual([
      [1, 512],
      [1, 1024],
      [1, 2048],
    ]);
    expect((await readLog(backend)).sequences).toEqual([1, 2]);
  });

  test('log: of two groups at one place the higher fence wins', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend, { segmentSize: 4096 });
    writeCommits(first.core, first.log, 1, 2, 200);
    // The beginning of a long commit begins log-2; a later life cuts it and goes on in log-1.
    writeGroup(first.core, first.log, [commit(3, valueFor(3, 3000), PART_FIRST)], false);
    const given = contentOf(backend, 'log-2');
    const second = await openLog(backend, { segmentSize: 4096 });
    overwrite(backend, 'log-2', 0, given); // as if it had not been made an end
    writeCommits(second.core, second.log, 3, 4, 200);
    const groups = groupsIn(second.core, backend);
    expect(groups.map(({ file, fence }) => [file, fence])).toEqual([
      ['log-1', 1],
      ['log-1', 1],
      ['log-1', 2],
      ['log-1', 2],
      ['log-2', 1],
    ]);
    expect(groups[4]!.lsn - 512).toBe(groups[2]!.lsn);
    expect((await readLog(backend)).sequences).toEqual([1, 2, 3, 4]);
  });

  test('log: of two groups of one fence at one place the one its segment begins with wins', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log } = await openLog(disk, { segmentSize: 4096 });
    writeCommits(core, log, 1, 2, 200);
    // This write fails, but all of it is in the file; taking it back never reaches the device.
    disk.onWrite = () => {
      disk.onWrite = undefined;
      return 1024;
    };
    const end = log.end;
    expect(() => writeCommits(core, log, 3, 3, 700)).toThrow('no space');
    const givenUp = valueFor(3, 700, 700);
    const length = buildPayload(core, [commit(3, givenUp)]);
    const link = log.position.link;
    core.x.groupConfigure(...STORE_ID, 1); // as before a commit given up raised the fence
    core.x.groupLinkSet(...link);
    core.x.groupSeal(LOG_AREA, length, end, 0);
    overwrite(disk, 'log-1', end, core.u8.slice(LOG_AREA, LOG_AREA + 1024));
    core.x.groupLinkSet(...link);
    writeCommits(core, log, 3, 4, 3000);
    expect(groupsIn(core, disk).map(({ file, lsn, fence }) => [file, lsn, fence])).toEqual([
      ['log-1', 512, 1],
      ['log-1', 1024, 1],
      ['log-1', end, 1],
      ['log-2', end + 512, 1],
      ['log-3', log.end - 3584, 1],
    ]);
    expect((await readLog(disk)).sequences).toEqual([1, 2, 3, 4]);
  });
});

describe('sequences', () => {
  test('log: commits the checkpoint holds may come again, in one group with new ones too', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    writeCommits(core, log, 1, 3);
    writeGroup(
      core,
      log,
      [4, 5, 6].map((sequence) => commit(sequence, valueFor(sequence, 20))),
    );
    for (let sequence = 0; sequence <= 6; sequence++) {
      const { scan, sequences } = await readLog(backend, { ...BEGINNING, sequence });
      expect([sequences, scan.lastSequence]).toEqual([[1, 2, 3, 4, 5, 6], 6]);
    }
    expect((await readLog(backend, { ...BEGINNING, sequence: 9 })).scan.lastSequence).toBe(9);
  });

  test.each([
    ['a gap', [[1], [3]]],
    ['a repetition', [[1], [1]]],
    ['a step back', [[1], [2], [1]]],
    ['a gap to the checkpoint', [[2]]],
    ['a gap in a group', [[1, 3]]],
  ])('log: %s is CORRUPTION', async (_name, groups) => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    for (const sequences of groups) {
      writeGroup(
        core,
        log,
        sequences.map((sequence) => commit(sequence, valueFor(1, 10))),
      );
    }
    await expect(readLog(backend)).rejects.toEqual(damage);
  });

  test.each([
    ['a commit that goes on without having begun', [[1, 0]]],
    [
      'a commit that begins inside another',
      [
        [1, PART_FIRST],
        [2, PART_FIRST | PART_LAST],
      ],
    ],
    [
      'a commit that goes on with another number',
      [
        [1, PART_FIRST],
        [2, PART_LAST],
      ],
    ],
    ['a group without commits inside one', [[1, PART_FIRST], []]],
  ])('log: %s is CORRUPTION', async (_name, groups) => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    for (const [sequence, flags] of groups) {
      writeGroup(core, log, sequence === undefined ? [] : [commit(sequence, valueFor(1, 10), flags)], false);
    }
    await expect(readLog(backend)).rejects.toEqual(damage);
  });
});

describe('going on', () => {
  test('log: the tail above the highest mark is written again, same bytes to the same place, and synced', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log } = await openLog(disk, { segmentSize: 4096 });
    writeCommits(core, log, 1, 4, 300);
    log.syncSync();
    const mark = log.end;
    writeCommits(core, log, 5, 12, 700);
    const groups = groupsIn(core, disk).filter(({ lsn }) => lsn >= mark);
    expect(groups[0]!.mark).toBe(mark);
    const before = disk.list().map((file) => Buffer.from(contentOf(disk, file)).toString('hex'));
    disk.events.length = 0;

    const scan = await scanLog({ core, backend: disk, storeId: STORE_ID, start: BEGINNING });
    expect(disk.events).toEqual([]);
    expect(scan.settled).toBe(false);
    await scan.rewriteTail();
    expect(scan.settled).toBe(true);
    expect(disk.list().map((file) => Buffer.from(contentOf(disk, file)).toString('hex'))).toEqual(before);

    const sectors = (events: typeof disk.events) =>
      events
        .filter(({ operation }) => operation === 'write')
        .flatMap(({ file, position = 0, length = 0 }) =>
          Array.from({ length: length / 512 }, (_, index) => `${file}:${position + index * 512}`),
        )
        .sort();
    const last = groups.at(-1)!;
    expect(last.offset + last.length).toBeLessThan(4096);
    const wanted = [`${last.file}:${last.offset + last.length}`].concat(
      groups.flatMap(({ file, offset, length }) => [
        ...(offset === 512 ? [`${file}:0`] : []),
        ...Array.from({ length: length / 512 }, (_, index) => `${file}:${offset + index * 512}`),
      ]),
    );
    expect(sectors(disk.events)).toEqual(wanted.sort());
    const synced = disk.events.filter(({ operation }) => operation === 'sync').map(({ file }) => file);
    expect(synced.sort()).toEqual([...new Set(groups.map(({ file }) => file))]);
  });

  test('log: a tail that a mark vouches for is not written again', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log } = await openLog(disk);
    writeCommits(core, log, 1, 4);
    log.syncSync();
    disk.events.length = 0;
    const start = { ...BEGINNING, mark: log.durable };
    const scan = await scanLog({ core, backend: disk, storeId: STORE_ID, start });
    await scan.rewriteTail();
    expect(disk.events).toEqual([
      { operation: 'write', file: 'log-1', position: log.end, length: 512 },
      { operation: 'sync', file: 'log-1' },
    ]);
  });

  /*
   * A write fails after all of the group got through, and so does the attempt to take it back: in the cache the group
   * is torn, on the device it is whole, and after a failed sync the system takes the two for the same.
   */
  test('log: a group that recovery cut does not come back with a later power cut', async () => {
    for (const [size, name] of [
      [100, 'log-1'],
      [7000, 'log-2'],
    ] as const) {
      const disk = new CrashDisk(new Random(seed));
      const { core, log } = await openLog(disk);
      writeCommits(core, log, 1, 2, 500);
      log.syncSync();
      log.prepareSync(size + 100);
      const file = disk.files.get(name)!;
      let writes = 0;
      disk.onWrite = (_file, _position, length) => {
        if (writes++ === 0) return length;
        file.device = file.seen.slice();
        file.pending.clear();
        return 20;
      };
      const over = expect.objectContaining({ code: 'STORE_FAILED' });
      expect(() => writeCommits(core, log, 3, 3, size)).toThrow(over);
      file.pending.clear();
      const killed = disk.kill(new Random(seed));
      const next = await openLog(killed);
      expect(next.scan.lastSequence).toBe(2);
      expect((await readLog(killed.cut(new Random(seed)))).sequences).toEqual([1, 2]);
    }
  });

  /*
   * Relaxed commits reach the log file only; a checkpoint then holds them, so the log starts behind groups that were
   * never synced, in a segment whose header was not either. If a sync that failed made the system forget that header,
   * a log that goes on in this segment would hang on nothing.
   */
  test('log: the header of a segment that holds nothing but the place to go on is written again too', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log } = await openLog(disk);
    writeCommits(core, log, 1, 3);
    const start = { ...log.position, sequence: 3, mark: 0, size: 0 };
    disk.onSync = () => true;
    expect(() => log.syncSync()).toThrow();
    const file = disk.files.get('log-1')!;
    file.device.fill(0);
    const killed = disk.kill(new Random(seed));
    const next = await openLog(killed, { start });
    expect(next.scan.runs).toEqual([]);
    writeCommits(next.core, next.log, 4, 4);
    next.log.syncSync();
    for (let cut = 0; cut < 10; cut++) {
      expect((await readLog(killed.cut(new Random(cut)), start)).sequences).toEqual([4]);
    }
  });

  test('log: going on before the tail was written again is refused, and so is a fence that was there', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend, { fence: 5 });
    writeCommits(first.core, first.log, 1, 1);
    await expect(openLog(backend, { fence: 5 })).rejects.toThrow('fence');
    const scan = await scanLog({
      core: newCore(),
      backend,
      storeId: STORE_ID,
      start: BEGINNING,
      readOnly: true,
    });
    await expect(scan.rewriteTail()).rejects.toThrow('a log opened for reading is not written');
    expect(scan.highestFence).toBe(5);
  });

  test('log: the highest fence is found in torn groups and segment headers too', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend, { fence: 5 });
    writeCommits(first.core, first.log, 1, 1);
    const second = await openLog(backend, { fence: 9 });
    writeCommits(second.core, second.log, 2, 2, 100);
    overwrite(backend, 'log-1', 1024 + 100, EMPTY.subarray(0, 100));
    const { scan } = await readLog(backend);
    expect([scan.lastSequence, scan.highestFence]).toEqual([1, 9]);
    const third = await openLog(backend, { fence: 12, segmentSize: 4096 });
    third.log.prepareSync(3000);
    writeCommits(third.core, third.log, 2, 2, 3000);
    overwrite(backend, 'log-2', 512, EMPTY);
    expect((await readLog(backend)).scan.highestFence).toBe(12);
  });

  test("log: another store's groups count for nothing", async () => {
    const other = new MemoryBackend();
    const { core, log } = await openLog(other);
    writeCommits(core, log, 1, 3);
    log.syncSync();
    writeCommits(core, log, 4, 4);
    const bytes = contentOf(other, 'log-1');

    const backend = new MemoryBackend();
    overwrite(backend, 'log-1', 0, bytes);
    const foreign = newCore();
    const scan = await scanLog({ core: foreign, backend, storeId: [7, 7], start: BEGINNING });
    expect([scan.bytes, scan.highestFence, scan.highestMark]).toEqual([0, 0, 0]);
  });

  test("log: another store's file keeps its name, and new segments take others", async () => {
    const other = new MemoryBackend();
    const { core, log } = await openLog(other);
    writeCommits(core, log, 1, 1);
    const bytes = contentOf(other, 'log-1');
    const backend = new MemoryBackend();
    overwrite(backend, 'log-3', 0, bytes);
    overwrite(backend, 'log-03', 0, bytes);
    overwrite(backend, 'log-x', 0, bytes);
    const mine = newCore();
    mine.x.groupConfigure(7, 7, 1);
    const scan = await scanLog({ core: mine, backend, storeId: [7, 7], start: BEGINNING });
    await scan.rewriteTail();
    const { SegmentLog } = await import('../../src/wal/segments.ts');
    const next = new SegmentLog({ core: mine, backend, storeId: [7, 7], fence: 1, segmentSize: 8192, scan });
    writeCommits(mine, next, 1, 1);
    expect(backend.list().sort()).toEqual(['log-03', 'log-1', 'log-3', 'log-x']);
    expect(contentOf(backend, 'log-3')).toEqual(bytes);
  });

  test('log: a segment of a newer format is refused', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    writeCommits(core, log, 1, 1);
    const header = contentOf(backend, 'log-1').slice(0, 512);
    header[4] = 2;
    header.set(checksumBytes(core, header.subarray(0, 56)), 56);
    overwrite(backend, 'log-1', 0, header);
    await expect(readLog(backend)).rejects.toMatchObject({ code: 'UNSUPPORTED_VERSION', file: 'log-1' });
  });

  test('log: a group that changes between scan and replay is CORRUPTION', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    writeCommits(core, log, 1, 3);
    const scan = await scanLog({ core, backend, storeId: STORE_ID, start: BEGINNING });
    const changed = expect.objectContaining({ code: 'CORRUPTION', offset: 1024 });
    overwrite(backend, 'log-1', 1024 + 80, Uint8Array.of(99));
    expect(() => scan.replay(() => undefined)).toThrow(changed);
    overwrite(backend, 'log-1', 1024, Uint8Array.of(99));
    expect(() => scan.replay(() => undefined)).toThrow(changed);
  });

  test('log: a group that goes beyond what its segment uses is none', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 8192 });
    writeCommits(core, log, 1, 1, 100);
    writeCommits(core, log, 2, 2, 1000);
    expect((await readLog(backend)).sequences).toEqual([1, 2]);
    const header = core.x.segmentSeal(0, 2048);
    overwrite(backend, 'log-1', 0, core.u8.slice(header, header + 512));
    expect((await readLog(backend)).sequences).toEqual([1]);
  });

  test('log: replay says where each group ends', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 2048 });
    const ends = [1, 2, 3].map((sequence) =>
      writeGroup(core, log, [commit(sequence, valueFor(sequence, 700))]),
    );
    const scan = await scanLog({ core, backend, storeId: STORE_ID, start: BEGINNING });
    const seen: number[] = [];
    scan.replay((_address, _length, end) => seen.push(end));
    expect(seen).toEqual(ends);
    expect(scan.bytes).toBe(3 * 1024);
  });
});
