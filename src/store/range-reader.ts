/**
 * Reads a range of one tree, many records a call: the chunk that the core packs is copied out once, and keys and
 * values are views on that copy.
 */
import { OUT_AREA } from '../../assembly/layout.ts';
import { AegisError } from '../errors.ts';
import { META_CHAINED, META_TOMBSTONE, storedBytes, valueLengthOf } from './private-tree.ts';
import type { Bound, Range } from './range.ts';
import {
  compareKeys,
  isEmptyRange,
  RANGE_END_INCLUSIVE,
  RANGE_KEYS_ONLY,
  RANGE_REVERSE,
  RANGE_START_INCLUSIVE,
} from './range.ts';
import type { Trees } from './trees.ts';

/** Records of the first chunk; later ones grow up to CHUNK_MAX, so that short scans stay cheap. */
const CHUNK_FIRST = 64;
const CHUNK_MAX = 1024;

const EMPTY = new Uint32Array(0);

export class RangeReader {
  readonly #trees: Trees;
  readonly #root: number;
  readonly #epoch: number;
  readonly #start: { key: Uint8Array | undefined; inclusive: boolean };
  readonly #end: { readonly key: Uint8Array | undefined; readonly inclusive: boolean };
  readonly #reverse: boolean;
  #chunk = CHUNK_FIRST;
  #words: Uint32Array = EMPTY;
  /** Byte positions in the chunk: the present record, and the one after it. */
  #at = 0;
  #next = 0;
  #left = 0;
  #exhausted: boolean;
  /** Whether the chunk holds keys only. */
  #keysOnly = false;

  constructor(trees: Trees, root: number, epoch: number, range: Range) {
    this.#trees = trees;
    this.#root = root;
    this.#epoch = epoch;
    this.#reverse = range.reverse;
    this.#start = range.reverse ? { ...range.upper } : { ...range.lower };
    this.#end = range.reverse ? range.lower : range.upper;
    this.#exhausted = root === 0 || isEmptyRange(range);
  }

  /** Whether everything up to the end of the range has been read in. */
  get exhausted(): boolean {
    return this.#exhausted;
  }

  /** Whether the present record is the last one, as far as is known without reading on. */
  get isAtEnd(): boolean {
    return this.#exhausted && this.#left === 0;
  }

  /** Last key read in or passed over, whether handed out or not; undefined before the first. */
  get lastRead(): Uint8Array | undefined {
    return this.#words === EMPTY ? undefined : this.#start.key;
  }

  /** Goes on at a bound ahead, unless something from there on is read in already; answers whether it does. */
  skipTo(bound: Bound): boolean {
    const last = this.lastRead;
    if (this.#exhausted || !bound.key) return false;
    const order = last ? compareKeys(last, bound.key) : 0;
    if (this.#reverse ? order < 0 : order > 0) return false;
    this.#left = 0;
    this.#start.key = bound.key;
    this.#start.inclusive = bound.inclusive;
    return true;
  }

  /** Goes on no further. */
  stop(): void {
    this.#left = 0;
    this.#exhausted = true;
  }

  /** Goes on to the next record; false at the end. `limit`: how many the caller will still want. */
  advance(limit: number, keysOnly: boolean): boolean {
    if (this.#left === 0) {
      if (this.#exhausted || !this.#fill(limit, keysOnly)) return false;
    }
    --this.#left;
    this.#at = this.#next;
    const words = this.#words;
    const keyLength = words[this.#at >> 2] as number;
    const stored = this.#keysOnly ? 0 : storedBytes(words[(this.#at >> 2) + 1] as number);
    this.#next = (this.#at + 8 + keyLength + stored + 3) & ~3;
    return true;
  }

  /** Key of the present record. */
  key(): Uint8Array {
    return new Uint8Array(this.#words.buffer, this.#at + 8, this.#words[this.#at >> 2]);
  }

  /** Whether the present record is a deletion. */
  isTombstone(): boolean {
    return ((this.#words[(this.#at >> 2) + 1] as number) & META_TOMBSTONE) !== 0;
  }

  /** Value of the present record. */
  value(): Uint8Array {
    // The caller asked for keys when the chunk was read, and changed its mind.
    if (this.#keysOnly) return this.#lookUp();
    const at = this.#at >> 2;
    const offset = this.#at + 8 + (this.#words[at] as number);
    const meta = this.#words[at + 1] as number;
    if (!(meta & META_CHAINED)) return new Uint8Array(this.#words.buffer, offset, meta);
    const page = new DataView(this.#words.buffer).getUint32(offset, true);
    return this.#trees.chains.read(page, this.#epoch, valueLengthOf(meta));
  }

  #lookUp(): Uint8Array {
    const value = this.#trees.get(this.#root, this.#epoch, this.#trees.setKey(this.key()));
    if (!(value instanceof Uint8Array))
      throw new AegisError('CORRUPTION', 'a key that a scan met is not found');
    return value;
  }

  #fill(limit: number, keysOnly: boolean): boolean {
    const { x, u8 } = this.#trees.pager.core;
    const flags =
      (this.#reverse ? RANGE_REVERSE : 0) |
      (this.#start.inclusive ? RANGE_START_INCLUSIVE : 0) |
      (this.#end.inclusive ? RANGE_END_INCLUSIVE : 0) |
      (keysOnly ? RANGE_KEYS_ONLY : 0);
    const wanted = Math.max(1, Math.min(limit, this.#chunk));
    const count = this.#trees.readRange(
      this.#root,
      this.#epoch,
      this.#start.key,
      this.#end.key,
      flags,
      wanted,
    );
    this.#chunk = Math.min(CHUNK_MAX, this.#chunk * 4);
    if (x.scanDone() !== 0) this.#exhausted = true;
    if (count === 0) return false;
    const bytes = x.scanBytes();
    const copy = u8.slice(OUT_AREA, OUT_AREA + bytes);
    this.#words = new Uint32Array(copy.buffer);
    this.#keysOnly = keysOnly;
    this.#left = count;
    this.#next = 0;
    this.#start.key = lastKey(this.#words, count, keysOnly);
    this.#start.inclusive = false;
    return true;
  }
}

/** Key of the last of so many packed records. */
function lastKey(words: Uint32Array, count: number, keysOnly: boolean): Uint8Array {
  let at = 0;
  for (let i = 1; i < count; ++i) {
    const stored = keysOnly ? 0 : storedBytes(words[(at >> 2) + 1] as number);
    at = (at + 8 + (words[at >> 2] as number) + stored + 3) & ~3;
  }
  // A copy: the caller owns the bytes of the chunk and may change them.
  return new Uint8Array(words.buffer, at + 8, words[at >> 2]).slice();
}
