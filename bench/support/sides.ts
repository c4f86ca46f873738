/**
 * The two stores that are compared, behind one face, each in the fastest form it has for a job.
 *
 * Every read answers a checksum of the bytes it was handed (`foldBytes`), so no side can leave a value unread.
 */
import { rmSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RootDatabase } from 'lmdb';
import { open } from 'lmdb';
import { StorageEngine } from '../../src/index.ts';
import type { Data } from './data.ts';
import { foldBytes } from './data.ts';

/** Records of one batch, and of one `getMany` or `nextMany`. */
export const BATCH = 1000;

type Order = Uint32Array;

/** A store under test. Orders are positions in the data. */
export interface Side {
  /** Writes records in batches of BATCH, each awaited before the next. */
  load(order: Order): Promise<void>;
  /** Reads key by key. */
  get(keys: readonly Buffer[]): number;
  /** Reads BATCH keys a call. */
  getMany(keys: readonly Buffer[]): number;
  /** Reads everything in key order with a loop. */
  scan(): number;
  /** As `scan`, many records a call. */
  scanMany(): number;
  /** Writes one record in a commit of its own; resolves when it is on stable storage. */
  putDurably(position: number): Promise<void>;
  /** Finishes what is deferred, so that nothing runs in the background of what is timed next. */
  settle(): Promise<void>;
  /** All records in key order, for the comparison of contents. */
  entries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;
  /** Bytes of its files. */
  size(): Promise<number>;
  close(): Promise<void>;
}

function piecesOf(order: Order): Order[] {
  const pieces: Order[] = [];
  for (let at = 0; at < order.length; at += BATCH) pieces.push(order.subarray(at, at + BATCH));
  return pieces;
}

function missing(): never {
  throw new Error('a record that was written is not there');
}

async function sizeOf(directory: string): Promise<number> {
  const names = await readdir(directory);
  // Blocks, not lengths: the log's segments and lmdb's map are longer than what they take.
  return names.reduce((sum, name) => sum + statSync(join(directory, name)).blocks * 512, 0);
}

/** Ours, on the local backend. */
export class Aegis implements Side {
  readonly engine: StorageEngine;
  readonly #data: Data;

  private constructor(engine: StorageEngine, data: Data) {
    this.engine = engine;
    this.#data = data;
  }

  static async open(directory: string, data: Data, durable: boolean): Promise<Aegis> {
    rmSync(directory, { recursive: true, force: true });
    const engine = await StorageEngine.open({
      backend: 'local',
      dataDirectory: directory,
      bufferPoolSize: '1GB',
      syncOnCommit: durable,
    });
    return new Aegis(engine, data);
  }

  async load(order: Order): Promise<void> {
    const { keys, values } = this.#data;
    for (const piece of piecesOf(order)) {
      const operations = Array.from(
        piece,
        (i) => ({ type: 'put', key: keys[i]!, value: values[i]! }) as const,
      );
      await this.engine.batch(operations);
    }
  }

  get(keys: readonly Buffer[]): number {
    let sum = 0;
    for (const key of keys) sum = foldBytes(sum, this.engine.get(key) ?? missing());
    return sum;
  }

  getMany(keys: readonly Buffer[]): number {
    let sum = 0;
    for (let at = 0; at < keys.length; at += BATCH) {
      for (const value of this.engine.getMany(keys.slice(at, at + BATCH))) {
        sum = foldBytes(sum, value ?? missing());
      }
    }
    return sum;
  }

  scan(): number {
    let sum = 0;
    for (const [key, value] of this.engine.scan()) sum = foldBytes(foldBytes(sum, key), value);
    return sum;
  }

  scanMany(): number {
    let sum = 0;
    const scan = this.engine.scan();
    for (let entries = scan.nextMany(BATCH); entries.length > 0; entries = scan.nextMany(BATCH)) {
      for (const [key, value] of entries) sum = foldBytes(foldBytes(sum, key), value);
    }
    return sum;
  }

  putDurably(position: number): Promise<void> {
    return this.engine.put(this.#data.keys[position]!, this.#data.values[position]!);
  }

  async settle(): Promise<void> {
    await this.engine.checkpoint();
  }

  entries(): Iterable<readonly [Uint8Array, Uint8Array]> {
    return this.engine.scan();
  }

  size(): Promise<number> {
    return sizeOf(this.engine.config.dataDirectory);
  }

  close(): Promise<void> {
    return this.engine.close();
  }
}

/** The npm package lmdb: binary keys and values, nothing cached or compressed. */
export class Lmdb implements Side {
  readonly #database: RootDatabase<Buffer, Buffer>;
  readonly #directory: string;
  readonly #data: Data;

  /** @param writeMap write through its memory map: faster, and any stray write of the process damages the store. */
  constructor(directory: string, data: Data, durable: boolean, writeMap: boolean) {
    rmSync(directory, { recursive: true, force: true });
    this.#directory = directory;
    this.#data = data;
    this.#database = open<Buffer, Buffer>({
      path: directory,
      noSubdir: false,
      keyEncoding: 'binary',
      encoding: 'binary',
      // Durable: a put resolves after its sync, as ours; by default it would resolve before.
      ...(durable ? { overlappingSync: false } : { noSync: true }),
      ...(writeMap ? { useWritemap: true } : {}),
    });
  }

  /** `batch` is its fastest form: the puts are queued at once, and its own thread does them in one transaction. */
  async load(order: Order): Promise<void> {
    const { keys, values } = this.#data;
    const database = this.#database;
    for (const piece of piecesOf(order)) {
      await database.batch(() => {
        for (const i of piece) void database.put(keys[i]!, values[i]!);
      });
    }
  }

  get(keys: readonly Buffer[]): number {
    let sum = 0;
    for (const key of keys) sum = foldBytes(sum, this.#database.get(key) ?? missing());
    return sum;
  }

  /** It has no synchronous call for many keys. */
  getMany(keys: readonly Buffer[]): number {
    return this.get(keys);
  }

  scan(): number {
    let sum = 0;
    for (const { key, value } of this.#database.getRange()) sum = foldBytes(foldBytes(sum, key), value);
    return sum;
  }

  /** Its iterator is the only form it has. */
  scanMany(): number {
    return this.scan();
  }

  async putDurably(position: number): Promise<void> {
    await this.#database.put(this.#data.keys[position]!, this.#data.values[position]!);
  }

  async settle(): Promise<void> {
    await this.#database.committed;
  }

  *entries(): Iterable<readonly [Uint8Array, Uint8Array]> {
    for (const { key, value } of this.#database.getRange()) yield [key, value];
  }

  size(): Promise<number> {
    return sizeOf(this.#directory);
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}
