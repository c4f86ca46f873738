/*
 * The engine against a sorted model: random operations of every kind over configurations from the smallest pool to an
 * ample one (test/support/model-run.ts says what is compared). A failure names the seed and the last operations.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { LocalPlace, MemoryPlace } from '../support/model-place.ts';
import { type ModelConfig, ModelRun, newTally } from '../support/model-run.ts';
import { randomFrom } from '../support/codec-data.ts';
import { long, seed } from '../support/seed.ts';

interface Setting extends ModelConfig {
  readonly place: 'memory' | 'power' | 'local';
  /** Operations of the quick form and of the long one. */
  readonly quick: number;
  readonly full: number;
}

const plain = { wal: true, sync: true, compression: 'none', debug: false, huge: 2, keys: 3000 } as const;

const settings: readonly Setting[] = [
  { ...plain, name: 'smallest pool of small pages', place: 'power', pageSize: 4096, frames: 16, quick: 6000, full: 120_000 },
];

const tally = newTally();
const only = process.env['MODEL'];
const rounds = Number(process.env['ROUNDS'] ?? 1);

describe('engine model', () => {
  for (const setting of settings.filter(({ name }) => only === undefined || name.includes(only))) {
    test(`engine: ${setting.name}, and the model agrees`, { timeout: 3_600_000 }, async () => {
      for (let round = 0; round < rounds; ++round) {
        const own = seed * 1_000_003 + round * 101 + settings.indexOf(setting);
        const place =
          setting.place === 'local' ? new LocalPlace() : new MemoryPlace(randomFrom(own + 7), setting.place === 'power');
        try {
          await new ModelRun(setting, place, own, tally).run(long ? setting.full : setting.quick);
        } catch (error) {
          throw new Error(`SEED=${seed} round ${round}: ${(error as Error).message}`, { cause: error });
        }
      }
    });
  }

  afterAll(() => {
    console.log(tally);
    expect(tally.operations).toBeGreaterThan(0);
  });
});
