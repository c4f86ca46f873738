/*
 * Ranges and lists of keys in a transaction: its own writes are merged in, what is not needed is not read, and what
 * was looked at is noted. How much was read is counted in pages that had to be loaded.
 */
import { expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import type { RangeOptions } from '../../src/store/range.ts';
import type { Transaction } from '../../src/txn/transaction.ts';
import { randomFrom } from '../support/codec-data.ts';
import { refused } from '../support/refused.ts';
import { seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const keysIn = (source: Pick<StorageEngine, 'scan'>, range?: RangeOptions): string[] =>
  [...source.scan(range).keys()].map(text);

async function open(keys: readonly string[]): Promise<StorageEngine> {
  const db = await openSmall(new MemoryBackend());
  onTestFinished(() => db.close());
  await db.batch(keys.map((key) => ({ type: 'put', key, value: `base ${key}` }) as const));
  return db;
}

/** A store whose pages all lie in the file, with records that need many of them. */
async function cold(records: number, value: (i: number) => Uint8Array | string): Promise<StorageEngine> {
  const backend = new MemoryBackend();
  const db = await openSmall(backend);
  for (let i = 0; i < records; i++) db.putSync(`key ${String(i).padStart(6, '0')}`, value(i));
  await db.close();
  const again = await openSmall(backend);
  onTestFinished(() => again.close());
  return again;
}

test('deleteRange: it removes what a scan of the range shows, own writes included', async () => {
  const letters = [...'abcdefghij'];
  const ranges: RangeOptions[] = [
    {},
    { gte: 'c', lt: 'g' },
    { gt: 'c', lte: 'g' },
    { prefix: 'd' },
    { limit: 3 },
    { limit: 3, reverse: true },
    { gte: 'c', limit: 2 },
    { lt: 'h', limit: 4, reverse: true },
    { limit: 0 },
    { gt: 'x', lt: 'b' },
    { limit: Number.POSITIVE_INFINITY },
  ];
  for (const range of ranges) {
    const db = await open(letters);
    const tx = db.beginTransaction();
    tx.put('c1', 'own');
    tx.put('d', 'own');
    tx.delete('e');
    tx.put('k', 'own');
    const all = keysIn(tx);
    const gone = keysIn(tx, range);
    const left = all.filter((key) => !gone.includes(key));
    tx.deleteRange(range);
    expect(keysIn(tx), JSON.stringify(range)).toEqual(left);
    expect(tx.count()).toBe(left.length);
    expect(tx.getMany(gone)).toEqual(gone.map(() => undefined));
    expect(db.count()).toBe(letters.length);
    await tx.commit();
    expect(keysIn(db), JSON.stringify(range)).toEqual(left);
  }
});

test('deleteRange: what cannot be a range is refused, and nothing is deleted', async () => {
  const db = await open(['a', 'b']);
  const tx = db.beginTransaction();
  for (const bad of [undefined, null, 'a', { from: 'a' }, { gte: 1 }, { limit: -1 }, { reverse: 1 }]) {
    await refused('INVALID_ARGUMENT', () => tx.deleteRange(bad as RangeOptions));
  }
  await refused('TOO_LARGE', () => tx.deleteRange({ gte: 'x'.repeat(1000) }));
  expect([tx.state, tx.count()]).toEqual(['active', 2]);
  tx.abort();
  await refused('TRANSACTION_FINISHED', () => tx.deleteRange({}));
  const reader = db.beginTransaction({ readOnly: true });
  await refused('READ_ONLY', () => reader.deleteRange({}));
  reader.abort();
});

test('deleteRange: values are not read, long ones least of all', async () => {
  const db = await cold(200, () => new Uint8Array(20_000).fill(7));
  const tx = db.beginTransaction();
  const { misses } = db.stats().pool;
  tx.deleteRange({ prefix: 'key' });
  // Every value has five pages of its own; the leaves are few.
  expect(db.stats().pool.misses - misses).toBeLessThan(20);
  expect(tx.count()).toBe(0);
  await tx.commit();
  expect(db.count()).toBe(0);
  expect((await db.verify()).problems).toEqual([]);
});

test('deleteRange: a serializable transaction is validated for the range and for no more', async () => {
  const cases: [RangeOptions, string, boolean][] = [
    [{ gte: 'c', lt: 'e' }, 'cc', true],
    [{ gte: 'c', lt: 'e' }, 'd', true],
    [{ gte: 'c', lt: 'e' }, 'f', false],
    [{ gte: 'x' }, 'y', true],
    [{ gte: 'x' }, 'a', false],
  ];
  for (const [range, key, refuses] of cases) {
    const db = await open(['a', 'c', 'd', 'f']);
    const tx = db.beginTransaction({ isolation: 'serializable' });
    tx.put('own', 'x');
    tx.deleteRange(range);
    await db.put(key, 'of another');
    const outcome = await tx.commit().then(
      () => 'committed',
      ({ code }) => code,
    );
    expect(outcome, `${JSON.stringify(range)} ${key}`).toBe(refuses ? 'CONFLICT' : 'committed');
  }
});

test('deleteRange: under snapshot isolation it is a write of the keys it met', async () => {
  const db = await open(['a', 'b']);
  const tx = db.beginTransaction();
  tx.deleteRange({});
  await db.put('new', 'of another');
  await tx.commit();
  expect(keysIn(db)).toEqual(['new']);
  const late = db.beginTransaction();
  late.deleteRange({});
  await db.put('new', 'again');
  await expect(late.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
});

test('count: it goes no further than to its limit', async () => {
  const db = await cold(5000, (i) => `value ${i}`.repeat(10));
  const loads = (count: () => number, expected: number): number => {
    const { misses } = db.stats().pool;
    expect(count()).toBe(expected);
    return db.stats().pool.misses - misses;
  };
  const tx = db.beginTransaction();
  const serializable = db.beginTransaction({ isolation: 'serializable' });
  const snapshot = db.snapshot();
  for (const source of [db, snapshot, tx, serializable]) {
    for (const gte of ['', 'key 003000']) {
      expect(loads(() => source.count({ gte, limit: 20 }), 20)).toBeLessThan(6);
      expect(loads(() => source.count({ gte, limit: 20, reverse: true }), 20)).toBeLessThan(6);
    }
    expect(source.count({ limit: 4999 })).toBe(4999);
    expect(source.count({ limit: 5001 })).toBe(5000);
    expect(source.count({ limit: 0 })).toBe(0);
  }
  expect(loads(() => db.count(), 5000)).toBeGreaterThan(100);
  tx.put('key 000000.5', 'own');
  expect(loads(() => tx.count({ limit: 20 }), 20)).toBeLessThan(6);
  for (const one of [tx, serializable]) one.abort();
  snapshot.close();
});

test('count: a serializable transaction that counts to a limit notes what it has come to', async () => {
  for (const [key, refuses] of [
    ['key 000010.5', true],
    ['key 004000', false],
  ] as const) {
    const db = await cold(5000, (i) => `${i}`);
    const tx = db.beginTransaction({ isolation: 'serializable' });
    expect(tx.count({ limit: 20 })).toBe(20);
    tx.put('own', 'x');
    await db.put(key, 'of another');
    if (refuses) await expect(tx.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
    else await tx.commit();
    expect(db.has('own')).toBe(!refuses);
  }
});

/** Random own writes over random records; answers the transaction and what it must show. */
async function mixed(): Promise<{ tx: Transaction; expected: Map<string, string>; key: () => string }> {
  const random = randomFrom(seed);
  const key = (): string => `k${String(random(400)).padStart(3, '0')}`;
  const db = await open(Array.from({ length: 150 }, key));
  const expected = new Map(keysIn(db).map((one) => [one, `base ${one}`]));
  const tx = db.beginTransaction();
  for (let i = 0; i < 150; i++) {
    const one = key();
    if (random(2) === 0) {
      tx.put(one, `own ${i}`);
      expected.set(one, `own ${i}`);
    } else {
      tx.delete(one);
      expected.delete(one);
    }
  }
  return { tx, expected, key };
}

test('count: own writes count in every range, and own deletions do not', async () => {
  const { tx, expected, key } = await mixed();
  for (let i = 0; i < 300; i++) {
    const [low, high] = [key(), key()].sort() as [string, string];
    const inside = [...expected.keys()].filter((one) => one >= low && one < high).length;
    expect(tx.count({ gte: low, lt: high })).toBe(inside);
    const limit = i % 50;
    expect(tx.count({ gte: low, lt: high, limit, reverse: i % 2 === 0 })).toBe(Math.min(inside, limit));
  }
  tx.abort();
});

test('getMany: own writes and deletions answer first, in the order asked, and the rest is noted', async () => {
  const { tx, expected, key } = await mixed();
  for (const size of [0, 1, 15, 16, 17, 200]) {
    const keys = Array.from({ length: size }, key);
    const given = tx.getMany(keys).map((value) => value && text(value));
    expect(given).toEqual(keys.map((one) => expected.get(one)));
  }
  await refused('INVALID_ARGUMENT', () => tx.getMany(['a', 1 as never]));
  await refused('INVALID_ARGUMENT', () => tx.getMany('a' as never));
  tx.abort();
  await refused('TRANSACTION_FINISHED', () => tx.getMany([]));

  const db = await open(['a', 'b', 'c']);
  for (const [changed, refuses] of [
    ['a', false],
    ['b', true],
    ['d', true],
    ['x', false],
  ] as const) {
    const one = db.beginTransaction({ isolation: 'serializable' });
    one.put('own', 'x');
    // Nobody else's `a` matters to what an own write answers.
    const asked = changed === 'a' ? ['own', 'b'] : ['own', 'b', 'd'];
    one.getMany(asked);
    await db.put(changed, 'of another');
    const outcome = await one.commit().then(
      () => false,
      ({ code }) => code === 'CONFLICT',
    );
    expect(outcome, changed).toBe(refuses);
  }
});

test('getMany: long values, own and of the store, come back whole', async () => {
  const db = await open(['a']);
  const long = (byte: number): Uint8Array => new Uint8Array(50_000).fill(byte);
  await db.put('base', long(1));
  const tx = db.beginTransaction();
  tx.put('own', long(2));
  const [own, a, base, none] = tx.getMany(['own', 'a', 'base', 'none']);
  expect(Buffer.compare(own!, long(2))).toBe(0);
  expect(Buffer.compare(base!, long(1))).toBe(0);
  expect([text(a!), none]).toEqual(['base a', undefined]);
  tx.abort();
});
