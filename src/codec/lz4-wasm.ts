/**
 * `aegis-storage/lz4-wasm`: the package lz4-wasm as an implementation for the option `codecs`. It reads and writes the
 * same blocks as the built-in codec, more slowly; it is there to be compared with.
 *
 * The package believes the size that stands before a block, takes an offset of 0 for a match with bytes of an earlier
 * call (CVE-2026-32829), throws text, and keeps memory when it traps.
 *
 * 1. It is only given blocks that were walked before: every length and offset lies inside, and they make as many bytes
 *    as the target has. The size before a block is written here.
 * 2. An instance that trapped is thrown away.
 *
 * @module aegis-storage/lz4-wasm
 */
import { AegisError, reasonOf } from '../base/errors.ts';
import type { Lz4Instance } from '../core/wasm-lz4.ts';
import { createLz4, isTrap } from '../core/wasm-lz4.ts';
import type { Codec } from './codec.ts';

const PREFIX_SIZE = 4;
const MATCH_MIN = 4;
/** A nibble of 15 is continued in bytes, and a byte of 255 in the next. */
const NIBBLE_MAX = 15;
const BYTE_MAX = 255;

let instance: Lz4Instance | undefined;

function call<T>(work: (instance: Lz4Instance) => T): T {
  instance ??= createLz4();
  try {
    return work(instance);
  } catch (cause) {
    if (isTrap(cause)) instance = undefined;
    const reason = reasonOf(cause);
    throw new AegisError('CORRUPTION', `lz4-wasm: ${reason}`, { cause });
  }
}

/** Whether a block decodes to exactly `size` bytes. */
function isSound(block: Uint8Array, size: number): boolean {
  let input = 0;
  let output = 0;
  const lengthFrom = (nibble: number): number => {
    let length = nibble;
    for (let more = nibble === NIBBLE_MAX; more; ) {
      const byte = block[input++];
      if (byte === undefined) return Number.POSITIVE_INFINITY;
      length += byte;
      more = byte === BYTE_MAX;
    }
    return length;
  };
  while (input < block.length) {
    const token = block[input++] as number;
    const literals = lengthFrom(token >> 4);
    if (literals > block.length - input || literals > size - output) return false;
    input += literals;
    output += literals;
    if (input === block.length) return output === size;
    if (block.length - input < 2) return false;
    const offset = (block[input] as number) | ((block[input + 1] as number) << 8);
    input += 2;
    if (offset === 0 || offset > output) return false;
    const match = lengthFrom(token & NIBBLE_MAX) + MATCH_MIN;
    if (match > size - output) return false;
    output += match;
  }
  return false;
}

/** LZ4 blocks by the package lz4-wasm, for the option `codecs`. It has no levels. */
export const lz4Wasm: Codec = Object.freeze({
  /** @throws AegisError `CORRUPTION` (the package gave up) */
  compress(source: Uint8Array, target: Uint8Array): number {
    const sized = call((lz4) => lz4.compress(source));
    const size = sized.length - PREFIX_SIZE;
    if (size > target.length) return 0;
    target.set(sized.subarray(PREFIX_SIZE));
    return size;
  },

  /** @throws AegisError `CORRUPTION` (the package gave up) */
  decompress(source: Uint8Array, target: Uint8Array): number {
    if (!isSound(source, target.length)) return 0;
    const sized = new Uint8Array(PREFIX_SIZE + source.length);
    new DataView(sized.buffer).setUint32(0, target.length, true);
    sized.set(source, PREFIX_SIZE);
    const result = call((lz4) => lz4.decompress(sized));
    if (result.length !== target.length) return 0;
    target.set(result);
    return result.length;
  },
});
