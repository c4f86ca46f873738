/**
 * Scans: the records of a range in order, as of one snapshot, with a transaction's own writes merged in.
 *
 * Invariants
 *   1. A scan holds its snapshot no longer than it can hand out more: it closes itself with the last record of the range,
 *      or of the limit, whichever way that is taken. The value of a record is read before.
 *   2. Stretches in which own deletions leave nothing are walked over once (gaps.ts).
 *   3. An error ends it: nothing is held any more, and every later call throws it again. Records that the failing call had
 *      read are not lost with it: they come first.
 */
import { AegisError, invalid } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { Range } from '../store/range.ts';
import { compareKeys } from '../store/range.ts';
import { RangeReader } from '../store/range-reader.ts';
import type { Trees } from '../store/trees.ts';
import { boundOf, type Cut, compare, cutsOf, type Gaps } from './gaps.ts';
import type { SnapshotHandle } from './snapshot-handle.ts';

/** A key and its value; the caller's own copies (records of one scan may share a buffer). */
export type Entry = [key: OwnBytes, value: OwnBytes];

/** What a scan reads. */
export interface ScanSource {
  readonly trees: Trees;
  /** Root of the tree; 0: there is none. */
  readonly root: number;
  /** Root of the transaction's own writes to it; 0: none. */
  readonly ownRoot: number;
  /** Where own deletions leave nothing to see; with own writes only. */
  readonly gaps?: Gaps | undefined;
  readonly handle: SnapshotHandle;
  readonly range: Range;
  /** Hears how far a serializable transaction has read: up to this key, or (undefined) to the end of the range. */
  readonly onRead?: ((last: Uint8Array | undefined) => void) | undefined;
  /** Throws when the engine cannot be read any more. */
  readonly check: () => void;
  /** Lets other work run when that is due. */
  readonly rest: () => Promise<void>;
}

/**
 * The records of a range, in order. Iterate it once, or take records with `nextMany`; it closes itself at the end,
 * and on `break` or `return`. What it shows is the moment of the call that made it, whatever is written meanwhile.
 * A call that throws has closed it: what that call had read before comes with the next calls, then the error again. What
 * lies behind a damaged record is reached with another scan, from behind it on.
 */
export class Scan implements IterableIterator<Entry>, AsyncIterable<Entry>, Disposable {
  readonly #source: ScanSource;
  readonly #base: RangeReader;
  readonly #own: RangeReader | undefined;
  #left: number;
  #baseReady = false;
  #ownReady = false;
  /** Own deletions walked over since the last record, and where that began: right at the first one unless it is known. */
  #run = 0;
  #runFrom: Cut | undefined;
  readonly #writes: number | undefined;
  readonly #puts: number | undefined;
  #reported: Uint8Array | undefined;
  #finished = false;
  /** What ended it, and records read before that which nobody was given. */
  #failure: { readonly error: unknown; readonly kept: Entry[] } | undefined;

  /** Scans come from `scan()` of an engine, a snapshot or a transaction. @internal */
  constructor(source: ScanSource) {
    this.#source = source;
    const { trees, root, ownRoot, handle, range, gaps } = source;
    this.#left = range.limit;
    this.#writes = gaps?.writes;
    this.#puts = gaps?.puts;
    const { near, far } = this.#ends;
    this.#runFrom = near;
    const start = gaps?.past(near, range.reverse) ?? near;
    const from = start === near ? range : startingAt(range, start);
    this.#base = new RangeReader(trees, root, handle.epoch, from);
    this.#own = ownRoot === 0 ? undefined : new RangeReader(trees, ownRoot, handle.privateEpoch, from);
    if (start !== near && !this.#isBefore(start, far)) this.#stop();
    if (range.limit === 0) this.close();
  }

  /**
   * The next record.
   *
   * @throws AegisError `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`, `UNSUPPORTED` (called from
   *   inside a backend or codec)
   */
  next(): IteratorResult<Entry> {
    const kept = this.#failure?.kept.shift();
    if (kept) return { done: false, value: kept };
    try {
      const reader = this.#advance(false);
      if (!reader) return { done: true, value: undefined };
      const value: Entry = [reader.key(), reader.value()];
      this.#closeAtEnd();
      return { done: false, value };
    } catch (error) {
      throw this.#fail(error, []);
    }
  }

  /**
   * Up to `n` records at once: the fastest way through a range. Fewer than `n` mean that the range is exhausted, or, after
   * a call that threw, that the rest cannot be read: the next call throws again.
   *
   * @example
   * await engine.put('a', '1');
   * const scan = engine.scan();
   * for (let page = scan.nextMany(1000); page.length > 0; page = scan.nextMany(1000)) {
   *   page.length; // 1 here
   * }
   *
   * @throws AegisError `INVALID_ARGUMENT`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `UNSUPPORTED` (called from inside a backend or codec)
   */
  nextMany(n: number): Entry[] {
    if (!Number.isSafeInteger(n) || n < 1) {
      throw invalid('nextMany', n, 'a whole number from 1 on');
    }
    if (this.#failure && this.#failure.kept.length > 0) return this.#failure.kept.splice(0, n);
    const entries: Entry[] = [];
    try {
      while (entries.length < n) {
        const reader = this.#advance(false);
        if (!reader) break;
        entries.push([reader.key(), reader.value()]);
      }
      this.#closeAtEnd();
    } catch (error) {
      throw this.#fail(error, entries);
    }
    return entries;
  }

  /**
   * The keys only, from here on; values are not read.
   *
   * @example
   * await engine.put('city/bern', '134794');
   * const [first] = engine.scan({ prefix: 'city/' }).keys();
   * new TextDecoder().decode(first); // => 'city/bern'
   *
   * @throws AegisError `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`, `UNSUPPORTED` (called from
   *   inside a backend or codec)
   */
  keys(): IterableIterator<OwnBytes> {
    return this.#each(0, (reader) => reader.key());
  }

  /**
   * The values only, from here on.
   *
   * @throws AegisError `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`, `UNSUPPORTED` (called from
   *   inside a backend or codec)
   */
  values(): IterableIterator<OwnBytes> {
    return this.#each(1, (reader) => reader.value());
  }

  /** Not a generator: one that has not begun does not hear of `return`. */
  #each(which: 0 | 1, pick: (reader: RangeReader) => OwnBytes): IterableIterator<OwnBytes> {
    const next = (): IteratorResult<OwnBytes> => {
      const kept = this.#failure?.kept.shift();
      if (kept) return { done: false, value: kept[which] };
      try {
        const reader = this.#advance(which === 0);
        if (!reader) return { done: true, value: undefined };
        const value = pick(reader);
        this.#closeAtEnd();
        return { done: false, value };
      } catch (error) {
        throw this.#fail(error, []);
      }
    };
    const end = (): IteratorResult<OwnBytes> => {
      this.close();
      return { done: true, value: undefined };
    };
    return Object.assign(Object.create(ITERATOR) as IterableIterator<OwnBytes>, { next, return: end });
  }

  /**
   * Ends the scan: the way out of a loop.
   *
   * @throws AegisError `UNSUPPORTED` (called from inside a backend or codec)
   */
  return(): IteratorResult<Entry> {
    this.close();
    return { done: true, value: undefined };
  }

  /**
   * Ends the scan and lets its snapshot go; idempotent.
   *
   * @throws AegisError `UNSUPPORTED` (called from inside a backend or codec)
   */
  close(): void {
    this.#source.handle.release();
    this.#finished = true;
    this.#failure = undefined;
  }

  /** An error has ended it; answers what to throw. */
  #fail(error: unknown, kept: Entry[]): unknown {
    this.close();
    this.#failure = { error, kept };
    return error;
  }

  /** The scan itself: it can be iterated once. */
  [Symbol.iterator](): this {
    return this;
  }

  /**
   * For `for await`: the same records, and other work has its turns between them.
   *
   * @example
   * let bytes = 0;
   * for await (const [, value] of engine.scan()) bytes += value.length;
   * bytes; // => 0
   *
   * @throws AegisError (as a rejection) `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `UNSUPPORTED` (called from inside a backend or codec)
   */
  [Symbol.asyncIterator](): AsyncIterator<Entry> {
    return {
      next: async () => {
        await this.#source.rest();
        return this.next();
      },
      return: async () => this.return(),
    };
  }

  /**
   * Closes the scan at the end of a `using` block.
   *
   * @throws AegisError `UNSUPPORTED` (called from inside a backend or codec)
   */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Goes on to the next record of the merge; answers the reader that has it. */
  #advance(keysOnly: boolean): RangeReader | undefined {
    if (this.#failure) throw this.#failure.error;
    if (this.#finished) return undefined;
    this.#source.check();
    if (!this.#source.handle.isOpen) throw new AegisError('CLOSED', 'what this scan reads from was closed');
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
    const { reverse } = this.#source.range;
    for (;;) {
      if (!this.#baseReady) this.#baseReady = this.#base.advance(wanted, keysOnly);
      if (!this.#ownReady) this.#ownReady = own.advance(wanted, keysOnly);
      if (!this.#ownReady) {
        if (!this.#baseReady) return this.#nothingTo(this.#ends.far);
        this.#baseReady = false;
        return this.#seen(this.#base);
      }
      const order = this.#baseReady ? compareKeys(own.key(), this.#base.key()) : -1;
      const ownFirst = reverse && this.#baseReady ? order >= 0 : order <= 0;
      if (!ownFirst) {
        this.#baseReady = false;
        return this.#seen(this.#base);
      }
      if (order === 0) this.#baseReady = false;
      this.#ownReady = false;
      if (!own.isTombstone()) return this.#seen(own);
      if (++this.#run === 1) this.#stepOver(own, wanted, keysOnly);
    }
  }

  /** The first own deletion of a run: what is known to be empty from there on is not walked over. */
  #stepOver(own: RangeReader, wanted: number, keysOnly: boolean): void {
    const { gaps, range } = this.#source;
    const here: Cut = { key: own.key(), behind: range.reverse };
    this.#runFrom ??= { key: own.key().slice(), behind: range.reverse };
    if (!gaps || gaps.writes !== this.#writes) return;
    const cut = gaps.past(here, range.reverse);
    if (cut === here) return;
    if (!this.#isBefore(cut, this.#ends.far)) {
      this.#stop();
      return;
    }
    const bound = boundOf(cut, range.reverse);
    own.skipTo(bound);
    if (this.#base.skipTo(bound)) this.#baseReady = false;
    // Skip the records that own deletions hide; those deletions are not read any more.
    for (; ; this.#baseReady = false) {
      if (!this.#baseReady) this.#baseReady = this.#base.advance(wanted, keysOnly);
      if (!this.#baseReady || !this.#isBefore({ key: this.#base.key(), behind: range.reverse }, cut)) return;
    }
  }

  /** A record that is shown ends a run of own deletions. */
  #seen(reader: RangeReader): RangeReader {
    if (this.#run > 0) this.#nothingTo({ key: reader.key().slice(), behind: this.#source.range.reverse });
    this.#runFrom = undefined;
    return reader;
  }

  /** Nothing is seen up to a cut. */
  #nothingTo(cut: Cut): undefined {
    const { gaps, range } = this.#source;
    const from = this.#runFrom;
    if (this.#run > 0 && from && gaps && gaps.puts === this.#puts) {
      if (range.reverse) gaps.add(cut, from, this.#run);
      else gaps.add(from, cut, this.#run);
    }
    this.#run = 0;
    return undefined;
  }

  /** Where the walk begins and where it ends. */
  get #ends(): { near: Cut; far: Cut } {
    const { range } = this.#source;
    const { low, high } = cutsOf(range);
    return range.reverse ? { near: high, far: low } : { near: low, far: high };
  }

  /** Whether the walk comes to one cut before another one. */
  #isBefore(a: Cut, b: Cut): boolean {
    return this.#source.range.reverse ? compare(a, b) > 0 : compare(a, b) < 0;
  }

  #stop(): void {
    this.#base.stop();
    this.#own?.stop();
    this.#baseReady = false;
  }

  /** After a record was handed out: is it known to be the last one? */
  #closeAtEnd(): void {
    const isLast =
      this.#base.isAtEnd && !this.#baseReady && (!this.#own || (this.#own.isAtEnd && !this.#ownReady));
    if (isLast || this.#left <= 0) this.close();
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

/** A range without what lies before a cut on the way through it. */
function startingAt(range: Range, cut: Cut): Range {
  const bound = boundOf(cut, range.reverse);
  return range.reverse ? { ...range, upper: bound } : { ...range, lower: bound };
}

/** What the runtime's own iterators have in common: `map`, `take` and the like where there are such. */
const ITERATOR: object = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));

/** Stands for "to the end of the range" among reported keys. */
const ALL = new Uint8Array(0);
