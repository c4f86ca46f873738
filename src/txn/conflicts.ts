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
 *   2. A commit that fails after it was noted leaves notes, and its sequence goes to another one. So notes carry
 *      *stamps*: a sequence and how many were taken back so far, which never serves twice. What is left behind can
 *      only cause a needless CONFLICT, and only for transactions that began before the failure or while commits from
 *      before it are queued.
 *   3. Trees are noted by their ids. That one is made or dropped is noted under its name: who read nothing because
 *      there was no such tree conflicts with the first, who read or wrote it with the second.
 */
import { KEY_AREA, OUT_AREA, RECORD_HEADER_SIZE, RECORD_TREE } from '../../assembly/layout.ts';
import { LATEST } from '../core/wasm.ts';
import { PrivateTree } from '../store/private-tree.ts';
import type { Bound } from '../store/range.ts';
import { RANGE_END_INCLUSIVE, RANGE_START_INCLUSIVE } from '../store/range.ts';
import type { Trees } from '../store/trees.ts';

/** Stands in notes for the tree whose keys are the names of trees that were made. */
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
  readonly notes: Map<number, PrivateTree>;
  /** Highest stamp noted. */
  last: number;
}

/** Notes in packed records asked for at once. */
const BATCH = 256;

export class Conflicts {
  readonly #trees: Trees;
  #current: Generation = { notes: new Map(), last: 0 };
  #older: Generation = { notes: new Map(), last: 0 };
  /** Stamps of the snapshots of open transactions that may write, with how many have each. */
  readonly #open = new Map<number, number>();
  readonly #applied: () => number;
  /** Sequences taken back. */
  #takenBack = 0;

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

  /** A transaction begins on the state of a sequence; answers the stamp it is validated with. */
  begin(sequence: number): number {
    const stamp = sequence + this.#takenBack;
    this.#open.set(stamp, (this.#open.get(stamp) ?? 0) + 1);
    return stamp;
  }

  /** A transaction that began with that stamp is over. */
  end(stamp: number): void {
    const left = (this.#open.get(stamp) ?? 1) - 1;
    if (left > 0) this.#open.set(stamp, left);
    else this.#open.delete(stamp);
    this.#collect();
  }

  /** So many sequences that may be noted were taken back. Commits still queued have to be noted again. */
  takeBack(count: number): void {
    this.#takenBack += count;
  }

  /** Everything queued is applied: with no transaction open, nobody will ask for the notes. */
  allApplied(): void {
    if (this.#open.size === 0 && this.#current.last + this.#older.last > 0) this.#collect();
  }

  /** Notes a sequence for the key of every record from one address to another. */
  note(from: number, end: number, sequence: number): void {
    const stamp = sequence + this.#takenBack;
    const { pager } = this.#trees;
    const { x } = pager.core;
    for (let at = from; at < end; ) {
      const tree = x.recordTree(at);
      if (x.recordKind(at) >= RECORD_TREE) {
        this.#noteName(at, stamp);
        at = x.recordEnd(at);
        continue;
      }
      const notes = this.#notesFor(tree, stamp);
      pager.run(() => {
        const status = x.recordsNote(notes, tree, at, end, stamp);
        if (x.applyAt() !== at) pager.release();
        at = x.applyAt();
        return status;
      });
    }
  }

  /** Notes the name in a record that makes or drops a tree. */
  #noteName(at: number, stamp: number): void {
    const { pager } = this.#trees;
    const { x } = pager.core;
    const notes = this.#notesFor(x.recordKind(at) === RECORD_TREE ? NAMES_MADE : NAMES_DROPPED, stamp);
    pager.run(() => x.notePut(notes, at + RECORD_HEADER_SIZE, x.recordKeyBytes(at), stamp));
  }

  /** The tree that notes for a tree of the store go to; `stamp` is the highest that will be noted. */
  #notesFor(tree: number, stamp: number): number {
    this.#current.last = Math.max(this.#current.last, stamp);
    let notes = this.#current.notes.get(tree);
    if (!notes) {
      notes = new PrivateTree(this.#trees);
      this.#current.notes.set(tree, notes);
    }
    return notes.open();
  }

  /** Whether a key, which lies in linear memory, was committed after a stamp. */
  keyChanged(tree: number, key: number, keyLength: number, stamp: number): boolean {
    return (
      this.#noted(this.#current, tree, key, keyLength, stamp) ||
      this.#noted(this.#older, tree, key, keyLength, stamp)
    );
  }

  /** Whether the tree with a name was dropped after a stamp. */
  wasDropped(name: Uint8Array, stamp: number): boolean {
    return this.keyChanged(NAMES_DROPPED, KEY_AREA, this.#trees.setKey(name), stamp);
  }

  /** Whether any key of a range was committed after a stamp. */
  rangeChanged(range: ReadRange, stamp: number): boolean {
    return this.#rangeNoted(this.#current, range, stamp) || this.#rangeNoted(this.#older, range, stamp);
  }

  #noted(generation: Generation, tree: number, key: number, keyLength: number, stamp: number): boolean {
    const notes = generation.notes.get(tree);
    if (!notes || notes.root === 0 || generation.last <= stamp) return false;
    const { x } = this.#trees.pager.core;
    this.#trees.pager.run(() => x.noteNewer(notes.root, key, keyLength, stamp));
    return x.valueLength() === 1;
  }

  #rangeNoted(generation: Generation, range: ReadRange, stamp: number): boolean {
    const notes = generation.notes.get(range.tree);
    if (!notes || notes.root === 0 || generation.last <= stamp) return false;
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
        if (view.getFloat64(at + 8 + length, true) > stamp) return true;
        if (i === count - 1) start = u8.slice(at + 8, at + 8 + length);
        at = (at + 8 + length + 8 + 3) & ~3;
      }
      if (x.scanDone() !== 0 || count === 0) return false;
      flags = end;
    }
  }

  #collect(): void {
    // A commit that is noted and still queued is news to a transaction that begins before it is applied.
    let oldest = this.#applied() + this.#takenBack;
    for (const stamp of this.#open.keys()) oldest = Math.min(oldest, stamp);
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
