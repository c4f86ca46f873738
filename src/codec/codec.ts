/** What a compression codec is to the rest of the engine; the codecs themselves stand beside this file. */

/** How the payload of a block is stored. */
export type CompressionType = 'none' | 'lz4' | 'zstd';

/**
 * One compression format, synchronous: the LZ4 block format without any sizes around it, or a zstd frame that says its
 * content size. The formats are fixed; an implementation given as an option may replace ours.
 *
 * The engine calls it in the middle of its work, with views that are good for the call only: it must not keep them, and
 * must not call the engine. What it answers is checked. When compressing fails or what comes out does not decode to the
 * source, the bytes are stored as they are; when decompressing fails, that is damage (`CORRUPTION`).
 */
export interface Codec {
  /** Compresses all of the source into the target; answers the bytes written, 0 when they do not fit. */
  compress(source: Uint8Array, target: Uint8Array, level?: number): number;
  /** Restores a source into a target of the known size; answers the bytes written, 0 when they do not fit. */
  decompress(source: Uint8Array, target: Uint8Array): number;
}

/** Number of bytes an implementation says it wrote, when it is one that can be. */
function written(answer: unknown, most: number): number {
  return typeof answer === 'number' && Number.isInteger(answer) && answer > 0 && answer <= most ? answer : 0;
}

/** Compresses with an implementation that may throw or answer anything; 0 when nothing came of it. */
export function tryCompress(codec: Codec, source: Uint8Array, target: Uint8Array, level?: number): number {
  try {
    return written(codec.compress(source, target, level), target.length);
  } catch {
    return 0;
  }
}

/**
 * Decompresses with an implementation that may throw or answer anything; whether the target was filled. Bytes that were
 * in it before do not pass for an answer. What was thrown goes to `failed`.
 */
export function tryDecompress(
  codec: Codec,
  source: Uint8Array,
  target: Uint8Array,
  failed?: (error: unknown) => void,
): boolean {
  target.fill(0);
  try {
    return written(codec.decompress(source, target), target.length) === target.length;
  } catch (error) {
    failed?.(error);
    return false;
  }
}
