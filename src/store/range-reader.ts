/**
 * Reads a range of one tree, many records a call: the chunk that the core packs is copied out in pieces as large as a
 * slab may be (slabs.ts), and keys and values are views on them.
 *
 * Invariants
 *   1. Callers own the pieces and do with them what they like. So what records are made of (lengths, and where long
 *      values begin) is noted when they are read in, and a piece that was transferred away is read again: an epoch that
 *      is held shows the same records each time.
 */
import { OUT_AREA } from '../../assembly/layout.ts';
import { ownBytes } from '../base/bytes-in.ts';
import { AegisError, invariant } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import { META_OVERFLOW, META_TOMBSTONE, storedBytes, valueLengthOf } from './private-tree.ts';
import type { Bound, Range } from './range.ts';
import {
  compareKeys,
  isEmptyRange,
  RANGE_END_INCLUSIVE,
  RANGE_KEYS_ONLY,
  RANGE_REVERSE,
  RANGE_START_INCLUSIVE,
} from './range.ts';
import { canShare, pieceOf, SLAB_BYTES } from './slabs.ts';
import type { Trees } from './trees.ts';

/** Records of the first chunk; later ones grow up to CHUNK_MAX, so that short scans stay cheap. */
const CHUNK_FIRST = 64;
const CHUNK_MAX = 1024;

const NO_PIECE = new ArrayBuffer(0);

/** What was asked of the core for the present chunk. */
interface Question {
  readonly start: Uint8Array | undefined;
  readonly flags: number;
  readonly limit: number;
}

export class RangeReader {
  readonly #trees: Trees;
  readonly #root: number;
  readonly #epoch: number;
  readonly #start: { key: Uint8Array | undefined; inclusive: boolean };
  readonly #end: { readonly key: Uint8Array | undefined; readonly inclusive: boolean };
  readonly #reverse: boolean;
  #chunk = CHUNK_FIRST;
  #asked: Question | undefined;
  /** Length of the key and meta word of each record in the chunk. */
  readonly #layout: number[] = [];
  /** First pages of long values, by the number of their record in the chunk. */
  readonly #longs = new Map<number, number>();
  /** The chunk, and where in it each piece begins. */
  #pieces: ArrayBuffer[] = [];
  #begins: number[] = [];
  #piece = -1;
  #memory = NO_PIECE;
  #begin = 0;
  #pieceEnd = 0;
  /** Number of the present record in the chunk, its position there, and that of the one after it. */
  #index = -1;
  #at = 0;
  #next = 0;
  #left = 0;
  /** Records in the chunk. */
  #count = 0;
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
    return this.#asked === undefined ? undefined : this.#start.key;
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
    const index = ++this.#index;
    this.#at = this.#next;
    if (this.#at >= this.#pieceEnd) this.#turn(this.#piece + 1);
    const keyLength = this.#layout[2 * index] as number;
    const stored = this.#keysOnly ? 0 : storedBytes(this.#layout[2 * index + 1] as number);
    this.#next = (this.#at + 8 + keyLength + stored + 3) & ~3;
    return true;
  }

  /** Goes on in a piece. */
  #turn(piece: number): void {
    this.#piece = piece;
    this.#memory = this.#pieces[piece] as ArrayBuffer;
    this.#begin = this.#begins[piece] as number;
    this.#pieceEnd = this.#begins[piece + 1] as number;
  }

  /** Key of the present record. */
  key(): OwnBytes {
    return this.#cut(8, this.#layout[2 * this.#index] as number);
  }

  /** Bytes of the present record. */
  #cut(from: number, length: number): OwnBytes {
    const at = this.#at - this.#begin + from;
    const isShared = canShare && this.#pieceEnd - this.#begin <= SLAB_BYTES;
    try {
      const view = new Uint8Array(this.#memory, at, length);
      return isShared ? view : ownBytes(view);
    } catch {
      this.#readAgain();
      return new Uint8Array(this.#memory, at, length);
    }
  }

  /** Whether the present record is a deletion. */
  isTombstone(): boolean {
    return ((this.#layout[2 * this.#index + 1] as number) & META_TOMBSTONE) !== 0;
  }

  /** Value of the present record. */
  value(): OwnBytes {
    // The chunk was read with keys only, and now the caller wants the value.
    if (this.#keysOnly) return this.#lookUp();
    const meta = this.#layout[2 * this.#index + 1] as number;
    if (!(meta & META_OVERFLOW)) return this.#cut(8 + (this.#layout[2 * this.#index] as number), meta);
    const page = this.#longs.get(this.#index) as number;
    return this.#trees.overflow.read(page, this.#epoch, valueLengthOf(meta));
  }

  #lookUp(): OwnBytes {
    const value = this.#trees.get(this.#root, this.#epoch, this.#trees.setKey(this.key()));
    if (!(value instanceof Uint8Array))
      throw new AegisError('CORRUPTION', 'a key that a scan met is not found');
    return value;
  }

  #fill(limit: number, keysOnly: boolean): boolean {
    const { x } = this.#trees.pager.core;
    const flags =
      (this.#reverse ? RANGE_REVERSE : 0) |
      (this.#start.inclusive ? RANGE_START_INCLUSIVE : 0) |
      (this.#end.inclusive ? RANGE_END_INCLUSIVE : 0) |
      (keysOnly ? RANGE_KEYS_ONLY : 0);
    const asked = { start: this.#start.key, flags, limit: Math.max(1, Math.min(limit, this.#chunk)) };
    const count = this.#ask(asked);
    this.#chunk = Math.min(CHUNK_MAX, this.#chunk * 4);
    if (x.scanDone() !== 0) this.#exhausted = true;
    if (count === 0) return false;
    this.#asked = asked;
    this.#keysOnly = keysOnly;
    this.#left = count;
    this.#count = count;
    this.#index = -1;
    this.#next = 0;
    this.#start.key = this.#take(count);
    this.#start.inclusive = false;
    this.#turn(0);
    return true;
  }

  #ask({ start, flags, limit }: Question): number {
    return this.#trees.readRange(this.#root, this.#epoch, start, this.#end.key, flags, limit);
  }

  /** Takes over so many records that the core has packed; answers the key of the last one. */
  #take(count: number): Uint8Array {
    const { core } = this.#trees.pager;
    const layout = this.#layout;
    this.#longs.clear();
    this.#pieces = [];
    this.#begins = [0];
    let begin = 0;
    let last = 0;
    let at = 0;
    for (let i = 0; i < count; ++i) {
      const record = (OUT_AREA + at) >> 2;
      const keyLength = core.u32[record] as number;
      const meta = core.u32[record + 1] as number;
      const value = at + 8 + keyLength;
      layout[2 * i] = keyLength;
      layout[2 * i + 1] = meta;
      if (meta & META_OVERFLOW && !this.#keysOnly) this.#longs.set(i, pageAt(core.u8, OUT_AREA + value));
      last = at;
      at = (value + (this.#keysOnly ? 0 : storedBytes(meta)) + 3) & ~3;
      if (at - begin > SLAB_BYTES && last > begin) {
        this.#pieces.push(pieceOf(core, OUT_AREA + begin, OUT_AREA + last));
        this.#begins.push(last);
        begin = last;
      }
    }
    this.#pieces.push(pieceOf(core, OUT_AREA + begin, OUT_AREA + at));
    this.#begins.push(at);
    const key = OUT_AREA + last + 8;
    return core.u8.slice(key, key + (layout[2 * count - 2] as number));
  }

  /** The chunk, after somebody transferred a piece of it away. */
  #readAgain(): void {
    const count = this.#ask(this.#asked as Question);
    invariant(count === this.#count, 'what is read again is what was read');
    this.#take(count);
    this.#turn(this.#piece);
  }
}

/** A page number at an address of any alignment. */
function pageAt(u8: Uint8Array, at: number): number {
  return new DataView(u8.buffer).getUint32(at, true);
}
