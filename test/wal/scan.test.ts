/* Where the log ends, and what is durable and gone. */
import { describe, expect, test } from 'vitest';
import { LOG_AREA, PART_FIRST } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { scanLog } from '../../src/wal/scan.ts';
import { seed } from '../support/seed.ts';
import { CrashDisk } from './crash-disk.ts';
import {
  BEGINNING,
  buildPayload,
  commit,
  contentOf,
  damage,
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
