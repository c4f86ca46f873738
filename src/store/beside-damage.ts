/**
 * Deleting beside damage. A delete may look for a neighbour to merge its leaf with; one that cannot be read must not
 * stop a change that is durable, nor its replay: then the leaf stays as it is.
 */
import { AegisError } from '../errors.ts';
import type { Core } from '../wasm.ts';

/** Does work that deletes; a second time, without merging, when the first met damage. */
export function besideDamage<T>({ x }: Core, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof AegisError) || (error.code !== 'CORRUPTION' && error.code !== 'IO_ERROR'))
      throw error;
    x.mergesSet(false);
    return work();
  } finally {
    x.mergesSet(true);
  }
}
