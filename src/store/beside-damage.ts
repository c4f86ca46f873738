/**
 * What cannot be read: how often it is tried again, and how to delete beside it. A delete may look for a neighbour to
 * merge its leaf with; one that cannot be read must not stop a change that is durable, nor its replay: then the leaf stays
 * as it is.
 */
import { AegisError } from '../base/errors.ts';
import type { Core } from '../core/wasm.ts';

/** Times that what cannot be read is tried before it counts as damaged: it may be read the next time. */
export const READ_TRIES = 3;

/** Whether something was thrown because bytes cannot be read, or are not what was written. */
export function isDamage(error: unknown): error is AegisError {
  return error instanceof AegisError && (error.code === 'CORRUPTION' || error.code === 'IO_ERROR');
}

/** Does work that reads; again while it meets damage, READ_TRIES times in all. */
export function readAgain<T>(work: () => T): T {
  for (let tries = 1; ; ++tries) {
    try {
      return work();
    } catch (error) {
      if (!isDamage(error) || tries === READ_TRIES) throw error;
    }
  }
}

/** Does work that deletes; a second time, without merging, when the first met damage. */
export function besideDamage<T>({ x }: Core, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isDamage(error)) throw error;
    x.mergesSet(false);
    return work();
  } finally {
    x.mergesSet(true);
  }
}
