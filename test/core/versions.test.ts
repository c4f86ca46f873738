import { describe, expect, test } from 'vitest';
import { bytes as debug } from '../../build/wasm/debug.js';
import { randomFrom } from '../support/codec-data.ts';
import { CoreDriver } from '../support/core-driver.ts';
import { checkAll, checkCount, type Model, Walk } from '../support/core-model.ts';
import { long, seed } from '../support/seed.ts';

const builds = [
  { name: 'release', module: {}, steps: 40_000 },
  { name: 'debug', module: { module: debug }, steps: 6_000 },
];
const rows = builds.flatMap((build) => [
  { ...build, pages: 'shared', pool: 'a pool that fits', frames: 3000 },
  { ...build, pages: 'shared', pool: 'the smallest pool', frames: 16 },
  { ...build, pages: 'private', pool: 'a pool that fits', frames: 3000 },
  { ...build, pages: 'private', pool: 'the smallest pool', frames: 16 },
]);

interface Snapshot {
  epoch: number;
  model: Model;
}

/** A random walk with up to `most` snapshots open; every read of one sees the model's copy of its moment. */
class VersionWalk {
  readonly driver: CoreDriver;
  readonly root: number;
  readonly walk: Walk;
  readonly snapshots: Snapshot[] = [];
  readonly #random: (limit: number) => number;
  readonly #private: boolean;

  constructor(driver: CoreDriver, isPrivate: boolean, random: (limit: number) => number) {
    this.driver = driver;
    this.root = driver.create(isPrivate);
    this.walk = new Walk(driver, this.root, random, 100);
    this.walk.buries = isPrivate;
    this.#random = random;
    this.#private = isPrivate;
  }

  step(): void {
    const shape = this.#random(300);
    if (shape === 0) this.open();
    else if (shape === 1) this.closeOne();
    else if (shape === 2) this.flush();
    else if (shape < 200 || this.snapshots.length === 0) this.walk.step(2500);
    else this.read(this.snapshots[this.#random(this.snapshots.length)]!, shape);
  }

  open(): void {
    if (this.snapshots.length === 7) return;
    this.snapshots.push({ epoch: this.driver.open(this.#private), model: this.walk.model.copy() });
  }

  closeOne(): void {
    if (this.snapshots.length === 0) return;
    const [snapshot] = this.snapshots.splice(this.#random(this.snapshots.length), 1);
    if (this.#random(3) === 0) checkAll(this.driver, this.root, snapshot!.model, snapshot!.epoch);
    this.driver.close(snapshot!.epoch, this.#private);
  }

  /** Writes what is dirty, as a checkpoint does: all of it, or what one snapshot sees. */
  flush(): void {
    this.driver.flush(this.snapshots[this.#random(this.snapshots.length + 1)]?.epoch);
  }

  read(snapshot: Snapshot, shape: number): void {
    if (shape < 290) this.walk.get(snapshot.model, snapshot.epoch);
    else this.walk.range(snapshot.model, snapshot.epoch);
  }

  /** Checks every snapshot once more and closes them. */
  checkEnd(): void {
    for (const { epoch, model } of this.snapshots) {
      checkAll(this.driver, this.root, model, epoch);
      checkCount(this.driver, this.root, model, { flags: 0 }, epoch);
    }
    checkAll(this.driver, this.root, this.walk.model);
    while (this.snapshots.length > 0) this.driver.close(this.snapshots.pop()!.epoch, this.#private);
  }
}

describe.each(rows)('$name, $pages pages', ({ module, steps, pages, frames, pool }) => {
  test(`versions: snapshots hold their bytes while the tree changes, in ${pool}`, () => {
    const random = randomFrom(seed + frames);
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames });
    const walk = new VersionWalk(driver, pages === 'private', random);
    const count = (frames === 16 ? steps / 2 : steps) * (long ? 20 : 1);
    for (let i = 0; i < count; i++) walk.step();
    walk.checkEnd();
    expect([driver.oldVersions(), driver.x.oldResident()]).toEqual([0, 0]);
  });
});

describe.each(builds)('$name', ({ module, steps }) => {
  test('versions: snapshots of the store and of private trees share a clock and nothing else', () => {
    const random = randomFrom(seed);
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 60 });
    const walks = [new VersionWalk(driver, false, random), new VersionWalk(driver, true, random)];
    for (let i = 0; i < steps / 4; i++) walks[random(2)]!.step();
    for (const walk of walks) walk.checkEnd();
    expect([driver.oldVersions(), driver.x.oldResident()]).toEqual([0, 0]);
  });

  test('versions: the clock moves with the first change after a snapshot, and a page is set aside once', () => {
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 50 });
    const root = driver.create();
    const key = Uint8Array.of(1);
    const change = (times: number) => {
      for (let i = 0; i < times; i++) driver.put(root, key, Uint8Array.of(i));
    };
    change(5);
    expect([driver.x.epochCurrent(), driver.x.eventCount()]).toEqual([1, 0]);
    const first = driver.open();
    expect(driver.open()).toBe(first);
    expect(driver.x.epochCurrent()).toBe(first);
    change(5);
    expect(driver.x.epochCurrent()).toBe(first + 1);
    driver.drain();
    expect(driver.oldVersions()).toBe(1);
    const second = driver.open();
    change(5);
    driver.flush();
    change(5);
    driver.drain();
    expect([second, driver.x.epochCurrent(), driver.oldVersions()]).toEqual([first + 1, first + 2, 2]);
    driver.close(second);
    expect(driver.oldVersions()).toBe(1);
    driver.close(first);
    expect(driver.oldVersions()).toBe(1);
    driver.close(first);
    expect([driver.oldVersions(), driver.x.oldResident()]).toEqual([0, 0]);
  });
});
