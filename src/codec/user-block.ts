/**
 * The form of user blocks: header, checksum, and a payload that is stored as it is or in compressed pieces. The core
 * writes and checks headers and checksums, codecs make and undo pieces. docs/format.md has the tables.
 *
 * Invariants
 *   1. Nothing of a payload is decoded before the checksum over header and payload holds.
 *   2. Nothing of the size that a header claims is allocated before the pieces were walked: their lengths fill the
 *      payload exactly, there are as many as the size asks for, and none claims more than its codec can make of it.
 *   3. A payload is compressed only if all of it together is smaller for it; a piece, only if it is.
 */
import {
  CODEC_LZ4,
  CODEC_NONE,
  CODEC_ZSTD,
  DAMAGE_CODEC,
  DAMAGE_IDENTITY,
  DAMAGE_KIND,
  DAMAGE_MAGIC,
  KEY_AREA,
  USER_HEADER_SIZE,
  USER_PIECE_HEADER_SIZE,
  USER_PIECE_LZ4,
  USER_PIECE_ZSTD,
  USER_RUN_SIZE,
} from '../../assembly/layout.ts';
import { AegisError } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { Core } from '../core/wasm.ts';
import type { Codec, CompressionType } from './codec.ts';
import { apart, tryCompress, tryDecompress } from './codec.ts';
import { lz4 } from './lz4.ts';
import { WINDOW_IN, withScratch } from './scratch.ts';
import { CODEC_NUMBERS } from './store-codecs.ts';
import { frameContentSize, loadZstdSync } from './zstd.ts';

/** What a block is for; the engine only keeps it. */
export type BlockType = 'table' | 'timeseries' | 'document' | 'index' | 'log' | 'metadata';

/** Types in the order of their numbers, which begin with 1. */
export const BLOCK_TYPES: readonly BlockType[] = [
  'table',
  'timeseries',
  'document',
  'index',
  'log',
  'metadata',
];

/** What stands before the payload of a serialised block. Sizes are bytes. */
export interface BlockHeader {
  /** Version of the format. */
  readonly version: number;
  /** What the block is for. */
  readonly type: BlockType;
  /** Codec that was asked for. */
  readonly compression: CompressionType;
  /** Codec that the payload is stored with: `'none'` when compression saves nothing. */
  readonly codec: CompressionType;
  /** Size of the data. */
  readonly rawSize: number;
  /** Size of the payload as it is stored; the header comes to it. */
  readonly storedSize: number;
  /** XXH64 over header and payload, 16 hexadecimal digits. */
  readonly checksum: string;
}

/** Implementations to use instead of the built-in ones. */
export interface GivenCodecs {
  readonly lz4?: Codec | undefined;
  readonly zstd?: Codec | undefined;
}

/** What is serialised. */
export interface BlockContent {
  readonly data: Uint8Array;
  readonly type: BlockType;
  readonly compression: CompressionType;
  readonly level: number | undefined;
}

const COMPRESSIONS: readonly CompressionType[] = ['none', 'lz4', 'zstd'];
const STORED_PLAIN = 0x80000000;
/** Most bytes that one byte of an LZ4 block stands for. */
const LZ4_GAIN_MAX = 255;

function damage(what: string): AegisError {
  return new AegisError('CORRUPTION', `a block: ${what}`);
}

const FAULTS: Readonly<Record<number, string>> = {
  [DAMAGE_MAGIC]: 'no block begins here',
  [DAMAGE_IDENTITY]: 'its format is of an unknown version',
  [DAMAGE_KIND]: 'its type is unknown',
  [DAMAGE_CODEC]: 'its codec is unknown',
};

function pieceSizeOf(codec: number): number {
  return codec === CODEC_LZ4 ? USER_PIECE_LZ4 : USER_PIECE_ZSTD;
}

function codecFor(number: number, given: GivenCodecs): { codec: Codec; isGiven: boolean } {
  const own = number === CODEC_LZ4 ? given.lz4 : given.zstd;
  if (own) return { codec: apart(own), isGiven: true };
  return { codec: number === CODEC_LZ4 ? lz4 : loadZstdSync(), isGiven: false };
}

// --- encoding ---------------------------------------------------------------------------------------------------

/** The serialised form of a block. @throws AegisError `UNSUPPORTED` */
export function encodeBlock(block: BlockContent, given: GivenCodecs = {}): OwnBytes {
  const { data, type, compression } = block;
  const wanted = CODEC_NUMBERS[compression];
  let codec = wanted;
  let bytes = wanted === CODEC_NONE ? undefined : compressed(block, wanted, given);
  if (bytes === undefined) {
    codec = CODEC_NONE;
    bytes = new Uint8Array(USER_HEADER_SIZE + data.length);
    bytes.set(data, USER_HEADER_SIZE);
  }
  const whole = bytes;
  withScratch((core) => {
    const { x } = core;
    const stored = whole.length - USER_HEADER_SIZE;
    x.userHeaderSeal(KEY_AREA, 1 + BLOCK_TYPES.indexOf(type), wanted, codec, data.length, stored);
    addPayload(core, whole);
    x.userSumSeal(KEY_AREA);
    whole.set(core.u8.subarray(KEY_AREA, KEY_AREA + USER_HEADER_SIZE));
  });
  return whole;
}

function addPayload({ x, u8 }: Core, bytes: Uint8Array): void {
  for (let at = USER_HEADER_SIZE; at < bytes.length; at += USER_RUN_SIZE) {
    const run = bytes.subarray(at, at + USER_RUN_SIZE);
    u8.set(run, WINDOW_IN);
    x.userSumAdd(WINDOW_IN, run.length);
  }
}

/** Room for the header and the pieces behind it; undefined when they are not smaller than the data. */
function compressed({ data, level }: BlockContent, number: number, given: GivenCodecs): OwnBytes | undefined {
  const { codec, isGiven } = codecFor(number, given);
  const pieceSize = pieceSizeOf(number);
  const bytes = new Uint8Array(USER_HEADER_SIZE + data.length);
  const view = new DataView(bytes.buffer);
  let end = USER_HEADER_SIZE;
  for (let at = 0; at < data.length; at += pieceSize) {
    const raw = data.subarray(at, at + pieceSize);
    const body = end + USER_PIECE_HEADER_SIZE;
    // A compressed piece must be smaller than the piece, and the whole block smaller than the data.
    const room = Math.min(raw.length - 1, bytes.length - body - 1);
    if (room < 0) return undefined;
    const target = bytes.subarray(body, body + room);
    let size = tryCompress(codec, raw, target, level);
    if (isGiven && size > 0 && !restores(codec, number, target.subarray(0, size), raw)) size = 0;
    if (size === 0) {
      if (body + raw.length >= bytes.length) return undefined;
      bytes.set(raw, body);
    }
    view.setUint32(end, size === 0 ? raw.length + STORED_PLAIN : size, true);
    end = body + (size || raw.length);
  }
  return end < bytes.length ? bytes.slice(0, end) : undefined;
}

/** Whether what a codec from outside made is what it should be. */
function restores(codec: Codec, number: number, stored: Uint8Array, raw: Uint8Array): boolean {
  if (number === CODEC_ZSTD && frameContentSize(stored) !== raw.length) return false;
  const again = new Uint8Array(raw.length);
  const reader = number === CODEC_LZ4 ? lz4 : codec;
  return tryDecompress(reader, stored, again) && again.every((byte, at) => byte === raw[at]);
}

// --- decoding ---------------------------------------------------------------------------------------------------

/** The header of a serialised block, once it and the payload are known to be whole. @throws AegisError `CORRUPTION` */
export function checkBlock(bytes: Uint8Array): BlockHeader {
  withScratch((core) => {
    const { x } = core;
    core.u8.fill(0, KEY_AREA, KEY_AREA + USER_HEADER_SIZE);
    core.u8.set(bytes.subarray(0, USER_HEADER_SIZE), KEY_AREA);
    const fault = x.userHeaderCheck(KEY_AREA, Math.min(bytes.length, 2 ** 32 - 1));
    if (fault !== 0) throw damage(FAULTS[fault] ?? 'a size is impossible');
    addPayload(core, bytes);
    if (!x.userSumHolds(KEY_AREA)) throw damage('the checksum does not hold');
  });
  return headerOf(bytes);
}

/** What a header says; it must have been checked. */
export function headerOf(bytes: Uint8Array): BlockHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, USER_HEADER_SIZE);
  const hex = (at: number): string => view.getUint32(at, true).toString(16).padStart(8, '0');
  return Object.freeze({
    version: view.getUint16(6, true),
    type: BLOCK_TYPES[view.getUint8(4) - 1] as BlockType,
    compression: COMPRESSIONS[view.getUint8(16)] as CompressionType,
    codec: COMPRESSIONS[view.getUint8(5)] as CompressionType,
    rawSize: view.getUint32(8, true),
    storedSize: view.getUint32(12, true),
    checksum: hex(28) + hex(24),
  });
}

/** The data of a serialised block that was checked. @throws AegisError `CORRUPTION`, `UNSUPPORTED` */
export function decodeBlock(bytes: Uint8Array, header: BlockHeader, given: GivenCodecs): OwnBytes {
  if (header.codec === 'none') return bytes.slice(USER_HEADER_SIZE);
  const number = CODEC_NUMBERS[header.codec];
  const pieceSize = pieceSizeOf(number);
  const pieces = piecesOf(bytes, header.rawSize, number);
  const { codec } = codecFor(number, given);
  const data = new Uint8Array(header.rawSize);
  for (const [index, { stored, isPlain }] of pieces.entries()) {
    const target = data.subarray(index * pieceSize, (index + 1) * pieceSize);
    if (isPlain) target.set(stored);
    else if (!tryDecompress(codec, stored, target)) throw damage('the compressed bytes do not decode');
  }
  return data;
}

/** The pieces of a payload, each of which can be what it claims. */
function piecesOf(bytes: Uint8Array, raw: number, codec: number): { stored: Uint8Array; isPlain: boolean }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const pieceSize = pieceSizeOf(codec);
  const pieces: { stored: Uint8Array; isPlain: boolean }[] = [];
  let at = USER_HEADER_SIZE;
  for (let left = raw; left > 0; left -= pieceSize) {
    if (bytes.length - at < USER_PIECE_HEADER_SIZE) throw damage('a piece is missing');
    const word = view.getUint32(at, true);
    const isPlain = word >= STORED_PLAIN;
    const length = isPlain ? word - STORED_PLAIN : word;
    const size = Math.min(left, pieceSize);
    at += USER_PIECE_HEADER_SIZE;
    if (length > bytes.length - at || (isPlain ? length !== size : length >= size)) {
      throw damage('the length of a piece is impossible');
    }
    const stored = bytes.subarray(at, at + length);
    if (!isPlain) {
      const isPossible =
        codec === CODEC_LZ4 ? size <= length * LZ4_GAIN_MAX : frameContentSize(stored) === size;
      if (!isPossible) throw damage('a piece claims a size that it cannot have');
    }
    pieces.push({ stored, isPlain });
    at += length;
  }
  if (at !== bytes.length) throw damage('there is more behind the last piece');
  return pieces;
}
