/**
 * zstd by the package zstd-codec, which is large and not needed by most: it is loaded when somebody asks, once for the
 * whole process, and from then on synchronous. Its frames are standard zstd frames, so any other implementation can
 * take its place.
 *
 * The package needs care: it answers null for errors and for an empty value, throws text when its memory of 16 MiB is
 * used up, and believes what a frame says of itself.
 *
 * 1. Nothing is handed to it that its memory may not hold, and no empty value.
 * 2. A frame is decoded only if it says that it has as many bytes as the target.
 * 3. Whatever it answers or throws, a call ends with a number.
 */
import { runtimeModule } from '../backend/host.ts';
import { AegisError, invalid, reasonOf } from '../base/errors.ts';
import type { ZstdSimple } from '../core/wasm-zstd.ts';
import { importZstd, readZstd, startZstd } from '../core/wasm-zstd.ts';
import type { Codec, CompressionType } from './codec.ts';

/** Bytes of source and target together that fit its memory beside its own tables, at every level. */
const BYTES_MAX = 4 * 2 ** 20;

const MAGIC = 0xfd2fb528;
/** Sizes of a frame's optional header fields, by the bits that say how long they are. */
const DICTIONARY_ID_SIZES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_SIZES = [0, 2, 4, 8] as const;
/** What a content size of two bytes leaves out. */
const SHORT_SIZE_BASE = 256;

/** How many bytes a zstd frame says it holds; undefined when it does not say, or is no frame. */
export function frameContentSize(frame: Uint8Array): number | undefined {
  if (frame.length < 6) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = frame[4] as number;
  const isSingle = (descriptor & 0x20) !== 0;
  const sizeBits = descriptor >> 6;
  const size = sizeBits === 0 && isSingle ? 1 : (CONTENT_SIZE_SIZES[sizeBits] as number);
  const at = 5 + (isSingle ? 0 : 1) + (DICTIONARY_ID_SIZES[descriptor & 3] as number);
  if (size === 0 || at + size > frame.length) return undefined;
  if (size === 1) return view.getUint8(at);
  if (size === 2) return view.getUint16(at, true) + SHORT_SIZE_BASE;
  const low = view.getUint32(at, true);
  return size === 4 ? low : low + view.getUint32(at + 4, true) * 2 ** 32;
}

function codecOf(simple: ZstdSimple): Codec {
  const attempt = (bytes: number, target: Uint8Array, call: () => Uint8Array | null): number => {
    if (bytes === 0 || bytes + target.length > BYTES_MAX) return 0;
    try {
      const result = call();
      if (result === null || result.length > target.length) return 0;
      target.set(result);
      return result.length;
    } catch {
      return 0; // its memory was too small, which it survives
    }
  };
  return Object.freeze({
    compress(source: Uint8Array, target: Uint8Array, level?: number): number {
      return attempt(source.length, target, () => simple.compress(source, level));
    },
    decompress(source: Uint8Array, target: Uint8Array): number {
      if (frameContentSize(source) !== target.length) return 0;
      return attempt(source.length, target, () => simple.decompress(source));
    },
  });
}

let started: Codec | undefined;

/** What is to be done where the file of zstd is not in reach: in a bundle, most of all. */
const ADVICE =
  "import 'aegis-storage/zstd' beside 'aegis-storage', or give another implementation as the option codecs";

function start(): Codec {
  try {
    started = codecOf(startZstd());
    return started;
  } catch (cause) {
    const advice = 'the option codecs takes another implementation';
    throw new AegisError('UNSUPPORTED', `zstd cannot start here: ${reasonOf(cause)}; ${advice}`, { cause });
  }
}

/** The built-in zstd codec; loads it if need be. @throws AegisError `UNSUPPORTED` */
export async function loadZstd(): Promise<Codec> {
  if (started) return started;
  try {
    await importZstd();
  } catch (cause) {
    throw new AegisError('UNSUPPORTED', `zstd is not in this program: ${ADVICE}`, { cause });
  }
  return start();
}

/** The same between two statements: only Node, Deno and Bun can load it there. @throws AegisError `UNSUPPORTED` */
export function loadZstdSync(): Codec {
  if (started) return started;
  let cause: unknown;
  try {
    if (readZstd(runtimeModule)) return start();
  } catch (error) {
    if (error instanceof AegisError) throw error;
    cause = error;
  }
  const message = `zstd is not loaded: await loadCodec('zstd') first; where that fails, ${ADVICE}`;
  throw new AegisError('UNSUPPORTED', message, { cause });
}

/**
 * Loads a codec, so that blocks can be made and read with it at once. Only zstd has anything to load, and only a browser
 * needs to be told: `StorageEngine.open` does it for stores, and in Node, Deno and Bun blocks do it by themselves. A
 * bundle for browsers has zstd only if `aegis-storage/zstd` is imported too; with that, blocks need no loading.
 *
 * @throws AegisError `INVALID_ARGUMENT`, `UNSUPPORTED` (it is not in the bundle, or cannot start: a page's content
 *   security policy needs `'unsafe-eval'` for it)
 */
export async function loadCodec(type: CompressionType): Promise<void> {
  if (type === 'zstd') await loadZstd();
  else if (type !== 'lz4' && type !== 'none') throw invalid('loadCodec', type, "'none', 'lz4' or 'zstd'");
}
