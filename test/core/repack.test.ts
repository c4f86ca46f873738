/*
 * Repacking: each step is held against a sorted model and, in the debug build, against the audit of every page it
 * touches; what comes out is fuller, holds the same records, and has nothing left to be done.
 */
import { describe, expect, test } from 'vitest';
import { KEY_AREA, NOT_FOUND, OK, OUT_AREA, PAGE_INNER, PAGE_LEAF } from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import { randomFrom } from '../support/codec-data.ts';
import { CoreDriver } from '../support/core-driver.ts';
import { bytesOf, checkAll, Model, Walk } from '../support/core-model.ts';
import { long, seed } from '../support/seed.ts';

const builds = [
  { name: 'release', module: {} },
  { name: 'debug', module: { module: debug } },
];
const rows = builds.flatMap((build) => [4096, 65536].map((pageSize) => ({ ...build, pageSize })));

interface Sum {
  merged: number;
  filled: number;
  held: number;
}

/** Goes once along a level; `each` is called after every step. */
function repackLevel(
  driver: CoreDriver,
  root: number,
  level: number,
  held = 0,
  each: () => void = () => undefined,
): Sum & { pages: number } {
  const { x } = driver;
  const sum = { merged: 0, filled: 0, held: 0, pages: 0 };
  for (let key: Uint8Array | undefined = new Uint8Array(0); key; ) {
    const at: Uint8Array = key;
    const status = driver.serve(() => {
      driver.core.u8.set(at, KEY_AREA);
      return x.treeRepack(root, at.length, level, held);
    });
    driver.x.framesUnpin();
    if (status !== OK && status !== NOT_FOUND) throw new Error(`status ${status}`);
    const length = x.peerNext();
    const next = length < 0 ? undefined : driver.core.u8.slice(OUT_AREA, OUT_AREA + length);
    if (status === NOT_FOUND && x.peerProtected()) sum.held++;
    if (status === OK && x.peerMerged()) sum.merged++;
    else {
      if (status === OK) sum.filled++;
      if (status === OK || x.peerParent() !== root) sum.pages++;
      if (next && Buffer.compare(next, at) <= 0) throw new Error('the way along a level goes on');
      key = next;
    }
    if (status === OK) each();
  }
  return sum;
}

/** Repacks all levels until nothing happens any more. */
function repack(driver: CoreDriver, root: number, each?: () => void): Sum {
  const total: Sum = { merged: 0, filled: 0, held: 0 };
  for (let pass = 0; ; pass++) {
    if (pass > 20) throw new Error('repacking ends');
    let done = 0;
    for (let level = 0; level < 6; level++) {
      const { merged, filled } = repackLevel(driver, root, level, 0, each);
      total.merged += merged;
      total.filled += filled;
      done += merged + filled;
    }
    if (done === 0) return total;
  }
}

function keyOf(index: number): Buffer {
  return Buffer.from(`user:${String(index).padStart(8, '0')}`);
}

/** How full the pages of a kind are, all of them in frames. */
function fillOf(driver: CoreDriver, kind: number): number[] {
  const { x } = driver;
  const fills: number[] = [];
  for (let frame = 1; frame <= driver.core.frames; frame++) {
    if (x.frameNewest(x.frameNumber(frame)) !== frame || (driver.shapeOf(frame) & 0xff) !== kind) continue;
    fills.push(driver.fillOf(frame) / 1000);
  }
  return fills;
}

const mean = (list: readonly number[]) => list.reduce((sum, one) => sum + one, 0) / list.length;

describe.each(rows)('$name, pages of $pageSize', ({ module, pageSize, name }) => {
  const scale = (name === 'debug' ? 0.2 : 0.5) * (long ? 8 : 1);

  test.each([
    { pool: 'a pool that fits', frames: 3000 },
    { pool: 'the smallest pool', frames: 16 },
  ])('repack: a tree of any shape keeps its records in $pool', ({ frames }) => {
    const random = randomFrom(seed + pageSize + frames);
    const driver = new CoreDriver({
      ...module,
      pageSize,
      frames: frames === 16 ? 16 : (frames * 8192) / pageSize,
    });
    const root = driver.create();
    const walk = new Walk(driver, root, random);
    let steps = 0;
    for (let round = 0; round < 12 * scale; round++) {
      for (let i = 0; i < 700; i++) walk.step(round % 2 === 0 ? 3000 : 150);
      const often = 1 + random(60);
      const { merged, filled } = repack(driver, root, () => {
        if (++steps % often === 0) checkAll(driver, root, walk.model);
      });
      steps += merged + filled;
      checkAll(driver, root, walk.model);
      expect(driver.x.pinnedCount()).toBe(0);
    }
    expect(steps).toBeGreaterThan(20);
  });

  test('repack: snapshots taken before, and in the middle, see what they saw', () => {
    const random = randomFrom(seed + pageSize);
    const driver = new CoreDriver({ ...module, pageSize, frames: 300 });
    const root = driver.create();
    const walk = new Walk(driver, root, random);
    const seen: { epoch: number; model: Model }[] = [];
    let versions = 0;
    for (let round = 0; round < 6 * scale; round++) {
      for (let i = 0; i < 400; i++) walk.step(round % 2 === 0 ? 1500 : 100);
      seen.push({ epoch: driver.open(), model: walk.model.copy() });
      let steps = 0;
      repack(driver, root, () => {
        if (++steps % 40 === 0) seen.push({ epoch: driver.open(), model: walk.model.copy() });
      });
      driver.drain();
      versions = Math.max(versions, driver.oldVersions());
      for (const { epoch, model } of seen) checkAll(driver, root, model, epoch);
      for (const { epoch } of seen.splice(0)) driver.close(epoch);
      expect(driver.oldVersions()).toBe(0);
    }
    expect(versions).toBeGreaterThan(0);
  });

  test('repack: half empty leaves become full ones', () => {
    const count = Math.floor(9000 * scale);
    const driver = new CoreDriver({
      ...module,
      pageSize,
      frames: Math.ceil((count * 600) / pageSize) + 100,
    });
    const root = driver.create();
    const model = new Model();
    const random = randomFrom(seed);
    for (let i = 0; i < count; i++) {
      const key = keyOf(random(1e7));
      driver.put(root, key, new Uint8Array(60 + random(60)).fill(i));
      model.set(key.toString(), new Uint8Array(0));
    }
    for (const key of model.keys.slice()) {
      if (random(10) < 8 && driver.delete(root, bytesOf(key))) model.delete(key);
    }
    const before = fillOf(driver, PAGE_LEAF);
    expect(mean(before)).toBeLessThan(0.6);
    const { merged } = repack(driver, root);
    const after = fillOf(driver, PAGE_LEAF);
    expect(merged).toBeGreaterThan(0);
    expect(after.length).toBeLessThan(before.length * 0.65 + 2);
    // All but the last of each parent, which may have anything.
    const parents = fillOf(driver, PAGE_INNER).length;
    expect(after.filter((fill) => fill < 0.9).length).toBeLessThanOrEqual(Math.max(1, parents));
    expect(driver.count(root, undefined, undefined, 0)).toBe(model.keys.length);
    for (const key of model.keys) expect(driver.get(root, bytesOf(key))).toBeInstanceOf(Uint8Array);
  });

  test('repack: pages that are in no frame come in, and are held against their own bounds', () => {
    const driver = new CoreDriver({ ...module, pageSize, frames: 16 });
    const root = driver.create();
    const model = new Model();
    const random = randomFrom(seed);
    for (let i = 0; i < 2500; i++) {
      const value = new Uint8Array(random(pageSize / 16)).fill(i);
      driver.put(root, keyOf(i), value);
      model.set(keyOf(i).toString(), value);
    }
    for (const key of model.keys.slice()) {
      if (random(10) < 6 && driver.delete(root, bytesOf(key))) model.delete(key);
    }
    const before = driver.misses;
    const { merged, filled } = repack(driver, root);
    expect(merged + filled).toBeGreaterThan(20);
    expect(driver.misses - before).toBeGreaterThan(40);
    checkAll(driver, root, model);
  });

  test('repack: separators that leave their parent no space are left where they are', () => {
    const driver = new CoreDriver({ ...module, pageSize, frames: 900 });
    const root = driver.create();
    const random = randomFrom(seed);
    const model = new Model();
    // Keys as long as they may be, that part at their ends: so do their separators.
    const longKey = (index: number) => {
      const key = Buffer.alloc(pageSize / 8, 0x2f);
      key.writeUInt16BE(index * 7, key.length - 2 - random(2));
      return key;
    };
    for (let i = 0; i < 500; i++) {
      const key = i % 3 === 0 ? keyOf(i) : longKey(i);
      const value = new Uint8Array(random(pageSize / 10)).fill(i);
      driver.put(root, key, value);
      model.set(key.toString('latin1'), value);
    }
    for (const key of model.keys.slice()) {
      if (random(3) === 0) continue;
      expect(driver.delete(root, bytesOf(key))).toBe(true);
      model.delete(key);
    }
    const pages = driver.pagesUsed();
    let steps = 0;
    const { merged, filled } = repack(driver, root, () => {
      if (++steps % 25 === 0) checkAll(driver, root, model);
    });
    expect(merged + filled).toBeGreaterThan(0);
    expect(driver.pagesUsed()).toBeLessThan(pages);
    checkAll(driver, root, model);
  });

  test('repack: a parent that short separators have filled takes no long one', () => {
    const random = randomFrom(seed);
    for (let round = 0; round < (pageSize === 4096 ? 8 : 1); round++) {
      const driver = new CoreDriver({ ...module, pageSize, frames: 900 });
      const root = driver.create();
      const model = new Model();
      // Few keys of a group fit in a page: between groups a separator is short, within one it is a whole key.
      const few = 3 + random(3);
      const value = new Uint8Array(random(pageSize / 16));
      for (let group = 0; group < 120; group++) {
        for (let i = 0; i < few; i++) {
          const key = Buffer.alloc(pageSize / 8, 0x2f);
          key.writeUInt16BE(group * 11, 0);
          key[key.length - 1] = i;
          driver.put(root, key, value);
          model.set(key.toString('latin1'), value);
        }
      }
      for (const key of model.keys.slice()) {
        if (random(5) > 1 || !driver.delete(root, bytesOf(key))) continue;
        model.delete(key);
      }
      repack(driver, root);
      checkAll(driver, root, model);
      expect(model.keys.length).toBeGreaterThan(100);
    }
  });

  test('repack: what an old snapshot sees is not touched, what it does not see is', () => {
    const driver = new CoreDriver({ ...module, pageSize, frames: 600 });
    const root = driver.create();
    const value = new Uint8Array(pageSize / 40);
    for (let i = 0; i < 2000; i++) driver.put(root, keyOf(i), value);
    for (let i = 0; i < 2000; i++) if (i % 3 > 0) driver.delete(root, keyOf(i));
    const epoch = driver.open();
    const pages = driver.pagesUsed();
    const none = repackLevel(driver, root, 0, epoch);
    expect(none).toMatchObject({ merged: 0, filled: 0 });
    expect(none.held).toBeGreaterThan(0);
    expect(driver.pagesUsed()).toBe(pages);
    // Changed since: two neighbours at the start of the tree.
    for (let i = 0; i < 200; i++) driver.put(root, keyOf(i * 3), new Uint8Array(3));
    expect(repackLevel(driver, root, 0, epoch).merged).toBeGreaterThan(0);
    driver.close(epoch);
    repackLevel(driver, root, 0, 0);
    expect(driver.pagesUsed()).toBeLessThan(pages / 2);
    expect(driver.count(root, undefined, undefined, 0)).toBe(667);
  });

  test('repack: a root with one child takes its place', () => {
    const driver = new CoreDriver({ ...module, pageSize, frames: 600 });
    const root = driver.create();
    const value = new Uint8Array(pageSize / 20);
    for (let i = 0; i < 3000; i++) driver.put(root, keyOf(i), value);
    // Deletes that merge nothing leave the way down as it was.
    driver.x.mergesSet(false);
    for (let i = 0; i < 3000; i++) if (i % 600 !== 5) driver.delete(root, keyOf(i));
    driver.x.mergesSet(true);
    expect(driver.pagesUsed()).toBeGreaterThan(5);
    repack(driver, root);
    expect(driver.pagesUsed()).toBe(1);
    for (let i = 0; i < 5; i++) expect(driver.get(root, keyOf(i * 600 + 5))).toEqual(value);
    expect(driver.count(root, undefined, undefined, 0)).toBe(5);
  });
});
