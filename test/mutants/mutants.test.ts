/*
 * Every protection removed once: each mutant (*-mutants.ts) must be found out by its killer, and the same killer must
 * have nothing to say of the engine as it is. A mutant that survives is a test that is missing, or a protection that
 * protects from nothing.
 *
 * A killer's seed is fixed: it finds its mutant again. When the engine changes, a random one may need another seed, so
 * a few are tried. MUTANT=… runs those whose names it matches. The long form asks for a kill with several seeds.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { report } from '../support/report.ts';
import { long } from '../support/seed.ts';
import { type Killer, type Mutant, mutated } from './mutant.ts';
import { mutants } from './mutants.ts';
import type { Outcome } from './outcome.ts';
import { run } from './runner.ts';
import { tables } from './table.ts';

/** Seeds of a killer; the first that finds the mutant is enough. */
const SEEDS = long ? 8 : 4;

const only = new RegExp(process.env['MUTANT'] ?? '.');
const chosen = mutants.filter(({ name }) => only.test(name));
const killers = new Map(chosen.map(({ killer }) => [keyOf(killer), killer]));
const root = join(import.meta.dirname, '../..');

const controls = new Map<string, Promise<Outcome>>();
const verdicts = new Map<Mutant, Promise<{ outcome: Outcome; seeds: number }>>();
let killed = 0;

function keyOf({ file, test: { source }, env }: Killer): string {
  return `${file} ${source} ${JSON.stringify(env ?? {})}`;
}

async function judge(mutant: Mutant): Promise<{ outcome: Outcome; seeds: number }> {
  for (let seed = 1; ; seed++) {
    const outcome = await run(mutant.killer, mutant, seed);
    // A program that is broken says nothing yet: its next seed may not be.
    if (outcome.result === 'failed' || seed === SEEDS) return { outcome, seeds: seed };
  }
}

describe('mutants', () => {
  // All begin at once and wait for their turn in the runner.
  beforeAll(() => {
    for (const [key, killer] of killers) controls.set(key, run(killer, undefined, 1));
    for (const mutant of chosen) verdicts.set(mutant, judge(mutant));
  });

  test('mutants: there are forty and more, and no two are called the same', () => {
    expect(mutants.length).toBeGreaterThanOrEqual(45);
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
    // Throws for a text that a change of the engine has moved.
    for (const mutant of mutants) {
      const source = readFileSync(join(root, mutant.file), 'utf8');
      expect(mutated(mutant, source)).not.toBe(source);
    }
  });

  test('mutants: the table in docs/reliability.md names each, its source and its killer', () => {
    const { found, wanted } = tables(mutants);
    expect(found).toBe(wanted);
  });

  test.each([...killers.keys()])('mutants: %s has nothing to say of the engine as it is', async (key) => {
    expect(await controls.get(key)).toMatchObject({ result: 'passed', message: '' });
  });

  test.each(chosen.map(({ name }) => name))('mutants: killed: %s', async (name) => {
    const mutant = chosen.find((one) => one.name === name)!;
    const { outcome } = await verdicts.get(mutant)!;
    expect(outcome, JSON.stringify(outcome)).toMatchObject({ result: 'failed' });
    killed++;
  });

  afterAll(() => {
    if (chosen.length !== mutants.length) return;
    const survived = mutants.length - killed;
    report('mutants', { mutants: mutants.length, killed, survived }, 'npx vitest run test/mutants');
  });
}, 7_200_000);
