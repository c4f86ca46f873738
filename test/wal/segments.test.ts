import { describe, expect, test } from 'vitest';
import { GROUP_HEADER_SIZE, LOG_AREA, PART_FIRST, PART_LAST } from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { LogHealth } from '../../src/wal/health.ts';
import type { Log, LogCore } from '../../src/wal/log.ts';
import { segmentSizeFor } from '../../src/wal/segments.ts';
import { seed } from '../support/seed.ts';
import { CrashDisk } from './crash-disk.ts';
import {
  BEGINNING,
  buildPayload,
  commit,
  groupsIn,
  newCore,
  openLog,
  payloadLength,
  readLog,
  settle,
  valueFor,
  writeGroup,
} from './log-kit.ts';
import { Random } from './random.ts';

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

function newDisk(): CrashDisk {
  return new CrashDisk(new Random(seed));
}

describe('writing', () => {
  test('log: what was written is read again, byte for byte', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    const bodies: string[] = [];
    for (const sequence of upTo(60)) {
      writeGroup(core, log, [commit(sequence, valueFor(sequence, sequence * 40))]);
      bodies.push(Buffer.from(valueFor(sequence, sequence * 40)).toString('hex'));
    }
    const { parts, scan } = await readLog(backend);
    expect(parts.map(({ sequence }) => sequence)).toEqual(upTo(60));
    for (const { sequence, body } of parts) {
      expect(Buffer.from(body).toString('hex')).toContain(bodies[sequence - 1]);
    }
    expect([scan.end, scan.lastSequence]).toEqual([log.position, 60]);
    expect(backend.list().length).toBeGreaterThan(5);
  });

  test('log: several commits in a group, and a group without any, are read again', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    writeGroup(
      core,
      log,
      upTo(5).map((sequence) => commit(sequence, valueFor(sequence, 20))),
    );
    writeGroup(core, log, []);
    writeGroup(core, log, [commit(6, valueFor(6, 10))]);
    const { scan, sequences } = await readLog(backend);
    expect(sequences).toEqual(upTo(6));
    expect(scan.end).toEqual(log.position);
  });

  test('log: a store that writes nothing makes no file, and the first commit makes one', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 262_144 });
    expect(backend.list()).toEqual([]);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    writeGroup(core, log, [commit(2, valueFor(1, 10))]);
    expect(backend.list()).toEqual(['log-1']);
    expect(log.diskSize).toBe(262_144);
  });

  test('log: the first group of a log has LSN 512, and the next one follows it', async () => {
    const { core, log } = await openLog(new MemoryBackend());
    expect(log.position).toEqual({ lsn: 0, link: [0, 0] });
    expect(writeGroup(core, log, [commit(1, valueFor(1, 10))])).toBe(1024);
    expect(writeGroup(core, log, [commit(2, valueFor(1, 600))])).toBe(2048);
  });

  test('log: a new segment begins where the group before it ended', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 2048 });
    writeGroup(core, log, [commit(1, valueFor(1, 600))]);
    const end = log.end;
    writeGroup(core, log, [commit(2, valueFor(2, 600))]);
    expect(groupsIn(core, backend).map(({ file, lsn }) => [file, lsn])).toEqual([
      ['log-1', 512],
      ['log-2', end + 512],
    ]);
  });

  test('log: released segments are used again under their names', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 4096 });
    const places = [log.position];
    for (const sequence of upTo(200)) {
      writeGroup(core, log, [commit(sequence, valueFor(sequence, 700))]);
      places.push(log.position);
      if (sequence >= 10) log.release(places[sequence - 10]!.lsn);
    }
    expect(backend.list().length).toBeLessThan(8);
    const start = { ...places[190]!, sequence: 190, mark: 0, size: 0 };
    expect((await readLog(backend, start)).sequences).toEqual(upTo(200).slice(190));
  });

  test('log: the segment that is written to is never released', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    const start = { ...log.position, sequence: 1, mark: 0, size: 0 };
    log.release(log.end);
    writeGroup(core, log, [commit(2, valueFor(2, 10))]);
    expect(backend.list()).toEqual(['log-1']);
    expect((await readLog(backend, start)).sequences).toEqual([2]);
  });

  test('log: a reopened log goes on in its last segment, with any segment size', async () => {
    const backend = new MemoryBackend();
    let sequence = 0;
    for (const segmentSize of [4096, 2048, 16_384, 8192, 2048]) {
      const { core, log } = await openLog(backend, { segmentSize });
      for (const size of [10, 600, 100, 900]) {
        writeGroup(core, log, [commit(++sequence, valueFor(sequence, size))]);
      }
      log.close();
      expect((await readLog(backend)).sequences).toEqual(upTo(sequence));
    }
  });

  test('log: a file that nothing is needed in may be cut short, and is filled again', async () => {
    const backend = new MemoryBackend();
    const first = await openLog(backend, { segmentSize: 2048 });
    for (const sequence of upTo(9))
      writeGroup(first.core, first.log, [commit(sequence, valueFor(sequence, 600))]);
    const start = { ...first.log.position, sequence: 9, mark: 0, size: 0 };
    backend.open('log-1', { create: false }).truncate(1500);
    const files = backend.list().length;
    const { core, log } = await openLog(backend, { start, segmentSize: 2048 });
    for (let sequence = 10; sequence < 16; sequence++) {
      writeGroup(core, log, [commit(sequence, valueFor(sequence, 600))]);
    }
    expect(backend.list().length).toBe(files);
    expect((await readLog(backend, start)).sequences).toEqual([10, 11, 12, 13, 14, 15]);
  });

  test('log: segments are an eighth of the log, from 256 KiB to 8 MiB', () => {
    expect([0, 1e6, 4_000_001, 64e6, 1e12].map(segmentSizeFor)).toEqual([
      262_144, 262_144, 499_712, 8_000_000, 8_388_608,
    ]);
  });
});

describe('durability', () => {
  test('log: durable moves with a sync, to the end of the last whole commit written before it', async () => {
    const disk = newDisk();
    disk.manual = true;
    const { core, log } = await openLog(disk);
    const first = writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    const sync = log.sync();
    writeGroup(core, log, [commit(2, valueFor(2, 10))]);
    expect(log.durable).toBe(0);
    disk.finishSync();
    await sync;
    expect(log.durable).toBe(first);
    const second = log.end;
    writeGroup(core, log, [commit(3, valueFor(3, 3000), PART_FIRST)], false);
    log.syncSync();
    expect(log.durable).toBe(second);
    writeGroup(core, log, [commit(3, valueFor(3, 10), PART_LAST)]);
    log.syncSync();
    expect(log.durable).toBe(log.end);
  });

  test('log: durable waits for every segment the groups lie in, synced in order', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk, { segmentSize: 2048 });
    for (const sequence of upTo(4)) writeGroup(core, log, [commit(sequence, valueFor(sequence, 900))]);
    disk.manual = true;
    disk.events.length = 0;
    const sync = log.sync();
    for (const number of upTo(4)) {
      expect(disk.events.map(({ file }) => file)).toEqual(upTo(number).map((n) => `log-${n}`));
      expect(log.durable).toBe(0);
      disk.finishSync();
      await settle();
    }
    await sync;
    expect(log.durable).toBe(log.end);
  });

  test('log: two asynchronous syncs never run at once, and a needless one does not run', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    disk.manual = true;
    const first = log.sync();
    const same = log.sync();
    writeGroup(core, log, [commit(2, valueFor(2, 10))]);
    const second = log.sync();
    await settle();
    expect(disk.waiting).toBe(1);
    disk.finishSync();
    await Promise.all([first, same]);
    await settle();
    expect(disk.waiting).toBe(1);
    disk.finishSync();
    await second;
    expect(log.durable).toBe(log.end);
    await log.sync();
    expect(disk.waiting).toBe(0);
  });

  test('log: a blocking sync covers what an asynchronous one under way was to cover', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk, { segmentSize: 2048 });
    writeGroup(core, log, [commit(1, valueFor(1, 900))]);
    disk.manual = true;
    const sync = log.sync();
    writeGroup(core, log, [commit(2, valueFor(2, 900))]);
    disk.events.length = 0;
    log.syncSync();
    expect(disk.events).toEqual([
      { operation: 'syncSync', file: 'log-1' },
      { operation: 'syncSync', file: 'log-2' },
    ]);
    const end = log.end;
    expect(log.durable).toBe(end);
    disk.finishSync();
    await sync;
    expect(log.durable).toBe(end);
  });

  test('log: the mark of a group is what was durable when it was written, and the end of a commit', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk);
    const marks = () => groupsIn(core, disk).map(({ mark }) => mark);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    writeGroup(core, log, [commit(2, valueFor(2, 10))]);
    expect(marks()).toEqual([0, 0]);
    await log.sync();
    const end = log.end;
    writeGroup(core, log, [commit(3, valueFor(3, 10), PART_FIRST)], false);
    log.syncSync();
    writeGroup(core, log, [commit(3, valueFor(3, 10), PART_LAST)]);
    writeGroup(core, log, [commit(4, valueFor(4, 10))]);
    expect(marks()).toEqual([0, 0, end, end, end]);
  });

  test('log: a segment whose sync is under way is not used again', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk, { segmentSize: 2048 });
    writeGroup(core, log, [commit(1, valueFor(1, 900))]);
    disk.manual = true;
    const sync = log.sync();
    writeGroup(core, log, [commit(2, valueFor(2, 900))]);
    log.release(log.end);
    writeGroup(core, log, [commit(3, valueFor(3, 900))]);
    expect(disk.list()).toEqual(['log-1', 'log-2', 'log-3']);
    disk.finishSync();
    await sync;
    writeGroup(core, log, [commit(4, valueFor(4, 900))]);
    expect(disk.list()).toEqual(['log-1', 'log-2', 'log-3']);
  });
});

describe('failure', () => {
  const refusals = (log: Log): [string, () => unknown][] => [
    ['write', () => log.write(LOG_AREA, 0, true)],
    ['prepare', () => log.prepare(1)],
    ['prepareSync', () => log.prepareSync(1)],
    ['syncSync', () => log.syncSync()],
    ['release', () => log.release(0)],
  ];

  async function expectOver(log: Log, code: string): Promise<void> {
    for (const [name, call] of refusals(log)) {
      expect(call, name).toThrow(expect.objectContaining({ code }));
    }
    await expect(log.sync()).rejects.toMatchObject({ code });
  }

  test.each(['sync', 'syncSync'] as const)(
    'log: after a failed %s nothing is durable any more and all is refused',
    async (way) => {
      const disk = newDisk();
      const { core, log } = await openLog(disk);
      writeGroup(core, log, [commit(1, valueFor(1, 10))]);
      disk.onSync = () => true;
      const expected = { code: 'STORE_FAILED', errno: 'EIO', operation: 'sync' };
      if (way === 'sync') await expect(log.sync()).rejects.toMatchObject(expected);
      else expect(() => log.syncSync()).toThrow(expect.objectContaining(expected));
      disk.onSync = undefined;
      expect(log.durable).toBe(0);
      expect(log.failure).toMatchObject(expected);
      await expectOver(log, 'STORE_FAILED');
      expect(log.durable).toBe(0);
    },
  );

  test('log: an asynchronous sync that fails after a blocking one succeeded ends the log, not what was answered', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    disk.manual = true;
    const sync = log.sync();
    log.syncSync();
    const durable = log.durable;
    disk.finishSync(true);
    await expect(sync).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(log.durable).toBe(durable);
    await expectOver(log, 'STORE_FAILED');
  });

  test('log: a sync that succeeds after another failed makes nothing durable', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    disk.manual = true;
    const sync = log.sync();
    disk.onSync = () => true;
    expect(() => log.syncSync()).toThrow();
    disk.finishSync();
    await expect(sync).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(log.durable).toBe(0);
  });

  test('log: a sync of a new file or of the directory that fails ends the log', async () => {
    for (const failing of ['log-1', '']) {
      for (const blocking of [false, true]) {
        const disk = newDisk();
        const { log } = await openLog(disk);
        disk.onSync = (file) => file === failing;
        const expected = expect.objectContaining({ code: 'STORE_FAILED' });
        if (blocking) expect(() => log.prepareSync(100)).toThrow(expected);
        else await expect(log.prepare(100)).rejects.toEqual(expected);
        disk.onSync = undefined;
        await expectOver(log, 'STORE_FAILED');
      }
    }
  });

  test('log: a closed log refuses everything', async () => {
    const { core, log } = await openLog(new MemoryBackend());
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    log.close();
    log.close();
    await expectOver(log, 'CLOSED');
  });

  test('log: a group that cannot be written leaves the log as it was, wherever the write stops', async () => {
    for (let through = 0; through <= 1536; through += 32) {
      const disk = newDisk();
      const { core, log } = await openLog(disk);
      writeGroup(core, log, [commit(1, valueFor(1, 10))]);
      const before = log.position;
      let writes = 0;
      disk.onWrite = () => (writes++ === 0 ? through : undefined);
      expect(() => writeGroup(core, log, [commit(2, valueFor(2, 1200))])).toThrow('no space');
      disk.onWrite = undefined;
      expect(log.position).toEqual(before);
      expect((await readLog(disk)).sequences).toEqual([1]);
      expect(
        (await readLog(disk.cut(new Random(through)), { ...before, sequence: 1, mark: 0, size: 0 }))
          .sequences,
      ).toEqual([]);
      writeGroup(core, log, [commit(2, valueFor(7, 300))]);
      writeGroup(core, log, [commit(3, valueFor(3, 1200))]);
      expect((await readLog(disk)).sequences).toEqual([1, 2, 3]);
    }
  });

  test('log: a commit of several groups that cannot be finished is taken back, over segments too', async () => {
    for (const failAt of [0, 1, 2, 3]) {
      const disk = newDisk();
      const { core, log } = await openLog(disk, { segmentSize: 2048 });
      writeGroup(core, log, [commit(1, valueFor(1, 10))]);
      const before = log.position;
      log.prepareSync(4 * 1400);
      const write = (index: number): number => {
        const flags = (index === 0 ? PART_FIRST : 0) | (index === 3 ? PART_LAST : 0);
        const length = buildPayload(core, [commit(2, valueFor(index, 1300), flags)]);
        return log.write(LOG_AREA, length, index === 3);
      };
      for (let index = 0; index < failAt; index++) write(index);
      let writes = 0;
      disk.onWrite = (_file, _position, length) => (writes++ === 0 ? length : undefined);
      expect(() => write(failAt)).toThrow('no space');
      disk.onWrite = undefined;
      expect(log.position).toEqual(before);
      writeGroup(core, log, [commit(2, valueFor(9, 100))]);
      writeGroup(core, log, [commit(3, valueFor(9, 1300))]);
      log.syncSync();
      for (const left of [disk, disk.cut(new Random(failAt))]) {
        const { parts, sequences } = await readLog(left);
        expect(sequences).toEqual([1, 2, 3]);
        expect(Buffer.from(parts[1]!.body)).toContainEqual(valueFor(9, 100)[0]);
        expect(parts[1]!.body.length).toBeLessThan(200);
      }
    }
  });

  /** Writes so many groups of a commit of four that needs three segments; `salt` tells its bytes. */
  const writeSome = (core: LogCore, log: Log, sequence: number, count: number, salt = 0): void => {
    log.prepareSync(4 * 1400);
    for (let index = 0; index < count; index++) {
      const flags = (index === 0 ? PART_FIRST : 0) | (index === 3 ? PART_LAST : 0);
      const length = buildPayload(core, [commit(sequence, valueFor(index, 1300, salt), flags)]);
      log.write(LOG_AREA, length, index === 3);
    }
  };

  test('log: a commit that ended between two groups is taken back, and tried again, byte for byte', async () => {
    for (const tries of [1, 2, 3, 4, 5, 6]) {
      for (const salt of [0, 1]) {
        const disk = newDisk();
        const { core, log } = await openLog(disk, { segmentSize: 4096 });
        for (let sequence = 1; sequence <= 10; sequence++)
          writeGroup(core, log, [commit(sequence, valueFor(sequence, 1300))]);
        log.syncSync();
        const start = { ...log.position, sequence: 10, mark: log.durable, size: 0 };
        log.prepareSync(4 * 1400);
        log.release(start.lsn); // files made later are taken sooner: each try meets the pieces of the others
        for (let round = 0; round < tries; round++) {
          writeSome(core, log, 11, 3);
          log.takeBack(new Error('a page could not be read'));
          expect(log.position).toEqual({ lsn: start.lsn, link: start.link });
          for (const left of [disk, disk.cut(new Random(round))])
            expect((await readLog(left, start)).sequences).toEqual([]);
        }
        writeSome(core, log, 11, 4, salt);
        log.syncSync();
        writeGroup(core, log, [commit(12, valueFor(12, 10))]);
        log.syncSync();
        for (const left of [disk, disk.cut(new Random(tries))])
          expect((await readLog(left, start)).sequences).toEqual([11, 11, 11, 11, 12]);
      }
    }
  });

  test('log: nothing is taken back where a commit is whole, and an audit after one was given up finds nothing', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk, { segmentSize: 2048 });
    const faults: unknown[] = [];
    writeGroup(core, log, [commit(1, valueFor(1, 1300))]);
    let written = 0;
    disk.onWrite = () => {
      ++written;
      return undefined;
    };
    log.takeBack(new Error('nothing was begun'));
    expect(written).toBe(0);
    disk.onWrite = undefined;
    writeSome(core, log, 2, 2);
    log.takeBack(new Error('a page could not be read'));
    writeSome(core, log, 2, 4);
    log.syncSync();
    for (const _ of log.audit(
      () => BEGINNING,
      (fault) => faults.push(fault),
    ));
    expect(faults).toEqual([]);
    expect((await readLog(disk)).sequences).toEqual([1, 2, 2, 2, 2]);
  });

  test('log: a commit that ended halfway and cannot be taken back ends the log', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk, { segmentSize: 2048 });
    writeSome(core, log, 1, 2);
    disk.onWrite = () => 0;
    log.takeBack(new Error('a page could not be read'));
    await expectOver(log, 'STORE_FAILED');
  });

  test('log: a group that can be neither written nor taken back ends the log', async () => {
    const disk = newDisk();
    const { core, log } = await openLog(disk);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    disk.onWrite = () => 100;
    expect(() => writeGroup(core, log, [commit(2, valueFor(2, 10))])).toThrow(
      expect.objectContaining({ code: 'STORE_FAILED' }),
    );
    await expectOver(log, 'STORE_FAILED');
  });
});

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

test('log: the failure that ends it carries what is known of the cause, and stays', () => {
  const known = { file: 'log-1', errno: 'EIO', operation: 'sync' };
  expect(new LogHealth().fail('over', new AegisError('IO_ERROR', 'x', known))).toMatchObject(known);
  const bare = new LogHealth();
  const first = bare.fail('over', new AegisError('IO_ERROR', 'x'));
  expect([first.file, first.errno, first.operation]).toEqual([undefined, undefined, undefined]);
  expect(bare.fail('again', new Error('y'))).toBe(first);
  expect(new LogHealth().fail('over', new Error('y'))).toMatchObject({
    code: 'STORE_FAILED',
    message: 'over',
  });
});
