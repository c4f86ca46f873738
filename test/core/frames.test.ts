import { describe, expect, test } from 'vitest';
import { KEY_AREA, MISS, STATE_AREA, VICTIM_AREA } from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import { LATEST } from '../../src/core/wasm.ts';
import { randomFrom } from '../support/codec-data.ts';
import { CoreDriver } from '../support/core-driver.ts';
import { long, seed } from '../support/seed.ts';

const KEYS = 20_000;

function keyOf(index: number): Uint8Array {
  const key = Buffer.alloc(16, 0x61);
  key.writeUInt32BE(index, 12);
  return key;
}

/** Exact least-recently-used replacement of pages. */
class Lru {
  readonly #pages = new Set<number>();
  readonly #size: number;
  misses = 0;

  constructor(size: number) {
    this.#size = size;
  }

  read(page: number): void {
    if (!this.#pages.delete(page)) {
      this.misses++;
      if (this.#pages.size === this.#size) this.#pages.delete(this.#pages.values().next().value!);
    }
    this.#pages.add(page);
  }
}

/** Picks 0..count-1 with Zipf's frequencies, the popular ones spread over the whole range. */
function zipf(count: number, exponent: number, random: (limit: number) => number): () => number {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += 1 / (i + 1) ** exponent;
    sums[i] = sum;
  }
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const other = random(i + 1);
    [order[i], order[other]] = [order[other]!, order[i]!];
  }
  return () => {
    const at = (random(2 ** 31) / 2 ** 31) * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < at) low = middle + 1;
      else high = middle;
    }
    return order[low]!;
  };
}

/** A tree of 200-byte values on the disk, a pool over it, and the path of pages to every key. */
function makeTree(frames: number) {
  const builder = new CoreDriver({ pageSize: 4096, frames: 3000 });
  const root = builder.create();
  for (let i = 0; i < KEYS; i++) builder.put(root, keyOf((i * 7919) % KEYS), new Uint8Array(200).fill(i));
  const paths: number[][] = [];
  for (let i = 0; i < KEYS; i++) {
    builder.get(root, keyOf(i));
    const frame = Math.floor((builder.x.valueAddress() - builder.x.frameAddress(0)) / 4096);
    const parent = builder.core.u32[(STATE_AREA + 0x400 + 20) / 4]!; // where the walk came from (assembly/tree/btree.ts)
    paths.push([root, builder.x.frameNumber(parent), builder.x.frameNumber(frame)]);
  }
  builder.flush();
  const driver = new CoreDriver({ pageSize: 4096, frames });
  driver.adopt(builder);
  return { driver, root, paths };
}

describe('replacement', () => {
  test.each([
    { exponent: 0.7, share: 0.1 },
    { exponent: 0.9, share: 0.1 },
    { exponent: 0.9, share: 0.4 },
    { exponent: 1.1, share: 0.05 },
  ])(
    'frames: the hit rate of Zipf $exponent reads, $share in frames, is that of exact LRU',
    ({ exponent, share }) => {
      const random = randomFrom(seed);
      const { driver, root, paths } = makeTree(Math.round(1700 * share));
      const lru = new Lru(driver.core.framesMax);
      const pick = zipf(KEYS, exponent, random);
      const reads = 60_000 * (long ? 10 : 1);
      for (let i = 0; i < reads; i++) {
        const index = pick();
        expectValue(driver, root, index);
        for (const page of paths[index]!) lru.read(page);
      }
      const [ours, exact] = [1 - driver.misses / (3 * reads), 1 - lru.misses / (3 * reads)];
      expect(ours).toBeGreaterThan(exact - 0.01);
    },
  );

  test('frames: point reads keep more hits than under exact LRU when a scan goes on beside them', () => {
    const random = randomFrom(seed);
    const { driver, root, paths } = makeTree(180);
    const lru = new Lru(driver.core.framesMax);
    const pick = zipf(KEYS, 0.9, random);
    let [ours, exact, from] = [0, 0, 0];
    const reads = 60_000;
    for (let i = 0; i < reads; i++) {
      const index = pick();
      const before = [driver.misses, lru.misses] as const;
      expectValue(driver, root, index);
      for (const page of paths[index]!) lru.read(page);
      ours += driver.misses - before[0];
      exact += lru.misses - before[1];
      if (i % 5 !== 0) continue;
      const { entries } = driver.rangePart(root, keyOf(from), undefined, 2, 25);
      const pages = new Set(entries.flatMap((_, offset) => paths[from + offset]!));
      for (const page of pages) lru.read(page);
      from = from + 25 >= KEYS ? 0 : from + 25;
    }
    expect(ours).toBeLessThan(exact);
  });
});

function expectValue(driver: CoreDriver, root: number, index: number): void {
  const found = driver.get(root, keyOf(index));
  if (!(found instanceof Uint8Array) || found.length !== 200) expect.fail(`key ${index} is lost`);
}

describe.each([
  { name: 'release', module: {} },
  { name: 'debug', module: { module: debug } },
])('$name', ({ module }) => {
  test('frames: a pinned frame is no victim, and becomes one when the operation ends', () => {
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 16 });
    const root = driver.create();
    for (let i = 0; i < 3000; i++) driver.put(root, keyOf(i), new Uint8Array(100));
    driver.flush();
    const { x } = driver;
    const pinned = new Set<number>();
    for (let i = 0; pinned.size < 10; i += 100) {
      driver.core.u8.set(keyOf(i), KEY_AREA);
      while (x.treeGet(root, LATEST, 16) === -2) {
        pinned.add(x.missPage());
        driver.help(MISS);
      }
    }
    const count = x.pinnedCount();
    expect(count).toBe(pinned.size);
    for (let i = 0; i < 20; i++) x.framesReclaim(driver.core.frames, 16);
    expect(x.freeCount()).toBe(driver.core.frames - count);
    for (const page of pinned) expect(x.frameNewest(page)).not.toBe(0);
    x.framesUnpin();
    expect(x.pinnedCount()).toBe(0);
    for (let i = 0; i < 3; i++) x.framesReclaim(driver.core.frames, 16);
    expect(x.freeCount()).toBe(driver.core.frames);
    expect(x.sharedResident()).toBe(0);
  });

  test('frames: a dirty frame is listed once and not dropped until it is clean', () => {
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 100 });
    const root = driver.create();
    for (let i = 0; i < 1000; i++) driver.put(root, keyOf(i), new Uint8Array(100));
    driver.drain();
    const { x } = driver;
    const dirty = x.dirtyCount();
    expect(dirty).toBeGreaterThan(30);
    const seen = new Set<number>();
    for (let i = 0; i < 100 && x.dirtyCount() > 0; i++) {
      const victims = x.framesReclaim(driver.core.frames, 7);
      expect(victims).toBeLessThanOrEqual(7);
      for (const frame of driver.core.u32.slice(VICTIM_AREA / 4, VICTIM_AREA / 4 + victims)) {
        expect(seen.has(frame)).toBe(false);
        seen.add(frame);
        driver.write(frame);
      }
    }
    expect(seen.size).toBe(dirty);
    expect(x.dirtyCount()).toBe(0);
    x.framesReclaim(driver.core.frames, 0);
    expect(x.freeCount()).toBe(driver.core.frames);
    for (let i = 0; i < 1000; i++) expect(driver.get(root, keyOf(i))).toBeDefined();
  });
});
