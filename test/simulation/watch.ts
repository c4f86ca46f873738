/*
 * Whether promises settle: time passes while nothing else can happen, and a promise that is still open when nothing is
 * left that could settle it hangs. One that keeps the store busy without end is found by the calls it makes and the
 * turns it takes. No real clock is asked.
 */
import type { SimulatedClock, SimulatedRandom } from '../../src/backend/simulated-clock.ts';
import { Violation } from './violation.ts';

/** Turns of the microtask queue after which nobody can be expected to do anything more. */
const IDLE_TURNS = 20_000;
/** Things that happen in time before a run counts as endless. */
const STEPS_MAX = 60_000;
/** Turns between two things that happen in time: few, so that callers are often in the middle of something. */
const TURNS_MAX = 30;

export class Watch {
  readonly #random: SimulatedRandom;
  /** What was found where no promise could say it. */
  broken: Violation | undefined;

  constructor(random: SimulatedRandom) {
    this.#random = random;
  }

  /** Waits for a promise, or until `isOver`; answers whether it has settled. */
  async settles(
    clock: SimulatedClock,
    what: string,
    promise: Promise<unknown>,
    isOver: () => boolean = () => false,
  ): Promise<boolean> {
    let isSettled = false;
    const note = (): void => {
      isSettled = true;
    };
    promise.then(note, note);
    for (let steps = 0; ; steps++) {
      if (steps > STEPS_MAX) throw new Violation(`${what} goes on without end`);
      for (let turns = 1 + this.#random.below(TURNS_MAX); turns > 0; turns--) {
        if (isSettled) return true;
        if (isOver()) return false;
        await undefined;
      }
      if (this.broken) throw this.broken;
      if (clock.step()) continue;
      for (let turns = 0; turns < IDLE_TURNS && !isSettled && clock.waiting === 0; turns++) await undefined;
      if (!isSettled && clock.waiting === 0) throw new Violation(`${what} never ends`);
    }
  }

  /** As `settles`, and answers as the promise does. */
  async run<T>(clock: SimulatedClock, what: string, promise: Promise<T>): Promise<T> {
    await this.settles(clock, what, promise);
    return promise;
  }
}
