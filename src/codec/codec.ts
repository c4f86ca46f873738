/** What a compression codec is to the rest of the engine; the codecs themselves stand beside this file. */

/** How the payload of a block is stored. */
export type CompressionType = 'none' | 'lz4' | 'zstd';

/**
 * One compression format, synchronous: the LZ4 block format without any sizes around it, or a zstd frame that says its
 * content size. The formats are fixed; an implementation given as an option may replace ours.
 *
 * The engine calls it in the middle of its work, with memory that is the codec's for the call and nobody's afterwards.
 * From within, every call of the engine that it works for is `UNSUPPORTED`. What it answers is checked. When compressing
 * fails or what comes out does not decode to the source, the bytes are stored as they are; when decompressing fails,
 * that is damage (`CORRUPTION`).
 */
export interface Codec {
  /** Compresses all of the source into the target; answers the bytes written, 0 when they do not fit. */
  compress(source: Uint8Array, target: Uint8Array, level?: number): number;
  /** Restores a source into a target of the known size; answers the bytes written, 0 when they do not fit. */
  decompress(source: Uint8Array, target: Uint8Array): number;
}

/**
 * An implementation from outside, with memory of its own: it sees copies, and what it wrote is copied from there. New
 * memory for each page would cost as much as a fast codec; what it keeps of this is of no use to it.
 */
export function apart(codec: Codec): Codec {
  let sources = new Uint8Array(0);
  let targets = new Uint8Array(0);
  const call = (
    source: Uint8Array,
    target: Uint8Array,
    work: (own: Uint8Array, room: Uint8Array) => number,
  ): number => {
    // A buffer that was transferred away has no bytes left.
    if (sources.length < source.length) sources = new Uint8Array(source.length);
    if (targets.length < target.length) targets = new Uint8Array(target.length);
    sources.set(source);
    const room = targets.subarray(0, target.length).fill(0);
    const size = written(work(sources.subarray(0, source.length), room), room.length);
    target.set(room.subarray(0, size));
    return size;
  };
  return {
    compress: (source, target, level) =>
      call(source, target, (own, room) => codec.compress(own, room, level)),
    decompress: (source, target) => call(source, target, (own, room) => codec.decompress(own, room)),
  };
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
