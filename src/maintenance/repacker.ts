/**
 * Repacks trees: pages that deletes and splits have left half empty are filled from their right neighbours, or
 * take them in whole, level by level and from left to right (assembly/tree/repack.ts makes the steps). The way along a
 * level is a key, so that whatever writers change in between does not matter.
 *
 * Invariants
 *   1. A run of pages with one parent is touched only if it would need at least a tenth fewer pages: what is full
 *      already is not rewritten, and what was repacked a moment ago is full.
 *   2. A page that has been filled is written at once: neighbours in key order become neighbours in the file.
 */
import { DAMAGED, KEY_AREA, NOT_FOUND, OK, OUT_AREA } from '../../assembly/layout.ts';
import { compareKeys } from '../store/range.ts';
import type { TimeSlices } from './time-slices.ts';
import { SLICE_PAGES } from './time-slices.ts';

/** Share of a page that a filled one is sure to use, where records are short. */
const FILL_SURE = 15 / 16;
/** Passes over one tree: each makes neighbours of pages that had different parents. */
const PASSES_MAX = 6;
/** Share of pages that are the last of their parent from which on another pass pays. */
const EDGES_MOST = 1 / 25;

/** Pages that the steps of a slice change: each its page, the neighbour that comes next, and their parents. */
const STEP_PAGES = SLICE_PAGES + 8;

const FIRST_KEY = new Uint8Array(0);

/** What a walk along pages of one parent found. */
interface Stretch {
  readonly pages: number;
  /** Of those, how many could be read. */
  readonly read: number;
  readonly used: number;
  /** Where the next parent's pages begin; undefined at the end of the tree. */
  readonly end: Uint8Array | undefined;
}

/** What was done on a level. */
interface LevelSum {
  pages: number;
  read: number;
  parents: number;
  merged: number;
}

export class Repacker {
  readonly #slices: TimeSlices;
  readonly #root: number;
  /** Pages that are as full as they get, waiting to be written. */
  #finished: number[] = [];
  #gone = false;
  /** Pages freed. */
  merged = 0;

  constructor(slices: TimeSlices, root: number) {
    this.#slices = slices;
    this.#root = root;
  }

  /** Repacks the tree until there is nothing to be gained any more. */
  async run(): Promise<void> {
    // Repack inner pages first: then most neighbours have the same parent.
    await this.#innerLevels();
    for (let pass = 0; pass < PASSES_MAX; ++pass) {
      const leaves = await this.#level(0, pass === 0);
      const inner = await this.#innerLevels();
      if (inner === 0 || leaves.parents < leaves.pages * EDGES_MOST) break;
    }
    this.#write();
  }

  async #innerLevels(): Promise<number> {
    let merged = 0;
    for (let level = 1; ; ++level) {
      const sum = await this.#level(level, false);
      // No page was read at this level: there is none, or the root cannot be read.
      if (sum.read === 0) return merged;
      merged += sum.merged;
    }
  }

  async #level(level: number, counting: boolean): Promise<LevelSum> {
    const sum: LevelSum = { pages: 0, read: 0, parents: 0, merged: 0 };
    const before = this.merged;
    for (let key: Uint8Array | undefined = FIRST_KEY; key && !this.#gone; ) {
      const stretch = await this.#measure(level, key, counting);
      if (stretch.pages > 0) ++sum.parents;
      sum.pages += stretch.pages;
      sum.read += stretch.read;
      if (this.#pays(stretch)) await this.#fill(level, key, stretch.end);
      key = stretch.end;
    }
    sum.merged = this.merged - before;
    return sum;
  }

  #pays({ pages, used }: Stretch): boolean {
    const needed = Math.ceil(used / (this.#slices.pager.core.x.peerCapacity() * FILL_SURE));
    return pages - needed >= Math.max(1, pages / 10);
  }

  /** Adds up the pages of a level from a key on that have the same parent. */
  async #measure(level: number, from: Uint8Array, counting: boolean): Promise<Stretch> {
    const { x } = this.#slices.pager.core;
    let parent = 0;
    let pages = 0;
    let read = 0;
    let used = 0;
    for (let key: Uint8Array | undefined = from; key && !this.#gone; ) {
      const at: Uint8Array = key;
      const status = this.#call(at, () => x.treePeer(this.#root, at.length, level));
      if (status === NOT_FOUND) break;
      if (status === OK) {
        if (parent !== 0 && parent !== x.peerParent()) return { pages, read, used, end: at };
        parent = x.peerParent();
        used += x.peerUsed();
        ++read;
      } else {
        // A page that cannot be read counts as full: nothing can be moved into it.
        used += x.peerCapacity();
      }
      ++pages;
      if (counting) this.#slices.visited(1);
      key = this.#next(at);
      await this.#step(0);
    }
    return { pages, read, used, end: undefined };
  }

  /** Fills the pages of a level that begin in a range of keys. */
  async #fill(level: number, from: Uint8Array, end: Uint8Array | undefined): Promise<void> {
    const { x } = this.#slices.pager.core;
    let changed = 0;
    await this.#begin(STEP_PAGES);
    for (let key: Uint8Array | undefined = from; key && !this.#gone; ) {
      const at: Uint8Array = key;
      if (end && compareKeys(at, end) >= 0) break;
      const epoch = this.#slices.protectedEpoch;
      const status = this.#call(at, () => x.treeRepack(this.#root, at.length, level, epoch));
      if (status === OK) changed = x.peerPage();
      if (status === OK && x.peerMerged()) {
        ++this.merged;
      } else {
        if (status === NOT_FOUND && x.peerProtected()) this.#countProtected(x.peerPage());
        if (changed !== 0) this.#finished.push(changed);
        changed = 0;
        key = this.#next(at);
      }
      await this.#step(STEP_PAGES);
    }
    if (changed !== 0) this.#finished.push(changed);
  }

  #call(key: Uint8Array, operation: () => number): number {
    const { pager } = this.#slices;
    pager.core.u8.set(key, KEY_AREA);
    try {
      return pager.run(operation);
    } catch (error) {
      this.#slices.passOver(error);
      return DAMAGED;
    }
  }

  /** The key that the core left; undefined at the end, or where hostile pages lead backwards. */
  #next(after: Uint8Array): Uint8Array | undefined {
    const { core } = this.#slices.pager;
    const { x } = core;
    const length = x.peerNext();
    if (length < 0) return undefined;
    const next = core.u8.slice(OUT_AREA, OUT_AREA + length);
    return compareKeys(next, after) > 0 ? next : undefined;
  }

  async #step(pages: number): Promise<void> {
    if (this.#slices.step()) await this.#begin(pages);
  }

  async #begin(pages: number): Promise<void> {
    this.#write();
    await this.#slices.begin(pages);
    this.#gone = !this.#slices.hasRoot(this.#root);
  }

  #countProtected(page: number): void {
    this.#slices.protectedSectors += this.#slices.pager.directory.place(page).sectors;
  }

  #write(): void {
    const finished = this.#finished;
    this.#finished = [];
    this.#slices.moved += this.#slices.writeBack(finished);
  }
}
