/**
 * What of one tree could not be read, as ranges of keys.
 *
 * Invariants
 *   1. The ranges are in key order, and no key is in two of them.
 *   2. A key is in a range as long as nothing certain is known of it. `settle` takes it out: a commit in the log says
 *      what became of it, whatever the page held.
 */
import type { Bound, Range } from '../store/range.ts';
import { compareKeys, OPEN_BOUND } from '../store/range.ts';
import type { VerifyProblem } from './findings.ts';

/** From where to where. */
export type Bounds = Pick<Range, 'lower' | 'upper'>;

/** Keys of which nothing is known. */
export interface LostRange extends Bounds {
  /** Why; of several pages, the first. */
  readonly problem: VerifyProblem;
  /** Pages that could not be read. */
  readonly pages: number;
}

/** Everything of a tree. */
export const WHOLE: Bounds = { lower: OPEN_BOUND, upper: OPEN_BOUND };

export class LostRanges {
  #ranges: LostRange[] = [];

  /** Ranges in key order; neighbours are one. */
  get merged(): LostRange[] {
    const merged: LostRange[] = [];
    for (const range of this.#ranges) {
      const last = merged.at(-1);
      if (last && touches(last.upper, range.lower)) {
        merged[merged.length - 1] = { ...last, upper: range.upper, pages: last.pages + range.pages };
      } else {
        merged.push(range);
      }
    }
    return merged;
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** Adds a range that has no key of another one. */
  add({ lower, upper }: Bounds, problem: VerifyProblem): LostRange {
    const range = { lower, upper, problem, pages: 1 };
    this.#ranges.splice(this.#countBefore(lower), 0, range);
    return range;
  }

  /** Puts others, which lie within it, in the place of a range. */
  replace(range: LostRange, others: readonly LostRange[]): void {
    this.#ranges.splice(this.#ranges.indexOf(range), 1, ...others.filter((other) => !isVoid(other)));
  }

  clear(): void {
    this.#ranges = [];
  }

  /** The range that a key is in. */
  find(key: Uint8Array): LostRange | undefined {
    const range = this.#ranges[this.#countBefore({ key, inclusive: true })];
    return range && isWithin(key, range) ? range : undefined;
  }

  /** What became of a key is known. */
  settle(key: Uint8Array): void {
    const range = this.find(key);
    if (!range) return;
    const bound = { key, inclusive: false };
    this.replace(range, [
      { ...range, upper: bound },
      { ...range, lower: bound },
    ]);
  }

  /** How many ranges end before a bound. */
  #countBefore(lower: Bound): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends((this.#ranges[middle] as LostRange).upper, lower)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Whether no key is in both of two ranges. */
export function areApart(a: Bounds, b: Bounds): boolean {
  return ends(a.upper, b.lower) || ends(b.upper, a.lower);
}

/** Whether a key is in a range. */
export function isWithin(key: Uint8Array, { lower, upper }: Bounds): boolean {
  const point = { key, inclusive: true };
  return !ends(upper, point) && !ends(point, lower);
}

/** Whether everything up to one bound lies before everything from another one on. */
function ends(upper: Bound, lower: Bound): boolean {
  if (!upper.key || !lower.key) return false;
  const order = compareKeys(upper.key, lower.key);
  return order < 0 || (order === 0 && !(upper.inclusive && lower.inclusive));
}

/** Whether one range begins where another one ends. */
function touches(upper: Bound, lower: Bound): boolean {
  if (!upper.key || !lower.key) return false;
  return upper.inclusive !== lower.inclusive && compareKeys(upper.key, lower.key) === 0;
}

/** Whether no key can be in a range: it ends before it begins, or there is nothing between its bounds. */
function isVoid({ lower, upper }: Bounds): boolean {
  if (ends(upper, lower)) return true;
  if (!upper.key || upper.inclusive) return false;
  if (!lower.key) return upper.key.length === 0;
  if (lower.inclusive) return false;
  // The next key after k is k and a zero byte.
  return (
    upper.key.length === lower.key.length + 1 && upper.key.at(-1) === 0 && startsWith(upper.key, lower.key)
  );
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return compareKeys(key.subarray(0, prefix.length), prefix) === 0;
}
