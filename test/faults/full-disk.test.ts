/*
 * Full disks of every size, in steps of the block that a disk hands out, from one too small to make a store on to one
 * on which everything fits. What was acknowledged is there, refusals are OUT_OF_SPACE, deletes and a checkpoint work
 * on the full disk, and when space returns the same engine goes on.
 */

import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

const STEP = 4096; // bytes
/** The smaller sizes take every so-manieth step, beginning with one that the seed chooses. */
const STRIDE = sized(20, 12, 1);
/** What everything takes; the control finds out that it does. */
const ENOUGH = 2_400_000; // bytes
const RECORDS = 90;
const BATCH_SIZE = 3;

/** Some compress to nothing, some are larger than a page. */
function valueFor(n: number): string {
  return `${n};`.padEnd((n * 397) % 11_000, `${n}`);
}

async function refusedForSpace(work: () => unknown): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (error instanceof AegisError && error.code === 'OUT_OF_SPACE') return true;
    throw error;
  }
}

interface Outcome {
  made: boolean;
  written: number;
  refused: number;
}

/** Lives on a disk of one size; throws when anything is not as promised. */
async function liveOn(capacity: number): Promise<Outcome> {
  const backend = new SimulatedBackend({ seed });
  backend.capacity = capacity;
  let engine: StorageEngine | undefined;
  const outcome = { made: true, written: 0, refused: 0 };
  if (await refusedForSpace(async () => (engine = await openSmall(backend)))) {
    outcome.made = false;
    outcome.refused++;
    // With space the same place takes a store, whatever the attempt left there.
    backend.capacity = ENOUGH;
    engine = await openSmall(backend);
  }
  const store = engine!;
  const there = new Set<number>();
  const check = (reader: StorageEngine): void => {
    for (let n = 0; n < RECORDS; n++) {
      expect(reader.getString(`key ${n}`), `record ${n}`).toBe(there.has(n) ? valueFor(n) : undefined);
    }
  };
  const write = async (n: number): Promise<boolean> => {
    const numbers = Array.from({ length: BATCH_SIZE }, (_, at) => n + at);
    const operations = numbers.map((m) => ({ type: 'put', key: `key ${m}`, value: valueFor(m) }) as const);
    const isRefused = await refusedForSpace(() =>
      n % 2 === 0 ? store.batch(operations) : store.batchSync(operations),
    );
    for (const m of numbers) if (!isRefused) there.add(m);
    return !isRefused;
  };
  for (let n = 0; n < RECORDS; n += BATCH_SIZE) {
    if (await write(n)) outcome.written++;
    else outcome.refused++;
  }
  check(store);
  for (const disk of [backend.kill(), backend.crash()]) {
    // Opening needs no more room than there was.
    const after = await openSmall(disk);
    check(after);
    expect(await after.verify()).toMatchObject({ ok: true });
    await after.close();
  }
  if (outcome.made) {
    for (const n of [...there].slice(0, 6)) {
      expect(await store.delete(`key ${n}`), `delete of record ${n}`).toBe(true);
      there.delete(n);
    }
    await store.checkpoint();
    check(store);
  }
  // Space returns: the same engine takes everything.
  backend.capacity = Number.POSITIVE_INFINITY;
  for (let n = 0; n < RECORDS; n += BATCH_SIZE) expect(await write(n), `batch ${n} with space`).toBe(true);
  check(store);
  expect(await store.verify()).toMatchObject({ ok: true });
  await store.close();
  const again = await openSmall(backend.crash());
  check(again);
  await again.close();
  return outcome;
}

test(
  'full disk: of every size, nothing answered is lost and deletes work',
  async () => {
    const totals = { sizes: 0, 'too small for a store': 0, refused: 0, written: 0 };
    let fullest = 0;
    for (let blocks = seed % STRIDE; blocks * STEP <= ENOUGH; blocks += STRIDE) {
      let outcome: Outcome;
      try {
        outcome = await liveOn(blocks * STEP);
      } catch (cause) {
        throw new Error(`SEED=${seed}, a disk of ${blocks * STEP} bytes`, { cause });
      }
      totals.sizes++;
      totals.refused += outcome.refused;
      totals.written += outcome.written;
      if (!outcome.made) totals['too small for a store']++;
      if (outcome.made && outcome.refused === 0) fullest++;
    }
    const command = 'npx vitest run test/faults/full-disk.test.ts';
    report('full disk (simulated)', { ...totals, lost: 0, 'KiB a step': STRIDE * 4 }, command);
    // The range has both ends, and something between them.
    expect(totals['too small for a store']).toBeGreaterThan(0);
    expect(fullest).toBeGreaterThan(0);
    expect(fullest + totals['too small for a store']).toBeLessThan(totals.sizes - sized(3, 10, 10));
  },
  long ? 3_600_000 : 300_000,
);
