/**
 * Reads of many records in a transaction: what its snapshot has of one tree, with its own writes merged in.
 *
 * `own` is the private tree of its writes to that tree, if there is one; `root` (0: there is no such tree) and `epoch` are of the snapshot.
 */
import type { Bytes } from '../base/bytes-in.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import { LATEST } from '../core/wasm.ts';
import type { PrivateTree } from '../store/private-tree.ts';
import type { Range } from '../store/range.ts';
import { RangeReader } from '../store/range-reader.ts';
import type { Trees } from '../store/trees.ts';
import { TOMBSTONE } from '../store/trees.ts';

/** One tree as a transaction sees it. */
export interface MergedTree {
  readonly trees: Trees;
  readonly root: number;
  readonly epoch: number;
  readonly own: PrivateTree | undefined;
}

/** Looks up many keys in groups; `onRead` hears of each key that own writes do not answer. */
export function getManyMerged(
  { trees, root, epoch, own }: MergedTree,
  keys: readonly Bytes[],
  onRead: (key: Bytes) => void,
): (OwnBytes | undefined)[] {
  const values = own?.root
    ? trees.getMany(own.root, LATEST, keys)
    : new Array<undefined>(keys.length).fill(undefined);
  const missing: number[] = [];
  for (const [i, value] of values.entries()) if (value === undefined) missing.push(i);
  const asked = missing.map((i) => keys[i] as Bytes);
  const found = root === 0 ? absent(trees, asked) : trees.getMany(root, epoch, asked);
  for (const [i, value] of found.entries()) values[missing[i] as number] = value;
  for (const key of asked) onRead(key);
  return values.map((value) => (value === TOMBSTONE ? undefined : value));
}

/** Looks up keys where there is no tree; they are checked all the same. */
function absent(trees: Trees, keys: readonly Bytes[]): undefined[] {
  for (const key of keys) trees.setKey(key);
  return new Array<undefined>(keys.length).fill(undefined);
}

/** How many records own writes add to a range, or take from it; the range's limit aside. */
export function ownSurplus({ trees, root, epoch, own }: MergedTree, { lower, upper }: Range): number {
  if (!own) return 0;
  const whole = { lower, upper, reverse: false, limit: Number.POSITIVE_INFINITY };
  const reader = new RangeReader(trees, own.root, LATEST, whole);
  let surplus = 0;
  while (reader.advance(0xffffffff, true)) {
    const there = root !== 0 && trees.has(root, epoch, trees.setKey(reader.key())) === true;
    if (reader.isTombstone()) surplus -= there ? 1 : 0;
    else surplus += there ? 0 : 1;
  }
  return surplus;
}
