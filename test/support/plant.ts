/*
 * The data file of a closed store, taken apart: pages can be read, changed and put back in blocks whose checksums
 * hold, and every reference above them (directory entry, chunks, superblock slots) is made to fit. So what is planted
 * can only be found by looking at what the bytes mean.
 *
 * Written from the format, not with the engine's own code: only the superblock is coded by it.
 */
import {
  BLOCK_CHUNK,
  BLOCK_HEADER_SIZE,
  BLOCK_PAGE,
  FORMAT_VERSION,
  PAGE_OVERFLOW,
  SECTOR_SIZE,
} from '../../assembly/layout.ts';
import type { BackendFile } from '../../src/backend/backend.ts';
import type { MemoryBackend } from '../../src/backend/memory.ts';
import { createCore } from '../../src/core/wasm.ts';
import type { Place } from '../../src/store/directory.ts';
import { readSlot, type Superblock, writeSuperblock } from '../../src/store/superblock.ts';
import { decodeSlowly } from './lz4-reference.ts';
import { xxh64 } from './xxh64.ts';

const MAGIC = 0x42474541;
export const CHAINED = 0x40000000;
export const TOMBSTONE = 0x80000000;

/** A record of a leaf (word: value length and flags) or of an inner page (word: child). */
export interface Cell {
  key: Uint8Array;
  word: number;
  value: Uint8Array;
}

export interface TreePage {
  kind: number;
  level: number;
  cells: Cell[];
}

export interface OverflowPage {
  next: number;
  remaining: number;
  data: Uint8Array;
}

/** What of a block's header is not as usual. */
export interface Header {
  magic?: number;
  kind?: number;
  codec?: number;
  version?: number;
  number?: number;
  high?: number;
  epoch?: number;
  raw?: number;
  storeId?: readonly [number, number];
}

/** Where a page is in the tree. */
export interface Node {
  page: number;
  parent: number;
  slot: number;
  level: number;
}

const core = createCore({ pageSize: 4096, frames: 1, storeId: [0, 0] });

export class Plant {
  readonly #file: BackendFile;
  superblock: Superblock;
  readonly pageSize: number;
  readonly fanout: number;
  /** Entries of all pages, four words each. */
  readonly entries: Uint32Array;
  readonly #chunkPlaces: Place[][] = [];

  constructor(backend: MemoryBackend) {
    this.#file = backend.open('data', { create: false });
    const slot = readSlot(core, this.#file, 0);
    if (!('superblock' in slot)) throw new Error('a sound store is needed');
    this.superblock = slot.superblock;
    this.pageSize = this.superblock.pageSize;
    this.fanout = this.pageSize / 16;
    this.entries = this.#readEntries();
  }

  // --- reading --------------------------------------------------------------------------------------------------

  place(page: number): Place {
    const [start, span, sumLow, sumHigh] = this.entries.subarray(
      page * 4,
      page * 4 + 4,
    ) as unknown as number[];
    return { start: start!, sectors: span! & 0xffffff, sumLow: sumLow!, sumHigh: sumHigh! };
  }

  /** Places of a level of directory chunks. */
  chunkPlaces(level: number): Place[] {
    return this.#chunkPlaces[level] ?? [];
  }

  /** Numbers of all pages that have a place. */
  get pages(): number[] {
    const all = Array.from({ length: this.superblock.nextPage }, (_, page) => page);
    return all.filter((page) => page > 0 && this.place(page).sectors > 0);
  }

  block(place: Place): Uint8Array {
    const bytes = new Uint8Array(place.sectors * SECTOR_SIZE);
    this.#file.read(bytes, place.start * SECTOR_SIZE);
    return bytes;
  }

  payload(place: Place): Uint8Array {
    const block = this.block(place);
    const view = new DataView(block.buffer);
    const [raw, stored] = [view.getUint32(24, true), view.getUint32(28, true)];
    const body = block.slice(BLOCK_HEADER_SIZE, BLOCK_HEADER_SIZE + stored);
    if (block[5] === 0) return body;
    return decodeSlowly(body, raw)!.bytes;
  }

  tree(page: number): TreePage {
    const bytes = this.payload(this.place(page));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const [kind, level] = [bytes[0]!, bytes[1]!];
    const cells: Cell[] = [];
    for (let at = 8; at < bytes.length; ) {
      const keyBytes = view.getUint16(at, true);
      const word = view.getUint32(at + 2, true);
      const stored = level > 0 ? 0 : word & CHAINED ? 4 : word;
      at += 6;
      cells.push({
        key: bytes.slice(at, at + keyBytes),
        word,
        value: bytes.slice(at + keyBytes, at + keyBytes + stored),
      });
      at += keyBytes + stored;
    }
    return { kind, level, cells };
  }

  overflow(page: number): OverflowPage {
    const bytes = this.payload(this.place(page));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return { next: view.getUint32(8, true), remaining: view.getUint32(12, true), data: bytes.slice(16) };
  }

  isOverflow(page: number): boolean {
    return this.payload(this.place(page))[0] === PAGE_OVERFLOW;
  }

  /** Every tree page below the root, in order. */
  nodes(): Node[] {
    const found: Node[] = [];
    const queue: Node[] = [{ page: this.superblock.mainRoot, parent: 0, slot: 0, level: -1 }];
    for (let node = queue.shift(); node; node = queue.shift()) {
      const { page } = node;
      const { level, cells } = this.tree(page);
      found.push({ ...node, level });
      if (level === 0) continue;
      for (const [slot, cell] of cells.entries()) {
        queue.push({ page: cell.word, parent: page, slot, level: level - 1 });
      }
    }
    return found;
  }

  /** Leaf cells whose values are chained: the leaf, the slot, and the chain's pages. */
  chains(): { leaf: number; slot: number; pages: number[] }[] {
    return this.nodes()
      .filter(({ level }) => level === 0)
      .flatMap(({ page: leaf }) =>
        this.tree(leaf).cells.flatMap(({ word, value }, slot) => {
          if (!(word & CHAINED)) return [];
          const pages: number[] = [];
          for (let page = numberOf(value); page !== 0; page = this.overflow(page).next) pages.push(page);
          return [{ leaf, slot, pages }];
        }),
      );
  }

  // --- planting -------------------------------------------------------------------------------------------------

  setPlace(page: number, place: Place, kind = 1): void {
    const span = place.sectors === 0 ? 0 : (place.sectors | (kind << 24)) >>> 0;
    this.entries.set([place.start, span, place.sumLow, place.sumHigh], page * 4);
  }

  /** Takes a page out of the directory. */
  forget(page: number): void {
    this.entries.fill(0, page * 4, page * 4 + 4);
  }

  setTree(page: number, { kind, level, cells }: TreePage, header: Header = {}, count = cells.length): void {
    const bytes: number[] = [kind, level, 0, 0, ...word32(count)];
    for (const { key, word, value } of cells)
      bytes.push(key.length & 255, key.length >> 8, ...word32(word), ...key, ...value);
    this.setPayload(page, Uint8Array.from(bytes), header);
  }

  /** Changes a tree page in place. */
  changeTree(page: number, change: (content: TreePage) => void, header: Header = {}): void {
    const content = this.tree(page);
    change(content);
    this.setTree(page, content, header);
  }

  setOverflow(page: number, { next, remaining, data }: OverflowPage): void {
    const head = [PAGE_OVERFLOW, 0, 0, 0, ...word32(data.length), ...word32(next), ...word32(remaining)];
    this.setPayload(page, Uint8Array.from([...head, ...data]));
  }

  changeOverflow(page: number, change: (content: OverflowPage) => void): void {
    const content = this.overflow(page);
    change(content);
    this.setOverflow(page, content);
  }

  /** Gives a page a new block with any payload. */
  setPayload(page: number, payload: Uint8Array, header: Header = {}): void {
    this.setPlace(page, this.append(this.seal(payload, { number: page, kind: BLOCK_PAGE, ...header })));
  }

  /** A block around a payload, with a checksum that holds. */
  seal(payload: Uint8Array, header: Header): Uint8Array {
    const sectors = Math.ceil((BLOCK_HEADER_SIZE + payload.length) / SECTOR_SIZE);
    const block = new Uint8Array(sectors * SECTOR_SIZE);
    const view = new DataView(block.buffer);
    const storeId = header.storeId ?? this.superblock.storeId;
    view.setUint32(0, header.magic ?? MAGIC, true);
    view.setUint8(4, header.kind ?? BLOCK_PAGE);
    view.setUint8(5, header.codec ?? 0);
    view.setUint16(6, header.version ?? FORMAT_VERSION, true);
    view.setUint32(8, header.number ?? 0, true);
    view.setUint32(12, header.high ?? 0, true);
    view.setBigUint64(16, BigInt(header.epoch ?? 1), true);
    view.setUint32(24, header.raw ?? payload.length, true);
    view.setUint32(28, payload.length, true);
    view.setUint32(32, storeId[0], true);
    view.setUint32(36, storeId[1], true);
    block.set(payload, BLOCK_HEADER_SIZE);
    view.setBigUint64(56, xxh64(payload, xxh64(block.slice(0, 56), 0n)), true);
    return block;
  }

  /** Puts a block behind everything else; answers its place. */
  append(block: Uint8Array): Place {
    const start = this.superblock.endSector;
    this.#file.write([block], start * SECTOR_SIZE);
    this.superblock = { ...this.superblock, endSector: start + block.length / SECTOR_SIZE };
    const view = new DataView(block.buffer, block.byteOffset);
    const [sumLow, sumHigh] = [view.getUint32(56, true), view.getUint32(60, true)];
    return { start, sectors: block.length / SECTOR_SIZE, sumLow, sumHigh };
  }

  /** Writes bytes over what is there, checksums and references left alone. */
  overwrite(offset: number, bytes: Uint8Array): void {
    this.#file.write([bytes], offset);
  }

  /** Writes the directory and both slots anew. */
  save(): void {
    const { chunkCount } = this.superblock;
    let words = this.entries;
    let count = chunkCount;
    for (let level = 0; ; ++level) {
      const above = new Uint32Array(Math.ceil(count / this.fanout) * this.fanout * 4);
      this.#chunkPlaces[level] = [];
      for (let index = 0; index < count; ++index) {
        const chunk = words.slice(index * this.fanout * 4, (index + 1) * this.fanout * 4);
        const header = { kind: BLOCK_CHUNK, number: index, high: level, epoch: 0 };
        const place = this.append(this.seal(new Uint8Array(chunk.buffer), header));
        this.#chunkPlaces[level]!.push(place);
        above.set([place.start, (place.sectors | (2 << 24)) >>> 0, place.sumLow, place.sumHigh], index * 4);
        this.superblock = { ...this.superblock, directory: place };
      }
      if (count <= 1) break;
      words = above;
      count = Math.ceil(count / this.fanout);
    }
    this.saveSlots();
  }

  saveSlots(slots: readonly number[] = [0, 1]): void {
    for (const slot of slots) writeSuperblock(core, this.#file, slot, this.superblock);
  }

  #readEntries(): Uint32Array {
    const { chunkCount, directory } = this.superblock;
    const counts = [chunkCount];
    while (counts.at(-1)! > 1) counts.push(Math.ceil(counts.at(-1)! / this.fanout));
    let places: Place[] = [directory];
    for (let level = counts.length - 1; ; --level) {
      this.#chunkPlaces[level] = places;
      const words = new Uint32Array(counts[level]! * this.fanout * 4);
      places.forEach((place, index) => {
        if (place.sectors > 0)
          words.set(new Uint32Array(this.payload(place).slice().buffer), index * this.fanout * 4);
      });
      if (level === 0) return words;
      places = Array.from({ length: counts[level - 1]! }, (_, index) => {
        const [start, span, sumLow, sumHigh] = words.slice(index * 4);
        return { start: start!, sectors: span! & 0xffffff, sumLow: sumLow!, sumHigh: sumHigh! };
      });
    }
  }
}

export function numberOf(value: Uint8Array): number {
  return new DataView(value.buffer, value.byteOffset).getUint32(0, true);
}

/** A number as the four bytes of a chained value. */
export function bytesOfNumber(number: number): Uint8Array {
  return Uint8Array.from(word32(number));
}

function word32(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}
