/*
 * The explorer as a test: a share of the programs of one run, so that each core has one. EXPLORE=seed repeats a single
 * program, EXPLORE_PROGRAMS=n runs so many in all.
 */
import { afterAll, expect, test } from 'vitest';
import { report } from '../support/report.ts';
import { seed, sized } from '../support/seed.ts';
import { explore, nothingExplored } from './explorer.ts';

const SHARES = 2;
const one = process.env['EXPLORE'];
const PROGRAMS = Number(process.env['EXPLORE_PROGRAMS'] ?? sized(100, 20_000, 1_000_000));
/** Milliseconds in which even a slow machine is done. */
const TIMEOUT = sized(1, 1, 48) * 3_600_000;

/** Programs that found a fault once. */
const KEPT = [10_018_813, 20_002_177, 30_000_084, 30_000_608, 30_000_863];

/** Runs every so-manieth program of the run; `file` says where, for people. */
export function exploring(share: number, file: string): void {
  const explored = nothingExplored();

  test(`explorer: many callers, two faults and an end break no promise, share ${share}`, {
    timeout: TIMEOUT,
  }, async () => {
    if (one !== undefined) return explore(Number(one), explored);
    for (let n = share; n < PROGRAMS; n += SHARES) await explore(seed * 10_000_000 + n, explored);
    expect(explored.programs).toBe(Math.floor((PROGRAMS - share + SHARES - 1) / SHARES));
  });

  if (share === 0) {
    test('explorer: programs that found a fault once find none', async () => {
      const kept = nothingExplored();
      for (const one of KEPT) await explore(one, kept);
      expect(kept.programs).toBe(KEPT.length);
    });

    test('explorer: the same seed is the same run', async () => {
      const [once, again] = [nothingExplored(), nothingExplored()];
      for (let n = 0; n < 3; n++) await explore(seed * 77_000 + n, once);
      for (let n = 0; n < 3; n++) await explore(seed * 77_000 + n, again);
      expect(again).toEqual(once);
    });
  }

  afterAll(() => {
    const { fates, ...figures } = explored;
    const answers = Object.fromEntries([...fates].sort(([a], [b]) => (a < b ? -1 : 1)));
    report(
      `many callers at once, share ${share}`,
      { ...figures, ...answers, violations: 0 },
      `npx vitest run ${file}`,
    );
  });
}
