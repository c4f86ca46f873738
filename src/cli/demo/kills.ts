/**
 * Act four: a writer process is killed in mid-commit, again and again. After each kill the store is opened again,
 * everything the writer can have written is compared with what it said, and the next writer goes on from there.
 */
import { StorageEngine } from '../../index.ts';
import { CommandFailure } from '../exit.ts';
import type { Column } from '../table.ts';
import { tableRow } from '../table.ts';
import { count, time } from '../units.ts';
import { CITY_PREFIX, fingerprintOf } from './cities.ts';
import type { Claims, Judgement } from './ledger.ts';
import { judgeLedger, LANES } from './ledger.ts';
import type { Stage } from './stage.ts';
import { storeConfig } from './store.ts';
import { Testimony, Victim } from './victim.ts';

const ACKNOWLEDGED_MIN = 50;
const ACKNOWLEDGED_VARY = 300;
const DELAY_VARY = 4; // ms; so that the kill is not always right after an acknowledgement
const PATIENCE = 15_000; // ms for a writer to get that far

/** What came of all kills. */
export interface KillFigures {
  readonly kills: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly half: number;
  /** The longest recovery. */
  readonly recoveryMilliseconds: number;
}

const columns: readonly Column[] = [
  { title: 'kill', align: 'right' },
  { title: 'acknowledged', align: 'right' },
  { title: 'lost', align: 'right', width: 6 },
  { title: 'in flight', align: 'right' },
  { title: 'kept', align: 'right', width: 6 },
  { title: 'gone', align: 'right', width: 6 },
  { title: 'half', align: 'right', width: 6 },
  { title: 'recovery', align: 'right', width: 9 },
];

export async function killWriters(stage: Stage, kills: number): Promise<KillFigures> {
  const { screen, proofs } = stage;
  screen.heading(
    'kill',
    'a writer process gets SIGKILL in mid-commit; its store is opened again and compared',
  );
  screen.say(
    screen.paint(
      'dim',
      tableRow(
        columns,
        columns.map(({ title }) => title),
      ),
    ),
  );
  const testimony = new Testimony();
  const died: (string | number | null)[] = [];
  const lost = new Set<number>();
  const half = new Set<number>();
  const foreign = new Set<string>();
  let recoveryMilliseconds = 0;
  for (let kill = 1; kill <= kills; ++kill) {
    const before = { begun: new Set(testimony.begun), acknowledged: new Set(testimony.acknowledged) };
    died.push(await killOne(stage, testimony));
    const { judgement, milliseconds } = await reopenAndJudge(stage.directory, testimony);
    for (const n of judgement.lost) lost.add(n);
    for (const n of judgement.half) half.add(n);
    for (const key of judgement.foreign) foreign.add(key);
    recoveryMilliseconds = Math.max(recoveryMilliseconds, milliseconds);
    screen.say(tableRow(columns, rowOf(kill, before, testimony, judgement, milliseconds)));
  }
  const legend = 'in flight: begun, not acknowledged yet; kept or gone are both right, half is not';
  screen.say(screen.paint('dim', legend));
  const acknowledged = testimony.acknowledged.size;
  proofs.check(
    died.every((how) => how === 'SIGKILL'),
    'every writer died of the kill and of nothing else',
    died.join(', '),
  );
  proofs.check(
    lost.size === 0,
    `all ${count(acknowledged)} acknowledged transactions are there`,
    `${count(lost.size)} are lost: ${some(lost)}`,
  );
  proofs.check(half.size === 0, 'none is half there', `${count(half.size)} are: ${some(half)}`);
  proofs.check(foreign.size === 0, 'nothing else is there', `${count(foreign.size)} keys: ${some(foreign)}`);
  return { kills, acknowledged, lost: lost.size, half: half.size, recoveryMilliseconds };
}

/** Starts a writer, lets it work for a random while, kills it; answers what it died of. */
async function killOne({ directory, interrupts }: Stage, testimony: Testimony) {
  const first = (Math.floor(Math.max(0, ...testimony.begun) / LANES) + 1) * LANES;
  const target = testimony.acknowledged.size + ACKNOWLEDGED_MIN + Math.random() * ACKNOWLEDGED_VARY;
  const victim = new Victim(directory, first, testimony, interrupts);
  await victim.acknowledged(target, PATIENCE);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * DELAY_VARY));
  const how = await victim.kill();
  if (victim.errors !== '') throw new CommandFailure(`the writer failed: ${victim.errors}`);
  return how;
}

async function reopenAndJudge(directory: string, testimony: Testimony) {
  const begin = performance.now();
  const engine = await StorageEngine.open({ ...storeConfig(directory), createIfMissing: false });
  const milliseconds = performance.now() - begin;
  try {
    return { judgement: judgeLedger(engine, testimony), milliseconds };
  } finally {
    await engine.close();
  }
}

function rowOf(kill: number, before: Claims, now: Claims, { whole, lost, half }: Judgement, took: number) {
  const inFlight = [...now.begun].filter((n) => !before.begun.has(n) && !now.acknowledged.has(n));
  const kept = inFlight.filter((n) => whole.has(n)).length;
  const numbers = [
    kill,
    now.acknowledged.size - before.acknowledged.size,
    lost.length,
    inFlight.length,
    kept,
    inFlight.filter((n) => !whole.has(n) && !half.includes(n)).length,
    half.length,
  ];
  return [...numbers.map(count), time(took)];
}

function some(things: ReadonlySet<number | string>): string {
  return [...things].slice(0, 5).join(', ');
}

/** After all that: whether the cities are what they were, byte by byte, and the store as a whole is sound. */
export async function inspect({ directory, screen, cities, proofs }: Stage): Promise<void> {
  screen.heading('inspect', 'the store as the last kill and recovery left it');
  const engine = await StorageEngine.open({ ...storeConfig(directory), createIfMissing: false });
  try {
    const fingerprint = fingerprintOf(engine.scan({ prefix: CITY_PREFIX }));
    proofs.check(
      fingerprint === cities.fingerprint,
      `all cities are byte for byte those of the data set (SHA-256 ${fingerprint.slice(0, 16)}…)`,
      `${fingerprint.slice(0, 16)}… instead of ${cities.fingerprint.slice(0, 16)}…`,
    );
    const report = await engine.verify();
    proofs.check(
      report.ok,
      `verify() finds ${count(report.pages)} pages and ${count(report.records)} records in order`,
      report.problems
        .slice(0, 3)
        .map(({ message }) => message)
        .join('; '),
    );
  } finally {
    await engine.close();
  }
}
