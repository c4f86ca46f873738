/* Space for groups: log files made ahead, on full disks too, and what waits for them. */
import { describe, expect, test } from 'vitest';
import { GROUP_HEADER_SIZE, LOG_AREA, PART_FIRST, PART_LAST } from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { seed } from '../support/seed.ts';
import {
  buildPayload,
  commit,
  newCore,
  newDisk,
  openLog,
  payloadLength,
  readLog,
  settle,
  upTo,
  valueFor,
  writeGroup,
} from './log-kit.ts';
import { Random } from './random.ts';

describe('space', () => {
  test('log: what prepare held space for needs no other file, however it is grouped', async () => {
    const random = new Random(seed);
    const core = newCore('release');
    for (let round = 0; round < 150; round++) {
      const backend = new MemoryBackend();
      const segmentSize = [1024, 2048, 4096, 65_536][random.below(4)]!;
      const { log } = await openLog(backend, { core, segmentSize });
      let sequence = 0;
      for (let batch = 0; batch < 6; batch++) {
        const payloads = planGroups(random, log.maxPayload);
        const bytes = payloads.reduce((sum, { length }) => sum + length, 0);
        const commits = payloads.filter(({ ends }) => ends).length;
        log.prepareSync(bytes, commits);
        // A checkpoint may end while space is promised.
        if (random.chance(0.3)) {
          log.plan(log.end);
          log.release(log.end);
        }
        const files = backend.list().length;
        for (const { length, ends, begins } of payloads) {
          if (begins) sequence++;
          const flags = (begins ? PART_FIRST : 0) | (ends ? PART_LAST : 0);
          const empty = payloadLength([commit(sequence, new Uint8Array(0), flags)]);
          const value = new Uint8Array(Math.max(0, length - empty));
          log.write(LOG_AREA, buildPayload(core, [commit(sequence, value, flags)]), ends);
        }
        expect(backend.list().length).toBe(files);
        if (random.chance(0.5)) log.release(log.end);
      }
      log.close();
    }
  });

  /** Groups of one commit each, and of long commits; all but the last group of a long one at least half full. */
  function planGroups(random: Random, largest: number): { length: number; begins: boolean; ends: boolean }[] {
    const groups: { length: number; begins: boolean; ends: boolean }[] = [];
    const eighth = (length: number) => Math.min(largest & ~7, Math.max(40, (length + 7) & ~7));
    for (let commits = 1 + random.below(6); commits > 0; commits--) {
      const pieces = random.chance(0.4) ? 2 + random.below(5) : 1;
      let bytes = 0;
      for (let piece = 0; piece < pieces; piece++) {
        const ends = piece === pieces - 1;
        // What fits one group is one.
        const least = !ends ? largest / 2 : pieces === 1 ? 40 : Math.max(40, largest - bytes + 8);
        const length = eighth(least + random.below(largest - least));
        bytes += length;
        groups.push({ length, begins: piece === 0, ends });
      }
    }
    return groups;
  }

  test('log: a full disk while space is made leaves no file and no byte, and the next attempt succeeds', async () => {
    for (let failAt = 0; failAt < 3; failAt++) {
      for (const blocking of [false, true]) {
        const disk = newDisk();
        const { core, log } = await openLog(disk, { segmentSize: 786_432 });
        writeGroup(core, log, [commit(1, valueFor(1, 10))]);
        const before = [disk.list(), log.diskSize, log.position];
        let writes = 0;
        disk.onWrite = (_file, _position, length) => (writes++ === failAt ? length / 2 : undefined);
        const refused = expect.objectContaining({ code: 'OUT_OF_SPACE' });
        if (blocking) expect(() => log.prepareSync(800_000)).toThrow(refused);
        else await expect(log.prepare(800_000)).rejects.toEqual(refused);
        disk.onWrite = undefined;
        expect([disk.list(), log.diskSize, log.position]).toEqual(before);
        expect(log.failure).toBeUndefined();
        log.prepareSync(800_000);
        writeGroup(core, log, [commit(2, valueFor(2, 700_000))]);
        expect((await readLog(disk)).sequences).toEqual([1, 2]);
      }
    }
  });

  test('log: on a full disk even the last segment is used again, once nothing in it is needed', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk, { segmentSize: 2048 });
    for (const sequence of upTo(3)) writeGroup(core, log, [commit(sequence, valueFor(sequence, 10))]);
    log.syncSync();
    disk.onWrite = (file) => (file === 'log-1' ? undefined : 0);
    const refused = expect.objectContaining({ code: 'OUT_OF_SPACE' });
    // A checkpoint that does not hold all of it frees nothing.
    expect(() => log.prepareSync(600)).toThrow(refused);
    log.release(512);
    expect(() => log.prepareSync(600)).toThrow(refused);
    const start = { ...log.position, sequence: 3, mark: log.durable, size: log.plan(log.end) };
    log.release(log.end);
    writeGroup(core, log, [commit(4, valueFor(4, 600))]);
    const found = new Set<number>();
    for (let round = 0; round < 40; round++) {
      const { sequences } = await readLog(disk.cut(new Random(round)), start, core);
      expect(sequences).toEqual([4].slice(0, sequences.length));
      found.add(sequences.length);
    }
    expect(found).toEqual(new Set([0, 1]));
    log.syncSync();
    expect((await readLog(disk.cut(new Random(1)), start)).sequences).toEqual([4]);
    expect(disk.list()).toEqual(['log-1']);
  });

  test('log: on a full disk the last segment is kept while a sync of it is under way', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk, { segmentSize: 4096 });
    for (const sequence of upTo(2)) writeGroup(core, log, [commit(sequence, valueFor(sequence, 10))]);
    log.syncSync();
    disk.onWrite = (file) => (file === 'log-1' ? undefined : 0);
    expect(() => log.prepareSync(4000)).toThrow(expect.objectContaining({ code: 'OUT_OF_SPACE' }));
    writeGroup(core, log, [commit(3, valueFor(3, 10))]);
    const sync = log.sync();
    log.prepareSync(10);
    log.release(log.end);
    writeGroup(core, log, [commit(4, valueFor(4, 10))]);
    await sync;
    log.syncSync();
    expect(disk.list()).toEqual(['log-1']);
  });

  test('log: a found file that was never used is filled anew, and one that cannot be is gone', async () => {
    const disk = newDisk();
    disk.open('log-1', { create: true }).write([new Uint8Array(1000).fill(7)], 0);
    const { core, log } = await openLog(disk);
    disk.onWrite = () => 100;
    expect(() => log.prepareSync(10)).toThrow('no space');
    disk.onWrite = undefined;
    expect(disk.list()).toEqual([]);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    expect(disk.list()).toEqual(['log-2']);
  });

  test('log: a used file that cannot be made longer is as long as before, and made longer later', async () => {
    const disk = newDisk();
    const before = await openLog(disk);
    for (const sequence of upTo(20)) {
      writeGroup(before.core, before.log, [commit(sequence, valueFor(sequence, 600))]);
    }
    before.log.syncSync();
    const { position, durable } = before.log;
    const start = { ...position, sequence: 20, mark: durable, size: before.log.plan(position.lsn) };
    const names = disk.list();
    const sizes = () => new Set(names.map((name) => disk.open(name, { create: false }).size()));
    const { core, log } = await openLog(disk, { start, segmentSize: 16_384 });
    disk.onWrite = () => 100;
    expect(() => log.prepareSync(10_000)).toThrow('no space');
    disk.onWrite = undefined;
    expect(sizes()).toEqual(new Set([8192]));
    writeGroup(core, log, [commit(21, valueFor(21, 10_000))]);
    expect([disk.list(), sizes()]).toEqual([names, new Set([8192, 16_384])]);
    expect((await readLog(disk, start)).sequences).toEqual([21]);
  });

  test('log: a file whose making failed takes no group before it is filled anew', async () => {
    for (let round = 1; round <= 20; round++) {
      const disk = newDisk();
      const first = await openLog(disk);
      disk.onSync = () => true;
      expect(() => first.log.prepareSync(10)).toThrow('could not be brought to stable storage');
      disk.onSync = undefined;
      // The process dies; the system goes on showing a file full of zeros.
      const after = disk.kill(new Random(seed + round));
      const { core, log } = await openLog(after);
      writeGroup(core, log, [commit(1, valueFor(1, 10))]);
      log.syncSync();
      const { scan } = await openLog(after.cut(new Random(seed + round)));
      expect(scan.lastSequence, `round ${round}`).toBe(1);
    }
  });

  test('log: a new segment is on stable storage, with its name, before a group is written to it', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    expect(disk.events.map(({ operation, position }) => [operation, position])).toEqual([
      ['open', undefined],
      ['write', 0],
      ['syncSync', undefined],
      ['syncDirectory', undefined],
      ['write', 0],
    ]);
    expect(disk.events[4]!.length).toBe(1024);
  });

  test('log: space that is there needs no promise, and several callers wait for one file', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk);
    disk.manual = true;
    const waits = [log.prepare(100), log.prepare(100), log.prepare(100)];
    expect(waits.every((wait) => wait instanceof Promise)).toBe(true);
    await settle();
    disk.finishSync();
    await Promise.all(waits);
    expect(disk.list()).toEqual(['log-1']);
    expect(log.prepare(100)).toBeUndefined();
    const length = buildPayload(core, [commit(1, valueFor(1, 10))]);
    log.write(LOG_AREA, length, true);
    expect(log.prepare(100)).toBeUndefined();
  });

  test('log: a blocking call makes its own file while an asynchronous one is being made', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk);
    disk.manual = true;
    const wait = log.prepare(100);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    await settle();
    disk.finishSync();
    await wait;
    expect(disk.list()).toEqual(['log-1', 'log-2']);
    expect((await readLog(disk)).sequences).toEqual([1]);
  });

  test('log: on a backend that opens files later, prepare waits and prepareSync is refused', async () => {
    const memory = new MemoryBackend();
    const later: StorageBackend = {
      name: 'later',
      open: async (file, options): Promise<BackendFile> => memory.open(file, options),
      list: async () => memory.list(),
      remove: async (file) => memory.remove(file),
      syncDirectory: async () => undefined,
      lock: async () => memory.lock('exclusive'),
    };
    const { core, log } = await openLog(later);
    expect(() => log.prepareSync(100)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
    await settle();
    expect(memory.list()).toEqual([]);
    await log.prepare(100);
    expect(log.prepare(100)).toBeUndefined();
    log.prepareSync(100);
    log.write(LOG_AREA, buildPayload(core, [commit(1, valueFor(1, 10))]), true);
    expect((await readLog(later)).sequences).toEqual([1]);
  });

  test('log: a log closed while a file is made keeps none open and says so', async () => {
    const disk = newDisk();
    const { log } = await openLog(disk);
    disk.manual = true;
    const wait = log.prepare(100);
    await settle();
    log.close();
    disk.finishSync();
    await wait;
    expect(() => log.prepare(100)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  test('log: the largest group fits one log buffer, and a whole number of them a segment', async () => {
    for (const segmentSize of [262_144, 1_048_576, 1_049_088, 3_000_320, 8_388_608]) {
      const { log } = await openLog(new MemoryBackend(), { segmentSize });
      const largest = log.maxPayload + GROUP_HEADER_SIZE;
      expect(largest).toBeLessThanOrEqual(1_048_576);
      expect(largest % 512).toBe(0);
      expect((segmentSize - 512) % largest).toBeLessThan(512 * 9);
    }
  });
});
