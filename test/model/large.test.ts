/* What is larger than the pool: transactions, stores, values, and the past that a long reader keeps. */
import { describe, expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { type Random, randomFrom } from '../support/codec-data.ts';
import { temporaryFolder } from '../support/place.ts';
import { long, seed, sized } from '../support/seed.ts';

const HOUR = 3_600_000;

function smallest(config: Partial<StorageConfig> = {}): Partial<StorageConfig> {
  return { pageSize: 4096, bufferPoolSize: 16 * 4096, checkpointWalSize: '1MB', ...config };
}

function keyOf(index: number): string {
  return `key ${String(index).padStart(8, '0')}`;
}

/** Bytes that only this key and this round have. */
function valueFor(index: number, round: number, size: number): Uint8Array {
  const value = new Uint8Array(size).fill((index * 31 + round * 7) & 255);
  const words = new DataView(value.buffer);
  if (size >= 8) {
    words.setUint32(0, index);
    words.setUint32(4, round);
  }
  return value;
}

function same(given: Uint8Array | undefined, expected: Uint8Array | undefined, what: string): void {
  const equal = given && expected ? Buffer.compare(given, expected) === 0 : given === expected;
  if (!equal) throw new Error(`${what}: ${given?.length} bytes, must be ${expected?.length} others`);
}

/** Every record, both ways, against what must be there. */
function compareAll(
  reader: Pick<StorageEngine, 'scan' | 'count'>,
  expected: ReadonlyMap<string, Uint8Array>,
  what: string,
): void {
  const keys = [...expected.keys()].sort();
  for (const reverse of [false, true]) {
    let seen = 0;
    for (const [key, value] of reader.scan({ reverse })) {
      const wanted = keys[reverse ? keys.length - 1 - seen : seen];
      const text = Buffer.from(key).toString();
      if (text !== wanted) throw new Error(`${what}: record ${seen} is ${text}, must be ${wanted}`);
      same(value, expected.get(text), `${what}: ${text}`);
      ++seen;
    }
    expect(seen, what).toBe(keys.length);
  }
  expect(reader.count(), what).toBe(keys.length);
}

async function closeWhole(db: StorageEngine): Promise<void> {
  expect((await db.verify()).problems).toEqual([]);
  await db.close();
}

describe('large transactions', () => {
  const puts = sized(4000, 8000, 200_000);

  for (const walEnabled of [true, false]) {
    for (const blocking of [true, false]) {
      const name = `${walEnabled ? 'log on' : 'log off'}, ${blocking ? 'commitSync' : 'commit'}`;
      test(`engine: a transaction many times larger than the pool commits whole: ${name}`, {
        timeout: HOUR,
      }, async () => {
        const backend = new MemoryBackend();
        const db = await StorageEngine.open(smallest({ backend, walEnabled, compression: 'lz4' }));
        const expected = new Map<string, Uint8Array>();
        const before = new Map<string, Uint8Array>();
        for (let i = 0; i < puts / 10; ++i) before.set(keyOf(i * 13), valueFor(i * 13, 1, 90));
        await db.batch([...before].map(([key, value]) => ({ type: 'put', key, value }) as const));
        for (const [key, value] of before) expected.set(key, value);

        const random = randomFrom(seed);
        const tx = db.beginTransaction({ isolation: 'serializable' });
        for (let i = 0; i < puts; ++i) {
          const index = (i * 7919) % puts;
          const value = valueFor(index, 2, random(50) === 0 ? 5000 : random(220));
          tx.put(keyOf(index), value);
          expected.set(keyOf(index), value);
          if (i % 10 === 0) {
            const gone = keyOf(random(puts));
            tx.delete(gone);
            expected.delete(gone);
          }
          if (i % 50 === 0) {
            const key = keyOf(random(puts));
            same(tx.get(key), expected.get(key), `own ${key}`);
          }
        }
        compareAll(tx, expected, 'the transaction');
        compareAll(db, before, 'the others, before the commit');
        const { sequence } = blocking ? tx.commitSync() : await tx.commit();
        expect(sequence).toBe(db.stats().sequence);
        compareAll(db, expected, 'after the commit');
        if (walEnabled) {
          const found = await StorageEngine.open(smallest({ backend: backend.copy(), walEnabled }));
          compareAll(found, expected, 'after a crash');
          await closeWhole(found);
        }
        await closeWhole(db);
        const again = await StorageEngine.open(smallest({ backend, walEnabled }));
        compareAll(again, expected, 'after a close');
        await closeWhole(again);
      });
    }
  }

  test('engine: a transaction larger than the pool leaves nothing when it conflicts or is aborted', {
    timeout: HOUR,
  }, async () => {
    const db = await StorageEngine.open(smallest({ walEnabled: true }));
    await db.put('stays', 'here');
    await db.checkpoint();
    const { usedSize } = db.stats().data;
    for (const way of ['conflict', 'abort'] as const) {
      const tx = db.beginTransaction();
      for (let i = 0; i < 20_000; ++i) tx.put(keyOf(i), valueFor(i, 1, 100));
      tx.put('stays', 'not');
      if (way === 'abort') {
        tx.abort();
      } else {
        await db.put('stays', 'here');
        await expect(tx.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
      }
      expect(db.count()).toBe(1);
      await db.checkpoint();
      const { data, versions, pool } = db.stats();
      expect(data.usedSize).toBeLessThanOrEqual(usedSize + 16 * 1024);
      expect(versions.count).toBe(0);
      expect(pool.dirtyFrames).toBe(0);
    }
    await closeWhole(db);
  });

  for (const way of ['commit', 'abort'] as const) {
    test(`engine: a scan of a transaction larger than the pool goes on after its ${way}`, async () => {
      const db = await StorageEngine.open(smallest({ walEnabled: true }));
      const expected = new Map<string, Uint8Array>();
      for (let i = 0; i < 3000; ++i) expected.set(keyOf(2 * i), valueFor(2 * i, 1, 100));
      await db.batch([...expected].map(([key, value]) => ({ type: 'put', key, value }) as const));
      const tx = db.beginTransaction();
      for (let i = 0; i < 6000; i += 3) {
        const value = valueFor(i, 2, i % 90 === 0 ? 9000 : 100);
        tx.put(keyOf(i), value);
        expected.set(keyOf(i), value);
      }
      const scan = tx.scan();
      const seen = scan.nextMany(100);
      if (way === 'commit') await tx.commit();
      else tx.abort();
      // Other transactions take the pages that were given back.
      const other = db.beginTransaction();
      for (let i = 0; i < 6000; ++i) other.put(keyOf(i), 'another');
      await other.commit();
      seen.push(...scan);
      const keys = [...expected.keys()].sort();
      expect(seen.length).toBe(keys.length);
      for (const [i, [key, value]] of seen.entries()) {
        expect(Buffer.from(key).toString()).toBe(keys[i]);
        same(value, expected.get(keys[i] as string), keys[i] as string);
      }
      await db.checkpoint();
      expect(db.stats().versions).toEqual({ count: 0, openSnapshots: 0, oldestSnapshotAge: 0 });
      await closeWhole(db);
    });
  }
});

describe('large stores', () => {
  for (const place of ['memory', 'folder'] as const) {
    test(`engine: a store twenty times its pool works and its space is used again: ${place}`, {
      timeout: HOUR,
    }, async () => {
      const frames = long ? 256 : 16;
      const records = (frames * 4096 * 20) / 150;
      const where =
        place === 'memory'
          ? { backend: new MemoryBackend() }
          : ({ backend: 'local', dataDirectory: temporaryFolder() } as const);
      const config = smallest({
        ...where,
        bufferPoolSize: frames * 4096,
        walEnabled: true,
        syncOnCommit: false,
        compression: 'none',
      });
      let db = await StorageEngine.open(config);
      const random = randomFrom(seed);
      const sizes: number[] = [];
      for (let round = 0; round < 4; ++round) {
        const expected = await load(db, records, round, random);
        for (let i = 0; i < 3000; ++i) {
          const key = keyOf(random(records));
          same(db.get(key), expected.get(key), key);
        }
        compareAll(db, expected, `round ${round}`);
        await db.checkpoint();
        expect(db.stats().data.usedSize).toBeGreaterThan(20 * frames * 4096);
        if (round === 1) {
          await db.close();
          db = await StorageEngine.open(config);
          compareAll(db, expected, 'opened again');
        }
        await removeAll(db, records, random);
        expect([...db.scan()]).toEqual([]);
        expect(db.count()).toBe(0);
        await db.checkpoint();
        const { data, pages, versions } = db.stats();
        expect(versions.count).toBe(0);
        expect(pages.count).toBeLessThan(10);
        expect(data.usedSize).toBeLessThan(200_000);
        sizes.push(data.fileSize);
      }
      console.log(
        `file after each round: ${sizes.map((size) => `${(size / 2 ** 20).toFixed(1)} MiB`).join(', ')}`,
      );
      // Not to the byte: how much is filled ahead depends on where the checkpoints fall.
      const last = sizes.pop() as number;
      expect(last).toBeLessThan(Math.max(...sizes) * 1.2);
      await closeWhole(db);
    });
  }
});

async function load(
  db: StorageEngine,
  records: number,
  round: number,
  random: Random,
): Promise<Map<string, Uint8Array>> {
  const expected = new Map<string, Uint8Array>();
  const order = shuffled(records, random);
  for (let from = 0; from < order.length; from += 500) {
    const part = order
      .slice(from, from + 500)
      .map((index) => [keyOf(index), valueFor(index, round, 100 + (index % 100))] as const);
    for (const [key, value] of part) expected.set(key, value);
    await db.batch(part.map(([key, value]) => ({ type: 'put', key, value }) as const));
  }
  return expected;
}

async function removeAll(db: StorageEngine, records: number, random: Random): Promise<void> {
  const order = shuffled(records, random);
  for (let from = 0; from < order.length; from += 500) {
    await db.batch(
      order.slice(from, from + 500).map((index) => ({ type: 'delete', key: keyOf(index) }) as const),
    );
  }
}

function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let i = order.length - 1; i > 0; --i) {
    const other = random(i + 1);
    [order[i], order[other]] = [order[other] as number, order[i] as number];
  }
  return order;
}

describe('long readers', () => {
  for (const walEnabled of [true, false]) {
    test(`engine: a snapshot reads its old state through all overwrites, and its space is used again: log ${walEnabled ? 'on' : 'off'}`, {
      timeout: HOUR,
    }, async () => {
      const overwrites = sized(8000, 50_000, 1_000_000);
      const records = 4000;
      const db = await StorageEngine.open(
        smallest({ bufferPoolSize: 32 * 4096, walEnabled, compression: 'none' }),
      );
      const random = randomFrom(seed);
      const old = await load(db, records, 0, random);
      const now = new Map(old);
      await db.checkpoint();
      const before = db.stats().data;
      const snapshot = db.snapshot();
      let largest = 0;
      let most = 0;
      for (let done = 0; done < overwrites; ) {
        const part = Array.from({ length: 1 + random(100) }, () => {
          const index = random(records);
          return [keyOf(index), valueFor(index, ++done, 100 + random(100))] as const;
        });
        for (const [key, value] of part) now.set(key, value);
        const operations = part.map(([key, value]) => ({ type: 'put', key, value }) as const);
        if (random(4) === 0) db.batchSync(operations);
        else await db.batch(operations);
        const key = keyOf(random(records));
        same(snapshot.get(key), old.get(key), `old ${key}`);
        same(db.get(key), now.get(key), `new ${key}`);
        if (random(400) === 0) compareAll(snapshot, old, `the snapshot after ${done} overwrites`);
        if (random(400) === 0) await db.checkpoint();
        const { data, versions } = db.stats();
        largest = Math.max(largest, data.fileSize);
        most = Math.max(most, versions.count);
      }
      compareAll(snapshot, old, 'the snapshot at the end');
      compareAll(db, now, 'the store at the end');
      snapshot.close();
      await db.checkpoint();
      const { data, versions } = db.stats();
      const sizes = [before.fileSize, largest, before.usedSize, data.usedSize].map(
        (size) => `${(size / 2 ** 20).toFixed(1)} MiB`,
      );
      console.log(
        `${overwrites} overwrites: file ${sizes[0]}, at most ${sizes[1]}; used ${sizes[2]}, then ${sizes[3]}; versions at most ${most}`,
      );
      expect(versions.count).toBe(0);
      expect(data.usedSize).toBeLessThan(before.usedSize * 1.8);
      expect(largest).toBeLessThan(before.usedSize * 8);
      compareAll(db, now, 'the store without the snapshot');
      await closeWhole(db);
    });
  }
});

describe('large values', () => {
  for (const walEnabled of [true, false]) {
    test(`engine: a value far larger than the pool comes back: log ${walEnabled ? 'on' : 'off'}`, {
      timeout: HOUR,
    }, async () => {
      const size = (long ? 64 : 8) * 2 ** 20;
      const random = randomFrom(seed);
      const value = new Uint8Array(size);
      const words = new Uint32Array(value.buffer);
      for (let i = 0; i < words.length; ++i) words[i] = random(2 ** 32);
      const other = value.slice().reverse();
      const backend = new MemoryBackend();
      let db = await StorageEngine.open(smallest({ backend, walEnabled, compression: 'lz4' }));
      await db.put('a', 'before');
      const given = value.slice();
      const put = db.put('large', given);
      given.fill(0);
      await put;
      same(db.get('large'), value, 'as put');
      const snapshot = db.snapshot();
      db.putSync('large', other);
      same(db.get('large'), other, 'as put over the first');
      same(snapshot.get('large'), value, 'as the snapshot has it');
      if (walEnabled) {
        const found = await StorageEngine.open(smallest({ backend: backend.copy(), walEnabled }));
        same(found.get('large'), other, 'after a crash');
        await closeWhole(found);
      }
      const tx = db.beginTransaction();
      tx.put('large', value);
      tx.put('small', 'beside it');
      same(tx.get('large'), value, 'in a transaction');
      expect([...tx.scan()].map(([key, { length }]) => [Buffer.from(key).toString(), length])).toEqual([
        ['a', 6],
        ['large', size],
        ['small', 9],
      ]);
      await tx.commit();
      same(snapshot.get('large'), value, 'as the snapshot has it still');
      snapshot.close();
      await db.close();
      db = await StorageEngine.open(smallest({ backend, walEnabled }));
      same(db.get('large'), value, 'after a close');
      expect(await db.delete('large')).toBe(true);
      await db.checkpoint();
      expect(db.stats().data.usedSize).toBeLessThan(100_000);
      expect(db.getString('small')).toBe('beside it');
      await closeWhole(db);
    });
  }
});
