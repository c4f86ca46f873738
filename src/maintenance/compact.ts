/**
 * Compaction: makes the data file as small as its contents, while readers and writers go on.
 *
 *   1. a checkpoint, so that what has been deleted is free
 *   2. the trees are repacked (repacker.ts); blocks of another codec are written anew (relocator.ts)
 *   3. in rounds: blocks high in the file are relocated, a checkpoint frees their old places, the file is cut
 *
 * No record changes, and every block is written by the rules of any other change: to free space, referenced by the
 * next checkpoint, its old place free only after that one is durable. So a crash at any moment is safe.
 *
 * Invariants
 *   1. One run at a time; callers that come meanwhile share it.
 *   2. The file is cut only above everything that any checkpoint, version or write owns, and never below the free
 *      space that was promised to commits.
 */
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import { AegisError } from '../base/errors.ts';
import type { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';
import type { CheckpointData } from './checkpoint.ts';
import { Relocator } from './relocator.ts';
import { Repacker } from './repacker.ts';
import { TimeSlices } from './time-slices.ts';

/** What a compaction did. Sizes are bytes. */
export interface CompactReport {
  /** Size of the data file before. */
  readonly bytesBefore: number;
  /** Size of the data file now. */
  readonly bytesAfter: number;
  /** Pages written anew, to be fuller, to lie lower or to have the configured codec. */
  readonly pagesMoved: number;
  /** Pages whose records found space in others. */
  readonly pagesFreed: number;
  /** Times that something was written anew and a checkpoint made; 0: there was nothing to do. */
  readonly rounds: number;
  /**
   * Bytes of blocks that could not be given back, or were left as they are, because open snapshots, scans or transactions
   * see them: about what another compaction has to work with when they are closed.
   */
  readonly bytesHeld: number;
  /** Damaged pages met, which were left as they are. */
  readonly pagesDamaged: number;
}

/** What a compaction works with. */
export interface CompactParts {
  readonly pager: Pager;
  readonly checkpointer: {
    readonly superblock: Superblock;
    checkpoint(): Promise<CheckpointData>;
    checkFence(): void;
  };
  /** Roots of all trees of the latest state. */
  readonly roots: () => readonly number[];
  /** Makes sure of free space for so many dirty pages beside all that is promised. Throws OUT_OF_SPACE. */
  readonly ensure: (pages: number) => void;
  /** Gives the tail of the file back, but for what is promised to commits. */
  readonly cut: () => void;
  /** Lets other work run. */
  readonly pause: () => Promise<void>;
  /** Throws when the store cannot be written any more. */
  readonly check: () => void;
  readonly onProgress: (done: number, total: number) => void;
}

/** Share of free space among blocks that is left, and the one that is aimed at. */
const WASTE_MOST = 1 / 20;
const WASTE_WANTED = 1 / 33;
/** How often a hole is made for what does not fit, at the most. */
const TRIES_MAX = 6;
/** Share of its length that the file must lose for another try. */
const GAIN_LEAST = 0.99;

export class Compactor {
  readonly #parts: CompactParts;
  #run: Promise<CompactReport> | undefined;

  constructor(parts: CompactParts) {
    this.#parts = parts;
  }

  /** Compacts the store, or joins the run under way. */
  compact(): Promise<CompactReport> {
    this.#run ??= this.#compact().finally(() => {
      this.#run = undefined;
    });
    return this.#run;
  }

  /** Resolves when no run is under way. */
  async ended(): Promise<void> {
    await this.#run?.catch(() => undefined);
  }

  async #compact(): Promise<CompactReport> {
    const { pager } = this.#parts;
    const { file, extents } = pager.blocks;
    const bytesBefore = file.size();
    const slices = new TimeSlices(this.#parts);
    let pagesFreed = 0;
    let rounds = 0;
    extents.packBelow(Number.POSITIVE_INFINITY);
    try {
      await this.#settle();
      pagesFreed = await this.#repack(slices);
      const recoded = await new Relocator(slices).recode(this.#parts.checkpointer.superblock.codecs);
      if (pagesFreed + recoded > 0 || slices.moved > 0) {
        ++rounds;
        await this.#settle();
      }
      rounds += await this.#relocate(slices);
      this.#cut();
    } catch (error) {
      // The space ran out: give back what was gained so far.
      if (error instanceof AegisError && error.code === 'OUT_OF_SPACE') this.#cut();
      throw error;
    } finally {
      extents.packBelow(undefined);
    }
    slices.finish();
    return {
      bytesBefore,
      bytesAfter: file.size(),
      pagesMoved: slices.moved,
      pagesFreed,
      rounds,
      bytesHeld: (pager.versions.protectedSectors + slices.protectedMost) * SECTOR_SIZE,
      pagesDamaged: slices.unreadable,
    };
  }

  async #repack(slices: TimeSlices): Promise<number> {
    let freed = 0;
    await slices.begin(0);
    for (const root of slices.roots) {
      // The tree may have been dropped meanwhile.
      if (!slices.hasRoot(root)) continue;
      const repacker = new Repacker(slices, root);
      await repacker.run();
      freed += repacker.merged;
    }
    return freed;
  }

  /** Gathers what lies high until the file is tight, or nothing helps; answers the rounds it took. */
  async #relocate(slices: TimeSlices): Promise<number> {
    const { extents } = this.#parts.pager.blocks;
    const relocator = new Relocator(slices);
    let rounds = 0;
    const round = async (work: () => Promise<number>): Promise<boolean> => {
      slices.beginRound();
      if ((await work()) === 0) return false;
      ++rounds;
      await this.#settle();
      this.#cut();
      return true;
    };
    for (let best = Number.POSITIVE_INFINITY, tries = 0; tries < TRIES_MAX && !this.#isTight; ++tries) {
      await round(() => relocator.relocate(this.#top));
      if (this.#isTight || extents.end > best * GAIN_LEAST) break;
      best = extents.end;
      // Blocks that fit in none of the short holes fit in one long one.
      if (!(await round(() => relocator.evacuate(this.#top)))) break;
    }
    return rounds;
  }

  /** Where the file would end if its blocks were as close as is aimed at. */
  get #top(): number {
    const { extents, pageSectors } = this.#parts.pager.blocks;
    return extents.first + extents.used + Math.max(pageSectors, Math.ceil(extents.used * WASTE_WANTED));
  }

  get #isTight(): boolean {
    const { extents, pageSectors } = this.#parts.pager.blocks;
    return extents.holeSectors <= Math.max(2 * pageSectors, extents.used * WASTE_MOST);
  }

  /** A checkpoint, if there is anything to be written for one. */
  async #settle(): Promise<void> {
    const { pager, checkpointer, check } = this.#parts;
    pager.drain();
    if (pager.core.x.dirtyCount() === 0 && pager.directory.changedCount === 0) return;
    await checkpointer.checkpoint();
    check();
  }

  #cut(): void {
    const { check, checkpointer, cut } = this.#parts;
    check();
    // Another writer may have written behind our end by now.
    checkpointer.checkFence();
    cut();
  }
}
