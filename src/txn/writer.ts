/**
 * Single operations and batches as commits of their own. They are ordered by the pipeline and never conflict.
 *
 * An operation is packed into the log buffer at once when there is space, from the caller's own bytes; when it has to
 * wait, it waits with copies, behind those that came before. What is read by the caller's own code is copied at once.
 * Trees are named; what a name stands for is looked up when the operation is packed, and so in the state that it is
 * applied to.
 */
import { RECORD_DELETE, RECORD_DROP, RECORD_HEADER_SIZE, RECORD_PUT } from '../../assembly/layout.ts';
import type { Bytes } from '../base/bytes-in.ts';
import { ownBytes, valueBytes } from '../base/bytes-in.ts';
import type { AegisError } from '../base/errors.ts';
import type { Catalog } from '../store/catalog.ts';
import type { NewTrees } from '../store/coming-trees.ts';
import { MAIN_NAME, MAIN_TREE, NO_TREE, nameBytes } from '../store/tree-name.ts';
import type { Trees } from '../store/trees.ts';
import type { Admission, CommitSize } from './admission.ts';
import { type BatchOperation, type Operation, takeOperations } from './batch-list.ts';
import type { CommitPipeline } from './commit.ts';
import type { Committed, Done, Proposal } from './queue.ts';
import type { Request, Reservations } from './reservations.ts';
import { ResolvedNames } from './resolved-names.ts';
import { TakenBatch } from './taken-batch.ts';
import { packTree, pagesFilled, pagesOfTree, recordBytes, WriteSet } from './write-set.ts';

/** How much a list of operations may be. */
interface OperationsSize extends CommitSize {
  /** Names of the trees beside the default one, and whether anything is put to each; undefined: there are none. */
  readonly names: ReadonlyMap<string, boolean> | undefined;
}

/** What the names in a list of operations stand for. */
interface Names {
  readonly ids: ReadonlyMap<string, number>;
  readonly makes: NewTrees;
}

/** Stands for a commit of nothing. */
const NOTHING_DONE: Committed = { sequence: 0, end: 0, deleted: 0 };

/** What single operations work with. */
export interface WriterParts {
  readonly trees: Trees;
  readonly catalog: Catalog;
  readonly admission: Admission;
  readonly reservations: Reservations;
  readonly pipeline: CommitPipeline;
  /** Lets other work run when that is due. */
  readonly rest: () => Promise<void>;
}

export class Writer {
  readonly #trees: Trees;
  readonly #catalog: Catalog;
  readonly #admission: Admission;
  readonly #reservations: Reservations;
  readonly #pipeline: CommitPipeline;
  readonly #rest: () => Promise<void>;

  constructor(parts: WriterParts) {
    this.#trees = parts.trees;
    this.#catalog = parts.catalog;
    this.#admission = parts.admission;
    this.#reservations = parts.reservations;
    this.#pipeline = parts.pipeline;
    this.#rest = parts.rest;
  }

  put(tree: string, key: Bytes, value: Bytes, sync: boolean): Promise<Committed> {
    return this.#write([this.#put(tree, key, value)], sync);
  }

  putSync(tree: string, key: Bytes, value: Bytes, sync: boolean): Committed {
    return this.#writeSync([this.#put(tree, key, value)], sync);
  }

  delete(tree: string, key: Bytes, sync: boolean): Promise<Committed> {
    return this.#write([this.#deletion(tree, key)], sync);
  }

  deleteSync(tree: string, key: Bytes, sync: boolean): Committed {
    return this.#writeSync([this.#deletion(tree, key)], sync);
  }

  /** All operations of a batch in one commit; the answer is undefined when there are none. */
  batch(tree: string, operations: Iterable<BatchOperation>, sync: boolean): Promise<Committed> | undefined {
    const given = this.#take(tree, operations, sync);
    if (given instanceof TakenBatch) {
      const commit = this.commit(given).finally(() => given.drop());
      void given.sort(this.#rest, () => this.#pipeline.resume());
      return commit;
    }
    return given.length === 0 ? undefined : this.#write(given, sync);
  }

  batchSync(tree: string, operations: Iterable<BatchOperation>, sync: boolean): void {
    const given = this.#take(tree, operations, sync);
    if (given instanceof TakenBatch) {
      try {
        this.commitSync(given);
      } finally {
        given.drop();
      }
    } else if (given.length > 0) {
      this.#writeSync(given, sync);
    }
  }

  #take(tree: string, given: Iterable<BatchOperation>, sync: boolean): Operation[] | TakenBatch {
    const trees = this.#trees;
    return takeOperations({ trees, tree, given, maxBytes: this.#admission.maxRecords }, () => {
      const writes = new WriteSet(trees);
      return new TakenBatch(writes, () => this.propose(writes, sync));
    });
  }

  /** Drops the tree with a name; answers whether there was one. It waits until no other commit is on its way. */
  async drop(name: string, sync: boolean): Promise<boolean> {
    const bytes = nameBytes(name);
    const size = { operations: 3, bytes: recordBytes(bytes.length, 0), pages: 0, named: 1 };
    let existed = true;
    const admit = (done: Done): Committed => {
      const entry = this.#catalog.find(name);
      existed = entry !== undefined;
      if (entry) {
        return this.#admission.queue(
          (at) => this.#packDrop(at, bytes, entry.id),
          size,
          { sync, alone: true },
          done,
        );
      }
      done(undefined);
      return NOTHING_DONE;
    };
    await this.commit({ bytes: size.bytes, exclusive: true, admit });
    return existed;
  }

  #packDrop(at: number, name: Uint8Array, id: number): number {
    const { core } = this.#trees.pager;
    const { x } = core;
    core.u8.set(name, at + RECORD_HEADER_SIZE);
    return x.recordSeal(at, RECORD_DROP, id, name.length, 0);
  }

  /** Makes a commit as soon as there is space for it; resolves when it is applied. */
  commit(proposal: Proposal, beforeWaiting?: () => void): Promise<Committed> {
    return new Promise((resolve, reject) => {
      let commit: Committed | undefined;
      const done = (error: AegisError | undefined): void => {
        if (error) reject(error);
        else resolve(commit as Committed);
      };
      const request = requestOf(proposal, () => {
        commit = proposal.admit(done);
      });
      // What this throws rejects the promise.
      if (this.#reservations.admitNow(request)) return;
      beforeWaiting?.();
      this.#reservations.wait(request, reject);
    });
  }

  /** As `commit`, blocking. */
  commitSync(proposal: Proposal): Committed {
    let commit: Committed | undefined;
    let failure: AegisError | undefined;
    const done = (error: AegisError | undefined): void => {
      failure = error;
    };
    const request = requestOf(proposal, () => {
      commit = proposal.admit(done);
    });
    this.#reservations.admitBlocking(request);
    this.#pipeline.flushBlocking();
    if (failure) throw failure;
    return commit as Committed;
  }

  #write(operations: Operation[], sync: boolean): Promise<Committed> {
    const size = this.#sizeOf(operations);
    if (size.bytes <= this.#admission.maxRecords) {
      return this.commit(this.#small(operations, size, sync), () => keepBytes(operations));
    }
    const writes = this.#writeSet(operations);
    return this.commit(this.propose(writes, sync)).finally(() => writes.drop());
  }

  #writeSync(operations: Operation[], sync: boolean): Committed {
    const size = this.#sizeOf(operations);
    if (size.bytes <= this.#admission.maxRecords) {
      return this.commitSync(this.#small(operations, size, sync));
    }
    const writes = this.#writeSet(operations);
    try {
      return this.commitSync(this.propose(writes, sync));
    } finally {
      writes.drop();
    }
  }

  /** The commit of a write set; `before` runs when there is space, in the turn in which it is packed. */
  propose(writes: WriteSet, sync: boolean, before?: () => void): Proposal {
    const admission = this.#admission;
    writes.measure();
    const isLarge = writes.bytes > admission.maxRecords;
    return {
      bytes: admission.bytesOf(writes),
      exclusive: isLarge,
      admit: (done) => {
        // Names are resolved at admission, not when they were written to.
        const makes = writes.resolve(this.#catalog);
        before?.();
        if (isLarge) return admission.queueLarge(writes, { sync, makes }, done);
        return admission.queue(
          (at, limit) => writes.packWhole(at, limit),
          writes.size,
          { sync, makes },
          done,
        );
      },
    };
  }

  #small(operations: readonly Operation[], size: OperationsSize, sync: boolean): Proposal {
    const admit = (done: Done): Committed => {
      const names = size.names && this.#resolve(size.names);
      const pack = (at: number): number => this.#pack(operations, names, at);
      return this.#admission.queue(pack, size, { sync, makes: names?.makes }, done);
    };
    return { bytes: size.bytes, exclusive: false, admit };
  }

  /** Looks up what every name stands for now. */
  #resolve(names: ReadonlyMap<string, boolean>): Names {
    const resolved = new ResolvedNames(this.#catalog);
    const ids = new Map<string, number>();
    for (const [name, hasPut] of names)
      ids.set(
        name,
        resolved.resolve(name, () => hasPut),
      );
    return { ids, makes: resolved.makes };
  }

  #pack(operations: readonly Operation[], names: Names | undefined, from: number): number {
    const { core } = this.#trees.pager;
    const { x } = core;
    let at = from;
    for (const [name, id] of names?.makes ?? []) at = packTree(this.#trees, at, nameBytes(name), id);
    for (let i = 0; i < operations.length; ++i) {
      const { tree: name, key, value } = operations[i] as Operation;
      const tree = names?.ids.get(name) ?? MAIN_TREE;
      if (tree === NO_TREE) continue;
      core.u8.set(key, at + RECORD_HEADER_SIZE);
      if (value) {
        core.u8.set(value, at + RECORD_HEADER_SIZE + key.length);
        at = x.recordSeal(at, RECORD_PUT, tree, key.length, value.length);
      } else {
        at = x.recordSeal(at, RECORD_DELETE, tree, key.length, 0);
      }
    }
    return at;
  }

  #writeSet(operations: readonly Operation[]): WriteSet {
    const writes = new WriteSet(this.#trees);
    try {
      for (const { tree, key, value } of operations) {
        if (value) writes.put(tree, key, value);
        else writes.delete(tree, key);
      }
    } catch (error) {
      writes.drop();
      throw error;
    }
    return writes;
  }

  #put(tree: string, key: Bytes, value: Bytes): Operation {
    return { tree, key: this.#trees.keyBytes(key), value: valueBytes(value) };
  }

  #deletion(tree: string, key: Bytes): Operation {
    return { tree, key: this.#trees.keyBytes(key), value: undefined };
  }

  #sizeOf(operations: readonly Operation[]): OperationsSize {
    const { pageSize } = this.#trees.pager.core;
    let bytes = 0;
    let pages = 0;
    let names: Map<string, boolean> | undefined;
    for (let i = 0; i < operations.length; ++i) {
      const { tree, key, value } = operations[i] as Operation;
      if (tree !== MAIN_NAME) {
        names ??= new Map();
        names.set(tree, names.get(tree) === true || value !== undefined);
      }
      const length = value ? value.length : 0;
      bytes += recordBytes(key.length, length);
      if (value) pages += pagesFilled(key.length, length, pageSize);
    }
    for (const [name, hasPut] of names ?? []) {
      // The tree may have to be made.
      if (hasPut) bytes += recordBytes(nameBytes(name).length, 0);
      if (hasPut) pages += pagesOfTree(pageSize);
    }
    return { operations: operations.length, bytes, pages, named: names?.size ?? 0, names };
  }
}

function requestOf(proposal: Proposal, admit: () => void): Request {
  const { ready } = proposal;
  if (!ready) return { bytes: proposal.bytes, exclusive: proposal.exclusive, admit };
  return {
    get bytes() {
      return proposal.bytes;
    },
    get exclusive() {
      return proposal.exclusive;
    },
    ready: (now) => ready.call(proposal, now),
    admit,
  };
}

/** Copies what a caller gave: it may change it as soon as its call has returned. */
function keepBytes(operations: readonly Operation[]): void {
  for (const operation of operations) {
    operation.key = ownBytes(operation.key);
    operation.value = operation.value && ownBytes(operation.value);
  }
}
