/*
 * A process of its own for hostile stores, so that one that never ends can be ended from outside. It writes the number
 * of the mutant it works on to a file and answers each command with what came of a range of them.
 */
import { openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { startLending } from '../support/memories.ts';
import { type Outcome, runHostile } from './hostile-run.ts';
import { makeSeeds, seedOf } from './hostile-stores.ts';
import { mutantOf } from './mutants.ts';

/** What came of a range of mutants. */
export interface RangeResult {
  readonly mutants: number;
  readonly sealed: number;
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Most that the process grew while one mutant was open, in KiB. */
  readonly growth: number;
  readonly failures: readonly string[];
}

/** Growth in one mutant that no small file is worth, in KiB; first the pool of memories has to fill. */
const GROWTH_MAX = 48 * 1024;
const WARM_UP = 400;
const FAILURES_MAX = 20;

Error.stackTraceLimit = 6;
const seeds = await makeSeeds();
startLending();
let done = 0;

async function runRange(progress: number, from: number, count: number): Promise<RangeResult> {
  const outcomes: Record<Outcome, number> = { refused: 0, damaged: 0, sound: 0 };
  const failures: string[] = [];
  const at = new Uint8Array(8);
  let [sealed, growth] = [0, 0];
  for (let number = from; number < from + count; number++) {
    new DataView(at.buffer).setBigUint64(0, BigInt(number), true);
    writeSync(progress, at, 0, 8, 0);
    const seed = seedOf(seeds, number);
    const { files, isSealed, changes } = mutantOf(seed.forge, number);
    const before = process.resourceUsage().maxRSS;
    const fail = (what: unknown): void => {
      const text = what instanceof Error ? what.stack : what;
      if (failures.length < FAILURES_MAX)
        failures.push(`mutant ${number} (${seed.shape.name}; ${changes.join('; ')}): ${text}`);
    };
    try {
      outcomes[await runHostile(seed, files, { readOnly: number % 4 === 0, debug: number % 16 === 5 })]++;
    } catch (error) {
      fail(error);
    }
    sealed += Number(isSealed);
    if (++done < WARM_UP) continue;
    const grown = process.resourceUsage().maxRSS - before;
    growth = Math.max(growth, grown);
    if (grown > GROWTH_MAX) fail(`memory grew by ${grown} KiB`);
  }
  return { mutants: count, sealed, outcomes, growth, failures };
}

for await (const line of createInterface({ input: process.stdin })) {
  const [path, from, count] = JSON.parse(line) as [string, number, number];
  const progress = openSync(path, 'w');
  process.stdout.write(`${JSON.stringify(await runRange(progress, from, count))}\n`);
}
