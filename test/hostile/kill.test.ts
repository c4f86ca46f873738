/* kill -9 of hostile callers. */
import { expect, test } from 'vitest';
import { Killing } from '../crash/killing.ts';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram } from '../support/programs.ts';
import { long, seed } from '../support/seed.ts';

const CYCLES = long ? 300 : 4;
const TIMEOUT = long ? 7_200_000 : 300_000;

test.each([true, false])(
  'kill -9: what a hostile caller gave is there, and nothing else, syncOnCommit %s',
  async (syncOnCommit) => {
    const program = await bundleProgram('test/crash/hostile-writer.ts', temporaryFolder());
    const tally = await new Killing(program, seed, syncOnCommit).run(CYCLES);
    expect(tally).toMatchObject({ cycles: CYCLES, lost: 0, partial: 0, staleLocks: 0, other: 0 });
    expect(tally.acknowledged).toBeGreaterThan(CYCLES);
  },
  TIMEOUT,
);
