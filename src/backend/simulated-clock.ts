/**
 * Chance and time of a simulation: both come from its seed, so the same program over the same seed is the same run.
 *
 * Time is a list of what is to happen. It passes when nothing else is ready to run: after so many turns of the
 * microtask queue the earliest entry happens, and time is what it was due at.
 */

/** Random numbers that a seed repeats (mulberry32). */
export class SimulatedRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 2_654_435_761) + 1) >>> 0;
  }

  /** Any 32 bits. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** A whole number from 0 to below a limit. */
  below(limit: number): number {
    return Math.floor((this.bits() / 2 ** 32) * limit);
  }

  /** True once in so many times. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }
}

/** Turns of the microtask queue in which a program that is not waiting for time gets on with its work. */
const TURNS = 24;

interface Task {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Time of a simulation: it stands still, or passes while the program waits for nothing else. */
export class SimulatedClock {
  /** Milliseconds since the simulation began. */
  now = 0;
  /** Whether time passes by itself whenever the program waits; otherwise `step` and `run` alone move it. */
  readonly automatic: boolean;
  #order = 0;
  #tasks: Task[] = [];
  #isPassing = false;

  constructor(automatic: boolean) {
    this.automatic = automatic;
  }

  /** How many things are still to happen. */
  get waiting(): number {
    return this.#tasks.length;
  }

  /** Lets something happen after so many milliseconds; the answer takes it back. */
  later(ms: number, run: () => void): () => void {
    const task = { at: this.now + ms, order: ++this.#order, run };
    this.#tasks.push(task);
    if (this.automatic && !this.#isPassing) {
      this.#isPassing = true;
      void this.#pass();
    }
    return () => {
      const at = this.#tasks.indexOf(task);
      if (at >= 0) this.#tasks.splice(at, 1);
    };
  }

  /** Lets the next thing happen; false: nothing is to. */
  step(): boolean {
    let next: Task | undefined;
    for (const task of this.#tasks) {
      if (!next || task.at < next.at || (task.at === next.at && task.order < next.order)) next = task;
    }
    if (!next) return false;
    this.#tasks.splice(this.#tasks.indexOf(next), 1);
    this.now = Math.max(this.now, next.at);
    next.run();
    return true;
  }

  /** Lets everything run that is ready to, without time passing. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) await undefined;
  }

  /** Moves time until a promise has settled, and answers as it does. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const note = (): void => {
      settled = true;
    };
    promise.then(note, note);
    for (let idle = 0; ; ) {
      for (let turn = 0; turn < TURNS && !settled; turn++) await undefined;
      if (settled) return promise;
      if (this.step()) idle = 0;
      else if (++idle > TURNS) throw new Error('the promise hangs: nothing is left that could settle it');
    }
  }

  async #pass(): Promise<void> {
    do await this.settle();
    while (this.step());
    this.#isPassing = false;
  }
}
