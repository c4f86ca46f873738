/*
 * Ids of trees: who needs one, how long, and that the log means by it what the store meant. What is only deleted from
 * needs none.
 */
import { expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import type { EngineCore } from '../../src/engine/engine-core.ts';
import { openEngineCore } from '../../src/engine/open.ts';
import type { BatchOperation, StorageBackend } from '../../src/index.ts';
import { rejected } from '../support/refused.ts';

interface Opened {
  readonly db: StorageEngine;
  readonly engineCore: EngineCore;
  /** Trees that are coming, and the lowest id that was never used. */
  readonly ids: () => [coming: number, free: number];
}

async function open(backend: StorageBackend): Promise<Opened> {
  const engineCore = await openEngineCore(
    resolveConfig({
      backend,
      walEnabled: true,
      pageSize: 4096,
      bufferPoolSize: '128KB',
      compression: 'none',
    }),
  );
  const db = new StorageEngine(engineCore);
  onTestFinished(() => db.close().catch(() => undefined));
  const { catalog } = engineCore.store;
  return { db, engineCore, ids: () => [catalog.coming.size, catalog.freeId()] };
}

const puts = (db: StorageEngine, name: string): [string, string][] =>
  [...db.tree(name).scan()].map(([key, value]) => [
    Buffer.from(key).toString(),
    Buffer.from(value).toString(),
  ]);

/** All the ways to delete from a tree that is not there; what each answers is looked at by the caller. */
const DELETIONS: readonly [what: string, act: (db: StorageEngine, name: string) => unknown][] = [
  ['delete', (db, name) => db.tree(name).delete('k')],
  ['deleteSync', (db, name) => db.tree(name).deleteSync('k')],
  ['batch', (db, name) => db.batch([{ type: 'delete', key: 'k', tree: name }])],
  ['transaction', (db, name) => db.transaction((tx) => tx.tree(name).delete('k'))],
  [
    'a range',
    (db, name) =>
      db.transaction((tx) => {
        tx.tree(name).put('k', 'v');
        tx.tree(name).deleteRange({});
      }),
  ],
  [
    'savepoint',
    (db, name) =>
      db.transaction((tx) => {
        const before = tx.savepoint();
        tx.tree(name).put('k', 'v');
        tx.rollbackTo(before);
        tx.tree(name).delete('k');
      }),
  ],
  [
    'abort',
    (db, name) => {
      const tx = db.beginTransaction();
      tx.tree(name).put('k', 'v');
      tx.abort();
    },
  ],
  ['a block', (db) => db.deleteBlock(7)],
];

test('ids: deleting from trees that are not there uses none up and is remembered nowhere', async () => {
  const backend = new MemoryBackend();
  const { db, ids } = await open(backend);
  const before = ids();
  // A transaction that goes on meanwhile needs notes of what is committed.
  const old = db.beginTransaction();
  for (const [what, act] of DELETIONS) {
    for (let n = 0; n < 30; ++n) await act(db, `${what} ${n}`);
    expect([what, ...ids()]).toEqual([what, ...before]);
  }
  for (let n = 0; n < 10_000; n += 500) {
    await Promise.all(Array.from({ length: 500 }, (_, i) => db.tree(`absent ${n + i}`).delete('k')));
  }
  const many: BatchOperation[] = Array.from({ length: 10_000 }, (_, n) => ({
    type: 'delete',
    key: 'k'.repeat(100),
    tree: `absent ${n}`,
  }));
  // Too large for a log buffer, so a write set.
  await db.batch(many);
  expect(ids()).toEqual(before);
  expect(db.trees()).toEqual([]);
  // Nobody has changed anything.
  for (const tree of ['absent 1', 'absent 9999']) old.tree(tree).put('k', 'v');
  await old.commit();
  expect(db.trees()).toEqual(['absent 1', 'absent 9999']);
  const { sequence } = db.stats();
  const again = await open(backend.copy());
  expect([again.db.stats().sequence, again.ids()]).toEqual([sequence, ids()]);
  expect(again.db.trees()).toEqual(['absent 1', 'absent 9999']);
  expect((await again.db.verify()).problems).toEqual([]);
});

test('ids: what makes no tree in the end leaves none, and the next tree has the next one', async () => {
  const disk = new SimulatedBackend({ seed: 3 });
  const { db, ids } = await open(disk);
  await db.tree('first').put('k', 'v');
  const before = ids();
  // Refused when it is validated: it has been looked up which trees it makes.
  for (let n = 0; n < 50; ++n) {
    const tx = db.beginTransaction();
    tx.put('contended', 'mine');
    tx.tree(`conflict ${n}`).put('k', 'v');
    await db.put('contended', 'theirs');
    await rejected('CONFLICT', () => tx.commit());
  }
  expect(ids()).toEqual(before);
  // Refused when its group is written, alone, together with others, and too large for a group.
  const large = 'x'.repeat(900_000);
  for (let n = 0; n < 10; ++n) {
    let failures = 1;
    disk.plan = ({ operation, file }) =>
      operation === 'write' && file?.startsWith('log') && failures-- > 0 ? { errno: 'ENOSPC' } : undefined;
    const values = n % 2 === 0 ? ['1', '2', '3'] : [large];
    const answers = await Promise.allSettled(
      values.map((value, i) => db.tree(`full ${n} ${i % 2}`).put('k', value)),
    );
    expect(answers.map(({ status }) => status)).toEqual(values.map(() => 'rejected'));
  }
  disk.plan = () => undefined;
  expect([ids(), db.trees()]).toEqual([before, ['first']]);
  const id = before[1];
  await db.tree('second').put('k', '2');
  await db.tree('third').put('k', '3');
  expect(ids()).toEqual([0, id + 2]);
  const { db: again } = await open(disk.crash());
  expect(again.trees()).toEqual(['first', 'second', 'third']);
  expect([...puts(again, 'second'), ...puts(again, 'third')]).toEqual([
    ['k', '2'],
    ['k', '3'],
  ]);
});

test('ids: commits on their way that make the same trees agree, whichever order they name them in', async () => {
  const backend = new MemoryBackend();
  const { db, ids } = await open(backend);
  await db.put('k', 'there is a log file');
  const put = (tree: string, key: string): BatchOperation => ({ type: 'put', key, value: tree, tree });
  const tx = db.beginTransaction();
  for (const name of ['c', 'b']) tx.tree(name).put('tx', name);
  const commits = [
    db.batch([put('a', '1'), put('b', '1')]),
    db.batch([put('c', '2'), put('b', '2'), put('a', '2')]),
    tx.commit(),
    // Deletes what is on its way, and from a tree that is coming.
    db.tree('a').delete('2'),
    db.batch([{ type: 'delete', key: '1', tree: 'b' }, put('d', '3')]),
    // Nothing is there, nor coming.
    db.tree('e').delete('k'),
    db.tree('e').put('k', 'e'),
  ];
  expect(ids()[0]).toBe(5);
  await Promise.all(commits as Promise<unknown>[]);
  expect(ids()).toEqual([0, 7]);
  const check = (engine: StorageEngine): void => {
    expect(engine.trees().map((name) => puts(engine, name).map(([key]) => key))).toEqual([
      ['1'],
      ['2', 'tx'],
      ['2', 'tx'],
      ['3'],
      ['k'],
    ]);
    for (const name of engine.trees()) for (const [, value] of puts(engine, name)) expect(value).toBe(name);
  };
  check(db);
  const again = await open(backend.copy());
  check(again.db);
  expect(again.ids()).toEqual([0, 7]);
});

test('ids: one is kept until the tree is made, and commits that came meanwhile mean the same', async () => {
  const disk = new SimulatedBackend({ seed: 4 });
  const { db, ids } = await open(disk);
  await db.put('k', 'v');
  const [, free] = ids();
  const { groups } = db.stats().log;
  const first = db.tree('t').put('1', 'x');
  while (db.stats().log.groups === groups) await Promise.resolve();
  // The first waits for its sync; the others come meanwhile, and still wait when it is applied.
  const second = db.tree('t').put('2', 'x');
  const other = db.tree('u').put('k', 'u');
  expect(ids()).toEqual([2, free + 2]);
  await first;
  expect([db.trees(), ids()]).toEqual([['t'], [1, free + 2]]);
  const third = db.tree('t').put('3', 'x');
  await Promise.all([second, third, other]);
  expect(ids()).toEqual([0, free + 2]);
  const { db: again } = await open(disk.crash());
  expect(puts(again, 't').map(([key]) => key)).toEqual(['1', '2', '3']);
  expect(puts(again, 'u')).toEqual([['k', 'u']]);
});

test('ids: what could not be freed takes none of a tree that is coming', async () => {
  const disk = new SimulatedBackend({ seed: 5 });
  const first = await open(disk);
  await first.db.tree('t').put('long', 'A'.repeat(20_000));
  await first.db.close();
  const data = Buffer.from(disk.files().get('data') as Uint8Array);
  const at = data.indexOf(Buffer.alloc(512, 'A'));
  const { db, engineCore, ids } = await open(disk);
  disk.plan = ({ operation, file, position, length }) =>
    operation === 'read' && file === 'data' && position <= at && at < position + length
      ? { errno: 'EIO' }
      : undefined;
  const [, free] = ids();
  // Both are applied in one go: the first finds a chain that it cannot free when the second is logged already.
  await Promise.all([db.tree('t').put('long', 'short'), db.tree('u').put('k', 'u')]);
  expect(engineCore.store.catalog.dropped.map(({ id }) => id)).toEqual([free + 1]);
  expect([db.trees(), puts(db, 'u'), ids()]).toEqual([['t', 'u'], [['k', 'u']], [0, free + 2]]);
  await db.checkpoint();
  await db.tree('v').put('k', 'v');
  const { db: again } = await open(disk.crash(() => true));
  expect(again.trees()).toEqual(['t', 'u', 'v']);
  expect([puts(again, 'u'), puts(again, 'v')]).toEqual([[['k', 'u']], [['k', 'v']]]);
});

test('ids: a deletion where there is no tree conflicts with nobody, and is refused as others are', async () => {
  const { db } = await open(new MemoryBackend());
  const begin = (isolation: 'snapshot' | 'serializable') => db.beginTransaction({ isolation });
  for (const isolation of ['snapshot', 'serializable'] as const) {
    // Somebody has made the tree and put the key: a write of a key is a write of a key.
    const late = begin(isolation);
    late.tree(isolation).delete('k');
    // The name of the tree as a key: names that were made are noted beside keys.
    late.tree('never').delete(isolation);
    await db.tree(isolation).put('k', 'v');
    await rejected('CONFLICT', () => late.commit());
    // Made and dropped since.
    const dropped = begin(isolation);
    dropped.tree(isolation).delete('other');
    await db.dropTree(isolation);
    await rejected('CONFLICT', () => dropped.commit());
    // Keys called as trees that were made.
    const named = begin(isolation);
    named.tree('never').delete('made');
    await db.tree('made').put('k', 'v');
    await named.commit();
    await db.dropTree('made');
    const reader = begin(isolation);
    expect(reader.tree('never').get('k')).toBe(undefined);
    reader.put('k', 'v');
    await db.tree('never').delete('k');
    await reader.commit();
  }
  expect(db.trees()).toEqual([]);
});
