/**
 * The way to the work on whole stores. It is there from the start: a program may run for months, and its package be
 * replaced meanwhile. Browsers have `load-work.browser.ts` in place of this.
 */
import * as salvageWork from './salvage-work.ts';
import * as work from './whole-store-work.ts';

/** Verification, backup and compaction. */
export type WholeStoreWork = typeof work;

/** Salvage, which no open store needs. */
export type SalvageWork = typeof salvageWork;

/** Loads the work on open stores. */
export async function loadWork(): Promise<WholeStoreWork> {
  return work;
}

/** Loads salvage. */
export async function loadSalvage(): Promise<SalvageWork> {
  return salvageWork;
}
