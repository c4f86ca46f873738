/*
 * kill -9 at any moment: in the middle of commits, checkpoints, recoveries (several in a row), of the creation of the
 * store, of its closing, and of reading it. Whoever opens next finds every acknowledged transaction, no partial ones,
 * no lock to remove, and a folder that does not grow from kill to kill.
 *
 * The controls are killed the same way: a store without its log must be seen to lose, transactions in two halves must
 * be seen as partial, and a lock that its holder still has must be counted.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram } from '../support/programs.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import { Victim } from '../support/victim.ts';
import { type Controls, HITS, Killing, type Tally } from './killing.ts';

const CYCLES = Number(process.env['CYCLES'] ?? sized(7, 18, 1050));
const CONTROL_CYCLES = 40;
const TIMEOUT = long ? 7_200_000 : 300_000;

/** Data of the ledger and its versions, the log at its limit, and space filled ahead. */
const FILES_MAX = 16;
const BYTES_MAX = 24 * 2 ** 20;

const tallies: Tally[] = [];
let controls = 0;

test.each([true, false])(
  'kill -9: nothing acknowledged is lost and nothing is partial, syncOnCommit %s',
  async (syncOnCommit) => {
    const program = await bundleProgram('test/crash/writer.ts', temporaryFolder());
    const tally = await new Killing(program, seed, syncOnCommit).run(CYCLES);
    process.stdout.write(`kill -9, syncOnCommit ${syncOnCommit}: ${JSON.stringify(tally)}\n`);
    expect(tally).toMatchObject({ cycles: CYCLES, lost: 0, partial: 0, staleLocks: 0, other: 0 });
    expect(tally.checked).toBeGreaterThan(CYCLES / 4);
    expect(tally.acknowledged).toBeGreaterThan(CYCLES);
    expect(tally.files).toBeLessThanOrEqual(FILES_MAX);
    expect(tally.bytes).toBeLessThanOrEqual(BYTES_MAX);
    // A hundred kills hit everything; a few need not.
    if (CYCLES >= 100) for (const hit of HITS) expect([hit, tally.hits[hit] > 0]).toEqual([hit, true]);
    tallies.push(tally);
  },
  TIMEOUT,
);

test.each<[what: string, controls: Controls, kind: 'lost' | 'partial']>([
  ['a store without its log is seen to lose', { logless: true }, 'lost'],
  ['transactions in two halves are seen as partial', { torn: true }, 'partial'],
])(
  'kill -9: control: %s',
  async (_what, taken, kind) => {
    const program = await bundleProgram('test/crash/writer.ts', temporaryFolder());
    const killing = new Killing(program, seed, true, taken);
    const tally = await killing.run(CONTROL_CYCLES, true);
    expect(tally[kind], killing.notes.join('\n')).toBeGreaterThan(0);
    controls++;
  },
  TIMEOUT,
);

test('kill -9: control: a lock that somebody has is seen', async () => {
  const folder = temporaryFolder();
  const program = await bundleProgram('test/crash/writer.ts', folder);
  const victims = [new Victim(program), new Victim(program)];
  const outcomes: string[] = [];
  for (const victim of victims) {
    await victim.ready();
    const heard = victim.said('open ');
    victim.start({
      directory: join(folder, 'store'),
      pageSize: 4096,
      bufferPoolSize: 2 ** 20,
      syncOnCommit: true,
      acknowledged: [],
      seed,
      transactions: 0,
    });
    await heard;
  }
  for (const victim of victims) outcomes.push(...(await victim.kill()).lines);
  expect(outcomes.filter((line) => line.startsWith('failed LOCKED')).length).toBe(1);
  controls++;
});

test('kill -9: figures', () => {
  const sum = (count: (tally: Tally) => number): number => tallies.map(count).reduce((a, b) => a + b, 0);
  const most = (count: (tally: Tally) => number): number => Math.max(...tallies.map(count));
  expect(sum(({ lost, partial, staleLocks }) => lost + partial + staleLocks)).toBe(0);
  for (const hit of HITS)
    expect(
      sum(({ hits }) => hits[hit]),
      hit,
    ).toBeGreaterThan(0);
  report(
    'kill -9',
    {
      cycles: sum(({ cycles }) => cycles),
      ...Object.fromEntries(HITS.map((hit) => [`during ${hit}`, sum(({ hits }) => hits[hit])])),
      'openings killed in a row at most': most(({ inARow }) => inARow),
      'commits acknowledged': sum(({ acknowledged }) => acknowledged),
      lost: sum(({ lost }) => lost),
      partial: sum(({ partial }) => partial),
      'stale locks': sum(({ staleLocks }) => staleLocks),
      'files at most': most(({ files }) => files),
      'KiB at most': most(({ bytes }) => Math.ceil(bytes / 1024)),
      'ms for the slowest opening': most(({ slowest }) => slowest),
      'controls seen to fail': controls,
    },
    'npx vitest run test/crash',
  );
});
