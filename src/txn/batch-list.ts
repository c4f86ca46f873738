/**
 * Batches as they are given: their operations, and how they are taken. Going through a list of them can run code of the
 * caller's, which may fill the same memory again for the next operation. Then each is copied when it is taken (bytes-in.ts,
 * invariant 3); a plain list costs no copies, until it turns out to be too large for the log buffer.
 */
import type { Bytes } from '../base/bytes-in.ts';
import { ownBytes, valueBytes } from '../base/bytes-in.ts';
import { AegisError } from '../base/errors.ts';
import { checkTreeName } from '../store/tree-name.ts';
import type { Trees } from '../store/trees.ts';
import type { TakenBatch } from './taken-batch.ts';
import { recordBytes } from './write-set.ts';

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
export interface Operation {
  /** Name of the tree. */
  readonly tree: string;
  key: Uint8Array;
  value: Uint8Array | undefined;
}

/** Operations somebody gave. */
interface Given {
  readonly trees: Trees;
  /** Tree of those that name none. */
  readonly tree: string;
  readonly given: Iterable<BatchOperation>;
  /** Most bytes of the records of a list. */
  readonly maxBytes: number;
}

/** Takes operations, checked: as a list, or taken in when they are too large for that. Throws INVALID_ARGUMENT, TOO_LARGE. */
export function takeOperations(
  { trees, tree, given, maxBytes }: Given,
  takenBatch: () => TakenBatch,
): Operation[] | TakenBatch {
  if (typeof given !== 'object' || given === null || !(Symbol.iterator in given)) {
    throw new AegisError('INVALID_ARGUMENT', 'batch: a list of operations is needed');
  }
  const list: Operation[] = [];
  let taken: TakenBatch | undefined;
  let count = 0;
  let bytes = 0;
  const add = (name: string, key: Uint8Array, value: Uint8Array | undefined): void => {
    ++count;
    bytes += recordBytes(key.length, value ? value.length : 0);
    if (bytes > maxBytes && !taken) {
      taken = takenBatch();
      for (const one of list) taken.add(one.tree, one.key, one.value);
    }
    if (taken) taken.add(name, key, value);
    else list.push({ tree: name, key, value });
  };
  try {
    const isPlain = isPlainList(given);
    for (const operation of given) {
      const named = operation?.tree;
      const name = named === undefined ? tree : checkTreeName(named);
      // An iterator or getter may refill the same buffer between two operations, or two fields of one.
      const keep = isPlain && isPlainObject(operation) ? asTheyLie : ownBytes;
      if (operation?.type === 'put') {
        const key = keep(trees.keyBytes(operation.key));
        add(name, key, keep(valueBytes(operation.value)));
      } else if (operation?.type === 'delete') {
        add(name, keep(trees.keyBytes(operation.key)), undefined);
      } else {
        throw new AegisError('INVALID_ARGUMENT', `batch: operation ${count} is neither a put nor a delete`);
      }
    }
  } catch (error) {
    taken?.drop();
    throw error;
  }
  return taken ?? list;
}

function asTheyLie(bytes: Uint8Array): Uint8Array {
  return bytes;
}

/**
 * Whether a list is an array that is gone through as arrays are. Own getters are looked for in its first operation only:
 * the others are made by the same code, and looking at each would cost as much as copying it.
 */
function isPlainList(list: object): boolean {
  if (!Array.isArray(list) || list[Symbol.iterator] !== Array.prototype[Symbol.iterator]) return false;
  const first: unknown = list[0];
  if (typeof first !== 'object' || first === null) return true;
  return Object.values(Object.getOwnPropertyDescriptors(first)).every(({ get }) => get === undefined);
}

/** Whether an operation of a plain list is a plain object: its class has no getters. */
function isPlainObject(given: object | null | undefined): boolean {
  return given !== null && given !== undefined && Object.getPrototypeOf(given) === Object.prototype;
}
