/**
 * Snapshots: a read-only view of one committed state.
 */
import { AegisError } from './errors.ts';
import { KeyReader, type View } from './key-reader.ts';
import type { Trees } from './store/trees.ts';
import type { Lease, Leases } from './txn/snapshot.ts';

/** What a snapshot reads. */
export interface SnapshotSource {
  readonly trees: Trees;
  readonly root: number;
  readonly lease: Lease;
  readonly leases: Leases;
  /** Throws when the engine cannot be read any more. */
  readonly check: () => void;
  /** What to throw for an error met while reading. */
  readonly guard: (error: unknown) => unknown;
}

/** The state of the store when it was made, whatever is written since. After `close` every call answers CLOSED. */
export class Snapshot extends KeyReader implements Disposable {
  readonly #lease: Lease;

  /** Snapshots come from `snapshot()` of an engine. */
  constructor({ trees, root, lease, leases, check, guard }: SnapshotSource) {
    const view: View = { trees, root, epoch: lease.epoch };
    super({
      view: () => {
        check();
        if (!lease.isOpen) throw new AegisError('CLOSED', 'the snapshot is closed');
        return view;
      },
      lease: () => leases.share(lease, false),
      watch: (holder, own) => leases.watch(holder, own),
      check,
      guard,
    });
    this.#lease = lease;
  }

  /** Lets the old pages go that only this snapshot sees; idempotent. */
  close(): void {
    this.#lease.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
