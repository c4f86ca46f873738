/**
 * The page directory of a damaged store: every chunk that can be read. What a lost chunk held is not looked for among
 * the blocks of the file: the newest version of a page could not be told from an older one.
 */
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import { DATA_FILE } from '../store/blocks.ts';
import type { Place } from '../store/directory.ts';
import { ENTRY_WORDS, readPlace } from '../store/directory.ts';
import type { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';
import type { VerifyProblem } from './findings.ts';
import { attempt } from './findings.ts';

/** Page numbers whose places are not known. */
export interface LostPlaces {
  readonly from: number;
  readonly to: number;
  readonly problem: VerifyProblem;
}

/** Reads every chunk that can be read, letting other work run in between; answers what the others were for. */
export async function loadReadable(
  { directory, blocks }: Pager,
  superblock: Superblock,
  rest: () => Promise<void>,
): Promise<LostPlaces[]> {
  const { fanout } = directory;
  const lost: LostPlaces[] = [];
  const read = async (level: number, index: number, place: Place): Promise<void> => {
    await rest();
    const pages = fanout ** (level + 1);
    const lose = (found: VerifyProblem): void => {
      const problem = { file: DATA_FILE, offset: place.start * SECTOR_SIZE, ...found };
      lost.push({ from: index * pages, to: (index + 1) * pages, problem });
    };
    if (place.sectors > blocks.pageSectors) {
      lose({ message: `directory chunk ${index} of level ${level} has an extent that cannot be` });
      return;
    }
    const words = level === 0 ? directory.addChunk(index) : new Uint32Array(fanout * ENTRY_WORDS);
    const problem = attempt(() => blocks.readChunk(level, index, place, words));
    if (problem) {
      lose(problem);
      return;
    }
    for (let i = 0; level > 0 && i < fanout; ++i) {
      const below = readPlace(words, i * ENTRY_WORDS, true);
      const child = index * fanout + i;
      // An impossible entry is skipped: the pages below it are not found.
      if (below && below.sectors > 0 && child * (pages / fanout) < superblock.nextPage) {
        await read(level - 1, child, below);
      }
    }
  };
  if (superblock.chunkCount > 0) {
    await read(directory.levelsFor(superblock.chunkCount) - 1, 0, superblock.directory);
  }
  return lost;
}
