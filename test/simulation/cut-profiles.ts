/* Simulated power cuts of some profiles as tests, and the figures of all of them together as one row. */
import { afterAll, expect, test } from 'vitest';
import { report } from '../support/report.ts';
import { seed, sized } from '../support/seed.ts';
import { newTally, type Tally } from './crashes.ts';
import type { ProfileName } from './profile.ts';
import { simulate } from './simulate.ts';

/** Different crash states for each profile. */
type States = Readonly<Partial<Record<ProfileName, number>>>;

/** In the full size more than 20,000 together, and more than a million in the long one. */
const STATES: States = {
  mixed: sized(1200, 9200, 500_000),
  blocking: sized(600, 4500, 200_000),
  modes: sized(400, 3000, 150_000),
  'failed-sync': sized(400, 3000, 150_000),
  large: sized(100, 500, 20_000),
  zstd: sized(100, 400, 100_000),
  compaction: sized(200, 900, 150_000),
};

/** Milliseconds in which even a slow machine is done. */
const TIMEOUT = sized(1, 1, 48) * 900_000;

/** One test for each profile, named by what no power cut does, and one row of figures. */
export function cutProfiles(
  row: string,
  file: string,
  facts: Readonly<Partial<Record<ProfileName, string>>>,
  sizes = STATES,
): void {
  const total = newTally();
  for (const [name, fact] of Object.entries(facts)) {
    const profile = name as ProfileName;
    test(`simulation: no power cut ${fact}`, { timeout: TIMEOUT }, async () => {
      const states = sizes[profile]!;
      const tally = await simulate({ seed: seed * 1_000_000, states, profile });
      for (const count of Object.keys(total) as (keyof Tally)[]) total[count] += tally[count];
      expect(tally.states).toBeGreaterThanOrEqual(states);
    });
  }

  afterAll(() => {
    const { states, second, third, kills, rotten, failedSyncs, verified, stores, commits } = total;
    const figures = {
      'different crash states': states,
      'of them inside a recovery': second,
      'inside the one after that': third,
      'deaths of the process': kills,
      'rotten superblock slots': rotten,
      'failed syncs': failedSyncs,
      'stores verified': verified,
      stores,
      commits,
    };
    // A violation ends a run, so these are what the tests above have seen, or they have failed.
    report(row, { ...figures, lost: 0, partial: 0, unreadable: 0 }, `npx vitest run ${file}`);
  });
}
