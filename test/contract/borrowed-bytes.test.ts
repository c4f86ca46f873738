/*
 * The contract of bytes that are handed to a call: any Uint8Array will do, wherever it comes from; it is taken when the
 * call is made, never written to, and free for anything once the call has returned.
 */
import { createContext, runInContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { Key, RangeOptions } from '../../src/index.ts';
import { Block } from '../../src/index.ts';
import { refused } from '../support/refused.ts';
import { hex, lend, open } from './borrowed-kit.ts';

const realm = createContext({});

/** A class whose every answer about itself is wrong; its bytes are what they are. */
class Liar extends Uint8Array {
  override get length(): number {
    return 1;
  }
  override slice(): never {
    throw new TypeError('slice is not for you');
  }
  override subarray(): never {
    throw new TypeError('subarray is not for you');
  }
}

/** Memory that can be made larger and smaller; typings of ES2024 do not know it yet. */
function resizable(length: number): ArrayBuffer & { resize(length: number): void } {
  const Resizable = ArrayBuffer as new (length: number, options: { maxByteLength: number }) => ArrayBuffer;
  return new Resizable(length, { maxByteLength: 1024 }) as ReturnType<typeof resizable>;
}

function over(memory: ArrayBufferLike, bytes: Uint8Array): Uint8Array {
  const view = new Uint8Array(memory);
  view.set(bytes);
  return view;
}

/** Ways in which the same bytes can be handed over. */
const FORMS: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  'a Uint8Array': (bytes) => new Uint8Array(bytes),
  'a Buffer of its own': (bytes) => Buffer.concat([bytes]),
  'a piece of a pool': (bytes) => Buffer.from(bytes),
  'a piece of something longer': (bytes) => {
    const long = new Uint8Array(bytes.length + 9).fill(0xee);
    long.set(bytes, 5);
    return long.subarray(5, 5 + bytes.length);
  },
  'another realm': (bytes) => runInContext(`new Uint8Array([${bytes.join()}])`, realm),
  'a piece in another realm': (bytes) =>
    runInContext(`new Uint8Array([9, ${bytes.join()}]).subarray(1)`, realm),
  'shared memory': (bytes) => over(new SharedArrayBuffer(bytes.length), bytes),
  'memory that can grow': (bytes) => over(resizable(bytes.length), bytes),
  'a class of its own': (bytes) => new Liar(bytes),
};
const forms = Object.entries(FORMS);

/** Bytes that hold nothing any more. */
const GONE: Record<string, () => Uint8Array> = {
  'transferred away': () => {
    const bytes = new Uint8Array(8);
    structuredClone(bytes, { transfer: [bytes.buffer] });
    return bytes;
  },
  'a Buffer transferred away': () => {
    const bytes = Buffer.alloc(8);
    structuredClone(bytes, { transfer: [bytes.buffer] });
    return bytes;
  },
  'empty, and transferred away': () => {
    const bytes = new Uint8Array(new ArrayBuffer(8), 4, 0);
    structuredClone(bytes, { transfer: [bytes.buffer] });
    return bytes;
  },
  'cut off': () => {
    const memory = resizable(16);
    const bytes = new Uint8Array(memory, 8, 8);
    memory.resize(12);
    return bytes;
  },
};

const KEYS = ['00', '61', '6100', '6131', '61ff', '61ff01', '62', 'ff', 'ff61'].map((key) =>
  Uint8Array.from(Buffer.from(key, 'hex')),
);

test.each(forms)('borrowed bytes: %s serves as key and value in every write and read', async (_, form) => {
  const db = await open();
  const key = KEYS[2]!;
  const value = new Uint8Array(300).map((__, at) => at);
  const tree = db.tree('tree');
  for (const space of [db, tree]) {
    await lend(form, key, (k) => lend(form, value, (v) => space.put(k, v)));
    expect(hex(lend(form, key, (k) => space.get(k))!)).toBe(hex(value));
    expect(lend(form, key, (k) => space.has(k))).toBe(true);
    expect(lend(form, key, (k) => space.getMany([k, 'none'])).map((one) => one?.length)).toEqual([
      300,
      undefined,
    ]);
    expect(await lend(form, key, (k) => space.delete(k))).toBe(true);
    lend(form, key, (k) => lend(form, value, (v) => space.putSync(k, v)));
    expect(lend(form, key, (k) => space.deleteSync(k))).toBe(true);
    await lend(form, key, (k) => lend(form, value, (v) => space.batch([{ type: 'put', key: k, value: v }])));
    expect(hex(space.get(key)!)).toBe(hex(value));
    lend(form, key, (k) => space.batchSync([{ type: 'delete', key: k }]));
    expect(space.count()).toBe(0);
  }
  const tx = db.beginTransaction({ isolation: 'serializable' });
  for (const space of [tx, tx.tree('tree')]) {
    lend(form, key, (k) => lend(form, value, (v) => space.put(k, v)));
    const point = tx.savepoint();
    lend(form, key, (k) => space.delete(k));
    expect(lend(form, key, (k) => space.has(k))).toBe(false);
    tx.rollbackTo(point);
    expect(hex(lend(form, key, (k) => space.get(k))!)).toBe(hex(value));
  }
  await tx.commit();
  expect([hex(db.get(key)!), hex(tree.get(key)!)]).toEqual([hex(value), hex(value)]);
});

test.each(forms)('borrowed bytes: %s serves as prefix and bound', async (_, form) => {
  const db = await open();
  for (const key of KEYS) {
    await db.batch([
      { type: 'put', key, value: 'v' },
      { type: 'put', key, value: 'v', tree: 'tree' },
    ]);
  }
  const snapshot = db.snapshot();
  const tx = db.beginTransaction({ isolation: 'serializable' });
  tx.put(KEYS[1]!, 'mine');
  for (const reader of [db, db.tree('tree'), snapshot, tx]) {
    for (const given of [...KEYS, Uint8Array.of(0x63)]) {
      const begin = KEYS.filter((key) => hex(key).startsWith(hex(given))).map(hex);
      const above = KEYS.filter((key) => Buffer.compare(key, given) > 0).map(hex);
      expect(lend(form, given, (prefix) => reader.count({ prefix }))).toBe(begin.length);
      // The scan begins to read when the bytes are gone.
      expect([...lend(form, given, (prefix) => reader.scan({ prefix })).keys()].map(hex)).toEqual(begin);
      const back = lend(form, given, (prefix) => reader.scan({ prefix, reverse: true }));
      expect([...back.keys()].map(hex)).toEqual([...begin].reverse());
      expect([...lend(form, given, (gt) => reader.scan({ gt })).keys()].map(hex)).toEqual(above);
      expect(lend(form, given, (lte) => reader.count({ lte }))).toBe(KEYS.length - above.length);
    }
  }
  for (const given of KEYS) {
    const point = tx.savepoint();
    const begin = KEYS.filter((key) => hex(key).startsWith(hex(given)));
    lend(form, given, (prefix) => tx.deleteRange({ prefix }));
    expect(tx.count()).toBe(KEYS.length - begin.length);
    tx.rollbackTo(point);
  }
  tx.abort();
  snapshot.close();
});

test.each(forms)(
  'borrowed bytes: %s serves as the data of a block, and as a serialised one',
  async (_, form) => {
    const data = new Uint8Array(600).map((__, at) => at % 7);
    for (const codec of ['none', 'lz4', 'zstd'] as const) {
      const db = await open();
      const block = lend(form, data, (given) => new Block(given)).withCompression(codec);
      const read = lend(form, block.serialize(), (given) => Block.deserialize(given));
      expect([hex(read.data), hex(read.serialize())]).toEqual([hex(data), hex(block.serialize())]);
      const id = await db.writeBlock(read);
      expect(hex(db.readBlock(id)!.data)).toBe(hex(data));
      expect(await db.verify()).toMatchObject({ ok: true });
    }
  },
);

test('borrowed bytes: a block whose data was transferred says so', async () => {
  const db = await open();
  const block = new Block(new Uint8Array(100).fill(1)).withCompression('lz4');
  structuredClone(block.data, { transfer: [block.data.buffer as ArrayBuffer] });
  await refused('INVALID_ARGUMENT', () => block.serialize());
  await refused('INVALID_ARGUMENT', () => block.header);
  await refused('INVALID_ARGUMENT', () => db.writeBlock(block));
  expect(await db.verify()).toMatchObject({ ok: true });
});

test.each(Object.entries(GONE))(
  'borrowed bytes: memory that is %s is refused everywhere',
  async (_, make) => {
    const db = await open();
    await db.put('k', 'kept');
    const tx = db.beginTransaction();
    const snapshot = db.snapshot();
    const calls: Record<string, (gone: Uint8Array) => unknown> = {
      Block: (gone) => new Block(gone),
      'Block.deserialize': (gone) => Block.deserialize(gone),
    };
    for (const [name, space] of Object.entries({ db, tree: db.tree('tree') })) {
      Object.assign(calls, {
        [`${name}.put, key`]: (gone: Key) => space.put(gone, 'v'),
        [`${name}.put, value`]: (gone: Key) => space.put('k', gone),
        [`${name}.putSync, key`]: (gone: Key) => space.putSync(gone, 'v'),
        [`${name}.putSync, value`]: (gone: Key) => space.putSync('k', gone),
        [`${name}.delete`]: (gone: Key) => space.delete(gone),
        [`${name}.deleteSync`]: (gone: Key) => space.deleteSync(gone),
        [`${name}.batch, value`]: (gone: Key) => space.batch([{ type: 'put', key: 'k', value: gone }]),
        [`${name}.batch, key`]: (gone: Key) => space.batch([{ type: 'delete', key: gone }]),
      });
    }
    for (const [name, space] of Object.entries({ tx, 'tx.tree': tx.tree('tree') })) {
      Object.assign(calls, {
        [`${name}.put, key`]: (gone: Key) => space.put(gone, 'v'),
        [`${name}.put, value`]: (gone: Key) => space.put('k', gone),
        [`${name}.delete`]: (gone: Key) => space.delete(gone),
      });
      for (const bound of ['gt', 'gte', 'lt', 'lte', 'prefix']) {
        calls[`${name}.deleteRange, ${bound}`] = (gone) => space.deleteRange({ [bound]: gone });
      }
    }
    for (const [name, space] of Object.entries({ db, tree: db.tree('tree'), tx, snapshot })) {
      Object.assign(calls, {
        [`${name}.get`]: (gone: Key) => space.get(gone),
        [`${name}.getString`]: (gone: Key) => space.getString(gone),
        [`${name}.has`]: (gone: Key) => space.has(gone),
        [`${name}.getMany`]: (gone: Key) => space.getMany(['k', gone]),
      });
      for (const bound of ['gt', 'gte', 'lt', 'lte', 'prefix']) {
        calls[`${name}.scan, ${bound}`] = (gone) => space.scan({ [bound]: gone });
        calls[`${name}.count, ${bound}`] = (gone) => space.count({ [bound]: gone });
      }
    }
    for (const call of Object.values(calls)) await refused('INVALID_ARGUMENT', () => call(make()));
    expect([tx.count(), db.count(), db.getString('k'), db.trees()]).toEqual([1, 1, 'kept', []]);
    tx.abort();
    snapshot.close();
  },
);

const NO_UINT8ARRAY = [
  'new ArrayBuffer(2)',
  'new SharedArrayBuffer(2)',
  'new Uint16Array(2)',
  'new Int8Array(2)',
  'new Uint8ClampedArray(2)',
  'new DataView(new ArrayBuffer(2))',
  'new Proxy(new Uint8Array(2), {})',
  'Object.create(Uint8Array.prototype)',
  '({ length: 1, 0: 97 })',
  '({ [Symbol.toStringTag]: "Uint8Array", length: 1, 0: 97 })',
  'new String("a")',
  '[97]',
  'null',
  '5',
];

test.each(NO_UINT8ARRAY)('borrowed bytes: %s is none, from here and from another realm', async (code) => {
  const db = await open();
  const calls: ((given: never) => unknown)[] = [
    (given) => db.putSync(given, 'x'),
    (given) => db.putSync('x', given),
    (given) => db.get(given),
    (given) => db.count({ gte: given }),
    (given) => new Block(given),
  ];
  for (const make of [() => runInContext(code, realm), () => runInContext(code, createContext(globalThis))]) {
    for (const call of calls) await refused('INVALID_ARGUMENT', () => call(make() as never));
  }
  // biome-ignore lint/security/noGlobalEval: the same text in this realm
  for (const call of calls) await refused('INVALID_ARGUMENT', () => call(globalThis.eval(code) as never));
  expect(db.count()).toBe(0);
});

test('borrowed bytes: a list of keys or operations may come from another realm', async () => {
  const db = await open();
  await db.batch(
    runInContext("[{ type: 'put', key: 'a', value: '1' }, { type: 'put', key: 'b', value: '2' }]", realm),
  );
  await db.batch(runInContext("new Set([{ type: 'put', key: 'c', value: '3' }])", realm));
  expect(db.getMany(runInContext("['a', 'b', 'none']", realm)).map((one) => one?.length)).toEqual([
    1,
    1,
    undefined,
  ]);
  expect(db.count(runInContext("({ gte: 'b', limit: 5 })", realm))).toBe(2);
});

test('borrowed bytes: a bound that is named but undefined deletes nothing', async () => {
  const db = await open();
  for (const key of ['a', 'b/1', 'b/2', 'c']) {
    await db.batch([
      { type: 'put', key, value: '1' },
      { type: 'put', key, value: '1', tree: 't' },
    ]);
  }
  const none = undefined as never;
  const ranges: RangeOptions[] = [
    ...['gt', 'gte', 'lt', 'lte', 'prefix'].map((bound) => ({ [bound]: none })),
    { gte: none, lt: none },
    { gte: 'b', lt: none },
    { prefix: none, gte: 'b' },
    { prefix: none, limit: 1 },
    Object.create({ prefix: none }),
  ];
  for (const range of ranges) {
    const tx = db.beginTransaction();
    for (const space of [tx, tx.tree('t')]) {
      await refused('INVALID_ARGUMENT', () => space.deleteRange(range));
      expect(space.count()).toBe(4);
      // Where nothing is lost by it, it is as good as absent.
      expect(space.count({ prefix: none })).toBe(4);
      expect([...space.scan({ gte: 'b', lt: none })].length).toBe(3);
    }
    tx.abort();
  }
  const tx = db.beginTransaction();
  tx.deleteRange({ prefix: 'b/' });
  expect(tx.count()).toBe(2);
  tx.deleteRange({});
  expect(tx.count()).toBe(0);
  tx.abort();
});
