/*
 * Bytes that were handed to a call are free for anything once the call has returned: they are overwritten, transferred
 * away or shortened while the store goes on with what it has taken.
 */
import { expect, test } from 'vitest';
import type { Transaction } from '../../src/index.ts';
import { StorageEngine } from '../../src/index.ts';
import { refused } from '../support/refused.ts';
import { hex, lend, open } from './borrowed-kit.ts';

const MANY = 100;

/** Writes a number of records through one scratch buffer, in one way. */
type Way = (db: StorageEngine, key: Uint8Array, value: Uint8Array, set: (i: number) => void) => unknown;

const each = (set: (i: number) => void, write: (i: number) => unknown): Promise<unknown> => {
  const waiting: unknown[] = [];
  for (let i = 0; i < MANY; ++i) {
    set(i);
    waiting.push(write(i));
  }
  return Promise.all(waiting);
};

const WAYS: Record<string, Way> = {
  'puts that wait': (db, key, value, set) => each(set, () => db.put(key, value)),
  'batches that wait': (db, key, value, set) => each(set, () => db.batch([{ type: 'put', key, value }])),
  'puts behind a large commit': (db, key, value, set) => {
    const large = db.put('large', new Uint8Array(5 << 20));
    const all = each(set, () => db.put(key, value));
    return Promise.all([large, all]).then(() => db.delete('large'));
  },
  'deletions and puts that wait': async (db, key, value, set) => {
    await each(set, () => db.put(key, 'old'));
    await each(set, (i) => (i % 2 === 0 ? db.delete(key) : db.put(key, 'older')));
    await each(set, () => db.put(key, value));
  },
  'transactions that wait': (db, key, value, set) =>
    each(set, () => {
      const tx = db.beginTransaction();
      tx.put(key, value);
      return tx.commit();
    }),
  'a generator': (db, key, value, set) =>
    db.batch(
      (function* () {
        for (let i = 0; i < MANY; ++i) {
          set(i);
          yield { type: 'put', key, value } as const;
        }
      })(),
    ),
  'a generator, blocking': (db, key, value, set) =>
    db.batchSync(
      (function* () {
        for (let i = 0; i < MANY; ++i) {
          set(i);
          yield { type: 'put', key, value } as const;
        }
      })(),
    ),
  'an array with an iterator of its own': (db, key, value, set) => {
    const list = [{ type: 'put', key, value } as const];
    list[Symbol.iterator] = function* () {
      for (let i = 0; i < MANY; ++i) {
        set(i);
        yield { type: 'put', key, value } as const;
      }
    } as never;
    return db.batch(list);
  },
  getters: (db, key, value, set) =>
    db.batch(
      Array.from({ length: MANY }, (_, i) => ({
        type: 'put' as const,
        get key() {
          set(i);
          return key;
        },
        value,
      })),
    ),
  'one memory for both': (db, key, value, set) =>
    db.batchSync(
      Array.from({ length: MANY }, (_, i) => ({
        type: 'put' as const,
        get key() {
          set(i);
          return value.subarray(0, key.length);
        },
        get value() {
          value.fill(0xff);
          set(i);
          return value;
        },
      })),
    ),
  'getters of a class': (db, key, value, set) => {
    class Operation {
      readonly type = 'put' as const;
      readonly #i: number;
      constructor(i: number) {
        this.#i = i;
      }
      get key() {
        set(this.#i);
        return key;
      }
      get value() {
        return value;
      }
    }
    return db.batch(Array.from({ length: MANY }, (_, i) => new Operation(i)));
  },
};
const SCRATCHES: [what: string, make: (length: number) => Uint8Array][] = [
  ['Buffer', (length) => Buffer.alloc(length)],
  ['Uint8Array', (length) => new Uint8Array(length)],
  ['shared array', (length) => new Uint8Array(new SharedArrayBuffer(length))],
];

test.each(
  Object.entries(WAYS).flatMap(([way, write]) =>
    SCRATCHES.map(([what, make]) => [way, what, write, make] as const),
  ),
)('borrowed bytes: %s through one %s are what was in it each time', async (_, __, write, make) => {
  for (const config of [{}, { syncOnCommit: false }, { walEnabled: false }]) {
    const db = await open(config);
    const key = make(4);
    const value = make(100);
    const set = (i: number): void => {
      for (const bytes of [key, value]) new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, i);
    };
    await write(db, key, value, set);
    const records = [...db.scan()].map(([k, v]) => [hex(k), v.length, hex(v.subarray(0, 4))]);
    const names = Array.from({ length: MANY }, (___, i) => i.toString(16).padStart(8, '0'));
    expect(records).toEqual(names.map((name) => [name, 100, name]));
  }
});

test('borrowed bytes: a serializable transaction remembers the keys and ranges it read, whatever becomes of the bytes', async () => {
  const db = await open();
  await db.batch([...'abcd'].map((key) => ({ type: 'put', key, value: key }) as const));
  const reads: Record<string, (tx: Transaction, low: Uint8Array, high: Uint8Array) => unknown> = {
    scan: (tx, gte, lt) => [...tx.scan({ gte, lt })],
    'reverse scan': (tx, gte, lt) => [...tx.scan({ gte, lt, reverse: true })],
    count: (tx, gte, lt) => tx.count({ gte, lt }),
    deleteRange: (tx, gte, lt) => tx.deleteRange({ gte, lt }),
    prefix: (tx) => lend(Buffer.from, Buffer.from('b'), (prefix) => [...tx.scan({ prefix })]),
    get: (tx) => lend(Buffer.from, Buffer.from('bx'), (key) => tx.get(key)),
    has: (tx) => lend(Buffer.from, Buffer.from('bx'), (key) => tx.has(key)),
    getMany: (tx) => lend(Buffer.from, Buffer.from('bx'), (key) => tx.getMany([key])),
  };
  for (const [what, read] of Object.entries(reads)) {
    const tx = db.beginTransaction({ isolation: 'serializable' });
    lend(Buffer.from, Buffer.from('a'), (low) =>
      lend(Buffer.from, Buffer.from('c'), (high) => read(tx, low, high)),
    );
    await db.put('bx', 'phantom');
    tx.put('sum', 'x');
    const error = await refused('CONFLICT', () => tx.commit());
    expect(error.code, what).toBe('CONFLICT');
    await db.delete('bx');
  }
});

test('borrowed bytes: a key put among own deletions stays where it was put, whatever becomes of its buffer', async () => {
  const engine = await StorageEngine.open();
  for (let i = 0; i < 40; ++i) await engine.put(`key ${String(i).padStart(2, '0')}`, 'old');
  const tx = engine.beginTransaction();
  tx.deleteRange({});
  const scratch = Buffer.from('key 20');
  tx.put(scratch, 'new');
  scratch.fill(0x7a);
  const seen = [...tx.scan()].map(([key]) => Buffer.from(key).toString());
  expect(seen).toEqual(['key 20']);
  expect([...tx.scan({ gte: 'key 10', lt: 'key 30' }).keys()].length).toBe(1);
  expect([...tx.scan({ reverse: true }).keys()].length).toBe(1);
  tx.abort();
  await engine.close();
});
