/**
 * Relocates blocks: pages that lie high in the file, or whose blocks have another codec than the configured one, are
 * marked as dirty and written anew at once, to the lowest hole that is large enough. Their old place becomes free
 * when the next checkpoint is durable, as after any other change.
 *
 *   relocate   blocks above a sector go to holes below it, as far as these are long enough
 *   evacuate   a stretch of the file is emptied by writing its blocks behind the end, so that the next round finds
 *              one long hole instead of many short ones
 */
import { CODEC_NONE } from '../../assembly/layout.ts';
import { AegisError } from '../base/errors.ts';
import { LATEST } from '../core/wasm.ts';
import type { Place } from '../store/directory.ts';
import type { TimeSlices } from './time-slices.ts';
import { SLICE_PAGES } from './time-slices.ts';

/** Frames that loading a page needs. */
const FRAMES_WANTED = 8;

export class Relocator {
  readonly #slices: TimeSlices;
  /** Pages that have to be written anew and could not be. */
  #left = 0;

  constructor(slices: TimeSlices) {
    this.#slices = slices;
  }

  /** Writes everything anew whose block has another codec; answers how many blocks. `known`: codecs the store may hold. */
  async recode(known: number): Promise<number> {
    const { blocks } = this.#slices.pager;
    const { page, core } = blocks.codecs;
    const [other, otherChunk] = [known & ~(1 << page), known & ~(1 << core)];
    if ((other | otherChunk) === 0) return 0;
    const before = this.#left;
    // A block that does not compress is stored as it is, with any codec.
    const isOther = (start: number, codecs: number): boolean => {
      try {
        const codec = blocks.codecAt(start);
        return codec !== undefined && ((codecs >>> codec) & 1) === 1;
      } catch (error) {
        this.#slices.passOver(error);
        return false;
      }
    };
    let moved = await this.#rewrite(
      this.#pages(() => true),
      (place) => isOther(place.start, other),
    );
    moved += this.#renewChunks((place) => isOther(place.start, otherChunk));
    if (this.#left === before && this.#slices.unreadable === 0)
      blocks.retiredCodecs |= other & otherChunk & (1 << CODEC_NONE);
    return moved;
  }

  /** Moves what lies above a sector to holes below it; answers how many blocks. */
  async relocate(top: number): Promise<number> {
    const { extents } = this.#slices.pager.blocks;
    const fits = (sectors: number): boolean => {
      const hole = extents.lowestHole(sectors);
      return hole !== undefined && hole + sectors <= top;
    };
    const above = this.#pages((start, sectors) => start + sectors > top);
    const moved = await this.#rewrite(above, ({ start, sectors }) => start + sectors > top && fits(sectors));
    return moved + this.#renewChunks((place) => place.start + place.sectors > top && fits(place.sectors));
  }

  /** Empties the lowest stretch below `top` that has space for all that lies above it; answers how many blocks. */
  async evacuate(top: number): Promise<number> {
    const { extents, pageSectors } = this.#slices.pager.blocks;
    const above = this.#pages((start, sectors) => start + sectors > top);
    if (above.length === 0) return 0;
    let sectors = pageSectors;
    for (const page of above) sectors += this.#slices.pager.directory.place(page).sectors;
    const from = extents.windowBelow(top, sectors);
    const inside = this.#pages((start, length) => start + length > from && start + length <= top);
    const before = this.#slices.moved;
    extents.packBelow(from);
    try {
      const moved = await this.#rewrite(inside, ({ start }) => start >= from && start < top);
      return moved + this.#renewChunks(({ start }) => start >= from && start < top);
    } catch (error) {
      // There is no space to move more blocks away, so the hole grows no longer.
      if (error instanceof AegisError && error.code === 'OUT_OF_SPACE') return this.#slices.moved - before;
      throw error;
    } finally {
      extents.packBelow(Number.POSITIVE_INFINITY);
    }
  }

  /** Pages whose extents are chosen, in the order in which they lie in the file. */
  #pages(choose: (start: number, sectors: number) => boolean): number[] {
    const found: { page: number; start: number }[] = [];
    this.#slices.pager.directory.eachPlaced((page, start, sectors) => {
      if (choose(start, sectors)) found.push({ page, start });
    });
    return found.sort((a, b) => a.start - b.start).map(({ page }) => page);
  }

  #renewChunks(choose: (place: Place) => boolean): number {
    const { directory } = this.#slices.pager;
    let renewed = 0;
    directory.eachChunkPlace((place, level, index) => {
      if (!choose(place)) return;
      directory.renewChunk(level, index);
      ++renewed;
    });
    return renewed;
  }

  /** Writes pages anew that are still to be when their turn comes. */
  async #rewrite(pages: readonly number[], choose: (place: Place) => boolean): Promise<number> {
    let moved = 0;
    for (let at = 0; at < pages.length; at += SLICE_PAGES) {
      await this.#slices.begin(SLICE_PAGES);
      const written = this.#rewriteSlice(pages.slice(at, at + SLICE_PAGES), choose);
      this.#slices.moved += written;
      moved += written;
    }
    return moved;
  }

  #rewriteSlice(pages: readonly number[], choose: (place: Place) => boolean): number {
    const { pager } = this.#slices;
    const { x } = pager.core;
    const renewed: number[] = [];
    const borrowed: number[] = [];
    for (const page of pages) {
      pager.drain();
      const place = pager.directory.place(page);
      if (place.sectors === 0 || !choose(place)) continue;
      const epoch = this.#slices.protectedEpoch;
      if (epoch > 0 && pager.directory.from(page) <= epoch) {
        this.#slices.protectedSectors += place.sectors;
        ++this.#left;
        continue;
      }
      const resident = x.frameNewest(page) !== 0;
      if (!this.#renew(page)) continue;
      renewed.push(page);
      if (!resident) borrowed.push(page);
    }
    this.#slices.writeBack(renewed);
    // Nobody asked for these pages, and they were not checked against their parents. A later load will check them.
    for (const page of borrowed) {
      const frame = x.frameNewest(page);
      if (frame !== 0 && pager.directory.place(page).sectors > 0) x.frameDrop(frame);
    }
    return renewed.length;
  }

  /** Makes a page dirty as it is; false when it cannot be read. */
  #renew(page: number): boolean {
    const { pager } = this.#slices;
    const { x } = pager.core;
    try {
      if (x.frameNewest(page) === 0) {
        pager.freeFrames(FRAMES_WANTED);
        pager.loadPage(page, LATEST, false);
      }
      pager.run(() => x.pageRenew(page));
      return true;
    } catch (error) {
      this.#slices.passOver(error);
      ++this.#left;
      return false;
    } finally {
      pager.release();
    }
  }
}
