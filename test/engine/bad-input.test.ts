/*
 * Calls that make no sense, in every place where a caller can put one. Each is refused with its documented code before
 * anything happens; the engine lives on and what was in it is still there.
 */
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { AegisErrorCode } from '../../src/base/errors.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import type { Key, Value } from '../../src/index.ts';
import { refused, rejected } from '../support/refused.ts';

let engine: StorageEngine;

beforeEach(async () => {
  engine = await StorageEngine.open({ backend: new MemoryBackend(), walEnabled: true, pageSize: 4096 });
  await engine.put('kept', 'value');
  onTestFinished(() => engine.close());
});

/** The engine works as before, and nothing was written. */
async function expectUnharmed(): Promise<void> {
  expect(engine.getString('kept')).toBe('value');
  expect(engine.count()).toBe(1);
  expect(engine.stats().transactions.active).toBe(0);
  await engine.put('other', 'x');
  expect(await engine.delete('other')).toBe(true);
  expect(await engine.verify()).toMatchObject({ ok: true });
}

const wrong = (value: unknown) => value as never;

const NO_BYTES: [what: string, value: unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 5],
  ['a bigint', 5n],
  ['a symbol', Symbol('key')],
  ['an object', {}],
  ['an array', [1, 2]],
  ['an ArrayBuffer', new ArrayBuffer(4)],
  ['a DataView', new DataView(new ArrayBuffer(4))],
  ['a Uint16Array', new Uint16Array(4)],
  ['a high surrogate alone', 'a\ud800'],
  ['a low surrogate alone', '\udc00a'],
  ['surrogates the wrong way round', '\udc00\ud800'],
];

/** Everything of an engine that takes a key. */
const WITH_KEY: Record<string, (key: Key) => unknown> = {
  get: (key) => engine.get(key),
  getString: (key) => engine.getString(key),
  has: (key) => engine.has(key),
  getMany: (key) => engine.getMany(['kept', key]),
  put: (key) => engine.put(key, 'x'),
  delete: (key) => engine.delete(key),
  batch: (key) =>
    engine.batch([
      { type: 'put', key: 'new', value: 'x' },
      { type: 'delete', key },
    ]),
  putSync: (key) => engine.putSync(key, 'x'),
  deleteSync: (key) => engine.deleteSync(key),
  batchSync: (key) =>
    engine.batchSync([
      { type: 'put', key: 'new', value: 'x' },
      { type: 'put', key, value: 'x' },
    ]),
  ...Object.fromEntries(
    (['get', 'getString', 'has', 'delete'] as const).map((name) => [
      `tx.${name}`,
      (key: Key) => inTransaction((tx) => tx[name](key)),
    ]),
  ),
  'tx.getMany': (key) => inTransaction((tx) => tx.getMany(['kept', key])),
  'tx.put': (key) => inTransaction((tx) => tx.put(key, 'x')),
  'snapshot.get': (key) => inSnapshot((snapshot) => snapshot.get(key)),
  'snapshot.getString': (key) => inSnapshot((snapshot) => snapshot.getString(key)),
  'snapshot.has': (key) => inSnapshot((snapshot) => snapshot.has(key)),
  'snapshot.getMany': (key) => inSnapshot((snapshot) => snapshot.getMany([key])),
};

const PROMISING = new Set(['put', 'delete', 'batch']);

function inTransaction<T>(work: (tx: ReturnType<StorageEngine['beginTransaction']>) => T): T {
  const tx = engine.beginTransaction();
  try {
    return work(tx);
  } finally {
    expect(tx.state).toBe('active');
    tx.abort();
  }
}

function inSnapshot<T>(work: (snapshot: ReturnType<StorageEngine['snapshot']>) => T): T {
  const snapshot = engine.snapshot();
  try {
    return work(snapshot);
  } finally {
    snapshot.close();
  }
}

async function refusedBy(name: string, code: AegisErrorCode, key: unknown): Promise<void> {
  const call = WITH_KEY[name]!;
  const error = PROMISING.has(name)
    ? await rejected(code, () => call(wrong(key)) as Promise<unknown>)
    : await refused(code, () => call(wrong(key)));
  expect(error.message).toMatch(/key/);
}

describe.each(Object.keys(WITH_KEY))('%s', (name) => {
  test(`bad input: ${name} refuses keys that are no bytes`, async () => {
    for (const [, key] of NO_BYTES) await refusedBy(name, 'INVALID_ARGUMENT', key);
    await expectUnharmed();
  });

  test(`bad input: ${name} refuses keys above an eighth of a page, and takes one of exactly that`, async () => {
    for (const key of [
      new Uint8Array(513),
      'x'.repeat(513),
      'é'.repeat(257),
      new Uint8Array(1e7),
      'é'.repeat(1e6),
    ]) {
      await refusedBy(name, 'TOO_LARGE', key);
    }
    await expectUnharmed();
    for (const key of [new Uint8Array(512), 'é'.repeat(256)]) await WITH_KEY[name]!(key);
  });
});

test('bad input: values that are no bytes are refused wherever one is taken', async () => {
  const calls: ((value: Value) => unknown)[] = [
    (value) => engine.put('new', value),
    (value) => engine.batch([{ type: 'put', key: 'new', value }]),
    (value) => engine.putSync('new', value),
    (value) =>
      engine.batchSync([
        { type: 'put', key: 'a', value: 'x' },
        { type: 'put', key: 'new', value },
      ]),
    (value) => inTransaction((tx) => tx.put('new', value)),
  ];
  for (const [, value] of NO_BYTES) {
    for (const call of calls) {
      const error = await refused('INVALID_ARGUMENT', () => call(wrong(value)));
      expect(error.message).toMatch(/value/);
    }
  }
  await expectUnharmed();
});

test('bad input: a value of 1 GiB is too large, before a byte of it is read', async () => {
  // Untouched zeros: the system gives the address range, no memory.
  const value = new Uint8Array(2 ** 30);
  const begin = performance.now();
  await rejected('TOO_LARGE', () => engine.put('new', value));
  await rejected('TOO_LARGE', () => engine.batch([{ type: 'put', key: 'new', value }]));
  await refused('TOO_LARGE', () => engine.putSync('new', value));
  await refused('TOO_LARGE', () => inTransaction((tx) => tx.put('new', value)));
  expect(performance.now() - begin).toBeLessThan(1000);
  await expectUnharmed();
});

test('bad input: range options that cannot be are refused wherever a range is taken', async () => {
  const calls: ((range: never) => unknown)[] = [
    (range) => engine.scan(range),
    (range) => engine.count(range),
    (range) => inTransaction((tx) => tx.scan(range)),
    (range) => inTransaction((tx) => tx.count(range)),
    (range) => inSnapshot((snapshot) => snapshot.scan(range)),
    (range) => inSnapshot((snapshot) => snapshot.count(range)),
  ];
  const bounds = ['gt', 'gte', 'lt', 'lte', 'prefix'];
  const invalid: unknown[] = [
    null,
    5,
    'abc',
    { start: 'a' },
    { limit: -1 },
    { limit: 1.5 },
    { limit: Number.NaN },
    { limit: '3' },
    { limit: null },
    { limit: 3n },
    { reverse: 1 },
    { reverse: 'yes' },
    { reverse: null },
    ...bounds.flatMap((bound) => [5, null, {}, '\ud800'].map((value) => ({ [bound]: value }))),
  ];
  for (const call of calls) {
    for (const range of invalid) await refused('INVALID_ARGUMENT', () => call(wrong(range)));
    for (const bound of bounds) await refused('TOO_LARGE', () => call(wrong({ [bound]: 'x'.repeat(513) })));
  }
  expect(engine.stats().versions.openSnapshots).toBe(0);
  await expectUnharmed();
});

test('bad input: nextMany takes a whole number from 1 on', async () => {
  const scan = engine.scan();
  for (const n of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '2', null, undefined]) {
    await refused('INVALID_ARGUMENT', () => scan.nextMany(wrong(n)));
  }
  expect(scan.nextMany(1).length).toBe(1);
  expect(scan.nextMany(1)).toEqual([]);
  await expectUnharmed();
});

test('bad input: batches that are no list of operations are refused whole', async () => {
  const put = { type: 'put', key: 'new', value: 'x' };
  const batches: unknown[] = [
    undefined,
    null,
    5,
    'put',
    {},
    [undefined],
    [put, null],
    [put, 5],
    [put, {}],
    [put, { type: 'get', key: 'a' }],
    [put, { type: 'put', key: 'a' }],
    [put, { type: 'delete' }],
  ];
  for (const batch of batches) {
    await rejected('INVALID_ARGUMENT', () => engine.batch(wrong(batch)));
    await refused('INVALID_ARGUMENT', () => engine.batchSync(wrong(batch)));
  }
  const thrown = new Error('mine');
  const failing = function* () {
    yield put;
    throw thrown;
  };
  await expect(engine.batch(wrong(failing()))).rejects.toBe(thrown);
  expect(() => engine.batchSync(wrong(failing()))).toThrow(thrown);
  await engine.batch([]);
  await expectUnharmed();
});

test('bad input: getMany wants a list', async () => {
  for (const keys of [undefined, null, 5, 'ab', {}, new Uint8Array(3)]) {
    await refused('INVALID_ARGUMENT', () => engine.getMany(wrong(keys)));
    await refused('INVALID_ARGUMENT', () => inTransaction((tx) => tx.getMany(wrong(keys))));
    await refused('INVALID_ARGUMENT', () => inSnapshot((snapshot) => snapshot.getMany(wrong(keys))));
  }
  expect(engine.getMany([])).toEqual([]);
  await expectUnharmed();
});

test('bad input: options of transactions that cannot be are refused', async () => {
  for (const isolation of ['none', 'Snapshot', 5, null, {}]) {
    await refused('INVALID_ARGUMENT', () => engine.beginTransaction(wrong({ isolation })));
    await rejected('INVALID_ARGUMENT', () => engine.transaction(() => 1, wrong({ isolation })));
  }
  for (const readOnly of [1, 'yes', null]) {
    await refused('INVALID_ARGUMENT', () => engine.beginTransaction(wrong({ readOnly })));
  }
  for (const maxRetries of [-1, 1.5, '3', Number.NaN]) {
    await rejected('INVALID_ARGUMENT', () => engine.transaction(() => 1, wrong({ maxRetries })));
  }
  for (const options of [null, 5, 'snapshot']) {
    await refused('INVALID_ARGUMENT', () => engine.beginTransaction(wrong(options)));
    await rejected('INVALID_ARGUMENT', () => engine.transaction(() => 1, wrong(options)));
  }
  for (const signal of [5, {}, 'stop']) {
    await rejected('INVALID_ARGUMENT', () => engine.transaction(() => 1, wrong({ signal })));
  }
  for (const work of [undefined, null, 5, {}]) {
    await rejected('INVALID_ARGUMENT', () => engine.transaction(wrong(work)));
  }
  for (const options of [null, 5, { sync: 1 }, { sync: 'yes' }, { sync: null }]) {
    await refused('INVALID_ARGUMENT', () => inTransaction((tx) => tx.commitSync(wrong(options))));
    const tx = engine.beginTransaction();
    tx.put('new', 'x');
    await rejected('INVALID_ARGUMENT', () => tx.commit(wrong(options)));
    expect(tx.state).toBe('active');
    tx.abort();
  }
  await expectUnharmed();
});

test('bad input: a configuration that cannot be is refused and names the key', async () => {
  const configurations: [key: string, config: unknown][] = [
    ['pageSize', { pageSize: 5000 }],
    ['bufferPoolSize', { bufferPoolSize: 4096 }],
    ['bufferPoolSize', { bufferPoolSize: 'much' }],
    ['compression', { compression: 'brotli' }],
    ['backend', { backend: 'cloud' }],
    ['dataDirectory', { backend: 'local', dataDirectory: '' }],
    ['syncOnCommmit', { syncOnCommmit: true }],
    ['readOnly', { readOnly: 'yes' }],
    ['checkpointWalSize', { checkpointWalSize: 1 }],
    ['walFlushInterval', { walFlushInterval: -1 }],
  ];
  for (const [key, config] of configurations) {
    const { message } = await rejected('INVALID_ARGUMENT', () => StorageEngine.open(wrong(config)));
    expect(message).toContain(key);
  }
  await rejected('TOO_LARGE', () => StorageEngine.open({ bufferPoolSize: '4GB' }));
  for (const config of [null, 5, 'memory', []]) {
    await rejected('INVALID_ARGUMENT', () => StorageEngine.open(wrong(config)));
  }
  await expectUnharmed();
});
