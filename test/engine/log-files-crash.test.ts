/* Log files that are given back when the power goes, on full disks, and beside what is not the store's. */
import { expect, test } from 'vitest';
import { createCore } from '../../src/core/wasm.ts';
import type { StorageConfig, StorageEngine } from '../../src/index.ts';
import { readSlot } from '../../src/store/superblock.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';
import { FaultyBackend } from '../support/faults.ts';
import { backendOf } from '../support/files.ts';
import { rejected } from '../support/refused.ts';
import { seed, sized } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';
import { logsOf, small } from './log-files-kit.ts';

/** Space for a burst that starts no checkpoint. */
const spacious: Partial<StorageConfig> = { ...small, checkpointWalSize: '4MB' };

/** A store with a burst behind it, and commits that no checkpoint holds. */
async function afterBurst(disk: SimulatedBackend): Promise<{ engine: StorageEngine; keys: Set<string> }> {
  const engine = await openSmall(disk, spacious);
  const keys = new Set<string>();
  const put = async (key: string, length: number): Promise<void> => {
    await engine.put(key, new Uint8Array(length).fill(key.length));
    keys.add(key);
  };
  await put('large', 3_500_000);
  for (let i = 0; i < 5; i++) await put(`key ${i}`, 2000);
  return { engine, keys };
}

/** A state that a power cut, or the death of the process, leaves. */
interface Left {
  readonly disk: SimulatedBackend;
  readonly keys: readonly string[];
  readonly where: string;
}

async function judge({ disk, keys, where }: Left): Promise<void> {
  const engine = await openSmall(disk, small);
  for (const key of keys) expect(engine.has(key), `${where}: ${key}`).toBe(true);
  expect((await engine.verify()).ok, where).toBe(true);
  await engine.put('next', new Uint8Array(300_000));
  await engine.close();
  expect(logsOf(disk), where).toEqual([]);
}

test.each(['checkpoint', 'compact', 'close', 'putSync'] as const)(
  'log: a power cut at any call while files are given back leaves a whole store (%s)',
  async (how) => {
    const disk = new SimulatedBackend({ seed });
    const { engine, keys } = await afterBurst(disk);
    const left: Left[] = [];
    let removed = 0;
    disk.onCall = ({ number, operation, file, position }) => {
      if (operation === 'remove') removed++;
      // The other calls are other tests' business.
      const isSlot = file === 'data' && position < 8192 && /write|sync/.test(operation);
      if (!isSlot && operation !== 'remove') return;
      if (number % sized(3, 1, 1) !== 0) return;
      const where = `SEED=${seed}, ${how}, after call ${number}, ${operation} ${file}`;
      const now = [...keys];
      for (const state of [
        disk.kill(),
        disk.crash(),
        disk.crash(({ kind }) => kind !== 'entry'),
        disk.crash(),
      ])
        left.push({ disk: state, keys: now, where });
    };
    if (how === 'putSync') {
      // A program that never yields: the checkpoint is driven to its end inside a put.
      for (let i = 0; i < 6; i++) {
        engine.putSync(`more ${i}`, new Uint8Array(1_000_000));
        keys.add(`more ${i}`);
      }
    } else await engine[how]();
    disk.onCall = undefined;
    expect(removed).toBeGreaterThan(3);
    for (const state of left) await judge(state);
    if (how !== 'close') await engine.close();
  },
  sized(1, 1, 12) * 300_000,
);

test('log: files that come back after a power cut change nothing, and go again', async () => {
  const disk = new SimulatedBackend({ seed });
  const { engine, keys } = await afterBurst(disk);
  const before = logsOf(disk).length;
  await engine.close();
  expect(logsOf(disk)).toEqual([]);
  const back = disk.crash(({ kind }) => kind !== 'entry');
  expect(logsOf(back).length).toBeGreaterThan(before / 2);
  const again = await openSmall(back, small);
  expect([...keys].every((key) => again.has(key))).toBe(true);
  await again.put('more', 'value');
  const cut = await openSmall(back.crash(), small);
  expect(cut.has('more')).toBe(true);
  await cut.close();
  await again.close();
  expect(logsOf(back)).toEqual([]);
});

test('log: a writer’s fence is above all that the one before it took, also when their files are gone', async () => {
  const host = {
    now: () => 0,
    random: (target: Uint8Array) => void target.fill(0),
    later: (ms: number, run: () => void) => {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
  };
  const backend = new FaultyBackend();
  Object.assign(backend, { host });
  const core = createCore({ pageSize: 4096, frames: 1, storeId: [0, 0] });
  const fence = (): number => {
    const content = readSlot(core, backend.open('data', { create: false }), 0);
    return 'superblock' in content ? content.superblock.fence : 0;
  };
  const engine = await openSmall(backend, small);
  await engine.put('key', 'value');
  const first = fence();
  let refusals = 0;
  backend.plan = ({ operation, file }) =>
    operation === 'write' && file.startsWith('log-') && refusals++ % 2 === 0 ? { errno: 'EIO' } : undefined;
  const tries = 5;
  for (let i = 0; i < tries; i++) await rejected('IO_ERROR', () => engine.put('key', `other ${i}`));
  backend.plan = () => undefined;
  await engine.close();
  expect(logsOf({ list: () => [...backend.files.keys()] })).toEqual([]);
  const again = await openSmall(backend, small);
  expect(fence()).toBeGreaterThan(first + tries);
  await again.close();
});

// --- full disks and other backends --------------------------------------------------------------------------------

test('log: on a full disk deletes work after the store was closed and opened again', async () => {
  for (
    let capacity = 900_000, round = 0;
    capacity < 3_000_000;
    capacity = Math.round(capacity * 1.3), round++
  ) {
    const backend = new FaultyBackend();
    const config = { checkpointWalSize: round % 2 === 0 ? '512KB' : '4MB', compression: 'none' } as const;
    const engine = await openSmall(backend, config);
    backend.capacity = capacity;
    let written = 0;
    await rejected('OUT_OF_SPACE', async () => {
      for (; ; written++) await engine.put(`more ${written}`, `${written} `.repeat(written % 1000));
    });
    await engine.close();
    for (let life = 0; life < 3; life++) {
      const again = await openSmall(backend, config);
      const where = `${capacity} bytes, life ${life}`;
      expect(again.count(), where).toBe(written);
      // Who puts until the disk is full again must not take the space that deletes need.
      let more = 0;
      await rejected('OUT_OF_SPACE', async () => {
        for (; ; more++) await again.put(`yet ${more}`, new Uint8Array(3000));
      });
      for (let i = 0; i < more; i++) expect(await again.delete(`yet ${i}`), where).toBe(true);
      for (let i = 0; i < 5; i++) expect(await again.delete(`more ${--written}`), where).toBe(true);
      await again.close();
    }
  }
});

test('log: when somebody else took the space, commits are refused before anything is promised', async () => {
  const backend = new FaultyBackend();
  const engine = await openSmall(backend, small);
  for (let i = 0; i < 40; i++) await engine.put(`key ${i}`, new Uint8Array(3000));
  await engine.close();
  const used = [...backend.files.values()].reduce((sum, { length }) => sum + length, 0);
  backend.capacity = Math.ceil(used / 4096) * 4096;
  const again = await openSmall(backend, small);
  await rejected('OUT_OF_SPACE', () => again.put('more', 'value'));
  await rejected('OUT_OF_SPACE', () => again.delete('key 1'));
  expect([again.count(), (await again.verify()).ok]).toEqual([40, true]);
  backend.capacity += 1_000_000;
  expect(await again.delete('key 1')).toBe(true);
  await again.close();
  const last = await openSmall(backendOf(backend.files), small);
  expect(last.count()).toBe(39);
  await last.close();
});

test('log: files of a log that is turned off stay until a checkpoint holds what is in them', async () => {
  const first = new SimulatedBackend({ seed });
  const engine = await openSmall(first, small);
  const keys = Array.from({ length: 5 }, (_, i) => `key ${i}`);
  for (const key of keys) await engine.put(key, new Uint8Array(2000));
  const disk = first.kill();
  await engine.close();
  const left: Left[] = [];
  disk.onCall = ({ number, operation, file }) => {
    left.push({
      disk: disk.crash(),
      keys,
      where: `SEED=${seed}, after call ${number}, ${operation} ${file}`,
    });
  };
  const without = await openSmall(disk, { ...small, walEnabled: false });
  disk.onCall = undefined;
  expect(logsOf(disk)).toEqual([]);
  await without.close();
  for (const one of left) await judge(one);
});
