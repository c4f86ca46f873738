/**
 * The built-in LZ4 on bytes outside any store's memory: they are copied into a core and out of it. Pages do not come
 * this way, the core compresses them where they lie.
 */
import type { Codec } from './codec.ts';
import { WINDOW_IN, WINDOW_OUT, WINDOW_SIZE, withScratch } from './scratch.ts';

/** Most bytes that one LZ4 block is made of: its positions have 16 bits. */
const BLOCK_SIZE_MAX = 65_536;

/** LZ4 blocks of up to 64 KiB. It has no levels. */
export const lz4: Codec = Object.freeze({
  compress(source: Uint8Array, target: Uint8Array): number {
    if (source.length === 0 || source.length > BLOCK_SIZE_MAX) return 0;
    return withScratch(({ x, u8 }) => {
      u8.set(source, WINDOW_IN);
      const room = Math.min(target.length, WINDOW_SIZE);
      const size = x.lz4Compress(WINDOW_IN, source.length, WINDOW_OUT, room);
      target.set(u8.subarray(WINDOW_OUT, WINDOW_OUT + size));
      return size;
    });
  },

  decompress(source: Uint8Array, target: Uint8Array): number {
    if (target.length > BLOCK_SIZE_MAX || source.length > WINDOW_SIZE) return 0;
    return withScratch(({ x, u8 }) => {
      u8.set(source, WINDOW_IN);
      if (!x.lz4Decompress(WINDOW_IN, source.length, WINDOW_OUT, target.length)) return 0;
      target.set(u8.subarray(WINDOW_OUT, WINDOW_OUT + target.length));
      return target.length;
    });
  },
});
