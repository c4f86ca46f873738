/**
 * The codecs of one store: which one its new pages are written with, and who does the work. The core does LZ4 itself,
 * in place, unless another implementation was given; every other codec works on this side of the door.
 *
 * 1. Codecs from outside are believed nothing: lengths that cannot be are failures, and what they compress is to be
 *    decoded again before it is written (`proves`).
 * 2. Which codecs a store's blocks were written with is in its superblock; whatever that needs is loaded when it is
 *    opened, so that every later call can be synchronous.
 */
import { CODEC_LZ4, CODEC_NONE, CODEC_ZSTD } from '../../assembly/layout.ts';
import type { Codec, CompressionType } from './codec.ts';
import { apart, tryCompress, tryDecompress } from './codec.ts';
import { frameContentSize, loadZstd } from './zstd.ts';

/** What a configuration says of codecs. */
export interface CodecSettings {
  readonly compression: CompressionType;
  readonly compressionLevel?: number | undefined;
  readonly codecs?: { readonly lz4?: Codec | undefined; readonly zstd?: Codec | undefined } | undefined;
}

/** Numbers of the codecs in blocks. */
export const CODEC_NUMBERS: Readonly<Record<CompressionType, number>> = {
  none: CODEC_NONE,
  lz4: CODEC_LZ4,
  zstd: CODEC_ZSTD,
};

export class StoreCodecs {
  /** Codec of new pages. */
  readonly page: number;
  /** Codec of what the core writes without help: the directory, and the private pages of transactions. */
  readonly core: number;
  /** Bit set of the codecs that work on this side. */
  readonly hosted: number;
  /** Why decompressing the block that was read last failed, when an implementation threw. */
  failure: unknown;
  readonly #codecs = new Map<number, Codec>();
  readonly #given = new Set<number>();
  readonly #level: number | undefined;
  #noted = 0;

  /** `zstd` is the built-in codec, if it was loaded. */
  constructor(choice: CodecSettings, zstd?: Codec) {
    const { compression, codecs } = choice;
    this.page = CODEC_NUMBERS[compression];
    this.core = compression === 'none' ? CODEC_NONE : CODEC_LZ4;
    this.#level = choice.compressionLevel;
    if (zstd !== undefined) this.#codecs.set(CODEC_ZSTD, zstd);
    for (const name of ['lz4', 'zstd'] as const) {
      const codec = codecs?.[name];
      if (codec === undefined) continue;
      this.#codecs.set(CODEC_NUMBERS[name], apart(codec));
      this.#given.add(CODEC_NUMBERS[name]);
    }
    let hosted = 0;
    for (const number of this.#codecs.keys()) hosted |= 1 << number;
    this.hosted = hosted;
  }

  /** Bit set of the codecs that a checkpoint's blocks can have. */
  get used(): number {
    return (1 << this.page) | (1 << this.core) | this.#noted;
  }

  /** A user's block is stored with this codec. */
  noteUsed(codec: number): void {
    this.#noted |= 1 << codec;
  }

  /** Whether what this codec compresses has to be decoded again before it counts. */
  proves(codec: number): boolean {
    return this.#given.has(codec);
  }

  /** Compresses with a codec of this side; 0 when nothing came of it. */
  compress(codec: number, source: Uint8Array, target: Uint8Array): number {
    const size = tryCompress(this.#codecs.get(codec) as Codec, source, target, this.#level);
    // A frame without a content size could not be checked when it is read.
    if (codec === CODEC_ZSTD && frameContentSize(target.subarray(0, size)) !== source.length) return 0;
    return size;
  }

  /** Decompresses with a codec of this side; whether the target was filled. */
  decompress(codec: number, source: Uint8Array, target: Uint8Array): boolean {
    if (codec === CODEC_ZSTD && frameContentSize(source) !== target.length) return false;
    return tryDecompress(this.#codecs.get(codec) as Codec, source, target, (error) => {
      this.failure = error;
    });
  }
}

/** Loads what a configuration and the codecs that a store's superblock names ask for. @throws AegisError `UNSUPPORTED` */
export async function openCodecs(choice: CodecSettings, held: number): Promise<StoreCodecs> {
  const wanted = choice.compression === 'zstd' || (held & (1 << CODEC_ZSTD)) !== 0;
  if (!wanted || choice.codecs?.zstd !== undefined) return new StoreCodecs(choice);
  return new StoreCodecs(choice, await loadZstd());
}
