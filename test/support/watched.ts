/*
 * An engine behind glass: every call of the public API and everything it answers is watched, and an error that is no
 * AegisError, has a code its method does not document, or lacks its evidence, is noted as a breach. What an engine
 * hands out (transactions, snapshots, scans) is watched as well.
 */

import { AegisError, type AegisErrorCode } from '../../src/base/errors.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { Snapshot, SnapshotTree } from '../../src/engine/snapshot.ts';
import { Tree } from '../../src/engine/tree.ts';
import { Scan } from '../../src/txn/scan.ts';
import { Transaction } from '../../src/txn/transaction.ts';
import { TransactionTree } from '../../src/txn/transaction-tree.ts';
import { allCodes, documentedCodes, PUBLIC_CLASSES, type PublicClass } from './documented.ts';

const CODES: ReadonlySet<string> = new Set(allCodes());
const DOCUMENTED = new Map(
  (Object.keys(PUBLIC_CLASSES) as PublicClass[]).map((name) => [name, documentedCodes(name)]),
);
/** Promises of these settle only when somebody moves the clock, and callers await them themselves. */
const CLASSES = [
  ['StorageEngine', StorageEngine],
  ['Transaction', Transaction],
  ['TransactionTree', TransactionTree],
  ['Tree', Tree],
  ['Snapshot', Snapshot],
  ['SnapshotTree', SnapshotTree],
  ['Scan', Scan],
] as const;

export class Watch {
  /** What should not have happened, in words. */
  readonly breaches: string[] = [];
  /** How often each method answered with each code, such as `StorageEngine.put IO_ERROR`. */
  readonly seen = new Map<string, number>();

  /** As `StorageEngine.open`, watched. */
  async open(config: Partial<StorageConfig>): Promise<StorageEngine> {
    try {
      return this.#watched(await StorageEngine.open(config));
    } catch (error) {
      this.note('StorageEngine', 'open', error);
      throw error;
    }
  }

  /** Judges an error that a method answered with. */
  note(of: PublicClass, method: string, error: unknown): void {
    const name = `${of}.${method}`;
    const breach = (what: string): void => {
      this.breaches.push(`${name}: ${what}`);
    };
    if (!(error instanceof AegisError)) {
      breach(`not an AegisError: ${error instanceof Error ? error.stack : String(error)}`);
      return;
    }
    const { code, errno, operation, message } = error;
    const count = `${name} ${code}`;
    this.seen.set(count, (this.seen.get(count) ?? 0) + 1);
    if (!CODES.has(code)) breach(`an unknown code ${code}`);
    const codes = DOCUMENTED.get(of)!.get(method);
    if (!codes?.has(code)) breach(`${code} is not documented: ${error.stack}`);
    if (code === 'IO_ERROR' && (errno === undefined || operation === undefined)) {
      breach(`IO_ERROR without errno or operation: ${message}`);
    }
    if (code === 'STORE_FAILED' && (message.includes('internal rule') || error.cause instanceof TypeError)) {
      breach(`a defect of ours: ${error.stack}`);
    }
    if (message.includes('engine that has just called it'))
      breach(`called by nobody it has called: ${error.stack}`);
    if (code === 'CORRUPTION') breach(`CORRUPTION, but nothing was damaged: ${error.stack}`);
  }

  #watched<T extends object>(target: T): T {
    const found = CLASSES.find(([, type]) => target instanceof type);
    if (!found) return target;
    const [of] = found;
    return new Proxy(target, {
      get: (_, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (name === Symbol.iterator) return () => this.#watchedIterator(target, of, 'next');
        const method = typeof name === 'string' ? name : `[${name.description}]`;
        return (...values: unknown[]) => this.#call(of, method, () => value.apply(target, values));
      },
    });
  }

  #call(of: PublicClass, method: string, call: () => unknown): unknown {
    let answer: unknown;
    try {
      answer = call();
    } catch (error) {
      this.note(of, method, error);
      throw error;
    }
    if (answer instanceof Promise) {
      return answer.then(
        (value) => (typeof value === 'object' && value !== null ? this.#watched(value) : value),
        (error: unknown) => {
          this.note(of, method, error);
          throw error;
        },
      );
    }
    if (typeof answer !== 'object' || answer === null) return answer;
    const isIterator = of === 'Scan' && (method === 'keys' || method === 'values');
    return isIterator ? this.#watchedIterator(answer, of, method) : this.#watched(answer);
  }

  *#watchedIterator(inner: object, of: PublicClass, method: string): IterableIterator<unknown> {
    try {
      yield* inner as Iterable<unknown>;
    } catch (error) {
      this.note(of, method, error);
      throw error;
    }
  }
}

/** Whether an error has one of these codes. */
export function isCode(error: unknown, ...codes: AegisErrorCode[]): error is AegisError {
  return error instanceof AegisError && codes.includes(error.code);
}
