/** What a compression codec is to the rest of the engine; the codecs themselves stand beside this file. */

/** How the payload of a block is stored. */
export type CompressionType = 'none' | 'lz4' | 'zstd';

/** One compression format, synchronous. The formats are fixed; an implementation given as an option may replace ours. */
export interface Codec {
  /** Compresses all of the source into the target; answers the bytes written, 0 when they do not fit. */
  compress(source: Uint8Array, target: Uint8Array, level?: number): number;
  /** Restores a source into a target of the known size; answers the bytes written, 0 when they do not fit. */
  decompress(source: Uint8Array, target: Uint8Array): number;
}
