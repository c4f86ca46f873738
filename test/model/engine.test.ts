/*
 * The engine against a sorted model: random operations of every kind over configurations from the smallest pool to an
 * ample one (test/support/model-run.ts says what is compared). A failure names the seed and the last operations;
 * MODEL=… runs the settings whose name it matches, ROUNDS=… runs more than one seed.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { randomFrom } from '../support/codec-data.ts';
import { LocalPlace, MemoryPlace } from '../support/model-place.ts';
import { ModelRun } from '../support/model-run.ts';
import { type ModelConfig, newTally } from '../support/model-store.ts';
import { seed, sized } from '../support/seed.ts';

interface Setting extends ModelConfig {
  /** In memory, in memory with power cuts, or in a folder. */
  readonly place: 'memory' | 'power' | 'local';
  /** Thousands of operations of the quick form and of the long one. */
  readonly quick: number;
  readonly full: number;
}

const usual = {
  place: 'power',
  wal: true,
  sync: true,
  pageSize: 4096,
  frames: 16,
  compression: 'none',
  debug: false,
  huge: 2,
  keys: 3000,
} as const;

const settings: readonly Setting[] = [
  { ...usual, name: 'smallest pool', quick: 8, full: 140 },
  { ...usual, name: 'smallest pool, relaxed commits', sync: false, compression: 'lz4', quick: 7, full: 120 },
  {
    ...usual,
    name: 'smallest pool, log off',
    place: 'memory',
    wal: false,
    compression: 'lz4',
    quick: 7,
    full: 120,
  },
  { ...usual, name: 'smallest pool of large pages', pageSize: 65536, compression: 'lz4', quick: 4, full: 60 },
  {
    ...usual,
    name: 'large pages, log off',
    place: 'memory',
    pageSize: 65536,
    wal: false,
    huge: 6,
    quick: 3,
    full: 50,
  },
  { ...usual, name: 'ample pool', pageSize: 8192, frames: 4096, huge: 6, keys: 8000, quick: 6, full: 110 },
  { ...usual, name: 'few keys', pageSize: 8192, frames: 64, keys: 50, huge: 0, quick: 6, full: 110 },
  { ...usual, name: 'power cuts', keys: 600, huge: 0, crashes: 60, quick: 2, full: 60 },
  { ...usual, name: 'changing settings', changing: true, quick: 6, full: 110 },
  { ...usual, name: 'debug build', debug: true, compression: 'lz4', quick: 5, full: 90 },
  {
    ...usual,
    name: 'debug build, log off',
    place: 'memory',
    debug: true,
    pageSize: 8192,
    frames: 24,
    wal: false,
    quick: 4,
    full: 60,
  },
  { ...usual, name: 'folder', place: 'local', pageSize: 8192, compression: 'lz4', quick: 2, full: 20 },
  { ...usual, name: 'folder, relaxed commits', place: 'local', sync: false, frames: 64, quick: 2, full: 40 },
  { ...usual, name: 'folder, log off', place: 'local', wal: false, debug: true, quick: 2, full: 20 },
  { ...usual, name: 'named tree', tree: 'a tree', crashes: 8, quick: 4, full: 80 },
  { ...usual, name: 'named tree, debug build', tree: 'ä', debug: true, frames: 24, quick: 3, full: 60 },
];

const tally = newTally();
const only = process.env['MODEL'];
const rounds = Number(process.env['ROUNDS'] ?? 1);
const begun = performance.now();

describe('engine model', () => {
  for (const [index, setting] of settings.entries()) {
    if (only !== undefined && !new RegExp(only).test(setting.name)) continue;
    test(`engine: it agrees with the model: ${setting.name}`, { timeout: 3_600_000 }, async () => {
      for (let round = 0; round < rounds; ++round) {
        const own = seed * 1_000_003 + round * 101 + index;
        const place =
          setting.place === 'local'
            ? new LocalPlace()
            : new MemoryPlace(randomFrom(own + 7), setting.place === 'power');
        const before = tally.operations;
        const operations = sized(100 * setting.quick, 1000 * setting.quick, 1000 * setting.full);
        try {
          await new ModelRun(setting, place, own, tally).run(operations);
          expect(tally.operations - before).toBeGreaterThanOrEqual(operations);
        } catch (error) {
          const what = error instanceof Error ? error.message : String(error);
          throw new Error(`SEED=${seed} round ${round}: ${what}`, { cause: error });
        }
      }
    });
  }

  afterAll(() => {
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    console.log(`engine model, seed ${seed}: ${JSON.stringify(tally)}, ${seconds} s`);
    expect(tally.operations).toBeGreaterThan(0);
  });
});
