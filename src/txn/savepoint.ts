/**
 * Savepoints: points in a transaction's writes that it can go back to.
 *
 * A savepoint is a snapshot of the private pages, the write set's counters at that time, and the set of keys written
 * since. Going back restores each such key to what the snapshot has (a value, a deletion, or nothing). So it costs
 * what was written since, never what was written before. A tree that had no write yet is dropped as a whole.
 *
 * Invariants
 *   1. A key written while savepoints are open is in the set of the newest one, unless its tree had no write when
 *      that one was taken. It is added before it is written: a write that fails is undone too.
 *   2. So everything written since a savepoint is in its set or in the set of a newer one.
 *   3. What was read stays recorded: the outcome may depend on a read whose writes were undone.
 *   4. A savepoint whose object is unreachable is merged into the next older one. So a loop that takes a savepoint at
 *      every step keeps only those that the collector has not found yet.
 */
import { AegisError, invalid } from '../base/errors.ts';
import { PrivateTree } from '../store/private-tree.ts';
import type { Trees } from '../store/trees.ts';
import type { SnapshotNode } from '../store/versions.ts';
import type { Counters, WriteSet } from './write-set.ts';

const NOTHING = new Uint8Array(0);

/**
 * A point in a transaction's writes, from `savepoint()`. It is good for `rollbackTo()` of the same transaction, any
 * number of times, until the transaction goes back to an older one or ends.
 */
export class Savepoint {
  /** Number of the savepoint in its transaction, from 1 on. */
  readonly id: number;

  /** Savepoints come from `savepoint()` of a transaction. */
  constructor(id: number) {
    this.id = id;
  }
}

/** What stands behind a savepoint; it must not refer to it, or the collector never finds it. */
interface Level {
  readonly snapshot: SnapshotNode;
  readonly counters: Counters;
  /** Trees of the store that the transaction had written to. */
  readonly written: ReadonlySet<string>;
  /** Keys written since, by tree of the store. */
  readonly changed: Map<string, PrivateTree>;
  older: Level | undefined;
  newer: Level | undefined;
  isOpen: boolean;
}

/** Savepoints of one transaction. */
export class Savepoints {
  readonly #trees: Trees;
  readonly #writes: WriteSet;
  readonly #levels = new WeakMap<Savepoint, Level>();
  readonly #registry: FinalizationRegistry<Level> | undefined;
  #newest: Level | undefined;
  #last = 0;

  constructor(trees: Trees, writes: WriteSet) {
    this.#trees = trees;
    this.#writes = writes;
    this.#registry =
      typeof FinalizationRegistry === 'undefined'
        ? undefined
        : new FinalizationRegistry((level) => this.#abandoned(level));
  }

  /** Nobody can catch what a finalizer throws, and after a trap this may: then memory is not to be trusted. */
  #abandoned(level: Level): void {
    try {
      this.merge(level);
    } catch (error) {
      this.#trees.pager.trapped(error);
    }
  }

  /** Savepoints that are kept: nothing else shows that merged ones are let go. */
  get count(): number {
    let count = 0;
    for (let level = this.#newest; level; level = level.older) ++count;
    return count;
  }

  /** Takes a savepoint. */
  take(): Savepoint {
    const written = new Set<string>();
    for (const { name, keys } of this.#writes.trees) if (keys.root !== 0) written.add(name);
    const level: Level = {
      snapshot: this.#trees.pager.takePrivateSnapshot(),
      counters: this.#writes.counters,
      written,
      changed: new Map(),
      older: this.#newest,
      newer: undefined,
      isOpen: true,
    };
    if (level.older) level.older.newer = level;
    this.#newest = level;
    this.#writes.beforeWrite = (tree, key) => this.#remember(tree, key);
    const savepoint = new Savepoint(++this.#last);
    this.#levels.set(savepoint, level);
    this.#registry?.register(savepoint, level);
    return savepoint;
  }

  /** What stands behind a savepoint. Throws INVALID_ARGUMENT unless it is one to go back to. */
  find(savepoint: Savepoint): Level {
    if (!(savepoint instanceof Savepoint)) throw invalid('rollbackTo', savepoint, 'a savepoint');
    const level = this.#levels.get(savepoint);
    if (!level)
      throw new AegisError('INVALID_ARGUMENT', 'rollbackTo: the savepoint is of another transaction');
    if (!level.isOpen) {
      throw new AegisError(
        'INVALID_ARGUMENT',
        'rollbackTo: the savepoint is gone, the transaction went back to an older one',
      );
    }
    return level;
  }

  /** Takes back what was written since. When it fails midway the write set is nothing to commit. */
  rollback(level: Level): void {
    for (const { gaps } of this.#writes.trees) gaps.clear();
    // Drop the sets only when everything is put back: it may fail midway.
    for (let one = this.#newest; one; one = one === level ? undefined : one.older) {
      for (const [tree, keys] of one.changed) if (level.written.has(tree)) this.#restore(tree, keys, level);
    }
    for (const { name } of [...this.#writes.trees]) if (!level.written.has(name)) this.#writes.forget(name);
    this.#writes.counters = level.counters;
    while (this.#newest && this.#newest !== level) this.#end(this.#newest);
    clear(level);
  }

  /** Ends a savepoint that nobody will go back to: what it knows is the next older one's. */
  merge(level: Level): void {
    const { older } = level;
    if (!level.isOpen) return;
    try {
      if (older) for (const [tree, keys] of level.changed) this.#mergeKeys(tree, keys, older);
    } catch {
      // No space, or a failed store: the savepoint stays. That costs space, but no answer is wrong. Its keys may be
      // in both sets.
      return;
    }
    this.#end(level);
  }

  /** Frees what they take; none is good any more. */
  drop(): void {
    while (this.#newest) this.#end(this.#newest);
  }

  #remember(tree: string, key: Uint8Array): void {
    const level = this.#newest;
    if (level?.written.has(tree)) keysOf(this.#trees, level, tree).put(key, NOTHING);
  }

  #restore(tree: string, keys: PrivateTree, { snapshot }: Level): void {
    const own = this.#writes.tree(tree);
    const { core } = this.#trees.pager;
    keys.walk((key, keyLength) => {
      own?.restore(core.u8.slice(key, key + keyLength), snapshot.epoch);
      return true;
    });
  }

  /** The smaller set goes into the larger one. */
  #mergeKeys(tree: string, keys: PrivateTree, older: Level): void {
    if (!older.written.has(tree)) return;
    const there = keysOf(this.#trees, older, tree);
    const [small, large] = there.pageCount < keys.pageCount ? [there, keys] : [keys, there];
    const { core } = this.#trees.pager;
    small.walk((key, keyLength) => {
      large.put(core.u8.slice(key, key + keyLength), NOTHING);
      return true;
    });
    if (large === there) return;
    older.changed.set(tree, keys);
    there.drop();
  }

  #end(level: Level): void {
    level.isOpen = false;
    if (level.newer) level.newer.older = level.older;
    else this.#newest = level.older;
    if (level.older) level.older.newer = level.newer;
    const { older } = level;
    // The next older savepoint may have taken a set over; then it owns it.
    for (const [tree, keys] of level.changed) if (older?.changed.get(tree) !== keys) keys.drop();
    level.changed.clear();
    this.#trees.pager.releasePrivateSnapshot(level.snapshot);
    if (!this.#newest) this.#writes.beforeWrite = undefined;
  }
}

/** The set of keys of a tree that were written since a savepoint. */
function keysOf(trees: Trees, level: Level, tree: string): PrivateTree {
  let keys = level.changed.get(tree);
  if (!keys) {
    keys = new PrivateTree(trees);
    level.changed.set(tree, keys);
  }
  return keys;
}

function clear(level: Level): void {
  for (const keys of level.changed.values()) keys.drop();
  level.changed.clear();
}
