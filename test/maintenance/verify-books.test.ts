/*
 * What goes wrong while a store is open: bytes in memory, the books of numbers, versions and sectors, the file under
 * the engine's feet. Each is brought about by hand in a store without an engine, and verification names it.
 */
import { expect, test } from 'vitest';
import { SECTOR_SIZE, STAGING_AREA } from '../../assembly/layout.ts';
import { NOWHERE, type Place } from '../../src/store/directory.ts';
import { writeSuperblock } from '../../src/store/superblock.ts';
import type { BareStore } from './bare-store.ts';
import { type Ground, kindIn, LEAF, leavesOf, makeGround, write } from './books-kit.ts';

function frameOf({ pager }: BareStore, kind: number): number {
  for (let frame = 1; frame <= pager.core.frames; frame++) {
    const page = pager.core.x.frameNumber(frame);
    if (page === 0 || pager.core.x.frameNewest(page) !== frame) continue;
    if (kindIn(pager, frame) === kind) return frame;
  }
  throw new Error('no such frame');
}

/** Overwrites bytes of the page in a frame; offsets as assembly/page/page.ts has them. */
function spoil(store: BareStore, kind: number, offset: number, change: (byte: number) => number): void {
  const { core } = store.pager;
  const at = core.x.frameAddress(frameOf(store, kind)) + offset;
  core.u8[at] = change(core.u8[at]!);
}

/** Overwrites bytes of the cell that a slot of the page in a frame points to. */
function spoilCell(store: BareStore, kind: number, slot: number, offset: number, bytes: number[]): void {
  const { core } = store.pager;
  const page = core.x.frameAddress(frameOf(store, kind));
  const cell = new DataView(core.u8.buffer).getUint16(page + 40 + slot * 8 + 4, true);
  core.u8.set(bytes, page + cell + offset);
}
const INNER = 2;
const OVERFLOW = 3;

interface Row {
  kind: string;
  spoil: (ground: Ground) => void;
  says: RegExp;
}

const rows: Row[] = [
  // --- bytes in memory: header fields, slots, heads, cells --------------------------------------------------------
  {
    kind: 'another number in a page',
    spoil: ({ store }) => {
      for (let i = 0; i < 400; i++) store.put(`key ${String(i).padStart(5, '0')}`, 'dirty');
      spoil(store, LEAF, 1, () => 9);
    },
    says: /does not exist|in memory/,
  },
  {
    kind: 'another kind of page',
    spoil: ({ store }) => spoil(store, LEAF, 4, () => 5),
    says: /in memory: the page is not of the kind/,
  },
  {
    kind: 'a leaf with a level',
    spoil: ({ store }) => spoil(store, LEAF, 5, () => 1),
    says: /in memory: the page is not of the kind/,
  },
  {
    kind: 'another prefix',
    spoil: ({ store }) => spoil(store, LEAF, 6, (byte) => byte - 1),
    says: /in memory: keys are out of order/,
  },
  {
    kind: 'an epoch of the future',
    spoil: ({ store }) => spoil(store, LEAF, 13, () => 1),
    says: /does not exist|in memory/,
  },
  {
    kind: 'a slot too many',
    spoil: ({ store }) => spoil(store, LEAF, 16, (byte) => byte + 1),
    says: /in memory: a length or count/,
  },
  {
    kind: 'a slot too few',
    spoil: ({ store }) => spoil(store, LEAF, 16, (byte) => byte - 1),
    says: /in memory: a length or count/,
  },
  {
    kind: 'thousands of slots',
    spoil: ({ store }) => spoil(store, LEAF, 18, () => 1),
    says: /in memory: a length or count/,
  },
  {
    kind: 'cells that begin elsewhere',
    spoil: ({ store }) => spoil(store, LEAF, 20, (byte) => byte ^ 4),
    says: /in memory: a length or count/,
  },
  {
    kind: 'garbage that is none',
    spoil: ({ store }) => spoil(store, LEAF, 24, (byte) => byte + 1),
    says: /in memory: a length or count/,
  },
  {
    kind: 'another head',
    spoil: ({ store }) => spoil(store, LEAF, 40, (byte) => byte ^ 1),
    says: /in memory: keys are out of order/,
  },
  {
    kind: 'a slot that points into another cell',
    spoil: ({ store }) => spoil(store, LEAF, 44, (byte) => byte ^ 8),
    says: /in memory: a length or count/,
  },
  {
    kind: 'a slot that points behind the page',
    spoil: ({ store }) => spoil(store, LEAF, 45, () => 255),
    says: /in memory: a length or count/,
  },
  {
    kind: 'another key length',
    spoil: ({ store }) => spoil(store, LEAF, 46, (byte) => byte + 1),
    says: /in memory: a length or count/,
  },
  {
    kind: 'a key longer than keys may be',
    spoil: ({ store }) => spoil(store, LEAF, 47, () => 8),
    says: /in memory: a length or count/,
  },
  {
    kind: 'another byte of a value',
    spoil: ({ store }) => spoil(store, LEAF, 4095, (byte) => byte ^ 1),
    says: /in memory not what its block says/,
  },
  {
    kind: 'another child',
    spoil: ({ store }) => spoil(store, INNER, 4092, (byte) => byte + 1),
    says: /in memory|referred to twice/,
  },
  {
    kind: 'an overflow page that goes on elsewhere',
    spoil: ({ store }) => spoil(store, OVERFLOW, 28, () => 2),
    says: /in memory|referred to twice/,
  },
  {
    kind: 'an overflow page with too many bytes',
    spoil: ({ store }) => spoil(store, OVERFLOW, 33, () => 255),
    says: /in memory: a length or count/,
  },

  {
    kind: 'two slots in the wrong order',
    spoil: ({ store }) => {
      const { core } = store.pager;
      const at = core.x.frameAddress(frameOf(store, LEAF)) + 40;
      const first = core.u8.slice(at, at + 8);
      core.u8.copyWithin(at, at + 8, at + 16);
      core.u8.set(first, at + 8);
    },
    says: /in memory: keys are out of order/,
  },
  {
    kind: 'an empty separator',
    spoil: ({ store }) => spoil(store, INNER, 54, () => 0),
    says: /in memory: keys are out of order/,
  },
  {
    kind: 'a child number of 0',
    spoil: ({ store }) => spoilCell(store, INNER, 1, 0, [0, 0, 0, 0]),
    says: /in memory: a reference to a page that cannot be/,
  },
  {
    kind: 'a deletion in the store',
    spoil: ({ store }) => spoilCell(store, LEAF, 0, 3, [0x80]),
    says: /in memory: a length or count/,
  },
  {
    kind: 'a value longer than its page',
    spoil: ({ store }) => spoilCell(store, LEAF, 0, 1, [2]),
    says: /in memory: a length or count/,
  },

  // --- page numbers -----------------------------------------------------------------------------------------------
  {
    kind: 'a page that nobody refers to',
    spoil: ({ store }) => void store.pager.createTree(false),
    says: /in use, but nothing refers/,
  },
  {
    kind: 'a lost page number',
    spoil: ({ store }) => void store.pager.takeNumber(false),
    says: /neither in use nor free/,
  },
  {
    kind: 'a page number free and in use',
    spoil: ({ store }) => store.pager.freeNumbers.give(store.root),
    says: /page number 1 is in use and free/,
  },
  {
    kind: 'a page number free twice',
    spoil: ({ store: { pager } }) => {
      const number = pager.takeNumber(false);
      for (let i = 0; i < 2; i++) pager.freeNumbers.give(number);
    },
    says: /free twice/,
  },
  {
    kind: 'a free page number that never was',
    spoil: ({ store: { pager } }) => pager.freeNumbers.give(pager.nextPage + 3),
    says: /free, but was never used/,
  },

  // --- old versions -----------------------------------------------------------------------------------------------
  {
    kind: 'an old version that is nowhere',
    spoil: ({ store }) => {
      store.pager.takeSnapshot();
      store.put('key 00001', 'new');
      store.pager.drain();
      const [record] = store.pager.versions.records();
      store.pager.blocks.extents.free(record!.place.start, record!.place.sectors);
      record!.place = NOWHERE;
    },
    says: /old version of page \d+ lies neither/,
  },
  {
    kind: 'a page that a snapshot sees nowhere',
    spoil: ({ store }) => {
      store.put('key 00001', 'dirty');
      store.pager.takeSnapshot();
      store.put('key 00001', 'dirty again');
      store.pager.drain();
      const { x } = store.pager.core;
      const record = [...store.pager.versions.records()].find(({ place }) => place.sectors === 0)!;
      x.frameDrop(x.oldFrame(record.page, record.from));
    },
    says: /old version of page \d+ lies neither/,
  },

  {
    kind: 'an old version that ends before it begins',
    spoil: ({ store }) => {
      store.pager.takeSnapshot();
      store.put('key 00001', 'new');
      store.pager.drain();
      const [record] = store.pager.versions.records();
      Object.assign(record!, { to: record!.from });
    },
    says: /old version of page \d+ ends before it begins/,
  },
  {
    kind: 'an old version in memory that nobody knows of',
    spoil: ({ store: { pager } }) => {
      const [page] = leavesOf(pager);
      const place = pager.directory.place(page);
      const available = pager.blocks.read(place);
      const { x } = pager.core;
      x.pageLoad(STAGING_AREA, available, page, place.sumLow, place.sumHigh, x.epochCurrent(), false);
      x.framesUnpin();
    },
    says: /1 old versions are in memory, but 0 are known/,
  },

  // --- sectors of the file ------------------------------------------------------------------------------------------
  {
    kind: 'sectors that nobody has',
    spoil: ({ store }) => void store.pager.blocks.extents.allocate(40),
    says: /40 sectors are counted as taken/,
  },
  {
    kind: 'a page whose sectors are free',
    spoil: ({ store: { pager, root } }) => {
      const place = pager.directory.place(root);
      pager.blocks.extents.free(place.start, place.sectors);
    },
    says: /sectors are in use, but counted as free/,
  },
  {
    kind: 'two pages in one extent',
    spoil: ({ store: { pager } }) => {
      const [a, b] = leavesOf(pager);
      pager.directory.setPlace(a, pager.directory.place(b), 0);
    },
    says: /page \d+ lies where something else lies/,
  },
  {
    kind: 'a page behind the end of the file',
    spoil: ({ store: { pager } }) => {
      const [page] = leavesOf(pager);
      pager.directory.setPlace(page, { ...pager.directory.place(page), start: 1e6 }, 0);
    },
    says: /page \d+ lies where something else lies, or outside/,
  },

  // --- the checkpoint ---------------------------------------------------------------------------------------------
  {
    kind: 'a checkpoint that forgot a changed chunk',
    spoil: ({ store }) => {
      store.put('key 00001', 'new');
      store.pager.freeFrames(store.pager.core.framesMax);
      store.pager.directory.takeChanged(0);
      store.pager.directory.endTaken(false);
      store.checkpointer.runBlocking();
    },
    says: /has not the place of page \d+/,
  },
  {
    kind: 'a checkpoint whose extents nobody holds',
    spoil: ({ store: { pager, checkpointer } }) => {
      const node = pager.takeSnapshot();
      pager.versions.setDurable(node);
      pager.releaseSnapshot(node);
      pager.versions.releaseDurable(node);
      expect(checkpointer.superblock.epoch).toBe(node.epoch);
    },
    says: /checkpoint of epoch \d+ is not held/,
  },
  {
    kind: 'a damaged superblock slot',
    spoil: ({ backend }) => write(backend, 4100, new Uint8Array(9).fill(255)),
    says: /slot 1 is/,
  },
  {
    kind: 'an empty superblock slot',
    spoil: ({ backend }) => write(backend, 0, new Uint8Array(SECTOR_SIZE)),
    says: /slot 0 is empty/,
  },
  {
    kind: 'an older superblock',
    spoil: ({ store: { pager, checkpointer } }) => {
      const older = { ...checkpointer.superblock, generation: checkpointer.superblock.generation - 1 };
      writeSuperblock(pager.core, pager.blocks.file, 1, older);
    },
    says: /slot 1 is whole, but not of the last checkpoint/,
  },
  {
    kind: 'a superblock of another checkpoint of the same number',
    spoil: ({ store: { pager, checkpointer } }) => {
      writeSuperblock(pager.core, pager.blocks.file, 0, { ...checkpointer.superblock, sequence: 99 });
    },
    says: /slot 0 is whole, but not of the last checkpoint/,
  },
  {
    kind: 'a damaged chunk of the directory',
    spoil: ({ store, backend }) => {
      const [place] = store.pager.directory.chunkPlaces();
      write(backend, place!.start * SECTOR_SIZE + 90, new Uint8Array([1, 2, 3]));
    },
    says: /directory chunk 0 of level 0: the checksum/,
  },
  {
    kind: 'bytes behind a chunk of the directory',
    spoil: ({ store, backend }) => {
      const [place] = store.pager.directory.chunkPlaces();
      write(backend, (place!.start + place!.sectors) * SECTOR_SIZE - 1, new Uint8Array([1]));
    },
    says: /directory chunk 0 of level 0: its extent holds more/,
  },

  // --- the file under our feet ------------------------------------------------------------------------------------
  {
    kind: 'a block written over by another page',
    spoil: ({ store: { pager }, backend }) => {
      const [from, to] = leavesOf(pager).map((page) => pager.directory.place(page)) as [Place, Place];
      const bytes = new Uint8Array(from.sectors * SECTOR_SIZE);
      pager.blocks.file.read(bytes, from.start * SECTOR_SIZE);
      write(backend, to.start * SECTOR_SIZE, bytes.subarray(0, to.sectors * SECTOR_SIZE));
    },
    says: /page \d+: another block lies here|checksum does not hold/,
  },
  {
    kind: 'a file cut short',
    spoil: ({ backend }) => backend.open('data', { create: false }).truncate(12_288),
    says: /a length or count|no block begins/,
  },
];

test.each(rows)('verify: finds $kind while the store is open', async (row) => {
  const ground = await makeGround(
    row.kind.includes('chunk') || row.kind.includes('page') ? { compression: 'none' } : {},
  );
  row.spoil(ground);
  const report = await ground.store.verify();
  expect(report.ok).toBe(false);
  expect(report.problems.map(({ message }) => message).join('\n')).toMatch(row.says);
});
