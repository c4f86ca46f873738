/*
 * Simulated power cuts, faults and deaths in the lives of hostile callers (test/support/hostile-caller.ts): what is found
 * afterwards is what was handed over, not what the caller made of its memory while the commit was on its way.
 */
import '../support/hostile-caller.ts';
import { afterAll, expect, test } from 'vitest';
import { cutProfiles } from '../simulation/cut-profiles.ts';
import { explore, nothingExplored } from '../simulation/explorer.ts';
import { tally } from '../support/hostile-caller.ts';
import { long, seed, sized } from '../support/seed.ts';

const FILE = 'test/hostile/crash.test.ts';
const PROGRAMS = sized(20, 200, 50_000);
/** Milliseconds in which even a slow machine is done. */
const TIMEOUT = long ? 12 * 3_600_000 : 900_000;

cutProfiles(
  'simulated power cuts, hostile callers',
  FILE,
  {
    mixed: 'leaves anything else than what a hostile caller gave',
    blocking: 'leaves anything else than what a hostile caller gave that never yields',
    large: 'leaves anything else than what a hostile caller gave in many groups',
    compaction: 'leaves anything else than what a hostile caller gave, while a store is compacted',
  },
  long
    ? { mixed: 200_000, blocking: 100_000, large: 10_000, compaction: 50_000 }
    : { mixed: 200, blocking: 100, large: 100, compaction: 100 },
);

test('explorer: many hostile callers, two faults and an end break no promise', {
  timeout: TIMEOUT,
}, async () => {
  const explored = nothingExplored();
  for (let n = 0; n < PROGRAMS; n++) await explore(seed * 10_000_000 + n, explored);
  expect(explored.programs).toBe(PROGRAMS);
});

afterAll(() => {
  for (const times of Object.values(tally)) expect(times).toBeGreaterThan(100);
});
