/**
 * What a transaction and its trees share: the snapshot they read, what was written and read so far, and whether the
 * transaction is still open.
 *
 * Invariants
 *   1. The snapshot is released once: when the transaction ends, when the engine closes, or when the transaction and
 *      all its trees have become unreachable. So the callbacks for that must not refer to any of them.
 *   2. A name is resolved once per snapshot; its meaning cannot change.
 */
import { AegisError } from '../base/errors.ts';
import type { Catalog, CatalogView } from '../store/catalog.ts';
import { MAIN_NAME, NO_TREE, nameBytes } from '../store/tree-name.ts';
import type { Trees } from '../store/trees.ts';
import type { Admission } from './admission.ts';
import type { CommitPipeline } from './commit.ts';
import { type Conflicts, NAMES_DROPPED, NAMES_MADE } from './conflicts.ts';
import { ReadSet } from './read-set.ts';
import { Savepoints } from './savepoint.ts';
import type { SnapshotHandle, SnapshotHandles } from './snapshot-handle.ts';
import { WriteSet } from './write-set.ts';
import type { Writer } from './writer.ts';

/** What a transaction is checked for when it commits. */
export type IsolationLevel = 'snapshot' | 'serializable';

/** Where a transaction is in its life. */
export type TransactionState = 'active' | 'committing' | 'committed' | 'aborted';

/** What transactions work with. */
export interface TransactionParts {
  readonly trees: Trees;
  readonly catalog: Catalog;
  readonly pipeline: CommitPipeline;
  readonly admission: Admission;
  readonly writer: Writer;
  readonly conflicts: Conflicts;
  readonly handles: SnapshotHandles;
  readonly syncOnCommit: boolean;
  /** Lets other work run when that is due. */
  readonly rest: () => Promise<void>;
  /** Throws when the engine cannot be read any more. */
  readonly checkReadable: () => void;
  /** Called once when a transaction ends. */
  readonly ended: () => void;
  /** Called for every commit that is refused with CONFLICT. */
  readonly conflicted: () => void;
}

/** A tree as a transaction's snapshot sees it. */
export interface TreeTarget {
  /** `NO_TREE`: there is none. */
  readonly id: number;
  readonly root: number;
}

const NOT_THERE: TreeTarget = { id: NO_TREE, root: 0 };

/** What a transaction holds, apart from the object its user holds: the collector may take that one first. */
class Holdings {
  readonly #parts: TransactionParts;
  readonly sequence: number;
  /** What its commit is validated with (conflicts.ts). */
  readonly timestamp: number;
  readonly isReadOnly: boolean;
  readonly writes: WriteSet;
  readonly reads: ReadSet | undefined;
  readonly savepoints: Savepoints;
  /** The write set is on its way to the store and no longer ours to drop. */
  handedOver = false;

  constructor(parts: TransactionParts, isolation: IsolationLevel, readOnly: boolean) {
    this.#parts = parts;
    this.isReadOnly = readOnly;
    this.sequence = parts.pipeline.applied;
    this.writes = new WriteSet(parts.trees);
    this.savepoints = new Savepoints(parts.trees, this.writes);
    this.reads = isolation === 'serializable' && !readOnly ? new ReadSet(parts.trees) : undefined;
    if (!readOnly) parts.admission.trackQueued();
    this.timestamp = readOnly ? 0 : parts.conflicts.begin(this.sequence);
  }

  /** The snapshot is released: nothing can be read or validated any more. */
  release(): void {
    this.reads?.drop();
    this.savepoints.drop();
    if (!this.handedOver) this.writes.drop();
    if (!this.isReadOnly) this.#parts.conflicts.end(this.timestamp);
    this.#parts.ended();
  }
}

export class TransactionContext {
  readonly parts: TransactionParts;
  readonly holdings: Holdings;
  readonly handle: SnapshotHandle;
  state: TransactionState = 'active';
  /** What ended it against its user's will, if anything did. */
  failure: unknown;
  readonly #view: CatalogView;
  readonly #targets = new Map<string, TreeTarget>();

  constructor(parts: TransactionParts, isolation: IsolationLevel, readOnly: boolean) {
    this.parts = parts;
    const holdings = new Holdings(parts, isolation, readOnly);
    this.holdings = holdings;
    this.handle = parts.handles.take(() => holdings.release());
    this.#view = parts.catalog.view(this.handle.epoch);
    this.#targets.set(MAIN_NAME, parts.catalog.find(MAIN_NAME) as TreeTarget);
    parts.handles.watch(this, this.handle);
  }

  /** Throws when nothing can be read. */
  checkActive(): void {
    if (this.state !== 'active')
      throw new AegisError('TRANSACTION_FINISHED', `the transaction is ${this.state}`);
    this.parts.checkReadable();
    if (!this.handle.isOpen) throw new AegisError('TRANSACTION_FINISHED', 'the transaction is aborted');
  }

  /** Throws when nothing can be written. */
  checkWritable(): void {
    this.checkActive();
    if (this.holdings.isReadOnly)
      throw new AegisError('READ_ONLY', 'the transaction was begun for reading only');
  }

  /** Gives everything up; idempotent. Throws TRANSACTION_FINISHED when it was committed. */
  abort(): void {
    if (this.state === 'committed' || this.state === 'committing') {
      throw new AegisError('TRANSACTION_FINISHED', `the transaction is ${this.state}`);
    }
    this.handle.close();
    this.state = 'aborted';
  }

  /** Does what must not stay half done. */
  whole(change: () => void): void {
    try {
      change();
    } catch (error) {
      this.failure = error;
      this.abort();
      throw error;
    }
  }

  /** The tree with a name in the snapshot; that it is there, or not, counts as read. */
  target(name: string): TreeTarget {
    let target = this.#targets.get(name);
    if (!target) {
      target = this.parts.catalog.findAt(name, this.#view) ?? NOT_THERE;
      this.holdings.reads?.addKey(target.id === NO_TREE ? NAMES_MADE : NAMES_DROPPED, nameBytes(name));
      this.#targets.set(name, target);
    }
    return target;
  }
}
