/*
 * Plays the host of one core without any backend: a map stands for the disk. It serves MISS and ROOM, writes dirty
 * victims as sealed blocks, keeps the old versions that a snapshot sees, and hands numbers of freed pages out again.
 * It believes nothing: what the core must never report (a version that is nowhere, two ends of one page) throws.
 */
import {
  BOUND_AREA,
  CODEC_LZ4,
  DAMAGED,
  EVENT_AREA,
  EVENT_FREED,
  EVENT_SIZE,
  INPUT_AREA,
  INPUT_AREA_SIZE,
  KEY_AREA,
  LONG,
  MISS,
  NOT_FOUND,
  OK,
  OUT_AREA,
  PRIVATE_PAGE,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  ROOM,
  STAGING_AREA,
  VALUE_CHAINED,
  VALUE_TOMBSTONE,
  VICTIM_AREA,
  VICTIM_CAPACITY,
} from '../../assembly/layout.ts';
import { type Core, type CoreExports, createCore, LATEST, NO_BOUND } from '../../src/wasm.ts';

export const REVERSE = 1;
export const START_INCLUSIVE = 2;
export const END_INCLUSIVE = 4;
export const KEYS_ONLY = 8;
export const COUNT_ONLY = 16;

/** A block on the "disk". */
export interface Block {
  readonly bytes: Uint8Array;
  readonly low: number;
  readonly high: number;
}

/** An old version that a snapshot sees; without a block its bytes are in a frame only. */
interface OldVersion {
  readonly from: number;
  readonly to: number;
  block: Block | undefined;
}

/** What a key has. A tombstone stands in private trees only. */
export type Found = Uint8Array | 'tombstone' | undefined;

export interface Entry {
  readonly key: Uint8Array;
  /** Meta word: length and flags of the value. */
  readonly meta: number;
  /** Empty when keys only were asked for. */
  readonly value: Uint8Array;
}

export interface DriverOptions {
  pageSize: number;
  frames: number;
  module?: Uint8Array<ArrayBuffer>;
  codec?: number;
}

export class CoreDriver {
  readonly core: Core;
  readonly x: CoreExports;
  /** Newest versions that lie on the disk. */
  readonly disk = new Map<number, Block>();
  readonly #old = new Map<number, OldVersion[]>();
  /** Snapshots somebody reads, by kind of page: epoch → users. */
  readonly #snapshots = { shared: new Map<number, number>(), private: new Map<number, number>() };
  readonly #free: { shared: number[]; private: number[] } = { shared: [], private: [] };
  readonly #next = { shared: 1, private: 1 };
  readonly #codec: number;
  misses = 0;
  written = 0;
  /** Pages that are somebody's, resident or not. */
  readonly taken = new Set<number>();

  constructor(options: DriverOptions) {
    const { pageSize, frames, module } = options;
    this.core = createCore({ pageSize, frames, storeId: [7, 9], ...(module ? { module } : {}) });
    this.x = this.core.x;
    this.#codec = options.codec ?? CODEC_LZ4;
  }

  /** Makes an empty tree; answers its root. */
  create(isPrivate = false): number {
    const root = this.#number(isPrivate);
    this.#must(() => this.x.treeCreate(root));
    return root;
  }

  get(root: number, key: Uint8Array, epoch = LATEST): Found {
    const length = this.answer(() => {
      this.core.u8.set(key, KEY_AREA);
      return this.x.treeGet(root, epoch, key.length);
    });
    const found = length >= 0 ? this.core.u8.slice(OUT_AREA, OUT_AREA + length) : this.#elsewhere(length, epoch);
    this.x.framesUnpin();
    return found;
  }

  /** Calls until the answer is none of treeGet's misses; damage throws. */
  answer(call: () => number): number {
    for (;;) {
      const answer = call();
      if (answer === -4) throw this.#damage();
      if (answer !== -2) return answer;
      this.#load();
    }
  }

  #elsewhere(answer: number, epoch: number): Found {
    if (answer === -1) return undefined;
    const [flags, address, length] = [this.x.valueFlags(), this.x.valueAddress(), this.x.valueLength()];
    if (flags === VALUE_TOMBSTONE) return 'tombstone';
    return flags === VALUE_CHAINED
      ? this.chain(address, length, epoch)
      : this.core.u8.slice(address, address + length);
  }

  /** Reads a chained value. */
  chain(first: number, length: number, epoch: number): Uint8Array {
    const value = new Uint8Array(length);
    let number = first;
    for (let at = 0; at < length; number = this.x.chainNext()) {
      this.#must(() => this.x.chainPage(number, epoch, length - at));
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
    this.#must(() => this.x.chainBegin(isPrivate, value.length));
    for (let at = 0; at < value.length; ) {
      const piece = value.subarray(at, at + INPUT_AREA_SIZE);
      this.core.u8.set(piece, INPUT_AREA);
      const status = this.x.chainAppend(INPUT_AREA, piece.length);
      at += this.x.chainTaken();
      this.x.framesUnpin();
      if (status !== OK) this.help(status);
    }
    this.core.u8.set(key, KEY_AREA);
    this.#must(() => this.x.treePutChain(root, key.length, value.length));
  }

  bury(root: number, key: Uint8Array): void {
    this.core.u8.set(key, KEY_AREA);
    this.#must(() => this.x.treeBury(root, key.length));
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
    this.#must(() => {
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
  count(root: number, start: Uint8Array | undefined, end: Uint8Array | undefined, flags: number, epoch = LATEST): number {
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
      if (this.x.chainDropped() !== 0) this.settle();
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
    while (this.x.chainDropped() !== 0) {
      const before = this.x.chainDropped();
      const status = this.x.chainFree();
      if (this.x.chainDropped() !== before) this.x.framesUnpin();
      if (status !== OK) this.help(status);
    }
    this.x.framesUnpin();
  }

  // --- snapshots ---

  open(isPrivate = false): number {
    const epoch = this.x.epochTake();
    const epochs = this.#snapshots[kindOf(isPrivate)];
    epochs.set(epoch, (epochs.get(epoch) ?? 0) + 1);
    this.#readers();
    return epoch;
  }

  close(epoch: number, isPrivate = false): void {
    this.drain();
    const epochs = this.#snapshots[kindOf(isPrivate)];
    const users = epochs.get(epoch) ?? 0;
    if (users > 1) epochs.set(epoch, users - 1);
    else epochs.delete(epoch);
    this.#readers();
    for (const [page, versions] of this.#old) {
      const seen = versions.filter((version) => this.#isSeen(page, version.from, version.to));
      for (const version of versions) if (!seen.includes(version)) this.#dropOld(page, version.from);
      if (seen.length > 0) this.#old.set(page, seen);
      else this.#old.delete(page);
    }
  }

  #readers(): void {
    this.x.readerEpochSet(Math.max(0, ...this.#snapshots.shared.keys()));
    this.x.privateReaderEpochSet(Math.max(0, ...this.#snapshots.private.keys()));
  }

  #isSeen(page: number, from: number, to: number): boolean {
    const epochs = this.#snapshots[kindOf((page & PRIVATE_PAGE) !== 0)];
    for (const epoch of epochs.keys()) if (from <= epoch && epoch < to) return true;
    return false;
  }

  #dropOld(page: number, from: number): void {
    const frame = this.x.oldFrame(page, from);
    if (frame !== 0) this.x.frameDrop(frame);
  }

  /** Number of old versions kept. */
  oldVersions(): number {
    let count = 0;
    for (const versions of this.#old.values()) count += versions.length;
    return count;
  }

  // --- what the core asks for ---

  /** Calls until the status is neither MISS nor ROOM; damage throws. */
  serve(call: () => number): number {
    for (;;) {
      const status = call();
      if (status !== MISS && status !== ROOM) {
        if (status === DAMAGED) throw this.#damage();
        return status;
      }
      this.help(status);
    }
  }

  #must(call: () => number): void {
    const status = this.serve(call);
    if (status !== OK) throw new Error(`status ${status}`);
  }

  help(status: number): void {
    if (status === MISS) this.#load();
    else if (status === ROOM) this.#room();
    else if (status === DAMAGED) throw this.#damage();
    else throw new Error(`nobody can help with status ${status}`);
  }

  #damage(): Error {
    return new Error(`damage ${this.x.damage()} of page ${this.x.damagePage()}`);
  }

  #room(): void {
    this.drain();
    for (const isPrivate of [false, true]) {
      while (this.x.numberCount(isPrivate) < 24) this.x.numberPush(this.#number(isPrivate), isPrivate);
    }
    this.reclaim(8);
  }

  #number(isPrivate: boolean): number {
    const kind = kindOf(isPrivate);
    const number = this.#free[kind].pop() ?? (isPrivate ? PRIVATE_PAGE : 0) + this.#next[kind]++;
    this.taken.add(number);
    return number;
  }

  /** Page numbers in use: handed out, not freed, and not waiting in the core. */
  pagesUsed(): number {
    this.drain();
    return this.taken.size - this.x.numberCount(false) - this.x.numberCount(true);
  }

  /** Takes the core's events. */
  drain(): void {
    const { u32, f64 } = this.core;
    for (let i = 0; i < this.x.eventCount(); i++) {
      const at = EVENT_AREA + i * EVENT_SIZE;
      const [kind, page, frame] = [u32[at / 4]!, u32[at / 4 + 1]!, u32[at / 4 + 6]!];
      this.#ended(page, f64[at / 8 + 1]!, f64[at / 8 + 2]!, frame);
      if (kind === EVENT_FREED) {
        if (!this.taken.delete(page)) throw new Error(`page ${page} is freed twice`);
        this.#free[kindOf((page & PRIVATE_PAGE) !== 0)].push(page);
      }
    }
    this.x.eventsClear();
  }

  #ended(page: number, from: number, to: number, frame: number): void {
    const block = this.disk.get(page);
    this.disk.delete(page);
    if (frame !== 0 && block) throw new Error(`old bytes of page ${page} are kept twice`);
    if (frame !== 0 && this.x.oldFrame(page, from) !== frame) throw new Error(`frame ${frame} is not page ${page}`);
    if (!this.#isSeen(page, from, to)) {
      if (frame !== 0) this.x.frameDrop(frame);
      return;
    }
    if (frame === 0 && !block) throw new Error(`old bytes of page ${page} are nowhere`);
    const versions = this.#old.get(page) ?? [];
    if (versions.some((other) => from < other.to && other.from < to)) throw new Error('versions overlap');
    versions.push({ from, to, block });
    this.#old.set(page, versions);
  }

  #load(): void {
    this.misses++;
    const [page, epoch] = [this.x.missPage(), this.x.missEpoch()];
    this.drain();
    this.reclaim(1);
    const version =
      epoch === LATEST ? undefined : this.#old.get(page)?.find(({ from, to }) => from <= epoch && epoch < to);
    const block = version ? version.block : this.disk.get(page);
    if (!block) throw new Error(`page ${page} at ${epoch} is nowhere`);
    if (this.loadBlock(page, block, version?.to ?? 0) === DAMAGED) throw this.#damage();
    if (!version && this.x.frameFrom(this.x.frameNewest(page)) > epoch) {
      throw new Error(`page ${page} as of ${epoch} is nowhere`);
    }
  }

  loadBlock(page: number, block: Block, end: number): number {
    this.core.u8.set(block.bytes, STAGING_AREA);
    return this.x.pageLoad(STAGING_AREA, block.bytes.length, page, block.low, block.high, end, true);
  }

  /** Frees frames until that many are free; dirty victims go to the disk. */
  reclaim(wanted: number): void {
    while (this.x.freeCount() < wanted) {
      const before = this.x.freeCount();
      const victims = this.x.framesReclaim(wanted, 16);
      const frames = this.core.u32.slice(VICTIM_AREA / 4, VICTIM_AREA / 4 + victims);
      for (const frame of frames) {
        this.write(frame);
        this.x.frameDrop(frame);
      }
      if (this.x.freeCount() === before) throw new Error(`no victim: ${this.x.pinnedCount()} pinned`);
    }
  }

  /** Writes a dirty frame's page to the disk. */
  write(frame: number): void {
    if (this.x.eventCount() > 0) this.drain();
    const page = this.x.frameNumber(frame);
    const length = this.x.blockSealPage(frame, this.#codec, STAGING_AREA);
    const bytes = this.core.u8.slice(STAGING_AREA, STAGING_AREA + length);
    const block = { bytes, low: this.x.blockSumLow(), high: this.x.blockSumHigh() };
    if (this.x.frameNewest(page) === frame) {
      this.disk.set(page, block);
    } else {
      const from = this.x.frameFrom(frame);
      const version = this.#old.get(page)?.find((other) => other.from === from);
      if (!version) throw new Error('an old version in a frame is somebody’s');
      version.block = block;
    }
    this.x.frameClean(frame);
    this.written++;
  }

  /** Takes over another driver's disk. */
  adopt(disk: ReadonlyMap<number, Block>): void {
    for (const [page, block] of disk) {
      this.disk.set(page, block);
      this.taken.add(page);
    }
    this.#next.shared = Math.max(...disk.keys()) + 1;
  }

  /** Writes every dirty shared page that an epoch sees. */
  flush(epoch = LATEST): void {
    this.drain();
    for (let first = 1; first <= this.x.frameCount(); ) {
      const count = this.x.framesDirtyAt(epoch, first, 16);
      const frames = this.core.u32.slice(VICTIM_AREA / 4, VICTIM_AREA / 4 + count);
      first = this.core.u32[VICTIM_AREA / 4 + VICTIM_CAPACITY]!;
      for (const frame of frames) this.write(frame);
    }
  }
}

function kindOf(isPrivate: boolean): 'shared' | 'private' {
  return isPrivate ? 'private' : 'shared';
}
