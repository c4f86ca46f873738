/*
 * Hostile files: mutants of small stores of every shape (mutants.ts), half of them with every checksum made right
 * again, opened and worked with in processes of their own (hostile-run.ts says what must not happen there). A process
 * that works on one mutant for more than a second, by its own clock of work and not by the time of day, is ended.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram, Program } from '../support/programs.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import type { RangeResult } from './hostile-program.ts';

const MUTANTS = sized(650, 5200, 1_000_000);
/** Processes side by side. */
const WORKERS = long ? 2 : 1;
/** Mutants of one command. */
const RANGE = 1300;
const HOURS = 3_600_000;
/** Work on one mutant that counts as a hang, and how often is looked. */
const HANG_MILLISECONDS = 1000;
const LOOK_MILLISECONDS = 200;
/** Where this seed's mutants begin. */
const FIRST = seed * 2_000_000;

/** CPU time of a process in milliseconds; undefined where the system does not tell. */
function workOf(pid: number): number | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return undefined;
  }
}

/** Runs a range in a program; rejects when one mutant keeps it busy for too long. */
async function runRange(program: Program, path: string, from: number, count: number): Promise<RangeResult> {
  writeFileSync(path, new Uint8Array(8));
  let [number, work] = [-1, 0];
  let hang: Error | undefined;
  const watch = setInterval(() => {
    const bytes = readFileSync(path);
    if (bytes.length < 8) return;
    const current = Number(bytes.readBigUInt64LE(0));
    const now = workOf(program.pid) ?? 0;
    if (current !== number) [number, work] = [current, now];
    else if (number > 0 && now - work > HANG_MILLISECONDS) {
      hang ??= new Error(`mutant ${number} takes more than ${HANG_MILLISECONDS} ms of work`);
      void program.kill();
    }
  }, LOOK_MILLISECONDS);
  try {
    return await program.ask<RangeResult>(path, from, count);
  } catch (error) {
    throw hang ?? error;
  } finally {
    clearInterval(watch);
  }
}

test('hostile files: no mutant hangs, traps, asks for all memory, or fails in a way of its own', {
  timeout: 20 * HOURS,
}, async () => {
  const folder = temporaryFolder();
  const source = await bundleProgram('test/damage/hostile-program.ts', folder);
  const total = { mutants: 0, sealed: 0, refused: 0, damaged: 0, sound: 0, growth: 0 };
  const failures: string[] = [];
  let next = FIRST;
  const worker = async (index: number): Promise<void> => {
    let program = new Program(source);
    while (next < FIRST + MUTANTS) {
      const from = next;
      next += RANGE;
      const result = await runRange(program, join(folder, `progress-${index}`), from, RANGE).catch(
        (error: unknown) => {
          failures.push(String(error));
          program = new Program(source);
        },
      );
      if (!result) continue;
      total.mutants += result.mutants;
      total.sealed += result.sealed;
      total.growth = Math.max(total.growth, result.growth);
      for (const outcome of ['refused', 'damaged', 'sound'] as const)
        total[outcome] += result.outcomes[outcome];
      failures.push(...result.failures);
    }
    await program.kill();
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, index) => worker(index)));
  expect(failures.slice(0, 20), `SEED=${seed}`).toEqual([]);
  // Neither too tame nor too wild.
  expect(Math.min(total.refused, total.damaged, total.sound)).toBeGreaterThan(total.mutants / 20);
  expect(Math.min(total.sealed, total.mutants - total.sealed)).toBeGreaterThan(total.mutants / 3);
  report(
    'hostile files',
    {
      mutants: total.mutants,
      'with valid checksums': total.sealed,
      hangs: 0,
      traps: 0,
      'errors of another kind': 0,
      refused: total.refused,
      'found damaged': total.damaged,
      'without a fault': total.sound,
      'KiB at most grown by one': total.growth,
    },
    'npx vitest run test/damage/hostile.test.ts',
  );
});
