import { describe, expect, test } from 'vitest';
import { PAGE_INNER, PAGE_LEAF } from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import { randomFrom } from '../support/codec-data.ts';
import { CoreDriver } from '../support/core-driver.ts';
import { seed } from '../support/seed.ts';

const builds = [
  { name: 'release', module: {}, keys: 10_000 },
  { name: 'debug', module: { module: debug }, keys: 1500 },
];
const rows = builds.flatMap((build) => [4096, 8192, 65536].map((pageSize) => ({ ...build, pageSize })));
type Order = 'ascending' | 'descending' | 'shuffled';
const orders: Order[] = ['ascending', 'descending', 'shuffled'];

function keyOf(index: number): Uint8Array {
  const key = Buffer.from('user:           ');
  key.writeUInt32BE(index, 12);
  return key;
}

function inOrder(order: Order, count: number): number[] {
  const random = randomFrom(seed);
  const numbers = Array.from({ length: count }, (_, i) => (order === 'descending' ? count - 1 - i : i));
  for (let i = count - 1; order === 'shuffled' && i > 0; i--) {
    const other = random(i + 1);
    [numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
  }
  return numbers;
}

/** Pages of a kind, all of them in frames, and how full they are. */
function census(driver: CoreDriver, kind: number): { pages: number; fill: number } {
  const { x } = driver;
  let [pages, fill] = [0, 0];
  for (let frame = 1; frame <= driver.core.frames; frame++) {
    if (x.frameNewest(x.frameNumber(frame)) !== frame || (driver.shapeOf(frame) & 0xff) !== kind) continue;
    pages++;
    fill += driver.fillOf(frame) / 1000;
  }
  return { pages, fill: fill / pages };
}

describe.each(rows)('$name, pages of $pageSize', ({ module, keys, pageSize }) => {
  const value = new Uint8Array(100);
  const build = (order: Order) => {
    const driver = new CoreDriver({ ...module, pageSize, frames: Math.ceil((keys * 400) / pageSize) + 60 });
    const root = driver.create();
    for (const index of inOrder(order, keys)) driver.put(root, keyOf(index), value);
    return { driver, root };
  };

  test.each(orders)('tree: a load in %s order fills its leaves', (order) => {
    const { driver } = build(order);
    const leaves = census(driver, PAGE_LEAF);
    expect(leaves.fill).toBeGreaterThan(order === 'shuffled' ? 0.6 : 0.9);
    expect(leaves.pages + census(driver, PAGE_INNER).pages).toBe(driver.pagesUsed());
  });

  test.each(orders)('tree: deletes in %s order give the pages back', (order) => {
    for (const loaded of ['ascending', 'shuffled'] as const) {
      const { driver, root } = build(loaded);
      const full = driver.pagesUsed();
      const deletes = inOrder(order, keys);
      const most = Math.floor(keys * 0.9);
      for (const index of deletes.slice(0, most)) expect(driver.delete(root, keyOf(index))).toBe(true);
      // A tenth of the records, in pages that are no less than a quarter full.
      expect(driver.pagesUsed(), `${loaded}, a tenth left`).toBeLessThan(full * 0.41 + 3);
      for (const index of deletes.slice(most)) expect(driver.delete(root, keyOf(index))).toBe(true);
      expect(driver.pagesUsed(), `${loaded}, none left`).toBeLessThan(4);
      expect(driver.count(root, undefined, undefined, 0)).toBe(0);
    }
  });

  test('tree: leaves below a parent without space for a long separator are given back as well', () => {
    const driver = new CoreDriver({ ...module, pageSize, frames: 2600 });
    const root = driver.create();
    let count = 0;
    const fillOfRoot = () => {
      const frame = driver.x.frameNewest(root);
      return driver.shapeOf(frame) & 0x100 ? driver.fillOf(frame) : 0;
    };
    expect(fillOfRoot()).toBe(0);
    const big = new Uint8Array(Math.floor((pageSize - 40) / 4) - 12 - keyOf(0).length);
    const space = 1000 - (1000 * (12 + pageSize / 8)) / (pageSize - 40);
    while (fillOfRoot() < Math.floor(space) && count < 10_000) driver.put(root, keyOf(count++), big);
    expect(count).toBeLessThan(10_000);
    for (let i = 0; i < count; i++) driver.delete(root, keyOf(i));
    expect(driver.pagesUsed()).toBe(1);
  });

  test('tree: dropped chains give their pages back', () => {
    const driver = new CoreDriver({ ...module, pageSize, frames: 600 });
    const root = driver.create();
    const random = randomFrom(seed);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 40; i++) driver.put(root, keyOf(i), new Uint8Array(random(pageSize * 5)).fill(i));
    }
    for (let i = 0; i < 20; i++) driver.put(root, keyOf(i), value);
    for (let i = 20; i < 40; i++) driver.delete(root, keyOf(i));
    expect(driver.pagesUsed()).toBeLessThan(5);
    for (let i = 0; i < 20; i++) expect(driver.get(root, keyOf(i))).toEqual(value);
  });

  test('tree: long keys that part late leave no page without a way to it', () => {
    const driver = new CoreDriver({ ...module, pageSize, frames: 600 });
    const root = driver.create();
    const longKey = (index: number) => {
      const key = Buffer.alloc(pageSize / 8, 0x2f);
      key.writeUInt16BE(index, key.length - 2);
      return key;
    };
    const numbers = inOrder('shuffled', 300);
    for (const index of numbers) driver.put(root, longKey(index), Uint8Array.of(index));
    for (const index of numbers) expect(driver.get(root, longKey(index))).toEqual(Uint8Array.of(index));
    for (const index of numbers.slice(0, 290)) expect(driver.delete(root, longKey(index))).toBe(true);
    for (const index of numbers.slice(290))
      expect(driver.get(root, longKey(index))).toEqual(Uint8Array.of(index));
    expect(driver.pagesUsed()).toBeLessThan(20);
  });
});
