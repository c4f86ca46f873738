import { describe, expect, test } from 'vitest';
import { bytes as debug } from '../../build/wasm/debug.js';
import { randomFrom } from '../support/codec-data.ts';
import { CoreDriver } from '../support/core-driver.ts';
import { checkAll, Walk } from '../support/core-model.ts';
import { long, seed } from '../support/seed.ts';

const builds = [
  { name: 'release', module: {}, steps: 100_000, most: 6000 },
  { name: 'debug', module: { module: debug }, steps: 16_000, most: 1200 },
];
const rows = builds.flatMap((build) => [4096, 8192, 65536].map((pageSize) => ({ ...build, pageSize })));

describe.each(rows)('$name, pages of $pageSize', ({ module, steps, most, pageSize }) => {
  test.each([
    { pool: 'a pool that fits', frames: 4000 },
    { pool: 'the smallest pool', frames: 16 },
  ])('tree: a random walk agrees with a sorted model in $pool', ({ frames }) => {
    const count = ((frames === 16 ? steps / 3 : steps) * (long ? 20 : 1)) / (pageSize === 65536 ? 3 : 1);
    const random = randomFrom(seed + pageSize + frames);
    const driver = new CoreDriver({
      ...module,
      pageSize,
      frames: frames === 16 ? 16 : (frames * 8192) / pageSize,
    });
    const walk = new Walk(driver, driver.create(), random);
    for (let i = 0; i < count; i++) walk.step(most);
    checkAll(driver, 1, walk.model);
    expect(driver.x.pinnedCount()).toBe(0);
  });
});
