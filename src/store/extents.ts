/**
 * Free space of the data file: which sectors hold a block that somebody owns.
 *
 * One bit a sector, in memory, made anew from the page directory when a store is opened: free space can neither leak
 * nor disagree with what the directory says. Neighbouring free sectors are one extent by the nature of a bitmap. Every
 * piece of 32 MiB keeps an upper bound of its longest free run, so that full pieces are passed over at once.
 *
 * Beyond the highest sector ever used lies the tail: contiguous, filled with zeros ahead of need, and so known to be
 * real on the device. Blocks go to holes first and to the tail otherwise; whoever must not meet a full disk makes
 * sure beforehand that the tail is long enough (`tailSectors`).
 *
 * Invariants
 *   1. A sector is owned once: taking an owned one, or freeing a free one, is an error.
 *   2. Everything at or above `end` is free, and `end` is one past an owned sector (or the first data sector).
 *   3. `filled` is never above what has been written to the file; the file beyond it is not there yet.
 */
import { AegisError, invariant } from '../base/errors.ts';

/** Sectors of one piece of the bitmap: 32 MiB of the file. */
const PIECE_SECTORS = 65536;
const PIECE_WORDS = PIECE_SECTORS / 32;

/** 32-bit sector numbers end here: 2 TiB. */
const SECTORS_MAX = 2 ** 32;

export class Extents {
  #words = new Uint32Array(PIECE_WORDS);
  /** Per piece: no free run is longer than this. */
  #longest: number[] = [PIECE_SECTORS];
  #first: number;
  #end: number;
  #filled: number;
  #used = 0;
  #cursor: number;
  #ceiling: number | undefined;

  /** @param first first sector that may hold a block; what lies below belongs to the superblocks. */
  constructor(first: number) {
    this.#first = first;
    this.#end = first;
    this.#filled = first;
    this.#cursor = first;
    for (let sector = 0; sector < first; ++sector) this.#set(sector);
  }

  /** One past the highest owned sector. */
  get end(): number {
    return this.#end;
  }

  /** One past the highest sector known to be real on the device. */
  get filled(): number {
    return this.#filled;
  }

  /** First sector that may hold a block. */
  get first(): number {
    return this.#first;
  }

  /** Owned sectors. */
  get used(): number {
    return this.#used;
  }

  /** Sectors of the tail: free, contiguous and real. */
  get tailSectors(): number {
    return Math.max(0, this.#filled - this.#end);
  }

  /** Free sectors below the end. */
  get holeSectors(): number {
    return this.#end - this.#first - this.#used;
  }

  /** One bit a sector, set while it is owned: only for verification. */
  get bitmap(): Readonly<Uint32Array> {
    return this.#words;
  }

  /** Notes that the file has been written, or cut, up to a sector. */
  setFilled(sectors: number): void {
    this.#filled = sectors;
  }

  /** Marks an extent as owned, as the directory says; false when part of it is owned already or out of range. */
  claim(start: number, sectors: number): boolean {
    if (start < this.#first || sectors < 1 || start + sectors > SECTORS_MAX) return false;
    this.#cover(start + sectors);
    for (let sector = start; sector < start + sectors; ++sector) if (this.#owned(sector)) return false;
    this.#own(start, sectors);
    return true;
  }

  /**
   * Says where blocks go while the file is made smaller: to the lowest hole that ends at or below a sector, else behind
   * everything. Undefined: as usual.
   */
  packBelow(ceiling: number | undefined): void {
    this.#ceiling = ceiling;
  }

  /** Where an extent would go with everything packed as low as it can be; undefined: no hole is long enough. */
  lowestHole(sectors: number): number | undefined {
    return this.#search(this.#first, this.#end, sectors);
  }

  /** The highest sector from which on, up to `top`, at least so many sectors are free; the first sector if there is none. */
  windowBelow(top: number, free: number): number {
    let sector = top;
    for (let found = 0; sector > this.#first && found < free; --sector) if (!this.#owned(sector - 1)) ++found;
    return sector;
  }

  /** Takes an extent. Throws OUT_OF_SPACE at the end of the address range. */
  allocate(sectors: number): number {
    const hole =
      this.#ceiling === undefined ? this.#findHole(sectors) : this.#findLow(sectors, this.#ceiling);
    const start = hole ?? this.#end;
    if (start + sectors > SECTORS_MAX)
      throw new AegisError('OUT_OF_SPACE', 'the data file has reached 2 TiB');
    this.#cover(start + sectors);
    this.#own(start, sectors);
    this.#cursor = start + sectors;
    return start;
  }

  /** Frees an extent. */
  free(start: number, sectors: number): void {
    for (let sector = start; sector < start + sectors; ++sector) {
      invariant(this.#owned(sector), 'only an owned sector is freed');
      this.#clear(sector);
    }
    this.#used -= sectors;
    for (let piece = pieceOf(start); piece <= pieceOf(start + sectors - 1); ++piece) {
      this.#longest[piece] = PIECE_SECTORS;
    }
    if (start + sectors === this.#end) this.#lowerEnd();
  }

  /** How many extents of so many sectors fit in the holes below the end; stops counting at `most`. */
  places(sectors: number, most: number): number {
    let places = 0;
    // Skip pieces without a long enough run: on a full disk every commit asks this.
    for (let at = this.#first; places < most; ++places) {
      const hole = this.#search(at, this.#end, sectors);
      if (hole === undefined) break;
      at = hole + sectors;
    }
    return places;
  }

  #lowerEnd(): void {
    let end = this.#end;
    while (end > this.#first) {
      // A word at a time where the word is empty.
      if (end % 32 === 0 && end - 32 >= this.#first && this.#words[end / 32 - 1] === 0) end -= 32;
      else if (!this.#owned(end - 1)) --end;
      else break;
    }
    this.#end = end;
    if (this.#cursor > end) this.#cursor = this.#first;
  }

  /** Next fit from the last place: neighbours in time become neighbours in the file. */
  #findHole(sectors: number): number | undefined {
    if (this.#end - this.#first - this.#used < sectors) return undefined;
    return this.#search(this.#cursor, this.#end, sectors) ?? this.#search(this.#first, this.#cursor, sectors);
  }

  #findLow(sectors: number, ceiling: number): number | undefined {
    const hole = this.lowestHole(sectors);
    return hole === undefined || hole + sectors > ceiling ? undefined : hole;
  }

  /** First free run of `sectors` that begins in [from, to); runs do not cross pieces. */
  #search(from: number, to: number, sectors: number): number | undefined {
    let sector = from;
    while (sector < to) {
      const piece = pieceOf(sector);
      const pieceStart = piece * PIECE_SECTORS;
      const pieceEnd = Math.min(pieceStart + PIECE_SECTORS, this.#end);
      if ((this.#longest[piece] as number) < sectors) {
        sector = pieceStart + PIECE_SECTORS;
        continue;
      }
      const found = this.#searchPiece(sector, pieceEnd, sectors);
      if (found.start !== undefined) return found.start;
      // The whole piece was searched, so its longest run is known now.
      if (sector === pieceStart || sector === this.#first) this.#longest[piece] = found.longest;
      sector = pieceStart + PIECE_SECTORS;
    }
    return undefined;
  }

  #searchPiece(from: number, to: number, sectors: number): { start?: number; longest: number } {
    const words = this.#words;
    let longest = 0;
    let run = 0;
    let sector = from;
    while (sector < to) {
      // Go run by run within a word: on a full disk every commit searches all words.
      const bits = (words[sector >>> 5] as number) >>> (sector & 31);
      const left = Math.min(32 - (sector & 31), to - sector);
      if ((bits & 1) === 1) {
        run = 0;
        sector += Math.min(zerosBelow(~bits), left);
        continue;
      }
      const free = Math.min(zerosBelow(bits), left);
      run += free;
      sector += free;
      if (run > longest) longest = run;
      if (run >= sectors) return { start: sector - run, longest };
    }
    return { longest };
  }

  #own(start: number, sectors: number): void {
    for (let sector = start; sector < start + sectors; ++sector) {
      invariant(!this.#owned(sector), 'a sector is owned once');
      this.#set(sector);
    }
    this.#used += sectors;
    if (start + sectors > this.#end) this.#end = start + sectors;
  }

  #owned(sector: number): boolean {
    return (((this.#words[sector >>> 5] ?? 0) >>> (sector & 31)) & 1) === 1;
  }

  #set(sector: number): void {
    this.#words[sector >>> 5] = (this.#words[sector >>> 5] as number) | (1 << (sector & 31));
  }

  #clear(sector: number): void {
    this.#words[sector >>> 5] = (this.#words[sector >>> 5] as number) & ~(1 << (sector & 31));
  }

  /** Makes the bitmap reach a sector. */
  #cover(sectors: number): void {
    const pieces = pieceOf(sectors - 1) + 1;
    if (pieces <= this.#longest.length) return;
    const wanted = Math.max(pieces, Math.ceil(this.#longest.length * 1.5));
    const words = new Uint32Array(wanted * PIECE_WORDS);
    words.set(this.#words);
    this.#words = words;
    while (this.#longest.length < wanted) this.#longest.push(PIECE_SECTORS);
  }
}

/** Zero bits below the lowest one that is set; 32: none is. */
function zerosBelow(bits: number): number {
  return bits === 0 ? 32 : 31 - Math.clz32(bits & -bits);
}

function pieceOf(sector: number): number {
  return Math.floor(sector / PIECE_SECTORS);
}
