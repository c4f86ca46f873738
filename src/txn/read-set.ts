/**
 * What a serializable transaction has read: keys (present or absent) and ranges. A write never erases the record of an
 * earlier read, and nothing is taken back.
 */
import { PrivateTree } from '../store/private-tree.ts';
import type { Bound } from '../store/range.ts';
import type { Trees } from '../store/trees.ts';
import type { Conflicts, ReadRange } from './conflicts.ts';

const NOTHING = new Uint8Array(0);

export class ReadSet {
  readonly #trees: Trees;
  readonly #keys = new Map<number, PrivateTree>();
  readonly #ranges: ReadRange[] = [];

  constructor(trees: Trees) {
    this.#trees = trees;
  }

  /** Records a key that was looked up. */
  addKey(tree: number, key: Uint8Array): void {
    let keys = this.#keys.get(tree);
    if (!keys) {
      keys = new PrivateTree(this.#trees);
      this.#keys.set(tree, keys);
    }
    keys.put(key, NOTHING);
  }

  /** Records a range; the caller moves its bounds as the reading goes on. */
  addRange(tree: number, lower: Bound, upper: Bound): ReadRange {
    const range: ReadRange = { tree, lower, upper };
    this.#ranges.push(range);
    return range;
  }

  /** Whether anything read was committed after a timestamp. */
  changedSince(timestamp: number, conflicts: Conflicts): boolean {
    for (const [tree, keys] of this.#keys) {
      let changed = false;
      keys.walk((key, keyLength) => {
        changed = conflicts.keyChanged(tree, key, keyLength, timestamp);
        return !changed;
      });
      if (changed) return true;
    }
    return this.#ranges.some((range) => conflicts.rangeChanged(range, timestamp));
  }

  /** Frees what it takes. */
  drop(): void {
    for (const keys of this.#keys.values()) keys.drop();
    this.#keys.clear();
    this.#ranges.length = 0;
  }
}
