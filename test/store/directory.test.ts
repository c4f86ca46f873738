/* The page directory and the superblock as tables: what they say of pages and fields that are not there. */
import { expect, test } from 'vitest';
import { FORMAT_VERSION, SECTOR_SIZE, STAGING_AREA } from '../../assembly/layout.ts';
import { createCore } from '../../src/core/wasm.ts';
import { Directory, NOWHERE, readPlace, writePlace } from '../../src/store/directory.ts';
import {
  decodeSuperblock,
  encodeSuperblock,
  type Superblock,
  strangeness,
} from '../../src/store/superblock.ts';

const place = { start: 20, sectors: 3, sumLow: 7, sumHigh: 9 };

const superblock: Superblock = {
  storeId: [1, 2],
  generation: 1,
  fence: 5,
  pageSize: 4096,
  epoch: 1,
  sequence: 1,
  lsn: 512,
  link: [3, 4],
  mark: 512,
  directory: place,
  chunkCount: 1,
  nextPage: 2,
  mainRoot: 1,
  catalogRoot: 0,
  nextTree: 2,
  nextBlock: 1,
  codecs: 1,
  endSector: 23,
  logSize: 0,
};

test('directory: a page beyond its chunks, or without a place, lies nowhere and may be cleared', () => {
  const directory = new Directory(4096);
  const far = directory.fanout + 1;
  for (const page of [1, far]) {
    directory.clearPlace(page);
    expect([directory.place(page), directory.from(page)]).toEqual([NOWHERE, 0]);
  }
  expect(directory.changedCount).toBe(0);
  directory.setPlace(far, place, 4);
  expect([directory.place(far), directory.from(far), directory.writtenCount]).toEqual([place, 4, 1]);
  directory.clearPlace(1);
  directory.clearPlace(far);
  directory.clearPlace(far);
  expect([directory.place(far), directory.writtenCount, directory.chunkCount]).toEqual([NOWHERE, 0, 2]);
});

test('directory: no place is an absent entry', () => {
  const words = new Uint32Array(8).fill(1);
  writePlace(words, 0, NOWHERE, 1);
  expect(readPlace(words, 0, false)).toBe(NOWHERE);
  writePlace(words, 0, place, 1);
  expect([readPlace(words, 0, false), readPlace(words, 0, true)]).toEqual([place, undefined]);
});

test('superblock: a newer version is believed with its checksum, and may be damage without', () => {
  const core = createCore({ pageSize: 4096, frames: 1, storeId: [0, 0] });
  const bytes = encodeSuperblock(core, superblock);
  expect(decodeSuperblock(core, bytes)).toEqual({ superblock });
  bytes[4] = FORMAT_VERSION + 1;
  expect(decodeSuperblock(core, bytes)).toEqual({ problem: 'newer?' });
  const end = SECTOR_SIZE - 8;
  core.u8.set(bytes.subarray(0, end), STAGING_AREA + 64);
  core.x.checksumOf(STAGING_AREA + 64, end, 0, STAGING_AREA);
  bytes.set(core.u8.subarray(STAGING_AREA, STAGING_AREA + 8), end);
  expect(decodeSuperblock(core, bytes)).toEqual({ problem: 'newer' });
});

test('superblock: a piece of one is none, whatever it begins with', () => {
  const core = createCore({ pageSize: 4096, frames: 1, storeId: [0, 0] });
  const bytes = encodeSuperblock(core, superblock);
  expect([strangeness(bytes), strangeness(bytes.subarray(0, 100))]).toEqual([undefined, 'empty']);
  expect(decodeSuperblock(core, bytes.subarray(0, 511))).toEqual({ problem: 'empty' });
});

test('superblock: a number that 64 bits of ours cannot hold is never written', () => {
  const core = createCore({ pageSize: 4096, frames: 1, storeId: [0, 0] });
  for (const sequence of [-1, 2 ** 53, 0.5]) {
    expect(() => encodeSuperblock(core, { ...superblock, sequence })).toThrow('a 64-bit field');
  }
});
