/**
 * The bytes of a simulated file: chunks that copies share until one of them writes. So a crash state costs what it
 * changes, not what the disk holds, and so does its fingerprint.
 *
 * 1. A chunk is written in place only by the one owner whose token it carries; `copy` gives both sides a new token.
 * 2. Bytes at or beyond the size are zero; a chunk never written to is absent and reads as zeros.
 */

/** Bytes of a chunk: the block in which a simulated disk hands out space. */
export const BLOCK_SIZE = 4096;

interface Chunk {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Who may write it. */
  token: object;
  /** Hash of the bytes, once it was asked for. */
  hash: readonly [number, number] | undefined;
}

/** A hash in the making: two sums, so that the order of what is added makes no difference. */
export interface Sums {
  low: number;
  high: number;
}

export class SimulatedBytes {
  #size = 0;
  #chunks = new Map<number, Chunk>();
  #token: object = {};
  /** The map itself belongs to several. */
  #shared = false;

  get size(): number {
    return this.#size;
  }

  /** Blocks that hold the file. */
  get blocks(): number {
    return this.#chunks.size;
  }

  hasBlock(index: number): boolean {
    return this.#chunks.has(index);
  }

  /** Gives the file the blocks that another one has below its end: zeros that were written take space, too. */
  allocateAs(other: SimulatedBytes): void {
    if (this.#chunks.size >= other.#chunks.size) return;
    this.#ownMap();
    for (const index of other.#chunks.keys()) {
      if (index * BLOCK_SIZE < this.#size && !this.#chunks.has(index)) this.#chunks.set(index, ZERO_CHUNK);
    }
  }

  /** Fills the target and answers how many bytes were there. */
  read(target: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(target.length, this.#size - position));
    for (let done = 0; done < length; ) {
      const begin = (position + done) % BLOCK_SIZE;
      const count = Math.min(BLOCK_SIZE - begin, length - done);
      const chunk = this.#chunks.get((position + done - begin) / BLOCK_SIZE);
      if (chunk === undefined) target.fill(0, done, done + count);
      else if (count === BLOCK_SIZE) target.set(chunk.bytes, done);
      else target.set(chunk.bytes.subarray(begin, begin + count), done);
      done += count;
    }
    return length;
  }

  /** Writes what lies below the size; the rest is dropped. */
  put(source: Uint8Array, position: number): void {
    const length = Math.min(source.length, this.#size - position);
    for (let done = 0; done < length; ) {
      const begin = (position + done) % BLOCK_SIZE;
      const count = Math.min(BLOCK_SIZE - begin, length - done);
      const index = (position + done - begin) / BLOCK_SIZE;
      const bytes = source.subarray(done, done + count);
      if (count === BLOCK_SIZE && isZero(bytes)) this.#setZero(index);
      else this.#own(index).bytes.set(bytes, begin);
      done += count;
    }
  }

  /** Whether these bytes lie there, all of them below the size. */
  holds(source: Uint8Array, position: number): boolean {
    if (position + source.length > this.#size) return false;
    for (let done = 0; done < source.length; ) {
      const begin = (position + done) % BLOCK_SIZE;
      const count = Math.min(BLOCK_SIZE - begin, source.length - done);
      const bytes = this.#chunks.get((position + done - begin) / BLOCK_SIZE)?.bytes;
      if (!isSame(source, done, bytes, begin, count)) return false;
      done += count;
    }
    return true;
  }

  /** Cuts or extends with zeros. */
  resize(size: number): void {
    if (size < this.#size) {
      const kept = Math.ceil(size / BLOCK_SIZE);
      this.#ownMap();
      for (const index of this.#chunks.keys()) if (index >= kept) this.#chunks.delete(index);
      const begin = size % BLOCK_SIZE;
      if (begin !== 0 && this.#chunks.has(kept - 1)) this.#own(kept - 1).bytes.fill(0, begin);
    }
    this.#size = size;
  }

  copy(): SimulatedBytes {
    const copy = new SimulatedBytes();
    copy.#size = this.#size;
    copy.#chunks = this.#chunks;
    copy.#shared = true;
    this.#shared = true;
    this.#token = {};
    return copy;
  }

  /** Adds what the file holds to a fingerprint; equal bytes give equal sums, however they came about. */
  addTo(sums: Sums, salt: number): void {
    add(sums, salt, this.#size % 2 ** 32, Math.floor(this.#size / 2 ** 32) ^ 0x5bd1e995);
    for (const [index, chunk] of this.#chunks) {
      chunk.hash ??= hashOf(chunk.words);
      const [low, high] = chunk.hash;
      if (low === ZEROS[0] && high === ZEROS[1]) continue;
      add(sums, salt ^ Math.imul(index + 1, 0x9e3779b1), low, high);
    }
  }

  #ownMap(): void {
    if (!this.#shared) return;
    this.#chunks = new Map(this.#chunks);
    this.#shared = false;
  }

  /** Files are filled with zeros in advance: they need no bytes of their own. */
  #setZero(index: number): void {
    this.#ownMap();
    this.#chunks.set(index, ZERO_CHUNK);
  }

  #own(index: number): Chunk {
    const found = this.#chunks.get(index);
    if (found?.token === this.#token) {
      found.hash = undefined;
      return found;
    }
    this.#ownMap();
    const bytes = new Uint8Array(BLOCK_SIZE);
    if (found !== undefined) bytes.set(found.bytes);
    const words = new Int32Array(bytes.buffer);
    const chunk: Chunk = { bytes, words, token: this.#token, hash: undefined };
    this.#chunks.set(index, chunk);
    return chunk;
  }
}

function hashOf(words: Int32Array): [number, number] {
  let low = 0x243f6a88;
  let high = 0x85a308d3 | 0;
  for (let at = 0; at < words.length; at += 2) {
    low = Math.imul(low ^ words[at]!, 0x85ebca6b);
    high = Math.imul(high ^ words[at + 1]!, 0xc2b2ae35);
    low ^= (low >>> 15) ^ high;
    high ^= (high >>> 13) ^ (low << 7);
  }
  return [low, high];
}

/** Whether bytes are zeros; the first ones tell almost always. */
export function isZero(bytes: Uint8Array): boolean {
  return isSame(bytes, 0, undefined, 0, bytes.length);
}

/** Whether so many bytes of two arrays are the same, word by word where that can be; no second one: zeros. */
function isSame(
  one: Uint8Array,
  from: number,
  other: Uint8Array | undefined,
  begin: number,
  count: number,
): boolean {
  const address = one.byteOffset + from;
  let at = 0;
  if (address % 4 === 0 && ((other?.byteOffset ?? 0) + begin) % 4 === 0) {
    const length = count >> 2;
    const words = new Int32Array(one.buffer, address, length);
    const others = other && new Int32Array(other.buffer, other.byteOffset + begin, length);
    if (others === undefined) {
      for (let word = 0; word < length; word++) if (words[word] !== 0) return false;
    } else {
      for (let word = 0; word < length; word++) if (words[word] !== others[word]) return false;
    }
    at = length * 4;
  }
  for (; at < count; at++) if (one[from + at] !== (other === undefined ? 0 : other[begin + at])) return false;
  return true;
}

const ZERO_BLOCK = new Uint8Array(BLOCK_SIZE);
const ZEROS = hashOf(new Int32Array(ZERO_BLOCK.buffer));
/** Nobody's: whoever writes to it makes a copy. */
const ZERO_CHUNK: Chunk = {
  bytes: ZERO_BLOCK,
  words: new Int32Array(ZERO_BLOCK.buffer),
  token: {},
  hash: ZEROS,
};

function add(sums: Sums, salt: number, low: number, high: number): void {
  let mixed = Math.imul(low ^ salt, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16) ^ high, 0x85ebca6b);
  sums.low = (sums.low + (mixed ^ (mixed >>> 13))) | 0;
  let other = Math.imul(high ^ Math.imul(salt, 0xc2b2ae35), 0x27d4eb2f);
  other = Math.imul(other ^ (other >>> 15) ^ low, 0x165667b1);
  sums.high = (sums.high + (other ^ (other >>> 14))) | 0;
}

/** A number below 2^53 for all that was added. */
export function fingerprintOf({ low, high }: Sums): number {
  return ((high >>> 0) % 2 ** 21) * 2 ** 32 + (low >>> 0);
}

/** A salt for a file of this name. */
export function saltOf(name: string): number {
  let salt = 0x811c9dc5;
  for (let at = 0; at < name.length; at++) salt = Math.imul(salt ^ name.charCodeAt(at), 0x01000193);
  return salt;
}
