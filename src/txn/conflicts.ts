/**
 * Conflicts: which keys have been committed since a transaction's snapshot.
 *
 * The recent writes are kept as key -> commit timestamp, in private trees, one for each tree of the store. They cover
 * every commit that an open transaction must be validated against. There are two generations: when no open
 * transaction is as old as the older one, that one is dropped whole. So one old transaction costs disk space only, and
 * entries are never collected one by one.
 *
 * Invariants
 *   1. Every commit after the snapshot of the oldest open transaction, queued or applied, is among the recent writes.
 *      It is added when it is queued if a transaction is open; otherwise when a transaction begins while it is still
 *      queued. So validation looks at the recent writes only.
 *   2. A commit that fails after it was added leaves its entries behind, and its sequence goes to another commit. So
 *      entries carry a *commit timestamp*: the sequence plus the number of sequences taken back so far. No timestamp
 *      is used twice. What was left behind can only cause a needless CONFLICT, and only for transactions that began
 *      before the failure or while commits from before it are queued.
 *   3. Entries are kept by tree id. That a tree is made or dropped is recorded under its name: whoever read nothing
 *      because there was no such tree conflicts with the first, whoever read or wrote it with the second.
 */
import { KEY_AREA, OUT_AREA, RECORD_HEADER_SIZE, RECORD_TREE } from '../../assembly/layout.ts';
import { LATEST } from '../core/wasm.ts';
import { PrivateTree } from '../store/private-tree.ts';
import type { Bound } from '../store/range.ts';
import { RANGE_END_INCLUSIVE, RANGE_START_INCLUSIVE } from '../store/range.ts';
import type { Trees } from '../store/trees.ts';

/** Among the recent writes, the tree whose keys are the names of trees that were made. */
export const NAMES_MADE = 0;
/** The same for trees that were dropped. */
export const NAMES_DROPPED = 0xffffffff;

/** A range of keys somebody has read. */
export interface ReadRange {
  readonly tree: number;
  lower: Bound;
  upper: Bound;
}

interface Generation {
  readonly writes: Map<number, PrivateTree>;
  /** Highest timestamp in it. */
  last: number;
}

/** Entries read at once. */
const BATCH = 256;

export class Conflicts {
  readonly #trees: Trees;
  #current: Generation = { writes: new Map(), last: 0 };
  #older: Generation = { writes: new Map(), last: 0 };
  /** Timestamps of the snapshots of open transactions that may write, with how many have each. */
  readonly #open = new Map<number, number>();
  readonly #applied: () => number;
  /** Sequences taken back. */
  #takenBack = 0;

  /** @param applied the commit that a transaction begun now has as its snapshot. */
  constructor(trees: Trees, applied: () => number) {
    this.#trees = trees;
    this.#applied = applied;
  }

  /** Whether a commit must be added when it is queued. */
  get needed(): boolean {
    return this.#open.size > 0;
  }

  /** A transaction begins on the state of a sequence; answers the timestamp it is validated with. */
  begin(sequence: number): number {
    const timestamp = sequence + this.#takenBack;
    this.#open.set(timestamp, (this.#open.get(timestamp) ?? 0) + 1);
    return timestamp;
  }

  /** A transaction that began with that timestamp is over. */
  end(timestamp: number): void {
    const left = (this.#open.get(timestamp) ?? 1) - 1;
    if (left > 0) this.#open.set(timestamp, left);
    else this.#open.delete(timestamp);
    this.#collect();
  }

  /** Sequences that may be among the recent writes were taken back. Commits still queued must be added again. */
  takeBack(count: number): void {
    this.#takenBack += count;
  }

  /** Everything queued is applied: with no transaction open, nobody will ask for the recent writes. */
  allApplied(): void {
    if (this.#open.size === 0 && this.#current.last + this.#older.last > 0) this.#collect();
  }

  /** Adds the key of every record from one address to another. */
  track(from: number, end: number, sequence: number): void {
    const timestamp = sequence + this.#takenBack;
    const { pager } = this.#trees;
    const { x } = pager.core;
    for (let at = from; at < end; ) {
      const tree = x.recordTree(at);
      if (x.recordKind(at) >= RECORD_TREE) {
        this.#addName(at, timestamp);
        at = x.recordEnd(at);
        continue;
      }
      const writes = this.#treeFor(tree, timestamp);
      pager.run(() => {
        const status = x.recordsAddRecent(writes, tree, at, end, timestamp);
        if (x.applyAt() !== at) pager.release();
        at = x.applyAt();
        return status;
      });
    }
  }

  /** Adds the name in a record that makes or drops a tree. */
  #addName(at: number, timestamp: number): void {
    const { pager } = this.#trees;
    const { x } = pager.core;
    const writes = this.#treeFor(x.recordKind(at) === RECORD_TREE ? NAMES_MADE : NAMES_DROPPED, timestamp);
    pager.run(() => x.recentAdd(writes, at + RECORD_HEADER_SIZE, x.recordKeyBytes(at), timestamp));
  }

  /** The private tree for the writes to a tree of the store; `timestamp` is the highest that will be added. */
  #treeFor(tree: number, timestamp: number): number {
    this.#current.last = Math.max(this.#current.last, timestamp);
    let writes = this.#current.writes.get(tree);
    if (!writes) {
      writes = new PrivateTree(this.#trees);
      this.#current.writes.set(tree, writes);
    }
    return writes.open();
  }

  /** Whether a key, which lies in linear memory, was committed after a timestamp. */
  keyChanged(tree: number, key: number, keyLength: number, timestamp: number): boolean {
    return (
      this.#writtenIn(this.#current, tree, key, keyLength, timestamp) ||
      this.#writtenIn(this.#older, tree, key, keyLength, timestamp)
    );
  }

  /** Whether the tree with a name was dropped after a timestamp. */
  wasDropped(name: Uint8Array, timestamp: number): boolean {
    return this.keyChanged(NAMES_DROPPED, KEY_AREA, this.#trees.setKey(name), timestamp);
  }

  /** Whether any key of a range was committed after a timestamp. */
  rangeChanged(range: ReadRange, timestamp: number): boolean {
    return (
      this.#rangeWrittenIn(this.#current, range, timestamp) ||
      this.#rangeWrittenIn(this.#older, range, timestamp)
    );
  }

  #writtenIn(
    generation: Generation,
    tree: number,
    key: number,
    keyLength: number,
    timestamp: number,
  ): boolean {
    const writes = generation.writes.get(tree);
    if (!writes || writes.root === 0 || generation.last <= timestamp) return false;
    const { x } = this.#trees.pager.core;
    this.#trees.pager.run(() => x.recentSince(writes.root, key, keyLength, timestamp));
    return x.valueLength() === 1;
  }

  #rangeWrittenIn(generation: Generation, range: ReadRange, timestamp: number): boolean {
    const writes = generation.writes.get(range.tree);
    if (!writes || writes.root === 0 || generation.last <= timestamp) return false;
    const { core } = this.#trees.pager;
    const { x } = core;
    const end = range.upper.inclusive ? RANGE_END_INCLUSIVE : 0;
    let start = range.lower.key;
    let flags = (range.lower.inclusive ? RANGE_START_INCLUSIVE : 0) | end;
    while (true) {
      const count = this.#trees.readRange(writes.root, LATEST, start, range.upper.key, flags, BATCH);
      const view = new DataView(core.u8.buffer);
      let at = OUT_AREA;
      for (let i = 0; i < count; ++i) {
        const length = core.u32[at / 4] as number;
        if (view.getFloat64(at + 8 + length, true) > timestamp) return true;
        if (i === count - 1) start = core.u8.slice(at + 8, at + 8 + length);
        at = (at + 8 + length + 8 + 3) & ~3;
      }
      if (x.scanDone() !== 0 || count === 0) return false;
      flags = end;
    }
  }

  #collect(): void {
    // A transaction that begins now conflicts with commits that are queued and not yet applied, so keep those.
    let oldest = this.#applied() + this.#takenBack;
    for (const timestamp of this.#open.keys()) oldest = Math.min(oldest, timestamp);
    if (this.#older.last <= oldest) {
      drop(this.#older);
      // The current generation becomes the older one. If nobody needs it either, it is dropped at once.
      this.#older = this.#current;
      this.#current = { writes: new Map(), last: 0 };
      if (this.#older.last <= oldest) drop(this.#older);
    }
  }
}

function drop(generation: Generation): void {
  for (const tree of generation.writes.values()) tree.drop();
  generation.writes.clear();
  generation.last = 0;
}
