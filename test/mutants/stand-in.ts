/*
 * Stands in for vitest in a process of its own: runs the tests of one file whose names match MUTANT_TESTS, one after
 * the other, until one fails, and says on the last line of its output what came of it. The matchers are vitest's own.
 */
import {
  ASYMMETRIC_MATCHERS_OBJECT,
  addCustomEqualityTesters,
  chai,
  GLOBAL_EXPECT,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
  setState,
} from '@vitest/expect';
import { OUTCOME, type Outcome } from './outcome.ts';

function unsupported(): never {
  throw new TypeError('the stand-in has no such matcher');
}

type Work = (...given: never[]) => unknown;

interface Case {
  readonly name: string;
  readonly run: () => unknown;
}

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);

const asymmetric = (globalThis as unknown as Record<symbol, object>)[ASYMMETRIC_MATCHERS_OBJECT];
export const expect = Object.assign(
  (value: unknown, message?: string) => chai.expect(value, message),
  chai.expect,
  asymmetric,
  { addEqualityTesters: addCustomEqualityTesters, poll: unsupported, soft: unsupported },
);
Object.defineProperty(globalThis, GLOBAL_EXPECT, { value: expect, configurable: true });
setState({ assertionCalls: 0, isExpectingAssertions: false } as never, expect as never);

const cases: Case[] = [];
const groups: string[] = [];
const hooks = {
  beforeAll: [] as Work[],
  beforeEach: [] as Work[],
  afterEach: [] as Work[],
  afterAll: [] as Work[],
};
let ending: Work[] = [];

function add(name: string, first: unknown, second: unknown): void {
  const work = (typeof first === 'function' ? first : second) as Work;
  cases.push({ name: [...groups, name].join(' > '), run: () => work() });
}

function group(name: string, work: Work): void {
  groups.push(name);
  work();
  groups.pop();
}

/** `$key`, `%s` and the like, as far as names of tests use them. */
function named(name: string, row: unknown): string {
  const values = Array.isArray(row) ? [...row] : [row];
  return name
    .replace(/\$(\w+)/g, (all, key: string) =>
      typeof row === 'object' && row !== null && key in row ? String(row[key as never]) : all,
    )
    .replace(/%[sidj]/g, () => String(values.shift()));
}

type Adds = (name: string, first: never, second?: never) => void;

function each(adds: Adds): (rows: readonly unknown[]) => Adds {
  return (rows) => (name, first, second) => {
    for (const row of rows) {
      const given = (work: unknown) =>
        typeof work === 'function' ? () => (Array.isArray(row) ? work(...row) : work(row)) : work;
      adds(named(name, row), given(first) as never, given(second) as never);
    }
  };
}

export const test = Object.assign(add, {
  each: each(add as Adds),
  skipIf: (skips: boolean) => (skips ? () => undefined : add),
});
export const describe = Object.assign(group, {
  each: each(group as unknown as Adds),
  skipIf: (skips: boolean) => (skips ? () => undefined : group),
});
export const beforeAll = (work: Work): void => void hooks.beforeAll.push(work);
export const beforeEach = (work: Work): void => void hooks.beforeEach.push(work);
export const afterEach = (work: Work): void => void hooks.afterEach.push(work);
export const afterAll = (work: Work): void => void hooks.afterAll.push(work);
export const onTestFinished = (work: Work): void => void ending.push(work);
export const vi = undefined;

/** What nobody catches is an answer too. */
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    const message = `${event}: ${error instanceof Error ? error.message : String(error)}`;
    tell({ result: isBroken(error) ? 'broken' : 'failed', tests: 0, test: '', message });
  });
}

function tell(outcome: Outcome): void {
  process.stdout.write(`\n${OUTCOME}${JSON.stringify(outcome)}\n`, () => process.exit());
}

/** Runs the tests and tells the outcome. Called behind the test file, which has said by then what there is. */
export async function begin(): Promise<void> {
  const wanted = new RegExp(process.env['MUTANT_TESTS'] ?? '.');
  const chosen = cases.filter(({ name }) => wanted.test(name));
  let outcome: Outcome = { result: chosen.length > 0 ? 'passed' : 'broken', tests: 0, test: '', message: '' };
  let at = 'before the first test';
  try {
    for (const hook of hooks.beforeAll) await hook();
    for (const { name, run } of chosen) {
      at = name;
      for (const hook of hooks.beforeEach) await hook();
      await run();
      for (const hook of ending.splice(0).reverse()) await hook();
      for (const hook of hooks.afterEach) await hook();
      outcome = { ...outcome, tests: outcome.tests + 1 };
    }
    at = 'after the last test';
    for (const hook of hooks.afterAll) await hook();
  } catch (error) {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    outcome = { ...outcome, result: isBroken(error) ? 'broken' : 'failed', test: at, message };
  }
  ending = [];
  tell(outcome);
}

/** A mistake in the mutated text or in the program, not something a test has seen. */
function isBroken(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (
      [ReferenceError, SyntaxError, TypeError, WebAssembly.CompileError].some((kind) => cause instanceof kind)
    ) {
      return true;
    }
  }
  return false;
}
