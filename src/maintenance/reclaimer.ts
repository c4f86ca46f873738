/**
 * The reclaimer frees the pages of dropped trees, in the background and in time slices, while readers and writers go
 * on.
 *
 * Like a merge this changes only the structure, and is not logged. A tree shrinks with every step
 * (assembly/tree/cut.ts) and stays in the catalog as dropped until nothing is left of it. So whatever a crash leaves
 * is found there when the store is opened, and the work goes on. Snapshots keep the pages they see.
 *
 * Invariants
 *   1. Free space for what a slice changes is ensured first; without it the work waits for the next checkpoint.
 *   2. A tree with a page that cannot be read is left as it is: `verify` reports the damage. A long value that cannot
 *      be read becomes a dropped tree of its own, so that everything else is freed.
 *   3. Nothing is touched once the engine is closing or has failed.
 */
import { OK } from '../../assembly/layout.ts';
import { AegisError } from '../base/errors.ts';
import type { Catalog, DroppedTree } from '../store/catalog.ts';
import type { Trees } from '../store/trees.ts';

/** What the reclaimer works with. */
export interface ReclaimerParts {
  readonly trees: Trees;
  readonly catalog: Catalog;
  /** Makes sure of free space for so many dirty pages more. Throws OUT_OF_SPACE; then nothing was changed. */
  readonly ensure: (pages: number) => void;
  /** Lets other work run. */
  readonly pause: () => Promise<void>;
  /** Whether the store can be changed. */
  readonly mayWrite: () => boolean;
  /** Takes in what went wrong otherwise. */
  readonly guard: (error: unknown) => unknown;
}

/** Leaves and chains freed in one go. */
const SLICE_STEPS = 64;
/** Pages that a slice changes: those above the leaves, each with the version before. */
const SLICE_PAGES = 32;

export class Reclaimer {
  readonly #parts: ReclaimerParts;
  /** Ids of trees that hold damage. */
  readonly #damaged = new Set<number>();
  #run: Promise<void> | undefined;
  /** Whether it has changed anything that no commit speaks of. */
  worked = false;

  constructor(parts: ReclaimerParts) {
    this.#parts = parts;
  }

  /** Goes on with what there is to do, or joins the run under way; resolves when nothing can be done any more. */
  start(): Promise<void> {
    if (this.#next === undefined) return this.#run ?? Promise.resolve();
    this.#run ??= this.#go().finally(() => {
      this.#run = undefined;
    });
    return this.#run;
  }

  get #next(): DroppedTree | undefined {
    for (const tree of this.#parts.catalog.dropped) if (!this.#damaged.has(tree.id)) return tree;
    return undefined;
  }

  async #go(): Promise<void> {
    const { pause, mayWrite } = this.#parts;
    for (let tree = this.#next; tree; tree = this.#next) {
      await pause();
      if (!mayWrite() || !this.#slice(tree)) return;
    }
  }

  /** Frees some pages of a tree; false: it has to wait. */
  #slice(tree: DroppedTree): boolean {
    const { catalog, ensure, guard } = this.#parts;
    try {
      ensure(SLICE_PAGES);
      this.worked = true;
      if (this.#cut(tree)) catalog.forget(tree);
      return true;
    } catch (error) {
      const code = error instanceof AegisError ? error.code : undefined;
      if (code === 'OUT_OF_SPACE') return false;
      if (code !== 'CORRUPTION' && code !== 'IO_ERROR') {
        guard(error);
        return false;
      }
      this.#damaged.add(tree.id);
      return true;
    }
  }

  /** Cuts the tree down; whether nothing but its empty root is left. */
  #cut({ root }: DroppedTree): boolean {
    const { trees, catalog } = this.#parts;
    const { pager, overflow } = trees;
    for (let step = 0; step < SLICE_STEPS; ++step) {
      if (pager.run(() => pager.core.x.treeCut(root)) !== OK) return true;
      overflow.freeDropped();
      // Tried again when the store is opened, not sooner.
      for (const id of catalog.keepStuck()) this.#damaged.add(id);
    }
    return false;
  }
}
