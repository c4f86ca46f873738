/**
 * `load-recovery.ts` for browsers: who makes a new store in memory loads nothing of it, where a bundler splits.
 */
import { loadedPart } from '../base/loaded-part.ts';
import type { Recovery } from './load-recovery.ts';

/** Loads recovery. @throws AegisError (as a rejection) `IO_ERROR` */
export function loadRecovery(): Promise<Recovery> {
  return loadedPart(import('./recovery.ts'));
}
