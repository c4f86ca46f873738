/**
 * Ranges: what a caller asks for (`RangeOptions`), made into two checked bounds and a direction, and the flags of the
 * core's range call.
 */
import type { Bytes } from '../base/bytes-in.ts';
import { ownBytes } from '../base/bytes-in.ts';
import { checkOptions, invalid } from '../base/errors.ts';

/** Makes checked bytes of a key. */
export interface KeyCheck {
  keyBytes(key: Bytes): Uint8Array;
}

/** Which keys, in which order, how many. All bounds given hold together. */
export interface RangeOptions {
  /** Keys above this one. */
  gt?: Bytes;
  /** Keys from this one on. */
  gte?: Bytes;
  /** Keys below this one. */
  lt?: Bytes;
  /** Keys up to this one. */
  lte?: Bytes;
  /** Keys that start with these bytes. */
  prefix?: Bytes;
  /** From the last to the first. */
  reverse?: boolean;
  /** At most so many; 0 is none, absent or Infinity is all. */
  limit?: number;
}

/** Flags of `treeRange` (assembly/tree/cursor.ts). */
export const RANGE_REVERSE = 1;
export const RANGE_START_INCLUSIVE = 2;
export const RANGE_END_INCLUSIVE = 4;
export const RANGE_KEYS_ONLY = 8;
export const RANGE_COUNT_ONLY = 16;

/** One end of a range; `key` undefined: no bound. */
export interface Bound {
  readonly key: Uint8Array | undefined;
  readonly inclusive: boolean;
}

/** A checked range. */
export interface Range {
  readonly lower: Bound;
  readonly upper: Bound;
  readonly reverse: boolean;
  readonly limit: number;
}

export const OPEN_BOUND: Bound = { key: undefined, inclusive: false };
/** All keys there are. */
export const EVERYTHING: Range = {
  lower: OPEN_BOUND,
  upper: OPEN_BOUND,
  reverse: false,
  limit: Number.POSITIVE_INFINITY,
};

const BOUNDS = ['gt', 'gte', 'lt', 'lte', 'prefix'] as const;
const KNOWN = [...BOUNDS, 'reverse', 'limit'];

/** Unsigned byte order, shorter first. */
export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; ++i) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Checks what a caller asked for. Throws INVALID_ARGUMENT, TOO_LARGE. */
export function resolveRange(trees: KeyCheck, options: RangeOptions = {}): Range {
  checkOptions('range', options, KNOWN);
  const { limit = Number.POSITIVE_INFINITY, reverse = false } = options;
  if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit >= 0)) {
    throw invalid('range: limit', limit, 'a whole number from 0 on');
  }
  if (typeof reverse !== 'boolean') throw invalid('range: reverse', reverse, 'true or false');
  let lower = OPEN_BOUND;
  let upper = OPEN_BOUND;
  const { gt, gte, lt, lte, prefix } = options;
  if (gt !== undefined) lower = higher(lower, { key: ownBytes(trees.keyBytes(gt)), inclusive: false });
  if (gte !== undefined) lower = higher(lower, { key: ownBytes(trees.keyBytes(gte)), inclusive: true });
  if (lt !== undefined) upper = lowerOf(upper, { key: ownBytes(trees.keyBytes(lt)), inclusive: false });
  if (lte !== undefined) upper = lowerOf(upper, { key: ownBytes(trees.keyBytes(lte)), inclusive: true });
  if (prefix !== undefined) {
    const first = ownBytes(trees.keyBytes(prefix));
    lower = higher(lower, { key: first, inclusive: true });
    upper = lowerOf(upper, { key: afterPrefix(first), inclusive: false });
  }
  return { lower, upper, reverse, limit };
}

/** Refuses a bound that is named and has no value: a misspelt option must not delete what it was to spare. */
export function checkNamedBounds(what: string, options: RangeOptions): void {
  for (const name of BOUNDS) {
    if (name in options && options[name] === undefined) throw invalid(`${what}: ${name}`, undefined, 'a key');
  }
}

/** Whether no key can be in a range. */
export function isEmptyRange(range: Range): boolean {
  if (range.limit === 0) return true;
  const { lower, upper } = range;
  if (!lower.key || !upper.key) return false;
  const order = compareKeys(lower.key, upper.key);
  return order > 0 || (order === 0 && !(lower.inclusive && upper.inclusive));
}

/** The first key after all that start with a prefix; undefined: there is none. */
function afterPrefix(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 255) --length;
  if (length === 0) return undefined;
  const next = prefix.slice(0, length);
  next[length - 1] = (next[length - 1] as number) + 1;
  return next;
}

function higher(a: Bound, b: Bound): Bound {
  if (!a.key) return b;
  if (!b.key) return a;
  const order = compareKeys(a.key, b.key);
  if (order !== 0) return order > 0 ? a : b;
  return a.inclusive ? b : a;
}

function lowerOf(a: Bound, b: Bound): Bound {
  if (!a.key) return b;
  if (!b.key) return a;
  const order = compareKeys(a.key, b.key);
  if (order !== 0) return order < 0 ? a : b;
  return a.inclusive ? b : a;
}
