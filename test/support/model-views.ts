/* What a model test reads: the latest state, snapshots, transactions and scans, each with what it must answer. */
import { expect } from 'vitest';
import type { Bytes } from '../../src/base/bytes-in.ts';
import type { Scan } from '../../src/index.ts';
import type { RangeOptions } from '../../src/store/range.ts';
import type { Random } from './codec-data.ts';
import type { ModelInput } from './model-input.ts';
import {
  inRange,
  keyText,
  type ModelEntry,
  type ModelRange,
  type ModelValue,
  type StoreModel,
  type Writes,
} from './store-model.ts';

/** What engines, snapshots and transactions have in common. */
export interface Source {
  get(key: Bytes): Uint8Array | undefined;
  getString(key: Bytes): string | undefined;
  getMany(keys: readonly Bytes[]): (Uint8Array | undefined)[];
  has(key: Bytes): boolean;
  scan(range?: RangeOptions): Scan;
  count(range?: RangeOptions): number;
}

/** How much of a range somebody has read. */
export interface NotedRange {
  readonly range: ModelRange;
  /** `near`: some of it, nobody knows how far. A key: up to that one. */
  reached: 'nothing' | 'near' | 'all' | { readonly key: string };
}

/** What a transaction has read. */
export class ReadNotes {
  readonly keys = new Set<string>();
  readonly ranges: NotedRange[] = [];

  addRange(range: ModelRange, reached: NotedRange['reached']): NotedRange {
    const noted: NotedRange = { range, reached };
    this.ranges.push(noted);
    return noted;
  }

  /** Whether something handed out to the reader was committed again after that commit. */
  changed(model: StoreModel, sequence: number): boolean {
    for (const key of this.keys) if (model.changedSince(key, sequence)) return true;
    return this.ranges.some((noted) => {
      const read = readPart(noted);
      return read !== undefined && model.rangeChangedSince(read, sequence);
    });
  }

  /** Whether anything was that the reader can have come near to. */
  mayHaveChanged(model: StoreModel, sequence: number): boolean {
    return (
      this.changed(model, sequence) ||
      this.ranges.some(
        ({ range, reached }) => reached !== 'nothing' && model.rangeChangedSince(range, sequence),
      )
    );
  }
}

/** The part of a range that was handed out. */
function readPart({ range, reached }: NotedRange): ModelRange | undefined {
  if (reached === 'nothing' || reached === 'near') return undefined;
  if (reached === 'all') return range;
  const { key } = reached;
  if (range.reverse) return { ...range, gte: range.gte === undefined || key > range.gte ? key : range.gte };
  return { ...range, lte: range.lte === undefined || key < range.lte ? key : range.lte };
}

const text = new TextDecoder('utf-8', { ignoreBOM: true });

/** Fails unless a value is the expected one; large ones are compared without showing them. */
export function sameValue(given: Uint8Array | undefined, expected: ModelValue, what: string): void {
  if (given === undefined || expected === undefined) {
    if (given !== expected) throw new Error(`${what}: got ${shown(given)}, must be ${shown(expected)}`);
  } else if (Buffer.compare(given, expected) !== 0) {
    throw new Error(`${what}: got ${shown(given)}, must be ${shown(expected)}`);
  }
}

export function shown(value: ModelValue): string {
  if (value === undefined) return 'nothing';
  return `${value.length} bytes ${Buffer.from(value.subarray(0, 12)).toString('hex')}`;
}

/** Something to read from, as of a commit, with a transaction's own writes over it. */
export class View {
  readonly source: Source;
  readonly #model: StoreModel;
  readonly #input: ModelInput;
  readonly #random: Random;
  readonly #sequence: () => number;
  readonly own: Writes | undefined;
  readonly #notes: ReadNotes | undefined;

  constructor(
    parts: { model: StoreModel; input: ModelInput; random: Random },
    source: Source,
    sequence: () => number,
    own?: Writes,
    notes?: ReadNotes,
  ) {
    this.source = source;
    this.#model = parts.model;
    this.#input = parts.input;
    this.#random = parts.random;
    this.#sequence = sequence;
    this.own = own;
    this.#notes = notes;
  }

  #expected(key: string): ModelValue {
    if (this.own?.has(key)) return this.own.get(key);
    this.#notes?.keys.add(key);
    return this.#model.read(key, this.#sequence());
  }

  #anyKey(): string {
    const { own } = this;
    if (own && own.size > 0 && this.#random(3) === 0) {
      return [...own.keys()][this.#random(own.size)] as string;
    }
    return this.#random(4) > 0 ? this.#input.present(this.#model) : this.#input.near(this.#input.key());
  }

  get(key = this.#anyKey()): string {
    const value = this.source.get(this.#input.given(key));
    sameValue(value, this.#expected(key), `get ${JSON.stringify(key)}`);
    this.#spoil(value);
    return key;
  }

  getString(): string {
    const key = this.#anyKey();
    const expected = this.#expected(key);
    const given = this.source.getString(this.#input.given(key));
    if (given !== (expected && text.decode(expected)))
      throw new Error(`getString ${JSON.stringify(key)} differs`);
    return key;
  }

  getMany(): string[] {
    const keys = Array.from({ length: this.#random(40) }, () => this.#anyKey());
    const values = this.source.getMany(keys.map((key) => this.#input.given(key)));
    expect(values.length).toBe(keys.length);
    for (const [i, key] of keys.entries()) {
      sameValue(values[i], this.#expected(key), `getMany[${i}] ${JSON.stringify(key)}`);
    }
    for (const value of values) this.#spoil(value);
    return keys;
  }

  has(): string {
    const key = this.#anyKey();
    const given = this.source.has(this.#input.given(key));
    if (given !== (this.#expected(key) !== undefined))
      throw new Error(`has ${JSON.stringify(key)} is ${given}`);
    return key;
  }

  count(range = this.#input.range(this.#model)): ModelRange {
    const expected = this.#model.range(range, this.#sequence(), this.own).length;
    const whole = (range.limit ?? Number.POSITIVE_INFINITY) === Number.POSITIVE_INFINITY;
    if (range.limit !== 0) this.#notes?.addRange(range, whole ? 'all' : 'near');
    const given = this.source.count(this.#input.givenRange(range));
    if (given !== expected) throw new Error(`count is ${given}, must be ${expected}`);
    return range;
  }

  /** Begins a scan; its records are what they are now. */
  open(range = this.#input.range(this.#model)): ModelScan {
    const expected = this.#model.range(range, this.#sequence(), this.own);
    const noted = this.#notes?.addRange(range, 'nothing');
    const scan = this.source.scan(range === everything ? undefined : this.#input.givenRange(range));
    return new ModelScan(scan, expected, range, noted, this.#random);
  }

  /** Reads a range to its end, or breaks out. */
  scan(range?: ModelRange): ModelRange {
    const scan = this.open(range);
    scan.loop();
    return scan.range;
  }

  /** Compares everything there is, both ways. */
  all(): void {
    this.open(everything).loop(true);
    this.open({ reverse: true }).loop(true);
    this.count({});
  }

  /** What a caller gets is the caller's own to change. */
  #spoil(value: Uint8Array | undefined): void {
    if (value && this.#random(8) === 0) value.fill(0xee);
  }
}

const everything: ModelRange = {};

/** A scan that is being read, and what is left of it. */
export class ModelScan {
  readonly range: ModelRange;
  readonly #scan: Scan;
  readonly #expected: ModelEntry[];
  readonly #noted: NotedRange | undefined;
  readonly #random: Random;
  #at = 0;
  #keys: IterableIterator<Uint8Array> | undefined;
  #values: IterableIterator<Uint8Array> | undefined;
  ended = false;

  constructor(
    scan: Scan,
    expected: ModelEntry[],
    range: ModelRange,
    noted: NotedRange | undefined,
    random: Random,
  ) {
    this.#scan = scan;
    this.#expected = expected;
    this.range = range;
    this.#noted = noted;
    this.#random = random;
  }

  /** Takes one record, or several, in one of the ways there are. */
  step(): string {
    const random = this.#random;
    switch (random(6)) {
      case 0: {
        const count = 1 + random(random(3) === 0 ? 500 : 10);
        const entries = this.#scan.nextMany(count);
        for (const entry of entries) this.#entry(entry);
        if (entries.length < count) this.#done();
        return `nextMany ${count}`;
      }
      case 1: {
        this.#keys ??= this.#scan.keys();
        const { done, value } = this.#keys.next();
        if (done) this.#done();
        else this.#entry([value, undefined]);
        return 'keys';
      }
      case 2: {
        this.#values ??= this.#scan.values();
        const { done, value } = this.#values.next();
        if (done) this.#done();
        else this.#entry([undefined, value]);
        return 'values';
      }
      default: {
        const { done, value } = this.#scan.next();
        if (done) this.#done();
        else this.#entry(value);
        return 'next';
      }
    }
  }

  /** A loop over all that is left; it may break out. */
  loop(whole = false): void {
    const stop = !whole && this.#random(6) === 0 ? this.#random(20) : Number.POSITIVE_INFINITY;
    const kind = this.#random(4);
    let seen = 0;
    if (kind === 0)
      for (const key of this.#scan.keys()) {
        this.#entry([key, undefined]);
        if (++seen > stop) break;
      }
    else if (kind === 1)
      for (const value of this.#scan.values()) {
        this.#entry([undefined, value]);
        if (++seen > stop) break;
      }
    else if (kind === 2) while (!this.ended) this.step();
    else
      for (const entry of this.#scan) {
        this.#entry(entry);
        if (++seen > stop) break;
      }
    if (seen > stop) this.ended = true;
    else if (!this.ended) this.#done();
    expect(this.#scan.next().done).toBe(true);
  }

  close(): void {
    const way = this.#random(3);
    if (way === 0) this.#scan.return();
    else if (way === 1) this.#scan[Symbol.dispose]();
    else this.#scan.close();
    this.ended = true;
    expect(this.#scan.next().done).toBe(true);
  }

  #entry([key, value]: [Uint8Array | undefined, Uint8Array | undefined]): void {
    const expected = this.#expected[this.#at];
    const where = `record ${this.#at} of ${this.#expected.length}`;
    if (!expected) throw new Error(`${where}: ${key && JSON.stringify(keyText(key))} is too much`);
    if (key && keyText(key) !== expected[0]) {
      throw new Error(
        `${where}: key ${JSON.stringify(keyText(key))}, must be ${JSON.stringify(expected[0])}`,
      );
    }
    if (value) sameValue(value, expected[1], where);
    ++this.#at;
    if (this.#noted && inRange(expected[0], this.range)) this.#noted.reached = { key: expected[0] };
    if (this.#random(4) > 0) return;
    key?.fill(0xee);
    value?.fill(0xee);
  }

  #done(): void {
    this.ended = true;
    const left = this.#expected.length - this.#at;
    if (left > 0) throw new Error(`the scan ends after ${this.#at} records, ${left} too early`);
    if (this.#noted && this.#at < (this.range.limit ?? Number.POSITIVE_INFINITY)) this.#noted.reached = 'all';
  }
}
