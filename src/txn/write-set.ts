/**
 * Write sets: what a transaction (or a large single operation) is going to change, and its packing into log records.
 *
 * The same packing serves three times: to read in the leaves a commit will change, to write the log, and, for a
 * commit too large to keep, to apply it.
 *
 * Trees are known by their names until a commit is admitted: then `resolve` gives each the id it has now, or will have
 * when this commit makes it. A tree is made by its first put; deletions alone make none, and where there is none they are
 * no change.
 */
import {
  RECORD_DELETE,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  RECORD_PUT_LONG,
  RECORD_TREE,
  RECORD_VALUE,
} from '../../assembly/layout.ts';
import { invariant } from '../base/errors.ts';
import { LATEST } from '../core/wasm.ts';
import { CATALOG_RECORD_MAX, type Catalog } from '../store/catalog.ts';
import type { NewTrees } from '../store/coming-trees.ts';
import {
  META_OVERFLOW,
  META_TOMBSTONE,
  PrivateTree,
  storedBytes,
  valueLengthOf,
} from '../store/private-tree.ts';
import { MAIN_NAME, MAIN_TREE, NO_TREE, nameBytes } from '../store/tree-name.ts';
import type { Trees } from '../store/trees.ts';
import { Gaps } from './gaps.ts';
import { ResolvedNames } from './resolved-names.ts';

/** Operations from which on it pays to count what they come to. */
const MEASURED_FROM = 64;
/** Smallest piece of a long value that is put behind other records rather than into the next group. */
const PIECE_MIN = 512;

/** Bytes of a record in the log, padding included. */
export function recordBytes(keyLength: number, valueLength: number): number {
  return (RECORD_HEADER_SIZE + keyLength + valueLength + 3) & ~3;
}

/** Pages that a record can fill: a share of leaves that splits leave half full, and overflow pages of its own. */
export function pagesFilled(keyLength: number, valueLength: number, pageSize: number): number {
  const inLeaf = (2 * (16 + keyLength + Math.min(valueLength, pageSize / 4))) / pageSize;
  return valueLength > pageSize / 8 ? inLeaf + Math.ceil(valueLength / (pageSize - 64)) : inLeaf;
}

/** How much was written, at the most; what trees may have to be made for it comes on top. */
export interface Counters {
  readonly operations: number;
  readonly bytes: number;
  readonly pages: number;
}

/** Pages that making a tree can fill: its root, its record in the catalog and a split there. */
export function pagesOfTree(pageSize: number): number {
  return 2 + pagesFilled(CATALOG_RECORD_MAX, 0, pageSize);
}

/** Packs the record that makes a tree; answers where the next record begins. */
export function packTree(trees: Trees, at: number, name: Uint8Array, id: number): number {
  const { core } = trees.pager;
  const { x } = core;
  core.u8.set(name, at + RECORD_HEADER_SIZE);
  return x.recordSeal(at, RECORD_TREE, id, name.length, 0);
}

/** What is going to be changed in one tree. */
export interface TreeWrites {
  readonly name: string;
  /** The name as it is logged. */
  readonly bytes: Uint8Array;
  readonly keys: PrivateTree;
  /** Where its deletions leave nothing to see. */
  readonly gaps: Gaps;
  /** Whether anything was put, taken back or not. */
  hasPut: boolean;
  /** Id of the tree, once resolved; `NO_TREE`: nothing is there to delete. */
  id: number;
  /** Whether the tree has to be made. */
  isNew: boolean;
}

export class WriteSet {
  readonly #trees: Trees;
  readonly #byName = new Map<string, TreeWrites>();
  #counters: Counters = { operations: 0, bytes: 0, pages: 0 };
  /** Hears of each key before it is written. */
  beforeWrite: ((tree: string, key: Uint8Array) => void) | undefined;

  constructor(trees: Trees) {
    this.#trees = trees;
  }

  /** Operations so far; an upper bound of the records. */
  get operations(): number {
    return this.#counters.operations;
  }

  /** Bytes of the records, at the most. */
  get bytes(): number {
    let { bytes } = this.#counters;
    for (const own of this.#named()) bytes += recordBytes(own.bytes.length, 0);
    return bytes;
  }

  /** Pages they can fill, at the most; once the trees are resolved. */
  get pages(): number {
    let { pages } = this.#counters;
    for (const { isNew } of this.#named()) if (isNew) pages += pagesOfTree(this.#trees.pager.core.pageSize);
    return pages;
  }

  /** How much it is, at the most, as it stands now. */
  get size(): Counters & { readonly named: number } {
    const { operations, bytes, pages, named } = this;
    return { operations, bytes, pages, named };
  }

  /** Trees that it writes to, the default one aside. */
  get named(): number {
    return this.#byName.size - Number(this.#byName.has(MAIN_NAME));
  }

  get counters(): Counters {
    return this.#counters;
  }

  set counters(counters: Counters) {
    this.#counters = counters;
  }

  get isEmpty(): boolean {
    return this.operations === 0;
  }

  /** The private tree for a tree of the store, if anything was written there. */
  tree(name: string): PrivateTree | undefined {
    return this.#byName.get(name)?.keys;
  }

  /** Where own deletions leave nothing of a tree of the store to see, if anything was written there. */
  gaps(name: string): Gaps | undefined {
    return this.#byName.get(name)?.gaps;
  }

  /** What is going to be changed, tree by tree. */
  get trees(): Iterable<TreeWrites> {
    return this.#byName.values();
  }

  put(name: string, key: Uint8Array, value: Uint8Array): void {
    this.beforeWrite?.(name, key);
    const own = this.#of(name);
    own.hasPut = true;
    own.gaps.put(key);
    own.keys.put(key, value);
    this.#count(
      key.length,
      value.length,
      pagesFilled(key.length, value.length, this.#trees.pager.core.pageSize),
    );
  }

  delete(name: string, key: Uint8Array): void {
    this.beforeWrite?.(name, key);
    const own = this.#of(name);
    own.gaps.deleted();
    own.keys.writeTombstone(key);
    this.#count(key.length, 0, 0);
  }

  /** Takes back everything written to a tree of the store; the counters are the caller's. */
  forget(name: string): void {
    this.#byName.get(name)?.keys.drop();
    this.#byName.delete(name);
  }

  /** Counts what there is instead of what was written: a key that was written a thousand times is there once. */
  measure(): void {
    if (this.operations < MEASURED_FROM) return;
    this.#counters = { operations: 0, bytes: 0, pages: 0 };
    const { pageSize } = this.#trees.pager.core;
    for (const { keys } of this.#byName.values()) {
      keys.walk((_key, keyLength, meta) => {
        const length = valueLengthOf(meta);
        const isPut = (meta & META_TOMBSTONE) === 0;
        this.#count(keyLength, length, isPut ? pagesFilled(keyLength, length, pageSize) : 0);
        return true;
      });
    }
  }

  /** Gives every tree the id that it has now; answers which have to be made. Throws CORRUPTION, IO_ERROR, OUT_OF_SPACE. */
  resolve(catalog: Catalog): NewTrees {
    const names = new ResolvedNames(catalog);
    for (const own of this.#byName.values()) {
      own.id = names.resolve(own.name, () => own.hasPut && holdsPut(own.keys));
      own.isNew = names.makes.has(own.name);
    }
    return names.makes;
  }

  *#named(): Generator<TreeWrites> {
    for (const own of this.#byName.values()) if (own.name !== MAIN_NAME) yield own;
  }

  #of(name: string): TreeWrites {
    let own = this.#byName.get(name);
    if (!own) {
      const keys = new PrivateTree(this.#trees);
      const gaps = new Gaps();
      own = { name, bytes: nameBytes(name), keys, gaps, hasPut: false, id: MAIN_TREE, isNew: false };
      this.#byName.set(name, own);
    }
    return own;
  }

  #count(keyLength: number, valueLength: number, pages: number): void {
    // In the log a long value is one record for each of its overflow pages, with header and padding.
    const pieces = Math.ceil(valueLength / this.#trees.pager.core.x.overflowCapacity());
    const bytes = recordBytes(keyLength, valueLength) + (1 + pieces) * (RECORD_HEADER_SIZE + 4);
    const before = this.#counters;
    this.#counters = {
      operations: before.operations + 1,
      bytes: before.bytes + bytes,
      pages: before.pages + pages,
    };
  }

  /**
   * Packs all records from `start` on, never beyond `limit`. Each time the space is full, and at the end, `emit` gets
   * the end of the records and their number and the packing goes on at `start` again. Long values become a promise
   * and pieces.
   */
  pack(start: number, limit: number, emit: (end: number, records: number, last: boolean) => void): void {
    const { core } = this.#trees.pager;
    const { x } = core;
    let at = start;
    let records = 0;
    const flush = (last: boolean): void => {
      emit(at, records, last);
      at = start;
      records = 0;
    };
    for (const { id: tree, isNew, bytes: name, keys } of this.#byName.values()) {
      if (isNew) {
        if (at + recordBytes(name.length, 0) > limit) flush(false);
        at = packTree(this.#trees, at, name, tree);
        ++records;
      }
      if (tree === NO_TREE) continue;
      keys.walk((key, keyLength, meta, value) => {
        const isLong = (meta & META_OVERFLOW) !== 0;
        const stored = isLong ? 0 : storedBytes(meta);
        if (at + recordBytes(keyLength, stored) > limit) flush(false);
        core.u8.copyWithin(at + RECORD_HEADER_SIZE, key, key + keyLength);
        if (!isLong) {
          core.u8.copyWithin(at + RECORD_HEADER_SIZE + keyLength, value, value + stored);
          at = x.recordSeal(at, meta & META_TOMBSTONE ? RECORD_DELETE : RECORD_PUT, tree, keyLength, stored);
          ++records;
          return undefined;
        }
        const total = valueLengthOf(meta);
        at = x.recordSealLong(at, RECORD_PUT_LONG, tree, keyLength, total);
        ++records;
        const first =
          core.u8[value]! |
          (core.u8[value + 1]! << 8) |
          (core.u8[value + 2]! << 16) |
          (core.u8[value + 3]! << 24);
        this.#trees.overflow.walk(first, LATEST, total, (address, bytes) => {
          let kept: Uint8Array | undefined;
          for (let done = 0; done < bytes; ) {
            if (limit - at < RECORD_HEADER_SIZE + Math.min(PIECE_MIN, bytes - done) + 4) {
              // Copy it out of linear memory first: `emit` may evict the page and use every area.
              kept ??= core.u8.slice(address, address + bytes);
              flush(false);
            }
            const piece = Math.min(bytes - done, limit - at - RECORD_HEADER_SIZE - 4);
            const target = at + RECORD_HEADER_SIZE;
            if (kept) core.u8.set(kept.subarray(done, done + piece), target);
            else core.u8.copyWithin(target, address + done, address + done + piece);
            at = x.recordSeal(at, RECORD_VALUE, tree, 0, piece);
            ++records;
            done += piece;
          }
        });
        return undefined;
      });
    }
    flush(true);
  }

  /** Packs what fits in one piece; answers where it ends. */
  packWhole(start: number, limit: number): number {
    let end = 0;
    let pieces = 0;
    this.pack(start, limit, (at) => {
      end = at;
      ++pieces;
    });
    invariant(pieces === 1, 'a write set is no larger than it counts');
    return end;
  }

  /** Frees what the write set takes. */
  drop(): void {
    for (const { keys } of this.#byName.values()) keys.drop();
    this.#byName.clear();
  }
}

/** Whether anything is put in a write set's tree: deletions alone make no tree. */
function holdsPut(keys: PrivateTree): boolean {
  let found = false;
  keys.walk((_key, _length, meta) => {
    found = (meta & META_TOMBSTONE) === 0;
    return !found;
  });
  return found;
}
