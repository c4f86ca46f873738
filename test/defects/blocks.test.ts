/*
 * Defects that storage engines have shipped with: blocks. Each test is named by its defect and holds what must be the
 * case instead.
 */
import { expect, test } from 'vitest';
import { USER_HEADER_SIZE } from '../../assembly/layout.ts';
import { Block } from '../../src/index.ts';
import { fastXxh64 } from '../damage/fast-xxh64.ts';
import { kinds, randomFrom } from '../support/codec-data.ts';
import { refused } from '../support/refused.ts';
import { seed } from '../support/seed.ts';

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
