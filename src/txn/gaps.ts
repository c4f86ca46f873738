/**
 * Gaps: stretches of keys in which a transaction sees nothing any more, since it has deleted what its snapshot has
 * there. A scan that has walked over own deletions says so here, and the next one steps over them: reading the first
 * record and deleting it, again and again, costs the same each time.
 *
 * A stretch lies between two cuts; a cut is a place between keys: before a key or behind it.
 *
 * Invariants
 *   1. Gaps are in order and do not touch each other.
 *   2. The transaction sees no key in a gap: its snapshot does not change, a put takes its key out of the gap, and
 *      whoever takes writes back clears all.
 *   3. A scan shows its own moment: it believes the gaps there were when it was made, so none once something is
 *      written, and tells of new ones as long as nothing was put.
 */
import { ownBytes } from '../base/bytes-in.ts';
import type { Bound, Range } from '../store/range.ts';
import { compareKeys } from '../store/range.ts';

/** A place between keys: before a key or behind it; `key` undefined: behind all keys. */
export interface Cut {
  readonly key: Uint8Array | undefined;
  readonly behind: boolean;
}

interface Gap {
  readonly low: Cut;
  readonly high: Cut;
}

/** Deletions in a row that are worth a gap of their own. */
const RUN_MIN = 8;
/** Gaps kept; beyond that all are forgotten, and the next scans find theirs again. */
const GAPS_MAX = 1024;
/** Before all keys. */
const BEGINNING: Cut = { key: new Uint8Array(0), behind: false };

export class Gaps {
  #gaps: Gap[] = [];
  /** Counts writes, and those that may let a key be seen again. */
  writes = 0;
  puts = 0;

  /** Gaps that are known: nothing else shows that they join, and that their number is bounded. */
  get count(): number {
    return this.#gaps.length;
  }

  /** A key was deleted. */
  deleted(): void {
    ++this.writes;
  }

  /** A key is put: it is in no gap any more. Its bytes are the caller's. */
  put(key: Uint8Array): void {
    ++this.writes;
    ++this.puts;
    const before: Cut = { key, behind: false };
    const at = this.#first(before, false);
    const gap = this.#gaps[at];
    if (!gap || compare(gap.low, before) > 0) return;
    const own = ownBytes(key);
    const parts: Gap[] = [
      { low: gap.low, high: { key: own, behind: false } },
      { low: { key: own, behind: true }, high: gap.high },
    ];
    this.#gaps.splice(at, 1, ...parts.filter(({ low, high }) => compare(low, high) < 0));
  }

  /** Writes were taken back. */
  clear(): void {
    ++this.writes;
    ++this.puts;
    this.#gaps = [];
  }

  /** Where a walk that is at a cut goes on: at the far end of the gap that begins or lies there, or right there. */
  past(cut: Cut, reverse: boolean): Cut {
    const gap = this.#gaps[this.#first(cut, reverse)];
    if (!gap) return cut;
    if (reverse) return compare(gap.low, cut) < 0 ? gap.low : cut;
    return compare(gap.low, cut) <= 0 ? gap.high : cut;
  }

  /**
   * Nothing is seen between two cuts, where `run` own deletions were walked over. Few make no gap of their own, but
   * go to one that they touch. The bytes of the cuts are kept.
   */
  add(low: Cut, high: Cut, run: number): void {
    if (compare(low, high) >= 0) return;
    const first = this.#first(low, true);
    let end = first;
    while (end < this.#gaps.length && compare((this.#gaps[end] as Gap).low, high) <= 0) ++end;
    if (end === first) {
      if (run < RUN_MIN) return;
      if (this.#gaps.length >= GAPS_MAX) {
        this.#gaps = [{ low, high }];
        return;
      }
    }
    const lowest = this.#gaps[first];
    const highest = this.#gaps[end - 1];
    this.#gaps.splice(first, end - first, {
      low: end > first && lowest && compare(lowest.low, low) < 0 ? lowest.low : low,
      high: end > first && highest && compare(highest.high, high) > 0 ? highest.high : high,
    });
  }

  /** So many records of a range were deleted, all there were or as many as its limit allowed, up to `last`. */
  emptied(range: Range, count: number, last: Uint8Array): void {
    const { low, high } = cutsOf(range);
    const end: Cut = { key: last.slice(), behind: !range.reverse };
    const isCut = count >= range.limit;
    this.add(isCut && range.reverse ? end : low, isCut && !range.reverse ? end : high, count);
  }

  /** Index of the first gap that ends behind a cut; `orAt`: or right there. */
  #first(cut: Cut, orAt: boolean): number {
    let low = 0;
    for (let high = this.#gaps.length; low < high; ) {
      const middle = (low + high) >> 1;
      const order = compare((this.#gaps[middle] as Gap).high, cut);
      if (orAt ? order >= 0 : order > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Where a range begins, and where it ends. */
export function cutsOf({ lower, upper }: Pick<Range, 'lower' | 'upper'>): Gap {
  return {
    low: lower.key ? { key: lower.key, behind: !lower.inclusive } : BEGINNING,
    high: { key: upper.key, behind: upper.inclusive },
  };
}

/** The bound of a walk that goes on at a cut: a lower one, or of a walk backwards an upper one. */
export function boundOf({ key, behind }: Cut, reverse: boolean): Bound {
  return { key, inclusive: reverse === behind };
}

/** Order of two cuts. */
export function compare(a: Cut, b: Cut): number {
  if (a.key === undefined) return b.key === undefined ? 0 : 1;
  if (b.key === undefined) return -1;
  return compareKeys(a.key, b.key) || Number(a.behind) - Number(b.behind);
}
