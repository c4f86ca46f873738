/**
 * Reading an ordered key space: the half of the public methods that an engine and a snapshot have in common, so that
 * each is written and described once. What is read, and as of when, is the source's affair.
 */
import type { Bytes } from '../base/bytes-in.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { RangeOptions } from '../store/range.ts';
import { resolveRange } from '../store/range.ts';
import type { TOMBSTONE, Trees } from '../store/trees.ts';
import { takeKeyList } from '../store/trees.ts';
import { Scan } from '../txn/scan.ts';
import type { SnapshotHandle } from '../txn/snapshot-handle.ts';

/** Where a read goes. */
export interface View {
  readonly trees: Trees;
  /** Root of the tree; 0: there is none. */
  readonly root: number;
  readonly epoch: number;
}

/** What a key space is read through. */
export interface ReadSource {
  /** Where it is read now. Throws when it cannot be. */
  view(): View;
  /** The view's state, held for a scan that is made now. */
  handle(): SnapshotHandle;
  /** Closes a handle when nobody can reach its holder any more. */
  watch(holder: object, handle: SnapshotHandle): void;
  /** Throws when what was handed out cannot be read any more. */
  readonly check: () => void;
  /** Lets other work run when that is due. */
  readonly rest: () => Promise<void>;
  /** What to throw for an error met while reading. */
  guard(error: unknown): unknown;
}

/** An ordered key space that can be read: the latest state of a store, or a snapshot of it. */
export abstract class KeyReader {
  readonly #source: ReadSource;

  constructor(source: ReadSource) {
    this.#source = source;
  }

  /**
   * Reads a key: its value, or undefined. The bytes are the caller's own.
   *
   * @example
   * await engine.put('logo', new Uint8Array([1, 2, 3]));
   * engine.get('logo')?.length; // => 3
   * engine.get('nothing'); // => undefined
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `OUT_OF_SPACE` (a page must leave memory first, and has no room on the device), `UNSUPPORTED` (called from inside
   *   a backend or codec)
   */
  get(key: Bytes): OwnBytes | undefined {
    const { trees, root, epoch } = this.#source.view();
    const length = trees.setKey(key);
    if (root === 0) return undefined;
    try {
      return plain(trees.get(root, epoch, length));
    } catch (error) {
      throw this.#source.guard(error);
    }
  }

  /**
   * Reads a key as text: its value, or undefined. A byte order mark is kept, invalid UTF-8 shows as U+FFFD.
   *
   * @example
   * await engine.put('greeting', 'good morning');
   * engine.getString('greeting'); // => 'good morning'
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE` (also: the text is longer than a string of this runtime),
   *   `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`, `OUT_OF_SPACE` (a page must leave memory first, and has no
   *   room on the device), `UNSUPPORTED` (called from inside a backend or codec)
   */
  getString(key: Bytes): string | undefined {
    const { trees, root, epoch } = this.#source.view();
    const length = trees.setKey(key);
    if (root === 0) return undefined;
    try {
      const value = trees.getString(root, epoch, length);
      return typeof value === 'string' ? value : undefined;
    } catch (error) {
      throw this.#source.guard(error);
    }
  }

  /**
   * Reads many keys in one go, faster than one by one. Answers their values in the order of the keys; absent ones are
   * undefined.
   *
   * @example
   * await engine.put('a', '1');
   * const [a, b] = engine.getMany(['a', 'b']);
   * a?.length; // => 1
   * b; // => undefined
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `OUT_OF_SPACE` (a page must leave memory first, and has no room on the device), `UNSUPPORTED` (called from inside
   *   a backend or codec)
   */
  getMany(keys: readonly Bytes[]): (OwnBytes | undefined)[] {
    const list = takeKeyList(keys);
    const { trees, root, epoch } = this.#source.view();
    if (root === 0) {
      for (const key of list) trees.setKey(key);
      return list.map(() => undefined);
    }
    try {
      return trees.getMany(root, epoch, list).map(plain);
    } catch (error) {
      throw this.#source.guard(error);
    }
  }

  /**
   * Whether a key is there; its value is not read.
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `OUT_OF_SPACE` (a page must leave memory first, and has no room on the device), `UNSUPPORTED` (called from inside
   *   a backend or codec)
   */
  has(key: Bytes): boolean {
    const { trees, root, epoch } = this.#source.view();
    const length = trees.setKey(key);
    if (root === 0) return false;
    try {
      return trees.has(root, epoch, length) === true;
    } catch (error) {
      throw this.#source.guard(error);
    }
  }

  /**
   * The records of a range as of now, whatever is written while they are read. Close it, or read it to the end. It may
   * outlive the snapshot it came from.
   *
   * @example
   * await engine.batch([
   *   { type: 'put', key: 'city/bern', value: '134794' },
   *   { type: 'put', key: 'city/bonn', value: '330579' },
   * ]);
   * const text = new TextDecoder();
   * const names: string[] = [];
   * for (const [key] of engine.scan({ prefix: 'city/', reverse: true })) names.push(text.decode(key));
   * names; // => ['city/bonn', 'city/bern']
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `OUT_OF_SPACE`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  scan(options?: RangeOptions): Scan {
    const source = this.#source;
    const range = resolveRange(source.view().trees, options);
    // Reading the options may have run getters of the caller.
    const { trees, root } = source.view();
    const handle = source.handle();
    const { check, rest } = source;
    const scan = new Scan({ trees, root, ownRoot: 0, handle, range, check, rest });
    source.watch(scan, handle);
    return scan;
  }

  /**
   * Number of the records of a range, or its limit when there are more.
   *
   * @example
   * await engine.put('city/bern', '134794');
   * engine.count({ prefix: 'city/' }); // => 1
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`,
   *   `OUT_OF_SPACE` (a page must leave memory first, and has no room on the device), `UNSUPPORTED` (called from inside
   *   a backend or codec)
   */
  count(options?: RangeOptions): number {
    const range = resolveRange(this.#source.view().trees, options);
    const { trees, root, epoch } = this.#source.view();
    if (range.limit === 0) return 0;
    try {
      return Math.min(trees.countRange(root, epoch, range), range.limit);
    } catch (error) {
      throw this.#source.guard(error);
    }
  }
}

/** Deletions are marked in transactions' own trees only. */
function plain(value: OwnBytes | typeof TOMBSTONE | undefined): OwnBytes | undefined {
  return value instanceof Uint8Array ? value : undefined;
}
