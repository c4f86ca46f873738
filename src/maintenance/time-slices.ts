/**
 * The time slices of a compaction. Its work is cut into short slices, and readers and writers go on between them. Each
 * slice first makes sure that the store is still open and that there is space for what it will change.
 *
 * Invariants
 *   1. Every page that a slice changes is written in the same slice, to the lowest hole; space that was promised to
 *      commits is never used up by it.
 *   2. What is visible to a snapshot that was open before the present round, and still is, stays where it is: its old
 *      version would keep its place, so a new place for it would only make the file longer.
 *   3. A page that cannot be read is left alone, with all that only it leads to.
 */
import { AegisError } from '../base/errors.ts';
import type { Pager } from '../store/pager.ts';

/** Pages looked at, or rewritten, in one go: some milliseconds of work. */
export const SLICE_PAGES = 64;

/** What the slices work with. */
export interface TimeSlicesParts {
  readonly pager: Pager;
  /** Roots of all trees of the latest state. */
  readonly roots: () => readonly number[];
  /** Makes sure of free space for so many dirty pages more. Throws OUT_OF_SPACE; then nothing was changed. */
  readonly ensure: (pages: number) => void;
  /** Lets other work run. */
  readonly pause: () => Promise<void>;
  /** Throws when the store cannot be written any more. */
  readonly check: () => void;
  readonly onProgress: (done: number, total: number) => void;
}

export class TimeSlices {
  readonly #parts: TimeSlicesParts;
  readonly #total: number;
  #done = 0;
  #steps = 0;
  #rootSet: ReadonlySet<number> | undefined;
  /** Pages that could not be read. */
  readonly #unreadable = new Set<number>();
  /** Pages written anew. */
  moved = 0;
  /** Sectors of blocks that stayed where they are because a snapshot sees them, in the present round. */
  protectedSectors = 0;
  /** The most of any round. */
  #protectedMost = 0;
  /** Newest epoch of the snapshots that were open before this round, and of those open now. */
  #protectedUpTo: number;
  #present: number;

  constructor(parts: TimeSlicesParts) {
    this.#parts = parts;
    this.#total = parts.pager.pageCount;
    this.#present = this.#mark();
    this.#protectedUpTo = this.#present;
  }

  get pager(): Pager {
    return this.#parts.pager;
  }

  /** Roots of all trees there are when this is asked. */
  get roots(): readonly number[] {
    return this.#parts.roots();
  }

  /** Whether a tree is still there: others may have dropped it since the last slice. */
  hasRoot(root: number): boolean {
    this.#rootSet ??= new Set(this.roots);
    return this.#rootSet.has(root);
  }

  /** Counts a step; whether the slice is over with it. */
  step(): boolean {
    return ++this.#steps % SLICE_PAGES === 0;
  }

  /** Pages that could not be read. */
  get unreadable(): number {
    return this.#unreadable.size;
  }

  /** Begins a round: snapshots that were opened during the last one count as old if they are still open. */
  beginRound(): void {
    this.#protectedUpTo = this.#present;
    this.#present = this.#mark();
    this.#protectedMost = this.protectedMost;
    this.protectedSectors = 0;
  }

  /** Sectors of blocks that stayed where they are because a snapshot sees them; the most of any round. */
  get protectedMost(): number {
    return Math.max(this.#protectedMost, this.protectedSectors);
  }

  /** The present epoch, which no snapshot taken from now on has. */
  #mark(): number {
    const { x } = this.#parts.pager.core;
    const epoch = x.epochCurrent();
    x.epochStart(epoch + 1);
    return epoch;
  }

  /** Begins a slice that changes up to so many pages. */
  async begin(pages: number): Promise<void> {
    const { pause, check, ensure } = this.#parts;
    await pause();
    this.#rootSet = undefined;
    check();
    if (pages > 0) ensure(pages);
  }

  /** Newest epoch of the old snapshots that are still open; 0 without one. */
  get protectedEpoch(): number {
    return this.#parts.pager.versions.readerUpTo(this.#protectedUpTo);
  }

  /** Records a page that could not be read; rethrows any other error. */
  passOver(error: unknown): void {
    const isRead =
      error instanceof AegisError &&
      (error.code === 'CORRUPTION' || (error.code === 'IO_ERROR' && error.operation === 'read'));
    if (!isRead) throw error;
    this.#unreadable.add(error.page ?? -1);
  }

  /** Tells how far the work has come. */
  visited(pages: number): void {
    this.#done = Math.min(this.#total, this.#done + pages);
    this.#parts.onProgress(this.#done, this.#total);
  }

  /** The work is done. */
  finish(): void {
    this.#parts.onProgress(this.#total, this.#total);
  }

  /** Writes those of the pages that are changed and in their frames; answers how many. */
  writeBack(pages: Iterable<number>): number {
    const { pager } = this;
    pager.drain();
    const frames: number[] = [];
    for (const page of new Set(pages)) {
      const frame = pager.core.x.frameNewest(page);
      // The newest version in a frame has an extent if and only if it is clean.
      if (frame !== 0 && pager.directory.place(page).sectors === 0) frames.push(frame);
    }
    pager.writeFrames(frames);
    return frames.length;
  }
}
