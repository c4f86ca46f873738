/*
 * Random histories of many concurrent transactions over the real engine, judged by two checkers that know nothing of
 * it. SEED=… repeats a run; HISTORY=… runs one history of it alone.
 */
import { expect, test } from 'vitest';
import { resolveConfig } from '../../src/config/config.ts';
import { openEngine } from '../../src/engine/engine.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import { shown, type Violation } from './history.ts';
import { judgeHistory } from './judge.ts';
import { type OpenEngine, RandomHistory, type RunTally } from './random-history.ts';

const HISTORIES = sized(4, 55, 1050);
const TRANSACTIONS = long ? 1000 : 600;
const HOUR = 3_600_000;

const open: OpenEngine = (config) => openEngine(resolveConfig(config), undefined);

test(`isolation: ${HISTORIES} random histories have no violation`, { timeout: 4 * HOUR }, async () => {
  const only = process.env['HISTORY'];
  const total: RunTally = { transactions: 0, singles: 0, views: 0, committed: 0, refused: 0, crashes: 0 };
  let violations = 0;
  for (let index = 0; index < HISTORIES; ++index) {
    if (only !== undefined && Number(only) !== index) continue;
    const run = new RandomHistory(open, seed * 1_000_003 + index);
    const where = `history ${index}: SEED=${seed} HISTORY=${index}${long ? ' AEGIS_LONG=1' : ''} npx vitest run test/isolation/histories`;
    const history = await run.run(TRANSACTIONS).catch((error: unknown) => {
      throw new Error(where, { cause: error });
    });
    const found = judgeHistory(history, run.settings);
    violations += found.length;
    if (found.length > 0) {
      const all = history.epochs.flatMap(({ transactions }) => transactions);
      const about = new Set(found.slice(0, 3).flatMap(({ ids }) => ids.slice(0, 8)));
      const lines = all.filter(({ id }) => about.has(id)).map(shown);
      const what = found.slice(0, 5).map((violation: Violation) => `${violation.what} (${violation.ids})`);
      throw new Error([where, JSON.stringify(run.settings.config), ...what, ...lines].join('\n'));
    }
    for (const name of Object.keys(total) as (keyof RunTally)[]) total[name] += run.tally[name];
  }
  if (only !== undefined) return;
  // A store that refuses everything has no violations either.
  expect(total.committed).toBeGreaterThan(total.transactions / 3);
  expect(total.refused).toBeGreaterThan(total.transactions / 50);
  expect(violations).toBe(0);
  report(
    'isolation histories',
    {
      transactions: total.transactions,
      'single operations': total.singles,
      histories: HISTORIES,
      crashes: total.crashes,
      conflicts: total.refused,
      violations,
    },
    'npx vitest run test/isolation/histories',
  );
});
