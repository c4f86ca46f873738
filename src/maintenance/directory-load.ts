/**
 * Loading the page directory: from its root's place in the superblock to every entry, with free space and free page
 * numbers as what remains. Any bytes end in a directory or in CORRUPTION: whatever two entries claim, or lies outside
 * the file, or cannot be an entry, is refused, and no more is allocated than chunks that are really there. Other work
 * may run between two chunks.
 */
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import { AegisError } from '../base/errors.ts';
import { DATA_FILE } from '../store/blocks.ts';
import type { Place } from '../store/directory.ts';
import { ENTRY_WORDS, indexesOf, readPlace } from '../store/directory.ts';
import type { NumberRun } from '../store/numbers.ts';
import type { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';

/** Most sectors beyond the end of the file that an extent may have: a file was cut short, and what is left is read. */
const LOST_SECTORS_MAX = 2 ** 26;

/** Reads every chunk and claims what it names. @throws AegisError `CORRUPTION` with file and offset */
export async function loadDirectory(
  pager: Pager,
  superblock: Superblock,
  fileSectors: number,
  rest: () => Promise<void>,
): Promise<void> {
  const { directory, blocks } = pager;
  const { extents } = blocks;
  const { fanout } = directory;
  // The bitmap of free space reaches up to the last extent. A forged entry must not make it larger than the file
  // warrants.
  const last = Math.min(superblock.endSector, 2 * fileSectors + LOST_SECTORS_MAX);
  const claim = (place: Place, what: string, page?: number): void => {
    const { start, sectors } = place;
    if (start + sectors <= last && sectors <= blocks.pageSectors && extents.claim(start, sectors)) return;
    throw refusal(`${what} claims an extent that is taken or cannot be`, start, page);
  };
  const levels = directory.levelsFor(superblock.chunkCount);
  const counts: number[] = [superblock.chunkCount];
  for (let level = 1; level < levels; ++level) counts.push(Math.ceil((counts[level - 1] as number) / fanout));
  directory.level(levels - 1)[0] = superblock.directory;
  const read = (level: number, index: number, place: Place, words: Uint32Array): void => {
    claim(place, `directory chunk ${index} of level ${level}`);
    blocks.readChunk(level, index, place, words);
  };
  // Visit present chunks only: a forged superblock may claim millions.
  for (let level = levels - 1; level > 0; --level) {
    const below = directory.level(level - 1);
    const places = directory.level(level);
    for (const index of indexesOf(places)) {
      const place = places[index] as Place;
      const words = new Uint32Array(fanout * ENTRY_WORDS);
      read(level, index, place, words);
      readPlaces(below, words, index * fanout, counts[level - 1] as number, place);
      await rest();
    }
  }
  const places = directory.level(0);
  for (const index of indexesOf(places)) {
    const place = places[index] as Place;
    if (place.sectors === 0) continue;
    read(0, index, place, directory.addChunk(index));
    await rest();
  }
  await readEntries(pager, superblock.nextPage, claim, rest);
  directory.recount();
  // An extent beyond the end of the file is lost, but stays allocated; nothing is filled there.
  extents.setFilled(Math.max(fileSectors, extents.end));
}

/** Claims what the entries of all chunks name; numbers without an entry are free. */
async function readEntries(
  pager: Pager,
  nextPage: number,
  claim: (place: Place, what: string, page: number) => void,
  rest: () => Promise<void>,
): Promise<void> {
  const { directory } = pager;
  const { fanout } = directory;
  const free: number[][] = [];
  const runs: NumberRun[] = [];
  let next = 1;
  const addRun = (to: number): void => {
    if (to > next) runs.push({ from: next, to });
  };
  for (const [index, words] of directory.chunks()) {
    const first = index * fanout;
    addRun(Math.min(first, nextPage));
    next = first + fanout;
    const { start } = directory.level(0)[index] as Place;
    const own: number[] = [];
    free.push(own);
    for (let i = fanout - 1; i >= 0; --i) {
      const page = first + i;
      const entry = readPlace(words, i * ENTRY_WORDS, false);
      if (page === 0 || page >= nextPage) {
        if (entry?.sectors === 0) continue;
        throw refusal(`the directory has an entry for page ${page}, which was never used`, start, page);
      }
      if (!entry) throw refusal(`the directory entry of page ${page} is impossible`, start, page);
      if (entry.sectors > 0) claim(entry, `page ${page}`, page);
      else own.push(page);
    }
    await rest();
  }
  addRun(nextPage);
  // Highest first: numbers are taken from the end of the list.
  pager.freeNumbers.reset(free.reverse().flat(), runs);
}

/** The places of the chunks below one. */
function readPlaces(target: Place[], words: Uint32Array, first: number, count: number, from: Place): void {
  for (let i = 0; i * ENTRY_WORDS < words.length; ++i) {
    const place = readPlace(words, i * ENTRY_WORDS, true);
    if (!place || (first + i >= count && place.sectors > 0)) {
      throw refusal('a directory chunk refers to what cannot be', from.start);
    }
    if (place.sectors > 0) target[first + i] = place;
  }
}

function refusal(message: string, start: number, page?: number): AegisError {
  return new AegisError('CORRUPTION', message, {
    file: DATA_FILE,
    offset: start * SECTOR_SIZE,
    ...(page === undefined ? {} : { page }),
  });
}
