/*
 * The Hermitage table and two further anomalies: every cell at both levels, over both backends, with both forms of
 * commit. What a level allows must really happen: an engine that is stricter than it says is wrong here too.
 */
import { afterAll, expect, test } from 'vitest';
import { StorageEngine } from '../../src/engine/engine.ts';
import { temporaryFolder } from '../support/place.ts';
import { report } from '../support/report.ts';
import { type AnomalyRow, further, hermitage, type Verdict } from './anomalies.ts';
import { type CommitForm, Stage } from './interleaving.ts';
import { type Patch, patchedEngine } from './patched-engine.ts';
import { seededBugs } from './seeded-bugs.ts';

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

/** Bugs of test/isolation/seeded-bugs.ts, and the cells in which the table shows them. */
const controls: readonly [bug: string, cells: readonly string[]][] = [
  ['no first committer wins', ['P4, snapshot', 'G-single, snapshot']],
  [
    'what was read is not validated',
    ['G2-item, serializable', 'G2, serializable', 'read-only anomaly, serializable'],
  ],
  ['ranges read are not noted', ['G2, serializable']],
  ['what an aborted transaction wrote becomes visible', ['G1a, snapshot', 'G1a, serializable']],
  ['a snapshot moves on', ['G-single, snapshot', 'G-single, serializable']],
];

/** What a random history meets now and then happens always in a script. */
function always(patches: readonly Patch[]): Patch[] {
  return patches.map((patch) => ({
    ...patch,
    to: patch.to.replace('this.#context.handle.sequence % 8 === 0', 'true'),
  }));
}

test.each(controls)('isolation: the table shows that %s', async (name, expected) => {
  const bug = seededBugs.find((one) => one.name === name);
  const open = await patchedEngine(always(bug?.patches ?? []), temporaryFolder(), name);
  const changed: string[] = [];
  for (const row of [...hermitage, ...further]) {
    for (const level of LEVELS) {
      const db = await open({});
      const played: boolean[] = [];
      for (const script of Object.values(row.scripts)) {
        const happened = await script(new Stage(db, level, 'promise')).catch(() => undefined);
        played.push(happened === (row[level] === 'allows'));
      }
      if (played.includes(false)) changed.push(`${row.name}, ${level}`);
      await db.close();
    }
  }
  expect(changed).toEqual(expected);
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
