/* A device that once answers something else, where the log is read again: no commit may be lost by that. */
import { describe, expect, test } from 'vitest';
import { LOG_AREA } from '../../assembly/layout.ts';
import type { StorageBackend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { AegisError } from '../../src/base/errors.ts';
import { scanLog } from '../../src/wal/scan.ts';
import { SegmentLog } from '../../src/wal/segments.ts';
import { seed, sized } from '../support/seed.ts';
import {
  BEGINNING,
  buildPayload,
  commit,
  contentOf,
  newCore,
  openLog,
  overwrite,
  readLog,
  STORE_ID,
  valueFor,
  writeGroup,
} from './log-kit.ts';
import { Random } from './random.ts';

describe('a device that once answers something else', () => {
  /** Turns a bit over in what one read of a log file brings. */
  function flaky(
    backend: MemoryBackend,
    at: { read: number; byte: number },
  ): { backend: StorageBackend; reads: () => number } {
    let reads = 0;
    const lying: StorageBackend = Object.assign(Object.create(backend) as StorageBackend, {
      open: (name: string, options: { create: boolean }) => {
        const file = backend.open(name, options);
        const { read } = file;
        file.read = (target, position) => {
          const count = read.call(file, target, position);
          if (++reads === at.read && count > 0) target[at.byte % count]! ^= 1 << (at.byte % 8);
          return count;
        };
        return file;
      },
      list: () => backend.list(),
      remove: (name: string) => backend.remove(name),
      syncDirectory: () => undefined,
    });
    return { backend: lying, reads: () => reads };
  }

  /** A log whose last commits no mark vouches for; the last one is in a segment of its own. */
  async function crashed(): Promise<MemoryBackend> {
    const backend = new MemoryBackend();
    const { core, log } = await openLog(backend, { segmentSize: 4096 });
    for (let sequence = 1; sequence < 8; sequence++) {
      if (sequence === 4) log.syncSync();
      writeGroup(core, log, [commit(sequence, valueFor(sequence, 900))]);
    }
    return backend;
  }

  test('log: no single read that brings something else costs a commit, or writes a wrong byte', async () => {
    const all = [1, 2, 3, 4, 5, 6, 7];
    const random = new Random(seed);
    let refused = 0;
    let healed = 0;
    for (let read = 1; ; read++) {
      let reads = 0;
      for (const byte of [
        0,
        30,
        70,
        512,
        560,
        900,
        ...Array.from({ length: sized(2, 10, 100) }, () => random.below(4096)),
      ]) {
        const disk = await crashed();
        const core = newCore();
        const lying = flaky(disk, { read, byte });
        const where = `SEED=${seed}, read ${read}, byte ${byte}`;
        try {
          const scan = await scanLog({ core, backend: lying.backend, storeId: STORE_ID, start: BEGINNING });
          await scan.rewriteTail();
          let replayed = 0;
          scan.replay(() => replayed++);
          expect(replayed, where).toBe(7);
          const log = new SegmentLog({
            core,
            backend: lying.backend,
            storeId: STORE_ID,
            fence: scan.highestFence + 1,
            segmentSize: 4096,
            scan,
          });
          log.prepareSync(3500);
          healed++;
        } catch (error) {
          expect((error as AegisError).code, `${where}: ${error}`).toBe('CORRUPTION');
          refused++;
        }
        reads = lying.reads();
        expect((await readLog(disk)).sequences, where).toEqual(all);
      }
      if (reads < read) break;
    }
    expect([refused > 10, healed > 10]).toEqual([true, true]);
  });

  test('log: an older group that comes back for a moment is not written over the one that was accepted', async () => {
    const disk = new MemoryBackend();
    const first = await openLog(disk, { fence: 5 });
    writeGroup(first.core, first.log, [commit(1, valueFor(1, 100))]);
    const older = contentOf(disk, 'log-1');
    overwrite(disk, 'log-1', 512, new Uint8Array(512));
    const second = await openLog(disk, { fence: 9 });
    writeGroup(second.core, second.log, [commit(1, valueFor(2, 100))]);
    const newer = contentOf(disk, 'log-1');
    // The header is that of the newer one, as if the group alone were an older copy.
    older.set(newer.subarray(0, 512));
    expect(newer).not.toEqual(older);
    for (const replays of [false, true]) {
      const scan = await scanLog({ core: newCore(), backend: disk, storeId: STORE_ID, start: BEGINNING });
      if (replays) await scan.rewriteTail();
      overwrite(disk, 'log-1', 0, older);
      const changed = expect.objectContaining({ code: 'CORRUPTION', file: 'log-1' });
      if (replays) expect(() => scan.replay(() => undefined)).toThrow(changed);
      else {
        const writes: number[] = [];
        for (const { file } of scan.segments) file.write = (_parts, position) => void writes.push(position);
        await expect(scan.rewriteTail()).rejects.toEqual(changed);
        expect(writes.filter((position) => position > 0)).toEqual([]);
      }
      overwrite(disk, 'log-1', 0, newer);
    }
  });
});

test('log: one that has no fence left for another commit that is taken back is over', async () => {
  const backend = new MemoryBackend();
  const core = newCore();
  const scan = await scanLog({ core, backend, storeId: STORE_ID, start: BEGINNING });
  await scan.rewriteTail();
  const options = { core, backend, storeId: STORE_ID, segmentSize: 4096, scan };
  const log = new SegmentLog({ ...options, fence: 7, fences: 3 });
  const takeBackOne = (): void => {
    log.prepareSync(6000);
    log.write(LOG_AREA, buildPayload(core, [commit(1, valueFor(1, 2500), 1)]), false);
    log.takeBack(new Error('x'));
  };
  takeBackOne();
  takeBackOne();
  expect(log.failure).toBeUndefined();
  takeBackOne();
  expect(log.failure).toMatchObject({ code: 'STORE_FAILED' });
});
