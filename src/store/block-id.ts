/**
 * Ids of user blocks and their keys in the tree of blocks: 8 bytes, the highest first, so that blocks lie in the order
 * in which they were written.
 */
import { AegisError, invalid } from '../base/errors.ts';

/** Id of a block: a whole number from 1 on, never given to another block of the same store. */
export type BlockId = number;

const KEY_SIZE = 8;

/** The key of a block. */
export function blockKey(id: BlockId): Uint8Array {
  const key = new Uint8Array(KEY_SIZE);
  const view = new DataView(key.buffer);
  view.setUint32(0, Math.floor(id / 2 ** 32));
  view.setUint32(4, id >>> 0);
  return key;
}

/** The id that a key stands for; undefined when it is the key of no block. */
export function blockIdOf(key: Uint8Array): BlockId | undefined {
  if (key.length !== KEY_SIZE) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, KEY_SIZE);
  const id = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  return id > 0 && Number.isSafeInteger(id) ? id : undefined;
}

/** Refuses what is no number of an id; those below 1 are ids that no block ever has. Throws INVALID_ARGUMENT. */
export function checkBlockId(what: string, id: unknown): BlockId {
  if (typeof id === 'number' && Number.isSafeInteger(id)) return id;
  throw invalid(what, id, 'a block id, a safe integer,');
}

/** Gives ids out; the next one goes into every superblock. */
export class BlockIds {
  #next: BlockId;

  constructor(next: BlockId) {
    this.#next = Math.max(1, next);
  }

  get next(): BlockId {
    return this.#next;
  }

  /** An id for a new block. Throws OUT_OF_SPACE. */
  take(): BlockId {
    if (this.#next >= Number.MAX_SAFE_INTEGER) {
      throw new AegisError('OUT_OF_SPACE', 'the store has used all its block ids');
    }
    return this.#next++;
  }

  /** The log uses the id of a block: it is not assigned again. */
  markUsed(key: Uint8Array): void {
    const id = blockIdOf(key);
    if (id !== undefined && id >= this.#next && id < Number.MAX_SAFE_INTEGER) this.#next = id + 1;
  }
}
