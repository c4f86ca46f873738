/**
 * What the benchmarks store and in which order: made once from a seed, the same bytes for both sides.
 *
 * Keys and values are views of two large buffers, so that a million of them weigh on the collector as little as a
 * million JavaScript objects can.
 */

/** The records of a run, and the orders they are written and read in. */
export interface Data {
  readonly count: number;
  /** In the order of the load. */
  readonly keys: readonly Buffer[];
  readonly values: readonly Buffer[];
  /** Positions in the order of the keys. */
  readonly sorted: Uint32Array;
  /** Positions in the order of the reads. */
  readonly reads: Uint32Array;
  /**
   * Keys in the order of the reads, side by side in memory: a program that asks for a key has it at hand, and what
   * it costs to fetch a cold one from a list of a million is not the store's.
   */
  readonly readKeys: readonly Buffer[];
}

const KEY_BYTES = 16;
const VALUE_BYTES = 100;

/** Small and fast (Marsaglia's xorshift128): the data must be the same everywhere, not unpredictable. */
function randomWords(seed: number): () => number {
  let x = seed ^ 0x9e3779b9;
  let y = 0x243f6a88;
  let z = 0xb7e15162;
  let w = 0xdeadbeef;
  return () => {
    const t = x ^ (x << 11);
    x = y;
    y = z;
    z = w;
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    return w >>> 0;
  };
}

/**
 * Random keys of 16 bytes with values of 100 bytes, of which `repeated` bytes repeat the ones before: what a codec
 * can save.
 */
export function makeData(count: number, seed: number, repeated: number): Data {
  const next = randomWords(seed);
  const keyBytes = Buffer.alloc(count * KEY_BYTES);
  const valueBytes = Buffer.alloc(count * VALUE_BYTES);
  const own = VALUE_BYTES - repeated;
  for (let at = 0; at < keyBytes.length; at += 4) keyBytes.writeUInt32LE(next(), at);
  for (let start = 0; start < valueBytes.length; start += VALUE_BYTES) {
    for (let at = 0; at < own; at += 4) valueBytes.writeUInt32LE(next(), start + at);
    valueBytes.copyWithin(start + own, start, start + repeated);
  }
  const cut = (bytes: Buffer, size: number): Buffer[] =>
    Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
  const keys = cut(keyBytes, KEY_BYTES);
  const sorted = Uint32Array.from(keys.keys()).sort((a, b) => Buffer.compare(keys[a]!, keys[b]!));
  const reads = shuffled(count, next);
  const readBytes = Buffer.alloc(keyBytes.length);
  for (const [at, i] of reads.entries()) keys[i]!.copy(readBytes, at * KEY_BYTES);
  return {
    count,
    keys,
    values: cut(valueBytes, VALUE_BYTES),
    sorted,
    reads,
    readKeys: cut(readBytes, KEY_BYTES),
  };
}

function shuffled(count: number, next: () => number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; --i) {
    const j = next() % (i + 1);
    const here = order[i]!;
    order[i] = order[j]!;
    order[j] = here;
  }
  return order;
}

/** Folds bytes that were read into a checksum; cheap, for timed loops: whole contents are compared outside them. */
export function foldBytes(sum: number, bytes: Uint8Array): number {
  const { length } = bytes;
  return (Math.imul(sum, 31) + length * 65536 + bytes[0]! * 256 + bytes[length - 1]!) | 0;
}
