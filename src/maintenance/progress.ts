/**
 * Telling a program how far long work is.
 *
 * 1. The program's function is called when the step that has something to tell is over, never inside it: it may write,
 *    read and close like any other code of the program.
 * 2. What it throws, or rejects with, changes nothing: a defect of a progress bar is none of the store.
 * 3. Of what one turn has to tell of a phase only the last is told.
 */
import { afterThis } from '../backend/host.ts';
import type { Progress } from '../config/config.ts';

/** What a program gives as `onProgress`. */
type Listener = (progress: Progress) => unknown;

/** Tells how far a phase is. */
export type Tell = (phase: Progress['phase'], done: number, total: number) => void;

/** A function that tells the listener, if there is one, when the present step is over. */
export function tellerOf(listener: Listener | undefined): Tell {
  if (listener === undefined) return () => undefined;
  const untold = new Map<Progress['phase'], Progress>();
  return (phase, done, total) => {
    if (untold.size === 0) {
      afterThis(() => {
        const all = [...untold.values()];
        untold.clear();
        for (const progress of all) tellNow(listener, progress);
      });
    }
    untold.set(phase, { phase, done, total });
  };
}

/** Tells at once; only for work that nothing of the program can reach yet. */
export function tellNow(listener: Listener | undefined, progress: Progress): void {
  try {
    const answer = listener?.(progress);
    if (answer instanceof Promise) answer.catch(() => undefined);
  } catch {
    // The program's own affair.
  }
}
