/**
 * Blocks: bytes with a type, a codec and a checksum, as one value that can be kept in a store, or anywhere else.
 *
 * 1. A block never changes: its data is its own copy, and another codec makes another block.
 * 2. What `header` says is what `serialize` gives.
 */
import { VALUE_SIZE_MAX } from '../../assembly/layout.ts';
import { checkBytes, ownBytes } from '../base/bytes-in.ts';
import { AegisError, checkOptions, invalid } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { CompressionType } from '../codec/codec.ts';
import type { BlockHeader, BlockType, GivenCodecs } from '../codec/user-block.ts';
import { BLOCK_TYPES, checkBlock, decodeBlock, encodeBlock, headerOf } from '../codec/user-block.ts';

export type { BlockHeader, BlockType } from '../codec/user-block.ts';

/** Options of a new block. */
export interface BlockOptions {
  /** What the block is for; default `'table'`. */
  readonly type?: BlockType | undefined;
}

const COMPRESSIONS: readonly CompressionType[] = ['none', 'lz4', 'zstd'];
const LEVEL_MAX = 22;

/** What a block is made of inside; its data is taken over, not copied. */
interface BlockState {
  readonly type: BlockType;
  readonly compression: CompressionType;
  readonly level: number | undefined;
  readonly serialized: OwnBytes | undefined;
}

/**
 * A block of bytes. It needs no open store: what `serialize` gives can be kept and read anywhere.
 *
 * @example
 * import { Block } from 'aegis-storage';
 *
 * const block = new Block(new Uint8Array(5000), { type: 'document' }).withCompression('lz4');
 * const bytes = block.serialize();
 * bytes.length < 200; // => true
 * Block.deserialize(bytes).data.length; // => 5000
 */
export class Block {
  /** A view of the block's data, up to 1 GiB - 1 bytes; do not change it. */
  readonly data: OwnBytes;
  /** What the block is for. */
  readonly type: BlockType;
  /** Codec that was asked for; `header.codec` says whether it saves anything. */
  readonly compression: CompressionType;
  /** Level that was asked for; undefined: the codec's own, and of a block that was read. */
  readonly level: number | undefined;
  #serialized: OwnBytes | undefined;

  /**
   * Makes an uncompressed block of a copy of the data.
   *
   * @throws AegisError `INVALID_ARGUMENT`, `TOO_LARGE`
   */
  constructor(data: Uint8Array, options?: BlockOptions);
  constructor(data: Uint8Array, options: BlockOptions = {}, state?: BlockState) {
    if (state !== undefined) {
      this.data = data as OwnBytes;
      this.type = state.type;
      this.compression = state.compression;
      this.level = state.level;
      this.#serialized = state.serialized;
      return;
    }
    const given = checkBytes('Block', data, 'a Uint8Array');
    checkOptions('Block', options, ['type']);
    const { type = 'table' } = options;
    if (!BLOCK_TYPES.includes(type)) throw invalid('Block: type', type, `one of ${BLOCK_TYPES.join(', ')}`);
    if (given.length > VALUE_SIZE_MAX) {
      throw new AegisError(
        'TOO_LARGE',
        `a block of ${given.length} bytes; at most ${VALUE_SIZE_MAX} are allowed`,
      );
    }
    this.data = ownBytes(given);
    this.type = type;
    this.compression = 'none';
    this.level = undefined;
  }

  /**
   * The same data with a codec, and a level from 1 to 22 (zstd only; LZ4 has none). Nothing is compressed before
   * `header` or `serialize` is asked for.
   *
   * @throws AegisError `INVALID_ARGUMENT`
   */
  withCompression(type: CompressionType, level?: number): Block {
    if (!COMPRESSIONS.includes(type)) throw invalid('withCompression', type, "'none', 'lz4' or 'zstd'");
    if (level !== undefined && (!Number.isInteger(level) || level < 1 || level > LEVEL_MAX)) {
      throw invalid('withCompression: level', level, `a whole number from 1 to ${LEVEL_MAX}`);
    }
    return blockOf(this.data, { type: this.type, compression: type, level, serialized: undefined });
  }

  /**
   * What stands before the payload of the serialised block.
   *
   * @throws AegisError `UNSUPPORTED` (zstd in a browser before `await loadCodec('zstd')`), `STORE_FAILED` (a defect)
   */
  get header(): BlockHeader {
    return headerOf(this.#bytes());
  }

  /**
   * The block as bytes of the caller's own: header, checksum, payload. A payload that its codec does not make smaller is
   * stored as it is.
   *
   * @throws AegisError `UNSUPPORTED` (zstd in a browser before `await loadCodec('zstd')`), `STORE_FAILED` (a defect)
   */
  serialize(): OwnBytes {
    return ownBytes(this.#bytes());
  }

  /**
   * Reads a serialised block.
   *
   * @throws AegisError `INVALID_ARGUMENT`, `CORRUPTION` (the bytes are not what was written), `UNSUPPORTED` (zstd in a
   *   browser before `await loadCodec('zstd')`), `STORE_FAILED` (a defect)
   */
  static deserialize(bytes: Uint8Array): Block {
    return readBlock(bytes, {});
  }

  #bytes(): OwnBytes {
    if (this.#serialized === undefined) {
      checkBytes('the data of a block', this.data);
      this.#serialized = encodeBlock(this);
    }
    return this.#serialized;
  }
}

function blockOf(data: OwnBytes, state: BlockState): Block {
  const Inner = Block as new (data: Uint8Array, options: BlockOptions, state: BlockState) => Block;
  return new Inner(data, {}, state);
}

/** The serialised block, made with given codecs where there are some. */
export function serializedWith(block: Block, codecs: GivenCodecs): Uint8Array {
  const isGiven = block.compression !== 'none' && codecs[block.compression] !== undefined;
  return isGiven ? encodeBlock(block, codecs) : block.serialize();
}

/** Reads a serialised block with given codecs. */
export function readBlock(bytes: Uint8Array, codecs: GivenCodecs): Block {
  const serialized = ownBytes(checkBytes('Block.deserialize', bytes, 'a Uint8Array'));
  const header = checkBlock(serialized);
  const data = decodeBlock(serialized, header, codecs);
  const { type, compression } = header;
  return blockOf(data, { type, compression, level: undefined, serialized });
}
