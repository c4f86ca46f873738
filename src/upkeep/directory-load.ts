/**
 * Loading the page directory: from its root's place in the superblock to every entry, with free space and free page
 * numbers as what remains. Any bytes end in a directory or in CORRUPTION: whatever two entries claim, or lies outside
 * the file, or cannot be an entry, is refused, and no more is allocated than chunks that are really there.
 */
import { UNIT_SIZE } from '../../assembly/layout.ts';
import { AegisError } from '../errors.ts';
import { DATA_FILE } from '../store/blocks.ts';
import type { Place } from '../store/directory.ts';
import { ENTRY_WORDS, NOWHERE, readPlace } from '../store/directory.ts';
import type { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';

/** Reads every chunk and claims what it names. @throws AegisError `CORRUPTION` with file and offset */
export function loadDirectory(pager: Pager, superblock: Superblock, fileUnits: number): void {
  const { directory, blocks } = pager;
  const { extents } = blocks;
  extents.setFilled(fileUnits);
  const claim = (place: Place, what: string): void => {
    if (place.start + place.units > superblock.endUnit || !extents.claim(place.start, place.units)) {
      throw new AegisError('CORRUPTION', `${what} claims an extent that is taken or cannot be`, {
        file: DATA_FILE,
        offset: place.start * UNIT_SIZE,
      });
    }
  };
  const { fanout } = directory;
  const levels = directory.levelsFor(superblock.chunkCount);
  const counts: number[] = [superblock.chunkCount];
  for (let level = 1; level < levels; ++level) counts.push(Math.ceil((counts[level - 1] as number) / fanout));
  directory.level(levels - 1)[0] = superblock.directory;
  for (let level = levels - 1; level >= 0; --level) {
    const places = directory.level(level);
    for (let index = 0; index < (counts[level] as number); ++index) {
      const words = level === 0 ? directory.addChunk() : new Uint32Array(fanout * ENTRY_WORDS);
      const place = places[index] ?? NOWHERE;
      if (place.units > 0) {
        claim(place, `directory chunk ${index} of level ${level}`);
        blocks.readChunk(level, index, place, words);
      }
      if (level > 0)
        readPlaces(directory.level(level - 1), words, index * fanout, counts[level - 1] as number);
    }
  }
  const free: number[] = [];
  for (let page = superblock.nextPage - 1; page > 0; --page) {
    const words = page < directory.capacity ? directory.chunk(Math.floor(page / fanout)) : undefined;
    const place = words ? readPlace(words, (page % fanout) * ENTRY_WORDS, false) : NOWHERE;
    if (!place)
      throw new AegisError('CORRUPTION', `the directory entry of page ${page} is impossible`, { page });
    if (place.units > 0) claim(place, `page ${page}`);
    else free.push(page);
  }
  for (let page = 0; page < directory.capacity; page = page === 0 ? superblock.nextPage : page + 1) {
    const words = directory.chunk(Math.floor(page / fanout));
    if (readPlace(words, (page % fanout) * ENTRY_WORDS, false) === NOWHERE) continue;
    throw new AegisError('CORRUPTION', `the directory has an entry for page ${page}, which was never used`, {
      page,
    });
  }
  directory.recount();
  pager.addFreeNumbers(free);
}

/** The places of the chunks below one. */
function readPlaces(target: Place[], words: Uint32Array, first: number, count: number): void {
  for (let i = 0; i * ENTRY_WORDS < words.length; ++i) {
    const place = readPlace(words, i * ENTRY_WORDS, true);
    if (!place || (first + i >= count && place.units > 0)) {
      throw new AegisError('CORRUPTION', 'a directory chunk refers to what cannot be', { file: DATA_FILE });
    }
    if (first + i < count) target[first + i] = place;
  }
}
