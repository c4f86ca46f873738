/*
 * The Hermitage table and two further anomalies: every cell at both levels, over both backends, with both forms of
 * commit. What a level allows must really happen: an engine that is stricter than it says is wrong here too.
 */
import { afterAll, expect, test } from 'vitest';
import { StorageEngine } from '../../src/engine.ts';
import { temporaryFolder } from '../support/place.ts';
import { report } from '../support/report.ts';
import { type AnomalyRow, further, hermitage, type Verdict } from './anomalies.ts';
import { type CommitForm, Stage } from './interleaving.ts';

const FORMS: readonly CommitForm[] = ['promise', 'blocking'];
const LEVELS = ['snapshot', 'serializable'] as const;
const BACKENDS = ['memory', 'local'] as const;

const tally = { cells: 0, interleavings: 0, asPromised: 0 };

async function withStore(
  backend: (typeof BACKENDS)[number],
  work: (db: StorageEngine) => Promise<void>,
): Promise<void> {
  const db = await StorageEngine.open(
    backend === 'memory' ? {} : { backend: 'local', dataDirectory: temporaryFolder() },
  );
  try {
    await work(db);
    expect((await db.verify()).problems).toEqual([]);
  } finally {
    await db.close();
  }
}

/** What happened for every script of a row, both forms of commit. */
async function played(
  db: StorageEngine,
  row: AnomalyRow,
  level: (typeof LEVELS)[number],
): Promise<Record<string, Verdict>> {
  const seen: Record<string, Verdict> = {};
  for (const form of FORMS) {
    for (const [name, script] of Object.entries(row.scripts)) {
      seen[`${name}, ${form}`] = (await script(new Stage(db, level, form))) ? 'allows' : 'stops';
      ++tally.interleavings;
    }
  }
  ++tally.cells;
  return seen;
}

const cells = BACKENDS.flatMap((backend) =>
  [...hermitage, ...further].flatMap((row) =>
    LEVELS.map((level) => ({ backend, row, name: row.name, level, verdict: row[level] })),
  ),
);

test.each(cells)('isolation: $level $verdict $name, $backend', async ({ backend, row, level, verdict }) => {
  await withStore(backend, async (db) => {
    const seen = await played(db, row, level);
    const expected = Object.fromEntries(Object.keys(seen).map((name) => [name, verdict]));
    expect(seen).toEqual(expected);
    ++tally.asPromised;
  });
});

test('isolation: the table is the one that is promised', () => {
  expect(hermitage.map(({ name }) => name)).toEqual([
    'G0',
    'G1a',
    'G1b',
    'G1c',
    'OTV',
    'PMP',
    'P4',
    'G-single',
    'G2-item',
    'G2',
  ]);
  expect(hermitage.filter(({ snapshot }) => snapshot === 'allows').map(({ name }) => name)).toEqual([
    'G2-item',
    'G2',
  ]);
  expect(hermitage.every(({ serializable }) => serializable === 'stops')).toBe(true);
});

afterAll(() => {
  // A run of some of the tests alone has no figures to tell.
  if (tally.cells !== cells.length) return;
  report(
    'Hermitage, long fork, read-only anomaly',
    { cells: cells.length, interleavings: tally.interleavings, 'as promised': tally.asPromised },
    'npx vitest run test/isolation/hermitage',
  );
});
