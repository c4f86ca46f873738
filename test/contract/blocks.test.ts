/* The contract of blocks, a line at a time. */
import { expect, onTestFinished, test } from 'vitest';
import type { BlockType } from '../../src/index.ts';
import { Block, loadCodec, MemoryBackend, StorageEngine } from '../../src/index.ts';
import { kinds, randomFrom } from '../support/codec-data.ts';
import { refused, rejected } from '../support/refused.ts';
import { seed } from '../support/seed.ts';

const TYPES: readonly BlockType[] = ['table', 'timeseries', 'document', 'index', 'log', 'metadata'];
const data = kinds.documents(20_000, randomFrom(seed));

async function open(backend = new MemoryBackend()): Promise<StorageEngine> {
  const db = await StorageEngine.open({ backend, walEnabled: true });
  onTestFinished(() => db.close());
  return db;
}

test('contract: a new block is a table, uncompressed, with a copy of its data', () => {
  const given = data.slice();
  const block = new Block(given);
  given.fill(0);
  expect([block.type, block.compression, block.header.codec]).toEqual(['table', 'none', 'none']);
  expect(Buffer.compare(block.data, data)).toBe(0);
});

test('contract: all types and codecs come back, synchronously, from bytes and from a store', async () => {
  const db = await open();
  for (const type of TYPES) {
    for (const compression of ['none', 'lz4', 'zstd'] as const) {
      const block = new Block(data, { type }).withCompression(compression);
      expect([block.type, block.compression]).toEqual([type, compression]);
      const id = await db.writeBlock(block);
      for (const found of [Block.deserialize(block.serialize()), db.readBlock(id)!]) {
        expect([found.type, found.compression, found.header]).toEqual([type, compression, block.header]);
        expect(Buffer.compare(found.data, data)).toBe(0);
      }
    }
  }
  expect(await db.verify()).toMatchObject({ ok: true });
});

test('contract: a header tells sizes, codec, checksum and version', () => {
  const block = new Block(data).withCompression('lz4');
  const { header } = block;
  expect(header.rawSize).toBe(data.length);
  expect(header.storedSize).toBeLessThan(data.length);
  expect(block.serialize().length).toBeGreaterThan(header.storedSize);
  expect([header.codec, header.version, /^[0-9a-f]{16}$/.test(header.checksum)]).toEqual(['lz4', 1, true]);
  const stronger = new Block(data).withCompression('zstd', 19).header.storedSize;
  expect(stronger).toBeLessThan(new Block(data).withCompression('zstd', 1).header.storedSize);
});

test('contract: what cannot be a block is refused, and damage is CORRUPTION', async () => {
  await refused('INVALID_ARGUMENT', () => new Block('text' as never));
  await refused('INVALID_ARGUMENT', () => new Block(data, { type: 'blob' as never }));
  await refused('INVALID_ARGUMENT', () => new Block(data).withCompression('snappy' as never));
  await refused('INVALID_ARGUMENT', () => new Block(data).withCompression('zstd', 23));
  await refused('INVALID_ARGUMENT', () => Block.deserialize('text' as never));
  const bytes = new Block(data).withCompression('lz4').serialize();
  for (const at of [0, 5, 9, 20, 30, 100, bytes.length - 1]) {
    const changed = bytes.slice();
    changed[at] = (changed[at] as number) ^ 16;
    const { message } = await refused('CORRUPTION', () => Block.deserialize(changed));
    expect(message).toContain('block');
  }
});

test('contract: blocks are durable and atomic like everything else, and nobody sees them among trees', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  const ids = await Promise.all([0, 1, 2].map((i) => db.writeBlock(new Block(data.subarray(i)))));
  expect(new Set(ids).size).toBe(3);
  expect(await db.deleteBlock(ids[1]!)).toBe(true);
  expect([db.trees(), db.count(), await db.dropTree('blocks')]).toEqual([[], 0, false]);
  const again = await StorageEngine.open({ backend: backend.copy() });
  expect(ids.map((id) => again.readBlock(id)?.data.length)).toEqual([20_000, undefined, 19_998]);
  const target = new MemoryBackend();
  await again.backup(target);
  await again.close();
  const copy = await StorageEngine.open({ backend: target, readOnly: true });
  expect(copy.readBlock(ids[0]!)!.data.length).toBe(20_000);
  await rejected('READ_ONLY', () => copy.writeBlock(new Block(data)));
  await rejected('READ_ONLY', () => copy.deleteBlock(ids[0]!));
  await copy.close();
});

test('contract: a codec can be loaded beforehand, and no other than those there are', async () => {
  await loadCodec('zstd');
  await rejected('INVALID_ARGUMENT', () => loadCodec('snappy' as never));
  expect(new Block(data).withCompression('zstd').header.codec).toBe('zstd');
});
