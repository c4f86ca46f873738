/*
 * Things used after their end: a closed engine, a closed snapshot or scan, a finished transaction. Every method of
 * each answers with its documented code, and what goes on beside it goes on.
 */
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { AegisErrorCode } from '../../src/base/errors.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import {
  Block,
  Savepoint,
  type Scan,
  type Snapshot,
  type SnapshotTree,
  type Transaction,
  type TransactionTree,
  Tree,
} from '../../src/index.ts';
import { refused, rejected } from '../support/refused.ts';

let backend: MemoryBackend;
let engine: StorageEngine;

beforeEach(async () => {
  backend = new MemoryBackend();
  engine = await open();
  await engine.batch(['a', 'b', 'c'].map((key) => ({ type: 'put', key, value: `value ${key}` })));
});

async function open(): Promise<StorageEngine> {
  const opened = await StorageEngine.open({ backend, walEnabled: true });
  onTestFinished(() => opened.close());
  return opened;
}

/** The methods of a class, inherited ones included; a new one has to be put into the tables below. */
function methodsOf(object: object, ...without: string[]): string[] {
  const names = new Set<string>();
  for (let at = Object.getPrototypeOf(object); at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof value === 'function' && !without.includes(name)) names.add(name);
    }
  }
  return [...names].sort();
}

type Calls<T> = Record<string, (one: T) => unknown>;

/** Methods that answer with a promise, and so reject. */
const PROMISES = [
  'put',
  'delete',
  'batch',
  'transaction',
  'dropTree',
  'writeBlock',
  'deleteBlock',
  'checkpoint',
  'compact',
  'backup',
  'verify',
];

const ENGINE_CALLS: Calls<StorageEngine> = {
  get: (one) => one.get('a'),
  getString: (one) => one.getString('a'),
  getMany: (one) => one.getMany(['a']),
  has: (one) => one.has('a'),
  scan: (one) => one.scan(),
  count: (one) => one.count(),
  snapshot: (one) => one.snapshot(),
  tree: (one) => one.tree('a'),
  trees: (one) => one.trees(),
  dropTree: (one) => one.dropTree('a'),
  put: (one) => one.put('a', 'x'),
  delete: (one) => one.delete('a'),
  batch: (one) => one.batch([{ type: 'put', key: 'a', value: 'x' }]),
  putSync: (one) => one.putSync('a', 'x'),
  deleteSync: (one) => one.deleteSync('a'),
  batchSync: (one) => one.batchSync([{ type: 'put', key: 'a', value: 'x' }]),
  beginTransaction: (one) => one.beginTransaction(),
  transaction: (one) => one.transaction((tx) => tx.put('a', 'x')),
  writeBlock: (one) => one.writeBlock(new Block(new Uint8Array(9))),
  readBlock: (one) => one.readBlock(1),
  deleteBlock: (one) => one.deleteBlock(1),
  checkpoint: (one) => one.checkpoint(),
  compact: (one) => one.compact(),
  backup: (one) => one.backup(new MemoryBackend()),
  verify: (one) => one.verify(),
  stats: (one) => one.stats(),
};

const READER_CALLS: Calls<Snapshot | SnapshotTree | Tree> = {
  get: (one) => one.get('a'),
  getString: (one) => one.getString('a'),
  getMany: (one) => one.getMany(['a']),
  has: (one) => one.has('a'),
  scan: (one) => one.scan(),
  count: (one) => one.count(),
};

const SNAPSHOT_CALLS: Calls<Snapshot> = { ...READER_CALLS, tree: (one) => one.tree('a') };

const TREE_CALLS: Calls<Tree> = {
  ...(READER_CALLS as Calls<Tree>),
  put: (one) => one.put('a', 'x'),
  delete: (one) => one.delete('a'),
  batch: (one) => one.batch([{ type: 'put', key: 'a', value: 'x' }]),
  putSync: (one) => one.putSync('a', 'x'),
  deleteSync: (one) => one.deleteSync('a'),
  batchSync: (one) => one.batchSync([{ type: 'put', key: 'a', value: 'x' }]),
};

const TRANSACTION_TREE_CALLS: Calls<TransactionTree> = {
  ...(READER_CALLS as unknown as Calls<TransactionTree>),
  put: (one) => one.put('a', 'x'),
  delete: (one) => one.delete('a'),
  deleteRange: (one) => one.deleteRange({}),
};

const TRANSACTION_CALLS: Calls<Transaction> = {
  ...(SNAPSHOT_CALLS as unknown as Calls<Transaction>),
  put: (one) => one.put('a', 'x'),
  delete: (one) => one.delete('a'),
  deleteRange: (one) => one.deleteRange({}),
  savepoint: (one) => one.savepoint(),
  rollbackTo: (one) => one.rollbackTo(new Savepoint(1)),
  tree: (one) => one.tree('a'),
  commit: (one) => one.commit(),
  commitSync: (one) => one.commitSync(),
};

async function expectRefused<T>(calls: Calls<T>, one: T, code: AegisErrorCode): Promise<void> {
  const promises = one instanceof StorageEngine || one instanceof Tree ? PROMISES : ['commit'];
  for (const [name, call] of Object.entries(calls)) {
    if (promises.includes(name)) await rejected(code, () => call(one) as Promise<unknown>);
    else await refused(code, () => call(one));
  }
}

/** What was committed at the beginning is all there is. */
async function expectUnchanged(): Promise<void> {
  await engine.close();
  const reopened = await open();
  expect([...reopened.scan().keys()].map(String)).toEqual(['97', '98', '99']);
  expect(reopened.getString('a')).toBe('value a');
  await reopened.close();
}

test('finished: the tables name every method there is', () => {
  expect(Object.keys(ENGINE_CALLS).sort()).toEqual(methodsOf(engine, 'constructor', 'close'));
  const snapshot = engine.snapshot();
  expect(Object.keys(SNAPSHOT_CALLS).sort()).toEqual(methodsOf(snapshot, 'constructor', 'close'));
  const tx = engine.beginTransaction();
  expect(Object.keys(TRANSACTION_CALLS).sort()).toEqual(methodsOf(tx, 'constructor', 'abort'));
  expect(Object.keys(TREE_CALLS).sort()).toEqual(methodsOf(engine.tree('a'), 'constructor'));
  expect(Object.keys(READER_CALLS).sort()).toEqual(methodsOf(snapshot.tree('a'), 'constructor'));
  expect(Object.keys(TRANSACTION_TREE_CALLS).sort()).toEqual(methodsOf(tx.tree('a'), 'constructor'));
});

test('finished: a closed engine answers CLOSED to every call, and closes again', async () => {
  const scan = engine.scan();
  const keys = engine.scan().keys();
  const values = engine.scan().values();
  const snapshot = engine.snapshot();
  const tx = engine.beginTransaction();
  tx.put('a', 'never');
  const inner = tx.scan();
  const trees = [engine.tree('t'), snapshot.tree('t'), tx.tree('t')] as const;
  await engine.close();
  await expectRefused(ENGINE_CALLS, engine, 'CLOSED');
  await expectRefused(SNAPSHOT_CALLS, snapshot, 'CLOSED');
  await expectRefused(TREE_CALLS, trees[0], 'CLOSED');
  await expectRefused(READER_CALLS, trees[1], 'CLOSED');
  await expectRefused(TRANSACTION_TREE_CALLS, trees[2], 'TRANSACTION_FINISHED');
  for (const open of [scan, inner]) {
    await refused('CLOSED', () => open.next());
    await refused('CLOSED', () => open.nextMany(1));
  }
  await refused('CLOSED', () => keys.next());
  await refused('CLOSED', () => values.next());
  expect(tx.state).toBe('aborted');
  for (const [name, call] of Object.entries(TRANSACTION_CALLS)) {
    await refused(['CLOSED', 'TRANSACTION_FINISHED'], () => call(tx));
    expect(tx.state, name).toBe('aborted');
  }
  scan.close();
  inner.close();
  snapshot.close();
  tx.abort();
  await engine.close();
  await engine[Symbol.asyncDispose]();
  await expectUnchanged();
});

test('finished: a closing engine takes nothing more, and finishes what it took before', async () => {
  const early = engine.put('early', 'x');
  const closing = engine.close();
  await expectRefused(ENGINE_CALLS, engine, 'CLOSED');
  await Promise.all([early, closing, engine.close()]);
  expect((await open()).getString('early')).toBe('x');
});

test('finished: a closed snapshot answers CLOSED, and its scans go on', async () => {
  const snapshot = engine.snapshot();
  const scan = snapshot.scan();
  const tree = snapshot.tree('a');
  snapshot.close();
  snapshot.close();
  await expectRefused(SNAPSHOT_CALLS, snapshot, 'CLOSED');
  await expectRefused(READER_CALLS, tree, 'CLOSED');
  await engine.put('a', 'changed');
  expect(scan.nextMany(5).map(([, value]) => new TextDecoder().decode(value))).toEqual([
    'value a',
    'value b',
    'value c',
  ]);
  expect(engine.stats().versions.openSnapshots).toBe(0);
});

test('finished: a scan that has ended or was closed has no more records', () => {
  const ways: ((scan: Scan) => void)[] = [
    (scan) => scan.close(),
    (scan) => scan[Symbol.dispose](),
    (scan) => void scan.return(),
    (scan) => void [...scan],
    (scan) => {
      for (const _ of scan) break;
    },
    (scan) => {
      for (const _ of scan.keys()) break;
    },
  ];
  for (const end of ways) {
    const scan = engine.scan();
    end(scan);
    expect(engine.stats().versions.openSnapshots, String(end)).toBe(0);
    expect(scan.next()).toEqual({ done: true, value: undefined });
    expect(scan.nextMany(3)).toEqual([]);
    expect([...scan]).toEqual([]);
    expect([...scan.keys()]).toEqual([]);
    scan.close();
  }
});

const ENDINGS: [what: string, end: (tx: Transaction) => unknown][] = [
  ['committed', (tx) => tx.commit()],
  ['committed blocking', (tx) => tx.commitSync()],
  ['aborted', (tx) => tx.abort()],
  ['disposed of', (tx) => tx[Symbol.dispose]()],
];

test.each(ENDINGS)('finished: a transaction that was %s takes no call', async (what, end) => {
  const isCommitted = what.startsWith('committed');
  for (const writes of [true, false]) {
    const tx = engine.beginTransaction({ isolation: writes ? 'serializable' : 'snapshot' });
    if (writes) tx.put('d', 'value d');
    const tree = tx.tree('a');
    await end(tx);
    expect(tx.state).toBe(isCommitted ? 'committed' : 'aborted');
    await expectRefused(TRANSACTION_CALLS, tx, 'TRANSACTION_FINISHED');
    await expectRefused(TRANSACTION_TREE_CALLS, tree, 'TRANSACTION_FINISHED');
    if (isCommitted) await refused('TRANSACTION_FINISHED', () => tx.abort());
    else tx.abort();
    tx[Symbol.dispose]();
    expect(tx.state).toBe(isCommitted ? 'committed' : 'aborted');
  }
  expect(engine.stats()).toMatchObject({ transactions: { active: 0 }, versions: { openSnapshots: 0 } });
  expect(engine.getString('d')).toBe(isCommitted ? 'value d' : undefined);
  await engine.delete('d');
  await expectUnchanged();
});

test('finished: a transaction takes no call while it commits', async () => {
  const tx = engine.beginTransaction();
  tx.put('d', 'value d');
  const commit = tx.commit();
  expect(tx.state).toBe('committing');
  await expectRefused(TRANSACTION_CALLS, tx, 'TRANSACTION_FINISHED');
  await refused('TRANSACTION_FINISHED', () => tx.abort());
  tx[Symbol.dispose]();
  await commit;
  expect(tx.state).toBe('committed');
  expect(engine.getString('d')).toBe('value d');
});

test('finished: a transaction that lost to another one is aborted', async () => {
  const [first, second] = [engine.beginTransaction(), engine.beginTransaction()];
  first.put('a', 'first');
  second.put('a', 'second');
  await first.commit();
  const error = await rejected('CONFLICT', () => second.commit());
  expect(error.retryable).toBe(true);
  expect(second.state).toBe('aborted');
  await expectRefused(TRANSACTION_CALLS, second, 'TRANSACTION_FINISHED');
  expect(engine.getString('a')).toBe('first');
});

test('finished: a scan of a transaction ends with it', async () => {
  const tx = engine.beginTransaction();
  tx.put('d', 'value d');
  const scan = tx.scan();
  tx.abort();
  // It has a snapshot of its own, and saw the transaction's writes as they were.
  expect(scan.nextMany(9).length).toBe(4);
  expect(engine.count()).toBe(3);
});

test('finished: what throws inside transaction() comes out, and nothing of it stays', async () => {
  const mine = new Error('mine');
  await expect(
    engine.transaction((tx) => {
      tx.put('a', 'never');
      throw mine;
    }),
  ).rejects.toBe(mine);
  await engine.transaction((tx) => {
    tx.put('a', 'never');
    tx.abort();
  });
  expect(engine.stats().transactions.active).toBe(0);
  await expectUnchanged();
});

test('finished: stats tell the age of the oldest snapshot, whatever holds it', async () => {
  const age = (): number => engine.stats().versions.oldestSnapshotAge;
  const commit = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) await engine.put(`key ${i}`, 'x');
  };
  await commit(5);
  expect(age()).toBe(0);
  const holders = [
    engine.snapshot(),
    engine.beginTransaction({ isolation: 'serializable' }),
    engine.scan(),
    engine.beginTransaction({ readOnly: true }),
  ];
  await commit(7);
  const young = engine.snapshot();
  await commit(2);
  expect(age()).toBe(9);
  // What is made within one is as old as that.
  const [snapshot, tx, scan, reader] = holders as [Snapshot, Transaction, Scan, Transaction];
  const inner = snapshot.scan();
  snapshot.close();
  tx.abort();
  scan.close();
  reader.abort();
  expect(age()).toBe(9);
  inner.close();
  expect(age()).toBe(2);
  young.close();
  expect(age()).toBe(0);
});
