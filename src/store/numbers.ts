/**
 * Page numbers that are free: single ones, and runs of them where a store just opened has no directory chunk. A store
 * may have used a billion numbers and hold ten pages, or say so to be believed; so runs cost nothing until they are
 * used.
 *
 * Invariants
 *   1. A number is free once: in the list or in one run.
 *   2. Runs are in order; numbers are taken from the list first, then from the lowest run.
 */

/** Numbers from `from` up to, not including, `to`. */
export interface NumberRun {
  readonly from: number;
  readonly to: number;
}

export class FreeNumbers {
  #list: number[] = [];
  /** The lowest run is the last one. */
  #runs: NumberRun[] = [];
  #inRuns = 0;

  /** How many numbers are free. */
  get count(): number {
    return this.#list.length + this.#inRuns;
  }

  /** Those that are in no run. */
  get list(): readonly number[] {
    return this.#list;
  }

  /** Starts anew with what a store just opened has: the list is taken from its end, runs come in ascending order. */
  reset(list: number[], runs: readonly NumberRun[]): void {
    this.#list = list;
    this.#runs = [...runs].reverse();
    this.#inRuns = runs.reduce((sum, { from, to }) => sum + to - from, 0);
  }

  give(number: number): void {
    this.#list.push(number);
  }

  take(): number | undefined {
    const single = this.#list.pop();
    const run = this.#runs.at(-1);
    if (single !== undefined || run === undefined) return single;
    --this.#inRuns;
    if (run.from + 1 === run.to) this.#runs.pop();
    else this.#runs[this.#runs.length - 1] = { from: run.from + 1, to: run.to };
    return run.from;
  }

  /** The numbers below `next` that lie in no run, as runs: only for verification. */
  *outside(next: number): Generator<NumberRun> {
    let from = 1;
    for (const run of [...this.#runs].reverse()) {
      if (run.from > from) yield { from, to: run.from };
      from = run.to;
    }
    if (next > from) yield { from, to: next };
  }
}

/** A set of numbers that costs memory only where it has some. */
export class NumberSet {
  readonly #pieces = new Map<number, Uint32Array>();

  has(number: number): boolean {
    return (((this.#pieces.get(number >>> 15)?.[(number & 0x7fff) >>> 5] ?? 0) >>> (number & 31)) & 1) === 1;
  }

  add(number: number): void {
    let piece = this.#pieces.get(number >>> 15);
    if (!piece) {
      piece = new Uint32Array(1024);
      this.#pieces.set(number >>> 15, piece);
    }
    const word = (number & 0x7fff) >>> 5;
    piece[word] = (piece[word] as number) | (1 << (number & 31));
  }
}
