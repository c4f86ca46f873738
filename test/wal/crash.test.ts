import { expect, test } from 'vitest';
import { long, seed, sized } from '../support/seed.ts';
import { CrashModel, newTally } from './crash-model.ts';
import { newCore } from './log-kit.ts';
import { Random } from './random.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? sized(80, 300, 20_000));
const LIVES = 8;

test(
  'log: no power cut, failed sync or full disk takes what was promised or brings back what was not',
  async () => {
    const core = newCore('release');
    const tally = newTally();
    for (let round = 0; round < ROUNDS; round++) {
      const random = new Random(seed * 1_000_003 + round);
      const segmentSize = [2048, 4096, 16_384][random.below(3)]!;
      try {
        await new CrashModel(core, random, tally, segmentSize).live(LIVES);
      } catch (error) {
        throw new Error(`SEED=${seed} round ${round}: ${error}`, { cause: error });
      }
    }
    // A model in which nothing happens proves nothing.
    expect(tally.lives).toBe(ROUNDS * LIVES);
    expect(tally.commits).toBeGreaterThan(ROUNDS * 50);
    const rare = [
      tally.cuts,
      tally.kills,
      tally.failedSyncs,
      tally.givenUp,
      tally.takenBack,
      tally.recoveriesCut,
      tally.tornTails,
      tally.closes,
    ];
    expect(Math.min(...rare)).toBeGreaterThan(ROUNDS);
  },
  long ? 1_200_000 : 60_000,
);
