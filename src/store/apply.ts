/**
 * Applying records to the store's trees: the one way committed changes reach a page, for a commit just made durable
 * and for one replayed from the log.
 *
 * A long value may be spread over several calls; between its pieces nothing else is applied.
 */
import { LONG, OK, RECORD_HEADER_SIZE, RECORD_PUT, RECORD_PUT_LONG } from '../../assembly/layout.ts';
import { AegisError, invariant } from '../errors.ts';
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
  readonly #rootOf: (tree: number) => number | undefined;
  #long: LongValue | undefined;

  constructor(trees: Trees, rootOf: (tree: number) => number | undefined) {
    this.#trees = trees;
    this.#rootOf = rootOf;
  }

  /** Applies the records from `from` to `end` in linear memory; answers how many keys were removed. */
  apply(from: number, end: number): number {
    const { pager } = this.#trees;
    const { x } = pager.core;
    let at = from;
    let deleted = 0;
    while (at < end) {
      const tree = x.recordTree(at);
      const root = this.#root(tree);
      const status = this.#besideDamage(() =>
        pager.run(() => {
          const answer = x.recordsApply(root, tree, at, end, false);
          if (x.applyAt() !== at) pager.release();
          at = x.applyAt();
          deleted += x.deletedCount();
          return answer;
        }),
      );
      if (status === LONG) at = this.#applyLong(root, at);
      else invariant(status === OK, 'records are applied or interrupted');
      this.#trees.chains.freeDropped();
    }
    return deleted;
  }

  /**
   * A delete may look for a neighbour to merge its leaf with. A neighbour that cannot be read must not stop a commit
   * that is durable, nor its replay: then the leaf stays as it is.
   */
  #besideDamage(work: () => number): number {
    const { x } = this.#trees.pager.core;
    try {
      return work();
    } catch (error) {
      if (!(error instanceof AegisError) || (error.code !== 'CORRUPTION' && error.code !== 'IO_ERROR'))
        throw error;
      x.mergesSet(false);
      return work();
    } finally {
      x.mergesSet(true);
    }
  }

  /** Reads in the leaves that records will change, so that damage refuses a commit instead of stopping it halfway. */
  touch(from: number, end: number): void {
    const { pager } = this.#trees;
    const { x } = pager.core;
    let at = from;
    while (at < end) {
      const tree = x.recordTree(at);
      const root = this.#root(tree);
      pager.run(() => {
        const answer = x.recordsTouch(root, tree, at, end);
        if (x.applyAt() !== at) pager.release();
        at = x.applyAt();
        return answer;
      });
    }
  }

  #root(tree: number): number {
    const root = this.#rootOf(tree);
    if (root === undefined)
      throw new AegisError('CORRUPTION', `the log names tree ${tree}, which does not exist`);
    return root;
  }

  /** A record whose value goes to an overflow chain; answers where the next record begins. */
  #applyLong(root: number, at: number): number {
    const { x, u8 } = this.#trees.pager.core;
    const kind = x.recordKind(at);
    const keyLength = x.recordKeyBytes(at);
    const length = x.recordValueBytes(at);
    const keyAt = at + RECORD_HEADER_SIZE;
    const next = x.recordEnd(at);
    if (kind === RECORD_PUT) {
      this.#trees.chains.begin(root, length);
      this.#trees.chains.extend(keyAt + keyLength, length);
      this.#trees.chains.put(root, u8.slice(keyAt, keyAt + keyLength), length);
    } else if (kind === RECORD_PUT_LONG) {
      this.#trees.chains.begin(root, length);
      this.#long = { root, key: u8.slice(keyAt, keyAt + keyLength), total: length, left: length };
    } else {
      const long = this.#long;
      if (!long || length > long.left)
        throw new AegisError('CORRUPTION', 'the log holds a piece of no value');
      this.#trees.chains.extend(keyAt, length);
      long.left -= length;
      if (long.left === 0) {
        this.#trees.chains.put(long.root, long.key, long.total);
        this.#long = undefined;
      }
    }
    return next;
  }
}
