/**
 * Single operations and batches as commits of their own. They are ordered by the pipeline and never conflict.
 *
 * An operation is packed into the log buffer at once when there is room, from the caller's own bytes; when it has to
 * wait, it waits with copies, behind those that came before.
 */
import { RECORD_DELETE, RECORD_HEADER_SIZE, RECORD_PUT } from '../../assembly/layout.ts';
import { AegisError } from '../errors.ts';
import type { Bytes } from '../store/range.ts';
import type { Trees } from '../store/trees.ts';
import { valueBytes } from '../store/trees.ts';
import type { Admission, CommitSize, CommitWay } from './admission.ts';
import type { CommitPipeline } from './commit.ts';
import type { Committed, Done } from './queue.ts';
import { pagesFilled, recordBytes, WriteSet } from './write-set.ts';

/** One operation of a batch. */
export type BatchOperation =
  | { readonly type: 'put'; readonly key: Bytes; readonly value: Bytes }
  | { readonly type: 'delete'; readonly key: Bytes };

/** An operation with its bytes; `value` undefined: a deletion. */
interface Operation {
  readonly tree: number;
  key: Uint8Array;
  value: Uint8Array | undefined;
}

/** Asks the pipeline for a commit; undefined: there is no room yet. */
export type Attempt = (done: Done) => Committed | undefined;

export class Writer {
  readonly #trees: Trees;
  readonly #admission: Admission;
  readonly #pipeline: CommitPipeline;

  constructor(trees: Trees, admission: Admission, pipeline: CommitPipeline) {
    this.#trees = trees;
    this.#admission = admission;
    this.#pipeline = pipeline;
  }

  put(tree: number, key: Bytes, value: Bytes, sync: boolean): Promise<Committed> {
    return this.#write([this.#put(tree, key, value)], sync);
  }

  putSync(tree: number, key: Bytes, value: Bytes, sync: boolean): Committed {
    return this.#writeSync([this.#put(tree, key, value)], sync);
  }

  delete(tree: number, key: Bytes, sync: boolean): Promise<Committed> {
    return this.#write([this.#deletion(tree, key)], sync);
  }

  deleteSync(tree: number, key: Bytes, sync: boolean): Committed {
    return this.#writeSync([this.#deletion(tree, key)], sync);
  }

  /** All operations of a batch in one commit; the answer is undefined when there are none. */
  batch(tree: number, operations: Iterable<BatchOperation>, sync: boolean): Promise<Committed> | undefined {
    const list = this.#operations(tree, operations);
    return list.length === 0 ? undefined : this.#write(list, sync);
  }

  batchSync(tree: number, operations: Iterable<BatchOperation>, sync: boolean): void {
    const list = this.#operations(tree, operations);
    if (list.length > 0) this.#writeSync(list, sync);
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
      return this.commitSync((done) => this.#admission.queueLarge(writes, how, done));
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
    return this.#admission.queue((at) => this.#pack(operations, at), size, how, done);
  }

  #pack(operations: readonly Operation[], from: number): number {
    const { x, u8 } = this.#trees.pager.core;
    let at = from;
    for (let i = 0; i < operations.length; ++i) {
      const { tree, key, value } = operations[i] as Operation;
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

  #put(tree: number, key: Bytes, value: Bytes): Operation {
    return { tree, key: this.#trees.keyBytes(key), value: valueBytes(value) };
  }

  #deletion(tree: number, key: Bytes): Operation {
    return { tree, key: this.#trees.keyBytes(key), value: undefined };
  }

  #operations(tree: number, operations: Iterable<BatchOperation>): Operation[] {
    if (typeof operations !== 'object' || operations === null || !(Symbol.iterator in operations)) {
      throw new AegisError('INVALID_ARGUMENT', 'batch: a list of operations is needed');
    }
    const list: Operation[] = [];
    for (const operation of operations) {
      if (operation?.type === 'put') {
        list.push(this.#put(tree, operation.key, operation.value));
      } else if (operation?.type === 'delete') {
        list.push(this.#deletion(tree, operation.key));
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
    for (let i = 0; i < operations.length; ++i) {
      const { key, value } = operations[i] as Operation;
      const length = value ? value.length : 0;
      bytes += recordBytes(key.length, length);
      if (value) pages += pagesFilled(key.length, length, pageSize);
    }
    return { operations: operations.length, bytes, pages };
  }
}
