/**
 * The allocation audit of the newest state: every page number and every sector of the data file has one owner.
 *
 * Both change with every write, so each is counted in one go, between two operations; a million pages take some
 * hundredths of a second. They need no snapshot.
 *
 * Invariants
 *   1. A page number below the next new one is in use, free, or in hand for the core's next pages, and one of these.
 *   2. A sector is owned by the newest version of a page, an old version, a private page, or a chunk of the directory
 *      (the durable checkpoint's, or one just being written), and by one of these; the bitmap says the same.
 *   3. An old version lies in an extent or in a frame, and no frame holds an old version that nobody knows of.
 */
import { NUMBER_AREA, SECTOR_SIZE } from '../../assembly/layout.ts';
import { DATA_FILE } from '../store/blocks.ts';
import type { Place } from '../store/directory.ts';
import { ENTRY_WORDS, SECTORS_PER_EXTENT_MAX } from '../store/directory.ts';
import { NumberSet } from '../store/numbers.ts';
import type { Pager } from '../store/pager.ts';
import { FIRST_DATA_SECTOR } from '../store/superblock.ts';
import type { Findings } from './findings.ts';

/** Checks that every page number has one use. */
export function countNumbers(pager: Pager, findings: Findings): void {
  pager.drain();
  const { core } = pager;
  const { x } = core;
  const next = pager.nextPage;
  const free = new NumberSet();
  const inHand = core.u32.subarray(NUMBER_AREA / 4, NUMBER_AREA / 4 + x.numberCount(false));
  for (const numbers of [pager.freeNumbers.list, inHand]) {
    for (const page of numbers) {
      if (page < 1 || page >= next) findings.add(`page number ${page} is free, but was never used`, { page });
      else if (free.has(page)) findings.add(`page number ${page} is free twice`, { page });
      else free.add(page);
    }
  }
  // Free runs hold numbers that have no entry in any chunk; all others are checked.
  for (const { from, to } of pager.freeNumbers.outside(next)) {
    for (let page = from; page < to; ++page) {
      const used = x.frameNewest(page) !== 0 || pager.directory.place(page).sectors > 0;
      if (used === !free.has(page)) continue;
      findings.add(`page number ${page} is ${used ? 'in use and free' : 'neither in use nor free'}`, {
        page,
      });
    }
  }
}

/** Checks that every old version lies somewhere. */
export function countVersions(pager: Pager, findings: Findings): void {
  pager.drain();
  const { x } = pager.core;
  let resident = 0;
  for (const versions of [pager.versions, pager.privateVersions]) {
    let records = 0;
    for (const { page, from, to, place } of versions.records()) {
      ++records;
      const frame = x.oldFrame(page, from);
      if (frame !== 0) ++resident;
      if (from >= to) findings.add(`an old version of page ${page} ends before it begins`, { page });
      if (place.sectors > 0 || frame !== 0) continue;
      findings.add(`an old version of page ${page} lies neither in memory nor in the file`, { page });
    }
    if (records !== versions.count) {
      findings.add(`${records} old versions are kept where ${versions.count} are counted`);
    }
  }
  const frames = x.oldResident();
  if (frames !== resident)
    findings.add(`${frames} old versions are in memory, but ${resident} are known there`);
}

/** Checks that every sector of the data file has one owner; `chunks` are blocks that a checkpoint is still writing. */
export function countExtents(pager: Pager, chunks: readonly Place[], findings: Findings): void {
  pager.drain();
  const { directory, blocks } = pager;
  const { extents } = blocks;
  const sectors = new SectorMap(extents.end);
  const claim = (start: number, length: number, owner: () => string, page?: number): void => {
    if (start >= FIRST_DATA_SECTOR && start + length <= extents.end && sectors.take(start, length)) return;
    findings.add(`${owner()} lies where something else lies, or outside the file`, {
      ...(page === undefined ? {} : { page }),
      file: DATA_FILE,
      offset: start * SECTOR_SIZE,
    });
  };
  directory.eachChunk((words, index) => {
    for (let at = 0; at < words.length; at += ENTRY_WORDS) {
      const length = (words[at + 1] as number) & SECTORS_PER_EXTENT_MAX;
      if (length === 0) continue;
      const page = index * directory.fanout + at / ENTRY_WORDS;
      claim(words[at] as number, length, () => `page ${page}`, page);
    }
  });
  for (const versions of [pager.versions, pager.privateVersions]) {
    for (const { page, place } of versions.records()) {
      if (place.sectors > 0) claim(place.start, place.sectors, () => `an old version of page ${page}`, page);
    }
  }
  for (const [page, { place }] of pager.privatePlaces)
    claim(place.start, place.sectors, () => `private page ${page}`);
  for (const place of [...directory.chunkPlaces(), ...chunks]) {
    claim(place.start, place.sectors, () => 'a chunk of the directory');
  }
  for (const { start, end, owned } of sectors.differences(extents.bitmap, FIRST_DATA_SECTOR)) {
    const what = owned ? 'counted as taken, but nobody has them' : 'in use, but counted as free';
    findings.add(`${end - start} sectors are ${what}`, { file: DATA_FILE, offset: start * SECTOR_SIZE });
  }
}

/** Which sectors somebody has claimed. */
class SectorMap {
  readonly #words: Uint32Array;
  readonly #end: number;

  constructor(end: number) {
    this.#end = end;
    this.#words = new Uint32Array(Math.ceil(end / 32));
  }

  /** Marks sectors; false when one of them was marked before. */
  take(start: number, length: number): boolean {
    const words = this.#words;
    let clear = true;
    for (let sector = start; sector < start + length; ) {
      const bit = sector & 31;
      const count = Math.min(32 - bit, start + length - sector);
      const mask = (count === 32 ? 0xffffffff : (1 << count) - 1) << bit;
      const word = words[sector >>> 5] as number;
      if (word & mask) clear = false;
      words[sector >>> 5] = word | mask;
      sector += count;
    }
    return clear;
  }

  /** Runs of sectors that only one of two maps has; `owned`: the other one. */
  *differences(
    other: Readonly<Uint32Array>,
    first: number,
  ): Generator<{ start: number; end: number; owned: boolean }> {
    const has = (words: Readonly<Uint32Array>, sector: number): boolean =>
      (((words[sector >>> 5] ?? 0) >>> (sector & 31)) & 1) === 1;
    for (let sector = first; sector < this.#end; ) {
      if (sector % 32 === 0 && this.#words[sector / 32] === other[sector / 32]) {
        sector += 32;
        continue;
      }
      const start = sector;
      const owned = has(other, sector);
      while (sector < this.#end && has(other, sector) === owned && has(this.#words, sector) !== owned)
        ++sector;
      if (sector > start) yield { start, end: sector, owned };
      else ++sector;
    }
  }
}
