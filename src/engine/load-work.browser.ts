/**
 * `load-work.ts` for browsers: a bundler that splits leaves the work on whole stores out of what is loaded first.
 */
import { loadedPart } from '../base/loaded-part.ts';
import type { SalvageWork, WholeStoreWork } from './load-work.ts';

/** Loads the work on open stores. @throws AegisError (as a rejection) `IO_ERROR` */
export function loadWork(): Promise<WholeStoreWork> {
  return loadedPart(import('./whole-store-work.ts'));
}

/** Loads salvage. @throws AegisError (as a rejection) `IO_ERROR` */
export function loadSalvage(): Promise<SalvageWork> {
  return loadedPart(import('./salvage-work.ts'));
}
