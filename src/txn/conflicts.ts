/**
 * Conflicts: which keys have been committed since a transaction's snapshot.
 *
 * Every commit that an open transaction must know of is noted: key -> sequence, in private trees, one for each tree
 * of the store. Two generations take turns: when no open transaction is as old as the older one, it is dropped whole,
 * so that one old transaction costs disk and nobody collects notes one by one.
 *
 * Invariants
 *   1. Every commit above the snapshot of the oldest open transaction, queued or applied, is noted: when it is queued
 *      if a transaction is open, and when a transaction begins if it is still queued and has no note. So validation
 *      asks the notes only.
 *   2. A commit that fails after it was noted leaves notes that can only cause a needless CONFLICT.
 */
import { OUT_AREA } from '../../assembly/layout.ts';
import { PrivateTree } from '../store/private-tree.ts';
import type { Bound } from '../store/range.ts';
import { RANGE_END_INCLUSIVE, RANGE_START_INCLUSIVE } from '../store/range.ts';
import type { Trees } from '../store/trees.ts';
import { LATEST } from '../wasm.ts';

/** A range of keys somebody has read. */
export interface ReadRange {
  readonly tree: number;
  lower: Bound;
  upper: Bound;
}

interface Generation {
  readonly notes: Map<number, PrivateTree>;
  /** Highest sequence noted. */
  last: number;
}

/** Notes in packed records asked for at once. */
const BATCH = 256;

export class Conflicts {
  readonly #trees: Trees;
  #current: Generation = { notes: new Map(), last: 0 };
  #older: Generation = { notes: new Map(), last: 0 };
  /** Snapshot sequences of open transactions that may write, with how many have each. */
  readonly #open = new Map<number, number>();
  readonly #applied: () => number;

  /** @param applied the commit that a transaction begun now has as its snapshot. */
  constructor(trees: Trees, applied: () => number) {
    this.#trees = trees;
    this.#applied = applied;
  }

  /** Whether a commit must be noted when it is queued. */
  get needed(): boolean {
    return this.#open.size > 0;
  }

  /** Pages that notes take. */
  get pageCount(): number {
    let pages = 0;
    for (const generation of [this.#current, this.#older]) {
      for (const tree of generation.notes.values()) pages += tree.pageCount;
    }
    return pages;
  }

  /** A transaction begins on the state of a sequence. */
  begin(sequence: number): void {
    this.#open.set(sequence, (this.#open.get(sequence) ?? 0) + 1);
  }

  /** A transaction that began on that state is over. */
  end(sequence: number): void {
    const left = (this.#open.get(sequence) ?? 1) - 1;
    if (left > 0) this.#open.set(sequence, left);
    else this.#open.delete(sequence);
    this.#collect();
  }

  /** Everything queued is applied: with no transaction open, nobody will ask for the notes. */
  allApplied(): void {
    if (this.#open.size === 0 && this.#current.last + this.#older.last > 0) this.#collect();
  }

  /** Notes a sequence for the key of every record from one address to another. */
  note(from: number, end: number, sequence: number): void {
    const { pager } = this.#trees;
    const { x } = pager.core;
    for (let at = from; at < end; ) {
      const tree = x.recordTree(at);
      const notes = this.#notesFor(tree, sequence);
      pager.run(() => {
        const status = x.recordsNote(notes, tree, at, end, sequence);
        if (x.applyAt() !== at) pager.release();
        at = x.applyAt();
        return status;
      });
    }
  }

  /** The tree that notes for a tree of the store go to; `sequence` is the highest that will be noted. */
  #notesFor(tree: number, sequence: number): number {
    this.#current.last = Math.max(this.#current.last, sequence);
    let notes = this.#current.notes.get(tree);
    if (!notes) {
      notes = new PrivateTree(this.#trees);
      this.#current.notes.set(tree, notes);
    }
    return notes.open();
  }

  /** Whether a key, which lies in linear memory, was committed after a sequence. */
  keyChanged(tree: number, key: number, keyLength: number, sequence: number): boolean {
    return (
      this.#noted(this.#current, tree, key, keyLength, sequence) ||
      this.#noted(this.#older, tree, key, keyLength, sequence)
    );
  }

  /** Whether any key of a range was committed after a sequence. */
  rangeChanged(range: ReadRange, sequence: number): boolean {
    return this.#rangeNoted(this.#current, range, sequence) || this.#rangeNoted(this.#older, range, sequence);
  }

  #noted(generation: Generation, tree: number, key: number, keyLength: number, sequence: number): boolean {
    const notes = generation.notes.get(tree);
    if (!notes || notes.root === 0 || generation.last <= sequence) return false;
    const { x } = this.#trees.pager.core;
    this.#trees.pager.run(() => x.noteNewer(notes.root, key, keyLength, sequence));
    return x.valueLength() === 1;
  }

  #rangeNoted(generation: Generation, range: ReadRange, sequence: number): boolean {
    const notes = generation.notes.get(range.tree);
    if (!notes || notes.root === 0 || generation.last <= sequence) return false;
    const { x, u8, u32 } = this.#trees.pager.core;
    const view = new DataView(u8.buffer);
    const end = range.upper.inclusive ? RANGE_END_INCLUSIVE : 0;
    let start = range.lower.key;
    let flags = (range.lower.inclusive ? RANGE_START_INCLUSIVE : 0) | end;
    while (true) {
      const count = this.#trees.readRange(notes.root, LATEST, start, range.upper.key, flags, BATCH);
      let at = OUT_AREA;
      for (let i = 0; i < count; ++i) {
        const length = u32[at / 4] as number;
        if (view.getFloat64(at + 8 + length, true) > sequence) return true;
        if (i === count - 1) start = u8.slice(at + 8, at + 8 + length);
        at = (at + 8 + length + 8 + 3) & ~3;
      }
      if (x.scanDone() !== 0 || count === 0) return false;
      flags = end;
    }
  }

  #collect(): void {
    // A commit that is noted and still queued is news to a transaction that begins before it is applied.
    let oldest = this.#applied();
    for (const sequence of this.#open.keys()) oldest = Math.min(oldest, sequence);
    if (this.#older.last <= oldest) {
      drop(this.#older);
      // The current generation ages only when there is something in it; it is dropped in its turn.
      this.#older = this.#current;
      this.#current = { notes: new Map(), last: 0 };
      if (this.#older.last <= oldest) drop(this.#older);
    }
  }
}

function drop(generation: Generation): void {
  for (const tree of generation.notes.values()) tree.drop();
  generation.notes.clear();
  generation.last = 0;
}
