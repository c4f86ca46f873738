/**
 * The block store: blocks in extents of the data file.
 *
 * Writes are synchronous and leave from the staging area, several blocks at once where their extents are neighbours;
 * a block is only ever written to sectors that nobody owns. Nothing here is durable before the data file is synced.
 *
 * Invariants
 *   1. An extent is owned before its block is written; if the write fails it is freed.
 *   2. A block is read in full, checked against the checksum of the reference that led to it, before any use.
 */
import {
  BLOCK_CHUNK,
  BLOCK_HEADER_SIZE,
  BLOCK_PAGE,
  CODEC_NONE,
  DAMAGE_CHECKSUM,
  DAMAGE_CODEC,
  DAMAGE_COMPRESSION,
  DAMAGE_IDENTITY,
  DAMAGE_KIND,
  DAMAGE_MAGIC,
  DAMAGE_ORDER,
  DAMAGE_OVERFLOW,
  DAMAGE_REFERENCE,
  DAMAGE_SIZE,
  OK,
  PRIVATE_PAGE,
  SECTOR_SIZE,
  STAGING_AREA,
  STAGING_AREA_SIZE,
} from '../../assembly/layout.ts';
import type { BackendFile } from '../backend/backend.ts';
import { AegisError, aboutPage } from '../base/errors.ts';
import type { StoreCodecs } from '../codec/store-codecs.ts';
import type { Core } from '../core/wasm.ts';
import type { Place } from './directory.ts';
import { isSpoilt } from './directory.ts';
import { Extents } from './extents.ts';
import { decodeHosted, sealHosted } from './hosted.ts';
import { FIRST_DATA_SECTOR } from './superblock.ts';

/** Name of the data file. */
export const DATA_FILE = 'data';

/** Zeros written at once when the file is filled ahead. */
const FILL_BYTES = 256 * 1024;
const ZEROS = new Uint8Array(FILL_BYTES);

const DAMAGE_TEXT: Record<number, string> = {
  [DAMAGE_MAGIC]: 'no block begins here',
  [DAMAGE_CHECKSUM]: 'the checksum does not hold',
  [DAMAGE_IDENTITY]: 'another block lies here, or an older one of the same page',
  [DAMAGE_SIZE]: 'a length or count is impossible',
  [DAMAGE_CODEC]: 'the codec is unknown',
  [DAMAGE_COMPRESSION]: 'the compressed bytes do not decode',
  [DAMAGE_KIND]: 'the page is not of the kind or level its parent expects',
  [DAMAGE_ORDER]: 'keys are out of order or outside the bounds of the page',
  [DAMAGE_REFERENCE]: 'a reference to a page that cannot be',
  [DAMAGE_OVERFLOW]: 'an overflow chain of the wrong length',
};

/** What is wrong with a page whose reference was spoilt. */
const SPOILT_TEXT = 'a durable change of it was lost, since it could not be read';

/** Counters for `stats()`. */
export interface BlockCounters {
  blocksRead: number;
  blocksWritten: number;
  /** Bytes of blocks written, whole sectors. */
  bytesWritten: number;
  /** Bytes the same pages have uncompressed, without free space. */
  bytesRaw: number;
}

export class BlockStore {
  readonly #core: Core;
  readonly #file: BackendFile;
  readonly #extents: Extents;
  readonly codecs: StoreCodecs;
  /** Bit set of codecs of which no block is left, since everything was written anew: the next checkpoint says so. */
  retiredCodecs = 0;
  readonly counters: BlockCounters = { blocksRead: 0, blocksWritten: 0, bytesWritten: 0, bytesRaw: 0 };

  constructor(core: Core, file: BackendFile, extents: Extents, codecs: StoreCodecs) {
    this.#core = core;
    this.#file = file;
    this.#extents = extents;
    this.codecs = codecs;
    core.x.codecsSet(codecs.hosted);
  }

  /** Another file for the same pages, empty yet: where a copy goes. */
  twin(file: BackendFile): BlockStore {
    return new BlockStore(this.#core, file, new Extents(FIRST_DATA_SECTOR), this.codecs);
  }

  get file(): BackendFile {
    return this.#file;
  }

  get extents(): Extents {
    return this.#extents;
  }

  /** Most sectors a page's block takes. */
  get pageSectors(): number {
    return Math.ceil((BLOCK_HEADER_SIZE + this.#core.pageSize) / SECTOR_SIZE);
  }

  /**
   * Writes the pages in frames as blocks and reports each place once its bytes are written. When a write fails, what
   * was reported stays and the rest is freed; throws the backend's error.
   */
  writePages(frames: readonly number[], written: (frame: number, place: Place) => void): void {
    const most = this.pageSectors * SECTOR_SIZE;
    let pending: { frame: number; place: Place }[] = [];
    let used = 0;
    const flush = (): void => {
      this.#writeStaged(pending.map((item) => item.place));
      for (const { frame, place } of pending) written(frame, place);
      pending = [];
      used = 0;
    };
    for (const frame of frames) {
      if (used + most > STAGING_AREA_SIZE) flush();
      const bytes = this.#sealPage(frame, STAGING_AREA + used);
      this.#count(STAGING_AREA + used, bytes);
      pending.push({ frame, place: this.#allocate(bytes, pending) });
      used += bytes;
    }
    flush();
  }

  #sealPage(frame: number, target: number): number {
    const { x } = this.#core;
    const { codecs } = this;
    // A private page lives no longer than its transaction: use the cheapest codec.
    const codec = x.frameNumber(frame) & PRIVATE_PAGE ? codecs.core : codecs.page;
    if ((codecs.hosted & (1 << codec)) === 0) return x.blockSealPage(frame, codec, target);
    return sealHosted(this.#core, codecs, frame, codec, target) || x.blockSealPage(frame, CODEC_NONE, target);
  }

  /** Decodes the payload of a page's block in the staging area when the core has asked for it; OK or DAMAGED. */
  decode(page: number): number {
    return decodeHosted(this.#core, this.codecs, STAGING_AREA, page);
  }

  /** Writes a chunk of the directory, whose entries are given as words. */
  writeChunk(level: number, index: number, words: Uint32Array): Place {
    const core = this.#core;
    const { x } = core;
    const payload = STAGING_AREA + STAGING_AREA_SIZE - words.byteLength;
    core.u8.set(new Uint8Array(words.buffer, words.byteOffset, words.byteLength), payload);
    const bytes = x.blockSeal(
      BLOCK_CHUNK,
      index,
      level,
      payload,
      words.byteLength,
      this.codecs.core,
      STAGING_AREA,
    );
    this.#count(STAGING_AREA, bytes);
    const place = this.#allocate(bytes, []);
    this.#writeStaged([place]);
    return place;
  }

  /** Reads a chunk of the directory into words. Throws CORRUPTION. */
  readChunk(level: number, index: number, place: Place, words: Uint32Array): void {
    const core = this.#core;
    const { x } = core;
    const target = STAGING_AREA + STAGING_AREA_SIZE - words.byteLength;
    const available = this.read(place);
    const status = x.blockOpen(
      STAGING_AREA,
      available,
      BLOCK_CHUNK,
      index,
      level,
      place.sumLow,
      place.sumHigh,
      target,
      words.byteLength,
    );
    if (status !== OK) throw this.damage(place, `directory chunk ${index} of level ${level}`);
    new Uint8Array(words.buffer, words.byteOffset, words.byteLength).set(
      core.u8.subarray(target, target + words.byteLength),
    );
  }

  /** Reads the bytes of an extent into the staging area; answers how many the file had. `page`: for what is thrown. */
  read(place: Place, page?: number): number {
    const bytes = Math.min(place.sectors * SECTOR_SIZE, STAGING_AREA_SIZE);
    ++this.counters.blocksRead;
    // A failure with an earlier block must not be reported as the cause for this one.
    this.codecs.failure = undefined;
    const staging = this.#core.u8.subarray(STAGING_AREA, STAGING_AREA + bytes);
    try {
      return this.#file.read(staging, place.start * SECTOR_SIZE);
    } catch (error) {
      throw page === undefined ? error : aboutPage(error, page, place.start * SECTOR_SIZE);
    }
  }

  /**
   * Brings a page's block to the staging area as it is, checked against its reference but not decoded. Throws CORRUPTION.
   */
  readWhole(place: Place, page: number): void {
    const { x } = this.#core;
    const { sumLow, sumHigh } = place;
    if (isSpoilt(place)) throw this.spoilt(place, page);
    const available = this.read(place, page);
    const what = `page ${page}`;
    if (x.blockVerify(STAGING_AREA, available, BLOCK_PAGE, page, 0, sumLow, sumHigh) !== OK) {
      throw this.damage(place, what, page);
    }
    if (available === place.sectors * SECTOR_SIZE && x.blockPadded(available)) return;
    throw this.#corruption(place, `${what}: its extent holds something else than its block`, page);
  }

  /** Writes the block that a twin's `readWhole` has just brought; answers where it lies here. */
  writeWhole({ sectors, sumLow, sumHigh }: Place): Place {
    const place = { start: this.#extents.allocate(sectors), sectors, sumLow, sumHigh };
    this.#writeStaged([place]);
    return place;
  }

  /** The codec that the header of a block names, unchecked; undefined when no block begins there. */
  codecAt(start: number): number | undefined {
    const header = this.#core.u8.subarray(STAGING_AREA, STAGING_AREA + BLOCK_HEADER_SIZE);
    const bytes = this.#file.read(header, start * SECTOR_SIZE);
    const codec = bytes < BLOCK_HEADER_SIZE ? 0xff : this.#core.x.blockCodec(STAGING_AREA);
    return codec === 0xff ? undefined : codec;
  }

  /** What the core just found wrong, in words. */
  get fault(): string {
    return DAMAGE_TEXT[this.#core.x.damage()] as string;
  }

  /** The error for a page whose reference was spoilt. */
  spoilt(place: Place, page: number): AegisError {
    return this.#corruption(place, `page ${page}: ${SPOILT_TEXT}`, page);
  }

  /** The error for what the core just found damaged. */
  damage(place: Place, what: string, page?: number): AegisError {
    const cause = this.#core.x.damage() === DAMAGE_COMPRESSION ? this.codecs.failure : undefined;
    return this.#corruption(place, `${what}: ${this.fault}`, page, cause);
  }

  #corruption({ start }: Place, what: string, page?: number, cause?: unknown): AegisError {
    const offset = start * SECTOR_SIZE;
    return new AegisError('CORRUPTION', `${what} (file ${DATA_FILE}, offset ${offset})`, {
      cause,
      file: DATA_FILE,
      offset,
      ...(page === undefined ? {} : { page }),
    });
  }

  /** Fills the file ahead until the tail has that many sectors. Throws OUT_OF_SPACE; what was filled stays. */
  fillTail(sectors: number): void {
    const wanted = this.#extents.end + sectors;
    let filled = this.#extents.filled;
    while (filled < wanted) {
      const bytes = Math.min(FILL_BYTES, (wanted - filled) * SECTOR_SIZE);
      this.#file.write([ZEROS.subarray(0, bytes)], filled * SECTOR_SIZE);
      filled += bytes / SECTOR_SIZE;
      this.#extents.setFilled(filled);
    }
  }

  /** Cuts the tail off, except for so many sectors. */
  cutTail(keep = 0): void {
    const { end, filled } = this.#extents;
    if (filled <= end + keep) return;
    this.#file.truncate((end + keep) * SECTOR_SIZE);
    this.#extents.setFilled(end + keep);
  }

  #allocate(bytes: number, pending: readonly { place: Place }[]): Place {
    const sectors = bytes / SECTOR_SIZE;
    let start: number;
    try {
      start = this.#extents.allocate(sectors);
    } catch (error) {
      for (const { place } of pending) this.#extents.free(place.start, place.sectors);
      throw error;
    }
    return { start, sectors, sumLow: this.#core.x.blockSumLow(), sumHigh: this.#core.x.blockSumHigh() };
  }

  /** Writes staged blocks, which lie one after the other, with one write for each run of neighbouring extents. */
  #writeStaged(places: readonly Place[]): void {
    let from = STAGING_AREA;
    let first = 0;
    try {
      while (first < places.length) {
        let end = (places[first] as Place).start;
        let last = first;
        while (last < places.length && (places[last] as Place).start === end)
          end += (places[last++] as Place).sectors;
        const start = (places[first] as Place).start;
        const bytes = (end - start) * SECTOR_SIZE;
        this.#file.write([this.#core.u8.subarray(from, from + bytes)], start * SECTOR_SIZE);
        if (this.#extents.filled < end) this.#extents.setFilled(end);
        from += bytes;
        first = last;
      }
    } catch (error) {
      for (const place of places) this.#extents.free(place.start, place.sectors);
      throw error;
    }
  }

  #count(block: number, bytes: number): void {
    ++this.counters.blocksWritten;
    this.counters.bytesWritten += bytes;
    this.counters.bytesRaw += this.#core.u32[block / 4 + 6] as number;
  }
}
