/**
 * `load-work.ts` for browsers: a bundler that splits leaves the work on whole stores out of what is loaded first.
 */
import { AegisError, reasonOf } from '../base/errors.ts';
import type { WholeStoreWork } from './load-work.ts';

/** Loads the work on whole stores. @throws AegisError (as a rejection) `IO_ERROR` */
export async function loadWork(): Promise<WholeStoreWork> {
  try {
    return await import('./whole-store-work.ts');
  } catch (cause) {
    const message = `a part of aegis-storage cannot be loaded: ${reasonOf(cause)}`;
    throw new AegisError('IO_ERROR', message, { cause });
  }
}
