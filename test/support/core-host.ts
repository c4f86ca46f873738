/*
 * Plays the host of one core without any backend: a map stands for the disk. It serves MISS and EXHAUSTED, writes dirty
 * victims as sealed blocks, keeps the old versions that a snapshot sees, and hands numbers of freed pages out again.
 * It believes nothing: what the core must never report (a version that is nowhere, two ends of one page) throws.
 */
import {
  CODEC_LZ4,
  DAMAGED,
  EVENT_AREA,
  EVENT_FREED,
  EVENT_SIZE,
  EXHAUSTED,
  MISS,
  OK,
  PRIVATE_PAGE,
  STAGING_AREA,
  VICTIM_AREA,
  VICTIM_CAPACITY,
} from '../../assembly/layout.ts';
import { type Core, type CoreExports, createCore, LATEST } from '../../src/core/wasm.ts';
import { brokenFrameRule } from './frame-audit.ts';

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

export interface HostOptions {
  pageSize: number;
  frames: number;
  module?: Uint8Array<ArrayBuffer>;
  codec?: number;
}

export class CoreHost {
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

  constructor(options: HostOptions) {
    const { pageSize, frames, module } = options;
    this.core = createCore({ pageSize, frames, storeId: [7, 9], ...(module ? { module } : {}) });
    this.x = this.core.x;
    this.#codec = options.codec ?? CODEC_LZ4;
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

  /** Calls until the status is neither MISS nor EXHAUSTED; damage throws. */
  serve(call: () => number): number {
    for (;;) {
      const status = call();
      if (status !== MISS && status !== EXHAUSTED) {
        if (status === DAMAGED) throw this.damage();
        return status;
      }
      this.help(status);
    }
  }

  must(call: () => number): void {
    const status = this.serve(call);
    if (status !== OK) throw new Error(`status ${status}`);
  }

  help(status: number): void {
    if (status === MISS) this.load();
    else if (status === EXHAUSTED) this.#room();
    else if (status === DAMAGED) throw this.damage();
    else throw new Error(`nobody can help with status ${status}`);
  }

  damage(): Error {
    return new Error(`damage ${this.x.damage()} of page ${this.x.damagePage()}`);
  }

  #room(): void {
    this.drain();
    for (const isPrivate of [false, true]) {
      while (this.x.numberCount(isPrivate) < 24) this.x.numberPush(this.number(isPrivate), isPrivate);
    }
    this.reclaim(8);
  }

  number(isPrivate: boolean): number {
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

  /** Between operations every rule of the frame table holds. */
  audit(): void {
    const broken = brokenFrameRule(this.core);
    if (broken !== 0) throw new Error(`rule ${broken} of the frame table is broken`);
  }

  /** What the page in a frame is: kind | level << 8 | slots << 16. */
  shapeOf(frame: number): number {
    return this.x.inspectShape(this.x.frameAddress(frame));
  }

  /** How full the page in a frame is, of a thousand. */
  fillOf(frame: number): number {
    return this.x.inspectFill(this.x.frameAddress(frame));
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
    if (frame !== 0 && this.x.oldFrame(page, from) !== frame)
      throw new Error(`frame ${frame} is not page ${page}`);
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

  load(): void {
    this.misses++;
    const [page, epoch] = [this.x.missPage(), this.x.missEpoch()];
    this.drain();
    this.reclaim(1);
    const version =
      epoch === LATEST ? undefined : this.#old.get(page)?.find(({ from, to }) => from <= epoch && epoch < to);
    const block = version ? version.block : this.disk.get(page);
    if (!block) throw new Error(`page ${page} at ${epoch} is nowhere`);
    if (this.loadBlock(page, block, version?.to ?? 0) === DAMAGED) throw this.damage();
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
    while (this.x.freeCount() < wanted && this.core.grow());
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

  /** Takes over what another driver has written. */
  adopt(other: CoreHost): void {
    for (const [page, block] of other.disk) {
      this.disk.set(page, block);
      this.taken.add(page);
    }
    this.#next.shared = Math.max(...other.disk.keys()) + 1;
    this.x.epochStart(other.x.epochCurrent() + 1);
  }

  /** Writes every dirty shared page that an epoch sees. */
  flush(epoch = LATEST): void {
    this.drain();
    for (let first = 1; first <= this.core.frames; ) {
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
