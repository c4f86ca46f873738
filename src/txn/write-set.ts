/**
 * Write sets: what a transaction (or a large single operation) is going to change, and its packing into log records.
 *
 * The same packing serves three times: to read in the leaves a commit will change, to write the log, and, for a
 * commit too large to keep, to apply it.
 */
import {
  GROUP_HEADER_SIZE,
  INPUT_AREA,
  PART_HEADER_SIZE,
  RECORD_DELETE,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  RECORD_PUT_LONG,
  RECORD_VALUE,
} from '../../assembly/layout.ts';
import { invariant } from '../errors.ts';
import {
  META_CHAINED,
  META_TOMBSTONE,
  PrivateTree,
  storedBytes,
  valueLengthOf,
} from '../store/private-tree.ts';
import type { Trees } from '../store/trees.ts';
import { LATEST } from '../wasm.ts';

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

/** How much there is in a write set, at the most. */
export interface Counters {
  readonly operations: number;
  readonly bytes: number;
  readonly pages: number;
}

export class WriteSet {
  readonly #trees: Trees;
  readonly #byTree = new Map<number, PrivateTree>();
  /** Operations so far; an upper bound of the records. */
  operations = 0;
  /** Bytes of the records, at the most. */
  bytes = 0;
  /** Pages they can fill, at the most. */
  pages = 0;
  /** Hears of each key before it is written. */
  beforeWrite: ((tree: number, key: Uint8Array) => void) | undefined;

  constructor(trees: Trees) {
    this.#trees = trees;
  }

  get counters(): Counters {
    const { operations, bytes, pages } = this;
    return { operations, bytes, pages };
  }

  set counters({ operations, bytes, pages }: Counters) {
    this.operations = operations;
    this.bytes = bytes;
    this.pages = pages;
  }

  get isEmpty(): boolean {
    return this.operations === 0;
  }

  /** The private tree for a tree of the store, if anything was written there. */
  tree(tree: number): PrivateTree | undefined {
    return this.#byTree.get(tree);
  }

  get trees(): ReadonlyMap<number, PrivateTree> {
    return this.#byTree;
  }

  put(tree: number, key: Uint8Array, value: Uint8Array): void {
    this.beforeWrite?.(tree, key);
    this.#of(tree).put(key, value);
    this.#count(key.length, value.length);
    this.pages += pagesFilled(key.length, value.length, this.#trees.pager.core.pageSize);
  }

  delete(tree: number, key: Uint8Array): void {
    this.beforeWrite?.(tree, key);
    this.#of(tree).bury(key);
    this.#count(key.length, 0);
  }

  /** Takes back everything written to a tree of the store; the counters are the caller's. */
  forget(tree: number): void {
    this.#byTree.get(tree)?.drop();
    this.#byTree.delete(tree);
  }

  #of(tree: number): PrivateTree {
    let own = this.#byTree.get(tree);
    if (!own) {
      own = new PrivateTree(this.#trees);
      this.#byTree.set(tree, own);
    }
    return own;
  }

  #count(keyLength: number, valueLength: number): void {
    ++this.operations;
    // A long value has a record of its own for every page of its chain, with header and padding.
    const pieces = Math.ceil(valueLength / this.#trees.pager.core.x.chainPageCapacity());
    this.bytes += recordBytes(keyLength, valueLength) + (1 + pieces) * (RECORD_HEADER_SIZE + 4);
  }

  /**
   * Packs all records from `start` on, never beyond `limit`. Each time the space is full, and at the end, `emit` gets
   * the end of the records and their number and the packing goes on at `start` again. Long values become a promise
   * and pieces.
   */
  pack(start: number, limit: number, emit: (end: number, records: number, last: boolean) => void): void {
    const { x, u8 } = this.#trees.pager.core;
    let at = start;
    let records = 0;
    const flush = (last: boolean): void => {
      emit(at, records, last);
      at = start;
      records = 0;
    };
    for (const [tree, own] of this.#byTree) {
      own.walk((key, keyLength, meta, value) => {
        const chained = (meta & META_CHAINED) !== 0;
        const stored = chained ? 0 : storedBytes(meta);
        if (at + recordBytes(keyLength, stored) > limit) flush(false);
        u8.copyWithin(at + RECORD_HEADER_SIZE, key, key + keyLength);
        if (!chained) {
          u8.copyWithin(at + RECORD_HEADER_SIZE + keyLength, value, value + stored);
          at = x.recordSeal(at, meta & META_TOMBSTONE ? RECORD_DELETE : RECORD_PUT, tree, keyLength, stored);
          ++records;
          return undefined;
        }
        const total = valueLengthOf(meta);
        at = x.recordSealLong(at, RECORD_PUT_LONG, tree, keyLength, total);
        ++records;
        const first = u8[value]! | (u8[value + 1]! << 8) | (u8[value + 2]! << 16) | (u8[value + 3]! << 24);
        this.#trees.chains.walk(first, LATEST, total, (address, bytes) => {
          // Out of its frame first: what `emit` does may evict it.
          u8.copyWithin(INPUT_AREA, address, address + bytes);
          for (let done = 0; done < bytes; ) {
            if (limit - at < RECORD_HEADER_SIZE + Math.min(PIECE_MIN, bytes - done) + 4) flush(false);
            const piece = Math.min(bytes - done, limit - at - RECORD_HEADER_SIZE - 4);
            u8.copyWithin(at + RECORD_HEADER_SIZE, INPUT_AREA + done, INPUT_AREA + done + piece);
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
    for (const own of this.#byTree.values()) own.drop();
    this.#byTree.clear();
  }
}

/** Where the records of a group's only part begin, in the half of the log area at `base`. */
export function recordsStart(base: number): number {
  return base + GROUP_HEADER_SIZE + PART_HEADER_SIZE;
}
