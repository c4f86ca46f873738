/**
 * The conformance suite for backends: what `backend.ts` promises, as cases that run over any `StorageBackend`, with
 * a test framework or without one. Our backends run it, and so should every other.
 *
 * 1. Each case gets a backend of its own from the factory, over an empty place, and leaves no file open.
 * 2. A case uses nothing but the contract. So the suite cannot see whether a sync reaches stable storage: that takes
 *    power cuts.
 */

import type { StorageBackend } from '../backend/backend.ts';
import { reasonOf } from '../base/errors.ts';
import { fileCases } from './file-cases.ts';
import { Place } from './place.ts';
import { placeCases } from './place-cases.ts';

/** Makes a backend over an empty place of its own. */
export type BackendFactory = () => StorageBackend | Promise<StorageBackend>;

/** One case of the suite: rejects with what is wrong. */
export interface BackendCase {
  /** The fact that the case is about. */
  readonly name: string;
  /** Runs the case over a backend of its own. */
  run(): Promise<void>;
}

/** What a run of the whole suite found; a run with failures rejects instead. */
export interface BackendSuiteReport {
  /** Names of the cases that passed. */
  readonly passed: readonly string[];
}

/**
 * Runs the suite over a backend.
 *
 * ```ts
 * await runBackendSuite(() => new MyBackend());           // runs all, rejects with what failed
 * runBackendSuite(() => new MyBackend(), { test });       // registers one test a case
 * ```
 *
 * @param factory Makes a backend over an empty place; called once for each case.
 * @throws {AggregateError} Rejects with one error for each case that failed.
 */
export function runBackendSuite(factory: BackendFactory): Promise<BackendSuiteReport>;
/**
 * Hands the cases of the suite to a test framework.
 *
 * @param factory Makes a backend over an empty place; called once for each case.
 * @param options `test` registers a case, as that of vitest, Jest, `node:test`, `Deno.test` and `bun:test` does.
 */
export function runBackendSuite(
  factory: BackendFactory,
  options: { test(name: string, run: () => Promise<void>): unknown },
): void;
export function runBackendSuite(
  factory: BackendFactory,
  options?: { test(name: string, run: () => Promise<void>): unknown },
): Promise<BackendSuiteReport> | undefined {
  const cases = backendCases(factory);
  if (options === undefined) return runAll(cases);
  const { test } = options;
  for (const { name, run } of cases) test(name, run);
  return undefined;
}

/** The cases of the suite, for whoever wants to run them in a way of their own. */
export function backendCases(factory: BackendFactory): readonly BackendCase[] {
  return [...fileCases, ...placeCases].map(([name, work]) => ({
    name: `backend: ${name}`,
    run: async () => {
      const place = new Place(await factory());
      try {
        await work(place);
      } finally {
        place.closeAll();
      }
    },
  }));
}

async function runAll(cases: readonly BackendCase[]): Promise<BackendSuiteReport> {
  const passed: string[] = [];
  const failures: Error[] = [];
  for (const { name, run } of cases) {
    try {
      await run();
      passed.push(name);
    } catch (cause) {
      failures.push(new Error(`${name}: ${reasonOf(cause)}`, { cause }));
    }
  }
  if (failures.length === 0) return { passed };
  const list = failures.map(({ message }) => message).join('\n');
  throw new AggregateError(failures, `${failures.length} of ${cases.length} cases failed\n${list}`);
}
