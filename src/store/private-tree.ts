/**
 * Private trees: ordered sets of keys that belong to one owner (a transaction's writes or reads, notes of recent
 * commits) and live in the pool like any page, so that they may outgrow memory. No checkpoint sees them; they are
 * gone with their owner, or with the process.
 *
 * Invariants
 *   1. `#pages` are exactly the pages of the tree: `drop` frees them without walking the tree.
 *   2. A tree without a write has no page.
 */
import { AREA_OUT, OUT_AREA } from '../../assembly/layout.ts';
import { AegisError } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import { claimingAreas, LATEST } from '../core/wasm.ts';
import { RANGE_START_INCLUSIVE } from './range.ts';
import type { TOMBSTONE, Trees } from './trees.ts';

/** Records asked for at once when a tree is walked. */
const WALK_BATCH = 512;

export class PrivateTree {
  readonly #trees: Trees;
  #pages = new Set<number>();
  #root = 0;

  constructor(trees: Trees) {
    this.#trees = trees;
  }

  /** Root of the tree; 0 while it is empty and was never written. */
  get root(): number {
    return this.#root;
  }

  /** Pages the tree takes. */
  get pageCount(): number {
    return this.#pages.size;
  }

  /** Makes the tree the one whose pages change, with a root. Before any change through its root. */
  open(): number {
    this.#trees.pager.own(this.#pages);
    if (this.#root === 0) this.#root = this.#trees.pager.createTree(true);
    return this.#root;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#trees.beforePrivate(key.length + value.length, false);
    this.#trees.put(this.open(), key, value);
  }

  writeTombstone(key: Uint8Array): void {
    this.#trees.beforePrivate(key.length, true);
    this.#trees.writeTombstone(this.open(), key);
  }

  /** Puts a key back to what a held epoch of private pages sees: its value, its deletion, or nothing. */
  restore(key: Uint8Array, epoch: number): void {
    // A long value is copied and needs space. A short one goes back into a leaf, which works on a full disk too.
    const bytes = this.#trees.lengthAt(this.open(), key, epoch);
    this.#trees.beforePrivate(key.length + bytes, bytes < this.#trees.pager.core.pageSize);
    this.#trees.restore(this.open(), key, epoch);
  }

  /** Looks up the key in KEY_AREA. */
  get(keyLength: number): OwnBytes | typeof TOMBSTONE | undefined {
    return this.#root === 0 ? undefined : this.#trees.get(this.#root, LATEST, keyLength);
  }

  has(keyLength: number): boolean | typeof TOMBSTONE {
    return this.#root === 0 ? false : this.#trees.has(this.#root, LATEST, keyLength);
  }

  /**
   * Visits every record in key order, as it lies packed in linear memory: `visit(key, key length, meta, value)` with
   * addresses. It may work on other trees, as long as it leaves OUT_AREA alone; `false` stops the walk.
   */
  walk(visit: (key: number, keyLength: number, meta: number, value: number) => boolean | undefined): void {
    if (this.#root === 0) return;
    const { core } = this.#trees.pager;
    const { x } = core;
    let start: Uint8Array | undefined;
    for (let flags = RANGE_START_INCLUSIVE; ; flags = 0) {
      const count = this.#trees.readRange(this.#root, LATEST, start, undefined, flags, WALK_BATCH);
      const done = x.scanDone() !== 0;
      const goesOn = claimingAreas(this.#trees.pager.core, AREA_OUT, () => {
        let at = OUT_AREA;
        for (let i = 0; i < count; ++i) {
          const keyLength = core.u32[at / 4] as number;
          const meta = core.u32[at / 4 + 1] as number;
          const key = at + 8;
          const value = key + keyLength;
          at = (value + storedBytes(meta) + 3) & ~3;
          if (i === count - 1) start = core.u8.slice(key, value);
          if (visit(key, keyLength, meta, value) === false) return false;
        }
        return !done;
      });
      if (!goesOn) return;
      if (count === 0) throw new AegisError('STORE_FAILED', 'internal rule broken: a walk makes progress');
    }
  }

  /** Frees the tree's pages. */
  drop(): void {
    if (this.#root === 0) return;
    this.#trees.pager.dropPrivateTree(this.#pages);
    this.#pages = new Set();
    this.#root = 0;
  }
}

/** Bits of a packed record's meta word. */
export const META_OVERFLOW = 0x40000000;
export const META_TOMBSTONE = 0x80000000;

/** Bytes of a packed record's value, from its meta word. */
export function storedBytes(meta: number): number {
  if (meta & META_OVERFLOW) return 4;
  return meta & META_TOMBSTONE ? 0 : meta;
}

/** Length of a record's value, from its meta word. */
export function valueLengthOf(meta: number): number {
  return meta & ~(META_OVERFLOW | META_TOMBSTONE);
}
