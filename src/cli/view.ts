/**
 * The key space that a command works on: a tree of the store or, in a shell's transaction, what the
 * transaction sees of it.
 */

import type { EngineCore } from '../engine/engine-core.ts';
import type { RangeOptions, Scan, StorageEngine, Transaction, TransactionTree } from '../index.ts';

type Bytes = string | Uint8Array;

/** What commands do with keys. */
export interface KeySpace {
  get(key: Bytes): Uint8Array | undefined;
  put(key: Bytes, value: Bytes): Promise<void> | void;
  /** Answers whether the key was there. */
  delete(key: Bytes): Promise<boolean> | boolean;
  scan(range: RangeOptions): Scan;
  count(range: RangeOptions): number;
}

/** A shell's open store, and its transaction while there is one. */
export interface Shell {
  readonly engine: StorageEngine;
  /** What is behind the engine, for commands that look inside. */
  readonly engineCore: EngineCore;
  readonly transaction: Transaction | undefined;
  /** Whether the line that runs is to end. */
  readonly isInterrupted: boolean;
}

/** The key space of a tree (undefined: the store's own), inside the shell's transaction if there is one. */
export function keySpaceOf(
  engine: StorageEngine,
  shell: Shell | undefined,
  tree: string | undefined,
): KeySpace {
  const transaction = shell?.transaction;
  if (transaction === undefined) return tree === undefined ? engine : engine.tree(tree);
  return spaceInside(tree === undefined ? transaction : transaction.tree(tree));
}

function spaceInside(space: Transaction | TransactionTree): KeySpace {
  return {
    get: (key) => space.get(key),
    put: (key, value) => space.put(key, value),
    delete: (key) => {
      const was = space.has(key);
      space.delete(key);
      return was;
    },
    scan: (range) => space.scan(range),
    count: (range) => space.count(range),
  };
}
