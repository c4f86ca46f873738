/*
 * The anomalies as scripts: each plays one interleaving and answers whether the anomaly happened.
 *
 * Names and interleavings are those of Martin Kleppmann's Hermitage (github.com/ept/hermitage, 2014), which made
 * scripts of the phenomena of Atul Adya's thesis ("Weak Consistency", MIT 1999: G0, G1a-c, G-single, G2-item, G2; PMP
 * and OTV as in Bailis et al. 2013; P4 as in Berenson et al. 1995). The read-only anomaly is that of Fekete, O'Neil
 * and O'Neil, "A Read-Only Transaction Anomaly Under Snapshot Isolation" (SIGMOD Record 2004); long fork is the one of
 * Sovran et al. (SOSP 2011).
 *
 * Where a database would make a writer wait for another, this engine lets both go on and refuses the later commit.
 */
import type { Actor, Rows, Stage } from './interleaving.ts';

/** Plays an interleaving; answers whether the anomaly happened. */
export type Script = (stage: Stage) => Promise<boolean>;

const ALL = (): boolean => true;

/** Whether two sets of rows are the same. */
function same(rows: Rows, expected: Rows): boolean {
  return JSON.stringify(rows) === JSON.stringify(expected);
}

/** A script that cannot go on as it is written proves nothing. */
function mustHold(condition: boolean, what: string): void {
  if (!condition) throw new Error(`the script is not played as written: ${what}`);
}

// --- Hermitage ------------------------------------------------------------------------------------------------------

/** Dirty write: the writes of two transactions to two rows end up mixed. */
async function g0(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  t1.set(1, 11);
  t2.set(1, 12);
  t1.set(2, 21);
  mustHold(await t1.commit(), 'the first commit is let in');
  t2.set(2, 22);
  const second = await t2.commit();
  return !same(stage.rows(), second ? { 1: 12, 2: 22 } : { 1: 11, 2: 21 });
}

/** Aborted read. */
async function g1a(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  t1.set(1, 101);
  const before = t2.get(1);
  t1.abort();
  const after = t2.get(1);
  mustHold(await t2.commit(), 'a reader is never refused');
  // Whatever was on its way is there when a later commit is.
  await stage.db.put('elsewhere', '');
  const late = stage.transaction().get(1);
  return before !== 10 || after !== 10 || late !== 10;
}

/** Intermediate read. */
async function g1b(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  t1.set(1, 101);
  const before = t2.get(1);
  t1.set(1, 11);
  mustHold(await t1.commit(), 'the only writer is let in');
  const after = t2.get(1);
  mustHold(await t2.commit(), 'a reader is never refused');
  return before === 101 || after === 101 || stage.transaction().get(1) !== 11;
}

/** Circular information flow: each reads what the other wrote. */
async function g1c(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  t1.set(1, 11);
  t2.set(2, 22);
  const of2 = t1.get(2);
  const of1 = t2.get(1);
  await t1.commit();
  await t2.commit();
  return of2 === 22 && of1 === 11;
}

/** Observed transaction vanishes: a reader sees part of a transaction, and then what it overwrote. */
async function otv(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2, t3] = [stage.transaction(), stage.transaction(), stage.transaction()];
  t1.set(1, 11);
  t1.set(2, 19);
  t2.set(1, 12);
  mustHold(await t1.commit(), 'the first commit is let in');
  const first = t3.get(1);
  t2.set(2, 18);
  const second = t3.get(2);
  await t2.commit();
  const again = [t3.get(2), t3.get(1)];
  mustHold(await t3.commit(), 'a reader is never refused');
  return first !== 11 || second !== 19 || again[0] !== 19 || again[1] !== 11;
}

/** Predicate-many-preceders: what a predicate finds changes between two readings. */
async function pmp(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  const first = t1.where((value) => value === 30);
  t2.set(3, 30);
  mustHold(await t2.commit(), 'the only writer is let in');
  const second = t1.where((value) => value % 3 === 0);
  mustHold(await t1.commit(), 'a reader is never refused');
  return !same(first, {}) || !same(second, {});
}

/** The same for a write: a deletion by predicate that works on a state that is gone. */
async function pmpWrite(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  t1.update(ALL, (value) => value + 10);
  mustHold(t2.deleteWhere((value) => value === 20) === 1, 'the second row is found');
  mustHold(await t1.commit(), 'the first commit is let in');
  await t2.commit();
  // In any serial order one row is left: that with 20 before or after 10 was added to both.
  const rows = stage.rows();
  return !same(rows, { 1: 20, 2: 30 }) && !same(rows, { 2: 30 }) && !same(rows, { 1: 20 });
}

/** Lost update. */
async function p4(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  const of1 = t1.get(1) ?? 0;
  const of2 = t2.get(1) ?? 0;
  t1.set(1, of1 + 1);
  t2.set(1, of2 + 1);
  const done = [await t1.commit(), await t2.commit()].filter(Boolean).length;
  mustHold(done > 0, 'one of them is let in');
  return stage.rows()[1] !== 10 + done;
}

/** Single anti-dependency cycle (read skew). */
async function gSingle(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  const of1 = t1.get(1);
  mustHold(t2.get(1) === 10 && t2.get(2) === 20, 'the writer sees the first state');
  t2.set(1, 12);
  t2.set(2, 18);
  mustHold(await t2.commit(), 'the only writer is let in');
  const of2 = t1.get(2);
  mustHold(await t1.commit(), 'a reader is never refused');
  return of1 !== 10 || of2 !== 20;
}

/** Read skew through predicates. */
async function gSinglePredicate(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  const first = t1.where((value) => value % 5 === 0);
  mustHold(
    t2.update(
      (value) => value === 10,
      () => 12,
    ) === 1,
    'one row is changed',
  );
  mustHold(await t2.commit(), 'the only writer is let in');
  const second = t1.where((value) => value % 3 === 0);
  mustHold(await t1.commit(), 'a reader is never refused');
  return !same(first, { 1: 10, 2: 20 }) || !same(second, {});
}

/** Read skew where the second reading is that of a deletion by predicate. */
async function gSingleWrite(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  mustHold(t1.get(1) === 10, 'the first row is as prepared');
  mustHold(same(t2.where(ALL), { 1: 10, 2: 20 }), 'the writer sees the first state');
  t2.set(1, 12);
  t2.set(2, 18);
  mustHold(await t2.commit(), 'the first commit is let in');
  t1.deleteWhere((value) => value === 20);
  const deleted = await t1.commit();
  return deleted || !same(stage.rows(), { 1: 12, 2: 18 });
}

/** The same with a row each reads and writes: the writer depends on what was overwritten. */
async function gSingleDependency(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  const of1 = t1.get(1) ?? 0;
  t2.set(1, 12);
  t2.set(2, 18);
  mustHold(await t2.commit(), 'the first commit is let in');
  const of2 = t1.get(2) ?? 0;
  t1.set(2, of1 + of2);
  const second = await t1.commit();
  return second || of2 !== 20;
}

/** Item anti-dependency cycle (write skew). */
async function g2Item(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  for (const actor of [t1, t2]) mustHold(actor.get(1) === 10 && actor.get(2) === 20, 'both read both rows');
  t1.set(1, 11);
  t2.set(2, 21);
  const both = [await t1.commit(), await t2.commit()];
  mustHold(both[0] === true, 'the first commit is let in');
  mustHold(same(stage.rows(), { 1: 11, 2: both[1] ? 21 : 20 }), 'the rows are those that were committed');
  return both[1] === true;
}

/** Anti-dependency cycle through predicates: neither sees the row that the other inserts. */
async function g2(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2] = [stage.transaction(), stage.transaction()];
  for (const actor of [t1, t2]) {
    mustHold(
      same(
        actor.where((value) => value % 3 === 0),
        {},
      ),
      'no row is a multiple of three',
    );
  }
  t1.set(3, 30);
  t2.set(4, 42);
  const both = [await t1.commit(), await t2.commit()];
  mustHold(both[0] === true, 'the first commit is let in');
  return (
    both[1] === true &&
    same(
      stage.transaction().where((value) => value % 3 === 0),
      { 3: 30, 4: 42 },
    )
  );
}

/** Hermitage's second script for G2 (by Fekete): two edges, through a reader of everything. */
async function g2TwoEdges(stage: Stage): Promise<boolean> {
  await stage.prepare();
  const [t1, t2, t3] = [stage.transaction(), stage.transaction(), stage.transaction()];
  mustHold(same(t1.where(ALL), { 1: 10, 2: 20 }), 'the first state is read');
  mustHold(
    t2.update(
      (value) => value === 20,
      (value) => value + 5,
    ) === 1,
    'one row is changed',
  );
  mustHold(await t2.commit(), 'the first commit is let in');
  const seen = t3.where(ALL);
  mustHold(await t3.commit(), 'a reader is never refused');
  t1.set(1, 0);
  const last = await t1.commit();
  return last && same(seen, { 1: 10, 2: 25 });
}

// --- two more -------------------------------------------------------------------------------------------------------

/** Deposit, withdrawal and statement: the statement makes the outcome impossible in any serial order. */
function readOnlyAnomaly(readOnly: boolean): Script {
  return async (stage) => {
    await stage.prepare({ 1: 0, 2: 0 });
    const [deposit, withdrawal, statement] = [
      stage.transaction(),
      stage.transaction(),
      stage.transaction(readOnly),
    ];
    mustHold(withdrawal.get(1) === 0 && withdrawal.get(2) === 0, 'the withdrawal sees both accounts empty');
    deposit.set(2, (deposit.get(2) ?? 0) + 20);
    mustHold(await deposit.commit(), 'the deposit is let in');
    const seen = [statement.get(1), statement.get(2)];
    mustHold(await statement.commit(), 'a reader is never refused');
    // Ten are drawn from accounts that hold none: one more is charged.
    withdrawal.set(1, -11);
    const withdrawn = await withdrawal.commit();
    mustHold(seen[0] === 0 && seen[1] === 20, 'the statement shows the deposit only');
    return withdrawn && same(stage.rows(), { 1: -11, 2: 20 });
  };
}

/**
 * Two readers that see two independent writes in opposite orders. Readers begin and read at every pair of moments
 * around the two commits.
 */
async function longFork(stage: Stage): Promise<boolean> {
  const moments = [0, 1, 2];
  let happened = false;
  for (const first of moments) {
    for (const second of moments) {
      for (const inFlight of [false, true]) {
        await stage.prepare();
        const writers = [stage.transaction(), stage.transaction()] as const;
        const readers = [stage.transaction(true), stage.transaction(true)] as const;
        writers[0].set(1, 11);
        writers[1].set(2, 21);
        const commits: Promise<boolean>[] = [];
        for (const moment of moments) {
          if (moment === first) readers[0].begin();
          if (moment === second) readers[1].begin();
          const writer = writers[moment];
          if (!writer) continue;
          const commit = writer.commit();
          commits.push(commit);
          if (!inFlight) await commit;
        }
        const seen = await readBoth(readers, commits);
        if (seen.includes('11,20') && seen.includes('10,21')) happened = true;
      }
    }
  }
  return happened;
}

async function readBoth(readers: readonly Actor[], commits: readonly Promise<boolean>[]): Promise<string[]> {
  const early = readers.map((reader) => reader.get(1));
  for (const commit of commits) mustHold(await commit, 'writers of two rows do not meet');
  return readers.map((reader, index) => `${early[index]},${reader.get(2)}`);
}

// --- the table ------------------------------------------------------------------------------------------------------

/** What a level does about an anomaly. */
export type Verdict = 'stops' | 'allows';

/** One row of the table; all its scripts must have the outcome. */
export interface AnomalyRow {
  readonly name: string;
  readonly snapshot: Verdict;
  readonly serializable: Verdict;
  readonly scripts: Readonly<Record<string, Script>>;
}

/** Hermitage's table as this engine promises it: the rows of PostgreSQL's repeatable read and serializable. */
export const hermitage: readonly AnomalyRow[] = [
  { name: 'G0', snapshot: 'stops', serializable: 'stops', scripts: { g0 } },
  { name: 'G1a', snapshot: 'stops', serializable: 'stops', scripts: { g1a } },
  { name: 'G1b', snapshot: 'stops', serializable: 'stops', scripts: { g1b } },
  { name: 'G1c', snapshot: 'stops', serializable: 'stops', scripts: { g1c } },
  { name: 'OTV', snapshot: 'stops', serializable: 'stops', scripts: { otv } },
  { name: 'PMP', snapshot: 'stops', serializable: 'stops', scripts: { pmp, pmpWrite } },
  { name: 'P4', snapshot: 'stops', serializable: 'stops', scripts: { p4 } },
  {
    name: 'G-single',
    snapshot: 'stops',
    serializable: 'stops',
    scripts: { gSingle, gSinglePredicate, gSingleWrite, gSingleDependency },
  },
  { name: 'G2-item', snapshot: 'allows', serializable: 'stops', scripts: { g2Item } },
  { name: 'G2', snapshot: 'allows', serializable: 'stops', scripts: { g2, g2TwoEdges } },
];

/** Two anomalies that Hermitage has not. */
export const further: readonly AnomalyRow[] = [
  { name: 'long fork', snapshot: 'stops', serializable: 'stops', scripts: { longFork } },
  {
    name: 'read-only anomaly',
    snapshot: 'allows',
    serializable: 'stops',
    scripts: { readOnly: readOnlyAnomaly(true), onlyReading: readOnlyAnomaly(false) },
  },
];
