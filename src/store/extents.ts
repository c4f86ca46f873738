/**
 * Free space of the data file: which units hold a block that somebody owns.
 *
 * One bit a unit, in memory, made anew from the page directory when a store is opened: free space can neither leak
 * nor disagree with what the directory says. Neighbouring free units are one extent by the nature of a bitmap. Every
 * piece of 32 MiB keeps an upper bound of its longest free run, so that full pieces are passed over at once.
 *
 * Beyond the highest unit ever used lies the tail: contiguous, filled with zeros ahead of need, and so known to be
 * real on the device. Blocks go to holes first and to the tail otherwise; whoever must not meet a full disk makes
 * sure beforehand that the tail is long enough (`tailUnits`).
 *
 * Invariants
 *   1. A unit is owned once: taking an owned one, or giving back a free one, is an error.
 *   2. Everything at or above `end` is free, and `end` is one past an owned unit (or the first data unit).
 *   3. `filled` is never above what has been written to the file; the file beyond it is not there yet.
 */
import { AegisError, invariant } from '../base/errors.ts';

/** Units of one piece of the bitmap: 32 MiB of the file. */
const PIECE_UNITS = 65536;
const PIECE_WORDS = PIECE_UNITS / 32;

/** 32-bit unit numbers end here: 2 TiB. */
const UNITS_MAX = 2 ** 32;

export class Extents {
  #words = new Uint32Array(PIECE_WORDS);
  /** Per piece: no free run is longer than this. */
  #longest: number[] = [PIECE_UNITS];
  #first: number;
  #end: number;
  #filled: number;
  #used = 0;
  #cursor: number;
  #ceiling: number | undefined;

  /** @param first first unit that may hold a block; what lies below belongs to the superblocks. */
  constructor(first: number) {
    this.#first = first;
    this.#end = first;
    this.#filled = first;
    this.#cursor = first;
    for (let unit = 0; unit < first; ++unit) this.#set(unit);
  }

  /** One past the highest owned unit. */
  get end(): number {
    return this.#end;
  }

  /** One past the highest unit known to be real on the device. */
  get filled(): number {
    return this.#filled;
  }

  /** First unit that may hold a block. */
  get first(): number {
    return this.#first;
  }

  /** Owned units. */
  get used(): number {
    return this.#used;
  }

  /** Units of the tail: free, contiguous and real. */
  get tailUnits(): number {
    return Math.max(0, this.#filled - this.#end);
  }

  /** Free units below the end. */
  get holeUnits(): number {
    return this.#end - this.#first - this.#used;
  }

  /** One bit a unit, set while it is owned: only for verification. */
  get bitmap(): Readonly<Uint32Array> {
    return this.#words;
  }

  /** Notes that the file has been written, or cut, up to a unit. */
  setFilled(units: number): void {
    this.#filled = units;
  }

  /** Marks an extent as owned, as the directory says; false when part of it is owned already or out of range. */
  claim(start: number, units: number): boolean {
    if (start < this.#first || units < 1 || start + units > UNITS_MAX) return false;
    this.#cover(start + units);
    for (let unit = start; unit < start + units; ++unit) if (this.#owned(unit)) return false;
    this.#own(start, units);
    return true;
  }

  /**
   * Says where blocks go while the file is made smaller: to the lowest hole that ends at or below a unit, else behind
   * everything. Undefined: as usual.
   */
  packBelow(ceiling: number | undefined): void {
    this.#ceiling = ceiling;
  }

  /** Where an extent would go with everything packed as low as it can be; undefined: no hole is long enough. */
  lowestHole(units: number): number | undefined {
    return this.#search(this.#first, this.#end, units);
  }

  /** The highest unit from which on, up to `top`, at least so many units are free; the first unit if there is none. */
  windowBelow(top: number, free: number): number {
    let unit = top;
    for (let found = 0; unit > this.#first && found < free; --unit) if (!this.#owned(unit - 1)) ++found;
    return unit;
  }

  /** Takes an extent. Throws OUT_OF_SPACE at the end of the address range. */
  allocate(units: number): number {
    const hole = this.#ceiling === undefined ? this.#findHole(units) : this.#findLow(units, this.#ceiling);
    const start = hole ?? this.#end;
    if (start + units > UNITS_MAX) throw new AegisError('OUT_OF_SPACE', 'the data file has reached 2 TiB');
    this.#cover(start + units);
    this.#own(start, units);
    this.#cursor = start + units;
    return start;
  }

  /** Gives an extent back. */
  free(start: number, units: number): void {
    for (let unit = start; unit < start + units; ++unit) {
      invariant(this.#owned(unit), 'only an owned unit is given back');
      this.#clear(unit);
    }
    this.#used -= units;
    for (let piece = pieceOf(start); piece <= pieceOf(start + units - 1); ++piece) {
      this.#longest[piece] = PIECE_UNITS;
    }
    if (start + units === this.#end) this.#lowerEnd();
  }

  /** Whether any unit of an extent is owned. */
  owns(start: number, units: number): boolean {
    for (let unit = start; unit < start + units; ++unit) if (this.#owned(unit)) return true;
    return false;
  }

  /** How many extents of so many units fit in the holes below the end; stops counting at `most`. */
  places(units: number, most: number): number {
    let places = 0;
    // Piece by piece, and those without a long enough run not at all: a commit on a full disk asks this each time.
    for (let at = this.#first; places < most; ++places) {
      const hole = this.#search(at, this.#end, units);
      if (hole === undefined) break;
      at = hole + units;
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
  #findHole(units: number): number | undefined {
    if (this.#end - this.#first - this.#used < units) return undefined;
    return this.#search(this.#cursor, this.#end, units) ?? this.#search(this.#first, this.#cursor, units);
  }

  #findLow(units: number, ceiling: number): number | undefined {
    const hole = this.lowestHole(units);
    return hole === undefined || hole + units > ceiling ? undefined : hole;
  }

  /** First free run of `units` that begins in [from, to); runs do not cross pieces. */
  #search(from: number, to: number, units: number): number | undefined {
    let unit = from;
    while (unit < to) {
      const piece = pieceOf(unit);
      const pieceStart = piece * PIECE_UNITS;
      const pieceEnd = Math.min(pieceStart + PIECE_UNITS, this.#end);
      if ((this.#longest[piece] as number) < units) {
        unit = pieceStart + PIECE_UNITS;
        continue;
      }
      const found = this.#searchPiece(unit, pieceEnd, units);
      if (found.start !== undefined) return found.start;
      // The whole piece was seen: its bound is known now.
      if (unit === pieceStart || unit === this.#first) this.#longest[piece] = found.longest;
      unit = pieceStart + PIECE_UNITS;
    }
    return undefined;
  }

  #searchPiece(from: number, to: number, units: number): { start?: number; longest: number } {
    const words = this.#words;
    let longest = 0;
    let run = 0;
    let unit = from;
    while (unit < to) {
      // Run by run within a word: a commit on a full disk looks through all of them.
      const bits = (words[unit >>> 5] as number) >>> (unit & 31);
      const left = Math.min(32 - (unit & 31), to - unit);
      if ((bits & 1) === 1) {
        run = 0;
        unit += Math.min(zerosBelow(~bits), left);
        continue;
      }
      const free = Math.min(zerosBelow(bits), left);
      run += free;
      unit += free;
      if (run > longest) longest = run;
      if (run >= units) return { start: unit - run, longest };
    }
    return { longest };
  }

  #own(start: number, units: number): void {
    for (let unit = start; unit < start + units; ++unit) {
      invariant(!this.#owned(unit), 'a unit is owned once');
      this.#set(unit);
    }
    this.#used += units;
    if (start + units > this.#end) this.#end = start + units;
  }

  #owned(unit: number): boolean {
    return (((this.#words[unit >>> 5] ?? 0) >>> (unit & 31)) & 1) === 1;
  }

  #set(unit: number): void {
    this.#words[unit >>> 5] = (this.#words[unit >>> 5] as number) | (1 << (unit & 31));
  }

  #clear(unit: number): void {
    this.#words[unit >>> 5] = (this.#words[unit >>> 5] as number) & ~(1 << (unit & 31));
  }

  /** Makes the bitmap reach a unit. */
  #cover(units: number): void {
    const pieces = pieceOf(units - 1) + 1;
    if (pieces <= this.#longest.length) return;
    const wanted = Math.max(pieces, Math.ceil(this.#longest.length * 1.5));
    const words = new Uint32Array(wanted * PIECE_WORDS);
    words.set(this.#words);
    this.#words = words;
    while (this.#longest.length < wanted) this.#longest.push(PIECE_UNITS);
  }
}

/** Zero bits below the lowest one that is set; 32: none is. */
function zerosBelow(bits: number): number {
  return bits === 0 ? 32 : 31 - Math.clz32(bits & -bits);
}

function pieceOf(unit: number): number {
  return Math.floor(unit / PIECE_UNITS);
}
