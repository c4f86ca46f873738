/**
 * The page directory: page number -> where its newest version lies (extent and checksum), and the epoch that version
 * began with. Nothing else says what the data file means.
 *
 * All of it is in memory (24 bytes a page: 0.3 % of the data), in chunks; chunks without an entry are left out. In the
 * file a chunk holds as many entries as fit in a page, 16 bytes each. Chunks of level 1 and above hold the places of
 * the chunks below them, up to a single root. A checkpoint writes the chunks that changed, as of its snapshot.
 *
 * Invariants
 *   1. Entry 0 is never used; a number's entry is absent (kind 0) while the page has never been written, or is free.
 *   2. `changed` holds every chunk whose entries differ from the last chunk composed for a checkpoint.
 */
import { invariant } from '../base/errors.ts';

/** Where a block lies and what its checksum is. `sectors` 0 means: nowhere. */
export interface Place {
  readonly start: number;
  readonly sectors: number;
  readonly sumLow: number;
  readonly sumHigh: number;
}

/** Whether a reference leads to bytes that are not to be believed (`spoil`). */
export function isSpoilt({ sectors, sumLow, sumHigh }: Place): boolean {
  return sectors > 0 && sumLow === 0 && sumHigh === 0;
}

export const NOWHERE: Place = { start: 0, sectors: 0, sumLow: 0, sumHigh: 0 };

/** Words of an entry as it lies in a chunk: start, sectors | kind << 24, checksum. */
export const ENTRY_WORDS = 4;
export const KIND_PAGE = 1;
const KIND_CHUNK = 2;
/** Longest extent an entry can name. */
export const SECTORS_PER_EXTENT_MAX = 0xffffff;

export class Directory {
  /** Entries of a chunk. */
  readonly fanout: number;
  readonly #words: (Uint32Array | undefined)[] = [];
  /** Absent: 0 for all entries of the chunk. */
  readonly #from: (Float64Array | undefined)[] = [];
  /** Places of the chunks of every level; level 0 are the chunks that hold page entries. */
  readonly #chunks: Place[][] = [];
  #changed = new Set<number>();
  /** The set a running checkpoint took over: it must learn of what is written for it by others. */
  #taken: Set<number> | undefined;
  #takenEpoch = 0;
  #written = 0;

  constructor(pageSize: number) {
    this.fanout = pageSize / (ENTRY_WORDS * 4);
  }

  /** One past the highest chunk that holds page entries. */
  get chunkCount(): number {
    return this.#words.length;
  }

  /** Pages that lie in an extent. */
  get writtenCount(): number {
    return this.#written;
  }

  /** Place of a page's newest version; `sectors` 0 when it lies in none. */
  place(page: number): Place {
    const words = this.#words[Math.floor(page / this.fanout)];
    if (!words) return NOWHERE;
    const at = (page % this.fanout) * ENTRY_WORDS;
    const span = words[at + 1] as number;
    if (span === 0) return NOWHERE;
    return {
      start: words[at] as number,
      sectors: span & SECTORS_PER_EXTENT_MAX,
      sumLow: words[at + 2] as number,
      sumHigh: words[at + 3] as number,
    };
  }

  /** Epoch the newest written version of a page began with. */
  from(page: number): number {
    return this.#from[Math.floor(page / this.fanout)]?.[page % this.fanout] ?? 0;
  }

  /** Notes where a page's newest version lies now. */
  setPlace(page: number, place: Place, from: number): void {
    const index = Math.floor(page / this.fanout);
    const words = this.#words[index] ?? this.addChunk(index);
    const at = (page % this.fanout) * ENTRY_WORDS;
    if (words[at + 1] === 0) ++this.#written;
    writePlace(words, at, place, KIND_PAGE);
    this.#from[index] ??= new Float64Array(this.fanout);
    this.#from[index][page % this.fanout] = from;
    this.#mark(index, from);
  }

  /** Notes that a page's newest version lies in no extent (changed since, or free). */
  clearPlace(page: number): void {
    const index = Math.floor(page / this.fanout);
    const words = this.#words[index];
    if (!words) return;
    const at = (page % this.fanout) * ENTRY_WORDS;
    if (words[at + 1] !== 0) --this.#written;
    words.fill(0, at, at + ENTRY_WORDS);
    this.#mark(index);
  }

  /** Gives the reference to a page a checksum that no block has: what lies there is not to be believed any more. */
  spoil(page: number): void {
    const index = Math.floor(page / this.fanout);
    const words = this.#words[index];
    invariant(words !== undefined, 'a page that is spoilt has a place');
    const at = (page % this.fanout) * ENTRY_WORDS;
    words.fill(0, at + 2, at + ENTRY_WORDS);
    this.#mark(index);
  }

  /** Notes that an old version of a page got a place: a running checkpoint may see it. */
  markChanged(page: number): void {
    this.#taken?.add(Math.floor(page / this.fanout));
  }

  /** Has the next checkpoint write a chunk anew, and those above it. */
  renewChunk(level: number, index: number): void {
    this.#mark(index * this.fanout ** level);
  }

  #mark(index: number, from = Number.POSITIVE_INFINITY): void {
    // The running checkpoint will write changes of its own snapshot, so the next one need not write the chunk for
    // them.
    if (!this.#taken || from > this.#takenEpoch) this.#changed.add(index);
    this.#taken?.add(index);
  }

  /** Adds an empty chunk of page entries. */
  addChunk(index: number): Uint32Array {
    const words = new Uint32Array(this.fanout * ENTRY_WORDS);
    this.#words[index] = words;
    return words;
  }

  /** Visits every page that lies in an extent. */
  eachPlaced(visit: (page: number, start: number, sectors: number) => void): void {
    this.eachChunk((words, index) => {
      for (let at = 0; at < words.length; at += ENTRY_WORDS) {
        const sectors = (words[at + 1] as number) & SECTORS_PER_EXTENT_MAX;
        if (sectors > 0) visit(index * this.fanout + at / ENTRY_WORDS, words[at] as number, sectors);
      }
    });
  }

  /** Visits the entries of every chunk that has some: only for recovery and verification. */
  eachChunk(visit: (words: Uint32Array, index: number) => void): void {
    for (const [index, words] of this.chunks()) visit(words, index);
  }

  /** The same one by one, with their indexes. */
  *chunks(): Generator<[index: number, words: Uint32Array], void> {
    for (const index of indexesOf(this.#words)) yield [index, this.#words[index] as Uint32Array];
  }

  /** Counts entries filled in by hand (after loading chunks). */
  recount(): void {
    this.#written = 0;
    this.eachChunk((words) => {
      for (let at = 1; at < words.length; at += ENTRY_WORDS) if (words[at] !== 0) ++this.#written;
    });
  }

  /** Hands the changed chunks to a checkpoint of an epoch; until it ends (`endTaken`) its set grows with the new one. */
  takeChanged(epoch: number): Set<number> {
    this.#takenEpoch = epoch;
    this.#taken = this.#changed;
    this.#changed = new Set();
    return this.#taken;
  }

  /** The checkpoint is over; when it failed its chunks are changed as before. */
  endTaken(failed: boolean): void {
    if (failed && this.#taken) for (const chunk of this.#taken) this.#changed.add(chunk);
    this.#taken = undefined;
  }

  /** Chunks waiting for a checkpoint. */
  get changedCount(): number {
    return this.#changed.size;
  }

  /** Places of the chunks of a level, index by index; chunks that were never written may be left out. */
  level(level: number): Place[] {
    while (this.#chunks.length <= level) this.#chunks.push([]);
    return this.#chunks[level] as Place[];
  }

  /** Visits the chunks of the durable checkpoint, wherever they lie. */
  eachChunkPlace(visit: (place: Place, level: number, index: number) => void): void {
    for (const [level, places] of this.#chunks.entries()) {
      for (const index of indexesOf(places)) {
        const place = places[index] as Place;
        if (place.sectors > 0) visit(place, level, index);
      }
    }
  }

  /** Places of all chunks of the durable checkpoint: only for verification. */
  chunkPlaces(): Place[] {
    const written: Place[] = [];
    this.eachChunkPlace((place) => written.push(place));
    return written;
  }

  /** Levels that a directory of so many chunks of page entries has. */
  levelsFor(chunks: number): number {
    let levels = 1;
    for (let count = chunks; count > 1; count = Math.ceil(count / this.fanout)) ++levels;
    return levels;
  }
}

/** Writes a place as an entry. */
export function writePlace(words: Uint32Array, at: number, place: Place, kind: number): void {
  words[at] = place.start;
  words[at + 1] = place.sectors === 0 ? 0 : (place.sectors | (kind << 24)) >>> 0;
  words[at + 2] = place.sumLow;
  words[at + 3] = place.sumHigh;
}

/** Writes the place of a chunk as an entry of the chunk above it. */
export function writeChunkPlace(words: Uint32Array, at: number, place: Place): void {
  writePlace(words, at, place, KIND_CHUNK);
}

/** Reads an entry that must be of a kind; undefined when it is neither absent nor that. */
export function readPlace(words: Uint32Array, at: number, isChunk: boolean): Place | undefined {
  const span = words[at + 1] as number;
  if (span === 0) return NOWHERE;
  const sectors = span & SECTORS_PER_EXTENT_MAX;
  if (span >>> 24 !== (isChunk ? KIND_CHUNK : KIND_PAGE) || sectors === 0) return undefined;
  return {
    start: words[at] as number,
    sectors,
    sumLow: words[at + 2] as number,
    sumHigh: words[at + 3] as number,
  };
}

/** The indexes that a list has, in order: passing over what is left out costs nothing, however much that is. */
export function indexesOf(list: readonly unknown[]): number[] {
  return Object.keys(list).map(Number);
}
