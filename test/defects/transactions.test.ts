/*
 * Defects that storage engines have shipped with: transactions. Each test is named by its defect and holds what must be
 * the case instead. Costs are counted in pages that were visited, never in time.
 */
import { expect, onTestFinished, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import type { IsolationLevel, Key, Value } from '../../src/index.ts';
import { MemoryBackend, StorageEngine, type Transaction } from '../../src/index.ts';
import { refused } from '../support/refused.ts';
import { long } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

async function open(config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const db = await openSmall(new MemoryBackend(), config);
  onTestFinished(() => db.close());
  return db;
}

/** The code a commit is refused with, or `committed`. */
function outcome(tx: Transaction): Promise<string> {
  return tx.commit().then(
    () => 'committed',
    (error: { code: string }) => error.code,
  );
}

/** Pages that work visits, in frames or not. */
function visits(db: StorageEngine, work: () => void): number {
  const before = db.stats().pool;
  work();
  const { hits, misses } = db.stats().pool;
  return hits + misses - before.hits - before.misses;
}

test('defects: an own write is invisible', async () => {
  const db = await open();
  await db.batch([
    { type: 'put', key: 'changed', value: 'old' },
    { type: 'put', key: 'deleted', value: 'old' },
  ]);
  for (const isolation of ['snapshot', 'serializable'] as const) {
    const tx = db.beginTransaction({ isolation });
    tx.put('changed', 'own');
    tx.put('new', 'own');
    tx.delete('deleted');
    expect(['changed', 'new', 'deleted'].map((key) => tx.getString(key))).toEqual(['own', 'own', undefined]);
    expect(['changed', 'new', 'deleted'].map((key) => tx.has(key))).toEqual([true, true, false]);
    expect(tx.getMany(['deleted', 'new']).map((value) => value && Buffer.from(value).toString())).toEqual([
      undefined,
      'own',
    ]);
    expect([...tx.scan().keys()].map((key) => Buffer.from(key).toString())).toEqual(['changed', 'new']);
    expect(tx.count()).toBe(2);
    tx.abort();
  }
});

test('defects: a lost update, both commits succeed', async () => {
  const db = await open();
  await db.put('counter', '0');
  for (const isolation of ['snapshot', 'serializable'] as const) {
    const [one, two] = [db.beginTransaction({ isolation }), db.beginTransaction({ isolation })];
    for (const tx of [one, two]) tx.put('counter', String(Number(tx.getString('counter')) + 1));
    // At the same moment, not one after the other.
    const outcomes = await Promise.all([outcome(one), outcome(two)]);
    expect(outcomes.sort()).toEqual(['CONFLICT', 'committed']);
  }
  expect(db.getString('counter')).toBe('2');
  const adding = Array.from({ length: 30 }, () =>
    db.transaction((tx) => tx.put('counter', String(Number(tx.getString('counter')) + 1)), {
      maxRetries: 200,
    }),
  );
  await Promise.all(adding);
  expect(db.getString('counter')).toBe('32');
});

test('defects: a deleted key reads as an empty value', async () => {
  const backend = new MemoryBackend();
  let db = await openSmall(backend);
  for (const key of ['deleted', 'empty', 'own']) await db.put(key, 'x');
  await db.put('empty', '');
  expect(await db.delete('deleted')).toBe(true);
  expect(await db.delete('deleted')).toBe(false);
  const tx = db.beginTransaction();
  tx.delete('own');
  expect([tx.get('own'), tx.has('own'), tx.getString('empty'), tx.has('empty')]).toEqual([
    undefined,
    false,
    '',
    true,
  ]);
  await tx.commit();
  const look = (): unknown[] => [
    db.get('deleted'),
    db.has('deleted'),
    db.get('own'),
    db.get('empty')?.length,
    db.has('empty'),
    [...db.scan()].length,
  ];
  expect(look()).toEqual([undefined, false, undefined, 0, true, 1]);
  await db.close();
  db = await openSmall(backend);
  expect(look()).toEqual([undefined, false, undefined, 0, true, 1]);
  await db.close();
});

test('defects: an empty key or value cannot be read', async () => {
  const backend = new MemoryBackend();
  let db = await openSmall(backend);
  await db.put('', '');
  await db.put('a', '');
  const tx = db.beginTransaction();
  tx.put('b', new Uint8Array(0));
  await tx.commit();
  for (const reopened of [false, true]) {
    if (reopened) {
      await db.close();
      db = await openSmall(backend);
    }
    expect(['', 'a', 'b'].map((key) => [db.get(key)?.length, db.has(key)])).toEqual([
      [0, true],
      [0, true],
      [0, true],
    ]);
    expect([...db.scan()].map(([key, value]) => [key.length, value.length])).toEqual([
      [0, 0],
      [1, 0],
      [1, 0],
    ]);
  }
  await db.close();
});

test('defects: an abort after the commit takes the committed value back', async () => {
  const db = await open();
  const tx = db.beginTransaction();
  tx.put('a', 'committed');
  await tx.commit();
  await refused('TRANSACTION_FINISHED', () => tx.abort());
  await refused('TRANSACTION_FINISHED', () => tx.commit());
  tx[Symbol.dispose]();
  expect([tx.state, db.getString('a')]).toEqual(['committed', 'committed']);

  const other = db.beginTransaction();
  other.put('a', 'aborted');
  other.abort();
  other.abort();
  await refused('TRANSACTION_FINISHED', () => other.commit());
  expect(db.getString('a')).toBe('committed');
});

test('defects: an abort takes back what another commit in flight writes', async () => {
  const disk = new SimulatedBackend({ manual: true });
  const db = await disk.run(openSmall(disk));
  const commits = ['a', 'b', 'c'].map((key) => {
    const [stays, goes] = [db.beginTransaction(), db.beginTransaction()];
    stays.put(key, 'stays');
    goes.put(key, 'goes');
    goes.put(`${key} of its own`, 'goes');
    const commit = stays.commit();
    goes.abort();
    return commit;
  });
  await disk.run(Promise.all(commits));
  expect([...db.scan()].map((entry) => entry.map((bytes) => Buffer.from(bytes).toString()))).toEqual([
    ['a', 'stays'],
    ['b', 'stays'],
    ['c', 'stays'],
  ]);
  await disk.run(db.close());
});

test('defects: the commit of a serializable transaction hangs', async () => {
  // A simulation knows when nothing is left that could settle a promise.
  const disk = new SimulatedBackend({ manual: true });
  const db = await disk.run(openSmall(disk));
  const commits = Array.from({ length: 20 }, (_, i) => {
    const tx = db.beginTransaction({ isolation: 'serializable' });
    tx.get(`read ${i}`);
    tx.count({ prefix: `range ${i}` });
    tx.put(`key ${i}`, 'x');
    return tx.commit();
  });
  await disk.run(Promise.all(commits));
  const blocking = db.beginTransaction({ isolation: 'serializable' });
  blocking.get('key 0');
  blocking.put('key 0', 'y');
  blocking.commitSync();
  expect([db.count(), db.getString('key 0')]).toEqual([20, 'y']);
  await disk.run(db.close());
});

test('defects: serializable passes everything, since no read is ever noted', async () => {
  const db = await open();
  const skew = async (read: (tx: Transaction, key: string) => unknown): Promise<string[]> => {
    await db.batch(['a', 'b'].map((key) => ({ type: 'put', key, value: 'on call' }) as const));
    const [one, two] = [0, 1].map(() => db.beginTransaction({ isolation: 'serializable' })) as [
      Transaction,
      Transaction,
    ];
    read(one, 'b');
    one.put('a', 'off');
    read(two, 'a');
    two.put('b', 'off');
    return (await Promise.all([outcome(one), outcome(two)])).sort();
  };
  expect(await skew((tx, key) => tx.get(key))).toEqual(['CONFLICT', 'committed']);
  expect(await skew((tx) => [...tx.scan()])).toEqual(['CONFLICT', 'committed']);
  expect(await skew((tx) => tx.count())).toEqual(['CONFLICT', 'committed']);
});

test('defects: an isolation level is named and ignored', async () => {
  const db = await open();
  for (const isolation of ['read committed', 'readUncommitted', 'repeatable read', '', 1, null]) {
    await refused('INVALID_ARGUMENT', () => db.beginTransaction({ isolation: isolation as IsolationLevel }));
  }
  expect([db.beginTransaction().isolation, db.stats().transactions.active]).toEqual(['snapshot', 1]);
});

test('defects: a transaction begun during a commit misses it first and sees it later', async () => {
  const disk = new SimulatedBackend({ manual: true });
  const db = await disk.run(openSmall(disk));
  const keys = Array.from({ length: 40 }, (_, i) => `key ${i}`);
  const writeAll = (round: number): Promise<unknown> => {
    const tx = db.beginTransaction();
    for (const key of keys) tx.put(key, `${round}`);
    return tx.commit();
  };
  await disk.run(writeAll(0));
  const readers: { readonly tx: Transaction; readonly first: string }[] = [];
  const read = (tx: Transaction): string => [...new Set(keys.map((key) => tx.getString(key)))].join();
  const begin = (): void => {
    const tx = db.beginTransaction();
    readers.push({ tx, first: read(tx) });
  };
  // Between two steps of the commit: from within a call nothing is answered.
  disk.onCall = () => queueMicrotask(begin);
  for (let round = 1; round <= 20; round++) await disk.run(writeAll(round));
  disk.onCall = undefined;
  expect(readers.length).toBeGreaterThanOrEqual(40);
  expect(new Set(readers.map(({ first }) => first)).size).toBeGreaterThan(15);
  for (const { tx, first } of readers) {
    expect(read(tx)).toBe(first);
    tx.abort();
  }
  await disk.run(db.close());
});

test('defects: reads show what others have not committed', async () => {
  const db = await open();
  await db.put('a', 'committed');
  const tx = db.beginTransaction();
  tx.put('a', 'not yet');
  tx.put('b', 'not yet');
  const other = db.beginTransaction();
  const snapshot = db.snapshot();
  for (const reader of [db, other, snapshot]) {
    expect([reader.getString('a'), reader.has('b'), reader.count()]).toEqual(['committed', false, 1]);
  }
  snapshot.close();
});

test('defects: the cost of a begin grows with the number of transactions there have been', async () => {
  const db = await open({ walEnabled: false });
  for (let i = 0; i < 500; i++) db.putSync(`key ${i}`, 'x');
  const cost = (): number =>
    visits(db, () => {
      for (let i = 0; i < 50; i++) {
        const tx = db.beginTransaction({ isolation: i % 2 === 0 ? 'snapshot' : 'serializable' });
        tx.get(`key ${i}`);
        tx.abort();
      }
    });
  const before = cost();
  for (let i = 0; i < (long ? 100_000 : 10_000); i++) {
    const tx = db.beginTransaction();
    tx.put(`key ${i % 500}`, `${i}`);
    if (i % 4 === 0) tx.abort();
    else tx.commitSync();
  }
  expect(cost()).toBeLessThanOrEqual(before + 100);
  expect(db.stats().transactions.active).toBe(0);
});

test('defects: a conflict leaves its transaction active and its keys locked', async () => {
  const db = await open();
  const loser = db.beginTransaction();
  loser.put('a', 'loser');
  loser.put('b', 'loser');
  await db.put('a', 'winner');
  expect(await outcome(loser)).toBe('CONFLICT');
  expect([loser.state, db.stats().transactions.active]).toEqual(['aborted', 0]);
  const next = db.beginTransaction();
  next.put('b', 'next');
  expect(await outcome(next)).toBe('committed');
  expect([db.getString('a'), db.getString('b')]).toEqual(['winner', 'next']);
});

test('defects: a write that was refused is in the write set all the same', async () => {
  const db = await open();
  const tx = db.beginTransaction();
  const bad: [Key, Value, 'INVALID_ARGUMENT' | 'TOO_LARGE'][] = [
    ['a', 1 as never, 'INVALID_ARGUMENT'],
    [1 as never, 'x', 'INVALID_ARGUMENT'],
    ['\ud800', 'x', 'INVALID_ARGUMENT'],
    ['x'.repeat(513), 'x', 'TOO_LARGE'],
  ];
  for (const [key, value, code] of bad) await refused(code, () => tx.put(key, value));
  await refused('TOO_LARGE', () => tx.delete('x'.repeat(513)));
  expect(tx.count()).toBe(0);
  const { sequence } = db.stats();
  expect(await tx.commit()).toEqual({ lsn: 0, sequence });
});

test('defects: a delete followed by a write in one transaction ends deleted', async () => {
  const db = await open();
  await db.put('a', 'old');
  const tx = db.beginTransaction();
  tx.delete('a');
  tx.put('a', 'new');
  tx.put('b', 'new');
  tx.delete('b');
  await tx.commit();
  expect([db.getString('a'), db.has('b')]).toEqual(['new', false]);
  await db.batch([
    { type: 'delete', key: 'a' },
    { type: 'put', key: 'a', value: 'newer' },
    { type: 'put', key: 'c', value: 'x' },
    { type: 'delete', key: 'c' },
  ]);
  expect([db.getString('a'), db.has('c')]).toEqual(['newer', false]);
});

test('defects: transactions of a store in memory do nothing', async () => {
  const db = await StorageEngine.open();
  await db.put('a', 'old');
  const tx = db.beginTransaction();
  tx.put('a', 'new');
  tx.abort();
  expect(db.getString('a')).toBe('old');
  const one = db.beginTransaction();
  one.put('a', 'one');
  await db.put('a', 'another');
  expect(await outcome(one)).toBe('CONFLICT');
  expect(db.getString('a')).toBe('another');
  await db.close();
});

test('defects: collecting old versions overflows the stack on a long chain', async () => {
  const db = await open({ walEnabled: false, bufferPoolSize: '1MB' });
  const versions = long ? 400_000 : 15_000;
  const snapshots = [];
  for (let i = 0; i < versions; i++) {
    db.putSync('a', `${i}`);
    snapshots.push(db.snapshot());
  }
  expect(db.stats().versions.count).toBeGreaterThan(versions - 10);
  const oldest = snapshots.shift()!;
  // All that the oldest one does not see goes at once, or one by one.
  for (const [i, snapshot] of snapshots.entries()) if (i % 3 > 0) snapshot.close();
  expect(oldest.getString('a')).toBe('0');
  for (const snapshot of snapshots.reverse()) snapshot.close();
  oldest.close();
  await db.checkpoint();
  expect(db.stats().versions.count).toBe(0);
});
