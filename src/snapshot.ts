/**
 * Snapshots: a read-only view of one committed state.
 */
import { AegisError } from './errors.ts';
import type { Bytes, RangeOptions } from './store/range.ts';
import { resolveRange } from './store/range.ts';
import type { Trees } from './store/trees.ts';
import { Scan } from './txn/scan.ts';
import type { Lease, Leases } from './txn/snapshot.ts';

/** What a snapshot reads. */
export interface SnapshotSource {
  readonly trees: Trees;
  readonly root: number;
  readonly lease: Lease;
  readonly leases: Leases;
  /** Throws when the engine cannot be read any more. */
  readonly check: () => void;
}

/** The state of the store when it was made, whatever is written since. After `close` every call answers CLOSED. */
export class Snapshot implements Disposable {
  readonly #source: SnapshotSource;

  /** Snapshots come from `snapshot()` of an engine. */
  constructor(source: SnapshotSource) {
    this.#source = source;
  }

  /**
   * Reads a key: its value, or undefined. The bytes are the caller's own.
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`, `STORE_FAILED`
   */
  get(key: Bytes): Uint8Array | undefined {
    const { trees, root, lease } = this.#check();
    const value = trees.get(root, lease.epoch, trees.setKey(key));
    return value instanceof Uint8Array ? value : undefined;
  }

  /** As `get`, as text: a byte order mark is kept, invalid UTF-8 shows as U+FFFD. @throws AegisError as `get` */
  getString(key: Bytes): string | undefined {
    const { trees, root, lease } = this.#check();
    const value = trees.getString(root, lease.epoch, trees.setKey(key));
    return typeof value === 'string' ? value : undefined;
  }

  /** Reads many keys in one go; absent ones are undefined. @throws AegisError as `get` */
  getMany(keys: readonly Bytes[]): (Uint8Array | undefined)[] {
    const { trees, root, lease } = this.#check();
    return trees
      .getMany(root, lease.epoch, keys)
      .map((value) => (value instanceof Uint8Array ? value : undefined));
  }

  /** Whether a key is there. @throws AegisError as `get` */
  has(key: Bytes): boolean {
    const { trees, root, lease } = this.#check();
    return trees.has(root, lease.epoch, trees.setKey(key)) === true;
  }

  /**
   * The records of a range. A scan may outlive the snapshot it came from.
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CLOSED`, `STORE_FAILED`
   */
  scan(options?: RangeOptions): Scan {
    const { trees, root, lease, leases, check } = this.#check();
    const range = resolveRange(trees, options);
    const own = leases.share(lease, false);
    const scan = new Scan({ trees, root, ownRoot: 0, lease: own, range, check });
    leases.watch(scan, own);
    return scan;
  }

  /** Number of the records of a range. @throws AegisError as `get` */
  count(options?: RangeOptions): number {
    const { trees, root, lease } = this.#check();
    const range = resolveRange(trees, options);
    return range.limit === 0 ? 0 : Math.min(trees.countRange(root, lease.epoch, range), range.limit);
  }

  /** Lets the old pages go that only this snapshot sees; idempotent. */
  close(): void {
    this.#source.lease.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #check(): SnapshotSource {
    this.#source.check();
    if (!this.#source.lease.isOpen) throw new AegisError('CLOSED', 'the snapshot is closed');
    return this.#source;
  }
}
