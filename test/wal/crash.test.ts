import { expect, test } from 'vitest';
import { long, seed } from '../support/seed.ts';
import { CrashModel, newTally } from './crash-model.ts';
import { newCore } from './log-kit.ts';
import { Random } from './random.ts';

const rounds = Number(process.env['ROUNDS'] ?? (long ? 5000 : 300));
const first = Number(process.env['FIRST'] ?? 0);

test('log: no power cut, failed sync or full disk takes what was promised', async () => {
  const core = newCore('release');
  const tally = newTally();
  for (let round = first; round < first + rounds; round++) {
    const random = new Random(seed * 1_000_003 + round);
    const segmentSize = [2048, 4096, 16_384][random.below(3)]!;
    try {
      await new CrashModel(core, random, tally, segmentSize).live(8);
    } catch (error) {
      throw new Error(`SEED=${seed} round ${round}: ${error}`, { cause: error });
    }
  }
  console.log(tally);
  expect(tally.tornTails).toBeGreaterThan(rounds / 10);
}, 6_000_000);
