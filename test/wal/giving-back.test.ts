/* Log files that are given back to the system: which, when, and what an opening reads of those that stay. */
import { describe, expect, test } from 'vitest';
import { LOG_AREA } from '../../assembly/layout.ts';
import type { StorageBackend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { LogHealth } from '../../src/wal/health.ts';
import { Segment } from '../../src/wal/segment.ts';
import { SegmentRecycler } from '../../src/wal/segment-recycler.ts';
import { seed } from '../support/seed.ts';
import { CrashDisk } from './crash-disk.ts';
import {
  buildPayload,
  commit,
  contentOf,
  openLog,
  overwrite,
  payloadLength,
  readLog,
  settle,
  valueFor,
  writeGroup,
} from './log-kit.ts';
import { Random } from './random.ts';

/** A log of which each segment takes one commit of 3,000 bytes, and what checkpoints say of it. */
async function newLog(backend: StorageBackend = new MemoryBackend()) {
  const { core, log } = await openLog(backend, { segmentSize: 4096 });
  let sequence = 0;
  const write = (count: number): void => {
    for (let i = 0; i < count; i++) writeGroup(core, log, [commit(++sequence, valueFor(sequence, 3000))]);
    log.syncSync();
  };
  const checkpoint = (): number => {
    const size = log.plan(log.end);
    log.release(log.end);
    return size;
  };
  const start = (size: number) => ({ ...log.position, sequence, mark: log.durable, size });
  return { core, log, write, checkpoint, start };
}

/** Counts the bytes that are read of each file. */
function countReads(backend: MemoryBackend): Map<string, number> {
  const counts = new Map<string, number>();
  const open = backend.open.bind(backend);
  backend.open = (name, options) => {
    const file = open(name, options);
    const { read } = file;
    file.read = (target, position) => {
      const count = read.call(file, target, position);
      counts.set(name, (counts.get(name) ?? 0) + count);
      return count;
    };
    return file;
  };
  return counts;
}

describe('files that go', () => {
  test('log: what was used between two checkpoints stays, and a burst is given back at once', async () => {
    const backend = new MemoryBackend();
    const { core, log, write, checkpoint, start } = await newLog(backend);
    const files = () => backend.list().length;
    write(60);
    expect(files()).toBe(60);
    expect(checkpoint()).toBe(2 * 4096);
    expect(files()).toBe(2); // the one that is written to, and one to come
    write(5);
    expect(checkpoint()).toBe(6 * 4096);
    expect(files()).toBe(6);
    write(5); // as much as before: no file is made
    expect(files()).toBe(6);
    write(50);
    checkpoint(); // a burst says nothing of what comes next
    expect(files()).toBe(6);
    expect(log.diskSize).toBe(6 * 4096);
    write(1);
    checkpoint();
    expect(files()).toBe(2);
    const begin = start(checkpoint());
    writeGroup(core, log, [commit(122, valueFor(122, 3000))]);
    expect((await readLog(backend, begin)).sequences).toEqual([122]);
  });

  test('log: as many bytes stay as the superblock says, though space for more is made meanwhile', async () => {
    const backend = new MemoryBackend();
    const { log, write } = await newLog(backend);
    write(10);
    const size = log.plan(log.end);
    expect(size).toBe(11 * 4096 - 4096);
    write(20);
    log.release(log.end);
    expect(log.diskSize).toBeGreaterThanOrEqual(size);
    expect(log.diskSize).toBe(backend.list().length * 4096);
  });

  test('log: one that ends gives everything back, and the next one goes on at the same place', async () => {
    const backend = new MemoryBackend();
    const { log, write, checkpoint, start } = await newLog(backend);
    write(8);
    await log.retire();
    const begin = start(checkpoint());
    await log.close();
    expect([begin.size, backend.list()]).toEqual([0, []]);
    const next = await openLog(backend, { start: begin, segmentSize: 4096 });
    writeGroup(next.core, next.log, [commit(9, valueFor(9, 1000))]);
    expect((await readLog(backend, begin)).sequences).toEqual([9]);
  });

  test('log: one that ends waits for the sync under way and for the file that is being made', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log, checkpoint } = await newLog(disk);
    writeGroup(core, log, [commit(1, valueFor(1, 3000))]);
    disk.manual = true;
    const syncing = log.sync();
    const making = log.prepare(3000);
    let ended = false;
    const retired = log.retire().then(() => {
      ended = true;
    });
    while (disk.waiting > 0) {
      await settle();
      expect(ended).toBe(false);
      disk.finishSync();
      await settle();
    }
    await Promise.all([syncing, making, retired]);
    checkpoint();
    expect(disk.list()).toEqual([]);
  });

  test('log: one whose sync fails while it ends is over, and ends all the same', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log } = await newLog(disk);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    disk.manual = true;
    const syncing = log.sync().catch((error: AegisError) => error.code);
    const making = log.prepare(3900)!.catch((error: AegisError) => error.code);
    const retired = log.retire();
    await settle();
    while (disk.waiting > 0) {
      disk.finishSync(true);
      await settle();
    }
    await retired;
    expect(await Promise.all([syncing, making])).toEqual(['STORE_FAILED', 'STORE_FAILED']);
    expect(disk.list()).toEqual(['log-1', 'log-2']);
  });

  test('log: a file that cannot be removed stays, its number is not used, and the next log finds it', async () => {
    const backend = new MemoryBackend();
    const { log, write, checkpoint, start } = await newLog(backend);
    write(30);
    const remove = backend.remove.bind(backend);
    backend.remove = () => {
      throw new AegisError('IO_ERROR', 'no');
    };
    checkpoint();
    await settle();
    expect([backend.list().length, log.failure]).toEqual([30, undefined]);
    write(5);
    expect(backend.list()).toContain('log-31');
    const begin = start(checkpoint());
    backend.remove = remove;
    await log.close();
    const next = await openLog(backend, { start: begin, segmentSize: 4096 });
    next.log.release(next.log.end);
    expect(backend.list().length).toBe(1);
  });

  test('log: closing waits until what was given back is gone', async () => {
    const backend = new MemoryBackend();
    const { log, write, checkpoint } = await newLog(backend);
    write(5);
    let isGone = false;
    const remove = backend.remove.bind(backend);
    Object.assign(backend, {
      remove: async (name: string) => {
        for (let turn = 0; turn < 50; turn++) await Promise.resolve();
        remove(name);
        isGone = backend.list().length === 0;
      },
    });
    await log.retire();
    checkpoint();
    expect(backend.list()).not.toEqual([]);
    await log.close();
    expect(isGone).toBe(true);
  });

  test('log: a file is kept while a sync of it is under way', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log, checkpoint } = await newLog(disk);
    disk.manual = true;
    for (let sequence = 1; sequence < 30; sequence++)
      writeGroup(core, log, [commit(sequence, valueFor(sequence, 3000))]);
    const syncing = log.sync();
    log.syncSync();
    checkpoint();
    expect(disk.list().length).toBe(29);
    while (disk.waiting > 0) {
      disk.finishSync();
      await settle();
    }
    await syncing;
    checkpoint();
    expect(disk.list().length).toBe(2);
  });

  test('log: as many bytes stay as the superblock says, in files of several sizes', () => {
    const backend = new MemoryBackend();
    const segments = [2048, 8192, 2048, 8192].map((size, index) => {
      const segment = new Segment(index + 1, backend.open(`log-${index + 1}`, { create: true }));
      return Object.assign(segment, { size, limit: size, ready: true });
    });
    const recycler = new SegmentRecycler(backend, new LogHealth(), 2048, segments, []);
    recycler.trim(1, 2048 + 8192);
    expect(backend.list()).toEqual(['log-1', 'log-2']);
    recycler.trim(1, 2048);
    expect(backend.list()).toEqual(['log-1']);
  });

  test('log: on a full disk promised space stays, though the last segment is given back', async () => {
    const disk = new CrashDisk(new Random(seed));
    const { core, log } = await newLog(disk);
    const parts = [1, 2, 3, 4].map((sequence) => commit(sequence, valueFor(sequence, 3000)));
    log.prepareSync(payloadLength(parts), 4);
    const write = (part: (typeof parts)[number]) => log.write(LOG_AREA, buildPayload(core, [part]), true);
    write(parts[0]!);
    const made = disk.list();
    disk.onWrite = (file) => (made.includes(file) ? undefined : 0);
    expect(() => log.prepareSync(100_000)).toThrow(expect.objectContaining({ code: 'OUT_OF_SPACE' }));
    // The rest of the first segment is promised, and the next one with it.
    const rest = [400, 3000, 3000].map((size, index) => commit(2 + index, valueFor(2 + index, size)));
    log.prepareSync(payloadLength(rest), 3);
    log.plan(log.end);
    log.release(log.end);
    for (const part of rest) write(part);
    expect(log.failure).toBeUndefined();
  });

  test('log: space that nobody waits for any more is given back', async () => {
    const backend = new MemoryBackend();
    const { core, log, checkpoint } = await newLog(backend);
    log.prepareSync(100_000);
    const made = backend.list().length;
    expect(made).toBeGreaterThan(20);
    checkpoint();
    expect(backend.list().length).toBe(made);
    writeGroup(core, log, [commit(1, valueFor(1, 10))]);
    checkpoint();
    expect(backend.list().length).toBe(2);
    // A commit that is taken back needs no space either.
    log.prepareSync(100_000);
    log.write(LOG_AREA, buildPayload(core, [commit(2, valueFor(2, 3000), 1)]), false);
    log.takeBack(new Error('x'));
    checkpoint();
    checkpoint();
    expect(backend.list().length).toBe(2);
  });
});

describe('files that stay', () => {
  test('log: of a file below the checkpoint, and of one that was never used, one sector is read', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 65_536 });
    for (let sequence = 1; sequence < 12; sequence++)
      writeGroup(core, log, [commit(sequence, valueFor(sequence, 60_000))]);
    log.syncSync();
    const start = { ...log.position, sequence: 11, mark: log.durable, size: log.plan(log.end) };
    log.prepareSync(200_000);
    const counts = countReads(backend);
    expect((await readLog(backend, start)).sequences).toEqual([]);
    const names = backend.list();
    expect(names.length).toBeGreaterThan(14);
    for (const name of names) {
      if (name !== 'log-11') expect([name, counts.get(name)]).toEqual([name, 512]);
    }
    const unused = Buffer.alloc(512);
    unused.write('ANEW');
    expect(contentOf(backend, names.at(-1)!).subarray(0, 512)).toEqual(new Uint8Array(unused));
    // Nor what lies before the checkpoint in the file that goes on.
    expect(counts.get('log-11')).toBeLessThan(4 * 4096);
  });

  test('log: what lies behind a header that is gone is looked at, whatever the checkpoint', async () => {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 4096 });
    for (let sequence = 1; sequence < 4; sequence++)
      writeGroup(core, log, [commit(sequence, valueFor(sequence, 3000))]);
    const start = { ...log.position, sequence: 3, mark: 0, size: 0 };
    for (let sequence = 4; sequence < 6; sequence++) {
      writeGroup(core, log, [commit(sequence, valueFor(sequence, 1000))]);
      log.syncSync();
    }
    const names = backend.list();
    const last = names.at(-1)!;
    overwrite(backend, last, 0, new Uint8Array(512));
    await expect(readLog(backend, start)).rejects.toMatchObject({ code: 'CORRUPTION' });
  });

  test('log: a file that was filled beyond what was used of it is filled anew before it is used', async () => {
    const disk = new CrashDisk(new Random(seed));
    const first = await openLog(disk, { segmentSize: 2048 });
    writeGroup(first.core, first.log, [commit(1, valueFor(1, 1000))]);
    writeGroup(first.core, first.log, [commit(2, valueFor(2, 1000))]);
    first.log.syncSync();
    const start = {
      ...first.log.position,
      sequence: 2,
      mark: first.log.durable,
      size: first.log.plan(first.log.end),
    };
    // Made longer by a life that ended before it had synced that.
    const file = disk.open('log-1', { create: false });
    file.truncate(8192);
    disk.events.length = 0;
    const { log } = await openLog(disk, { start, segmentSize: 8192 });
    log.prepareSync(4000);
    const writes = disk.events.filter(
      ({ operation, file: name }) => operation === 'write' && name === 'log-1',
    );
    expect(writes).toEqual([expect.objectContaining({ position: 2048, length: 6144 })]);
    expect(log.plan(log.end)).toBe(8192);
  });
});
