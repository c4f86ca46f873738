/* The contract of the engine, its scans and transactions: what each method answers, a line at a time. */
import { expect, onTestFinished, test } from 'vitest';
import type { StorageConfig } from '../../src/index.ts';
import {
  AegisError,
  MemoryBackend,
  Savepoint,
  Scan,
  Snapshot,
  SnapshotTree,
  StorageEngine,
  Transaction,
  TransactionTree,
  Tree,
} from '../../src/index.ts';
import { refused, rejected } from '../support/refused.ts';

const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString();

async function open(config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const db = await StorageEngine.open(config);
  onTestFinished(() => db.close());
  return db;
}

test('contract: the package exports what it promises, and nothing by accident', async () => {
  const main = Object.keys(await import('../../src/index.ts'));
  const promised = [
    'AegisError',
    'MemoryBackend',
    'Savepoint',
    'Scan',
    'Snapshot',
    'StorageEngine',
    'Transaction',
  ];
  expect(main).toEqual(expect.arrayContaining([...promised, 'loadConfig', 'loadCodec']));
  const known = [
    ...promised,
    'loadConfig',
    'loadCodec',
    'SnapshotTree',
    'Tree',
    'TransactionTree',
    'Block',
    'BLOCK_TYPES',
    'salvage',
  ];
  expect(main.filter((name) => !known.includes(name))).toEqual([]);
  expect(Object.keys(await import('../../src/local.ts'))).toEqual(['LocalBackend']);
  expect(Object.keys(await import('../../src/testing/index.ts'))).toEqual(
    expect.arrayContaining(['SimulatedBackend', 'runBackendSuite']),
  );
  expect(Object.keys(await import('../../src/codec/lz4-wasm.ts'))).toContain('lz4Wasm');
});

test('contract: every object is an instance of its exported class', async () => {
  const db = await open();
  const tx = db.beginTransaction();
  const snapshot = db.snapshot();
  expect(db.scan()).toBeInstanceOf(Scan);
  expect(snapshot).toBeInstanceOf(Snapshot);
  expect(snapshot.tree('t')).toBeInstanceOf(SnapshotTree);
  expect(tx).toBeInstanceOf(Transaction);
  expect(tx.tree('t')).toBeInstanceOf(TransactionTree);
  expect(tx.savepoint()).toBeInstanceOf(Savepoint);
  expect(db.tree('t')).toBeInstanceOf(Tree);
});

test('contract: a store without any configuration is one in memory', async () => {
  const db = await open();
  await db.put('a', 'x');
  expect([db.config.backend, db.getString('a')]).toEqual(['memory', 'x']);
  const other = await open();
  expect(other.has('a')).toBe(false);
});

test('contract: single operations answer as the table of methods says, blocking or not', async () => {
  const db = await open();
  for (const one of [db, db.tree('t')]) {
    expect(await one.put('a', '1')).toBe(undefined);
    expect(one.putSync('b', '2')).toBe(undefined);
    expect([one.getString('a'), text(one.get('b')), one.get('c')]).toEqual(['1', '2', undefined]);
    expect(one.getMany(['b', 'c', 'a']).map(text)).toEqual(['2', undefined, '1']);
    expect([await one.delete('a'), await one.delete('a')]).toEqual([true, false]);
    expect([one.deleteSync('b'), one.deleteSync('b')]).toEqual([true, false]);
    await one.batch([
      { type: 'put', key: 'x', value: '1' },
      { type: 'put', key: 'x', value: '2' },
      { type: 'delete', key: 'y' },
    ]);
    one.batchSync(new Set([{ type: 'put', key: 'y', value: '3' } as const]));
    expect([...one.scan()].map((entry) => entry.map(text))).toEqual([
      ['x', '2'],
      ['y', '3'],
    ]);
    await one.batch([]);
    one.batchSync([]);
  }
  expect(db.trees()).toEqual(['t']);
});

test('contract: a batch is all or nothing, and its operations may name trees', async () => {
  const db = await open();
  await rejected('INVALID_ARGUMENT', () =>
    db.batch([
      { type: 'put', key: 'a', value: 'x' },
      { type: 'put', key: 'b', value: 1 as never },
    ]),
  );
  const failing = (function* () {
    yield { type: 'put', key: 'a', value: 'x' } as const;
    throw new Error('of its own');
  })();
  await expect(db.batch(failing)).rejects.toThrow('of its own');
  expect([db.count(), db.stats().sequence]).toEqual([0, 0]);
  await db.batch([
    { type: 'put', key: 'a', value: 'main' },
    { type: 'put', key: 'a', value: 'one', tree: 'one' },
    { type: 'put', key: 'a', value: 'two', tree: 'two' },
    { type: 'delete', key: 'a', tree: 'two' },
  ]);
  expect(db.stats().sequence).toBe(1);
  expect([db.getString('a'), db.tree('one').getString('a'), db.tree('two').has('a')]).toEqual([
    'main',
    'one',
    false,
  ]);
});

test('contract: a scan shows the moment of its call, whatever is written meanwhile', async () => {
  const db = await open();
  for (let i = 0; i < 300; i++) db.putSync(`key ${i}`, 'old');
  const scan = db.scan();
  expect(scan.nextMany(5).length).toBe(5);
  for (let i = 0; i < 300; i++) db.putSync(`key ${i}`, 'new');
  db.putSync('key z', 'new');
  let rest = 0;
  for (const [, value] of scan) {
    expect(text(value)).toBe('old');
    rest++;
  }
  expect(rest).toBe(295);
});

test('contract: a scan closes itself at its end, on break and on return, and lets its snapshot go', async () => {
  const db = await open();
  for (let i = 0; i < 10; i++) db.putSync(`key ${i}`, `${i}`);
  for (const _ of db.scan()) break;
  for (const _ of db.scan().keys()) break;
  for (const _ of db.scan().values()) break;
  expect([...db.scan()].length).toBe(10);
  db.scan().return();
  db.scan().close();
  const scan = db.scan();
  scan[Symbol.dispose]();
  expect(scan.next()).toEqual({ done: true, value: undefined });
  expect(scan.nextMany(3)).toEqual([]);
  scan.close();
  const many = db.scan();
  expect([many.nextMany(8).length, many.nextMany(8).length, many.nextMany(8).length]).toEqual([8, 2, 0]);
  expect([...db.scan({ limit: 2 }).values()].map(text)).toEqual(['0', '1']);
  expect(db.stats().versions.openSnapshots).toBe(0);
});

test('contract: a loop over a scan of a transaction may write', async () => {
  const db = await open();
  for (let i = 0; i < 50; i++) db.putSync(`key ${i}`, 'old');
  const tx = db.beginTransaction();
  for (const [key] of tx.scan()) {
    tx.put(`${text(key)} again`, 'new');
    tx.delete(key);
  }
  expect(tx.count()).toBe(50);
  await tx.commit();
  expect(db.count({ prefix: 'key' })).toBe(50);
});

test('contract: a transaction tells its number, isolation and state, and its commit a position and a sequence', async () => {
  const db = await open({ backend: new MemoryBackend(), walEnabled: true });
  const [one, two] = [db.beginTransaction(), db.beginTransaction({ isolation: 'serializable' })];
  expect(two.id).toBeGreaterThan(one.id);
  expect([one.isolation, two.isolation, one.state]).toEqual(['snapshot', 'serializable', 'active']);
  one.put('a', '1');
  const commit = one.commit();
  expect(one.state).toBe('committing');
  const { lsn, sequence } = await commit;
  expect([one.state, sequence, lsn > 0]).toEqual(['committed', 1, true]);
  two.put('b', '1');
  expect(two.commitSync().sequence).toBe(2);
  const three = db.beginTransaction();
  three[Symbol.dispose]();
  expect(three.state).toBe('aborted');
  for (const tx of [one, two, three]) tx[Symbol.dispose]();
  expect(db.stats().transactions).toMatchObject({ active: 0, commits: 2 });
});

test('contract: transaction() answers what its work answers, and tries a conflict again', async () => {
  const db = await open();
  expect(await db.transaction((tx) => String(tx.put('a', '1')))).toBe('undefined');
  expect(await db.transaction(async (tx) => tx.getString('a'))).toBe('1');
  const triesOf = async (conflicts: number, options = {}): Promise<[number, string]> => {
    let tries = 0;
    const outcome = await db
      .transaction((tx) => {
        tx.put('a', `${++tries}`);
        if (tries <= conflicts) db.putSync('a', 'of another');
        return 'done';
      }, options)
      .catch((error: AegisError) => error.code);
    return [tries, outcome];
  };
  expect(await triesOf(3)).toEqual([4, 'done']);
  expect(await triesOf(10)).toEqual([11, 'done']);
  expect(await triesOf(11)).toEqual([11, 'CONFLICT']);
  expect(await triesOf(5, { maxRetries: 2 })).toEqual([3, 'CONFLICT']);
  expect(await triesOf(1, { maxRetries: 0 })).toEqual([1, 'CONFLICT']);
  await expect(
    db.transaction((tx) => {
      tx.put('thrown', 'x');
      throw new RangeError('of the work');
    }),
  ).rejects.toThrow(RangeError);
  const stop = new AbortController();
  const stopped = db.transaction(
    (tx) => {
      tx.put('a', 'x');
      db.putSync('a', 'of another');
      stop.abort(new Error('enough'));
    },
    { signal: stop.signal },
  );
  await expect(stopped).rejects.toThrow('enough');
  expect([db.has('thrown'), db.stats().transactions.active]).toEqual([false, 0]);
});

test('contract: a snapshot reads one state until it is closed', async () => {
  const db = await open();
  await db.batch([
    { type: 'put', key: 'a', value: 'old' },
    { type: 'put', key: 'a', value: 'old', tree: 't' },
  ]);
  const snapshot = db.snapshot();
  await db.put('a', 'new');
  await db.put('b', 'new');
  await db.tree('t').put('a', 'new');
  await db.dropTree('t');
  expect([snapshot.getString('a'), snapshot.has('b'), snapshot.count(), text(snapshot.get('a'))]).toEqual([
    'old',
    false,
    1,
    'old',
  ]);
  expect(snapshot.getMany(['a', 'b']).map(text)).toEqual(['old', undefined]);
  expect([...snapshot.scan().values()].map(text)).toEqual(['old']);
  expect([snapshot.tree('t').getString('a'), db.tree('t').has('a')]).toEqual(['old', false]);
  snapshot.close();
  snapshot.close();
  snapshot[Symbol.dispose]();
  await refused('CLOSED', () => snapshot.get('a'));
  expect(db.stats().versions.openSnapshots).toBe(0);
});

test('contract: trees are separate, made by their first write, listed, and dropped', async () => {
  const backend = new MemoryBackend();
  let db = await StorageEngine.open({ backend });
  expect([db.trees(), db.tree('none').get('a'), db.tree('none').count(), await db.dropTree('none')]).toEqual([
    [],
    undefined,
    0,
    false,
  ]);
  const tx = db.beginTransaction();
  for (const name of ['b', 'a', 'c']) tx.tree(name).put('key', name);
  tx.put('key', 'main');
  expect([tx.tree('a').getString('key'), db.trees()]).toEqual(['a', []]);
  await tx.commit();
  expect(db.trees()).toEqual(['a', 'b', 'c']);
  expect(await db.dropTree('b')).toBe(true);
  expect([db.trees(), db.tree('b').has('key'), db.getString('key')]).toEqual([['a', 'c'], false, 'main']);
  await db.tree('b').put('key', 'again');
  await db.close();
  db = await StorageEngine.open({ backend });
  expect(db.trees()).toEqual(['a', 'b', 'c']);
  expect(['a', 'b', 'c'].map((name) => db.tree(name).getString('key'))).toEqual(['a', 'again', 'c']);
  expect(await db.verify()).toMatchObject({ ok: true });
  await db.close();
});

test('contract: backup is a store of its own, and never written over another', async () => {
  const db = await open({ backend: new MemoryBackend() });
  for (let i = 0; i < 100; i++) db.putSync(`key ${i}`, `${i}`);
  const target = new MemoryBackend();
  await db.backup(target);
  await db.put('later', 'x');
  await rejected('EXISTS', () => db.backup(target));
  await rejected('INVALID_ARGUMENT', () => db.backup(7 as never));
  const copy = await StorageEngine.open({ backend: target });
  expect([copy.count(), copy.has('later'), copy.getString('key 7')]).toEqual([100, false, '7']);
  await copy.close();
});

test('contract: maintenance answers reports', async () => {
  const db = await open({ backend: new MemoryBackend(), walEnabled: true });
  for (let i = 0; i < 500; i++) db.putSync(`key ${i}`, 'x'.repeat(500));
  const { sequence } = await db.checkpoint();
  expect(sequence).toBe(500);
  expect(await db.verify()).toMatchObject({ ok: true, records: 500, problems: [], problemCount: 0 });
  for (let i = 0; i < 480; i++) db.deleteSync(`key ${i}`);
  const { fileSize } = db.stats().data;
  await db.compact();
  expect(db.stats().data.fileSize).toBeLessThan(fileSize / 2);
  const stats = db.stats();
  expect(stats.pool.hits + stats.pool.misses).toBeGreaterThan(0);
  expect(stats.pages.count).toBeGreaterThan(0);
  expect(stats.log.enabled).toBe(true);
  expect(stats.transactions.commits).toBe(980);
  expect(stats.versions.openSnapshots).toBe(0);
  expect(stats.data.compressionRatio).toBeGreaterThan(0);
});

test('contract: close is idempotent, aborts what is open, and a closed engine answers CLOSED', async () => {
  const backend = new MemoryBackend();
  const db = await StorageEngine.open({ backend });
  const tree = db.tree('t');
  const tx = db.beginTransaction();
  tx.put('a', 'x');
  const put = db.put('b', 'x');
  const first = db.close();
  expect(db.close()).toBe(first);
  await Promise.all([first, put]);
  await db[Symbol.asyncDispose]();
  expect(tx.state).toBe('aborted');
  for (const call of [
    () => db.get('a'),
    () => db.trees(),
    () => db.stats(),
    () => tree.get('a'),
    () => db.snapshot(),
  ]) {
    await refused('CLOSED', call);
  }
  for (const call of [
    () => db.put('a', 'x'),
    () => db.checkpoint(),
    () => db.dropTree('t'),
    () => tree.put('a', 'x'),
  ]) {
    await rejected('CLOSED', call);
  }
  const again = await StorageEngine.open({ backend });
  expect([again.has('a'), again.has('b')]).toEqual([false, true]);
  await again.close();
});

test('contract: dispose symbols work where the runtime has them, and nothing global is patched', async () => {
  const before = [Object.getOwnPropertyNames(globalThis).length, Object.getOwnPropertySymbols(Symbol).length];
  const backend = new MemoryBackend();
  {
    await using db = await StorageEngine.open({ backend });
    using tx = db.beginTransaction();
    tx.put('a', 'x');
    using snapshot = db.snapshot();
    using scan = db.scan();
    expect([snapshot.count(), [...scan].length]).toEqual([0, 0]);
  }
  const db = await StorageEngine.open({ backend });
  expect(db.has('a')).toBe(false);
  await db.close();
  expect([
    Object.getOwnPropertyNames(globalThis).length,
    Object.getOwnPropertySymbols(Symbol).length,
  ]).toEqual(before);
});

test('contract: only CONFLICT is retryable', async () => {
  const db = await open();
  const codes = ['INVALID_ARGUMENT', 'CONFLICT', 'CLOSED', 'COMMIT_UNKNOWN', 'IO_ERROR', 'LOCKED'] as const;
  expect(codes.filter((code) => new AegisError(code, 'x').retryable)).toEqual(['CONFLICT']);
  const tx = db.beginTransaction();
  tx.put('a', 'x');
  await db.put('a', 'y');
  const error = await rejected('CONFLICT', () => tx.commit());
  expect([error.retryable, error.name, error instanceof Error]).toEqual([true, 'AegisError', true]);
});
