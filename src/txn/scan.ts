/**
 * Scans: the records of a range in order, as of one snapshot, with a transaction's own writes merged in.
 */
import { AegisError, invalid } from '../errors.ts';
import type { Range } from '../store/range.ts';
import { compareKeys } from '../store/range.ts';
import { RangeReader } from '../store/range-reader.ts';
import type { Trees } from '../store/trees.ts';
import type { Lease } from './snapshot.ts';

/** A key and its value; the caller's own copies (records of one scan may share a buffer). */
export type Entry = [key: Uint8Array, value: Uint8Array];

/** What a scan reads. */
export interface ScanSource {
  readonly trees: Trees;
  /** Root of the tree; 0: there is none. */
  readonly root: number;
  /** Root of the transaction's own writes to it; 0: none. */
  readonly ownRoot: number;
  readonly lease: Lease;
  readonly range: Range;
  /** Hears how far a serializable transaction has read: up to this key, or (undefined) to the end of the range. */
  readonly onRead?: ((last: Uint8Array | undefined) => void) | undefined;
  /** Throws when the engine cannot be read any more. */
  readonly check: () => void;
}

/**
 * The records of a range, in order. Iterate it once, or take records with `nextMany`; it closes itself at the end,
 * and on `break` or `return`. What it shows is the moment of the call that made it, whatever is written meanwhile.
 */
export class Scan implements IterableIterator<Entry>, Disposable {
  readonly #source: ScanSource;
  readonly #base: RangeReader;
  readonly #own: RangeReader | undefined;
  #left: number;
  #baseReady = false;
  #ownReady = false;
  #reported: Uint8Array | undefined;
  #finished = false;

  /** Scans come from `scan()` of an engine, a snapshot or a transaction. @internal */
  constructor(source: ScanSource) {
    this.#source = source;
    this.#left = source.range.limit;
    this.#base = new RangeReader(source.trees, source.root, source.lease.epoch, source.range);
    this.#own =
      source.ownRoot === 0
        ? undefined
        : new RangeReader(source.trees, source.ownRoot, source.lease.privateEpoch, source.range);
  }

  /** The next record. @throws AegisError `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED` */
  next(): IteratorResult<Entry> {
    const reader = this.#advance(false);
    if (!reader) return { done: true, value: undefined };
    return { done: false, value: [reader.key(), reader.value()] };
  }

  /**
   * Up to `n` records at once: the fastest way through a range. Fewer than `n` mean that the range is exhausted.
   * @throws AegisError as `next`, `INVALID_ARGUMENT`
   */
  nextMany(n: number): Entry[] {
    if (!Number.isSafeInteger(n) || n < 1) {
      throw invalid('nextMany', n, 'a whole number from 1 on');
    }
    const entries: Entry[] = [];
    while (entries.length < n) {
      const reader = this.#advance(false);
      if (!reader) break;
      entries.push([reader.key(), reader.value()]);
    }
    return entries;
  }

  /** The keys only, from here on; values are not read. @throws AegisError as `next` */
  keys(): IterableIterator<Uint8Array> {
    return this.#each(true, (reader) => reader.key());
  }

  /** The values only, from here on. @throws AegisError as `next` */
  values(): IterableIterator<Uint8Array> {
    return this.#each(false, (reader) => reader.value());
  }

  *#each(keysOnly: boolean, pick: (reader: RangeReader) => Uint8Array): IterableIterator<Uint8Array> {
    try {
      for (let reader = this.#advance(keysOnly); reader; reader = this.#advance(keysOnly)) yield pick(reader);
    } finally {
      this.close();
    }
  }

  /** Ends the scan: the way out of a loop. */
  return(): IteratorResult<Entry> {
    this.close();
    return { done: true, value: undefined };
  }

  /** Ends the scan and lets its snapshot go; idempotent. */
  close(): void {
    this.#finished = true;
    this.#source.lease.close();
  }

  /** The scan itself: it can be iterated once. */
  [Symbol.iterator](): this {
    return this;
  }

  /** As `close`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Goes on to the next record of the merge; answers the reader that has it. */
  #advance(keysOnly: boolean): RangeReader | undefined {
    if (this.#finished) return undefined;
    this.#source.check();
    if (!this.#source.lease.isOpen) throw new AegisError('CLOSED', 'what this scan reads from was closed');
    if (this.#left <= 0) return this.#end();
    const wanted = this.#left === Number.POSITIVE_INFINITY ? 0xffffffff : this.#left;
    const reader = this.#own ? this.#merge(this.#own, wanted, keysOnly) : this.#single(wanted, keysOnly);
    this.#report();
    if (!reader) return this.#end();
    --this.#left;
    return reader;
  }

  #single(wanted: number, keysOnly: boolean): RangeReader | undefined {
    return this.#base.advance(wanted, keysOnly) ? this.#base : undefined;
  }

  /** Own writes hide records of the same key; own deletions hide them and are not shown. */
  #merge(own: RangeReader, wanted: number, keysOnly: boolean): RangeReader | undefined {
    for (;;) {
      if (!this.#baseReady) this.#baseReady = this.#base.advance(wanted, keysOnly);
      if (!this.#ownReady) this.#ownReady = own.advance(wanted, keysOnly);
      if (!this.#ownReady) {
        if (!this.#baseReady) return undefined;
        this.#baseReady = false;
        return this.#base;
      }
      const order = this.#baseReady ? compareKeys(own.key(), this.#base.key()) : -1;
      const ownFirst = this.#source.range.reverse && this.#baseReady ? order >= 0 : order <= 0;
      if (!ownFirst) {
        this.#baseReady = false;
        return this.#base;
      }
      if (order === 0) this.#baseReady = false;
      this.#ownReady = false;
      if (!own.isTombstone()) return own;
    }
  }

  #report(): void {
    const { onRead } = this.#source;
    if (!onRead) return;
    if (this.#base.exhausted) {
      if (this.#reported !== ALL) onRead(undefined);
      this.#reported = ALL;
    } else if (this.#base.lastRead && this.#base.lastRead !== this.#reported) {
      this.#reported = this.#base.lastRead;
      onRead(this.#reported);
    }
  }

  #end(): undefined {
    this.close();
    return undefined;
  }
}

/** Stands for "to the end of the range" among reported keys. */
const ALL = new Uint8Array(0);
