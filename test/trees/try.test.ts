import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { StorageEngine } from '../../src/engine.ts';

test('trees: try', async () => {
  const backend = new MemoryBackend();
  let db = await StorageEngine.open({ backend, walEnabled: true, pageSize: 4096 });
  const t = db.tree('users');
  expect(t.get('a')).toBe(undefined);
  expect(db.trees()).toEqual([]);
  await t.put('a', '1');
  expect(t.getString('a')).toBe('1');
  expect(db.getString('a')).toBe(undefined);
  expect(db.trees()).toEqual(['users']);
  await db.batch([
    { type: 'put', key: 'x', value: 'y', tree: 'other' },
    { type: 'put', key: 'x', value: 'main' },
  ]);
  const tx = db.beginTransaction({ isolation: 'serializable' });
  expect(tx.tree('users').getString('a')).toBe('1');
  tx.tree('users').put('b', '2');
  tx.tree('new').put('b', '3');
  expect([...tx.tree('new').scan()].length).toBe(1);
  const snap = db.snapshot();
  await tx.commit();
  expect(db.trees()).toEqual(['new', 'other', 'users']);
  expect((await db.verify()).problems).toEqual([]);
  expect(await db.dropTree('users')).toBe(true);
  expect(await db.dropTree('users')).toBe(false);
  expect(snap.tree('users').getString('a')).toBe('1');
  expect(snap.tree('new').getString('b')).toBe(undefined);
  expect(db.trees()).toEqual(['new', 'other']);
  expect((await db.verify()).problems).toEqual([]);
  snap.close();
  await db.close();
  db = await StorageEngine.open({ backend, walEnabled: true });
  expect(db.trees()).toEqual(['new', 'other']);
  expect(db.tree('new').getString('b')).toBe('3');
  expect((await db.verify()).problems).toEqual([]);
  await db.close();
});
