/*
 * The files of a store as somebody sees them who wants to harm whoever opens them: where every field of every
 * structure lies, which numbers mean something in this store, and how to make all checksums hold again afterwards,
 * from the blocks through the directory and the superblocks, and along the links of the log.
 *
 * The directory lies uncompressed in these files, so that its checksums can be changed in place.
 */
import { BLOCK_HEADER_SIZE, GROUP_HEADER_SIZE, SECTOR_SIZE } from '../../assembly/layout.ts';
import { backendOf, type Files, filesOf } from '../support/files.ts';
import { Plant } from '../support/plant.ts';
import { fastXxh64 } from './fast-xxh64.ts';

/** What a field belongs to; a mutant picks among these first, so that rare structures are not rare victims. */
export const STRUCTURES = [
  'superblock',
  'directory entry',
  'block header',
  'page header',
  'record',
  'overflow page',
  'compressed bytes',
  'segment header',
  'group header',
  'part',
  'log record',
] as const;
export type Structure = (typeof STRUCTURES)[number];

export interface Field {
  readonly file: string;
  readonly at: number;
  /** Bytes: 1 to 8; more for bytes that are changed one at a time. */
  readonly size: number;
}

interface Block {
  readonly from: number;
  readonly end: number;
  /** Where the entry lies that refers to it, in the data file. */
  entry: number;
}

interface Group {
  readonly file: string;
  readonly offset: number;
  readonly lsn: number;
  readonly sum: bigint;
  /** The group it links to; undefined: one that is not there any more. */
  before: Group | undefined;
}

/** Superblock fields: offset and size. */
const SUPERBLOCK = [
  [4, 4], [8, 8], [16, 8], [24, 8], [32, 8], [40, 8], [48, 8], [56, 8], [64, 8], [72, 4], [76, 4], [80, 4], [84, 4],
  [96, 4], [100, 4], [104, 4], [108, 4], [112, 4], [120, 8], [128, 8], [136, 8],
] as const; // biome-ignore format: a table
const BLOCK = [
  [0, 4],
  [4, 1],
  [5, 1],
  [6, 2],
  [8, 4],
  [12, 4],
  [16, 8],
  [24, 4],
  [28, 4],
  [32, 8],
  [40, 8],
] as const;
const SEGMENT = [
  [0, 4],
  [4, 4],
  [8, 8],
  [16, 8],
  [24, 8],
  [32, 4],
] as const;
const GROUP = [
  [4, 4],
  [8, 8],
  [16, 8],
  [24, 8],
  [32, 8],
  [40, 8],
] as const;
const PART = [
  [0, 4],
  [4, 4],
  [8, 8],
  [16, 4],
  [20, 4],
] as const;
const LOG_RECORD = [
  [0, 1],
  [1, 1],
  [2, 2],
  [4, 4],
  [8, 4],
] as const;

const SLOTS = [0, 4096];

export class Forge {
  readonly files: Files;
  readonly fields: ReadonlyMap<Structure, readonly Field[]>;
  /** Page numbers, sector numbers, lengths, sequences and places of the log that occur. */
  readonly numbers: readonly number[];
  readonly #fields = new Map<Structure, Field[]>(STRUCTURES.map((structure) => [structure, []]));
  readonly #numbers = new Set<number>();
  readonly #pages: Block[] = [];
  /** From the pages' up to the root. */
  readonly #chunks: Block[] = [];
  readonly #segments: string[] = [];
  readonly #groups: Group[] = [];
  /** The group that the superblock links to. */
  readonly #linked: Group | undefined;

  constructor(original: Files) {
    const backend = backendOf(original);
    const plant = new Plant(backend);
    plant.save();
    this.files = filesOf(backend);
    for (const slot of SLOTS) this.#add('superblock', 'data', slot, SUPERBLOCK);
    this.#readDirectory(plant);
    for (const page of plant.pages) this.#readPage(plant, page);
    const { nextPage, chunkCount, endSector, lsn, sequence, generation, epoch, logSize, mark } =
      plant.superblock;
    for (const number of [nextPage, chunkCount, endSector, lsn, sequence, generation, epoch, logSize, mark]) {
      this.#numbers.add(number);
    }
    for (const file of this.files.keys()) if (file !== 'data') this.#readLog(file);
    this.#groups.sort((a, b) => a.lsn - b.lsn);
    for (const group of this.#groups) {
      const link = this.#view(group.file).getBigUint64(group.offset + 32, true);
      group.before = this.#groups.find(({ sum }) => sum === link);
    }
    const link = this.#view('data').getBigUint64(56, true);
    this.#linked = this.#groups.find(({ sum }) => sum === link);
    this.fields = this.#fields;
    this.numbers = [...this.#numbers];
  }

  #view(file: string): DataView {
    return viewOf(this.files.get(file)!);
  }

  #add(
    structure: Structure,
    file: string,
    from: number,
    fields: readonly (readonly [number, number])[],
  ): void {
    for (const [at, size] of fields) this.#fields.get(structure)!.push({ file, at: from + at, size });
  }

  #readDirectory(plant: Plant): void {
    const { fanout } = plant;
    for (let level = 0; plant.chunkPlaces(level).length > 0; level++) {
      const above = plant.chunkPlaces(level + 1);
      plant.chunkPlaces(level).forEach(({ start, sectors }, index) => {
        const holder = above[Math.floor(index / fanout)];
        const from = start * SECTOR_SIZE;
        const entry = holder ? entryIn(holder.start, index % fanout) : SLOTS[0]! + 80;
        this.#chunks.push({ from, end: from + sectors * SECTOR_SIZE, entry });
        this.#add('block header', 'data', from, BLOCK);
        this.#numbers.add(start);
      });
    }
    const first = plant.chunkPlaces(0);
    for (const page of [0, ...plant.pages, plant.superblock.nextPage]) {
      const holder = first[Math.floor(page / fanout)];
      if (holder)
        this.#add('directory entry', 'data', entryIn(holder.start, page % fanout), [
          [0, 4],
          [4, 4],
        ]);
    }
  }

  #readPage(plant: Plant, page: number): void {
    const { start, sectors } = plant.place(page);
    const from = start * SECTOR_SIZE;
    const holder = plant.chunkPlaces(0)[Math.floor(page / plant.fanout)]!;
    const entry = entryIn(holder.start, page % plant.fanout);
    this.#pages.push({ from, end: from + sectors * SECTOR_SIZE, entry });
    this.#numbers.add(page);
    this.#numbers.add(start);
    this.#add('block header', 'data', from, BLOCK);
    const view = this.#view('data');
    const at = from + BLOCK_HEADER_SIZE;
    const stored = view.getUint32(from + 28, true);
    if (view.getUint8(from + 5) !== 0) {
      for (let i = 0; i < stored; i += 8) this.#add('compressed bytes', 'data', at + i, [[0, 1]]);
    } else if (view.getUint8(at) === 3) {
      this.#add('overflow page', 'data', at, [
        [0, 1],
        [1, 1],
        [2, 2],
        [4, 4],
        [8, 4],
        [12, 4],
      ]);
    } else {
      this.#add('page header', 'data', at, [
        [0, 1],
        [1, 1],
        [2, 2],
        [4, 4],
      ]);
      this.#readRecords(at, at + stored);
    }
  }

  #readRecords(page: number, end: number): void {
    const view = this.#view('data');
    const isLeaf = view.getUint8(page) === 1;
    for (let at = page + 8; at < end; ) {
      const [key, word] = [view.getUint16(at, true), view.getUint32(at + 2, true)];
      this.#add('record', 'data', at, [
        [0, 2],
        [2, 4],
      ]);
      if (key > 0)
        this.#add('record', 'data', at + 6, [
          [0, 1],
          [key - 1, 1],
        ]);
      const chained = isLeaf && (word & 0x40000000) !== 0;
      if (chained) this.#add('record', 'data', at + 6 + key, [[0, 4]]);
      this.#numbers.add(isLeaf ? word & 0x3fffffff : word);
      at += 6 + key + (isLeaf ? (chained ? 4 : word) : 0);
    }
  }

  #readLog(file: string): void {
    const view = this.#view(file);
    if (view.byteLength < SECTOR_SIZE || view.getUint32(0, true) !== 0x47455341) return;
    this.#segments.push(file);
    this.#add('segment header', file, 0, SEGMENT);
    this.#numbers.add(Number(view.getBigUint64(24, true)));
    for (let offset = SECTOR_SIZE; offset < view.byteLength; offset += SECTOR_SIZE) {
      if (view.getUint32(offset, true) !== 0x50524741) continue;
      this.#groups.push({
        file,
        offset,
        lsn: Number(view.getBigUint64(offset + 24, true)),
        sum: view.getBigUint64(offset + 56, true),
        before: undefined,
      });
      this.#add('group header', file, offset, GROUP);
      this.#numbers.add(Number(view.getBigUint64(offset + 24, true)));
      const end = offset + GROUP_HEADER_SIZE + view.getUint32(offset + 4, true);
      for (let part = offset + GROUP_HEADER_SIZE; part + 24 <= end; ) {
        this.#add('part', file, part, PART);
        let record = part + 24;
        for (let left = view.getUint32(part + 16, true); left > 0; left--) {
          this.#add('log record', file, record, LOG_RECORD);
          const kind = view.getUint8(record);
          const value = kind === 1 || kind === 4 ? view.getUint32(record + 8, true) : 0;
          record += Math.ceil((12 + view.getUint16(record + 2, true) + value) / 4) * 4;
        }
        part += 24 + Math.ceil(view.getUint32(part, true) / 8) * 8;
      }
    }
  }

  /** Makes every checksum hold, and every reference to one: of the blocks a change can be in, and of all of the log. */
  reseal(files: Files, changed: readonly Field[]): void {
    const data = files.get('data')!;
    const touched = (block: Block) =>
      changed.some(({ file, at }) => file === 'data' && at >= block.from && at < block.end);
    for (const block of this.#pages) if (touched(block)) sealBlock(data, block);
    for (const block of this.#chunks) sealBlock(data, block);
    // The root's entry lies in the first slot; the second has the same.
    const root = this.#chunks.at(-1);
    if (root) data.copyWithin(SLOTS[1]! + 88, SLOTS[0]! + 88, SLOTS[0]! + 96);
    this.#resealLog(files);
    for (const slot of SLOTS) setSum(data, slot, 504, slot + 504);
  }

  #resealLog(files: Files): void {
    for (const file of this.#segments) setSum(files.get(file)!, 0, 56, 56);
    const sums = new Map<Group, bigint>();
    for (const group of this.#groups) {
      const { file, offset, before } = group;
      const bytes = files.get(file)!;
      const view = viewOf(bytes);
      const known = before && sums.get(before);
      // A link that was changed on purpose stays as it is.
      if (known !== undefined && view.getBigUint64(offset + 32, true) === before!.sum) {
        view.setBigUint64(offset + 32, known, true);
      }
      const length = view.getUint32(offset + 4, true);
      const from = offset + GROUP_HEADER_SIZE;
      if (from + length <= bytes.length) setSum(bytes, from, length, offset + 48);
      setSum(bytes, offset, 56, offset + 56);
      sums.set(group, view.getBigUint64(offset + 56, true));
    }
    const known = this.#linked && sums.get(this.#linked);
    if (known === undefined) return;
    const data = viewOf(files.get('data')!);
    for (const slot of SLOTS) {
      if (data.getBigUint64(slot + 56, true) === this.#linked!.sum) data.setBigUint64(slot + 56, known, true);
    }
  }
}

function entryIn(chunkStart: number, index: number): number {
  return chunkStart * SECTOR_SIZE + BLOCK_HEADER_SIZE + index * 16;
}

/** Gives a block its checksum, and its entry the same. */
function sealBlock(data: Uint8Array, { from, entry }: Block): void {
  const view = viewOf(data);
  const stored = view.getUint32(from + 28, true);
  const end = from + BLOCK_HEADER_SIZE + stored;
  if (end > data.length) return;
  const sum = fastXxh64(
    data.subarray(from + BLOCK_HEADER_SIZE, end),
    fastXxh64(data.subarray(from, from + 56), 0n),
  );
  view.setBigUint64(from + 56, sum, true);
  view.setBigUint64(entry + 8, sum, true);
}

function setSum(bytes: Uint8Array, from: number, length: number, at: number): void {
  viewOf(bytes).setBigUint64(at, fastXxh64(bytes.subarray(from, from + length), 0n), true);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
