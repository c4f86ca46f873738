/**
 * Free space in the data file: what must be available before a commit is logged, so that a durable commit never meets
 * a full disk.
 *
 * Two promises are kept with space of the data file that has been written before, so that the device really has it:
 *   1. Apply: each page that a queued commit can dirty finds a frame that is free or clean, or space to evict one to.
 *   2. Checkpoint, while the log is on: every dirty page and every changed chunk of the directory can be written, so
 *      a checkpoint succeeds on a full disk. Shadow paging frees nothing before one does. Together with a reserve
 *      that only deletes may use, this makes deletes work on a full disk.
 *
 * Private pages of transactions are evicted to the same file. An eviction uses the space that its page was promised,
 * so space must be ensured only for each further dirty page. Otherwise they would take what logged commits were
 * promised. Usually the tail of the file is long enough, or can grow. When the disk is full, holes count too: as many
 * pages of the largest size as fit in them, since each block that is put into a hole takes at most one such place.
 *
 * The estimates are upper bounds for all queued commits together. A page that many of them change is dirty once, so
 * the number of existing pages bounds paths and splits, however many operations there are; only new data adds up.
 */

import { AegisError } from '../base/errors.ts';
import type { Pager } from '../store/pager.ts';

/** What commits may change, added up. */
export interface Load {
  /** Operations; each changes one leaf and, at the worst, splits every page above it. */
  readonly operations: number;
  /** Pages that keys and values can fill; 0: it only deletes. */
  readonly pages: number;
  /** Trees that are written to, beside the default one. */
  readonly named: number;
}

/** Pages for the root that every commit may split, and for what the catalog and the ids of blocks take. */
const BASE_PAGES = 8;
/** Inner pages have at least so many children: no separator is longer than an eighth of a page, none is emptier than half. */
const FAN_OUT_MIN = 4;
/** A page that has been split fills up again from half full at the worst; splits are uneven, and separators fill pages too. */
const FILL_FACTOR = 1.5;
/** Pages left for deletes when there is no more space: one delete and the checkpoint after it. */
const RESERVE_PAGES = 40;
/** Pages of a private tree that one operation dirties, but for those of its value: a path, its splits, a root. */
const PRIVATE_PAGES = 8;
/** Grown ahead of the need, so that a small commit does not pay for a write of its own. */
const SLACK_PAGES = 16;

export class FreeSpace {
  readonly #pager: Pager;
  readonly #logged: boolean;
  /** Frees space by a checkpoint that runs to its end at once; throws when it cannot. */
  readonly #checkpoint: () => void;
  /** Pages that may be dirtied, beside what is promised, before it is looked again. */
  #spare = 0;

  constructor(pager: Pager, logged: boolean, checkpoint: () => void) {
    this.#pager = pager;
    this.#logged = logged;
    this.#checkpoint = checkpoint;
  }

  /** Most pages that commits can dirty, all together. */
  pagesFor({ operations, pages, named }: Load): number {
    if (operations === 0) return 0;
    const { pageCount, versions, core } = this.#pager;
    let present = 0;
    for (let level = pageCount; level >= 1; level /= FAN_OUT_MIN)
      present += Math.min(operations, Math.ceil(level));
    present = Math.min(present, pageCount);
    const roots = Math.min(named, pageCount);
    // Each present page may split once; later splits are counted by the bytes put (`pages`).
    const dirtied = 2 * present + roots + Math.ceil(FILL_FACTOR * pages) + BASE_PAGES;
    // While somebody reads, a changed page may leave an old version behind. It needs space if it has no extent yet.
    return versions.hasReader ? dirtied + Math.min(present, core.x.dirtyCount()) : dirtied;
  }

  /**
   * Makes sure of free space for `pages` more dirty pages; `mayUseReserve`: for a commit that only deletes. Throws
   * OUT_OF_SPACE; then nothing was changed.
   */
  ensure(pages: number, mayUseReserve: boolean): void {
    this.#spare = 0;
    const wanted = mayUseReserve ? pages : pages + RESERVE_PAGES;
    if (this.#missing(wanted) <= 0) return;
    try {
      this.#grow(wanted);
    } catch (error) {
      if (!(error instanceof AegisError) || error.code !== 'OUT_OF_SPACE') throw error;
      if (this.#fits(wanted)) return;
      this.#checkpoint();
      if (!this.#fits(wanted)) this.#grow(wanted);
    }
  }

  /**
   * Makes sure of free space for what an operation on a private tree dirties, with so many bytes to hold, beside what is queued.
   * A savepoint makes it no more: the first change of a page after it leaves one dirty page more, a copy if the page was
   * dirty (makeWritable in the core), and a path is counted as if all of it were clean. Throws OUT_OF_SPACE; then nothing
   * was changed.
   */
  ensurePrivate(bytes: number, queued: Load, mayUseReserve: boolean): void {
    const { core, blocks } = this.#pager;
    const pages = PRIVATE_PAGES + Math.ceil((FILL_FACTOR * bytes) / core.pageSize);
    this.#spare -= pages;
    if (this.#spare >= 0) return;
    const wanted = pages + this.pagesFor(queued);
    this.ensure(wanted, mayUseReserve);
    this.#spare = Math.floor(-this.#missing(wanted + RESERVE_PAGES) / blocks.pageSectors);
  }

  /** Cuts the tail of the file, except for what the dirty pages and `pages` more are promised. */
  cut(pages: number): void {
    const { core, blocks, directory } = this.#pager;
    this.#spare = 0;
    const idle = pages === 0 && core.x.dirtyCount() === 0 && directory.changedCount === 0;
    blocks.cutTail(idle ? 0 : this.#needed(pages));
  }

  /** Whether there is enough space if every hole counts. */
  #fits(pages: number): boolean {
    const { extents, pageSectors } = this.#pager.blocks;
    const needed = Math.ceil(this.#needed(pages) / pageSectors);
    const inTail = Math.floor(extents.tailSectors / pageSectors);
    return inTail >= needed || inTail + extents.places(pageSectors, needed - inTail) >= needed;
  }

  #grow(pages: number): void {
    const { blocks } = this.#pager;
    const sectors = this.#needed(pages);
    try {
      blocks.fillTail(sectors + SLACK_PAGES * blocks.pageSectors + (sectors >> 4));
    } catch (error) {
      if (this.#missing(pages) > 0) throw error;
    }
  }

  #missing(pages: number): number {
    return this.#needed(pages) - this.#pager.blocks.extents.tailSectors;
  }

  #needed(pages: number): number {
    const { core, blocks, directory } = this.#pager;
    const dirty = core.x.dirtyCount();
    if (!this.#logged) return Math.max(0, pages + 32 - (core.framesMax - dirty)) * blocks.pageSectors;
    const chunks = Math.min(directory.chunkCount + 1, dirty + pages + directory.changedCount) + 4;
    return (dirty + pages + chunks) * blocks.pageSectors;
  }
}
