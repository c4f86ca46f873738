/**
 * Compares bytes as bytes: the comparison that `expect` brings looks at a megabyte for seconds, element by element.
 *
 * Files that share a process share the list of comparisons, and each of them runs this: only the first one adds to it.
 */
import { expect } from 'vitest';

const ADDED = Symbol.for('aegis-storage: bytes are compared as bytes');

if (!Reflect.has(globalThis, ADDED)) {
  Reflect.set(globalThis, ADDED, true);
  expect.addEqualityTesters([
    (one: unknown, other: unknown): boolean | undefined => {
      const areBytes = one instanceof Uint8Array && other instanceof Uint8Array;
      if (!areBytes || one.constructor !== other.constructor) return undefined;
      return Buffer.compare(one, other) === 0;
    },
  ]);
}
