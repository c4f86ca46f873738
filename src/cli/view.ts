/**
 * The key space that a command works on: the store's own or, in a shell's transaction, what the transaction sees of it.
 */
import type { RangeOptions, Scan, StorageEngine, Transaction } from '../index.ts';
import type { Machine } from '../machine.ts';

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
  readonly machine: Machine;
  readonly transaction: Transaction | undefined;
}

/** The key space of a store, inside the shell's transaction if there is one. */
export function keySpaceOf(engine: StorageEngine, shell: Shell | undefined): KeySpace {
  const transaction = shell?.transaction;
  return transaction === undefined ? engine : spaceInside(transaction);
}

function spaceInside(transaction: Transaction): KeySpace {
  return {
    get: (key) => transaction.get(key),
    put: (key, value) => transaction.put(key, value),
    delete: (key) => {
      const was = transaction.has(key);
      transaction.delete(key);
      return was;
    },
    scan: (range) => transaction.scan(range),
    count: (range) => transaction.count(range),
  };
}
