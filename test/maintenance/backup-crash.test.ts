/*
 * Power cuts and I/O errors at every moment of a backup, on either side, while a writer goes on. Whatever happens, the
 * source has everything it acknowledged, and the target is no store yet, or the whole copy.
 */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { SimulatedErrno } from '../../src/backend/simulated-faults.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';
import { Watch } from '../support/watched.ts';
import { differences, type State, WriteLoad } from '../support/write-load.ts';

/** States drawn at each moment of a power cut. */
const STATES = long ? 12 : 2;
/** The quick size takes every so many of the calls. */
const STRIDE = long ? 1 : 4;

/** The full size takes minutes. */
const FULL = { timeout: 3_600_000 };

const COMMAND = 'npx vitest run test/maintenance/backup-crash.test.ts';

/** A store on a disk, with some history and pages that are in no extent yet. */
async function makeSource(): Promise<{ source: SimulatedBackend; engine: StorageEngine; load: WriteLoad }> {
  const source = new SimulatedBackend({ seed });
  const engine = await openSmall(source);
  const load = new WriteLoad(engine, { seed, keys: 150, longest: 9000 });
  for (let i = 0; i < 40; ++i) await load.once();
  await engine.checkpoint();
  for (let i = 0; i < 20; ++i) await load.once();
  return { source, engine, load };
}

/** What a state of the target's disk is: nothing yet, or a store, held against the state it must have. */
async function judgeTarget(target: SimulatedBackend, state: State): Promise<'nothing' | 'copy'> {
  let copy: StorageEngine;
  try {
    copy = await openSmall(target, { createIfMissing: false });
  } catch (error) {
    expect(error).toMatchObject({ code: 'NOT_FOUND' });
    return 'nothing';
  }
  expect(differences(copy, state)).toEqual([]);
  expect(await copy.verify()).toMatchObject({ ok: true });
  await copy.close();
  return 'copy';
}

test('backup: power cut at every moment: the target is no store yet, or the whole copy', FULL, async () => {
  const { engine, load } = await makeSource();
  const target = new SimulatedBackend({ seed });
  const left: { at: number; disk: SimulatedBackend }[] = [];
  let random = seed;
  target.onCall = ({ number }) => {
    // What is there when nothing, everything, or a part of what is on its way has landed.
    left.push({ at: number, disk: target.crash(() => true) });
    for (const disk of target.crashStates(STATES)) {
      left.push({ at: number, disk });
      if (++random % (STATES + 1) === 0) break;
    }
  };
  const made = await engine.backup(target);
  target.onCall = undefined;
  const state = load.stateAt(made.sequence);
  const outcomes = { nothing: 0, copy: 0 };
  let first = Number.POSITIVE_INFINITY;
  for (const [index, { at, disk }] of left.entries()) {
    // Those in which a superblock may be whole are all looked at.
    const late = at > target.calls.length - 60;
    if (!late && index % STRIDE > 0) continue;
    const outcome = await judgeTarget(disk, state);
    ++outcomes[outcome];
    if (outcome === 'copy') first = Math.min(first, at);
    if (outcome === 'nothing' && index % 7 === 0) {
      const { sequence } = await engine.backup(disk);
      expect(await judgeTarget(disk, load.stateAt(sequence))).toBe('copy');
    }
  }
  expect(outcomes.nothing).toBeGreaterThan(50);
  expect(outcomes.copy).toBeGreaterThan(5);
  // From the promise on it is durable.
  expect(
    await judgeTarget(
      target.crash(() => false),
      state,
    ),
  ).toBe('copy');
  report('backup, power cuts at the target', { ...outcomes, 'something else': 0 }, COMMAND);
  await engine.close();
});

test(
  'backup: power cut at the source at every moment loses nothing that was acknowledged',
  FULL,
  async () => {
    const { source, engine, load } = await makeSource();
    const left: { disk: SimulatedBackend; acknowledged: number; written: number }[] = [];
    const target = new SimulatedBackend({ seed });
    const cut = (): void => {
      const { sequence } = engine.stats();
      left.push({ disk: source.crash(), acknowledged: sequence, written: sequence });
    };
    target.onCall = cut;
    load.start();
    const made = engine.backup(target);
    const checkpoints = engine.checkpoint();
    await Promise.all([made, checkpoints]);
    await load.stop();
    const { sequence } = engine.stats();
    let states = 0;
    let last = 0;
    for (const [index, { disk, acknowledged }] of left.entries()) {
      if (index % (STRIDE / 2) > 0 && !long) continue;
      const again = await openSmall(disk);
      const found = again.stats().sequence;
      expect(found).toBeGreaterThanOrEqual(acknowledged);
      expect(found).toBeLessThanOrEqual(sequence);
      // A commit on its way may be there or not, so a later cut may find less than an earlier one.
      if (found >= last) {
        expect(differences(again, load.stateAt(found))).toEqual([]);
        last = found;
      }
      expect(await again.verify()).toMatchObject({ ok: true });
      await again.close();
      ++states;
    }
    expect(states).toBeGreaterThan(15);
    report('backup, power cuts at the source', { states, lost: 0 }, COMMAND);
    await engine.close();
  },
);

test(
  'backup: an I/O error at every call of the target is told, harms no source, and leaves no half copy',
  FULL,
  async () => {
    const watch = new Watch();
    const counted = new SimulatedBackend({ seed });
    const { engine, load } = await makeSource();
    await engine.backup(counted);
    const errors: SimulatedErrno[] = ['EIO', 'ENOSPC', 'EMFILE', 'EROFS'];
    const tally = { refused: 0, made: 0, 'taken back': 0 };
    for (let at = 1; at <= counted.calls.length; ++at) {
      const late = at > counted.calls.length - 40;
      if (at % (late ? Math.ceil(STRIDE / 2) : 2 * STRIDE) > 0 && !long) continue;
      for (const forever of long ? [false, true] : [at % 8 < 4]) {
        const errno = errors[at % errors.length]!;
        const target = new SimulatedBackend({ seed });
        target.plan = ({ number }) => {
          return number === at || (forever && number > at) ? { errno, torn: at % 3 === 0 } : undefined;
        };
        // What was made is taken back: the power may go off while that is done.
        const left: SimulatedBackend[] = [];
        target.onCall = ({ number }) => {
          if (!late || number < at) return;
          left.push(
            target.crash(),
            target.crash(() => true),
            target.crash(({ kind }) => kind === 'length'),
          );
        };
        let { sequence } = engine.stats();
        try {
          ({ sequence } = await engine.backup(target));
          ++tally.made;
        } catch (error) {
          watch.note('StorageEngine', 'backup', error);
          expect(error).toBeInstanceOf(AegisError);
          ++tally.refused;
        }
        target.plan = () => undefined;
        target.onCall = undefined;
        const state = load.stateAt(sequence);
        for (const disk of [...left, target.kill(), target.kill({ dropCache: true }), target.crash()]) {
          if ((await judgeTarget(disk, state)) === 'nothing') ++tally['taken back'];
        }
        // The source goes on, and is whole.
        await load.once();
        expect(await engine.verify()).toMatchObject({ ok: true });
      }
    }
    expect(differences(engine, load.stateAt(engine.stats().sequence))).toEqual([]);
    await engine.close();
    expect(watch.breaches).toEqual([]);
    expect(tally.refused).toBeGreaterThan(15);
    report('backup, I/O errors at the target', { ...tally, 'source harmed': 0 }, COMMAND);
  },
);

test('backup: an I/O error at every read of the source is told, and the source goes on', async () => {
  const { source, engine, load } = await makeSource();
  await engine.checkpoint();
  const begin = source.calls.length;
  await engine.backup(new SimulatedBackend({ seed }));
  const reads = source.calls.slice(begin).filter(({ operation }) => operation === 'read').length;
  expect(reads).toBeGreaterThan(5);
  for (let at = 1; at <= reads; ++at) {
    let left = at;
    source.plan = ({ operation }) => (operation === 'read' && --left === 0 ? { errno: 'EIO' } : undefined);
    const target = new SimulatedBackend({ seed });
    await expect(engine.backup(target)).rejects.toMatchObject({ code: 'IO_ERROR', errno: 'EIO' });
    source.plan = () => undefined;
    expect(await judgeTarget(target, new Map())).toBe('nothing');
  }
  await load.once();
  expect(differences(engine, load.stateAt(engine.stats().sequence))).toEqual([]);
  await engine.close();
});
