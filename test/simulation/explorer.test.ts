/*
 * Many callers at once, a fault or two, and an end: seeded programs judged by what each caller was told.
 * EXPLORE=seed repeats one program, EXPLORE_PROGRAMS=n runs so many.
 */
import { afterAll, expect, test } from 'vitest';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';
import { explore, nothingExplored } from './explorer.ts';

const one = process.env['EXPLORE'];
const PROGRAMS = Number(process.env['EXPLORE_PROGRAMS'] ?? (long ? 1_000_000 : 300));
const explored = nothingExplored();

test('explorer: many callers and two faults break no promise', { timeout: 12 * 3_600_000 }, async () => {
  if (one !== undefined) return explore(Number(one), explored);
  for (let n = 0; n < PROGRAMS; n++) await explore(seed * 10_000_000 + n, explored);
  expect(explored.programs).toBe(PROGRAMS);
});

afterAll(() => {
  const { fates, ...figures } = explored;
  report(
    'many callers at once',
    { ...figures, ...Object.fromEntries(fates), violations: 0 },
    'npx vitest run test/simulation/explorer.test.ts',
  );
});
