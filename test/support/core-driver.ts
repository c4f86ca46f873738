/*
 * A core as its user would like it: keys and values go in and come out, whatever is missing is brought in on the way.
 * Every operation ends with its pins released and its dropped chains freed.
 */
import {
  BOUND_AREA,
  INPUT_AREA,
  INPUT_AREA_SIZE,
  KEY_AREA,
  LONG,
  NOT_FOUND,
  OK,
  OUT_AREA,
  PRIVATE_PAGE,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  VALUE_OVERFLOW,
  VALUE_TOMBSTONE,
} from '../../assembly/layout.ts';
import { LATEST, NO_BOUND } from '../../src/core/wasm.ts';
import { CoreHost } from './core-host.ts';

export type { Block } from './core-host.ts';

export const REVERSE = 1;
export const START_INCLUSIVE = 2;
export const END_INCLUSIVE = 4;
export const KEYS_ONLY = 8;
export const COUNT_ONLY = 16;

/** What a key has. A tombstone stands in private trees only. */
export type Found = Uint8Array | 'tombstone' | undefined;

export interface Entry {
  readonly key: Uint8Array;
  /** Meta word: length and flags of the value. */
  readonly meta: number;
  /** Empty when keys only were asked for. */
  readonly value: Uint8Array;
}

export class CoreDriver extends CoreHost {
  /** Makes an empty tree; answers its root. */
  create(isPrivate = false): number {
    const root = this.number(isPrivate);
    this.must(() => this.x.treeCreate(root));
    return root;
  }

  get(root: number, key: Uint8Array, epoch = LATEST): Found {
    const length = this.answer(() => {
      this.core.u8.set(key, KEY_AREA);
      return this.x.treeGet(root, epoch, key.length);
    });
    const found =
      length >= 0 ? this.core.u8.slice(OUT_AREA, OUT_AREA + length) : this.#elsewhere(length, epoch);
    this.x.framesUnpin();
    return found;
  }

  /** Calls until the answer is none of treeGet's misses; damage throws. */
  answer(call: () => number): number {
    for (;;) {
      const answer = call();
      if (answer === -4) throw this.damage();
      if (answer !== -2) return answer;
      this.load();
    }
  }

  #elsewhere(answer: number, epoch: number): Found {
    if (answer === -1) return undefined;
    const [flags, address, length] = [this.x.valueFlags(), this.x.valueAddress(), this.x.valueLength()];
    if (flags === VALUE_TOMBSTONE) return 'tombstone';
    return flags === VALUE_OVERFLOW
      ? this.chain(address, length, epoch)
      : this.core.u8.slice(address, address + length);
  }

  /** Reads a chained value. */
  chain(first: number, length: number, epoch: number): Uint8Array {
    const value = new Uint8Array(length);
    let number = first;
    for (let at = 0; at < length; number = this.x.overflowNext()) {
      this.must(() => this.x.overflowPage(number, epoch, length - at));
      const [address, piece] = [this.x.valueAddress(), this.x.valueLength()];
      value.set(this.core.u8.subarray(address, address + piece), at);
      at += piece;
      this.x.framesUnpin();
    }
    return value;
  }

  put(root: number, key: Uint8Array, value: Uint8Array): void {
    const status = this.serve(() => {
      this.core.u8.set(key, KEY_AREA);
      this.core.u8.set(value.subarray(0, INPUT_AREA_SIZE), INPUT_AREA);
      return this.x.treePut(root, key.length, INPUT_AREA, value.length);
    });
    if (status === LONG) this.#putLong(root, key, value);
    else if (status !== OK) throw new Error(`put: status ${status}`);
    this.settle();
  }

  #putLong(root: number, key: Uint8Array, value: Uint8Array): void {
    const isPrivate = (root & PRIVATE_PAGE) !== 0;
    this.must(() => this.x.overflowBegin(isPrivate, value.length));
    for (let at = 0; at < value.length; ) {
      const piece = value.subarray(at, at + INPUT_AREA_SIZE);
      this.core.u8.set(piece, INPUT_AREA);
      const status = this.x.overflowAppend(INPUT_AREA, piece.length);
      at += this.x.overflowTaken();
      this.x.framesUnpin();
      if (status !== OK) this.help(status);
    }
    this.core.u8.set(key, KEY_AREA);
    this.must(() => this.x.treePutOverflow(root, key.length, value.length));
  }

  writeTombstone(root: number, key: Uint8Array): void {
    this.core.u8.set(key, KEY_AREA);
    this.must(() => this.x.treePutTombstone(root, key.length));
    this.settle();
  }

  /** Removes a key; false when it was not there. */
  delete(root: number, key: Uint8Array): boolean {
    this.core.u8.set(key, KEY_AREA);
    const status = this.serve(() => this.x.treeDelete(root, key.length));
    if (status !== OK && status !== NOT_FOUND) throw new Error(`delete: status ${status}`);
    this.settle();
    return status === OK;
  }

  /** One call of a range; chained values are read where a value is asked for. */
  rangePart(
    root: number,
    start: Uint8Array | undefined,
    end: Uint8Array | undefined,
    flags: number,
    limit: number,
    epoch = LATEST,
  ): { entries: Entry[]; done: boolean } {
    this.must(() => {
      if (start) this.core.u8.set(start, KEY_AREA);
      if (end) this.core.u8.set(end, BOUND_AREA);
      return this.x.treeRange(root, epoch, start?.length ?? NO_BOUND, end?.length ?? NO_BOUND, flags, limit);
    });
    const [count, bytes, done] = [this.x.scanCount(), this.x.scanBytes(), this.x.scanDone() === 1];
    this.x.framesUnpin();
    const packed = this.core.u8.slice(OUT_AREA, OUT_AREA + bytes);
    return { entries: this.#unpack(packed, count, (flags & KEYS_ONLY) !== 0, epoch), done };
  }

  #unpack(packed: Uint8Array, count: number, keysOnly: boolean, epoch: number): Entry[] {
    const view = new DataView(packed.buffer);
    const entries: Entry[] = [];
    let at = 0;
    for (let i = 0; i < count; i++) {
      const [length, meta] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
      const key = packed.slice(at + 8, at + 8 + length);
      const stored = keysOnly ? 0 : meta >= 0x80000000 ? 0 : meta & 0x40000000 ? 4 : meta;
      const from = at + 8 + length;
      const value =
        !keysOnly && meta & 0x40000000
          ? this.chain(view.getUint32(from, true), meta & 0x3fffffff, epoch)
          : packed.slice(from, from + stored);
      entries.push({ key, meta, value });
      at = (from + stored + 3) & ~3;
    }
    if (at !== packed.length) throw new Error('scanBytes is the end of the last record');
    return entries;
  }

  /** Counts a range. */
  count(
    root: number,
    start: Uint8Array | undefined,
    end: Uint8Array | undefined,
    flags: number,
    epoch = LATEST,
  ): number {
    let total = 0;
    let startLength = start?.length ?? NO_BOUND;
    let how = flags | COUNT_ONLY;
    if (start) this.core.u8.set(start, KEY_AREA);
    if (end) this.core.u8.set(end, BOUND_AREA);
    for (;;) {
      const status = this.x.treeRange(root, epoch, startLength, end?.length ?? NO_BOUND, how, 0);
      if (status === OK) break;
      if (this.x.scanBytes() > 0) {
        total += this.x.scanCount();
        startLength = this.x.scanBytes();
        how = how & REVERSE ? how & ~START_INCLUSIVE : how | START_INCLUSIVE;
        this.x.framesUnpin();
      }
      this.help(status);
    }
    total += this.x.scanCount();
    if (this.x.scanDone() !== 1) throw new Error('a count ends at the end of its range');
    this.x.framesUnpin();
    return total;
  }

  /** Runs a bulk call over records of one tree to their end; every record is an operation of its own. */
  bulk(from: number, end: number, call: (at: number, end: number) => number): void {
    for (let at = from; at < end; ) {
      const status = call(at, end);
      if (this.x.applyAt() !== at) this.x.framesUnpin();
      at = this.x.applyAt();
      if (status !== OK) this.help(status);
    }
    this.x.framesUnpin();
  }

  /** Applies packed records; a tree's number is its place among the roots. Answers how many deletes did something. */
  apply(roots: readonly number[], from: number, end: number): number {
    let deleted = 0;
    for (let at = from; at < end; ) {
      const tree = this.x.recordTree(at);
      const root = roots[tree]!;
      const status = this.x.recordsApply(root, tree, at, end, (root & PRIVATE_PAGE) !== 0);
      if (this.x.applyAt() !== at) this.x.framesUnpin();
      at = this.x.applyAt();
      deleted += this.x.deletedCount();
      if (status === LONG) at = this.#applyLong(root, at);
      else if (status !== OK) this.help(status);
      if (this.x.overflowDropped() !== 0) this.settle();
    }
    this.settle();
    return deleted;
  }

  #applyLong(root: number, at: number): number {
    const [start, total] = [at + RECORD_HEADER_SIZE + this.x.recordKeyBytes(at), this.x.recordValueBytes(at)];
    const key = this.core.u8.slice(at + RECORD_HEADER_SIZE, start);
    const value = new Uint8Array(total);
    let next = this.x.recordEnd(at);
    if (this.x.recordKind(at) === RECORD_PUT) {
      value.set(this.core.u8.subarray(start, start + total));
    } else {
      for (let done = 0; done < total; next = this.x.recordEnd(next)) {
        const piece = this.x.recordValueBytes(next);
        value.set(this.core.u8.subarray(next + RECORD_HEADER_SIZE, next + RECORD_HEADER_SIZE + piece), done);
        done += piece;
      }
    }
    this.put(root, key, value);
    return next;
  }

  /** Ends a changing operation: dropped chains are freed, pins released. */
  settle(): void {
    while (this.x.overflowDropped() !== 0) {
      const before = this.x.overflowDropped();
      const status = this.x.overflowFree();
      if (this.x.overflowDropped() !== before) this.x.framesUnpin();
      if (status !== OK) this.help(status);
    }
    this.x.framesUnpin();
  }
}
