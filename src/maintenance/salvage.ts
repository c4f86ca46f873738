/**
 * Salvage: what is readable of a damaged store goes to a new one, and what is not is listed.
 *
 *   1. the trees of the last checkpoint are copied, past damage (salvage-tree.ts): the default one, those that the
 *      catalog names, users' blocks
 *   2. what lies below inner pages that are lost is found again where that is certain (salvage-leaves.ts)
 *   3. the log behind the checkpoint is applied to the copy (salvage-log.ts)
 *   4. a checkpoint of the copy, its first, makes it a store
 *
 * Invariants
 *   1. Every key of the old store is in the copy with its newest value, or in what is listed as lost, and none is both.
 *      One exception is said: when the log is damaged, the copy is what the store was before the commits that are lost.
 *   2. Nothing of the old store is written, and nothing is believed for which no checksum stands.
 *   3. Until step 4 has ended the target is a creation that was not finished, and whatever fails leaves it so.
 *   4. Trees and blocks keep their ids, and none that was given out is given out again.
 */

import { AegisError, causedBy } from '../base/errors.ts';
import { CODEC_NUMBERS } from '../codec/store-codecs.ts';
import { checkBlock } from '../codec/user-block.ts';
import { LATEST } from '../core/wasm.ts';
import { isDamage } from '../store/beside-damage.ts';
import { blockKey } from '../store/block-id.ts';
import { entryOf } from '../store/catalog.ts';
import { EVERYTHING } from '../store/range.ts';
import { encodeSuperblock } from '../store/superblock.ts';
import { BLOCKS_NAME, MAIN_TREE, nameBytes, nameOf } from '../store/tree-name.ts';
import { Checkpointer } from './checkpoint.ts';
import { takeBackCreation } from './creation.ts';
import { problemOf } from './findings.ts';
import type { Loss } from './loss.ts';
import { blockLoss, keyLoss, nameLoss } from './loss.ts';
import { LostRanges, WHOLE } from './lost-ranges.ts';
import type { OpenedStore } from './opened-store.ts';
import { findLeaves } from './salvage-leaves.ts';
import { applyLog } from './salvage-log.ts';
import type { SalvageSource } from './salvage-source.ts';
import type { Hole, Salvaged } from './salvage-tree.ts';
import { salvageTree } from './salvage-tree.ts';

/** What a salvage brought. */
export interface SalvageReport {
  /** Keys and values in the new store, those of all trees. */
  readonly records: number;
  /** Named trees in it. */
  readonly trees: number;
  /** Blocks in it. */
  readonly blocks: number;
  /** Last commit of the old store that it holds. */
  readonly sequence: number;
  /** What could not be read; empty: nothing is lost. */
  readonly lost: readonly Loss[];
}

/** What a salvage works with. */
export interface SalvageParts {
  readonly source: SalvageSource;
  /** A store just created, with nothing in it. */
  readonly target: OpenedStore;
  /** Lets other work run. */
  readonly pause: () => Promise<void>;
  /** Lets other work run when it is due. */
  readonly rest: () => Promise<void>;
  readonly onProgress: (done: number, total: number) => void;
}

/** Records between two times that the program hears of progress. */
const SLICE_RECORDS = 500;

/** Copies what is readable. The files stay open. @throws AegisError as what the target refuses; then there is no store */
export async function salvageStore(parts: SalvageParts): Promise<SalvageReport> {
  const { core, pager, superblock } = parts.target;
  // Encode it now: after an error the core may not be usable.
  const unfinished = encodeSuperblock(core, superblock);
  try {
    return await new Salvage(parts).run();
  } catch (error) {
    await takeBackCreation(pager.blocks.file, unfinished);
    throw error;
  }
}

class Salvage {
  readonly #parts: SalvageParts;
  /** What of each tree is lost, by its id. */
  readonly #lost = new Map<number, LostRanges>();
  /** Names of which nobody knows whether there is such a tree. */
  readonly #names = new LostRanges();
  readonly #blocks = new LostRanges();
  readonly #holes: Hole[] = [];
  #copied = 0;
  #sequence: number;

  constructor(parts: SalvageParts) {
    this.#parts = parts;
    this.#sequence = parts.source.superblock.sequence;
  }

  async run(): Promise<SalvageReport> {
    const { source, target, rest } = this.#parts;
    const { mainRoot, nextTree, nextBlock } = source.superblock;
    const { catalog } = target;
    if (nextTree > MAIN_TREE + 1) catalog.markIdUsed(nextTree - 1);
    if (nextBlock > 1) catalog.blockIds.markUsed(blockKey(nextBlock - 1));
    await this.#copy(MAIN_TREE, mainRoot, this.#lostOf(MAIN_TREE));
    await this.#copyNamed();
    // If a name is lost, a leaf that is found could belong to that tree.
    if (this.#names.isEmpty) {
      for await (const { hole, ...record } of findLeaves(source, this.#holes, rest)) {
        this.#put(hole.tree, record, hole.lost);
        await rest();
      }
    }
    await this.#applyLog();
    await finish(this.#parts);
    return this.#report();
  }

  #lostOf(id: number): LostRanges {
    const known = this.#lost.get(id) ?? new LostRanges();
    this.#lost.set(id, known);
    return known;
  }

  // --- the checkpoint -------------------------------------------------------------------------------------------

  async #copy(id: number, root: number, lost: LostRanges): Promise<void> {
    const { source, rest, onProgress } = this.#parts;
    const total = source.pager.directory.writtenCount;
    for (const record of salvageTree(source, id, root, lost, this.#holes)) {
      this.#put(id, record, lost);
      if (++this.#copied % SLICE_RECORDS === 0) onProgress(Math.min(source.pages, total), total);
      await rest();
    }
  }

  #put(id: number, { key, value }: Salvaged, lost: LostRanges): void {
    const { trees, catalog, pager } = this.#parts.target;
    const root = catalog.rootOf(id);
    // It belongs to a dropped tree.
    if (root === undefined) return;
    if (lost === this.#blocks) {
      try {
        pager.blocks.codecs.noteUsed(CODEC_NUMBERS[checkBlock(value).compression]);
      } catch (error) {
        const bound = { key, inclusive: true };
        return void lost.add({ lower: bound, upper: bound }, problemOf(error));
      }
    }
    trees.put(root, key, value);
  }

  async #copyNamed(): Promise<void> {
    const { source, target } = this.#parts;
    const { catalogRoot, nextTree } = source.superblock;
    // Read the whole catalog first: all names must be known before the pages of a tree are read.
    const named = catalogRoot === 0 ? [] : [...salvageTree(source, 0, catalogRoot, this.#names, this.#holes)];
    for (const { key, value } of named) {
      const name = nameOf(key);
      const { id, root } = entryOf(value) ?? { id: 0, root: 0 };
      if (id <= MAIN_TREE || id >= nextTree || target.catalog.isMade(id)) {
        const bound = { key, inclusive: true };
        this.#names.add(
          { lower: bound, upper: bound },
          { message: 'the catalog names a tree that cannot be' },
        );
        continue;
      }
      if (name !== undefined) {
        target.catalog.create(key, id);
        if (name === BLOCKS_NAME) this.#lost.set(id, this.#blocks);
      }
      // A tree without a name was dropped. It is walked so that its pages are taken for no other tree's.
      await this.#copy(id, root, name === undefined ? new LostRanges() : this.#lostOf(id));
    }
    const lost = this.#names.find(nameBytes(BLOCKS_NAME));
    if (lost) this.#blocks.add(WHOLE, lost.problem);
  }

  // --- the log --------------------------------------------------------------------------------------------------

  async #applyLog(): Promise<void> {
    const { source, target, rest } = this.#parts;
    const scan = await source.openLog();
    if (!scan) return;
    try {
      const heard = {
        made: (id: number, name: Uint8Array) => this.#made(id, name),
        dropped: (id: number) => this.#lost.get(id)?.clear(),
        settled: (id: number, key: Uint8Array) => this.#lostOf(id).settle(key),
        // It may be a block, so its id must not be given out again.
        passedOver: (key: Uint8Array) => target.catalog.blockIds.markUsed(key),
      };
      await applyLog({
        scan,
        from: source.pager.core,
        after: source.superblock.sequence,
        target,
        heard,
        rest,
        applied: (sequence) => {
          this.#sequence = sequence;
        },
      });
    } catch (error) {
      // Only damage of the old log is listed; damage of the new store is an error.
      if (!isDamage(error) || !error.file?.startsWith('log-')) throw error;
      source.logProblem ??= problemOf(error);
    } finally {
      scan.close();
    }
  }

  /** The log names a tree that is there from now on, if it was not before. */
  #made(id: number, name: Uint8Array): void {
    if (this.#parts.target.catalog.isMade(id)) return;
    const unknown = this.#names.find(name);
    const isBlocks = nameOf(name) === BLOCKS_NAME;
    if (isBlocks) this.#lost.set(id, this.#blocks);
    // The tree may have existed before; then its earlier records are lost.
    else if (unknown) this.#lostOf(id).add(WHOLE, unknown.problem);
    this.#names.settle(name);
  }

  // --- the end --------------------------------------------------------------------------------------------------

  #report(): SalvageReport {
    const { trees, catalog } = this.#parts.target;
    const lost: Loss[] = [];
    const { logProblem } = this.#parts.source;
    if (logProblem) lost.push({ what: 'commits', ...logProblem });
    lost.push(...this.#lostOf(MAIN_TREE).merged.map((range) => keyLoss(range, undefined)));
    const count = (name: string): number => {
      const entry = catalog.find(name);
      return entry ? trees.countRange(entry.root, LATEST, EVERYTHING) : 0;
    };
    const names = catalog.names();
    for (const name of names) {
      const { id } = catalog.find(name) as { id: number };
      lost.push(...this.#lostOf(id).merged.map((range) => keyLoss(range, name)));
    }
    lost.push(...this.#names.merged.flatMap((range) => nameLoss(range) ?? []));
    const { next } = catalog.blockIds;
    lost.push(...this.#blocks.merged.flatMap((range) => blockLoss(range, next) ?? []));
    const records = ['', ...names].reduce((sum, name) => sum + count(name), 0);
    return { records, trees: names.length, blocks: count(BLOCKS_NAME), sequence: this.#sequence, lost };
  }
}

/** The first checkpoint, which makes the target a store. */
async function finish({ target, pause }: SalvageParts): Promise<void> {
  const { pager, catalog, superblock, slot, durable } = target;
  let failure: AegisError | undefined;
  const checkpointer = new Checkpointer({
    pager,
    log: undefined,
    pipeline: {
      applied: 0,
      replayPosition: target.position,
      fail: (cause) => {
        failure ??= cause instanceof AegisError ? cause : causedBy('IO_ERROR', 'the new store', cause);
      },
      get failure() {
        return failure;
      },
    },
    superblock,
    catalog,
    slot,
    durable,
    pause,
    onProgress: undefined,
    finished: () => undefined,
  });
  await checkpointer.checkpoint();
  pager.blocks.cutTail();
}
