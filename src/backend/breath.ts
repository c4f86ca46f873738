/**
 * Turns of the event loop for everybody else, between the calls of a program that never stops to take breath: where
 * nothing has to be waited for, as in memory, a loop of awaited calls would be one single turn to its end, without a
 * timer, a frame on the screen or a byte of input.
 *
 * 1. Work that began more than `SPELL` ago in the same turn goes on in the next one. Whoever works less notices nothing.
 * 2. A turn is known to be over by a mark that is set when its first work begins, and cleared by the turn after it.
 * 3. A backend with a clock of its own rules its own time.
 */
import type { StorageBackend } from './backend.ts';
import { inNextTurn, runtimeHost } from './host.ts';

/** Longest work in one turn, in milliseconds, apart from a single call that takes longer. */
const SPELL = 25;

/** Lets other work run when it is due. */
export interface Breath {
  /** Runs a function: now, or in the next turn when that is due. */
  run(work: () => void): void;
  /** Resolves soon: in the next turn when that is due. */
  rest(): Promise<void>;
}

/** When the first work of this turn began; undefined: there has been none. One for the thread, as its event loop. */
let since: number | undefined;

function isDue(): boolean {
  const now = runtimeHost.now();
  if (since !== undefined) return now - since > SPELL;
  since = now;
  inNextTurn(() => {
    since = undefined;
  });
  return false;
}

const ownBreath: Breath = Object.freeze({
  run(work: () => void): void {
    if (isDue()) inNextTurn(work);
    else work();
  },
  async rest(): Promise<void> {
    if (isDue()) await new Promise<void>(inNextTurn);
  },
});

const noBreath: Breath = Object.freeze({
  run: (work: () => void): void => work(),
  rest: async (): Promise<void> => undefined,
});

/** What the calls of a store on a backend do between each other. */
export function breathOf(backend: StorageBackend): Breath {
  return backend.host ? noBreath : ownBreath;
}
