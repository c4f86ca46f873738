/*
 * An I/O error at every call index: each story is told once on a sound disk, which counts its calls, and then again for
 * each of them with an error there, once or for ever, whole or with a part of a write done. Whatever fails: nothing
 * acknowledged is lost, nothing is half there, every error is documented for its method, and nothing hangs.
 */
import { expect, test } from 'vitest';
import type { SimulatedCall, SimulatedErrno } from '../../src/backend/simulated-faults.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import { Random } from '../wal/random.ts';
import { judgeAll } from './judge.ts';
import { type Injection, Place, type Span } from './place.ts';
import { Story } from './story.ts';
import { tellQuick, tellWhole } from './workload.ts';

const ERRORS: readonly SimulatedErrno[] = ['EIO', 'ENOSPC', 'EDQUOT', 'EMFILE', 'EACCES', 'EROFS'];
const SPANS: readonly Span[] = ['once', 'same operation', 'everything'];

/**
 * In the full size each index of the quick story meets these, in the quick size one of them; of the rest a sample is
 * drawn. In the long size the quick story meets every fault there is, and each index of the whole one meets each error,
 * its span and tear drawn by the seed.
 */
const FULL_ERRORS: readonly SimulatedErrno[] = ['EIO', 'ENOSPC'];
const ERRORS_AT_ONE = sized(1, 2, 2);
const SAMPLE = sized(4, 60, 60);
const SAMPLE_WHOLE = sized(2, 20, 20);
/** The quick size takes one call in so many. */
const STRIDE = sized(3, 1, 1);

type Telling = (story: Story) => Promise<void>;

/** Rejections that nobody handled, since the last look. */
const unhandled: unknown[] = [];
process.on('unhandledRejection', (error) => unhandled.push(error));

interface Totals {
  runs: number;
  indices: Set<number>;
  ends: number;
  acknowledged: number;
  refused: number;
  unknown: number;
  unopened: number;
  failed: number;
  recovered: number;
  seen: Map<string, number>;
}

function newTotals(): Totals {
  return {
    runs: 0,
    indices: new Set(),
    ends: 0,
    acknowledged: 0,
    refused: 0,
    unknown: 0,
    unopened: 0,
    failed: 0,
    recovered: 0,
    seen: new Map(),
  };
}

/** The calls of a story on a sound disk. */
async function callsOf(telling: Telling): Promise<readonly SimulatedCall[]> {
  const place = new Place(seed);
  const story = new Story(place);
  await telling(story);
  expect(story.watch.breaches).toEqual([]);
  expect(story.tally).toMatchObject({ unknown: 0, unopened: 0, failed: 0 });
  await judgeAll(place.backend, story.history);
  return place.calls;
}

async function run(telling: Telling, injection: Injection, totals: Totals): Promise<void> {
  const place = new Place(seed, injection);
  const story = new Story(place);
  story.onFault = async () => {
    totals.ends += await judgeAll(place.backend, story.history, true);
  };
  try {
    await telling(story);
    totals.ends += await judgeAll(place.backend, story.history);
    if (story.watch.breaches.length > 0) throw new Error(story.watch.breaches.join('\n'));
    if (unhandled.length > 0) throw new Error('unhandled rejection', { cause: unhandled.splice(0)[0] });
    if (place.failed.length === 0) throw new Error('nothing failed');
  } catch (cause) {
    const call = JSON.stringify(place.failed[0] ?? place.calls.at(-1));
    throw new Error(`SEED=${seed} ${JSON.stringify(injection)} at ${call}`, { cause });
  }
  totals.runs++;
  totals.indices.add(injection.index);
  for (const [name, count] of Object.entries(story.tally)) totals[name as keyof typeof story.tally] += count;
  for (const [name, count] of story.watch.seen) totals.seen.set(name, (totals.seen.get(name) ?? 0) + count);
}

/** Every fault there is for a story: a close never fails, and only writes can be torn. */
function injectionsFor(calls: readonly SimulatedCall[], errors: readonly SimulatedErrno[]): Injection[] {
  const injections: Injection[] = [];
  for (const [at, { operation }] of calls.entries()) {
    if (operation === 'close') continue;
    for (const errno of errors) {
      for (const span of SPANS) {
        injections.push({ index: at + 1, errno, span, torn: false });
        if (operation === 'write') injections.push({ index: at + 1, errno, span, torn: true });
      }
    }
  }
  return injections;
}

/** One fault of each error at each index. */
function onePerError(injections: readonly Injection[], random: Random): Injection[] {
  const groups = new Map<string, Injection[]>();
  for (const injection of injections) {
    const key = `${injection.index} ${injection.errno}`;
    groups.set(key, [...(groups.get(key) ?? []), injection]);
  }
  return [...groups.values()].flatMap((group) => sample(group, 1, random));
}

function sample<T>(from: readonly T[], count: number, random: Random): T[] {
  return Array.from({ length: count }, () => from[random.below(from.length)]!);
}

const command = 'npx vitest run test/faults/every-call.test.ts';

test(
  'I/O errors: at any call, nothing answered is lost and every error is documented',
  async () => {
    const random = new Random(seed);
    const [quick, whole] = [await callsOf(tellQuick), await callsOf(tellWhole)];
    const everyQuick = injectionsFor(quick, ERRORS);
    const everyWhole = injectionsFor(whole, ERRORS);
    const totals = newTotals();
    const totalsWhole = newTotals();
    const chosen = long
      ? everyQuick
      : [
          ...injectionsFor(quick, FULL_ERRORS).filter(
            ({ index, errno, span, torn }) =>
              index % STRIDE === seed % STRIDE &&
              (FULL_ERRORS.indexOf(errno) + index + seed) % 2 < ERRORS_AT_ONE &&
              (errno === 'EIO' ? span === 'once' : span === 'same operation') &&
              !(torn && errno === 'EIO'),
          ),
          ...sample(everyQuick, SAMPLE, random),
        ];
    const chosenWhole = long ? onePerError(everyWhole, random) : sample(everyWhole, SAMPLE_WHOLE, random);
    for (const injection of chosen) await run(tellQuick, injection, totals);
    for (const injection of chosenWhole) await run(tellWhole, injection, totalsWhole);
    const all = (name: 'runs' | 'ends' | 'acknowledged' | 'refused' | 'unknown' | 'failed' | 'recovered') =>
      totals[name] + totalsWhole[name];
    const failing = (calls: readonly SimulatedCall[]) =>
      calls.filter(({ operation }) => operation !== 'close').length;
    report(
      'I/O error at every call index',
      {
        'call indices (quick story)': `${totals.indices.size}/${failing(quick)}`,
        'call indices (whole story)': `${totalsWhole.indices.size}/${failing(whole)}`,
        errors: ERRORS.length,
        runs: all('runs'),
        'reopenings after death or power cut': all('ends'),
        'commits acknowledged': all('acknowledged'),
        refused: all('refused'),
        unknown: all('unknown'),
        lost: 0,
        partial: 0,
        hangs: 0,
        'unhandled rejections': 0,
        'undocumented errors': 0,
      },
      command,
    );
    if (STRIDE === 1) expect(totals.indices.size).toBe(failing(quick));
    else expect(totals.indices.size).toBeGreaterThanOrEqual(Math.floor(failing(quick) / STRIDE));
    if (long) expect(totalsWhole.indices.size).toBe(failing(whole));
    // It is no test of a store that never fails, never lives on, or never refuses.
    for (const name of ['refused', 'unknown', 'failed', 'recovered'] as const) {
      expect(all(name), name).toBeGreaterThan(0);
    }
  },
  long ? 24 * 3_600_000 : 300_000,
);
