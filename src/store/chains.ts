/**
 * Overflow chains over the pager: values too long for a leaf, read and built piece by piece (assembly/overflow.ts).
 *
 * One chain is built at a time: `begin`, `extend` until it has all its bytes, `put`. Whoever changes a tree calls
 * `freeDropped` afterwards.
 */
import { INPUT_AREA, KEY_AREA, PRIVATE_PAGE } from '../../assembly/layout.ts';
import { AegisError } from '../errors.ts';
import type { Pager } from './pager.ts';

export class Chains {
  readonly #pager: Pager;

  constructor(pager: Pager) {
    this.#pager = pager;
  }

  /** Reads a whole overflow chain. */
  read(first: number, epoch: number, length: number): Uint8Array {
    const value = new Uint8Array(length);
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
      this.#pager.run(() => x.chainPage(number, epoch, expected));
      const bytes = x.valueLength();
      page = x.chainNext();
      left -= bytes;
      visit(x.valueAddress(), bytes);
    }
  }

  /** Begins an overflow chain in the key space of a root. */
  begin(root: number, total: number): void {
    const isPrivate = (root & PRIVATE_PAGE) !== 0;
    this.#pager.run(() => this.#pager.core.x.chainBegin(isPrivate, total));
  }

  /** Appends bytes of linear memory to the chain being built. */
  extend(address: number, length: number): void {
    const { x } = this.#pager.core;
    let taken = 0;
    this.#pager.run(() => {
      const status = x.chainAppend(address + taken, length - taken);
      if (x.chainTaken() > 0) this.#pager.release();
      taken += x.chainTaken();
      return status;
    });
  }

  /** Puts the chain just built under the key. */
  put(root: number, key: Uint8Array, total: number): void {
    const { x, u8 } = this.#pager.core;
    u8.set(key, KEY_AREA);
    this.#pager.run(() => x.treePutChain(root, key.length, total));
  }

  /** Builds a chain with the bytes of another one, as an epoch sees it, and puts it under the key. */
  copy(root: number, key: Uint8Array, first: number, epoch: number, total: number): void {
    const { u8 } = this.#pager.core;
    this.begin(root, total);
    this.walk(first, epoch, total, (address, bytes) => {
      // Out of its frame first: what `extend` does may evict it.
      u8.copyWithin(INPUT_AREA, address, address + bytes);
      this.extend(INPUT_AREA, bytes);
    });
    this.put(root, key, total);
  }

  /**
   * Frees the pages of a chain that the last change dropped. Damage in it is passed over: its pages stay taken, which
   * `verify` reports, and the change that dropped it stands.
   */
  freeDropped(): void {
    const { x } = this.#pager.core;
    if (x.chainDropped() === 0) return;
    try {
      let dropped = x.chainDropped();
      this.#pager.run(() => {
        const status = x.chainFree();
        if (x.chainDropped() !== dropped) this.#pager.release();
        dropped = x.chainDropped();
        return status;
      });
    } catch (error) {
      if (!(error instanceof AegisError) || error.code !== 'CORRUPTION') throw error;
      x.chainForget();
    }
  }
}
