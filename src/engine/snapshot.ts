/**
 * Snapshots: a read-only view of one committed state, of all its trees.
 */
import { AegisError } from '../base/errors.ts';
import type { Catalog } from '../store/catalog.ts';
import { checkTreeName, MAIN_NAME } from '../store/tree-name.ts';
import type { Trees } from '../store/trees.ts';
import type { SnapshotHandle, SnapshotHandles } from '../txn/snapshot-handle.ts';
import { KeyReader, type ReadSource } from './key-reader.ts';

/** What a snapshot reads. */
export interface SnapshotSource {
  readonly trees: Trees;
  readonly catalog: Catalog;
  readonly handles: SnapshotHandles;
  /** Throws when the engine cannot be read any more. */
  readonly check: () => void;
  /** Lets other work run when that is due. */
  readonly rest: () => Promise<void>;
  /** What to throw for an error met while reading. */
  readonly guard: (error: unknown) => unknown;
}

/** What a snapshot and its trees share: they can be read as long as somebody holds one of them. */
interface Held {
  readonly handle: SnapshotHandle;
  sourceOf(name: string): ReadSource;
}

/** The state of the store when it was made, whatever is written since. After `close` every call answers CLOSED. */
export class Snapshot extends KeyReader implements Disposable {
  readonly #held: Held;

  /** Snapshots come from `snapshot()` of an engine. @internal */
  constructor(source: SnapshotSource) {
    const held = hold(source);
    super(held.sourceOf(MAIN_NAME));
    this.#held = held;
  }

  /**
   * The tree with a name, as of this snapshot; one that was not there reads as empty.
   *
   * @example
   * const before = engine.snapshot();
   * await engine.tree('people').put('7', 'Ada');
   * before.tree('people').count(); // => 0
   * before.close();
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`, `CORRUPTION`, `OUT_OF_SPACE`, `IO_ERROR`, `CLOSED`,
   *   `STORE_FAILED`, `UNSUPPORTED` (called from inside a backend or codec)
   */
  tree(name: string): SnapshotTree {
    const source = this.#held.sourceOf(checkTreeName(name));
    source.view();
    return new SnapshotTree(source, name);
  }

  /**
   * Lets the old pages go that only this snapshot sees; idempotent.
   *
   * @throws AegisError `UNSUPPORTED` (called from inside a backend or codec)
   */
  close(): void {
    this.#held.handle.release();
  }

  /**
   * Closes the snapshot at the end of a `using` block.
   *
   * @throws AegisError `UNSUPPORTED` (called from inside a backend or codec)
   */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A named tree as a snapshot sees it. It ends with the snapshot. */
export class SnapshotTree extends KeyReader {
  /** What the tree is called. */
  readonly name: string;

  /** Trees of a snapshot come from its `tree()`. @internal */
  constructor(source: ReadSource, name: string) {
    super(source);
    this.name = name;
  }
}

/** Takes the present state. */
function hold({ trees, catalog, handles, check, rest, guard }: SnapshotSource): Held {
  const handle = handles.take();
  const { epoch } = handle;
  const before = catalog.view(epoch);
  const checkOpen = (): void => {
    check();
    if (!handle.isOpen) throw new AegisError('CLOSED', 'the snapshot is closed');
  };
  const held: Held = {
    handle,
    sourceOf: (name) => {
      let root: number | undefined;
      const look = (): number => {
        try {
          return catalog.findAt(name, before)?.root ?? 0;
        } catch (error) {
          throw guard(error);
        }
      };
      return {
        view: () => {
          checkOpen();
          root ??= look();
          return { trees, root, epoch };
        },
        handle: () => handles.share(held.handle, false),
        watch: (holder, own) => handles.watch(holder, own),
        check,
        rest,
        guard,
      };
    },
  };
  handles.watch(held, handle);
  return held;
}
