/* Log files: what is written to them, when they are used again, and what a sync makes durable. */
import { describe, expect, test } from 'vitest';
import { PART_FIRST, PART_LAST } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { segmentSizeFor } from '../../src/wal/segments.ts';
import {
  commit,
  groupsIn,
  newDisk,
  openLog,
  readLog,
  settle,
  upTo,
  valueFor,
  writeGroup,
} from './log-kit.ts';

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
