/*
 * Batches too large for a log buffer: taken in within their call, put in order turn by turn, and committed in the order
 * of their coming, whatever the program does meanwhile.
 */
import { expect, onTestFinished, test } from 'vitest';
import {
  GROUP_HEADER_SIZE,
  LOG_BUFFER_SIZE,
  PART_HEADER_SIZE,
  RECORD_HEADER_SIZE,
} from '../../assembly/layout.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { type BatchOperation, MemoryBackend, StorageEngine } from '../../src/index.ts';
import { refused, rejected } from '../support/refused.ts';
import { openSmall } from '../support/small-store.ts';

const COUNT = 30_000;
const VALUE = 'x'.repeat(20);
const keyOf = (i: number): string => `key ${String((i * 7919) % COUNT).padStart(6, '0')}`;

async function open(
  backend: SimulatedBackend | MemoryBackend = new MemoryBackend(),
  config: Partial<StorageConfig> = {},
): Promise<StorageEngine> {
  const db = await openSmall(backend, { bufferPoolSize: '1MB', ...config });
  onTestFinished(() => db.close().catch(() => undefined));
  return db;
}

function puts(value = VALUE, tree?: string): BatchOperation[] {
  return Array.from({ length: COUNT }, (_none, i) => ({ type: 'put', key: keyOf(i), value, tree }));
}

/** Counts turns of the event loop while something is awaited. */
async function turnsUntil(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const next = (): void => {
    turns++;
    if (!isOver) setImmediate(next);
  };
  setImmediate(next);
  await work;
  isOver = true;
  return turns;
}

test('large batches: they are put in order in more turns than one', async () => {
  const db = await StorageEngine.open();
  const many = Array.from({ length: 10 }, () => puts()).flat();
  // Nothing is written or synced here, so the turns are those of putting in order.
  expect(await turnsUntil(db.batch(many))).toBeGreaterThan(3);
  expect(db.count()).toBe(COUNT);
  await db.close();
});

test.each([true, false])(
  'large batches: one that fits the log buffer but for the name of the tree it makes is whole, blocking %s',
  async (isBlocking) => {
    const db = await open(undefined, { checkpointWalSize: '64MB', bufferPoolSize: '16MB' });
    const fits = LOG_BUFFER_SIZE - GROUP_HEADER_SIZE - PART_HEADER_SIZE;
    // The limit is a little below half the log buffer; the name of a tree takes 212 bytes.
    for (let beyond = -1200; beyond <= 0; beyond += 100) {
      const tree = `${beyond}`.padEnd(200, '-');
      const value = new Uint8Array(fits + beyond - 2 * (RECORD_HEADER_SIZE + 4)).fill(7);
      const operations: BatchOperation[] = [
        { type: 'delete', key: 'gone', tree },
        { type: 'put', key: 'long', value, tree },
      ];
      if (isBlocking) db.batchSync(operations);
      else await db.batch(operations);
      expect(Buffer.compare(db.tree(tree).get('long')!, value)).toBe(0);
      expect(db.tree(tree).count()).toBe(1);
    }
    expect(db.trees()).toHaveLength(13);
  },
);

test('large batches: nothing of the memory they came in is kept', async () => {
  const db = await open();
  for (const isPlain of [true, false]) {
    const scratch = Buffer.alloc(COUNT * 40);
    const operations: BatchOperation[] = [];
    for (let i = 0; i < COUNT; i++) {
      const key = scratch.subarray(i * 40, i * 40 + scratch.write(keyOf(i), i * 40));
      const value = scratch.subarray(i * 40 + 20, i * 40 + 20 + scratch.write(`${i}`, i * 40 + 20));
      operations.push(i % 3 === 0 ? { type: 'delete', key } : { type: 'put', key, value });
    }
    const batch = db.batch(isPlain ? operations : new Set(operations));
    scratch.fill(0xee);
    await batch;
    for (let i = 0; i < COUNT; i++) {
      const found = db.getString(keyOf(i));
      if (found !== (i % 3 === 0 ? undefined : `${i}`)) throw new Error(`${keyOf(i)} is ${found}`);
    }
    expect(db.count()).toBe((COUNT / 3) * 2);
  }
  expect((await db.verify()).problems).toEqual([]);
});

test('large batches: what is called behind one comes behind it, blocking or not', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  const all = [
    db.batch(puts('first')),
    db.put(keyOf(1), 'second'),
    db.batch(puts('third', 't')),
    db.tree('t').delete(keyOf(2)),
  ];
  expect([db.count(), db.trees()]).toEqual([0, []]);
  const { sequence } = db.stats();
  db.putSync(keyOf(3), 'blocking');
  expect(db.stats().sequence).toBe(sequence + 5);
  const check = (store: StorageEngine): void => {
    expect([store.getString(keyOf(1)), store.getString(keyOf(3)), store.getString(keyOf(4))]).toEqual([
      'second',
      'blocking',
      'first',
    ]);
    const tree = store.tree('t');
    expect([tree.getString(keyOf(2)), tree.getString(keyOf(3)), tree.count()]).toEqual([
      undefined,
      'third',
      COUNT - 1,
    ]);
  };
  check(db);
  await Promise.all(all);
  db.batchSync(puts('again'));
  expect(db.getString(keyOf(1))).toBe('again');
  await db.batch(puts('first'));
  db.putSync(keyOf(1), 'second');
  db.putSync(keyOf(3), 'blocking');
  check(await open(backend.copy()));
});

test('large batches: transactions go on while one is put in order, and are checked against it', async () => {
  const db = await open();
  await db.put('counter', '0');
  const tx = db.beginTransaction();
  const other = db.beginTransaction();
  const batch = db.batch([...puts(), { type: 'put', key: 'counter', value: '1' }]);
  tx.put('counter', '2');
  other.put('elsewhere', 'x');
  await Promise.all([batch, rejected('CONFLICT', () => tx.commit()), other.commit()]);
  expect([db.getString('counter'), db.getString('elsewhere')]).toEqual(['1', 'x']);
});

test('large batches: long values and short ones keep their order, and a hundred megabytes do not wait', async () => {
  const db = await open(new MemoryBackend(), { bufferPoolSize: '8MB' });
  const long = 'l'.repeat(300_000);
  const operations: BatchOperation[] = [];
  for (let i = 0; i < 400; i++) {
    operations.push({ type: 'put', key: 'last wins', value: i % 2 === 0 ? long : `${i}` });
    operations.push({ type: 'put', key: `${i}`, value: 'v'.repeat(200_000) });
  }
  await db.batch(operations);
  expect([db.getString('last wins'), db.count()]).toEqual(['399', 401]);
});

test('large batches: close waits for one, and a store that fails refuses it', async () => {
  const backend = new MemoryBackend();
  const closing = await openSmall(backend);
  const batch = closing.batch(puts());
  await Promise.all([closing.close(), batch]);
  expect((await open(backend)).count()).toBe(COUNT);

  const disk = new SimulatedBackend({ seed: 1 });
  const failing = await open(disk);
  await failing.put('k', 'v');
  disk.plan = ({ operation, file }) =>
    operation === 'write' && file?.startsWith('log') ? { errno: 'EIO' } : undefined;
  const put = refused(['IO_ERROR', 'COMMIT_UNKNOWN', 'STORE_FAILED'], () => failing.put('k', 'w'));
  const late = refused(['IO_ERROR', 'STORE_FAILED'], () => failing.batch(puts()));
  await Promise.all([put, late]);
  expect(failing.count()).toBe(1);
});

test('large batches: one that finds no space refuses itself, and those behind it are served', async () => {
  const disk = new SimulatedBackend({ seed: 2 });
  const db = await open(disk, { bufferPoolSize: '64KB' });
  await db.put('k', 'v');
  const used = [...disk.files().values()].reduce((sum, { length }) => sum + length, 0);
  disk.capacity = used + 500 * 1024;
  const tooMuch = puts('y'.repeat(300)).slice(0, 6000);
  for (let round = 0; round < 2; round++) {
    const batch = rejected('OUT_OF_SPACE', () => db.batch(tooMuch));
    const behind = db.put(`behind ${round}`, 'v');
    await Promise.all([batch, behind]);
    await refused('OUT_OF_SPACE', () => db.batchSync(tooMuch));
  }
  expect(db.count()).toBe(3);
  expect((await db.verify()).problems).toEqual([]);
});

test('large batches: one with an operation that is none changes nothing', async () => {
  const db = await open();
  for (const wrong of [{ type: 'set', key: 'k' }, undefined, { type: 'put', key: 7, value: 'v' }]) {
    const operations = [...puts(), wrong as BatchOperation];
    await rejected('INVALID_ARGUMENT', () => db.batch(operations));
    await refused('INVALID_ARGUMENT', () => db.batchSync(operations));
  }
  expect([db.count(), db.stats().transactions.commits]).toEqual([0, 0]);
});
