/* Savepoints and commits: what is left is written, and checked; what was taken back is neither. */
import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { Transaction } from '../../src/txn/transaction.ts';
import { openSmall } from '../support/small-store.ts';
import { long, open } from './savepoints-kit.ts';

test('savepoints: a transaction that took back all it wrote has written nothing', async () => {
  const db = await open();
  for (const first of [true, false]) {
    const tx = db.beginTransaction();
    const savepoint = tx.savepoint();
    if (first) tx.put('x', 'y');
    else for (let i = 0; i < 9000; i++) tx.put(`x ${i}`, 'y'.repeat(100));
    tx.rollbackTo(savepoint);
    const { sequence, log } = db.stats();
    // What it wrote and took back is no reason for a conflict either.
    await db.put('x', 'of another');
    expect(await tx.commit()).toEqual({ lsn: 0, sequence });
    expect(db.stats().sequence).toBe(sequence + 1);
    expect(db.stats().log.groups).toBe(log.groups + 1);
  }
});

test('savepoints: a commit is checked for the keys that are still written, and for no others', async () => {
  const db = await open();
  const tx = db.beginTransaction();
  tx.put('a', 'mine');
  const savepoint = tx.savepoint();
  tx.put('b', 'mine');
  tx.rollbackTo(savepoint);
  await db.put('b', 'of another');
  await tx.commit();
  expect([db.getString('a'), db.getString('b')]).toEqual(['mine', 'of another']);

  const late = db.beginTransaction();
  late.put('a', 'late');
  const point = late.savepoint();
  late.put('a', 'later');
  late.rollbackTo(point);
  await db.put('a', 'of another');
  await expect(late.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
});

test('savepoints: what was read since stays noted for a serializable transaction', async () => {
  const db = await open();
  const ways: ((tx: Transaction) => unknown)[] = [
    (tx) => tx.get('a'),
    (tx) => tx.has('a'),
    (tx) => tx.getMany(['b', 'a']),
    (tx) => [...tx.scan({ lt: 'b' })],
    (tx) => tx.count({ lt: 'b' }),
    (tx) => tx.count({ limit: 1 }),
    (tx) => tx.deleteRange({ lt: 'b' }),
  ];
  for (const [i, read] of ways.entries()) {
    const tx = db.beginTransaction({ isolation: 'serializable' });
    tx.put('own', 'x');
    const savepoint = tx.savepoint();
    read(tx);
    tx.put('since', 'x');
    tx.rollbackTo(savepoint);
    await db.put('a', `of another ${i}`);
    await expect(tx.commit(), `way ${i}`).rejects.toMatchObject({ code: 'CONFLICT' });
  }
  expect(db.has('own')).toBe(false);
});

test('savepoints: a read counts although its key was written and the write taken back', async () => {
  const db = await open();
  for (const before of [true, false]) {
    const tx = db.beginTransaction({ isolation: 'serializable' });
    tx.put('own', 'x');
    if (before) tx.get('a');
    const savepoint = tx.savepoint();
    if (!before) tx.get('a');
    tx.put('a', 'mine');
    tx.rollbackTo(savepoint);
    await db.put('a', 'of another');
    await expect(tx.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
  }
  // What its own write answered says nothing of the store.
  const tx = db.beginTransaction({ isolation: 'serializable' });
  const savepoint = tx.savepoint();
  tx.put('a', 'mine');
  expect(tx.getString('a')).toBe('mine');
  tx.rollbackTo(savepoint);
  tx.put('own', 'x');
  await db.put('a', 'of another');
  await tx.commit();
  expect(db.getString('own')).toBe('x');
});

test('savepoints: a commit that is blocking, and one too large to keep, write what is left', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  const expected = new Map<string, string>();
  for (const blocking of [true, false]) {
    const tx = db.beginTransaction();
    for (let i = 0; i < 20_000; i++) {
      tx.put(`${blocking} ${i}`, `value ${i}`);
      expected.set(`${blocking} ${i}`, `value ${i}`);
    }
    const savepoint = tx.savepoint();
    tx.deleteRange({ prefix: `${blocking}` });
    for (let i = 0; i < 100; i++) tx.put(`lost ${i}`, long(i, 10_000));
    tx.rollbackTo(savepoint);
    tx.put('after', `${blocking}`);
    if (blocking) tx.commitSync();
    else await tx.commit();
  }
  const found = await openSmall(backend.copy());
  expect([found.count(), found.getString('after')]).toEqual([40_005, 'false']);
  for (const [key, value] of expected) expect(found.getString(key), key).toBe(value);
  expect((await found.verify()).problems).toEqual([]);
  await found.close();
});

test('savepoints: a tree that was only written to by what was taken back is not made, nor checked', async () => {
  const db = await open();
  const tx = db.beginTransaction({ isolation: 'serializable' });
  tx.put('a', 'own');
  const savepoint = tx.savepoint();
  tx.tree('never').put('a', 'x');
  tx.rollbackTo(savepoint);
  tx.tree('deleted in').delete('a');
  await db.tree('never').put('a', 'of another');
  expect(await db.dropTree('never')).toBe(true);
  await tx.commit();
  expect([db.trees(), db.getString('a')]).toEqual([[], 'own']);
});
