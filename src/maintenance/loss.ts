/**
 * What a salvage could not bring, in the words of those who have lost it.
 */
import type { BlockId } from '../store/block-id.ts';
import type { Bound, RangeOptions } from '../store/range.ts';
import type { VerifyProblem } from './findings.ts';
import type { LostRange } from './lost-ranges.ts';

/** Something of a store that is lost; `message`, `page`, `file` and `offset` say why, of several pages the first. */
export interface Loss extends VerifyProblem {
  /**
   * `keys`: of a tree, those of the range. `trees`: those whose names lie in the range (bytes of UTF-8), with all that was
   * in them. `blocks`: those with these ids. `commits`: the last ones of the log; what they changed is as it was before.
   */
  readonly what: 'keys' | 'trees' | 'blocks' | 'commits';
  /** The named tree that the keys are of; absent: the default one. */
  readonly tree?: string;
  /** Of which keys or names nothing is known, in bounds that `scan` takes; without a bound: all on that side. */
  readonly range?: Pick<RangeOptions, 'gt' | 'gte' | 'lt' | 'lte'>;
  /** Ids of blocks, from the first to the last. */
  readonly ids?: readonly [first: BlockId, last: BlockId];
  /** Pages that could not be read. */
  readonly pages?: number;
}

/** First byte of names that are the engine's own. */
const OWN_NAMES = 0xff;

/** Keys of a tree. */
export function keyLoss(range: LostRange, tree: string | undefined): Loss {
  const { problem, pages } = range;
  return { what: 'keys', ...(tree === undefined ? {} : { tree }), range: boundsOf(range), pages, ...problem };
}

/** Names of trees; undefined when no user can have such a name. */
export function nameLoss(range: LostRange): Loss | undefined {
  if (range.lower.key?.[0] === OWN_NAMES) return undefined;
  return { what: 'trees', range: boundsOf(range), pages: range.pages, ...range.problem };
}

/** Blocks, of which ids below `next` were given out; undefined when no block can have such an id. */
export function blockLoss({ lower, upper, problem, pages }: LostRange, next: BlockId): Loss | undefined {
  const first = lower.key ? numberOf(lower.key) + (lower.inclusive ? 0 : 1) : 1;
  const last = upper.key ? numberOf(upper.key) - (upper.inclusive ? 0 : 1) : next - 1;
  const ids = [Math.max(1, first), Math.min(next - 1, last)] as const;
  return ids[0] > ids[1] ? undefined : { what: 'blocks', ids, pages, ...problem };
}

function boundsOf({ lower, upper }: LostRange): NonNullable<Loss['range']> {
  return { ...boundOf(lower, 'gt'), ...boundOf(upper, 'lt') };
}

function boundOf({ key, inclusive }: Bound, name: 'gt' | 'lt'): NonNullable<Loss['range']> {
  return key ? { [inclusive ? `${name}e` : name]: key } : {};
}

/** The number of a block's key, or of the beginning of one, as a separator may be. */
function numberOf(key: Uint8Array): number {
  let number = 0;
  for (let i = 0; i < 8; ++i) number = number * 256 + (key[i] ?? 0);
  return number;
}
