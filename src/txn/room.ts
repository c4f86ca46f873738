/**
 * Room: what must be in hand before a commit is logged, so that a durable commit never meets a full disk.
 *
 * Two promises are kept in units of the data file's tail (contiguous, free, already written once):
 *   1. Applying: the pages that queued commits can dirty find a frame that is free or clean, or space to evict to.
 *   2. Checkpoint, while the log is on: every dirty page and every changed chunk of the directory can be written, so
 *      that a checkpoint succeeds on a full disk. Shadow paging frees nothing before one does; with this, deletes
 *      work on a full disk.
 * The estimates are upper bounds: per operation its leaf and that leaf's split, plus what its bytes can fill.
 */

import { AegisError } from '../errors.ts';
import type { Pager } from '../store/pager.ts';

/** Pages above the leaves that one commit can dirty or make: paths and their splits. */
const PATH_PAGES = 24;
/** Grown ahead of the need, so that a small commit does not pay for a write of its own. */
const SLACK_PAGES = 16;

export class Room {
  readonly #pager: Pager;
  readonly #logged: boolean;
  /** Frees space by a checkpoint that runs to its end at once; throws when it cannot. */
  readonly #checkpoint: () => void;

  constructor(pager: Pager, logged: boolean, checkpoint: () => void) {
    this.#pager = pager;
    this.#logged = logged;
    this.#checkpoint = checkpoint;
  }

  /** Most pages that a commit can dirty: its leaves, a split for each, and what its bytes fill. */
  pagesFor(size: { readonly operations: number; readonly pages: number }): number {
    const leaves = Math.min(size.operations, this.#pager.pageCount);
    const pages = 2 * leaves + Math.ceil(size.pages) + PATH_PAGES;
    // With a reader open every page changed may leave its old bytes behind as well.
    return this.#pager.versions.hasReader ? pages * 2 : pages;
  }

  /** Makes sure of room for `pages` more dirty pages. Throws OUT_OF_SPACE; then nothing was changed. */
  ensure(pages: number): void {
    if (this.#missing(pages) <= 0) return;
    try {
      this.#grow(pages);
    } catch (error) {
      if (!(error instanceof AegisError) || error.code !== 'OUT_OF_SPACE') throw error;
      if (this.#missing(pages) <= 0) return;
      this.#checkpoint();
      if (this.#missing(pages) > 0) this.#grow(pages);
    }
  }

  #grow(pages: number): void {
    const { blocks } = this.#pager;
    const units = this.#needed(pages);
    try {
      blocks.fillTail(units + SLACK_PAGES * blocks.pageUnits + (units >> 3));
    } catch (error) {
      if (this.#missing(pages) > 0) throw error;
    }
  }

  #missing(pages: number): number {
    return this.#needed(pages) - this.#pager.blocks.extents.tailUnits;
  }

  #needed(pages: number): number {
    const { core, blocks, directory } = this.#pager;
    const dirty = core.x.dirtyCount();
    if (!this.#logged) return Math.max(0, pages + 32 - (core.frames - dirty)) * blocks.pageUnits;
    const chunks = Math.min(directory.chunkCount + 1, dirty + pages + directory.changedCount) + 4;
    return (dirty + pages + chunks) * blocks.pageUnits;
  }
}
