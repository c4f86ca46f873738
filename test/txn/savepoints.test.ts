/*
 * Savepoints one rule at a time. What they do among everything else is the model test's (test/model).
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { hostOf } from '../../src/backend/host.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { openStore } from '../../src/maintenance/open-store.ts';
import { Savepoint, Savepoints } from '../../src/txn/savepoint.ts';
import type { Transaction } from '../../src/txn/transaction.ts';
import { WriteSet } from '../../src/txn/write-set.ts';
import { FaultyBackend } from '../support/faults.ts';
import { refused } from '../support/refused.ts';
import { openSmall } from '../support/small-store.ts';
import { long, open } from './savepoints-kit.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** Everything a transaction shows, in each of its ways, which must agree. */
function shown(tx: Transaction): Record<string, string> {
  const entries = [...tx.scan()].map(([key, value]) => [text(key), text(value)] as const);
  const keys = entries.map(([key]) => key);
  expect([...tx.scan({ reverse: true }).keys()].map(text).reverse()).toEqual(keys);
  expect(tx.getMany(keys).map((value) => value && text(value))).toEqual(entries.map(([, value]) => value));
  expect(keys.map((key) => tx.getString(key))).toEqual(entries.map(([, value]) => value));
  expect(tx.count()).toBe(keys.length);
  expect(keys.every((key) => tx.has(key))).toBe(true);
  return Object.fromEntries(entries);
}

test('savepoints: what was written since is taken back, what was written before stays', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  const tx = db.beginTransaction();
  tx.put('a', 'second a');
  tx.delete('b');
  tx.put('new', 'before');
  const before = shown(tx);
  const savepoint = tx.savepoint();
  expect(savepoint).toBeInstanceOf(Savepoint);
  tx.put('a', 'third a');
  tx.put('b', 'third b');
  tx.delete('c');
  tx.put('d', '');
  tx.delete('new');
  tx.put('newer', 'after');
  expect(shown(tx)).toEqual({ a: 'third a', b: 'third b', d: '', newer: 'after' });
  tx.rollbackTo(savepoint);
  expect(shown(tx)).toEqual(before);
  expect(before).toEqual({ a: 'second a', c: 'first c', d: 'first d', new: 'before' });
  await tx.commit();
  const found = await openSmall(backend.copy());
  expect(Object.fromEntries([...found.scan()].map(([key, value]) => [text(key), text(value)]))).toEqual(
    before,
  );
  await found.close();
});

test('savepoints: one serves any number of times, and going back to an older one ends the newer', async () => {
  const db = await open();
  const tx = db.beginTransaction();
  const start = tx.savepoint();
  tx.put('a', '1');
  const one = tx.savepoint();
  tx.put('a', '2');
  tx.put('x', '2');
  const two = tx.savepoint();
  expect([start.id, one.id, two.id]).toEqual([1, 2, 3]);
  for (let round = 0; round < 3; round++) {
    tx.put('a', '3');
    tx.delete('x');
    tx.rollbackTo(two);
    expect([tx.getString('a'), tx.getString('x')]).toEqual(['2', '2']);
  }
  tx.put('b', '3');
  tx.rollbackTo(one);
  expect([tx.getString('a'), tx.has('x'), tx.getString('b')]).toEqual(['1', false, 'first b']);
  await refused('INVALID_ARGUMENT', () => tx.rollbackTo(two));
  // A newer one in its place is not the old one.
  const again = tx.savepoint();
  tx.put('c', '4');
  await refused('INVALID_ARGUMENT', () => tx.rollbackTo(two));
  expect(tx.getString('c')).toBe('4');
  tx.rollbackTo(again);
  expect(tx.getString('c')).toBe('first c');
  tx.rollbackTo(start);
  expect(tx.getString('a')).toBe('first a');
  await refused('INVALID_ARGUMENT', () => tx.rollbackTo(again));
  tx.put('a', '5');
  await tx.commit();
  expect(db.getString('a')).toBe('5');
});

test('savepoints: those of others, and what is none, are refused and nothing changes', async () => {
  const db = await open();
  const other = db.beginTransaction();
  const foreign = other.savepoint();
  const tx = db.beginTransaction();
  const own = tx.savepoint();
  tx.put('a', 'mine');
  for (const bad of [foreign, undefined, null, 1, {}, 'sp', new Savepoint(1)] as Savepoint[]) {
    await refused('INVALID_ARGUMENT', () => tx.rollbackTo(bad));
  }
  expect([tx.state, tx.getString('a')]).toEqual(['active', 'mine']);
  await tx.commit();
  await refused('TRANSACTION_FINISHED', () => tx.rollbackTo(own));
  await refused('TRANSACTION_FINISHED', () => tx.savepoint());
  other.abort();
  await refused('TRANSACTION_FINISHED', () => other.rollbackTo(foreign));
  const reader = db.beginTransaction({ readOnly: true });
  const idle = reader.savepoint();
  reader.rollbackTo(idle);
  expect(reader.getString('a')).toBe('mine');
  reader.abort();
});

test('savepoints: a scan opened before goes on as it was', async () => {
  const db = await open();
  const tx = db.beginTransaction();
  for (let i = 0; i < 600; i++) tx.put(`k${i}`, `one ${i}`);
  const savepoint = tx.savepoint();
  for (let i = 0; i < 600; i += 2) tx.put(`k${i}`, `two ${i}`);
  for (let i = 1; i < 600; i += 2) tx.delete(`k${i}`);
  tx.put('long', long(1, 30_000));
  const expected = [...tx.scan()].map(([key, value]) => [text(key), text(value)]);
  const scan = tx.scan();
  const seen = scan.nextMany(10);
  tx.rollbackTo(savepoint);
  for (let i = 0; i < 600; i++) tx.put(`k${i}`, 'three');
  seen.push(...scan);
  expect(seen.map(([key, value]) => [text(key), text(value)])).toEqual(expected);
  tx.rollbackTo(savepoint);
  expect(tx.getString('k3')).toBe('one 3');
  tx.abort();
});

test('savepoints: long values come back, larger than the pool too', async () => {
  const db = await open();
  const tx = db.beginTransaction();
  const values = new Map([5_000, 40_000, 300_000].map((length) => [`long ${length}`, long(length, length)]));
  for (const [key, value] of values) tx.put(key, value);
  tx.put('short', 'as it was');
  const savepoint = tx.savepoint();
  for (const change of [
    (key: string) => tx.put(key, 'short'),
    (key: string) => tx.delete(key),
    (key: string) => tx.put(key, long(3, 70_000)),
    (key: string) => tx.put(key, values.get(key)!.slice().reverse()),
  ]) {
    for (const key of values.keys()) change(key);
    tx.put('short', long(9, 50_000));
    tx.put('other', long(9, 50_000));
    tx.rollbackTo(savepoint);
    for (const [key, value] of values) expect(Buffer.compare(tx.get(key)!, value), key).toBe(0);
    expect([tx.getString('short'), tx.has('other')]).toEqual(['as it was', false]);
  }
  await tx.commit();
  for (const [key, value] of values) expect(Buffer.compare(db.get(key)!, value), key).toBe(0);
  expect((await db.verify()).problems).toEqual([]);
});

test('savepoints: a write set larger than the pool goes back, and leaves nothing behind', async () => {
  const db = await open();
  await db.checkpoint();
  const before = db.stats().data.usedSize;
  const tx = db.beginTransaction();
  for (let i = 0; i < 3000; i++) tx.put(`key ${i}`, `one ${i} ${'x'.repeat(50)}`);
  const savepoint = tx.savepoint();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 6000; i++) {
      if (i % 3 === 0) tx.delete(`key ${i}`);
      else tx.put(`key ${i}`, `two ${i} ${'y'.repeat(80)}`);
    }
    expect(tx.count({ prefix: 'key' })).toBe(4000);
    tx.rollbackTo(savepoint);
    expect(tx.count({ prefix: 'key' })).toBe(3000);
  }
  for (let i = 0; i < 3000; i++) expect(tx.getString(`key ${i}`)).toBe(`one ${i} ${'x'.repeat(50)}`);
  tx.abort();
  await db.checkpoint();
  expect(db.stats().versions).toEqual({ count: 0, openSnapshots: 0, oldestSnapshotAge: 0 });
  expect(db.stats().pool.dirtyFrames).toBe(0);
  expect(db.stats().data.usedSize).toBeLessThanOrEqual(before + 16_384);
});

test('savepoints: they hold for all trees of the transaction', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  await db.tree('there').put('a', 'first');
  const tx = db.beginTransaction();
  const [there, made, late] = ['there', 'made', 'late'].map((name) => tx.tree(name));
  made!.put('a', 'one');
  const savepoint = tx.savepoint();
  const show = (): unknown => [
    tx.getString('a'),
    there!.getString('a'),
    [...made!.scan()].map((entry) => entry.map(text)),
    late!.count(),
  ];
  const before = show();
  for (let round = 0; round < 2; round++) {
    tx.put('a', 'two');
    there!.deleteRange({});
    made!.put('a', 'two');
    made!.put('b', long(1, 20_000));
    late!.put('a', 'two');
    const inner = tx.savepoint();
    there!.put('c', 'three');
    late!.deleteRange({});
    expect([there!.count(), late!.count()]).toEqual([1, 0]);
    tx.rollbackTo(inner);
    expect([there!.count(), late!.count()]).toEqual([0, 1]);
    tx.rollbackTo(savepoint);
    expect(show()).toEqual(before);
  }
  expect(before).toEqual(['first a', 'first', [['a', 'one']], 0]);
  await tx.commit();
  expect(db.trees()).toEqual(['made', 'there']);
  const found = await openSmall(backend.copy());
  expect([found.trees(), found.tree('made').getString('a')]).toEqual([['made', 'there'], 'one']);
  expect((await found.verify()).problems).toEqual([]);
  await found.close();
});

for (const way of ['rollbackTo', 'deleteRange'] as const) {
  test(`savepoints: a ${way} that fails midway aborts its transaction, so that no half is committed`, async () => {
    const backend = new FaultyBackend();
    const db = await openSmall(backend);
    for (let i = 0; i < 4000; i++) db.putSync(`base ${i}`, 'x'.repeat(50));
    const tx = db.beginTransaction();
    for (let i = 0; i < 4000; i++) tx.put(`key ${i}`, 'x'.repeat(50));
    const savepoint = tx.savepoint();
    for (let i = 0; i < 4000; i++) tx.put(`key ${i}`, 'y'.repeat(60));
    // Pages must leave memory on the way, and have nowhere to go.
    const from = backend.calls.length + 20;
    backend.plan = ({ number, operation }) =>
      operation === 'write' && number > from ? { errno: 'EIO' } : undefined;
    await refused('IO_ERROR', () => (way === 'rollbackTo' ? tx.rollbackTo(savepoint) : tx.deleteRange({})));
    expect(backend.hasFailed).toBe(true);
    expect(tx.state).toBe('aborted');
    await refused('TRANSACTION_FINISHED', () => tx.rollbackTo(savepoint));
    backend.plan = () => undefined;
    expect(db.count()).toBe(4000);
    await db.put('still', 'working');
    await db.close();
  });
}

test('savepoints: a loop that takes one for each step keeps none that the collector has found', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const db = await open();
  const tx = db.beginTransaction();
  const first = tx.savepoint();
  tx.put('a', 'one');
  const second = tx.savepoint();
  for (let i = 0; i < 800; i++) {
    tx.savepoint();
    tx.put(`key ${i}`, 'x'.repeat(100));
    if (i === 400) tx.put('b', 'two');
  }
  const { usedSize } = db.stats().data;
  expect(usedSize).toBeGreaterThan(2_000_000);
  for (let turn = 0; turn < 20 && db.stats().data.usedSize > usedSize / 10; turn++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(db.stats().data.usedSize).toBeLessThan(usedSize / 10);
  // What the merged ones knew is known to those that are held.
  expect([tx.getString('a'), tx.getString('b'), tx.count()]).toEqual(['one', 'two', 804]);
  tx.rollbackTo(second);
  expect([tx.getString('a'), tx.getString('b'), tx.count()]).toEqual(['one', 'first b', 4]);
  tx.rollbackTo(first);
  expect(tx.getString('a')).toBe('first a');
  tx.abort();
});

test('savepoints: one that nobody holds any more is merged into the next older one', async () => {
  const backend = new MemoryBackend();
  const config = resolveConfig({ backend, pageSize: 4096, bufferPoolSize: '64KB', walEnabled: true });
  const { trees } = await openStore({ backend, host: hostOf(backend), config });
  const writes = new WriteSet(trees);
  const savepoints = new Savepoints(trees, writes);
  const key = (i: number): Uint8Array => Buffer.from(`key ${i}`);
  const value = (i: number): string | undefined => {
    const found = writes.tree('')?.get(trees.setKey(key(i)));
    return found instanceof Uint8Array ? text(found) : undefined;
  };
  const put = (from: number, to: number, what: string): void => {
    for (let i = from; i < to; i++) writes.put('', key(i), Buffer.from(what));
  };
  const bottom = savepoints.find(savepoints.take());
  put(0, 400, 'one');
  const one = savepoints.find(savepoints.take());
  put(0, 3, 'two');
  const two = savepoints.find(savepoints.take());
  put(100, 400, 'three');
  const three = savepoints.find(savepoints.take());
  put(3, 5, 'four');
  // The larger set takes the smaller one in, whichever is the older.
  savepoints.merge(two);
  savepoints.merge(three);
  expect(savepoints.count).toBe(2);
  savepoints.merge(three);
  expect(savepoints.count).toBe(2);
  savepoints.rollback(one);
  for (let i = 0; i < 400; i++) expect(value(i)).toBe('one');
  expect(writes.counters.operations).toBe(400);
  put(0, 2, 'five');
  savepoints.merge(one);
  savepoints.rollback(bottom);
  expect([value(0), writes.isEmpty, [...writes.trees].length]).toEqual([undefined, true, 0]);
  put(0, 1, 'six');
  savepoints.merge(bottom);
  expect([savepoints.count, value(0)]).toEqual([0, 'six']);
  savepoints.drop();
  writes.drop();
  expect(trees.pager.privatePlaces.size).toBe(0);
  expect(trees.pager.privateVersions.count).toBe(0);
});
