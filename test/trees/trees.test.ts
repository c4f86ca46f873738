/* Named trees: key spaces of their own, made by their first put, changed with others in one commit. */
import { expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import type { StorageBackend } from '../../src/index.ts';
import { refused, rejected } from '../support/refused.ts';
import { openSmall } from '../support/small-store.ts';

async function open(backend: StorageBackend, config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const db = await openSmall(backend, config);
  onTestFinished(() => db.close());
  return db;
}

/** What a key space holds. */
function content(space: Pick<StorageEngine, 'scan'>): Record<string, string> {
  const text = new TextDecoder();
  return Object.fromEntries([...space.scan()].map(([key, value]) => [text.decode(key), text.decode(value)]));
}

test('trees: one that is not there reads as empty everywhere, and reading does not make it', async () => {
  const db = await open(new MemoryBackend());
  const snapshot = db.snapshot();
  const tx = db.beginTransaction();
  for (const space of [db.tree('none'), snapshot.tree('none'), tx.tree('none')]) {
    expect(space.get('k')).toBeUndefined();
    expect(space.getString('k')).toBeUndefined();
    expect(space.getMany(['k', 'l'])).toEqual([undefined, undefined]);
    expect(space.has('k')).toBe(false);
    expect([...space.scan()]).toEqual([]);
    expect(space.scan({ reverse: true }).nextMany(3)).toEqual([]);
    expect([space.count(), space.count({ prefix: 'a', limit: 3 })]).toEqual([0, 0]);
    // Keys are checked all the same.
    await refused('TOO_LARGE', () => space.get('k'.repeat(600)));
    await refused('TOO_LARGE', () => space.has('k'.repeat(600)));
    await refused('TOO_LARGE', () => space.getString('k'.repeat(600)));
    await refused('TOO_LARGE', () => space.getMany(['k'.repeat(600)]));
    await refused('INVALID_ARGUMENT', () => space.getMany('k' as never));
    await refused('INVALID_ARGUMENT', () => space.count({ limit: -1 }));
  }
  expect(await db.tree('none').delete('k')).toBe(false);
  expect(db.tree('none').deleteSync('k')).toBe(false);
  await db.batch([{ type: 'delete', key: 'k', tree: 'none' }]);
  tx.tree('none').delete('other');
  tx.tree('none').deleteRange({});
  await tx.commit();
  await db.tree('none').batch([]);
  await rejected('TOO_LARGE', () => db.tree('none').put('k'.repeat(600), ''));
  expect([db.trees(), db.tree('none').name, db.stats().trees]).toEqual([[], 'none', 0]);
});

test('trees: each has records, scans and counts of its own', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  const [a, b] = [db.tree('a'), db.tree('b')];
  await db.put('key', 'main');
  await a.put('key', 'in a');
  b.putSync('key', 'in b');
  await b.batch([
    { type: 'put', key: 'other', value: 'in b' },
    { type: 'put', key: 'key 2', value: 'in a', tree: 'a' },
    { type: 'delete', key: 'never' },
  ]);
  a.batchSync([{ type: 'put', key: 'long', value: 'x'.repeat(50_000) }]);
  expect(await b.delete('other')).toBe(true);
  expect(await b.delete('other')).toBe(false);
  expect(a.deleteSync('key 2')).toBe(true);
  await a.put('key 3', 'three');
  expect(content(db)).toEqual({ key: 'main' });
  expect(content(b)).toEqual({ key: 'in b' });
  expect([a.count(), a.count({ gt: 'key' }), a.has('long'), b.has('long')]).toEqual([3, 2, true, false]);
  expect(a.getMany(['key', 'none', 'key 3']).map((value) => value && Buffer.from(value).toString())).toEqual([
    'in a',
    undefined,
    'three',
  ]);
  await db.close();
  const again = await open(backend);
  expect([...again.tree('a').scan({ reverse: true }).keys()].map(String).length).toBe(3);
  expect(again.tree('a').getString('long')?.length).toBe(50_000);
  expect(content(again.tree('b'))).toEqual({ key: 'in b' });
  expect((await again.verify()).problems).toEqual([]);
});

test('trees: a snapshot reads each as it was, made later or not', async () => {
  const db = await open(new MemoryBackend());
  const none = db.snapshot();
  await db.tree('a').put('k', '1');
  const first = db.snapshot();
  const scan = db.tree('a').scan();
  await db.tree('a').put('k', '2');
  await db.tree('b').put('k', '3');
  const old = first.tree('a').scan();
  expect([none.tree('a').getString('k'), none.tree('b').getString('k')]).toEqual([undefined, undefined]);
  expect([first.tree('a').getString('k'), first.tree('b').getString('k')]).toEqual(['1', undefined]);
  expect(content({ scan: () => scan })).toEqual({ k: '1' });
  const { name } = first.tree('a');
  first.close();
  expect(content({ scan: () => old })).toEqual({ k: '1' });
  await refused('CLOSED', () => first.tree('a'));
  none.close();
  expect([name, db.tree('a').getString('k')]).toEqual(['a', '2']);
});

test('trees: a transaction reads and writes several, and its commit is one', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  await db.tree('a').put('old', '1');
  const tx = db.beginTransaction({ isolation: 'serializable' });
  const [a, b] = [tx.tree('a'), tx.tree('b')];
  a.put('new', '2');
  a.delete('old');
  b.put('x', '3');
  b.put('y', '4');
  b.deleteRange({ lte: 'x' });
  tx.put('m', '5');
  expect([content(a), content(b), content(tx)]).toEqual([{ new: '2' }, { y: '4' }, { m: '5' }]);
  expect([a.count(), b.count(), b.count({ limit: 1 }), b.has('x'), b.getString('y')]).toEqual([
    1,
    1,
    1,
    false,
    '4',
  ]);
  expect(b.getMany(['x', 'y']).map(Boolean)).toEqual([false, true]);
  expect([content(db.tree('a')), db.trees(), a.name]).toEqual([{ old: '1' }, ['a'], 'a']);
  await tx.commit();
  expect([content(db.tree('a')), content(db.tree('b')), content(db)]).toEqual([
    { new: '2' },
    { y: '4' },
    { m: '5' },
  ]);
  const lost = await open(backend.copy());
  expect([content(lost.tree('a')), content(lost.tree('b')), content(lost)]).toEqual([
    { new: '2' },
    { y: '4' },
    { m: '5' },
  ]);
});

test('trees: what a savepoint takes back makes no tree', async () => {
  const db = await open(new MemoryBackend());
  await db.transaction((tx) => {
    tx.tree('kept').delete('k');
    const savepoint = tx.savepoint();
    tx.tree('gone').put('k', 'x');
    tx.tree('kept').put('k', 'x');
    tx.rollbackTo(savepoint);
    expect([tx.tree('gone').get('k'), tx.tree('kept').get('k')]).toEqual([undefined, undefined]);
    tx.put('main', 'x');
  });
  expect([db.trees(), db.count()]).toEqual([[], 1]);
  await db.transaction((tx) => {
    const savepoint = tx.savepoint();
    tx.tree('gone').put('k', 'x');
    tx.rollbackTo(savepoint);
    for (let i = 0; i < 50; ++i) tx.tree('gone').put(`k ${i}`, 'x'.repeat(100));
  });
  expect([db.trees(), db.tree('gone').count()]).toEqual([['gone'], 50]);
});

test('trees: a read-only opening sees those the log makes, and a store without any is as before', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  await db.put('k', 'main');
  await db.checkpoint();
  await db.tree('a').put('k', 'in a');
  await db.tree('b').put('k', 'in b');
  await db.dropTree('b');
  const copy = backend.copy();
  const reader = await open(copy, { readOnly: true });
  expect([reader.trees(), content(reader.tree('a')), content(reader.tree('b'))]).toEqual([
    ['a'],
    { k: 'in a' },
    {},
  ]);
  expect((await reader.verify()).problems).toEqual([]);
  await refused('READ_ONLY', () => reader.tree('a').putSync('k', ''));
  await rejected('READ_ONLY', () => reader.dropTree('a'));
});

test('trees: a transaction that begins before a tree is made conflicts with keys alone', async () => {
  for (const isolation of ['snapshot', 'serializable'] as const) {
    const db = await open(new MemoryBackend());
    const begin = () => db.beginTransaction({ isolation });
    const [one, two, three] = [begin(), begin(), begin()];
    one.tree('t').put('a', '1');
    two.tree('t').put('b', '2');
    three.tree('t').put('a', '3');
    await one.commit();
    await two.commit();
    await rejected('CONFLICT', () => three.commit());
    expect(content(db.tree('t'))).toEqual({ a: '1', b: '2' });
  }
});

test('trees: who found a tree absent conflicts with its making, if serializable', async () => {
  type Read = (tree: ReturnType<ReturnType<StorageEngine['beginTransaction']>['tree']>) => unknown;
  const reads: Read[] = [
    (tree) => tree.get('z'),
    (tree) => tree.has('z'),
    (tree) => tree.getMany(['z']),
    (tree) => tree.count(),
    (tree) => [...tree.scan()],
    (tree) => tree.count({ limit: 1 }),
  ];
  for (const read of reads) {
    const db = await open(new MemoryBackend());
    const serial = db.beginTransaction({ isolation: 'serializable' });
    const lax = db.beginTransaction({ isolation: 'snapshot' });
    for (const tx of [serial, lax]) {
      read(tx.tree('t'));
      tx.put(tx.isolation, 'x');
    }
    await db.tree('t').put('k', 'v');
    await rejected('CONFLICT', () => serial.commit());
    await lax.commit();
    // It is there by now: another key of it is no conflict for who reads one.
    const next = db.beginTransaction({ isolation: 'serializable' });
    next.tree('t').get('z');
    next.put('next', 'x');
    await db.tree('t').put('k', 'v');
    await next.commit();
    expect(db.tree('t').count()).toBe(1);
    await db.close();
  }
});

test('trees: commits on their way make a tree whichever is applied first', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  const commits = Array.from({ length: 20 }, (_, n) => db.tree('t').put(`k${n}`, 'v'));
  commits.push(db.batch([{ type: 'put', key: 'k', value: 'v', tree: 'u' }]));
  expect(db.trees()).toEqual([]);
  await Promise.all(commits);
  expect([db.trees(), db.tree('t').count()]).toEqual([['t', 'u'], 20]);
  const again = await open(backend.copy());
  expect([again.trees(), again.tree('t').count(), (await again.verify()).ok]).toEqual([['t', 'u'], 20, true]);
});

test('trees: a commit that could not be written makes none, and the next one does', async () => {
  const disk = new SimulatedBackend();
  const db = await open(disk);
  await db.put('k', 'main');
  let failures = 1;
  disk.plan = ({ operation, file }) =>
    operation === 'write' && file?.startsWith('log') && failures-- > 0 ? { errno: 'ENOSPC' } : undefined;
  await rejected('OUT_OF_SPACE', () => db.tree('t').put('k', '1'));
  expect([db.trees(), db.tree('t').count()]).toEqual([[], 0]);
  await db.tree('t').put('k', '2');
  expect([db.trees(), content(db.tree('t'))]).toEqual([['t'], { k: '2' }]);
  const again = await open(disk.crash());
  expect([again.trees(), content(again.tree('t'))]).toEqual([['t'], { k: '2' }]);
});

test('trees: damage to the list of trees is told by those who need it, and the default tree goes on', async () => {
  const disk = new SimulatedBackend();
  const db = await open(disk, { compression: 'none' });
  await db.put('k', 'main');
  await db.tree('the name of a tree').put('k', 'v');
  await db.close();
  const file = disk.files().get('data') as Uint8Array;
  const data = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const places: number[] = [];
  for (let at = data.indexOf('the name of'); at >= 0; at = data.indexOf('the name of', at + 1))
    places.push(at);
  expect(places.length).toBeGreaterThan(0);
  for (const at of places) disk.rot('data', 8 * at);
  for (const readOnly of [true, false]) {
    const damaged = await open(disk, { readOnly });
    expect(content(damaged)).toEqual({ k: 'main' });
    const { file: named } = await refused('CORRUPTION', () => damaged.trees());
    expect(named).toBe('data');
    await refused('CORRUPTION', () => damaged.tree('the name of a tree').get('k'));
    await refused('CORRUPTION', () => damaged.tree('another').has('k'));
    const snapshot = damaged.snapshot();
    await refused('CORRUPTION', () => snapshot.tree('another').count());
    snapshot.close();
    const report = await damaged.verify();
    expect(report.ok).toBe(false);
    expect(report.problems.some(({ file: one, page }) => one === 'data' && page !== undefined)).toBe(true);
    if (!readOnly) {
      await rejected('CORRUPTION', () => damaged.tree('t').put('k', 'v'));
      await rejected('CORRUPTION', () => damaged.dropTree('the name of a tree'));
      await rejected('CORRUPTION', () => damaged.batch([{ type: 'put', key: 'a', value: 'b', tree: 't' }]));
      const tx = damaged.beginTransaction();
      tx.tree('t').put('k', 'v');
      await rejected('CORRUPTION', () => tx.commit());
      await damaged.put('still', 'working');
      expect(content(damaged)).toEqual({ k: 'main', still: 'working' });
    }
    await damaged.close();
  }
});
