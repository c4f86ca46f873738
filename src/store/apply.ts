/**
 * Applying records to the store's trees: the one way committed changes reach a page, for a commit just made durable
 * and for one replayed from the log.
 *
 * Records that make or drop a tree go to the catalog. A key deleted from a tree that was never made is no change.
 *
 * A long value may be spread over several calls; between its pieces nothing else is applied.
 *
 * Invariants
 *   1. A change never fails because of what it frees: overflow chains that cannot be read are set aside, and listed in
 *      the catalog when no long value is being applied (in a replay: at its end, since ids that the log names go first).
 *   2. If the page of a record cannot be read after some tries, the apply of a new commit stops: its pages were read at
 *      admission, and reopening tries again. In a replay the record is skipped, the page is spoilt (spoil.ts), and
 *      everything else is applied.
 *   3. Ids in a skipped record count as used.
 */
import {
  LONG,
  OK,
  RECORD_DELETE,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  RECORD_PUT_LONG,
  RECORD_TREE,
} from '../../assembly/layout.ts';
import { AegisError, invariant } from '../base/errors.ts';
import { besideDamage, isDamage, READ_TRIES } from './beside-damage.ts';
import type { Catalog } from './catalog.ts';
import { isSpoiltPage, spoil } from './spoil.ts';
import type { Trees } from './trees.ts';

/** A long value whose pieces are still coming. */
interface LongValue {
  readonly root: number;
  readonly key: Uint8Array;
  readonly total: number;
  left: number;
}

export class Applier {
  readonly #trees: Trees;
  readonly #catalog: Catalog;
  #long: LongValue | undefined;
  /** Whether what the log held when the store was opened is still being applied. */
  #replaying = true;
  /** Why the last record that was passed over was lost. */
  #lost: AegisError | undefined;

  constructor(trees: Trees, catalog: Catalog) {
    this.#trees = trees;
    this.#catalog = catalog;
  }

  /** Applies the records from `from` to `end` in linear memory; answers how many keys were removed. */
  apply(from: number, end: number): number {
    const { pager } = this.#trees;
    const { x } = pager.core;
    let at = from;
    let deleted = 0;
    while (at < end) {
      const start = at;
      const tree = x.recordTree(at);
      if (x.recordKind(at) >= RECORD_TREE) {
        at = this.#surely(() => this.#applyName(tree, start)) ?? this.#passOverName(tree, start);
        continue;
      }
      const root = this.#catalog.damage ? this.#rootBesideDamage(tree) : this.#catalog.rootOf(tree);
      if (root === undefined) {
        at = this.#passOver(tree, at);
        continue;
      }
      const run = (): number => {
        const answer = x.recordsApply(root, tree, at, end, false);
        if (x.applyAt() !== at) pager.release();
        at = x.applyAt();
        deleted += x.deletedCount();
        return answer;
      };
      const status = this.#surely(
        () => besideDamage(pager.core, () => pager.run(run)),
        () => at,
      );
      if (status === undefined) at = x.recordEnd(at);
      else if (status === LONG) at = this.#applyLong(root, at);
      else invariant(status === OK, 'records are applied or interrupted');
      this.#trees.overflow.freeDropped();
      if (tree === this.#catalog.blocksId) this.#markBlockIds(start, at);
    }
    if (!this.#replaying) this.#keepStuck();
    return deleted;
  }

  /**
   * Does work on pages that may have to be read; again, while it gets on, when one cannot be. Undefined: in a replay, what
   * it was to do is lost, and the page is spoilt.
   */
  #surely<T>(work: () => T, progress = (): number => 0): T | undefined {
    const { pager } = this.#trees;
    for (let tries = 1, last = progress(); ; ++tries) {
      try {
        return work();
      } catch (error) {
        if (!isDamage(error)) throw error;
        if (progress() !== last) tries = 1;
        last = progress();
        const { page } = error;
        const isCatalog = error === this.#catalog.damage;
        const isKnown = isCatalog || (page !== undefined && isSpoiltPage(pager, page));
        if (!isKnown && tries < READ_TRIES) continue;
        if (!this.#replaying || (page === undefined && !isCatalog)) throw error;
        if (page !== undefined) spoil(pager, page);
        this.#lost = error;
        return undefined;
      }
    }
  }

  #rootBesideDamage(tree: number): number | undefined {
    return this.#surely(() => this.#catalog.rootOf(tree));
  }

  /** The replay is over. */
  settle(): void {
    this.#replaying = false;
    this.#keepStuck();
  }

  /** Chains that could not be freed find a place in the catalog; without space for that, after a later commit. */
  #keepStuck(): void {
    if (this.#long || this.#trees.overflow.stuck.length === 0) return;
    try {
      this.#catalog.keepStuck();
    } catch (error) {
      if (!(error instanceof AegisError) || error.code !== 'OUT_OF_SPACE') throw error;
    }
  }

  /**
   * Ids of blocks that the log has seen written are never given out again, whatever became of their blocks. A deletion
   * says nothing: users may name any id there.
   */
  #markBlockIds(from: number, end: number): void {
    const { x } = this.#trees.pager.core;
    for (let at = from; at < end; at = x.recordEnd(at)) {
      const kind = x.recordKind(at);
      if (kind === RECORD_PUT || kind === RECORD_PUT_LONG) this.#catalog.blockIds.markUsed(this.#keyIn(at));
    }
  }

  /** A record that makes or drops a tree; answers where the next record begins. */
  #applyName(tree: number, at: number): number {
    const { x } = this.#trees.pager.core;
    const name = this.#keyIn(at);
    if (x.recordKind(at) === RECORD_TREE) this.#catalog.create(name, tree);
    else this.#catalog.drop(name, tree);
    return x.recordEnd(at);
  }

  #keyIn(at: number): Uint8Array {
    const { core } = this.#trees.pager;
    const { x } = core;
    const key = at + RECORD_HEADER_SIZE;
    return core.u8.slice(key, key + x.recordKeyBytes(at));
  }

  /** A name that could not be made or dropped: no name can be believed any more. */
  #passOverName(tree: number, at: number): number {
    this.#catalog.spoil(this.#lost as AegisError);
    this.#catalog.markIdUsed(tree);
    return this.#trees.pager.core.x.recordEnd(at);
  }

  /** A record of a tree that does not exist, or is not known because of damage; answers where the next one begins. */
  #passOver(tree: number, at: number): number {
    const { x } = this.#trees.pager.core;
    if (!this.#catalog.damage && x.recordKind(at) !== RECORD_DELETE) {
      throw new AegisError('CORRUPTION', `the log names tree ${tree}, which does not exist`);
    }
    this.#catalog.markIdUsed(tree);
    return x.recordEnd(at);
  }

  /** Reads in the leaves that records will change, so that damage refuses a commit instead of stopping it halfway. */
  touch(from: number, end: number): void {
    const { pager } = this.#trees;
    const { x } = pager.core;
    let at = from;
    while (at < end) {
      const tree = x.recordTree(at);
      const makesOrDrops = x.recordKind(at) >= RECORD_TREE;
      if (makesOrDrops) this.#catalog.touch(this.#keyIn(at), tree);
      const root = makesOrDrops ? undefined : this.#catalog.rootOf(tree);
      if (root === undefined) {
        at = x.recordEnd(at);
        continue;
      }
      pager.run(() => {
        const answer = x.recordsTouch(root, tree, at, end);
        if (x.applyAt() !== at) pager.release();
        at = x.applyAt();
        return answer;
      });
    }
  }

  /** A record whose value goes to an overflow chain; answers where the next record begins. */
  #applyLong(root: number, at: number): number {
    const { core } = this.#trees.pager;
    const { x } = core;
    const kind = x.recordKind(at);
    const keyLength = x.recordKeyBytes(at);
    const length = x.recordValueBytes(at);
    const keyAt = at + RECORD_HEADER_SIZE;
    const next = x.recordEnd(at);
    if (kind === RECORD_PUT) {
      this.#trees.overflow.begin(root, length);
      this.#trees.overflow.extend(keyAt + keyLength, length);
      this.#putOverflow(root, core.u8.slice(keyAt, keyAt + keyLength), length);
    } else if (kind === RECORD_PUT_LONG) {
      this.#trees.overflow.begin(root, length);
      this.#long = { root, key: core.u8.slice(keyAt, keyAt + keyLength), total: length, left: length };
    } else {
      const long = this.#long;
      if (!long || length > long.left)
        throw new AegisError('CORRUPTION', 'the log holds a piece of no value');
      this.#trees.overflow.extend(keyAt, length);
      long.left -= length;
      if (long.left === 0) {
        this.#putOverflow(long.root, long.key, long.total);
        this.#long = undefined;
      }
    }
    return next;
  }
  #putOverflow(root: number, key: Uint8Array, total: number): void {
    const { overflow } = this.#trees;
    const done = this.#surely(() => {
      overflow.put(root, key, total);
      return true;
    });
    if (done === undefined) overflow.abandon(total);
  }
}
