/* Space in the data file is made sure of in proportion to what commits can change, not to the number of calls. */
import { expect, test } from 'vitest';
import { StorageEngine } from '../../src/index.ts';
import type { SimulatedCall } from '../../src/testing/index.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';

const MIB = 2 ** 20;

/** The longest that the data file becomes while work goes on. */
async function longestData(work: (engine: StorageEngine) => Promise<unknown>): Promise<number> {
  const disk = new SimulatedBackend({ seed: 3 });
  const engine = await StorageEngine.open({ backend: disk });
  let longest = 0;
  disk.onCall = ({ operation, file, position, length }: SimulatedCall) => {
    if (operation === 'write' && file === 'data') longest = Math.max(longest, position + length);
  };
  await work(engine);
  expect((await engine.verify()).ok).toBe(true);
  await engine.close();
  return longest;
}

test('free space: thousands of small puts at once take megabytes at the most, however many wait', async () => {
  const puts = (count: number) => (engine: StorageEngine) =>
    Promise.all(Array.from({ length: count }, (_, i) => engine.put(`key ${i}`, 'v')));
  expect(await longestData(puts(4000))).toBeLessThan(4 * MIB);
  expect(await longestData(puts(20_000))).toBeLessThan(16 * MIB);
});

test('free space: a key that is written ten thousand times in a transaction or a batch is there once', async () => {
  const value = (i: number) => String(i).padEnd(1000);
  const inTransaction = await longestData((engine) =>
    engine.transaction((tx) => {
      for (let i = 0; i < 10_000; ++i) tx.put('counter', value(i));
    }),
  );
  const inBatch = await longestData((engine) =>
    engine.batch(
      Array.from({ length: 10_000 }, (_, i) => ({ type: 'put', key: 'counter', value: value(i) })),
    ),
  );
  expect([inTransaction < 4 * MIB, inBatch < 4 * MIB]).toEqual([true, true]);
});

test('free space: trees that are written to again are not made again', async () => {
  const fill = (engine: StorageEngine, value: string) =>
    engine.transaction((tx) => {
      for (let i = 0; i < 300; ++i) tx.tree(`tenant ${i}`).put('key', value);
    });
  const longest = await longestData(async (engine) => {
    await fill(engine, '1');
    await fill(engine, '2');
    expect(engine.tree('tenant 7').getString('key')).toBe('2');
  });
  expect(longest).toBeLessThan(20 * MIB);
});
