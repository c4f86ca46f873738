/*
 * Transactions that outgrow memory on a disk that is nearly full: their pages leave for the data file, and must not take
 * the space there that commits were promised when they were logged.
 */
import { expect, test } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import { StorageEngine } from '../../src/index.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';
import { sized } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

const KIB = 1024;
const value = (i: number) => `${i} `.repeat(3 * KIB).slice(0, 3 * KIB);

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (error instanceof AegisError) return error.code;
    throw error;
  }
}

/** A store with one record, on a disk with so many KiB left. */
async function openNearlyFull(space: number): Promise<StorageEngine> {
  const backend = new SimulatedBackend({ seed: space });
  const engine = await openSmall(backend, { compression: 'none' });
  await engine.put('first', value(0));
  const used = [...backend.files().values()].reduce((sum, { length }) => sum + length, 0);
  backend.capacity = used + space * KIB;
  return engine;
}

/** What was refused left nothing behind: deletes work, and the store is sound. */
async function closeSound(engine: StorageEngine): Promise<void> {
  await engine.delete('first');
  expect((await engine.verify()).problems).toEqual([]);
  await engine.close();
}

test.each([
  ['values', (tx: { put(key: string, value: string): void }, i: number) => tx.put(`own ${i}`, value(i))],
  [
    'long values',
    (tx: { put(key: string, value: string): void }, i: number) => tx.put(`own ${i}`, value(i).repeat(4)),
  ],
])(
  'free space: a transaction of many %s never takes what commits were promised',
  { timeout: 120_000 },
  async (_what, write) => {
    const seen = { done: 0, OUT_OF_SPACE: 0, full: 0 };
    for (let space = 64; space < 900; space += 18) {
      const engine = await openNearlyFull(space);
      const tx = engine.beginTransaction();
      const answers: Promise<string>[] = [];
      for (let i = 0; i < 48; i++) {
        if (i % 6 === 0) answers.push(codeOf(engine.put(`key ${i}`, value(i))));
        try {
          write(tx, i);
        } catch (error) {
          expect(error).toMatchObject({ code: 'OUT_OF_SPACE' });
          seen.full++;
          break;
        }
      }
      for (const code of await Promise.all(answers)) seen[code as 'done']++;
      tx.abort();
      await closeSound(engine);
    }
    expect(seen).toEqual({
      done: expect.any(Number),
      OUT_OF_SPACE: expect.any(Number),
      full: expect.any(Number),
    });
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(3);
  },
);

test.each<[what: string, pages: number, from: number, to: number]>([
  ['many short values', 1, 64, 900],
  ['a long value', 300, 2300, 4000],
])(
  'free space: going back to a savepoint, to %s, takes nothing of what commits were promised',
  { timeout: 120_000 },
  async (_what, pages, from, to) => {
    const seen = { done: 0, OUT_OF_SPACE: 0, back: 0, full: 0 };
    for (let space = from; space < to; space += sized(37, 11, 3)) {
      const engine = await openNearlyFull(space);
      const tx = engine.beginTransaction();
      const answers: Promise<string>[] = [];
      const keys = Array.from({ length: Math.ceil(60 / pages) }, (_none, i) => `own ${i}`);
      try {
        for (const [i, key] of keys.entries())
          tx.put(key, value(i).repeat(pages === 1 ? 1 : (pages * 4) / 3));
        const point = tx.savepoint();
        for (const key of keys) tx.put(key, 'short');
        for (let i = 0; i < 8; i++) answers.push(codeOf(engine.put(`key ${i}`, value(i))));
        tx.rollbackTo(point);
        for (const [i, key] of keys.entries()) expect(tx.getString(key)?.startsWith(value(i))).toBe(true);
        seen.back++;
      } catch (error) {
        expect(error).toMatchObject({ code: 'OUT_OF_SPACE' });
        seen.full++;
      }
      for (const code of await Promise.all(answers)) seen[code as 'done']++;
      tx.abort();
      await closeSound(engine);
    }
    expect(seen).toEqual({
      done: expect.any(Number),
      OUT_OF_SPACE: expect.any(Number),
      back: expect.any(Number),
      full: expect.any(Number),
    });
    expect(Math.min(seen.done, seen.back, seen.full), JSON.stringify(seen)).toBeGreaterThan(3);
  },
);

test.each([1, 3, 6])(
  'free space: a large commit into many leaves is refused before it is logged, with %d MiB',
  {
    timeout: 120_000,
  },
  async (space) => {
    const backend = new SimulatedBackend({ seed: 1 });
    const engine = await StorageEngine.open({
      backend,
      pageSize: 4096,
      bufferPoolSize: '128KB',
      // One log file has space for all of it.
      checkpointWalSize: '64MB',
      compression: 'none',
    });
    const leaves = 6000;
    for (let i = 0; i < leaves; i += 100) {
      engine.batchSync(
        Array.from({ length: 100 }, (_none, j) => ({
          type: 'put',
          key: `leaf ${i + j + 1000}`,
          value: 'x'.repeat(900),
        })),
      );
    }
    await engine.checkpoint();
    // Its own pages are few, and it changes a leaf with each record.
    const tx = engine.beginTransaction();
    for (let i = 0; i < leaves; i += 3) tx.put(`leaf ${i + 1000}`, 'z'.repeat(900));
    let used = 0;
    for (const { length } of backend.files().values()) used += length;
    backend.capacity = used + space * KIB * KIB;
    expect(await codeOf(tx.commit())).toBe('OUT_OF_SPACE');
    await engine.delete('leaf 1000');
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
  },
);
