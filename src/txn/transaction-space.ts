/**
 * A key space inside a transaction: its snapshot with own writes merged in. The default tree of the transaction and
 * its named trees have these methods in common.
 */
import type { Bytes } from '../base/bytes-in.ts';
import { valueBytes } from '../base/bytes-in.ts';
import { invalid } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { Range, RangeOptions } from '../store/range.ts';
import { checkNamedBounds, OPEN_BOUND, resolveRange } from '../store/range.ts';
import { NO_TREE } from '../store/tree-name.ts';
import { decodeString, TOMBSTONE, takeKeyList } from '../store/trees.ts';
import type { TransactionContext } from './context.ts';
import type { MergedTree } from './merged-reads.ts';
import { getManyMerged, ownSurplus } from './merged-reads.ts';
import type { ReadSet } from './read-set.ts';
import { Scan } from './scan.ts';
import type { WriteSet } from './write-set.ts';

/** Ordered keys and values as a transaction sees them. */
export abstract class TransactionSpace {
  readonly #context: TransactionContext;
  readonly #name: string;

  constructor(context: TransactionContext, name: string) {
    this.#context = context;
    this.#name = name;
  }

  // --- reading --------------------------------------------------------------------------------------------------

  /**
   * Reads a key, own writes included: its value, or undefined. The bytes are the caller's own.
   *
   * @example
   * const tx = engine.beginTransaction();
   * tx.put('a', '1');
   * tx.get('a')?.length; // => 1
   * engine.get('a'); // => undefined
   * tx.abort();
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `OUT_OF_SPACE` (a page
   *   must leave memory first, and has no room on the device), `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from
   *   inside a backend or codec)
   */
  get(key: Bytes): OwnBytes | undefined {
    this.#context.checkActive();
    const { trees } = this.#context.parts;
    const { root } = this.#target;
    const length = trees.setKey(key);
    const own = this.#own?.get(length);
    if (own !== undefined) return own === TOMBSTONE ? undefined : own;
    const value = root === 0 ? undefined : trees.get(root, this.#context.handle.epoch, length);
    this.#readKey(key);
    return value as OwnBytes | undefined;
  }

  /**
   * Reads a key as text, own writes included: its value, or undefined. A byte order mark is kept, invalid UTF-8 shows as
   * U+FFFD.
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `OUT_OF_SPACE` (a page
   *   must leave memory first, and has no room on the device), `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from
   *   inside a backend or codec)
   */
  getString(key: Bytes): string | undefined {
    const value = this.get(key);
    return value && decodeString(value);
  }

  /**
   * Reads many keys in one go, faster than one by one, own writes included. Answers their values in the order of the
   * keys; absent ones are undefined.
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `OUT_OF_SPACE` (a page
   *   must leave memory first, and has no room on the device), `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from
   *   inside a backend or codec)
   */
  getMany(keys: readonly Bytes[]): (OwnBytes | undefined)[] {
    const list = takeKeyList(keys);
    this.#context.checkActive();
    return getManyMerged(this.#merged, list, (key) => this.#readKey(key));
  }

  /**
   * Whether a key is there, own writes included; its value is not read.
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `OUT_OF_SPACE` (a page
   *   must leave memory first, and has no room on the device), `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from
   *   inside a backend or codec)
   */
  has(key: Bytes): boolean {
    this.#context.checkActive();
    const { trees } = this.#context.parts;
    const { root } = this.#target;
    const length = trees.setKey(key);
    const own = this.#own?.has(length);
    if (own) return own === true;
    const found = root !== 0 && trees.has(root, this.#context.handle.epoch, length);
    this.#readKey(key);
    return found === true;
  }

  /**
   * The records of a range, own writes as of this call included: a loop may write.
   *
   * @example
   * await engine.transaction((tx) => {
   *   for (const key of tx.scan({ prefix: 'session/' }).keys()) tx.delete(key);
   * });
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `OUT_OF_SPACE` (a page
   *   must leave memory first, and has no room on the device), `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from
   *   inside a backend or codec)
   */
  scan(options?: RangeOptions): Scan {
    const range = this.#range(options);
    this.#context.checkActive();
    return this.#scan(range);
  }

  /**
   * Number of the records of a range, own writes included, or its limit when there are more.
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `OUT_OF_SPACE` (a page
   *   must leave memory first, and has no room on the device), `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from
   *   inside a backend or codec)
   */
  count(options?: RangeOptions): number {
    const range = this.#range(options);
    this.#context.checkActive();
    const { holdings, handle, parts } = this.#context;
    if (range.limit !== Number.POSITIVE_INFINITY && (this.#own || holdings.reads)) {
      let count = 0;
      for (const _ of this.#scan(range).keys()) ++count;
      return count;
    }
    const { id, root } = this.#target;
    if (id !== NO_TREE) holdings.reads?.addRange(id, range.lower, range.upper);
    return parts.trees.countRange(root, handle.epoch, range) + ownSurplus(this.#merged, range);
  }

  /** Looking at options may run code of the caller's, which may end the transaction: checks come afterwards. */
  #range(options: RangeOptions | undefined): Range {
    this.#context.checkActive();
    return resolveRange(this.#context.parts.trees, options);
  }

  #scan(range: Range): Scan {
    const { trees, handles, checkReadable: check, rest } = this.#context.parts;
    const { id, root } = this.#target;
    const ownRoot = this.#own?.root ?? 0;
    const handle = handles.share(this.#context.handle, ownRoot !== 0);
    const onRead = id === NO_TREE ? undefined : this.#rangeTracker(id, range);
    const gaps = ownRoot === 0 ? undefined : this.#context.holdings.writes.gaps(this.#name);
    const scan = new Scan({ trees, root, ownRoot, gaps, handle, range, check, rest, onRead });
    handles.watch(scan, handle);
    return scan;
  }

  /** Records a scanned range as it grows, for `serializable`. */
  #rangeTracker(tree: number, range: Range): ((last: Uint8Array | undefined) => void) | undefined {
    const { reads } = this.#context.holdings;
    if (!reads || range.limit === 0) return undefined;
    let read: ReturnType<ReadSet['addRange']> | undefined;
    return (last) => {
      read ??= reads.addRange(tree, range.reverse ? range.upper : range.lower, OPEN_BOUND);
      const reached = last && { key: last, inclusive: true };
      read.lower = range.reverse ? (reached ?? range.lower) : range.lower;
      read.upper = range.reverse ? range.upper : (reached ?? range.upper);
    };
  }

  get #merged(): MergedTree {
    const { handle, parts } = this.#context;
    return { trees: parts.trees, root: this.#target.root, epoch: handle.epoch, own: this.#own };
  }

  get #target(): ReturnType<TransactionContext['target']> {
    return this.#context.target(this.#name);
  }

  get #own(): ReturnType<WriteSet['tree']> {
    return this.#context.holdings.writes.tree(this.#name);
  }

  /** Records a key read; of a tree that is not there its name says it all. */
  #readKey(key: Bytes): void {
    const { holdings, parts } = this.#context;
    if (!holdings.reads) return;
    const { id } = this.#target;
    if (id !== NO_TREE) holdings.reads.addKey(id, parts.trees.keyBytes(key));
  }

  // --- writing --------------------------------------------------------------------------------------------------

  /**
   * Writes a key, for this transaction until it commits.
   *
   * @example
   * await engine.transaction((tx) => {
   *   tx.put('from', '90');
   *   tx.put('to', '110');
   * });
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `READ_ONLY`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`,
   *   `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  put(key: Bytes, value: Bytes): void {
    this.#context.checkWritable();
    const bytes = this.#context.parts.trees.keyBytes(key);
    this.#context.holdings.writes.put(this.#name, bytes, valueBytes(value));
  }

  /**
   * Removes a key, for this transaction until it commits; an absent one is no error.
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `READ_ONLY`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`,
   *   `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  delete(key: Bytes): void {
    this.#context.checkWritable();
    this.#context.holdings.writes.delete(this.#name, this.#context.parts.trees.keyBytes(key));
  }

  /**
   * Removes the records of a range, own writes included, for this transaction until it commits; with a limit the first
   * so many, in the range's direction. A bound that is named but undefined is refused: what was to be bounded must not
   * become everything, which is `{}`. Values are not read. When it fails midway the transaction is aborted.
   *
   * @example
   * await engine.transaction((tx) => tx.deleteRange({ prefix: 'session/' }));
   *
   * @throws AegisError `TRANSACTION_FINISHED`, `READ_ONLY`, `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`,
   *   `OUT_OF_SPACE`, `IO_ERROR`, `STORE_FAILED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  deleteRange(range: RangeOptions): void {
    this.#context.checkWritable();
    if (range === undefined) throw invalid('deleteRange', range, 'a range');
    const resolved = this.#range(range);
    checkNamedBounds('deleteRange', range);
    this.#context.checkWritable();
    const { writes } = this.#context.holdings;
    this.#context.whole(() => {
      let last: Uint8Array | undefined;
      let count = 0;
      for (const key of this.#scan(resolved).keys()) {
        writes.delete(this.#name, key);
        last = key;
        ++count;
      }
      if (last) writes.gaps(this.#name)?.emptied(resolved, count, last);
    });
  }
}
