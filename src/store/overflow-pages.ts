/**
 * Overflow pages over the pager: values too long for a leaf, read and built piece by piece
 * (assembly/tree/overflow.ts).
 *
 * One overflow chain is built at a time: `begin`, `extend` until it has all its bytes, `put`. Whoever changes a tree
 * calls `freeDropped` afterwards.
 */
import { INPUT_AREA, KEY_AREA, PRIVATE_PAGE } from '../../assembly/layout.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import { isDamage } from './beside-damage.ts';
import type { Pager } from './pager.ts';
import { newBytes } from './slabs.ts';
import { isHidden } from './spoil.ts';

/** What is left of a dropped chain that could not be freed to its end. */
export interface StuckOverflow {
  /** The page that could not be read. */
  readonly first: number;
  /** Bytes of the value from there on. */
  readonly rest: number;
}

export class OverflowPages {
  readonly #pager: Pager;
  /** Chains of shared pages that nothing refers to and nobody could free. */
  readonly stuck: StuckOverflow[] = [];

  constructor(pager: Pager) {
    this.#pager = pager;
  }

  /** Reads a whole overflow chain. */
  read(first: number, epoch: number, length: number): OwnBytes {
    const value = newBytes(length);
    let filled = 0;
    this.walk(first, epoch, length, (address, bytes) => {
      value.set(this.#pager.core.u8.subarray(address, address + bytes), filled);
      filled += bytes;
    });
    return value;
  }

  /** Visits the pieces of an overflow chain in order; an address is good until `visit` touches the pager. */
  walk(first: number, epoch: number, length: number, visit: (address: number, bytes: number) => void): void {
    const { x } = this.#pager.core;
    let page = first;
    let left = length;
    while (left > 0) {
      const number = page;
      const expected = left;
      this.#pager.run(() => x.overflowPage(number, epoch, expected));
      const bytes = x.valueLength();
      page = x.overflowNext();
      left -= bytes;
      visit(x.valueAddress(), bytes);
    }
  }

  /** Begins an overflow chain in the key space of a root. */
  begin(root: number, total: number): void {
    const isPrivate = (root & PRIVATE_PAGE) !== 0;
    this.#pager.run(() => this.#pager.core.x.overflowBegin(isPrivate, total));
  }

  /** Appends bytes of linear memory to the chain being built. */
  extend(address: number, length: number): void {
    const { x } = this.#pager.core;
    let taken = 0;
    this.#pager.run(() => {
      const status = x.overflowAppend(address + taken, length - taken);
      if (x.overflowTaken() > 0) this.#pager.release();
      taken += x.overflowTaken();
      return status;
    });
  }

  /** Puts the chain just built under the key. */
  put(root: number, key: Uint8Array, total: number): void {
    const { core } = this.#pager;
    const { x } = core;
    core.u8.set(key, KEY_AREA);
    this.#pager.run(() => x.treePutOverflow(root, key.length, total));
  }

  /** Builds a chain with the bytes of another one, as an epoch sees it, and puts it under the key. */
  copy(root: number, key: Uint8Array, first: number, epoch: number, total: number): void {
    const { core } = this.#pager;
    this.begin(root, total);
    this.walk(first, epoch, total, (address, bytes) => {
      // Copy it out of its frame first: `extend` may evict the page.
      core.u8.copyWithin(INPUT_AREA, address, address + bytes);
      this.extend(INPUT_AREA, bytes);
    });
    this.put(root, key, total);
  }

  /** Frees the chain just built, which nothing refers to. */
  abandon(total: number): void {
    this.#pager.core.x.overflowAbandon(total);
    this.freeDropped();
  }

  /**
   * Frees the pages of a chain that the last change dropped. A page that cannot be read stops nothing: the change that
   * dropped the chain stands, and what is left of it is `stuck` until somebody keeps it (catalog.ts) or, in a private
   * tree, until the tree ends. A page that is none of the chain's stays whose it is, and what lay behind it is lost:
   * `verify` tells.
   * However it ends, nothing is left of the chain for the next change, which may be another tree's.
   */
  freeDropped(): void {
    const { x } = this.#pager.core;
    let dropped = x.overflowDropped();
    if (dropped === 0) return;
    try {
      this.#pager.run(() => {
        const status = x.overflowFree();
        if (x.overflowDropped() !== dropped) this.#pager.release();
        dropped = x.overflowDropped();
        return status;
      });
    } catch (error) {
      const first = x.overflowDropped();
      const rest = x.overflowRest();
      x.overflowForget();
      if (!isDamage(error)) throw error;
      if ((first & PRIVATE_PAGE) === 0 && isHidden(this.#pager, first)) this.stuck.push({ first, rest });
    }
  }
}
