/*
 * Defects that storage engines have shipped with: pages, blocks, options. Each test is named by its defect and holds what
 * must be the case instead.
 */
import { expect, test } from 'vitest';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';
import { randomFrom } from '../support/codec-data.ts';
import { backendOf, type Files, filesOf } from '../support/files.ts';
import { refused } from '../support/refused.ts';
import { long, seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';
import { read, text } from './defects-kit.ts';

// --- pages and the pool -----------------------------------------------------------------------------------------

test('defects: a changed page that must leave the pool is dropped', async () => {
  for (const walEnabled of [true, false]) {
    const db = await openSmall(new MemoryBackend(), { walEnabled });
    for (let i = 0; i < 4000; i++) db.putSync(`key ${(i * 7919) % 4000}`, `value ${i} `.repeat(8));
    expect(db.stats().pool.evictions).toBeGreaterThan(50);
    for (let i = 0; i < 4000; i++) {
      expect(db.getString(`key ${(i * 7919) % 4000}`)).toBe(`value ${i} `.repeat(8));
    }
    await db.close();
  }
});

test('defects: bytes that were handed out show another page after an eviction', async () => {
  const db = await openSmall(new MemoryBackend());
  for (let i = 0; i < 3000; i++) db.putSync(`key ${i}`, `value ${i} `.repeat(9));
  const held = Array.from({ length: 3000 }, (_, i) => db.get(`key ${i}`)!);
  const entries = [...db.scan({ limit: 1000 })];
  for (let i = 0; i < 3000; i++) db.putSync(`key ${i}`, 'another'.repeat(12));
  expect(held.every((value, i) => text(value) === `value ${i} `.repeat(9))).toBe(true);
  expect(entries.every(([key, value]) => text(value)!.startsWith(`value ${text(key)!.slice(4)} `))).toBe(
    true,
  );
  // And they are the caller's to change.
  for (const value of db.getMany(['key 1', 'key 2'])) value!.fill(0);
  expect(db.getString('key 1')).toBe('another'.repeat(12));
  await db.close();
});

test('defects: a page that is not there is made up as an empty one', async () => {
  const backend = new MemoryBackend();
  const db = await openSmall(backend, { compression: 'none' });
  for (let i = 0; i < 2000; i++) db.putSync(`key ${i}`, 'x'.repeat(60));
  await db.close();
  const files = filesOf(backend);
  const data = files.get('data')!;
  // Zeros from the first page on, and nothing at all.
  for (const bytes of [data.slice().fill(0, 8192), data.slice(0, 8192)]) {
    const outcome = await openSmall(backendOf(new Map(files).set('data', bytes))).then(
      async (store) => {
        const error = await refused('CORRUPTION', () => [...store.scan()]);
        await store.close().catch(() => undefined);
        return error.code;
      },
      ({ code }) => code,
    );
    expect(outcome).toBe('CORRUPTION');
  }
});

test('defects: space of deleted records is never used again', async () => {
  const db = await openSmall(new MemoryBackend());
  await db.put('stays', 'x');
  const cycles = long ? 50_000 : 4000;
  for (let i = 0; i < cycles; i++) {
    db.putSync(`key ${i % 3}`, 'x'.repeat(100));
    db.deleteSync(`key ${i % 3}`);
  }
  expect([db.count(), db.stats().pages.count]).toEqual([1, 1]);
  await db.checkpoint();
  expect(db.stats().data.usedSize).toBeLessThan(20_000);
  await db.close();
});

test('defects: marks of deleted records are never reclaimed', async () => {
  const db = await openSmall(new MemoryBackend(), { compression: 'none' });
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 1500; i++) db.putSync(`round ${round} ${i}`, 'x'.repeat(80));
    // Deleted by single deletes, in a transaction, and by a range.
    if (round === 0) for (let i = 0; i < 1500; i++) db.deleteSync(`round ${round} ${i}`);
    const tx = db.beginTransaction();
    if (round === 1) for (let i = 0; i < 1500; i++) tx.delete(`round ${round} ${i}`);
    if (round === 2) tx.deleteRange({ prefix: 'round' });
    await tx.commit();
    await db.checkpoint();
    const { pages, data, versions } = db.stats();
    expect([db.count(), versions.count]).toEqual([0, 0]);
    expect(pages.count).toBeLessThan(4);
    expect(data.usedSize).toBeLessThan(30_000);
    expect((await db.verify()).records).toBe(0);
  }
  await db.close();
});

test('defects: what an aborted transaction wrote is never reclaimed', async () => {
  const db = await openSmall(new MemoryBackend());
  await db.put('a', 'x');
  await db.checkpoint();
  const before = db.stats().data.usedSize;
  for (let round = 0; round < 10; round++) {
    const tx = db.beginTransaction();
    for (let i = 0; i < 800; i++) tx.put(i === 0 ? 'a' : `key ${i}`, 'y'.repeat(90));
    tx.put('long', 'z'.repeat(50_000));
    tx.abort();
  }
  await db.checkpoint();
  const { data, versions, pool } = db.stats();
  expect([db.getString('a'), db.count(), versions.count, pool.dirtyFrames]).toEqual(['x', 1, 0, 0]);
  expect(data.usedSize).toBeLessThanOrEqual(before + 8192);
  await db.close();
});

test('defects: counts of pages and bytes drift with overwriting and deleting', async () => {
  const db = await openSmall(new MemoryBackend());
  const random = randomFrom(seed);
  for (let i = 0; i < 4000; i++) {
    const key = `key ${random(300)}`;
    if (random(3) === 0) db.deleteSync(key);
    else db.putSync(key, 'x'.repeat(random(10) === 0 ? 9000 : random(300)));
    if (i % 500 === 499) {
      const report = await db.verify();
      expect(report).toMatchObject({ ok: true, records: db.count(), pages: db.stats().pages.count });
    }
  }
  for (const key of [...db.scan().keys()]) db.deleteSync(key);
  expect([db.stats().pages.count, (await db.verify()).pages]).toEqual([1, 1]);
  await db.close();
});

// --- blocks -----------------------------------------------------------------------------------------------------

/** The files of a closed store of pages that lie in blocks of the same size. */
async function closedStore(): Promise<Files> {
  const backend = new MemoryBackend();
  const db = await openSmall(backend, { compression: 'none' });
  for (let i = 0; i < 600; i++) db.putSync(`key ${i}`, `value ${i} `.repeat(9));
  await db.close();
  return filesOf(backend);
}

/** Where blocks begin in a data file. */
function blocksOf(data: Uint8Array): number[] {
  const blocks: number[] = [];
  for (let at = 8192; at < data.length; at += 512) {
    if (text(data.subarray(at, at + 4)) === 'AEGB') blocks.push(at);
  }
  return blocks;
}

test('defects: checksums are written and never checked, the one of the header not even written', async () => {
  const files = await closedStore();
  expect(await read(files)).toBe('right');
  const data = files.get('data')!;
  const outcomes = new Set<string>();
  for (const block of blocksOf(data)) {
    for (const at of [block + 5, block + 20, block + 90, block + 400]) {
      const changed = data.slice();
      changed[at] = (changed[at] as number) ^ 1;
      const outcome = await read(new Map(files).set('data', changed));
      // A block that is no longer part of the store may hold anything.
      expect(['right', 'CORRUPTION']).toContain(outcome);
      outcomes.add(outcome);
    }
  }
  expect(outcomes).toContain('CORRUPTION');
});

test('defects: two blocks change places and nobody notices', async () => {
  const files = await closedStore();
  const data = files.get('data')!;
  const blocks = blocksOf(data);
  const outcomes: string[] = [];
  for (let i = 1; i < blocks.length; i++) {
    const [one, two] = [blocks[i - 1] as number, blocks[i] as number];
    const size = Math.min(two - one, (blocks[i + 1] ?? data.length) - two);
    const changed = data.slice();
    changed.set(data.subarray(one, one + size), two);
    changed.set(data.subarray(two, two + size), one);
    outcomes.push(await read(new Map(files).set('data', changed)));
  }
  expect(outcomes).not.toContain('wrong');
  expect(outcomes.filter((outcome) => outcome === 'CORRUPTION').length).toBeGreaterThan(10);
});

test('defects: data that cannot be compressed grows', async () => {
  const random = randomFrom(seed);
  const value = (): Uint8Array => Uint8Array.from({ length: 3000 }, () => random(256));
  const sizes: number[] = [];
  for (const compression of ['none', 'lz4'] as const) {
    const db = await openSmall(new MemoryBackend(), { compression });
    for (let i = 0; i < 200; i++) db.putSync(`key ${i}`, value());
    await db.checkpoint();
    sizes.push(db.stats().data.usedSize);
    await db.close();
  }
  expect(sizes[1]).toBeLessThanOrEqual((sizes[0] as number) * 1.02);
});

// --- configuration ----------------------------------------------------------------------------------------------

test('defects: options that nobody reads are taken without a word', async () => {
  for (const config of [{ syncWrites: true }, { buffer_pool_size: '1GB' }, { compression: 'LZ4' }]) {
    await refused('INVALID_ARGUMENT', () => StorageEngine.open(config as never));
  }
  const db = await StorageEngine.open({ compression: 'lz4', bufferPoolSize: '1MB' });
  expect(db.config).toMatchObject({ backend: 'memory', compression: 'lz4', bufferPoolSize: 1_048_576 });
  await db.close();
});
