/**
 * The queue of transactions that lost a conflict. If all of them tried again at once, one would win and all others lose
 * again; so they try one after the other, in the order of their losing, and each meets only those who have not lost.
 *
 * Invariants
 *   1. One loser at a time has its turn, and keeps it until it is through or gives up. Who takes longer than `PATIENCE`
 *      for it lets the next one try beside it: a transaction inside another one waits for that long, not for ever.
 *   2. A loser that loses in its turn insists: who has not tried yet waits for it to pass, so nobody starves.
 */

/** Milliseconds after which the next loser no longer waits for the one before it. */
const PATIENCE = 1000;

/** A timer. */
type After = (ms: number, run: () => void) => () => void;

/** The turn of a loser. */
export interface Turn {
  /** Nobody else begins until this turn passes. */
  insist(): void;
  /** The turn is over; idempotent. */
  pass(): void;
}

export class RetryQueue {
  readonly #after: After;
  readonly #losers = new Set<() => void>();
  #newcomers: (() => void)[] = [];
  #present: Turn | undefined;
  #insists = false;

  /** @param after runs a function after a while, and keeps the process alive until then; answers how to cancel that. */
  constructor(after: After) {
    this.#after = after;
  }

  /** Resolves when a transaction may try for the first time; undefined: now. */
  begin(): Promise<void> | undefined {
    return this.#insists ? new Promise((resolve) => void this.#newcomers.push(resolve)) : undefined;
  }

  /** Resolves to the turn of a transaction that has lost. */
  async turn(): Promise<Turn> {
    if (this.#present) await new Promise<void>((resolve) => void this.#losers.add(resolve));
    let cancel = (): void => undefined;
    const turn: Turn = {
      insist: () => {
        if (this.#present === turn) this.#insists = true;
      },
      pass: () => {
        if (this.#present !== turn) return;
        cancel();
        this.#next();
      },
    };
    this.#present = turn;
    cancel = this.#after(PATIENCE, turn.pass);
    return turn;
  }

  #next(): void {
    this.#insists = false;
    for (const resolve of this.#newcomers.splice(0)) resolve();
    this.#present = undefined;
    for (const resolve of this.#losers) {
      this.#losers.delete(resolve);
      // Its turn begins in a later step of this one; until then nobody may take it.
      this.#present = NOBODY;
      resolve();
      return;
    }
  }
}

const NOBODY: Turn = { insist: () => undefined, pass: () => undefined };
