/**
 * The durable checkpoint as it lies in the file: both superblock slots, and every chunk of the directory, held against
 * what memory knows of them. The checkpoint is a live snapshot, so what it should say can be told at any time, however
 * far the store has gone on since.
 *
 * Invariants
 *   1. Outside of a run both slots are whole and say the same, the fence aside. While one is under way, either slot
 *      may be a generation ahead; in a store open for reading only, one may have been left behind.
 *   2. Each chunk is read and compared between two steps of a checkpoint, never across one.
 */
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import { DATA_FILE } from '../store/blocks.ts';
import type { Place } from '../store/directory.ts';
import {
  ENTRY_WORDS,
  indexesOf,
  KIND_PAGE,
  NOWHERE,
  writeChunkPlace,
  writePlace,
} from '../store/directory.ts';
import type { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';
import { encodeSuperblock, readSlot, SLOT_POSITIONS } from '../store/superblock.ts';
import type { Findings } from './findings.ts';
import { visibleVersion } from './inspector.ts';

/** What is known of the durable checkpoint. */
export interface Durable {
  readonly superblock: Superblock;
  /** Chunks of a run under way, or of one that failed in doubt; undefined: there is none. */
  readonly unsettled: readonly Place[] | undefined;
}

/** Checks both superblock slots, and that the checkpoint they name is held. */
export function auditSlots(pager: Pager, durable: Durable, readOnly: boolean, findings: Findings): void {
  const { core, blocks, versions } = pager;
  const { superblock, unsettled } = durable;
  const held = versions.durableEpochs;
  if (held.length !== 1 || held[0] !== superblock.epoch) {
    findings.add(`the checkpoint of epoch ${superblock.epoch} is not held, but ${held.join() || 'none'}`);
  }
  const words = (one: Superblock): string => encodeSuperblock(core, { ...one, fence: 0 }).join();
  const wanted = words(superblock);
  for (const [slot, offset] of SLOT_POSITIONS.entries()) {
    const note = (what: string): void =>
      findings.add(`superblock slot ${slot} ${what}`, { file: DATA_FILE, offset });
    try {
      const content = readSlot(core, blocks.file, slot);
      if (!('superblock' in content)) {
        note(content.problem === 'empty' ? 'is empty' : 'is damaged');
        continue;
      }
      const { generation } = content.superblock;
      if (unsettled && generation === superblock.generation + 1) continue;
      if (readOnly && generation < superblock.generation) continue;
      if (words(content.superblock) !== wanted) note('is whole, but not of the last checkpoint');
    } catch (error) {
      findings.addError(error);
    }
  }
}

/** Checks every chunk of the directory, from the pages' up to the root, `slice` of them between two `yield`s. */
export function* auditChunks(
  pager: Pager,
  durable: Durable,
  slice: number,
  findings: Findings,
): Generator<void> {
  const { directory } = pager;
  const levels = (): number => directory.levelsFor(durable.superblock.chunkCount);
  const count = (level: number): number =>
    Math.ceil(durable.superblock.chunkCount / directory.fanout ** level);
  let done = 0;
  // Chunks that have entries or were written, and those above them. The directory is sparse: others do not exist.
  let indexes = new Set<number>();
  directory.eachChunk((_words, index) => void indexes.add(index));
  for (let level = 0; level < levels(); ++level) {
    for (const index of indexesOf(directory.level(level))) indexes.add(index);
    const own = [...indexes].sort((a, b) => a - b);
    indexes = new Set(own.map((index) => Math.floor(index / directory.fanout)));
    for (const index of own) {
      if (index >= count(level)) continue;
      if (++done % slice === 0) yield;
      pager.drain();
      const expected =
        level === 0 ? entriesOf(pager, index, durable.superblock) : chunksBelow(pager, level, index);
      auditChunk(pager, level, index, expected, findings);
    }
  }
  const root = directory.level(levels() - 1)[0] ?? NOWHERE;
  const { start, sectors, sumLow, sumHigh } = durable.superblock.directory;
  if (root.start === start && root.sectors === sectors && root.sumLow === sumLow && root.sumHigh === sumHigh)
    return;
  findings.add('the superblock refers to another directory than the one in use', {
    file: DATA_FILE,
    offset: 0,
  });
}

function auditChunk(
  pager: Pager,
  level: number,
  index: number,
  expected: Uint32Array,
  findings: Findings,
): void {
  const { core, directory, blocks } = pager;
  const what = `directory chunk ${index} of level ${level}`;
  const place = directory.level(level)[index] ?? NOWHERE;
  if (place.sectors === 0) {
    if (expected.some((word) => word !== 0)) findings.add(`${what} was never written`);
    return;
  }
  const where = { file: DATA_FILE, offset: place.start * SECTOR_SIZE };
  const words = new Uint32Array(expected.length);
  try {
    blocks.readChunk(level, index, place, words);
  } catch (error) {
    findings.addError(error);
    return;
  }
  const bytes = place.sectors * SECTOR_SIZE;
  if (!core.x.blockPadded(bytes)) findings.add(`${what}: its extent holds more than its block`, where);
  const differs = words.findIndex((word, at) => word !== expected[at]);
  if (differs < 0) return;
  const entry = index * directory.fanout + Math.floor(differs / ENTRY_WORDS);
  const name = level === 0 ? `page ${entry}` : `chunk ${entry} of level ${level - 1}`;
  findings.add(`${what} has not the place of ${name} that the checkpoint means`, where);
}

/** The entries of a chunk of pages as the checkpoint sees them. */
function entriesOf(pager: Pager, index: number, { epoch, nextPage }: Superblock): Uint32Array {
  const { fanout } = pager.directory;
  const words = new Uint32Array(fanout * ENTRY_WORDS);
  const first = index * fanout;
  for (let page = Math.max(1, first); page < Math.min(first + fanout, nextPage); ++page) {
    const place = visibleVersion(pager, page, epoch)?.place;
    if (place && place.sectors > 0) writePlace(words, (page - first) * ENTRY_WORDS, place, KIND_PAGE);
  }
  return words;
}

/** The entries of a chunk of chunks. */
function chunksBelow(pager: Pager, level: number, index: number): Uint32Array {
  const { fanout } = pager.directory;
  const words = new Uint32Array(fanout * ENTRY_WORDS);
  const places = pager.directory.level(level - 1);
  for (let i = 0; i < fanout; ++i) {
    const place = places[index * fanout + i];
    if (place && place.sectors > 0) writeChunkPlace(words, i * ENTRY_WORDS, place);
  }
  return words;
}
