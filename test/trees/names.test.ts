/* What trees may be called, and how many there may be. */
import { expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { refused, rejected } from '../support/refused.ts';
import { openSmall } from '../support/small-store.ts';

async function open(backend: MemoryBackend): Promise<StorageEngine> {
  const db = await openSmall(backend);
  onTestFinished(() => db.close());
  return db;
}

/** Legal names of every kind. */
const NAMES = [
  '\0',
  '\0\0',
  ' ',
  'a',
  'A',
  'a\0b',
  '../etc',
  '__proto__',
  'constructor',
  'é',
  'e\u0301',
  '\ufeffmark',
  '\ufffd',
  '\uffff',
  '😀',
  '😀'.repeat(63),
  'x'.repeat(255),
  `${'é'.repeat(127)}x`,
];

test('trees: names of every legal kind are each a tree of its own, in the order of their bytes', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  for (const name of NAMES) await db.tree(name).put('name', name);
  const sorted = [...NAMES].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  // Not the order of their UTF-16 units, which has U+FFFF after the emoji.
  expect(sorted.indexOf('😀')).toBeGreaterThan(sorted.indexOf('\uffff'));
  expect(db.trees()).toEqual(sorted);
  await db.close();
  const again = await open(backend);
  expect(again.trees()).toEqual(sorted);
  for (const name of NAMES) expect(again.tree(name).getString('name')).toBe(name);
  expect(again.count()).toBe(0);
  expect(await again.verify()).toMatchObject({ ok: true, records: NAMES.length * 2 });
});

test.each<[string, unknown, 'INVALID_ARGUMENT' | 'TOO_LARGE']>([
  ['empty', '', 'INVALID_ARGUMENT'],
  ['half a character', '\ud800', 'INVALID_ARGUMENT'],
  ['half a character inside', 'a\udfffblocks', 'INVALID_ARGUMENT'],
  ["an internal tree's", '\udfffblocks', 'INVALID_ARGUMENT'],
  ['256 bytes long', 'x'.repeat(256), 'TOO_LARGE'],
  ['too long in bytes only', '😀'.repeat(64), 'TOO_LARGE'],
  ['a number', 7, 'INVALID_ARGUMENT'],
  ['bytes', new Uint8Array(3), 'INVALID_ARGUMENT'],
  ['null', null, 'INVALID_ARGUMENT'],
  ['missing', undefined, 'INVALID_ARGUMENT'],
])('trees: a name that is %s is refused everywhere, and nothing is changed', async (_what, given, code) => {
  const db = await open(new MemoryBackend());
  const name = given as string;
  const snapshot = db.snapshot();
  const tx = db.beginTransaction();
  await refused(code, () => db.tree(name));
  await refused(code, () => snapshot.tree(name));
  await refused(code, () => tx.tree(name));
  await rejected(code, () => db.dropTree(name));
  if (given !== undefined) {
    const operations = [
      { type: 'put', key: 'fine', value: '' },
      { type: 'put', key: 'k', value: '', tree: name },
    ] as const;
    await rejected(code, () => db.batch(operations));
    await refused(code, () => db.batchSync(operations));
    await rejected(code, () => db.batch([{ type: 'delete', key: 'k', tree: name }]));
  }
  snapshot.close();
  tx.abort();
  expect([db.trees(), db.count(), db.stats().trees]).toEqual([[], 0, 0]);
});

test('trees: 300 trees take a record each in one batch, and many more one after the other', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  const names = Array.from({ length: 300 }, (_, n) => `tree ${String(n).padStart(3, '0')}`);
  await db.batch(names.map((tree) => ({ type: 'put', key: tree, value: 'first', tree })));
  expect(db.trees()).toEqual(names);
  await db.transaction((tx) => {
    for (const name of names) tx.tree(name).put(`${name} again`, 'second');
  });
  // Larger than the log buffer, so in several groups, each with trees to make.
  const large = 'x'.repeat(100_000);
  const more = Array.from({ length: 30 }, (_, n) => `large ${String(n).padStart(2, '0')}`);
  await db.batch(more.map((tree) => ({ type: 'put', key: 'large', value: large, tree })));
  db.batchSync([{ type: 'put', key: 'key', value: 'blocking', tree: 'blocking' }]);
  const check = (engine: StorageEngine): void => {
    expect(engine.trees()).toEqual(['blocking', ...more, ...names]);
    expect(engine.stats().trees).toBe(331);
    for (const name of names) {
      const tree = engine.tree(name);
      expect([tree.getString(name), tree.getString(`${name} again`), tree.count()]).toEqual([
        'first',
        'second',
        2,
      ]);
    }
    for (const name of more) expect(engine.tree(name).get('large')?.length).toBe(large.length);
  };
  check(db);
  expect((await db.verify()).problems).toEqual([]);
  check(await open(backend.copy()));
  await db.close();
  const again = await open(backend);
  check(again);
  expect((await again.verify()).problems).toEqual([]);
});
