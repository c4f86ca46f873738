/*
 * Defects that storage engines have shipped with: blocks. Each test is named by its defect and holds what must be the
 * case instead.
 */
import { expect, test } from 'vitest';
import { USER_HEADER_SIZE } from '../../assembly/layout.ts';
import { Block, type StorageEngine } from '../../src/index.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';
import { fastXxh64 } from '../damage/fast-xxh64.ts';
import { kinds, randomFrom } from '../support/codec-data.ts';
import { refused } from '../support/refused.ts';
import { seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

const text = new TextEncoder();

test('defects: the size that a block claims is believed, and decompression has no bound', async () => {
  const data = kinds.documents(3000, randomFrom(seed));
  for (const compression of ['lz4', 'zstd'] as const) {
    const bytes = new Block(data).withCompression(compression).serialize();
    const view = new DataView(bytes.buffer);
    for (const claim of [2 ** 30 - 1, 2 ** 32 - 1, 3001, 0]) {
      view.setUint32(8, claim, true);
      // Under a checksum that holds: whoever made the bytes made that too.
      const head = fastXxh64(bytes.subarray(0, 24), 0n);
      view.setBigUint64(24, fastXxh64(bytes.subarray(USER_HEADER_SIZE), head), true);
      const before = process.memoryUsage().arrayBuffers;
      await refused('CORRUPTION', () => Block.deserialize(bytes));
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * 2 ** 20);
    }
  }
});

test('defects: the checksum of a block is never checked, and does not cover its header', async () => {
  for (const compression of ['none', 'lz4', 'zstd'] as const) {
    const data = text.encode('the same fourteen bytes '.repeat(8));
    const bytes = new Block(data, { type: 'document' }).withCompression(compression).serialize();
    expect(Block.deserialize(bytes).data).toEqual(data);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = bytes.slice();
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      await refused('CORRUPTION', () => Block.deserialize(changed));
    }
  }
});

test('defects: input that is too short for a block ends in a panic', async () => {
  const bytes = new Block(text.encode('data'), { type: 'log' }).serialize();
  for (let length = 0; length < bytes.length; length++) {
    await refused('CORRUPTION', () => Block.deserialize(bytes.slice(0, length)));
  }
  expect(Block.deserialize(bytes).type).toBe('log');
});

test('defects: an empty block cannot be read, and one that cannot be compressed grows', () => {
  const empty = Block.deserialize(new Block(new Uint8Array()).withCompression('lz4').serialize());
  expect([empty.data.length, empty.compression, empty.header.codec]).toEqual([0, 'lz4', 'none']);
  const noise = kinds.random(5000, randomFrom(seed));
  for (const compression of ['lz4', 'zstd'] as const) {
    const block = new Block(noise).withCompression(compression);
    expect([block.serialize().length, block.header.codec]).toEqual([5000 + USER_HEADER_SIZE, 'none']);
    expect(Block.deserialize(block.serialize()).data).toEqual(noise);
  }
});

test('defects: a block that is compressed is not compressed again by another codec', () => {
  const data = text.encode('text that compresses '.repeat(100));
  const block = new Block(data, { type: 'index' }).withCompression('lz4');
  const again = block.withCompression('zstd', 9).withCompression('none').withCompression('zstd');
  expect([again.compression, again.type, again.header.codec]).toEqual(['zstd', 'index', 'zstd']);
  expect([block.header.codec, again.header.rawSize]).toEqual(['lz4', data.length]);
  expect(Block.deserialize(again.serialize()).data).toEqual(data);
});

test('defects: ids of blocks start again after a reopening, and the next block is written over the first', async () => {
  let disk = new SimulatedBackend({ seed });
  const kept = new Map<number, string>();
  const ever = new Set<number>();
  const write = async (db: StorageEngine, what: string): Promise<number> => {
    const id = await db.writeBlock(new Block(text.encode(what)));
    expect([Number.isSafeInteger(id), ever.has(id)]).toEqual([true, false]);
    ever.add(id);
    return id;
  };
  for (let life = 0; life < 9; life++) {
    const db = await openSmall(disk);
    for (const [id, what] of kept) expect(Buffer.from(db.readBlock(id)!.data).toString()).toBe(what);
    for (let i = 0; i < 3; i++) kept.set(await write(db, `life ${life} ${i}`), `life ${life} ${i}`);
    // The highest of all is deleted: its number must not come back.
    const last = await write(db, 'deleted');
    expect([await db.deleteBlock(last), await db.deleteBlock(last), db.readBlock(last)]).toEqual([
      true,
      false,
      undefined,
    ]);
    if (life % 3 === 0) await db.close();
    if (life % 3 === 1) await db.checkpoint();
    disk = life % 2 === 0 ? disk.kill() : disk.crash(() => false);
  }
  expect([ever.size, kept.size]).toEqual([36, 27]);
});

test('defects: a block that is not there is an error, or made up', async () => {
  const db = await openSmall(new SimulatedBackend({ seed }));
  const id = await db.writeBlock(new Block(text.encode('data')));
  for (const absent of [0, -1, id + 1, id + 1000, Number.MAX_SAFE_INTEGER]) {
    expect([db.readBlock(absent), await db.deleteBlock(absent)]).toEqual([undefined, false]);
  }
  for (const bad of [1.5, '1', undefined, Number.NaN, 2 ** 53]) {
    await refused('INVALID_ARGUMENT', () => db.readBlock(bad as number));
    await refused('INVALID_ARGUMENT', () => db.deleteBlock(bad as number));
  }
  await refused('INVALID_ARGUMENT', () => db.writeBlock(text.encode('data') as never));
  expect(Buffer.from(db.readBlock(id)!.data).toString()).toBe('data');
  await db.close();
});

test('defects: a block is written in place, and a crash leaves a piece of it', async () => {
  const disk = new SimulatedBackend({ seed, manual: true });
  const db = await disk.run(openSmall(disk));
  const data = kinds.documents(150_000, randomFrom(seed));
  const first = await disk.run(db.writeBlock(new Block(data)));
  const left: SimulatedBackend[] = [];
  disk.onCall = ({ number }) => {
    if (number % 3 === 0) left.push(disk.crash());
  };
  let last = first;
  for (let i = 0; i < 4; i++) {
    last = await disk.run(db.writeBlock(new Block(data.subarray(0, 100_000)).withCompression('lz4')));
  }
  await disk.run(db.deleteBlock(first));
  disk.onCall = undefined;
  expect([left.length > 5, last]).toEqual([true, first + 4]);
  for (const one of left) {
    const again = await one.run(openSmall(one));
    for (let id = first; id <= last; id++) {
      const block = again.readBlock(id);
      if (block) expect(Buffer.compare(block.data, data.subarray(0, block.data.length))).toBe(0);
      if (block) expect(block.data.length).toBe(id === first ? 150_000 : 100_000);
    }
    expect((await one.run(again.verify())).problems).toEqual([]);
    await one.run(again.close());
  }
  await disk.run(db.close());
});
