/* Going on behind the end of the log: the tail that is written again, fences, and files of other stores. */
import { describe, expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { scanLog } from '../../src/wal/scan.ts';
import { seed } from '../support/seed.ts';
import { CrashDisk } from './crash-disk.ts';
import {
  BEGINNING,
  checksumBytes,
  commit,
  contentOf,
  EMPTY,
  groupsIn,
  newCore,
  openLog,
  overwrite,
  readLog,
  STORE_ID,
  valueFor,
  writeCommits,
  writeGroup,
} from './log-kit.ts';
import { Random } from './random.ts';

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
