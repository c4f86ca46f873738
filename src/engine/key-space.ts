/**
 * A key space that is read and written: the public methods that the default tree of a store and its named trees have
 * in common, each single operation a commit of its own.
 *
 * Invariants
 *   1. The tree is looked up by its name at every call: it may be made, dropped and made again in between.
 *   2. A method that returns a promise rejects; it never throws.
 */

import type { Bytes } from '../base/bytes-in.ts';
import { LATEST } from '../core/wasm.ts';
import type { BatchOperation } from '../txn/batch-list.ts';
import type { EngineCore } from './engine-core.ts';
import { KeyReader, type View } from './key-reader.ts';

/** Ordered keys and values, in their latest state. */
export abstract class KeySpace extends KeyReader {
  readonly #engineCore: EngineCore;

  readonly #name: string;

  constructor(engineCore: EngineCore, name: string) {
    const { trees, catalog } = engineCore.store;
    let view: View = { trees, root: 0, epoch: LATEST };
    super({
      view: () => {
        engineCore.readable();
        const root = catalog.find(name)?.root ?? 0;
        if (root !== view.root) view = { trees, root, epoch: LATEST };
        return view;
      },
      handle: () => engineCore.handles.take(),
      watch: (holder, handle) => engineCore.handles.watch(holder, handle),
      check: engineCore.transactions.checkReadable,
      rest: engineCore.transactions.rest,
      guard: (error) => engineCore.guard(error),
    });
    this.#engineCore = engineCore;
    this.#name = name;
  }

  /**
   * Writes a key. Resolves when the commit is visible and, with `syncOnCommit`, durable.
   *
   * @example
   * await engine.put('greeting', 'good morning');
   * await engine.put(new Uint8Array([0, 1]), new Uint8Array(1000));
   *
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`,
   *   `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  async put(key: Bytes, value: Bytes): Promise<void> {
    const { writer, config } = this.#engineCore.writable();
    await writer.put(this.#name, key, value, config.syncOnCommit);
  }

  /**
   * Removes a key; resolves to whether it was there, when the commit is visible and, with `syncOnCommit`, durable.
   *
   * @example
   * await engine.put('greeting', 'good morning');
   * const wasThere: boolean = await engine.delete('greeting');
   * wasThere; // => true
   *
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`,
   *   `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  async delete(key: Bytes): Promise<boolean> {
    const { writer, config } = this.#engineCore.writable();
    return (await writer.delete(this.#name, key, config.syncOnCommit)).deleted > 0;
  }

  /**
   * Does all operations in one commit, in their order, or none. Resolves when the commit is visible and, with
   * `syncOnCommit`, durable.
   *
   * @example
   * await engine.batch([
   *   { type: 'put', key: 'a', value: '1' },
   *   { type: 'delete', key: 'b' },
   *   { type: 'put', key: 'a', value: '2', tree: 'other' },
   * ]);
   * engine.tree('other').getString('a'); // => '2'
   *
   * @throws AegisError (as a rejection) `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`,
   *   `IO_ERROR`, `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  async batch(operations: Iterable<BatchOperation>): Promise<void> {
    const { writer, config, breath } = this.#engineCore.writable();
    await (writer.batch(this.#name, operations, config.syncOnCommit) ?? breath.rest());
  }

  /**
   * Writes a key; returns when the commit is visible and, with `syncOnCommit`, durable. Nothing else runs meanwhile: for
   * scripts, not for servers, where callers of `put` share a sync.
   *
   * @example
   * engine.putSync('greeting', 'good morning');
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`,
   *   `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (the backend cannot make a file at once; or called from
   *   inside a backend or codec)
   */
  putSync(key: Bytes, value: Bytes): void {
    const { writer, config } = this.#engineCore.writable();
    writer.putSync(this.#name, key, value, config.syncOnCommit);
  }

  /**
   * Removes a key and answers whether it was there; returns when the commit is visible and, with `syncOnCommit`, durable.
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`,
   *   `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (the backend cannot make a file at once; or called from
   *   inside a backend or codec)
   */
  deleteSync(key: Bytes): boolean {
    const { writer, config } = this.#engineCore.writable();
    return writer.deleteSync(this.#name, key, config.syncOnCommit).deleted > 0;
  }

  /**
   * Does all operations in one commit, in their order, or none; returns when the commit is visible and, with
   * `syncOnCommit`, durable.
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `READ_ONLY`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`,
   *   `COMMIT_UNKNOWN`, `STORE_FAILED`, `CLOSED`, `UNSUPPORTED` (the backend cannot make a file at once; or called from
   *   inside a backend or codec)
   */
  batchSync(operations: Iterable<BatchOperation>): void {
    const { writer, config } = this.#engineCore.writable();
    writer.batchSync(this.#name, operations, config.syncOnCommit);
  }
}
