/**
 * The queue of transactions that lost a conflict. If all of them retried at once, one would win and all others would
 * lose again. So they retry one after the other, first come first served, and each competes only with new
 * transactions.
 *
 * Invariants
 *   1. One loser retries at a time, until it succeeds or gives up. If it takes longer than `PATIENCE`, the next one
 *      may retry beside it: a transaction inside another one waits for that long, not for ever.
 *   2. If a loser loses its retry, new transactions wait until it is through, so nobody starves.
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
      // Its turn begins in a later microtask; nobody else may take it before.
      this.#present = NOBODY;
      resolve();
      return;
    }
  }
}

const NOBODY: Turn = { insist: () => undefined, pass: () => undefined };
