/**
 * Single operations and batches as commits of their own. They are ordered by the pipeline and never conflict.
 *
 * An operation is packed into the log buffer at once when there is room, from the caller's own bytes; when it has to
 * wait, it waits with copies, behind those that came before. Trees are named; what a name stands for is looked up when
 * the operation is packed, and so in the state that it is applied to, or a reserved id.
 */
import { RECORD_DELETE, RECORD_DROP, RECORD_HEADER_SIZE, RECORD_PUT } from '../../assembly/layout.ts';
import { AegisError } from '../errors.ts';
import type { Catalog } from '../store/catalog.ts';
import type { Bytes } from '../store/range.ts';
import { checkTreeName, MAIN_NAME, MAIN_TREE, nameBytes } from '../store/tree-name.ts';
import type { Trees } from '../store/trees.ts';
import { valueBytes } from '../store/trees.ts';
import type { Admission, CommitSize, CommitWay } from './admission.ts';
import type { CommitPipeline } from './commit.ts';
import type { Committed, Done } from './queue.ts';
import { packTree, pagesFilled, pagesOfTree, recordBytes, WriteSet } from './write-set.ts';

/** One operation of a batch. */
export type BatchOperation = BatchPut | BatchDelete;

/** Writes a key, as `put` does. */
export interface BatchPut {
  /** What is done. */
  readonly type: 'put';
  /** The key. */
  readonly key: Bytes;
  /** What it has afterwards. */
  readonly value: Bytes;
  /** Name of the tree; default: the one that the batch is given to. */
  readonly tree?: string | undefined;
}

/** Removes a key, as `delete` does; an absent one is no error. */
export interface BatchDelete {
  /** What is done. */
  readonly type: 'delete';
  /** The key. */
  readonly key: Bytes;
  /** Name of the tree; default: the one that the batch is given to. */
  readonly tree?: string | undefined;
}

/** An operation with its bytes; `value` undefined: a deletion. */
interface Operation {
  /** Name of the tree. */
  readonly tree: string;
  key: Uint8Array;
  value: Uint8Array | undefined;
}

/** Stands for a commit of nothing. */
const NOTHING_DONE: Committed = { sequence: 0, end: 0, deleted: 0 };

/** Asks the pipeline for a commit; undefined: there is no room yet. */
export type Attempt = (done: Done) => Committed | undefined;

export class Writer {
  readonly #trees: Trees;
  readonly #catalog: Catalog;
  readonly #admission: Admission;
  readonly #pipeline: CommitPipeline;

  constructor(trees: Trees, catalog: Catalog, admission: Admission, pipeline: CommitPipeline) {
    this.#trees = trees;
    this.#catalog = catalog;
    this.#admission = admission;
    this.#pipeline = pipeline;
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
    const list = this.#operations(tree, operations);
    return list.length === 0 ? undefined : this.#write(list, sync);
  }

  batchSync(tree: string, operations: Iterable<BatchOperation>, sync: boolean): void {
    const list = this.#operations(tree, operations);
    if (list.length > 0) this.#writeSync(list, sync);
  }

  /** Drops the tree with a name; answers whether there was one. It waits until no other commit is on its way. */
  async drop(name: string, sync: boolean): Promise<boolean> {
    const bytes = nameBytes(name);
    const size = { operations: 3, bytes: recordBytes(bytes.length, 0), pages: 0, named: 1 };
    const how = { sync, blocking: false, alone: true };
    let existed = true;
    await this.commit((done) => {
      if (!this.#pipeline.isIdle) return undefined;
      const entry = this.#catalog.find(name);
      existed = entry !== undefined;
      if (entry) return this.#admission.queue((at) => this.#packDrop(at, bytes, entry.id), size, how, done);
      done(undefined);
      return NOTHING_DONE;
    });
    return existed;
  }

  #packDrop(at: number, name: Uint8Array, id: number): number {
    const { x, u8 } = this.#trees.pager.core;
    u8.set(name, at + RECORD_HEADER_SIZE);
    return x.recordSeal(at, RECORD_DROP, id, name.length, 0);
  }

  /** Runs an attempt until the pipeline takes it; resolves when the commit is applied. */
  commit(attempt: Attempt, beforeWaiting?: () => void): Promise<Committed> {
    const pipeline = this.#pipeline;
    return new Promise((resolve, reject) => {
      let commit: Committed | undefined;
      const done = (error: AegisError | undefined): void => {
        if (error) reject(error);
        else resolve(commit as Committed);
      };
      try {
        if (!pipeline.congested) commit = attempt(done);
        if (commit) return pipeline.schedule();
        beforeWaiting?.();
      } catch (error) {
        return reject(error);
      }
      pipeline.submit(() => {
        commit = attempt(done);
        return commit !== undefined;
      }, reject);
    });
  }

  /** As `commit`, blocking. */
  commitSync(attempt: Attempt): Committed {
    let commit: Committed | undefined;
    let failure: AegisError | undefined;
    this.#pipeline.blocking(() => {
      commit = attempt((error) => {
        failure = error;
      });
      return commit !== undefined;
    });
    if (failure) throw failure;
    return commit as Committed;
  }

  #write(operations: Operation[], sync: boolean): Promise<Committed> {
    const how = { sync, blocking: false };
    const size = this.#sizeOf(operations);
    const beforeWaiting = (): void => {
      for (const operation of operations) {
        operation.key = operation.key.slice();
        operation.value = operation.value?.slice();
      }
    };
    if (size.bytes <= this.#admission.maxRecords) {
      return this.commit((done) => this.#queue(operations, size, how, done), beforeWaiting);
    }
    let writes: WriteSet | undefined;
    return this.commit((done) => {
      writes ??= this.#writeSet(operations);
      writes.resolve(this.#catalog);
      return this.#admission.queueLarge(writes, how, done);
    }, beforeWaiting).finally(() => writes?.drop());
  }

  #writeSync(operations: Operation[], sync: boolean): Committed {
    const how = { sync, blocking: true };
    const size = this.#sizeOf(operations);
    if (size.bytes <= this.#admission.maxRecords) {
      return this.commitSync((done) => this.#queue(operations, size, how, done));
    }
    const writes = this.#writeSet(operations);
    try {
      return this.commitSync((done) => {
        writes.resolve(this.#catalog);
        return this.#admission.queueLarge(writes, how, done);
      });
    } finally {
      writes.drop();
    }
  }

  #queue(
    operations: readonly Operation[],
    size: CommitSize,
    how: CommitWay,
    done: Done,
  ): Committed | undefined {
    const ids = size.named === 0 ? undefined : new Map<string, number>();
    return this.#admission.queue((at) => this.#pack(operations, ids, at), size, how, done);
  }

  #pack(operations: readonly Operation[], ids: Map<string, number> | undefined, from: number): number {
    const { x, u8 } = this.#trees.pager.core;
    let at = ids ? this.#packTrees(operations, ids, from) : from;
    for (let i = 0; i < operations.length; ++i) {
      const { tree: name, key, value } = operations[i] as Operation;
      const tree = ids ? (ids.get(name) as number) : MAIN_TREE;
      u8.set(key, at + RECORD_HEADER_SIZE);
      if (value) {
        u8.set(value, at + RECORD_HEADER_SIZE + key.length);
        at = x.recordSeal(at, RECORD_PUT, tree, key.length, value.length);
      } else {
        at = x.recordSeal(at, RECORD_DELETE, tree, key.length, 0);
      }
    }
    return at;
  }

  /** Looks up what every name stands for now, and packs the records that make the trees that are put to first. */
  #packTrees(operations: readonly Operation[], ids: Map<string, number>, from: number): number {
    let at = from;
    const isNew = new Set<string>();
    for (const { tree } of operations) {
      if (ids.has(tree)) continue;
      const id = this.#catalog.idOf(tree);
      ids.set(tree, id);
      if (!this.#catalog.isMade(id)) isNew.add(tree);
    }
    for (const { tree, value } of operations) {
      if (value === undefined || !isNew.delete(tree)) continue;
      at = packTree(this.#trees, at, nameBytes(tree), ids.get(tree) as number);
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

  #operations(tree: string, operations: Iterable<BatchOperation>): Operation[] {
    if (typeof operations !== 'object' || operations === null || !(Symbol.iterator in operations)) {
      throw new AegisError('INVALID_ARGUMENT', 'batch: a list of operations is needed');
    }
    const list: Operation[] = [];
    for (const operation of operations) {
      const name = operation?.tree === undefined ? tree : checkTreeName(operation.tree);
      if (operation?.type === 'put') {
        list.push(this.#put(name, operation.key, operation.value));
      } else if (operation?.type === 'delete') {
        list.push(this.#deletion(name, operation.key));
      } else {
        throw new AegisError(
          'INVALID_ARGUMENT',
          `batch: operation ${list.length} is neither a put nor a delete`,
        );
      }
    }
    return list;
  }

  #sizeOf(operations: readonly Operation[]): CommitSize {
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
      // It may have to be made.
      if (hasPut) bytes += recordBytes(nameBytes(name).length, 0);
      if (hasPut) pages += pagesOfTree(pageSize);
    }
    return { operations: operations.length, bytes, pages, named: names?.size ?? 0 };
  }
}
