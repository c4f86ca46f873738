/*
 * The pool grows while it fills: the memory begins with a few frames, and every growth leaves what lies there where it
 * is, until the pool has all that was asked for or the machine refuses more.
 */
import { expect, onTestFinished, test } from 'vitest';
import { bytes as debug } from '../../build/wasm/debug.js';
import { bytes as release } from '../../build/wasm/release.js';
import { type Core, createCore } from '../../src/core/wasm.ts';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';
import { CoreDriver } from '../support/core-driver.ts';
import { brokenFrameRule } from '../support/frame-audit.ts';

/** Frames that an operation in the smallest pool needs beyond it. */
const WORKING_FRAMES = 16;

const builds = [
  ['debug', debug],
  ['release', release],
] as const;

/** Bytes that an open store of that pool holds, as the runtime counts them. */
async function heldBy(bufferPoolSize: string, stores: number): Promise<number> {
  const before = process.memoryUsage().external;
  const open = await Promise.all(
    Array.from({ length: stores }, () => StorageEngine.open({ backend: 'memory', bufferPoolSize })),
  );
  const held = process.memoryUsage().external - before;
  await Promise.all(open.map((db) => db.close()));
  return held / stores;
}

/** From now on the machine gives no more memory. */
function refuseMemory(): void {
  const { grow } = WebAssembly.Memory.prototype;
  WebAssembly.Memory.prototype.grow = () => {
    throw new RangeError('no more');
  };
  onTestFinished(() => {
    WebAssembly.Memory.prototype.grow = grow;
  });
}

function growAll(core: Core): number {
  let times = 0;
  while (core.grow()) ++times;
  return times;
}

test.each(builds)('growth, %s: a pool grows to what was asked for and no further', (name, module) => {
  const core = createCore({ pageSize: 4096, frames: 1000, storeId: [1, 2], module });
  const { x, u8 } = core;
  expect(core.frames).toBeLessThan(100);
  expect(x.freeCount()).toBe(core.frames);
  const times = growAll(core);
  expect(times).toBe(name === 'debug' ? 1000 + WORKING_FRAMES - 64 : 4);
  expect([core.frames, x.freeCount(), core.framesMax]).toEqual(Array(3).fill(1000 + WORKING_FRAMES));
  expect(brokenFrameRule(core)).toBe(0);
  expect(u8.length).toBe(0);
  // The last frame lies in the memory, whole.
  core.u8[x.frameAddress(1000 + WORKING_FRAMES) + 4095] = 7;
  expect(core.u8[x.frameAddress(1000 + WORKING_FRAMES) + 4095]).toBe(7);
});

test.each(builds)('growth, %s: a small pool has all its frames from the start', (_name, module) => {
  const core = createCore({ pageSize: 4096, frames: 16, storeId: [1, 2], module });
  expect(core.frames).toBe(16 + WORKING_FRAMES);
  expect(core.grow()).toBe(false);
});

test.each(builds)(
  'growth, %s: what lies in frames stays there, and nothing is evicted before the pool is whole',
  (_name, module) => {
    const driver = new CoreDriver({ pageSize: 4096, frames: 600, module });
    const root = driver.create();
    const keyOf = (i: number) => Buffer.from(`key ${String((i * 7919) % 8000).padStart(5, '0')}`);
    for (let i = 0; i < 8000; i++) driver.put(root, keyOf(i), Buffer.alloc(150, i));
    expect(driver.written).toBe(0);
    expect(driver.core.frames).toBeGreaterThan(400);
    expect(brokenFrameRule(driver.core)).toBe(0);
    for (let i = 0; i < 8000; i += 7) expect(driver.get(root, keyOf(i))).toEqual(new Uint8Array(150).fill(i));
  },
);

test.each(builds)('growth, %s: frames are taken in no further than the memory goes', (_name, module) => {
  const core = createCore({ pageSize: 4096, frames: 5000, storeId: [1, 2], module });
  const { x } = core;
  const added = x.framesAdd(5000);
  const last = core.frames + added;
  expect(added).toBeGreaterThan(0);
  // Wide loads look up to 64 bytes past a frame.
  expect(x.frameAddress(last) + 4096 + 64).toBeLessThanOrEqual(core.u8.length);
  expect(x.frameAddress(last + 1) + 4096 + 64).toBeGreaterThan(core.u8.length);
  expect(x.framesAdd(5000)).toBe(0);
});

/** Fills a new store with 4,000 records, reads them, and answers what its pool did. */
async function fill(begun: () => void): Promise<{ before: number; after: number; evictions: number }> {
  const backend = new MemoryBackend();
  const db = await StorageEngine.open({ backend, pageSize: 4096, bufferPoolSize: '64MB' });
  const before = db.stats().pool.frames;
  begun();
  const keyOf = (i: number) => `key ${(i * 7919) % 4000}`;
  for (let i = 0; i < 4000; i++) db.putSync(keyOf(i), Buffer.alloc(300, i));
  for (let i = 0; i < 4000; i++) expect(db.get(keyOf(i))).toEqual(new Uint8Array(300).fill(i));
  expect((await db.verify()).ok).toBe(true);
  const { frames: after, evictions } = db.stats().pool;
  await db.close();
  return { before, after, evictions };
}

test('growth: a store evicts nothing while its pool can grow', async () => {
  const frames = 16_384 + WORKING_FRAMES;
  expect(await fill(() => undefined)).toEqual({ before: frames, after: frames, evictions: 0 });
});

test('growth: where the machine refuses memory, the pool stays as it is and the store goes on', async () => {
  const { after, evictions } = await fill(refuseMemory);
  expect(after).toBe(64);
  expect(evictions).toBeGreaterThan(0);
});

test('growth: an open store costs the memory that it uses, not what it may use', async () => {
  expect(await heldBy('1GB', 4)).toBeLessThan(24 << 20); // the tables of a pool that size are 12 MiB
  expect(await heldBy('64MB', 30)).toBeLessThan(8 << 20);
});
