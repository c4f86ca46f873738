/**
 * The chunks of a page directory on their way to a file: a checkpoint writes those that changed, a backup all of them.
 * Level by level, from the entries of pages up to the root, each level once everything below it has its place.
 *
 * Invariants
 *   1. The directory as of a snapshot is composed from versions, never from live entries alone: those go on changing.
 *   2. Every chunk above one that was written is written as well, up to one root.
 */
import { invariant } from '../base/errors.ts';
import type { BlockStore } from '../store/blocks.ts';
import type { Directory, Place } from '../store/directory.ts';
import { ENTRY_WORDS, KIND_PAGE, NOWHERE, writeChunkPlace, writePlace } from '../store/directory.ts';
import type { Pager } from '../store/pager.ts';

/** What is written: which chunks, what is in them, and where to. */
export interface ChunkSource {
  /** Where the chunks lie that are not written anew. */
  readonly directory: Directory;
  readonly blocks: BlockStore;
  /** Chunks of page entries that the directory has. */
  readonly chunkCount: number;
  /** Those of page entries that are written. */
  readonly changed: Iterable<number>;
  /** The entries of one of them. */
  readonly entries: (index: number) => Uint32Array;
  /** Hears of each new place, and of the one it stands for. */
  readonly written: (place: Place, old: Place | undefined) => void;
}

/** Where a chunk lies now. */
export interface ChunkPlace {
  readonly level: number;
  readonly index: number;
  readonly place: Place;
}

/** What was written. */
export interface ChunkPlan {
  readonly root: Place;
  readonly places: readonly ChunkPlace[];
}

/** Chunks composed in one go. */
const SLICE_CHUNKS = 16;

/** Writes the chunks that changed and those above them; other work may run at every `yield`. */
export function* writeChunks(source: ChunkSource): Generator<'pause', ChunkPlan> {
  const { directory, blocks, chunkCount, changed, entries, written } = source;
  const places: ChunkPlace[] = [];
  const levels = directory.levelsFor(chunkCount);
  let indexes = [...changed].filter((index) => index < chunkCount).sort((a, b) => a - b);
  let below = new Map<number, Place>();
  for (let level = 0; level < levels; ++level) {
    const own = new Map<number, Place>();
    for (const [at, index] of indexes.entries()) {
      const words = level === 0 ? entries(index) : composeAbove(directory, level, index, below);
      const place = words.some((word) => word !== 0) ? blocks.writeChunk(level, index, words) : NOWHERE;
      written(place, directory.level(level)[index]);
      own.set(index, place);
      places.push({ level, index, place });
      if (at % SLICE_CHUNKS === SLICE_CHUNKS - 1) yield 'pause';
    }
    below = own;
    const above = new Set(indexes.map((index) => Math.floor(index / directory.fanout)));
    // New page numbers can add a level although no page has changed.
    if (directory.level(level + 1)[0] === undefined) above.add(0);
    indexes = [...above];
  }
  const root = below.get(0) ?? directory.level(levels - 1)[0];
  invariant(root !== undefined, 'a directory has a root');
  return { root, places };
}

/** The entries of a chunk of pages as a snapshot sees them, every page of which lies in an extent. */
export function entriesAsOf(pager: Pager, epoch: number, index: number, nextPage: number): Uint32Array {
  pager.drain();
  const { directory, versions } = pager;
  return composeEntries(directory.fanout, index, nextPage, (page) => {
    const old = versions.find(page, epoch);
    if (old) {
      invariant(old.place.sectors > 0, 'every page of the snapshot has a place by now');
      return old.place;
    }
    return directory.from(page) <= epoch ? directory.place(page) : NOWHERE;
  });
}

/** The entries of a chunk of pages, each where `placeOf` says. */
export function composeEntries(
  fanout: number,
  index: number,
  nextPage: number,
  placeOf: (page: number) => Place,
): Uint32Array {
  const words = new Uint32Array(fanout * ENTRY_WORDS);
  const first = index * fanout;
  const last = Math.min(first + fanout, nextPage);
  for (let page = first; page < last; ++page) {
    const place = placeOf(page);
    if (place.sectors > 0) writePlace(words, (page - first) * ENTRY_WORDS, place, KIND_PAGE);
  }
  return words;
}

/** The entries of a chunk of chunks: new places where there are some, the old ones otherwise. */
function composeAbove(
  directory: Directory,
  level: number,
  index: number,
  below: ReadonlyMap<number, Place>,
): Uint32Array {
  const words = new Uint32Array(directory.fanout * ENTRY_WORDS);
  const old = directory.level(level - 1);
  const first = index * directory.fanout;
  for (let i = 0; i < directory.fanout; ++i) {
    const place = below.get(first + i) ?? old[first + i];
    if (place && place.sectors > 0) writeChunkPlace(words, i * ENTRY_WORDS, place);
  }
  return words;
}
