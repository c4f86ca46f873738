/**
 * A batch too large for the log buffer. Its operations are copied in the call, in the order given, and sorted into
 * the write set afterwards, slice by slice. Copying costs a fraction of sorting, so the call is short.
 *
 * Invariants
 *   1. Nothing of the caller's memory is kept: what is added is copied.
 *   2. Operations are moved in the order in which they were added. At most WAITING_MAX bytes wait for that. What
 *      would exceed it, and a value that is large by itself, is moved at once.
 */
import type { Committed, Done, Proposal } from './queue.ts';
import type { WriteSet } from './write-set.ts';

const CHUNK = 256 * 1024;
/** Most bytes that wait to be put in order. */
const WAITING_MAX = 64 * 1024 * 1024;
/** Operations put in order before it is asked whether others should have their turn. */
const SLICE = 1000;
/** Tree, key length, value length. */
const HEADER = 12;
/** Stands for the length of the value of a deletion. */
const NO_VALUE = 0xffffffff;

/** A piece of memory that operations are copied to. */
interface Chunk {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where it ends. */
  end: number;
}

export class TakenBatch implements Proposal {
  readonly #writes: WriteSet;
  readonly #propose: () => Proposal;
  /** The commit, when all is in order. */
  #whole: Proposal | undefined;
  /** Why it cannot be made. */
  #failure: unknown;
  /** Names of trees; operations say which by its place here. */
  readonly #names: string[] = [];
  readonly #places = new Map<string, number>();
  #chunks: Chunk[] = [];
  /** Where the next operation lies in the first chunk. */
  #at = 0;

  /** @param propose makes the commit of the write set, when all is in it. */
  constructor(writes: WriteSet, propose: () => Proposal) {
    this.#writes = writes;
    this.#propose = propose;
  }

  /** Takes an operation in; `value` undefined: a deletion. Throws OUT_OF_SPACE and the like, when it is put in order at once. */
  add(tree: string, key: Uint8Array, value: Uint8Array | undefined): void {
    const needed = HEADER + key.length + (value ? value.length : 0);
    if (needed > CHUNK || this.#chunks.length * CHUNK > WAITING_MAX) this.#move(Number.POSITIVE_INFINITY);
    if (needed > CHUNK) {
      this.#write(tree, key, value);
      return;
    }
    const chunk = this.#chunkFor(needed);
    const { bytes, view, end } = chunk;
    view.setUint32(end, this.#placeOf(tree));
    view.setUint32(end + 4, key.length);
    view.setUint32(end + 8, value ? value.length : NO_VALUE);
    bytes.set(key, end + HEADER);
    if (value) bytes.set(value, end + HEADER + key.length);
    chunk.end += needed;
  }

  /** Puts all in order, turn by turn; `done` hears when that is over, or has failed. */
  async sort(rest: () => Promise<void>, done: () => void): Promise<void> {
    while (this.#chunks.length > 0 && this.#failure === undefined) {
      this.#try(SLICE);
      await rest();
    }
    done();
  }

  // --- the commit -----------------------------------------------------------------------------------------------

  /** As for a reservation; known when it is ready. */
  get bytes(): number {
    return (this.#whole as Proposal).bytes;
  }

  get exclusive(): boolean {
    return (this.#whole as Proposal).exclusive;
  }

  ready(now: boolean): boolean {
    if (now) this.#try(Number.POSITIVE_INFINITY);
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#chunks.length > 0) return false;
    this.#whole ??= this.#propose();
    return true;
  }

  admit(done: Done): Committed {
    return (this.#whole as Proposal).admit(done);
  }

  #try(count: number): void {
    try {
      this.#move(count);
    } catch (error) {
      this.#failure = error;
    }
  }

  #move(count: number): void {
    for (let left = count; left > 0 && this.#chunks.length > 0; --left) {
      const { bytes, view, end } = this.#chunks[0] as Chunk;
      const tree = this.#names[view.getUint32(this.#at)] as string;
      const length = view.getUint32(this.#at + 8);
      const keyAt = this.#at + HEADER;
      const valueAt = keyAt + view.getUint32(this.#at + 4);
      const next = length === NO_VALUE ? valueAt : valueAt + length;
      this.#write(
        tree,
        bytes.subarray(keyAt, valueAt),
        length === NO_VALUE ? undefined : bytes.subarray(valueAt, next),
      );
      this.#at = next;
      if (next < end) continue;
      this.#chunks.shift();
      this.#at = 0;
    }
  }

  /** Gives everything up. */
  drop(): void {
    this.#chunks = [];
    this.#writes.drop();
  }

  #write(tree: string, key: Uint8Array, value: Uint8Array | undefined): void {
    if (value) this.#writes.put(tree, key, value);
    else this.#writes.delete(tree, key);
  }

  #chunkFor(needed: number): Chunk {
    let last = this.#chunks.at(-1);
    if (!last || last.end + needed > CHUNK) {
      const bytes = new Uint8Array(CHUNK);
      last = { bytes, view: new DataView(bytes.buffer), end: 0 };
      this.#chunks.push(last);
    }
    return last;
  }

  #placeOf(tree: string): number {
    let place = this.#places.get(tree);
    if (place === undefined) {
      place = this.#names.push(tree) - 1;
      this.#places.set(tree, place);
    }
    return place;
  }
}
