/**
 * Trees over the pager: single keys, ranges and long values, shared trees and private ones alike. The one place that
 * knows how keys and values cross into WebAssembly.
 *
 * Values handed out are the caller's own copies: short ones are cut from slabs (slabs.ts), long ones have memory of
 * their own.
 */
import {
  BOUND_AREA,
  INPUT_AREA,
  INPUT_AREA_SIZE,
  KEY_AREA,
  KEY_SIZE_DIVISOR,
  LONG,
  MISS,
  NOT_FOUND,
  OK,
  OUT_AREA,
  VALUE_OVERFLOW,
  VALUE_TOMBSTONE,
} from '../../assembly/layout.ts';
import type { Bytes } from '../base/bytes-in.ts';
import { checkBytes, checkWellFormed, encodeString } from '../base/bytes-in.ts';
import { AegisError, invalid } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import { NO_BOUND } from '../core/wasm.ts';
import { OverflowPages } from './overflow-pages.ts';
import type { Pager } from './pager.ts';
import type { Range } from './range.ts';
import { isEmptyRange, RANGE_COUNT_ONLY, RANGE_END_INCLUSIVE, RANGE_START_INCLUSIVE } from './range.ts';
import { newBytes, Slabs } from './slabs.ts';

/** A deletion found in a transaction's own tree. */
export const TOMBSTONE = Symbol('tombstone');

/** Keys looked up at once. */
const GROUP_SIZE = 16;
const GET_ABSENT = -1;
const GET_MISS = -2;
const GET_ELSEWHERE = -3;
/** Longest key written piece by piece: the call that writes it at once costs more below. */
const SHORT_KEY = 24;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Text of bytes: a byte order mark is kept, invalid UTF-8 shows as U+FFFD. Throws TOO_LARGE. */
export function decodeString(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    const what = `getString: ${bytes.length} bytes make a longer string than this runtime has; get answers them`;
    throw new AegisError('TOO_LARGE', what, { cause });
  }
}

export class Trees {
  readonly pager: Pager;
  /** Values too long for a leaf. */
  readonly overflow: OverflowPages;
  /** Largest key in bytes. */
  readonly keyMax: number;
  /** Called before a private tree changes: bytes that it gets, and whether it is by a deletion. Throws OUT_OF_SPACE. */
  beforePrivate: (bytes: number, isDelete: boolean) => void = () => undefined;
  /** Where keys of other letters are encoded; empty when the memory has grown since. */
  #keyView: Uint8Array = new Uint8Array(0);
  readonly #slabs: Slabs;

  constructor(pager: Pager) {
    this.pager = pager;
    this.overflow = new OverflowPages(pager);
    this.#slabs = new Slabs(pager.core);
    this.keyMax = pager.core.pageSize / KEY_SIZE_DIVISOR;
  }

  /** Puts a key where the core looks for it; answers its length. Throws INVALID_ARGUMENT, TOO_LARGE. */
  setKey(key: Bytes): number {
    if (typeof key === 'string') return this.#setStringKey(key);
    const bytes = checkBytes('key', key);
    const { length } = bytes;
    if (length > this.keyMax) throw this.#keyTooLarge(length);
    const { core } = this.pager;
    if (length > SHORT_KEY) core.u8.set(bytes, KEY_AREA);
    else for (let i = 0; i < length; ++i) core.u8[KEY_AREA + i] = bytes[i] as number;
    return length;
  }

  #setStringKey(key: string): number {
    const { core } = this.pager;
    if (key.length <= SHORT_KEY && key.length <= this.keyMax) {
      let i = 0;
      for (; i < key.length; ++i) {
        const code = key.charCodeAt(i);
        if (code > 127) break;
        core.u8[KEY_AREA + i] = code;
      }
      if (i === key.length) return i;
    }
    checkWellFormed(key, 'key');
    if (this.#keyView.length === 0) {
      // One byte more than allowed: a key that fills it is too long.
      this.#keyView = core.u8.subarray(KEY_AREA, KEY_AREA + this.keyMax + 1);
    }
    const { read, written } = encoder.encodeInto(key, this.#keyView);
    if (read < key.length || written > this.keyMax) throw this.#keyTooLarge(encodeString(key, 'key').length);
    return written;
  }

  /** A key as bytes, checked: those of the caller, who may change them once the call has returned. */
  keyBytes(key: Bytes): Uint8Array {
    const bytes = typeof key === 'string' ? encodeString(key, 'key') : checkBytes('key', key);
    if (bytes.length > this.keyMax) throw this.#keyTooLarge(bytes.length);
    return bytes;
  }

  #keyTooLarge(length: number): AegisError {
    return new AegisError('TOO_LARGE', `key: ${length} bytes, at most ${this.keyMax} (page size / 8)`);
  }

  /** Looks up the key in KEY_AREA: its value, TOMBSTONE, or undefined. */
  get(root: number, epoch: number, keyLength: number): OwnBytes | typeof TOMBSTONE | undefined {
    const length = this.#find(root, epoch, keyLength);
    if (length >= 0) return this.#slabs.cut(OUT_AREA, length);
    return length === GET_ABSENT ? undefined : this.#elsewhere(epoch);
  }

  /** As `get`, as text. */
  getString(root: number, epoch: number, keyLength: number): string | typeof TOMBSTONE | undefined {
    const length = this.#find(root, epoch, keyLength);
    if (length >= 0) return decoder.decode(this.pager.core.u8.subarray(OUT_AREA, OUT_AREA + length));
    if (length === GET_ABSENT) return undefined;
    const value = this.#elsewhere(epoch);
    return value === TOMBSTONE ? value : decodeString(value);
  }

  /** Whether the key in KEY_AREA is there; TOMBSTONE when a deletion is. Leaves OUT_AREA alone. */
  has(root: number, epoch: number, keyLength: number): boolean | typeof TOMBSTONE {
    const { x } = this.pager.core;
    const status = this.pager.run(() => x.treeProbe(root, epoch, keyLength));
    if (status === NOT_FOUND) return false;
    return x.valueFlags() & VALUE_TOMBSTONE ? TOMBSTONE : true;
  }

  #find(root: number, epoch: number, keyLength: number): number {
    const { x } = this.pager.core;
    try {
      const length = x.treeGet(root, epoch, keyLength);
      return length >= GET_ABSENT || length === GET_ELSEWHERE
        ? length
        : this.#findAgain(root, epoch, keyLength);
    } catch (error) {
      throw this.pager.trapped(error);
    }
  }

  #findAgain(root: number, epoch: number, keyLength: number): number {
    const { x } = this.pager.core;
    let length = GET_MISS;
    try {
      while (length === GET_MISS) {
        length = x.treeGet(root, epoch, keyLength);
        if (length === GET_MISS) this.pager.serve(MISS);
      }
    } finally {
      this.pager.release();
    }
    if (length < GET_ELSEWHERE) throw this.pager.damaged();
    return length;
  }

  /** The value just found that was not copied out: too long, in overflow pages, or a tombstone. */
  #elsewhere(epoch: number): OwnBytes | typeof TOMBSTONE {
    const { core } = this.pager;
    const { x } = core;
    const flags = x.valueFlags();
    if (flags & VALUE_TOMBSTONE) return TOMBSTONE;
    const length = x.valueLength();
    const at = x.valueAddress();
    if (flags & VALUE_OVERFLOW) return this.overflow.read(at, epoch, length);
    const value = newBytes(length);
    value.set(core.u8.subarray(at, at + length));
    return value;
  }

  /** Looks up many keys, GROUP_SIZE at a time. */
  getMany(root: number, epoch: number, keys: readonly Bytes[]): (OwnBytes | typeof TOMBSTONE | undefined)[] {
    const values: (OwnBytes | typeof TOMBSTONE | undefined)[] = [];
    const { core } = this.pager;
    const most = Math.max(1, Math.min(GROUP_SIZE, Math.floor(INPUT_AREA_SIZE / (this.keyMax + 8))));
    for (let first = 0; first < keys.length; first += most) {
      const count = Math.min(most, keys.length - first);
      let at = INPUT_AREA;
      for (let i = 0; i < count; ++i) {
        const length = this.setKey(keys[first + i] as Bytes);
        core.u32[at / 4] = length;
        core.u8.copyWithin(at + 4, KEY_AREA, KEY_AREA + length);
        at = (at + 4 + length + 3) & ~3;
      }
      this.#getGroup(root, epoch, keys, first, count, values);
    }
    return values;
  }

  #getGroup(
    root: number,
    epoch: number,
    keys: readonly Bytes[],
    first: number,
    count: number,
    values: (OwnBytes | typeof TOMBSTONE | undefined)[],
  ): void {
    const { core } = this.pager;
    const { x } = core;
    this.pager.run(() => x.treeGetGroup(root, epoch, count));
    let elsewhere = false;
    for (let i = 0; i < count; ++i) {
      const length = core.i32[OUT_AREA / 4 + i * 2] as number;
      if (length >= 0) values.push(this.#slabs.cut(core.u32[OUT_AREA / 4 + i * 2 + 1] as number, length));
      else values.push(undefined);
      if (length === GET_ELSEWHERE) elsewhere = true;
    }
    if (!elsewhere) return;
    // Long values are read one by one. That overwrites the group's answers in OUT_AREA, so list them first.
    const long: number[] = [];
    for (let i = 0; i < count; ++i) if (core.i32[OUT_AREA / 4 + i * 2] === GET_ELSEWHERE) long.push(i);
    for (const i of long) values[first + i] = this.get(root, epoch, this.setKey(keys[first + i] as Bytes));
  }

  /**
   * Packs records of a range into OUT_AREA (see assembly/tree/cursor.ts) and answers how many; `x.scanDone()` says
   * whether it is exhausted. Bounds are bytes or undefined.
   */
  readRange(
    root: number,
    epoch: number,
    start: Uint8Array | undefined,
    end: Uint8Array | undefined,
    flags: number,
    limit: number,
  ): number {
    const { core } = this.pager;
    const { x } = core;
    if (end) core.u8.set(end, BOUND_AREA);
    this.pager.run(() => {
      if (start) core.u8.set(start, KEY_AREA);
      return x.treeRange(
        root,
        epoch,
        start ? start.length : NO_BOUND,
        end ? end.length : NO_BOUND,
        flags,
        limit,
      );
    });
    return x.scanCount();
  }

  /** Counts the keys of a range without reading them, and no further than to its limit. */
  countRange(root: number, epoch: number, range: Range): number {
    if (root === 0 || isEmptyRange(range)) return 0;
    const { core } = this.pager;
    const { x } = core;
    const { lower, upper } = range;
    // To the core 0 means no limit; a limit above 32 bits can never be reached.
    const most = range.limit > 0xffffffff ? 0 : range.limit;
    if (lower.key) core.u8.set(lower.key, KEY_AREA);
    if (upper.key) core.u8.set(upper.key, BOUND_AREA);
    const ends = RANGE_COUNT_ONLY | (upper.inclusive ? RANGE_END_INCLUSIVE : 0);
    let start = lower.key ? lower.key.length : NO_BOUND;
    let flags = ends | (lower.inclusive ? RANGE_START_INCLUSIVE : 0);
    let count = 0;
    this.pager.run(() => {
      const end = upper.key ? upper.key.length : NO_BOUND;
      const status = x.treeRange(root, epoch, start, end, flags, most === 0 ? 0 : most - count);
      // Interrupted: the fence to go on from lies in KEY_AREA, and this is its length.
      if (status !== OK && x.scanBytes() > 0) {
        count += x.scanCount();
        start = x.scanBytes();
        flags = ends | RANGE_START_INCLUSIVE;
        this.pager.release();
      }
      return status;
    });
    return Math.min(count + x.scanCount(), range.limit);
  }

  /** Puts a value under the key; answers when the tree has it. The old value's chain, if any, is freed. */
  put(root: number, key: Uint8Array, value: Uint8Array): void {
    const { core } = this.pager;
    const { x } = core;
    core.u8.set(key, KEY_AREA);
    const short = value.length <= INPUT_AREA_SIZE;
    if (short) core.u8.set(value, INPUT_AREA);
    const status = this.pager.run(() =>
      short ? x.treePut(root, key.length, INPUT_AREA, value.length) : LONG,
    );
    if (status === LONG) {
      this.overflow.begin(root, value.length);
      for (let at = 0; at < value.length; at += INPUT_AREA_SIZE) {
        const piece = value.subarray(at, at + INPUT_AREA_SIZE);
        core.u8.set(piece, INPUT_AREA);
        this.overflow.extend(INPUT_AREA, piece.length);
      }
      this.overflow.put(root, key, value.length);
    }
    this.overflow.freeDropped();
  }

  /** Puts a tombstone under the key, in a private tree. */
  writeTombstone(root: number, key: Uint8Array): void {
    const { core } = this.pager;
    const { x } = core;
    core.u8.set(key, KEY_AREA);
    this.pager.run(() => x.treePutTombstone(root, key.length));
    this.overflow.freeDropped();
  }

  /** Bytes of a key's value as an epoch sees it; 0: it has none. */
  lengthAt(root: number, key: Uint8Array, epoch: number): number {
    const { x } = this.pager.core;
    const isThere = this.#probe(root, key, epoch) !== NOT_FOUND && (x.valueFlags() & VALUE_TOMBSTONE) === 0;
    return isThere ? x.valueLength() : 0;
  }

  #probe(root: number, key: Uint8Array, epoch: number): number {
    const { core } = this.pager;
    const { x } = core;
    core.u8.set(key, KEY_AREA);
    return this.pager.run(() => x.treeProbe(root, epoch, key.length));
  }

  /** Puts a key back to what an older epoch sees. Leaves OUT_AREA alone. */
  restore(root: number, key: Uint8Array, epoch: number): void {
    const { core } = this.pager;
    const { x } = core;
    const status = this.#probe(root, key, epoch);
    const flags = x.valueFlags();
    const length = x.valueLength();
    const at = x.valueAddress();
    if (status === NOT_FOUND) {
      this.delete(root, key);
    } else if (flags & VALUE_TOMBSTONE) {
      this.writeTombstone(root, key);
    } else if (flags & VALUE_OVERFLOW) {
      this.overflow.copy(root, key, at, epoch, length);
      this.overflow.freeDropped();
    } else {
      // Copy it out of its frame first: making space may evict the page.
      core.u8.copyWithin(INPUT_AREA, at, at + length);
      this.pager.run(() => x.treePut(root, key.length, INPUT_AREA, length));
      this.overflow.freeDropped();
    }
  }

  /** Removes a key; answers whether it was there. */
  delete(root: number, key: Uint8Array): boolean {
    const { core } = this.pager;
    const { x } = core;
    core.u8.set(key, KEY_AREA);
    const status = this.pager.run(() => x.treeDelete(root, key.length));
    this.overflow.freeDropped();
    return status !== NOT_FOUND;
  }
}

/**
 * A list of keys as it is now; the keys themselves are checked one by one. A list of the caller's own making may run its
 * code when it is asked for one, and that code may read the store: not in the middle of our work.
 */
export function takeKeyList(keys: readonly Bytes[]): readonly Bytes[] {
  if (!Array.isArray(keys)) throw invalid('getMany', keys, 'a list of keys');
  return Array.prototype.slice.call(keys) as Bytes[];
}
