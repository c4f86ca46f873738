/**
 * The way to the work on whole stores. It is there from the start: a program may run for months, and its package be
 * replaced meanwhile. Browsers have `load-work.browser.ts` in place of this.
 */
import * as work from './whole-store-work.ts';

/** Verification, backup and compaction. */
export type WholeStoreWork = typeof work;

/** Loads the work on whole stores. */
export async function loadWork(): Promise<WholeStoreWork> {
  return work;
}
