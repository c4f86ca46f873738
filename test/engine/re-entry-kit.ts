/* Codecs and backends that call the engine from within a call, in every way there is. */
import { expect } from 'vitest';
import type { BackendFile, StorageBackend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { Codec } from '../../src/codec/codec.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { AegisError, Block } from '../../src/index.ts';

export const COUNT = 400;
export const keyOf = (n: number): string => `key ${String(n).padStart(6, '0')}`;
export const textOf = (n: number): string => `value ${n} `.repeat(20);

/** What a program may ask for; each is tried wherever its code is called. */
interface Held {
  readonly engine: StorageEngine;
  readonly calls: readonly [name: string, call: () => unknown][];
}

/** Everything there is to call, with a transaction, a snapshot and scans that were begun before. */
export function holdAll(engine: StorageEngine): Held {
  const tx = engine.beginTransaction();
  tx.put('own', 'write');
  const savepoint = tx.savepoint();
  const txScan = tx.scan();
  const snapshot = engine.snapshot();
  const scan = engine.scan();
  const keys = engine.scan().keys();
  const tree = engine.tree('named');
  const many = Array.from({ length: 16 }, (_, n) => keyOf(n * 20));
  return {
    engine,
    calls: [
      ['get', () => engine.get(keyOf(3))],
      ['getString', () => engine.getString(keyOf(399))],
      ['getMany', () => engine.getMany(many)],
      ['has', () => engine.has(keyOf(7))],
      ['count', () => engine.count()],
      ['scan', () => [...engine.scan()]],
      ['nextMany', () => scan.nextMany(10)],
      ['keys', () => keys.next()],
      ['closing a scan', () => scan.close()],
      ['leaving a scan', () => keys.return?.()],
      ['putSync', () => engine.putSync(keyOf(5), 'from within')],
      ['put', () => engine.put(keyOf(5), 'from within')],
      ['deleteSync', () => engine.deleteSync(keyOf(5))],
      ['delete', () => engine.delete(keyOf(5))],
      ['batchSync', () => engine.batchSync([{ type: 'delete', key: keyOf(6) }])],
      ['batch', () => engine.batch([{ type: 'put', key: keyOf(6), value: '' }])],
      ['tree.get', () => tree.get('a')],
      ['tree.put', () => tree.put('a', 'b')],
      ['trees', () => engine.trees()],
      ['dropTree', () => engine.dropTree('named')],
      ['beginTransaction', () => engine.beginTransaction()],
      ['transaction', () => engine.transaction((own) => own.put('a', 'b'))],
      ['tx.get', () => tx.get(keyOf(9))],
      ['tx.put', () => tx.put(keyOf(9), 'from within')],
      ['tx.scan', () => tx.scan()],
      ['tx.deleteRange', () => tx.deleteRange({ gte: keyOf(10), lt: keyOf(20) })],
      ['scan in tx', () => txScan.next()],
      ['rollbackTo', () => tx.rollbackTo(savepoint)],
      ['commitSync', () => tx.commitSync()],
      ['commit', () => tx.commit()],
      ['abort', () => tx.abort()],
      ['snapshot', () => engine.snapshot()],
      ['snapshot.get', () => snapshot.get(keyOf(11))],
      ['snapshot.scan', () => snapshot.scan().next()],
      ['closing a snapshot', () => snapshot.close()],
      ['writeBlock', () => engine.writeBlock(new Block(new Uint8Array(100)))],
      ['readBlock', () => engine.readBlock(1)],
      ['deleteBlock', () => engine.deleteBlock(1)],
      ['checkpoint', () => engine.checkpoint()],
      ['compact', () => engine.compact()],
      ['verify', () => engine.verify()],
      ['backup', () => engine.backup(new MemoryBackend())],
    ],
  };
}

/** Calls everything from within, in turn and once everything at once; notes what came of it. */
export class Nosy {
  held: Held | undefined;
  /** How each call ended: a code, or what it should not have been. */
  readonly ends = new Map<string, Set<string>>();
  readonly places = new Set<string>();
  readonly #pending: Promise<void>[] = [];
  #turn = 0;

  visit(place: string): void {
    const { held } = this;
    if (!held) return;
    const all = !this.places.has(place);
    this.places.add(place);
    const some = held.calls.slice(this.#turn % held.calls.length).slice(0, 1);
    ++this.#turn;
    for (const [name, call] of all ? held.calls : some) this.#try(name, call);
  }

  #try(name: string, call: () => unknown): void {
    const note = (end: string): void => {
      (this.ends.get(name) ?? this.#fresh(name)).add(end);
    };
    const failed = (error: unknown): void => note(error instanceof AegisError ? error.code : String(error));
    try {
      const answer = call();
      if (answer instanceof Promise) this.#pending.push(answer.then(() => note('resolved'), failed));
      else note('answered');
    } catch (error) {
      failed(error);
    }
  }

  #fresh(name: string): Set<string> {
    const ends = new Set<string>();
    this.ends.set(name, ends);
    return ends;
  }

  /** Every call was tried, and all were refused. */
  async expectRefused(): Promise<void> {
    const { calls } = this.held as Held;
    this.held = undefined;
    await Promise.all(this.#pending);
    const others = [...this.ends].filter(([, ends]) => [...ends].join() !== 'UNSUPPORTED');
    expect(Object.fromEntries(others.map(([name, ends]) => [name, [...ends]]))).toEqual({});
    expect([...this.ends.keys()].sort()).toEqual(calls.map(([name]) => name).sort());
  }
}

/** A memory backend whose every call, and those of its files, tells somebody. */
export function nosyBackend(nosy: Nosy): StorageBackend {
  const below = new MemoryBackend();
  const told = <T extends object>(object: T, others: object = {}): T =>
    new Proxy(object, {
      get: (_, name) => {
        const own: unknown = Reflect.get(name in others ? others : object, name);
        if (typeof own !== 'function' || typeof name === 'symbol') return own;
        return (...given: unknown[]): unknown => {
          nosy.visit(name);
          return Reflect.apply(own, object, given);
        };
      },
    });
  const open = (...given: Parameters<MemoryBackend['open']>): BackendFile => told(below.open(...given));
  return told<StorageBackend>(below, { open });
}

/** A codec that tells somebody before its work and after it. */
export function nosyCodec(nosy: Nosy, codec: Codec): Codec {
  return {
    compress(source, target, level) {
      nosy.visit('compress');
      const size = codec.compress(source, target, level);
      nosy.visit('compressed');
      return size;
    },
    decompress(source, target) {
      nosy.visit('decompress');
      const size = codec.decompress(source, target);
      nosy.visit('decompressed');
      return size;
    },
  };
}

export async function fill(engine: StorageEngine): Promise<void> {
  for (let n = 0; n < COUNT; n += 50) {
    const operations = Array.from({ length: 50 }, (_, i) => ({
      type: 'put' as const,
      key: keyOf(n + i),
      value: textOf(n + i),
    }));
    await engine.batch(operations);
  }
  await engine.put('long', 'x'.repeat(50_000));
  await engine.tree('named').put('a', 'b');
  await engine.writeBlock(new Block(new Uint8Array(3000)).withCompression('lz4'));
}

/** Reads and writes of every kind, each judged by what it answers. */
export async function work(engine: StorageEngine): Promise<void> {
  const wrong: string[] = [];
  for (let n = 0; n < COUNT; n += 3) if (engine.getString(keyOf(n)) !== textOf(n)) wrong.push(`get ${n}`);
  for (const [n, value] of engine.getMany(Array.from({ length: COUNT }, (_, n) => keyOf(n))).entries()) {
    if (new TextDecoder().decode(value) !== textOf(n)) wrong.push(`getMany ${n}`);
  }
  for (const [n, [key, value]] of [...engine.scan({ prefix: 'key' })].entries()) {
    const text = [key, value].map((bytes) => new TextDecoder().decode(bytes)).join();
    if (text !== `${keyOf(n)},${textOf(n)}`) wrong.push(`scan ${n}`);
  }
  if (engine.getString('long') !== 'x'.repeat(50_000)) wrong.push('a long value');
  expect(wrong).toEqual([]);
  expect(engine.count({ prefix: 'key' })).toBe(COUNT);
  for (let n = 0; n < COUNT; n += 7) engine.putSync(keyOf(n), textOf(n));
  const tx = engine.beginTransaction();
  for (let n = 0; n < COUNT; n += 2) tx.put(keyOf(n), textOf(n));
  tx.delete('nothing');
  await tx.commit();
  await engine.put('long', 'x'.repeat(50_000));
  await engine.checkpoint();
  expect((await engine.verify()).problems).toEqual([]);
}
