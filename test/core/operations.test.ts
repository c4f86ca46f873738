import { describe, expect, test } from 'vitest';
import {
  INPUT_AREA,
  KEY_AREA,
  LOG_AREA,
  LOG_BUFFER_SIZE,
  NOT_FOUND,
  OK,
  OUT_AREA,
  PART_FIRST,
  PART_HEADER_SIZE,
  PART_LAST,
  RECORD_DELETE,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  RECORD_PUT_LONG,
  RECORD_VALUE,
} from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import { LATEST } from '../../src/core/wasm.ts';
import { randomFrom } from '../support/codec-data.ts';
import { CoreDriver } from '../support/core-driver.ts';
import {
  bytesOf,
  checkAll,
  expectSame,
  keyMaker,
  Model,
  TOMBSTONE,
  textOf,
  valueMaker,
  Walk,
} from '../support/core-model.ts';
import { seed } from '../support/seed.ts';

const builds = [
  { name: 'release', module: {}, batches: 150 },
  { name: 'debug', module: { module: debug }, batches: 20 },
];
const rows = builds.flatMap((build) => [
  { ...build, pool: 'a pool that fits', frames: 3000 },
  { ...build, pool: 'the smallest pool', frames: 16 },
]);

/** Packs records where the log builds them. */
class Packer {
  readonly start = LOG_AREA + PART_HEADER_SIZE;
  end = this.start;
  count = 0;
  readonly #driver: CoreDriver;

  constructor(driver: CoreDriver) {
    this.#driver = driver;
  }

  add(kind: number, tree: number, key: Uint8Array, value: Uint8Array): void {
    const { u8 } = this.#driver.core;
    u8.set(key, this.end + RECORD_HEADER_SIZE);
    u8.set(value, this.end + RECORD_HEADER_SIZE + key.length);
    this.end = this.#driver.x.recordSeal(this.end, kind, tree, key.length, value.length);
    this.count++;
  }

  addLong(tree: number, key: Uint8Array, value: Uint8Array): void {
    this.#driver.core.u8.set(key, this.end + RECORD_HEADER_SIZE);
    this.end = this.#driver.x.recordSealLong(this.end, RECORD_PUT_LONG, tree, key.length, value.length);
    this.count++;
    for (let at = 0; at < value.length; at += 1000) {
      this.add(RECORD_VALUE, tree, new Uint8Array(0), value.subarray(at, at + 1000));
    }
  }

  hasRoom(): boolean {
    return this.end < LOG_AREA + LOG_BUFFER_SIZE - 100_000;
  }
}

describe.each(rows)('$name', ({ module, batches, pool, frames }) => {
  const make = () => new CoreDriver({ ...module, pageSize: 4096, frames });

  test(`operations: packed records do what single operations do, in ${pool}`, () => {
    const random = randomFrom(seed);
    const driver = make();
    const [key, value] = [keyMaker(random, 512), valueMaker(random, 4096)];
    const trees = [0, 1, 2].map((tree) => {
      const isPrivate = tree === 2;
      return { root: driver.create(isPrivate), model: new Model(), isPrivate };
    });
    for (let batch = 0; batch < batches; batch++) {
      const packer = new Packer(driver);
      let [removed, tree] = [0, 0];
      for (let i = 0; i < 100 && packer.hasRoom(); i++) {
        if (random(8) === 0) tree = random(3);
        const { model, isPrivate } = trees[tree]!;
        const present = model.keys[random(model.keys.length)];
        const name = random(2) === 0 && present !== undefined ? bytesOf(present) : key();
        if (random(10) < (batch % 40 < 25 ? 3 : 8)) {
          packer.add(RECORD_DELETE, tree, name, new Uint8Array(0));
          if (isPrivate) model.set(textOf(name), TOMBSTONE);
          if (isPrivate || model.delete(textOf(name))) removed++;
        } else {
          const content = value(name.length);
          if (content.length > 2000 && random(2) === 0) packer.addLong(tree, name, content);
          else packer.add(RECORD_PUT, tree, name, content);
          model.set(textOf(name), content);
        }
      }
      const roots = trees.map(({ root }) => root);
      expect(driver.apply(roots, packer.start, packer.end)).toBe(removed);
      if (batch % 10 === 0) for (const { root, model } of trees) checkAll(driver, root, model);
    }
    for (const { root, model } of trees) checkAll(driver, root, model);
  });

  test(`operations: notes tell which keys changed after a sequence, in ${pool}`, () => {
    const random = randomFrom(seed + 1);
    const driver = make();
    const notes = driver.create(true);
    const newest = new Map<string, number>();
    const key = keyMaker(random, 512);
    for (let sequence = 1; sequence <= batches; sequence++) {
      const packer = new Packer(driver);
      for (let i = 0; i < 20; i++) {
        const name = key();
        newest.set(textOf(name), sequence * 1e9);
        const shape = random(3);
        if (shape === 0) packer.addLong(5, name, new Uint8Array(2500));
        else
          packer.add(shape === 1 ? RECORD_PUT : RECORD_DELETE, 5, name, new Uint8Array(shape === 1 ? 9 : 0));
      }
      driver.bulk(packer.start, packer.end, (at, end) =>
        driver.x.recordsAddRecent(notes, 5, at, end, sequence * 1e9),
      );
      for (let i = 0; i < 20; i++) {
        const name = key();
        const since = random(sequence + 1) * 1e9;
        driver.core.u8.set(name, KEY_AREA);
        expect(driver.serve(() => driver.x.recentSince(notes, KEY_AREA, name.length, since))).toBe(OK);
        expect(driver.x.valueLength() === 1).toBe((newest.get(textOf(name)) ?? 0) > since);
        driver.x.framesUnpin();
      }
    }
    expect(newest.size).toBeGreaterThan(100);
  });

  test(`operations: a group of keys is answered like each of them, in ${pool}`, () => {
    const random = randomFrom(seed + 2);
    const driver = make();
    const root = driver.create();
    const walk = new Walk(driver, root, random);
    for (let i = 0; i < batches * 40; i++) walk.change();
    const snapshot = { epoch: driver.open(), model: walk.model.copy() };
    for (let i = 0; i < batches * 4; i++) walk.change();
    for (let i = 0; i < batches * 10; i++) {
      const { epoch, model } = i % 2 === 0 ? snapshot : { epoch: LATEST, model: walk.model };
      const keys = Array.from({ length: random(17) }, () => walk.key());
      let at = INPUT_AREA;
      for (const key of keys) {
        driver.core.u32[at / 4] = key.length;
        driver.core.u8.set(key, at + 4);
        at = (at + 4 + key.length + 3) & ~3;
      }
      expect(driver.serve(() => driver.x.treeGetGroup(root, epoch, keys.length))).toBe(OK);
      const answers = keys.map((key, index) => {
        const slot = OUT_AREA / 4 + index * 2;
        const [length, address] = [driver.core.i32[slot]!, driver.core.u32[slot + 1]!];
        return {
          key,
          length,
          value: length < 0 ? undefined : driver.core.u8.slice(address, address + length),
        };
      });
      driver.x.framesUnpin();
      for (const { key, length, value } of answers) {
        const expected = model.values.get(textOf(key));
        if (length === -3) {
          const found = driver.get(root, key, epoch);
          expectSame(found, expected, () => 'elsewhere');
        } else expectSame(value, expected, () => `group ${Buffer.from(key).toString('hex')}`);
      }
    }
  });
});

describe.each(builds)('$name', ({ module }) => {
  test('operations: a part says what was sealed, and its padding is zero', () => {
    const driver = new CoreDriver({ ...module, pageSize: 8192, frames: 50 });
    const { x } = driver;
    driver.core.u8.fill(0xff, LOG_AREA, LOG_AREA + 4096);
    const packer = new Packer(driver);
    packer.add(RECORD_PUT, 3, bytesOf('key'), bytesOf('value'));
    packer.addLong(4, bytesOf('long'), new Uint8Array(1500));
    packer.add(RECORD_DELETE, 3, bytesOf('key2'), new Uint8Array(0));
    const end = x.partSeal(LOG_AREA, packer.end, PART_FIRST | PART_LAST, 2 ** 52 + 1, packer.count);
    expect(end % 8).toBe(0);
    expect(x.partBytes(LOG_AREA)).toBe(end - LOG_AREA - PART_HEADER_SIZE);
    expect(x.partFlags(LOG_AREA)).toBe(PART_FIRST | PART_LAST);
    expect(x.partSequence(LOG_AREA)).toBe(2 ** 52 + 1);
    expect(x.partRecords(LOG_AREA)).toBe(5);
    const records: number[][] = [];
    let at = packer.start;
    for (let i = 0; i < 5; i++, at = x.recordEnd(at)) {
      records.push([x.recordKind(at), x.recordTree(at), x.recordKeyBytes(at), x.recordValueBytes(at)]);
      expect(at % 4).toBe(0);
    }
    expect(records).toEqual([
      [RECORD_PUT, 3, 3, 5],
      [RECORD_PUT_LONG, 4, 4, 1500],
      [RECORD_VALUE, 4, 0, 1000],
      [RECORD_VALUE, 4, 0, 500],
      [RECORD_DELETE, 3, 4, 0],
    ]);
    expect(at).toBe(packer.end);
    expect([...driver.core.u8.subarray(packer.end, end)]).toEqual(new Array(end - packer.end).fill(0));
  });

  test('operations: touching records brings in every leaf they change', () => {
    const random = randomFrom(seed + 3);
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 3000 });
    const root = driver.create();
    for (let i = 0; i < 5000; i++) driver.put(root, keyMaker(random, 60)(), new Uint8Array(60));
    driver.flush();
    for (let frame = 1; frame <= driver.core.frames; frame++) {
      if (driver.x.frameNewest(driver.x.frameNumber(frame)) === frame) driver.x.frameDrop(frame);
    }
    const packer = new Packer(driver);
    for (let i = 0; i < 300; i++) packer.add(RECORD_PUT, 1, keyMaker(random, 60)(), new Uint8Array(1));
    driver.bulk(packer.start, packer.end, (at, end) => driver.x.recordsTouch(root, 1, at, end));
    const before = driver.misses;
    expect(before).toBeGreaterThan(50);
    driver.apply([0, root], packer.start, packer.end);
    expect(driver.misses).toBe(before);
  });

  test('operations: a tree is ended when it is empty, its root brought in first', () => {
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 100 });
    const root = driver.create();
    driver.put(root, bytesOf('a'), bytesOf('1'));
    const used = driver.pagesUsed();
    expect(driver.serve(() => driver.x.treeEnd(root))).toBe(NOT_FOUND);
    expect(driver.get(root, bytesOf('a'))).toEqual(new Uint8Array(bytesOf('1')));
    driver.delete(root, bytesOf('a'));
    driver.flush();
    driver.reclaim(driver.core.framesMax);
    expect(driver.x.frameNewest(root)).toBe(0);
    expect(driver.serve(() => driver.x.treeEnd(root))).toBe(OK);
    driver.settle();
    expect(driver.pagesUsed()).toBe(used - 1);
  });

  test('operations: a page in no frame is not renewed', () => {
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 100 });
    const root = driver.create();
    driver.put(root, bytesOf('a'), bytesOf('1'));
    driver.flush();
    driver.reclaim(driver.core.framesMax);
    expect(driver.serve(() => driver.x.pageRenew(root))).toBe(NOT_FOUND);
    expect(driver.get(root, bytesOf('a'))).toEqual(new Uint8Array(bytesOf('1')));
    expect(driver.x.dirtyCount()).toBe(0);
    expect(driver.serve(() => driver.x.pageRenew(root))).toBe(OK);
    expect(driver.x.dirtyCount()).toBe(1);
  });

  test('operations: what comes for another tree is left to it', () => {
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 100 });
    const root = driver.create();
    const packer = new Packer(driver);
    packer.add(RECORD_PUT, 1, bytesOf('a'), bytesOf('1'));
    const second = packer.end;
    packer.add(RECORD_PUT, 2, bytesOf('a'), bytesOf('2'));
    for (const call of [
      () => driver.x.recordsTouch(root, 1, packer.start, packer.end),
      () => driver.x.recordsApply(root, 1, packer.start, packer.end, false),
    ]) {
      expect(driver.serve(call)).toBe(OK);
      expect(driver.x.applyAt()).toBe(second);
    }
    expect(driver.get(root, bytesOf('a'))).toEqual(new Uint8Array(bytesOf('1')));
  });
});
