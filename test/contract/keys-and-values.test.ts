/* The contract of keys, values, ranges and names, a line at a time. */
import { expect, onTestFinished, test } from 'vitest';
import type { Key, RangeOptions } from '../../src/index.ts';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';
import { refused, rejected } from '../support/refused.ts';

const bytes = (...list: number[]): Uint8Array => Uint8Array.from(list);
const hex = (list: Iterable<Uint8Array>): string[] =>
  [...list].map((one) => Buffer.from(one).toString('hex'));

async function open(): Promise<StorageEngine> {
  const db = await StorageEngine.open();
  onTestFinished(() => db.close());
  return db;
}

test('contract: a string is its UTF-8 bytes, as key and as value', async () => {
  const db = await open();
  for (const text of ['a', 'ä', '✓', '🦀', 'a\u0000b', '']) {
    await db.put(text, text);
    const same = new TextEncoder().encode(text);
    expect(hex([db.get(same)!])).toEqual(hex([same]));
    expect(db.getString(text)).toBe(text);
    await db.put(same, 'by its bytes');
    expect([db.getString(text), db.has(same)]).toEqual(['by its bytes', true]);
  }
  expect(db.count()).toBe(6);
});

test('contract: a lone surrogate has no bytes', async () => {
  const db = await open();
  const tx = db.beginTransaction();
  for (const bad of ['\ud800', 'a\udfff', '\udc00\ud800']) {
    await refused('INVALID_ARGUMENT', () => db.get(bad));
    await rejected('INVALID_ARGUMENT', () => db.put(bad, 'x'));
    await rejected('INVALID_ARGUMENT', () => db.put('x', bad));
    await refused('INVALID_ARGUMENT', () => tx.put('x', bad));
    await refused('INVALID_ARGUMENT', () => db.scan({ prefix: bad }));
    await refused('INVALID_ARGUMENT', () => db.tree(bad));
  }
  expect(db.count()).toBe(0);
});

test('contract: keys are in unsigned byte order, the shorter first', async () => {
  const db = await open();
  const keys = [
    bytes(),
    bytes(0),
    bytes(0, 0),
    bytes(0, 255),
    bytes(1),
    bytes(127),
    bytes(128),
    bytes(255),
    bytes(255, 0),
  ];
  for (const key of [...keys].reverse()) await db.put(key, 'x');
  expect(hex(db.scan().keys())).toEqual(hex(keys));
  expect(hex(db.scan({ reverse: true }).keys())).toEqual(hex(keys).reverse());
  // Not as UTF-16 has them: U+FF5E comes before U+1F980 in bytes.
  await db.put('\uff5e', 'x');
  await db.put('🦀', 'x');
  expect([...db.scan({ gte: '\uff00', limit: 2 }).keys()].map((key) => Buffer.from(key).toString())).toEqual([
    '\uff5e',
    '🦀',
  ]);
});

test('contract: all bounds of a range hold together, and a prefix with them', async () => {
  const db = await open();
  const all = ['a', 'a1', 'a2', 'b', 'b1', 'b2', 'c'];
  for (const key of all) await db.put(key, 'x');
  const cases: [RangeOptions, string[]][] = [
    [{}, all],
    [{ gt: 'a1' }, ['a2', 'b', 'b1', 'b2', 'c']],
    [{ gte: 'a1', lt: 'b1' }, ['a1', 'a2', 'b']],
    [{ gt: 'a', gte: 'a2', lt: 'c', lte: 'b1' }, ['a2', 'b', 'b1']],
    [{ gt: 'a2', gte: 'a2' }, ['b', 'b1', 'b2', 'c']],
    [{ prefix: 'b' }, ['b', 'b1', 'b2']],
    [{ prefix: 'b', gt: 'b', lte: 'b1' }, ['b1']],
    [{ prefix: 'b', lt: 'b' }, []],
    [{ prefix: '' }, all],
    [{ limit: 0 }, []],
    [{ limit: 2 }, ['a', 'a1']],
    [{ limit: 2, reverse: true }, ['c', 'b2']],
    [{ prefix: 'b', reverse: true, limit: 1 }, ['b2']],
    [{ limit: Number.POSITIVE_INFINITY }, all],
    [{ gt: 'c', lt: 'a' }, []],
  ];
  for (const [range, expected] of cases) {
    const keys = [...db.scan(range).keys()].map((key) => Buffer.from(key).toString());
    expect(keys, JSON.stringify(range)).toEqual(expected);
    expect(db.count(range), JSON.stringify(range)).toBe(expected.length);
  }
});

test('contract: the largest key is an eighth of a page', async () => {
  for (const pageSize of [4096, 8192, 16_384, 32_768, 65_536]) {
    const db = await StorageEngine.open({ pageSize, bufferPoolSize: 32 * pageSize });
    const largest = 'k'.repeat(pageSize / 8);
    await db.put(largest, 'x');
    await rejected('TOO_LARGE', () => db.put(`${largest}k`, 'x'));
    await refused('TOO_LARGE', () => db.get(`${largest}k`));
    await refused('TOO_LARGE', () => db.beginTransaction().put(`${largest}k`, 'x'));
    expect([db.getString(largest), db.count()]).toEqual(['x', 1]);
    await db.close();
  }
});

test('contract: a tree is called by 1 to 255 bytes of UTF-8', async () => {
  const db = await open();
  for (const name of ['x', 'ä'.repeat(127), 'x'.repeat(255), 'a/b c\u0000', '✓']) {
    await db.tree(name).put('a', name);
    expect(db.tree(name).getString('a')).toBe(name);
    expect(db.trees()).toContain(name);
  }
  expect(db.trees().length).toBe(5);
  for (const [name, code] of [
    ['x'.repeat(256), 'TOO_LARGE'],
    ['ä'.repeat(128), 'TOO_LARGE'],
    ['', 'INVALID_ARGUMENT'],
    [1, 'INVALID_ARGUMENT'],
    [undefined, 'INVALID_ARGUMENT'],
  ] as const) {
    await refused(code, () => db.tree(name as string));
    await rejected(code, () => db.dropTree(name as string));
    if (name !== undefined) {
      const operation = { type: 'put', key: 'a', value: 'x', tree: name as string } as const;
      await rejected(code, () => db.batch([{ type: 'put', key: 'b', value: 'x' }, operation]));
    }
    const tx = db.beginTransaction();
    await refused(code, () => tx.tree(name as string));
    const snapshot = db.snapshot();
    await refused(code, () => snapshot.tree(name as string));
    tx.abort();
    snapshot.close();
  }
  expect([db.trees().length, db.count()]).toEqual([5, 0]);
});

test('contract: getString keeps a byte order mark and shows invalid UTF-8 as U+FFFD', async () => {
  const db = await open();
  await db.put('mark', '\ufefftext');
  await db.put('invalid', bytes(0x61, 0xff, 0x62));
  const readers = [db, db.snapshot(), db.beginTransaction()];
  for (const reader of readers) {
    expect(reader.getString('mark')).toBe('\ufefftext');
    expect(reader.getString('invalid')).toBe('a\ufffdb');
    expect(reader.getString('absent')).toBe(undefined);
  }
});

test('contract: what is handed out is the caller’s own, and what was handed in too', async () => {
  const db = await open();
  const key = bytes(1, 2);
  const value = new Uint8Array(20_000).fill(7);
  const put = db.put(key, value);
  key.fill(9);
  value.fill(9);
  await put;
  const tx = db.beginTransaction();
  const own = bytes(5);
  tx.put('own', own);
  own.fill(9);
  const ways: (() => Uint8Array)[] = [
    () => db.get(bytes(1, 2))!,
    () => db.getMany([bytes(1, 2)])[0]!,
    () => [...db.scan()][0]![1],
    () => db.scan().nextMany(1)[0]![1],
    () => tx.get(bytes(1, 2))!,
  ];
  for (const way of ways) {
    const given = way();
    expect([given.length, given.every((byte) => byte === 7)]).toEqual([20_000, true]);
    given.fill(8);
  }
  [...db.scan()][0]![0].fill(8);
  expect(hex([tx.get('own')!])).toEqual(['05']);
  expect(hex(db.scan().keys())).toEqual(['0102']);
  expect(db.get(bytes(1, 2))!.every((byte) => byte === 7)).toBe(true);
});

test('contract: what is no key is refused before anything happens', async () => {
  const db = await StorageEngine.open({ backend: new MemoryBackend() });
  for (const bad of [undefined, null, 1, {}, [], new ArrayBuffer(1), new Uint16Array(1)]) {
    await rejected('INVALID_ARGUMENT', () => db.put(bad as Key, 'x'));
    await rejected('INVALID_ARGUMENT', () => db.put('x', bad as Key));
    await refused('INVALID_ARGUMENT', () => db.putSync(bad as Key, 'x'));
    await refused('INVALID_ARGUMENT', () => db.has(bad as Key));
  }
  expect([db.count(), db.stats().sequence]).toEqual([0, 0]);
  await db.close();
});
