/* What fails while log files are written, synced or taken back: what the log says of it, and what is left. */
import { describe, expect, test } from 'vitest';
import { LOG_AREA, PART_FIRST, PART_LAST } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { LogHealth } from '../../src/wal/health.ts';
import type { Log, LogCore } from '../../src/wal/log.ts';
import {
  BEGINNING,
  buildPayload,
  commit,
  newDisk,
  openLog,
  readLog,
  valueFor,
  writeGroup,
} from './log-kit.ts';
import { Random } from './random.ts';

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
