/**
 * The way to recovery, which is there from the start. Browsers have `load-recovery.browser.ts` in place of this.
 */
import * as recovery from './recovery.ts';

/** What opens a store that is there. */
export type Recovery = typeof recovery;

/** Loads recovery. */
export async function loadRecovery(): Promise<Recovery> {
  return recovery;
}
