/** Compares bytes as bytes: the comparison that `expect` brings looks at a megabyte for seconds, element by element. */
import { expect } from 'vitest';

expect.addEqualityTesters([
  (one: unknown, other: unknown): boolean | undefined => {
    const areBytes = one instanceof Uint8Array && other instanceof Uint8Array;
    if (!areBytes || one.constructor !== other.constructor) return undefined;
    return Buffer.compare(one, other) === 0;
  },
]);
