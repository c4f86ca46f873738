/*
 * What the engine's encoders make of known values, for every structure that one of them writes: the fields as the
 * byte table under that heading in docs/format.md names them. A new field belongs in both.
 *
 * Every value differs from all others in all its bytes, as far as the encoder takes them, so that a field that is
 * cut elsewhere or too short never looks right.
 */
import {
  BLOCK_CHUNK,
  BLOCK_HEADER_SIZE,
  CODEC_NONE,
  CODEC_ZSTD,
  FORMAT_VERSION,
  GROUP_HEADER_SIZE,
  INPUT_AREA,
  LOG_AREA,
  PART_FIRST,
  PART_HEADER_SIZE,
  PART_LAST,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  SECTOR_SIZE,
  STAGING_AREA,
  USER_HEADER_SIZE,
} from '../../assembly/layout.ts';
import { createCore } from '../../src/core/wasm.ts';
import { Block } from '../../src/engine/block.ts';
import { KIND_PAGE, writePlace } from '../../src/store/directory.ts';
import { decodeSuperblock, encodeSuperblock, type Superblock } from '../../src/store/superblock.ts';
import { MAIN_TREE } from '../../src/store/tree-name.ts';
import { fastXxh64 } from '../damage/fast-xxh64.ts';
import { bytesOf } from './document.ts';

/** What a field holds: a number, or its bytes. */
export type Value = bigint | Uint8Array;

export interface Sample {
  readonly bytes: Uint8Array;
  readonly fields: Readonly<Record<string, Value>>;
}

const STORE_ID = [0xa1b2c3d4, 0xe5f60718] as const;
const core = createCore({ pageSize: 4096, frames: 16, storeId: STORE_ID });
const { x, u8 } = core;

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const pair = ([low, high]: readonly [number, number]): bigint => BigInt(low) | (BigInt(high) << 32n);

/** Rows of the superblock by the property that holds them; the magic, version and checksum are the encoder's own. */
const SUPERBLOCK_ROWS: Readonly<Record<keyof Superblock, string>> = {
  storeId: 'store id',
  generation: 'generation',
  fence: 'fence',
  epoch: 'epoch',
  sequence: 'sequence',
  lsn: 'LSN',
  link: 'link',
  mark: 'mark',
  pageSize: 'page size',
  codecs: 'codecs',
  directory: 'directory',
  chunkCount: 'chunks',
  nextPage: 'next page',
  mainRoot: 'main root',
  catalogRoot: 'catalog root',
  nextTree: 'next tree',
  nextBlock: 'next block',
  endSector: 'end sector',
  logSize: 'log size',
};

function superblock(): Sample {
  const value: Superblock = {
    storeId: STORE_ID,
    generation: 0x1a_0102_0304_0506,
    fence: 0x1b_1112_1314_1516,
    epoch: 0x1c_2122_2324_2526,
    sequence: 0x1d_3132_3334_3536,
    lsn: 0x1e_4142_4344_4600,
    link: [0x51525354, 0x55565758],
    mark: 0x1f_6162_6364_6566,
    pageSize: 8192,
    directory: { start: 0x01020304, sectors: 0x050607, sumLow: 0x08090a0b, sumHigh: 0x0c0d0e0f },
    chunkCount: 0x0010_2030,
    nextPage: 0x2030_4050,
    mainRoot: 0x1121_3141,
    catalogRoot: 0x1222_3242,
    nextTree: 0x1323_3343,
    nextBlock: 0x18_7172_7374_7576,
    endSector: 0x19_8182_8384_8586,
    codecs: 0x1424_3444,
    logSize: 0x17_9192_9394_9596,
  };
  const bytes = encodeSuperblock(core, value);
  const fields: Record<string, Value> = {
    magic: text('AEGS'),
    version: BigInt(FORMAT_VERSION),
    checksum: fastXxh64(bytes.subarray(0, 504), 0n),
  };
  // Named by what is read back, so that a field the decoder learns is asked for here.
  for (const name of Object.keys(readBack(bytes, value)) as (keyof Superblock)[]) {
    const given = value[name];
    if (typeof given === 'number') fields[SUPERBLOCK_ROWS[name]] = BigInt(given);
    else if ('start' in given) fields[SUPERBLOCK_ROWS[name]] = entryBytes(given, 0);
    else fields[SUPERBLOCK_ROWS[name]] = pair(given);
  }
  return { bytes, fields };
}

/** The decoder refuses numbers that are no store's; the names of its fields are the same for one that it takes. */
function readBack(bytes: Uint8Array, value: Superblock): object {
  const content = decodeSuperblock(core, bytes);
  if ('superblock' in content) return content.superblock;
  const possible = { ...value, directory: { start: 0, sectors: 0, sumLow: 0, sumHigh: 0 }, chunkCount: 0 };
  const again = decodeSuperblock(core, encodeSuperblock(core, possible));
  if (!('superblock' in again)) throw new Error('the sample is no superblock');
  return again.superblock;
}

function entryBytes(place: Parameters<typeof writePlace>[2], kind: number): Uint8Array {
  const words = new Uint32Array(4);
  writePlace(words, 0, place, kind);
  return new Uint8Array(words.buffer);
}

function directoryEntry(): Sample {
  const place = { start: 0xf1020304, sectors: 0xf50607, sumLow: 0xf8090a0b, sumHigh: 0xfc0d0e0f };
  return {
    bytes: entryBytes(place, KIND_PAGE),
    fields: {
      start: BigInt(place.start),
      sectors: BigInt(place.sectors),
      kind: BigInt(KIND_PAGE),
      checksum: pair([place.sumLow, place.sumHigh]),
    },
  };
}

function block(): Sample {
  const payload = Uint8Array.from({ length: 300 }, (_, index) => index * 7);
  u8.set(payload, INPUT_AREA);
  const [number, level] = [0x71727374, 0x75767778];
  const length = x.blockSeal(
    BLOCK_CHUNK,
    number,
    level,
    INPUT_AREA,
    payload.length,
    CODEC_NONE,
    STAGING_AREA,
  );
  const bytes = u8.slice(STAGING_AREA, STAGING_AREA + length).subarray(0, BLOCK_HEADER_SIZE + payload.length);
  return {
    bytes,
    fields: {
      magic: text('AEGB'),
      kind: BigInt(BLOCK_CHUNK),
      codec: BigInt(CODEC_NONE),
      version: BigInt(FORMAT_VERSION),
      number: BigInt(number),
      level: BigInt(level),
      epoch: 0n,
      'raw size': BigInt(payload.length),
      'stored size': BigInt(payload.length),
      'store id': pair(STORE_ID),
      checksum: fastXxh64(payload, fastXxh64(bytes.subarray(0, 56), 0n)),
      payload,
    },
  };
}

function userBlock(): Sample {
  const data = Uint8Array.from({ length: 0x1234 }, (_, index) => (index < 0x1100 ? 7 : index * 7));
  const bytes = new Block(data, { type: 'document' }).withCompression('zstd').serialize();
  const payload = bytes.subarray(USER_HEADER_SIZE);
  return {
    bytes,
    fields: {
      magic: text('AEGU'),
      type: 3n,
      codec: BigInt(CODEC_ZSTD),
      version: BigInt(FORMAT_VERSION),
      'raw size': BigInt(data.length),
      'stored size': BigInt(payload.length),
      wanted: BigInt(CODEC_ZSTD),
      checksum: fastXxh64(payload, fastXxh64(bytes.subarray(0, 24), 0n)),
      payload,
    },
  };
}

function segment(): Sample {
  const [lsn, size, fence] = [0x1e_4142_4344_4600, 0x6162_6400, 0x1b_1112_1314_1516];
  x.groupConfigure(...STORE_ID, fence);
  const address = x.segmentSeal(lsn, size);
  const bytes = u8.slice(address, address + SECTOR_SIZE);
  return {
    bytes,
    fields: {
      magic: text('ASEG'),
      version: BigInt(FORMAT_VERSION),
      'store id': pair(STORE_ID),
      fence: BigInt(fence),
      'first LSN': BigInt(lsn),
      size: BigInt(size),
      checksum: fastXxh64(bytes.subarray(0, 56), 0n),
    },
  };
}

function group(): Sample {
  const [lsn, mark, fence] = [0x1e_4142_4344_4600, 0x1d_3132_3334_3400, 0x1b_1112_1314_1516];
  const link = [0x51525354, 0x55565758] as const;
  const payload = Uint8Array.from({ length: 0x1234 }, (_, index) => index * 11);
  u8.set(payload, LOG_AREA + 64);
  x.groupConfigure(...STORE_ID, fence);
  x.groupLinkSet(...link);
  x.groupSeal(LOG_AREA, payload.length, lsn, mark);
  const bytes = u8.slice(LOG_AREA, LOG_AREA + 64 + payload.length);
  return {
    bytes,
    fields: {
      magic: text('AGRP'),
      length: BigInt(payload.length),
      'store id': pair(STORE_ID),
      fence: BigInt(fence),
      LSN: BigInt(lsn),
      link: pair(link),
      mark: BigInt(mark),
      'payload checksum': fastXxh64(payload, 0n),
      checksum: fastXxh64(bytes.subarray(0, 56), 0n),
      payload,
    },
  };
}

function part(): Sample {
  const [sequence, count] = [0x1d_3132_3334_3536, 0x81828384];
  const records = Uint8Array.from({ length: 0x228 }, (_, index) => index * 13);
  u8.set(records, LOG_AREA + 24);
  const end = x.partSeal(LOG_AREA, LOG_AREA + 24 + records.length, PART_FIRST, sequence, count);
  return {
    bytes: u8.slice(LOG_AREA, end),
    fields: {
      length: BigInt(records.length),
      flags: BigInt(PART_FIRST),
      sequence: BigInt(sequence),
      count: BigInt(count),
      records,
    },
  };
}

function record(): Sample {
  const [tree, key, value] = [0x91929394, text('a key of nineteen !'), text('and what it has')];
  u8.set([...key, ...value], LOG_AREA + 12);
  const end = x.recordSeal(LOG_AREA, RECORD_PUT, tree, key.length, value.length);
  return {
    bytes: u8.slice(LOG_AREA, end).subarray(0, 12 + key.length + value.length),
    fields: {
      kind: BigInt(RECORD_PUT),
      'key length': BigInt(key.length),
      tree: BigInt(tree),
      'value length': BigInt(value.length),
      key,
      value,
    },
  };
}

/** A group with one commit, the fifth: `key` gets `value` in the default tree. The store's id is 0102030405060708. */
export function smallGroup(): Uint8Array {
  const [key, value] = [text('key'), text('value')];
  x.groupConfigure(0x04030201, 0x08070605, 2);
  x.groupLinkSet(0x11111111, 0x11111111);
  const part = LOG_AREA + GROUP_HEADER_SIZE;
  const at = part + PART_HEADER_SIZE;
  u8.set([...key, ...value], at + RECORD_HEADER_SIZE);
  const end = x.recordSeal(at, RECORD_PUT, MAIN_TREE, key.length, value.length);
  const next = x.partSeal(part, end, PART_FIRST | PART_LAST, 5, 1);
  x.groupSeal(LOG_AREA, next - part, 2 * SECTOR_SIZE, SECTOR_SIZE);
  return u8.slice(LOG_AREA, next);
}

/** Samples by heading. Structures that are written as part of a page only are held by reader.ts. */
export const SAMPLES: Readonly<Record<string, () => Sample>> = {
  Superblock: superblock,
  Block: block,
  'Directory entry': directoryEntry,
  'User block': userBlock,
  'Log segment': segment,
  'Log group': group,
  'Log part': part,
  'Log record': record,
};

/** The bytes that a value must have in a field of that size. */
export function valueBytes(value: Value, size: number): Uint8Array {
  return typeof value === 'bigint' ? bytesOf(value, size) : value;
}
