/* Simulated power cuts, all profiles in turn: their sizes, and the figures of all together. */
import { afterAll, expect, test } from 'vitest';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';
import { newTally, type Tally } from './crashes.ts';
import type { ProfileName } from './profile.ts';
import { simulate } from './simulate.ts';

/** Different crash states for each profile: more than 20,000 together, and more than a million in the long size. */
const STATES: Readonly<Record<ProfileName, number>> = long
  ? { mixed: 500_000, blocking: 200_000, modes: 150_000, 'failed-sync': 150_000, large: 20_000 }
  : { mixed: 9200, blocking: 4500, modes: 3000, 'failed-sync': 3000, large: 500 };

/** Milliseconds in which even a slow machine is done. */
const TIMEOUT = long ? 12 * 3_600_000 : 900_000;

const total = newTally();

const facts: readonly (readonly [ProfileName, string])[] = [
  ['mixed', 'takes a promised commit, shows half of one or ruins a store'],
  ['blocking', 'breaks a promise to a program that never yields'],
  ['modes', 'breaks a promise with the log on and off, and commits that are not synced at once'],
  ['failed-sync', 'breaks a promise when syncs failed and lied before it'],
  ['large', 'breaks a promise about commits of many groups'],
];

for (const [profile, fact] of facts) {
  test(`simulation: no power cut ${fact}`, { timeout: TIMEOUT }, async () => {
    const tally = await simulate({ seed: seed * 1_000_000, states: STATES[profile], profile });
    for (const name of Object.keys(total) as (keyof Tally)[]) total[name] += tally[name];
    expect(tally.states).toBeGreaterThanOrEqual(STATES[profile]);
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
  const command = 'npx vitest run test/simulation/power-cuts.test.ts';
  report('simulated power cuts', { ...figures, lost: 0, partial: 0, unreadable: 0 }, command);
});
