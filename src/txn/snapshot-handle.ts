/**
 * Snapshot handles: the reference of a scan, a snapshot or a transaction to the epoch it reads. It is released
 * exactly once: when its owner is closed, when the engine closes, or when the collector finds that nobody can close
 * it any more.
 */
import type { Pager } from '../store/pager.ts';
import type { SnapshotNode } from '../store/versions.ts';

/** A held epoch of the store's pages and, for scans inside a transaction, one of private pages. */
export class SnapshotHandle {
  readonly epoch: number;
  readonly privateEpoch: number;
  /** Last commit it sees. */
  readonly sequence: number;
  readonly #owner: SnapshotHandles;
  readonly node: SnapshotNode;
  readonly #privateNode: SnapshotNode | undefined;
  readonly #onClose: (() => void) | undefined;
  #open = true;

  constructor(
    owner: SnapshotHandles,
    node: SnapshotNode,
    sequence: number,
    privateNode: SnapshotNode | undefined,
    onClose?: () => void,
  ) {
    this.#owner = owner;
    this.node = node;
    this.sequence = sequence;
    this.#privateNode = privateNode;
    this.#onClose = onClose;
    this.epoch = node.epoch;
    this.privateEpoch = privateNode?.epoch ?? 0;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Gives the epochs back; idempotent. Throws UNSUPPORTED where nothing can be asked of the store, STORE_FAILED. */
  close(): void {
    if (!this.#open) return;
    this.#owner.check();
    this.#open = false;
    this.#owner.forget(this, this.node, this.#privateNode, this.#onClose);
  }

  /**
   * As `close`, without STORE_FAILED: the caller can do nothing about it, and nobody can catch what a finalizer
   * throws. The next call reports it.
   */
  release(): void {
    if (this.#open) this.#owner.check();
    try {
      this.close();
    } catch {
      // `forget` has recorded it.
    }
  }
}

/** All handles of an engine. */
export class SnapshotHandles {
  readonly #pager: Pager;
  readonly #applied: () => number;
  readonly #open = new Set<SnapshotHandle>();
  readonly #registry: FinalizationRegistry<SnapshotHandle> | undefined;
  /** Throws when no handle can be closed now. */
  readonly check: () => void;

  /** `applied` answers the last commit that readers see. */
  constructor(pager: Pager, applied: () => number, check: () => void) {
    this.#pager = pager;
    this.#applied = applied;
    this.check = check;
    this.#registry =
      typeof FinalizationRegistry === 'undefined'
        ? undefined
        : new FinalizationRegistry((handle) => handle.release());
  }

  /** Handles that are open. */
  get count(): number {
    return this.#open.size;
  }

  /** Commits since the oldest open handle was taken; 0 without one. */
  get oldestAge(): number {
    const applied = this.#applied();
    let oldest = applied;
    for (const { sequence } of this.#open) oldest = Math.min(oldest, sequence);
    return applied - oldest;
  }

  /** Takes the present epoch. `onClose` must not refer to the holder, or the collector never finds it. */
  take(onClose?: () => void): SnapshotHandle {
    return this.#add(
      new SnapshotHandle(this, this.#pager.takeSnapshot(), this.#applied(), undefined, onClose),
    );
  }

  /** Takes the epoch of an open handle once more and, if asked, the present one of private pages. */
  share(handle: SnapshotHandle, withPrivate: boolean): SnapshotHandle {
    this.#pager.versions.share(handle.node);
    const own = withPrivate ? this.#pager.takePrivateSnapshot() : undefined;
    return this.#add(new SnapshotHandle(this, handle.node, handle.sequence, own));
  }

  /** Closes the handle when nobody can reach the holder any more. */
  watch(holder: object, handle: SnapshotHandle): void {
    this.#registry?.register(holder, handle);
  }

  /** Closes all. */
  closeAll(): void {
    for (const handle of [...this.#open]) handle.close();
  }

  /** After a trap the release may throw: then memory cannot be trusted. */
  forget(
    handle: SnapshotHandle,
    node: SnapshotNode,
    privateNode: SnapshotNode | undefined,
    onClose: (() => void) | undefined,
  ): void {
    this.#open.delete(handle);
    try {
      this.#pager.releaseSnapshot(node);
      if (privateNode) this.#pager.releasePrivateSnapshot(privateNode);
      onClose?.();
    } catch (error) {
      throw this.#pager.trapped(error);
    }
  }

  #add(handle: SnapshotHandle): SnapshotHandle {
    this.#open.add(handle);
    return handle;
  }
}
