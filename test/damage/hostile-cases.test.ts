/*
 * Hostile files that ask for more than they are worth: every one of them says something enormous with checksums that
 * hold, and costs next to nothing all the same.
 */
import { expect, test } from 'vitest';
import { BLOCK_CHUNK, PAGE_NUMBER_MAX } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { filesOf } from '../support/files.ts';
import { Plant } from '../support/plant.ts';
import { LentBackend } from './lent-backend.ts';

const KIB = 1024;
/** Growth of the process that is no one's fault: collected later, pools, code. */
const GROWTH_MAX = 100_000 * KIB;
/** The log is read when the store is opened and when it is verified, its two files of four megabytes each time. */
const FUEL = 2 ** 25;
const options = { pageSize: 4096, compression: 'none', bufferPoolSize: 16 * 4096 } as const;

async function plantIn(walEnabled: boolean): Promise<{ backend: MemoryBackend; plant: Plant }> {
  const backend = new MemoryBackend();
  const engine = await StorageEngine.open({ ...options, backend, walEnabled });
  for (let i = 0; i < 60; i++) await engine.put(`key ${100 + i}`, 'v'.repeat(200));
  await engine.close();
  return { backend, plant: new Plant(backend) };
}

/** Puts a chunk that refers to one below it on top of the directory. */
function wrap(plant: Plant, level: number, index: number): void {
  const words = new Uint32Array(plant.fanout * 4);
  const { start, sectors, sumLow, sumHigh } = plant.superblock.directory;
  words.set([start, (sectors | (2 << 24)) >>> 0, sumLow, sumHigh], (index % plant.fanout) * 4);
  const block = plant.seal(new Uint8Array(words.buffer), {
    kind: BLOCK_CHUNK,
    number: 0,
    high: level,
    epoch: 0,
  });
  const directory = plant.append(block);
  plant.superblock = { ...plant.superblock, directory };
}

/** The store says that it has used every page number there is. */
function useAllNumbers(plant: Plant): void {
  plant.save();
  for (let level = 1; level <= 3; level++) wrap(plant, level, 0);
  const nextPage = PAGE_NUMBER_MAX + 1;
  plant.superblock = { ...plant.superblock, nextPage, chunkCount: nextPage / plant.fanout };
  plant.saveSlots();
}

interface Work {
  readonly outcome: string;
  readonly grown: number;
}

/** Opens, reads, verifies, writes, checkpoints, closes. */
async function work(backend: LentBackend, walEnabled: boolean, readOnly: boolean): Promise<Work> {
  const before = process.resourceUsage().maxRSS;
  const grown = () => (process.resourceUsage().maxRSS - before) * KIB;
  let engine: StorageEngine;
  try {
    engine = await StorageEngine.open({ ...options, backend, walEnabled, readOnly });
  } catch (error) {
    expect(error).toMatchObject({ code: 'CORRUPTION', file: 'data', offset: expect.any(Number) });
    return { outcome: 'refused', grown: grown() };
  }
  expect(engine.count()).toBe(60);
  const before2 = await engine.verify();
  if (!readOnly) {
    for (let i = 0; i < 10; i++) await engine.put(`more ${i}`, 'w'.repeat(5000));
    await engine.checkpoint();
    expect((await engine.verify()).problems).toEqual(before2.problems);
  }
  await engine.close();
  return { outcome: before2.ok ? 'sound' : 'damaged', grown: grown() };
}

test.each([
  {
    what: 'every page number was used',
    outcome: 'sound',
    plant: useAllNumbers,
  },
  {
    what: 'every page number was used, the last one is in use, and nothing is in between',
    outcome: 'damaged',
    plant: (plant: Plant) => {
      useAllNumbers(plant);
      const page = PAGE_NUMBER_MAX;
      const place = plant.append(plant.seal(new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]), { number: page }));
      const chunk = new Uint32Array(plant.fanout * 4);
      chunk.set([place.start, (1 | (1 << 24)) >>> 0, place.sumLow, place.sumHigh], (plant.fanout - 1) * 4);
      // The way down to it: one chunk a level, at the last place of each.
      let [words, index, below] = [chunk, PAGE_NUMBER_MAX >> 8, plant.superblock.directory];
      const first: (typeof below)[] = [];
      for (let level = 0; level < 3; level++) {
        const header = { kind: BLOCK_CHUNK, number: index, high: level, epoch: 0 };
        below = plant.append(plant.seal(new Uint8Array(words.slice().buffer), header));
        first.push(below);
        words = new Uint32Array(plant.fanout * 4);
        const { start, sectors, sumLow, sumHigh } = below;
        words.set([start, (sectors | (2 << 24)) >>> 0, sumLow, sumHigh], (index % plant.fanout) * 4);
        index >>= 8;
      }
      // The root has both ways.
      const root = new Uint32Array(plant.payload(plant.superblock.directory).slice().buffer);
      for (const [at, word] of words.entries()) if (word !== 0) root[at] = word;
      const header = { kind: BLOCK_CHUNK, number: 0, high: 3, epoch: 0 };
      const directory = plant.append(plant.seal(new Uint8Array(root.buffer), header));
      plant.superblock = { ...plant.superblock, directory };
      plant.saveSlots();
    },
  },
  {
    what: 'a page lies at the end of two tebibytes',
    outcome: 'refused',
    plant: (plant: Plant) => {
      plant.setPlace(plant.pages.at(-1)!, { ...plant.place(plant.pages.at(-1)!), start: 2 ** 32 - 20 });
      plant.save();
      plant.superblock = { ...plant.superblock, endSector: 2 ** 32 };
      plant.saveSlots();
    },
  },
  {
    what: 'a page has an extent of eight gibibytes',
    outcome: 'refused',
    plant: (plant: Plant) => {
      plant.setPlace(plant.pages.at(-1)!, { ...plant.place(plant.pages.at(-1)!), sectors: 0xffffff });
      plant.save();
      plant.superblock = { ...plant.superblock, endSector: 2 ** 32 };
      plant.saveSlots();
    },
  },
  {
    what: 'the checkpoint reaches to the end of the address range',
    outcome: 'sound',
    plant: (plant: Plant) => {
      plant.save();
      plant.superblock = { ...plant.superblock, endSector: 2 ** 52 };
      plant.saveSlots();
    },
  },
])(
  'hostile: $what, and it costs next to nothing',
  { timeout: 300_000 },
  async ({ plant: change, outcome }) => {
    for (const walEnabled of [false, true]) {
      const { backend, plant } = await plantIn(walEnabled);
      change(plant);
      const files = filesOf(backend);
      for (const readOnly of [true, false]) {
        const result = await work(new LentBackend(files, FUEL), walEnabled, readOnly);
        expect(result.outcome).toBe(outcome);
        expect(result.grown).toBeLessThan(GROWTH_MAX);
      }
    }
  },
);

test('hostile: a file cut to a fraction is not filled up again, and what is left is read', async () => {
  const { backend, plant } = await plantIn(true);
  // The last page lies far away, where the file does not reach.
  const page = plant
    .nodes()
    .filter(({ level }) => level === 0)
    .at(-1)!.page;
  plant.setPlace(page, { ...plant.place(page), start: 2 ** 20 });
  plant.save();
  plant.superblock = { ...plant.superblock, endSector: 2 ** 20 + 100 };
  plant.saveSlots();
  const lent = new LentBackend(filesOf(backend), FUEL);
  const log = { walEnabled: true, checkpointWalSize: '512KB' } as const;
  const engine = await StorageEngine.open({ ...options, ...log, backend: lent });
  expect(engine.getString('key 100')).toBe('v'.repeat(200));
  expect(() => engine.get('key 159')).toThrow(expect.objectContaining({ code: 'CORRUPTION', page }));
  await expect(engine.put('key 159', 'new')).rejects.toMatchObject({ code: 'CORRUPTION' });
  // The disk is smaller than the gap: writing there finds no space.
  await engine.close().catch((error: unknown) => expect(error).toMatchObject({ code: 'OUT_OF_SPACE' }));
  expect(lent.bytesWritten).toBeLessThan(2 ** 21);
});
