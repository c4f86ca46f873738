/*
 * The tree's model: a sorted list of keys with their values, and a random walk that does the same to both and
 * compares every answer. Keys are kept as latin1 strings, whose order is the order of their bytes.
 */
import { expect } from 'vitest';
import type { Random } from './codec-data.ts';
import {
  type CoreDriver,
  END_INCLUSIVE,
  type Entry,
  type Found,
  KEYS_ONLY,
  REVERSE,
  START_INCLUSIVE,
} from './core-driver.ts';

export const TOMBSTONE = 'tombstone';
export type ModelValue = Uint8Array | typeof TOMBSTONE;

export function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

export function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** What a tree should hold. */
export class Model {
  keys: string[] = [];
  values = new Map<string, ModelValue>();

  /** Index of the first key not below the given one. */
  lowerBound(key: string): number {
    let [low, high] = [0, this.keys.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  set(key: string, value: ModelValue): void {
    if (!this.values.has(key)) this.keys.splice(this.lowerBound(key), 0, key);
    this.values.set(key, value);
  }

  delete(key: string): boolean {
    if (!this.values.delete(key)) return false;
    this.keys.splice(this.lowerBound(key), 1);
    return true;
  }

  copy(): Model {
    const copy = new Model();
    copy.keys = this.keys.slice();
    copy.values = new Map(this.values);
    return copy;
  }

  /** Keys of a range in the order it answers them. */
  range(start: string | undefined, end: string | undefined, flags: number): string[] {
    const reverse = (flags & REVERSE) !== 0;
    const [low, high] = reverse ? [end, start] : [start, end];
    const [lowFlag, highFlag] = reverse ? [END_INCLUSIVE, START_INCLUSIVE] : [START_INCLUSIVE, END_INCLUSIVE];
    const from = low === undefined ? 0 : this.#edge(low, (flags & lowFlag) === 0);
    const to = high === undefined ? this.keys.length : this.#edge(high, (flags & highFlag) !== 0);
    const keys = this.keys.slice(from, Math.max(from, to));
    return reverse ? keys.reverse() : keys;
  }

  /** Index of the first key not below, or (`after`) above the given one. */
  #edge(key: string, after: boolean): number {
    const index = this.lowerBound(key);
    return after && this.keys[index] === key ? index + 1 : index;
  }
}

/** Makes keys of every troublesome shape, up to `most` bytes; the pool of stems keeps collisions frequent. */
export function keyMaker(random: Random, most: number): () => Uint8Array {
  const stem = Uint8Array.from({ length: most }, () => random(256));
  const letters = (length: number, alphabet: number) => Uint8Array.from({ length }, () => random(alphabet));
  const shapes = [
    () => new Uint8Array(random(3)),
    () => letters(1 + random(8), 3),
    () => letters(4 + random(12), 256),
    // one 4-byte head, different tails, zeros among them
    () => Uint8Array.from([9, 9, 9, 9, ...letters(random(10), 2)]),
    () => {
      const key = stem.slice(0, Math.min(most, 4 + random(60)));
      key.set(letters(Math.min(4, key.length), 9), Math.max(0, key.length - 4));
      return key;
    },
    () => {
      const key = stem.slice(0, random(20) === 0 ? most : 1 + random(most));
      key[key.length - 1] = random(256);
      return key;
    },
    () => Uint8Array.from([7, 7, 7, 7, 7, 7, 7, 7, random(4), 0, random(256), random(256)]),
  ];
  return () => shapes[random(shapes.length)]!();
}

/** Makes values: mostly short, some at the edge of what stays in a leaf, a few chained over pages. */
export function valueMaker(random: Random, pageSize: number): (keyBytes: number) => Uint8Array {
  const inlineMax = (pageSize - 40) >> 2;
  const length = (keyBytes: number): number => {
    const shape = random(40);
    if (shape < 2) return 0;
    if (shape < 26) return random(40);
    if (shape < 35) return random(300);
    if (shape < 38) return Math.max(0, inlineMax - 12 - keyBytes - 2 + random(5));
    if (shape < 39) return random(inlineMax);
    return random(4) === 0 ? (pageSize - 40) * (1 + random(3)) - 1 + random(3) : random(pageSize * 3);
  };
  return (keyBytes) => {
    const value = new Uint8Array(length(keyBytes));
    const step = 1 + random(255);
    for (let i = 0; i < value.length; i++) value[i] = (i * step + (i >> 8)) & 255;
    if (value.length > 0) value[0] = random(256);
    return value;
  };
}

function same(a: Found, b: Found): boolean {
  if (typeof a === 'string' || typeof b === 'string' || !a || !b) return a === b;
  return Buffer.compare(a, b) === 0;
}

function show(found: Found): string {
  return found instanceof Uint8Array ? `${found.length} bytes` : String(found);
}

export function expectSame(actual: Found, expected: Found, what: () => string): void {
  if (!same(actual, expected)) expect.fail(`${what()}: ${show(actual)} instead of ${show(expected)}`);
}

function expectEntries(
  entries: Entry[],
  keys: string[],
  model: Model,
  keysOnly: boolean,
  what: () => string,
): void {
  const count = Math.min(entries.length, keys.length);
  for (let i = 0; i < count; i++) {
    const entry = entries[i]!;
    const expected = model.values.get(keys[i]!)!;
    if (textOf(entry.key) !== keys[i]) expect.fail(`${what()}: record ${i} has another key`);
    if (expected === TOMBSTONE) {
      if (entry.meta !== 0x80000000) expect.fail(`${what()}: record ${i} is no tombstone`);
    } else {
      if ((entry.meta & 0xbfffffff) !== expected.length)
        expect.fail(`${what()}: record ${i} has another length`);
      if (!keysOnly && !same(entry.value, expected)) expect.fail(`${what()}: record ${i} has another value`);
    }
  }
  if (entries.length !== keys.length)
    expect.fail(`${what()}: ${entries.length} records instead of ${keys.length}`);
}

/** Reads a range in calls of `limit` and compares it with the model's. */
export function checkRange(
  driver: CoreDriver,
  root: number,
  model: Model,
  range: {
    start?: Uint8Array | undefined;
    end?: Uint8Array | undefined;
    flags: number;
    limit: number;
    most?: number;
  },
  epoch?: number,
): void {
  const { start, end, flags, limit, most = Number.POSITIVE_INFINITY } = range;
  const keys = model.range(start && textOf(start), end && textOf(end), flags);
  const what = () =>
    `range ${start && Buffer.from(start).toString('hex')}..${end && Buffer.from(end).toString('hex')} flags ${flags}`;
  const entries: Entry[] = [];
  let [from, how] = [start, flags];
  for (;;) {
    const part = driver.rangePart(root, from, end, how, limit, epoch);
    if (part.entries.length > limit) expect.fail(`${what()}: more than the limit`);
    if (!part.done && part.entries.length === 0) expect.fail(`${what()}: a call brings nothing`);
    entries.push(...part.entries);
    if (part.done || entries.length >= most) break;
    from = entries.at(-1)!.key;
    how &= ~START_INCLUSIVE;
  }
  const expected = entries.length >= most ? keys.slice(0, entries.length) : keys;
  expectEntries(entries, expected, model, (flags & KEYS_ONLY) !== 0, what);
}

export function checkCount(
  driver: CoreDriver,
  root: number,
  model: Model,
  range: { start?: Uint8Array | undefined; end?: Uint8Array | undefined; flags: number },
  epoch?: number,
): void {
  const { start, end, flags } = range;
  const expected = model.range(start && textOf(start), end && textOf(end), flags).length;
  const count = driver.count(root, start, end, flags, epoch);
  if (count !== expected) expect.fail(`count flags ${flags}: ${count} instead of ${expected}`);
}

/** Everything, forwards and backwards. */
export function checkAll(driver: CoreDriver, root: number, model: Model, epoch?: number): void {
  driver.audit();
  checkRange(driver, root, model, { flags: 0, limit: 1000 }, epoch);
  checkRange(driver, root, model, { flags: REVERSE, limit: 77 }, epoch);
}

/** A random walk over one tree. */
export class Walk {
  readonly model = new Model();
  readonly #driver: CoreDriver;
  readonly #root: number;
  readonly #random: Random;
  readonly #key: () => Uint8Array;
  readonly #value: (keyBytes: number) => Uint8Array;
  /** Share of deletes among changes, in tenths. */
  deletes = 1;
  /** Whether half of the deletes leave a tombstone, as in a transaction's own tree. */
  buries = false;

  constructor(driver: CoreDriver, root: number, random: Random, keyMost = driver.core.pageSize / 8) {
    this.#driver = driver;
    this.#root = root;
    this.#random = random;
    this.#key = keyMaker(random, keyMost);
    this.#value = valueMaker(random, driver.core.pageSize);
  }

  /** A key that is there, or, once in `fresh` times, one that may not be. */
  key(fresh = 3): Uint8Array {
    const { keys } = this.model;
    return this.#random(fresh) === 0 || keys.length === 0
      ? this.#key()
      : bytesOf(keys[this.#random(keys.length)]!);
  }

  change(): void {
    if (this.#random(10) < this.deletes) this.delete();
    else this.put();
  }

  put(): void {
    const key = this.key(this.#random(3) + 1);
    const value = this.#value(key.length);
    this.#driver.put(this.#root, key, value);
    this.model.set(textOf(key), value);
  }

  delete(): void {
    const key = this.key();
    if (this.buries && this.#random(2) === 0) {
      this.#driver.writeTombstone(this.#root, key);
      this.model.set(textOf(key), TOMBSTONE);
      return;
    }
    const deleted = this.#driver.delete(this.#root, key);
    if (deleted !== this.model.delete(textOf(key))) expect.fail(`delete answers ${deleted}`);
  }

  get(model = this.model, epoch?: number): void {
    const key = this.key();
    const found = this.#driver.get(this.#root, key, epoch);
    expectSame(found, model.values.get(textOf(key)), () => `get ${Buffer.from(key).toString('hex')}`);
  }

  range(model = this.model, epoch?: number): void {
    const bound = () => (this.#random(6) === 0 ? undefined : this.key());
    const start = bound();
    const end = this.#random(8) === 0 ? start : bound();
    const flags = this.#random(16);
    if (this.#random(4) === 0)
      checkCount(this.#driver, this.#root, model, { start, end, flags: flags & 7 }, epoch);
    else {
      const limit = 1 + this.#random(60);
      checkRange(this.#driver, this.#root, model, { start, end, flags, limit, most: 3 * limit }, epoch);
    }
  }

  /** Any operation. The tree grows to so many keys, shrinks to a few, and so on. */
  step(most = 6000): void {
    if (this.model.keys.length > most) this.deletes = 9;
    else if (this.model.keys.length < most / 50) this.deletes = 1;
    const shape = this.#random(20);
    if (shape < 13) this.change();
    else if (shape < 19) this.get();
    else this.range();
  }
}
