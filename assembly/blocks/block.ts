/*
 * Blocks: a page (or a chunk of the page directory) as its bytes lie on a backend.
 *
 *   0       4      5       6         8        16      24         28            32         40         56         64
 *   +-------+------+-------+---------+--------+-------+----------+-------------+----------+----------+----------+----
 *   | magic | kind | codec | version | number | epoch | raw size | stored size | store id | reserved | checksum | payload
 *   +-------+------+-------+---------+--------+-------+----------+-------------+----------+----------+----------+----
 *
 * The checksum is XXH64 over the payload as stored, seeded with XXH64 of the 56 header bytes before it. A page's
 * payload is its records in order, {key length u16, word u32, key, value}, without slots and free space: reading one
 * builds the page anew, so that no bytes on a disk can make cells overlap or offsets lead elsewhere, and free space
 * is never stored. docs/format.md has the tables.
 *
 * Invariants
 *   1. Nothing of a block is believed before magic, sizes and checksum hold, and nothing of its payload before every
 *      record lies inside it: files may be hostile, and a checksum is no defence against that.
 *   2. A payload is stored compressed only when that saves at least one sector.
 *   3. A frame becomes resident only after the page in it is known to be sound.
 *   4. What a codec of the host made or undid is believed as little as what a file says: sizes are the header's, a
 *      page is built from the payload like from any other, and LZ4 that the host made must decode here to the page.
 *
 * Codecs of the host (codecsSet) need two calls. Writing: pagePayload() lays the payload down at payloadAddress(), the
 * host compresses it behind the header's place, blockSealStored() seals. Reading: pageLoad() checks the block and answers
 * ENCODED, the host decodes to payloadAddress(), pageLoadDecoded() builds the page.
 */
import { areasUse } from '../memory/areas';
import {
  AREA_STAGING,
  BLOCK_HEADER_SIZE,
  BLOCK_PAGE,
  CODEC_LZ4,
  CODEC_NONE,
  DAMAGE_CODEC,
  DAMAGE_COMPRESSION,
  DAMAGE_IDENTITY,
  DAMAGE_CHECKSUM,
  DAMAGE_MAGIC,
  DAMAGE_SIZE,
  ENCODED,
  FORMAT_VERSION,
  OK,
  PAGE_AREA,
  SECTOR_SIZE,
} from '../layout';
import { xxh64 } from './checksum';
import { lz4Compress, lz4Decompress } from './lz4';
import { frameAdmit, frameGive, framePin, frameTake } from '../pool/frames';
import {
  BLOCK_SUM,
  DEBUG,
  EPOCH,
  HOST_CODECS,
  MISS_EPOCH,
  PAYLOAD_ADDRESS,
  STORE_ID,
  bytesCommon,
  damaged,
  frameAddress,
  pageSize,
} from '../memory/memory';
import { pageAudit } from '../page/audit';
import { pageSpare } from '../page/page';
import { pageSerialise, pageBuild, pageExpect } from './payload';

const BLOCK_MAGIC: u32 = 0x42474541; // "AEGB"
function sectorsOf(bytes: u32): u32 {
  return (bytes + SECTOR_SIZE - 1) / SECTOR_SIZE;
}

/** Seals the payload that lies behind the header's place: header, checksum, padding. Answers the bytes to write. */
function seal(
  target: usize,
  kind: u32,
  codec: u32,
  low: u32,
  high: u32,
  epoch: u64,
  raw: u32,
  stored: u32,
): u32 {
  areasUse(AREA_STAGING);
  store<u32>(target, BLOCK_MAGIC);
  store<u8>(target, kind as u8, 4);
  store<u8>(target, codec as u8, 5);
  store<u16>(target, FORMAT_VERSION, 6);
  store<u32>(target, low, 8);
  store<u32>(target, high, 12);
  store<u64>(target, epoch, 16);
  store<u32>(target, raw, 24);
  store<u32>(target, stored, 28);
  store<u64>(target, load<u64>(STORE_ID), 32);
  store<u64>(target, 0, 40);
  store<u64>(target, 0, 48);
  const sum = blockSum(target, stored);
  store<u64>(target, sum, 56);
  store<u64>(BLOCK_SUM, sum);
  const length = BLOCK_HEADER_SIZE + stored;
  const padded = sectorsOf(length) * SECTOR_SIZE;
  memory.fill(target + length, 0, padded - length);
  return padded;
}

function blockSum(block: usize, stored: u32): u64 {
  return xxh64(block + BLOCK_HEADER_SIZE, stored, xxh64(block, 56, 0));
}

/** Puts a payload behind the header's place, compressed when that saves a sector; answers stored length | codec << 24. */
function storePayload(payload: usize, raw: u32, codec: u32, target: usize): u32 {
  const body = target + BLOCK_HEADER_SIZE;
  const sectors = sectorsOf(BLOCK_HEADER_SIZE + raw);
  if (codec == CODEC_LZ4 && sectors > 1) {
    const stored = lz4Compress(payload, raw, body, (sectors - 1) * SECTOR_SIZE - BLOCK_HEADER_SIZE);
    if (stored != 0) return stored | (CODEC_LZ4 << 24);
  }
  if (payload != body) memory.copy(body, payload, raw);
  return raw | (CODEC_NONE << 24);
}

/** Writes the page in a frame as a block; answers the bytes to write (whole sectors). blockSum*() give its checksum. */
export function blockSealPage(frame: u32, codec: u32, target: usize): u32 {
  const page = frameAddress(frame);
  areasUse(AREA_STAGING);
  const payload = codec == CODEC_NONE ? target + BLOCK_HEADER_SIZE : pageSpare();
  const raw = pageSerialise(page, payload);
  const stored = storePayload(payload, raw, codec, target);
  return seal(
    target,
    BLOCK_PAGE,
    stored >> 24,
    load<u32>(page),
    0,
    load<u64>(page, 8),
    raw,
    stored & 0xffffff,
  );
}

/** Lays a page's payload down for the host to compress (payloadAddress); answers its length. */
export function pagePayload(frame: u32): u32 {
  const payload = pageSpare();
  store<u32>(PAYLOAD_ADDRESS, payload as u32);
  return pageSerialise(frameAddress(frame), payload);
}

/**
 * Seals the page in a frame with the payload that the host has compressed to `stored` bytes behind the header's place;
 * answers the bytes to write. 0 when it is no LZ4 of this page.
 */
export function blockSealStored(frame: u32, codec: u32, stored: u32, target: usize): u32 {
  const page = frameAddress(frame);
  const raw = pagePayload(frame); // anew: the host's codec may have written on its source
  if (codec == CODEC_LZ4) {
    if (!lz4Decompress(target + BLOCK_HEADER_SIZE, stored, PAGE_AREA, raw) || !payloadSame(raw)) return 0;
  }
  return seal(target, BLOCK_PAGE, codec, load<u32>(page), 0, load<u64>(page, 8), raw, stored);
}

/** Whether the first spare page holds what pagePayload() has laid down. */
export function payloadSame(raw: u32): bool {
  return bytesCommon(PAGE_AREA, raw, pageSpare(), raw) == raw;
}

/** Writes any payload of up to 64 KiB as a block. */
export function blockSeal(
  kind: u32,
  low: u32,
  high: u32,
  payload: usize,
  raw: u32,
  codec: u32,
  target: usize,
): u32 {
  areasUse(AREA_STAGING);
  const stored = storePayload(payload, raw, codec, target);
  return seal(target, kind, stored >> 24, low, high, 0, raw, stored & 0xffffff);
}

/** Checks a block's header and checksum against what its reference says. */
export function blockVerify(
  block: usize,
  available: u32,
  kind: u32,
  low: u32,
  high: u32,
  sumLow: u32,
  sumHigh: u32,
): i32 {
  areasUse(AREA_STAGING);
  if (available < (BLOCK_HEADER_SIZE as u32)) return damaged(low, DAMAGE_SIZE);
  if (load<u32>(block) != BLOCK_MAGIC) return damaged(low, DAMAGE_MAGIC);
  const stored = load<u32>(block, 28);
  if (stored > available - BLOCK_HEADER_SIZE) return damaged(low, DAMAGE_SIZE);
  const sum = blockSum(block, stored);
  if (sum != load<u64>(block, 56)) return damaged(low, DAMAGE_CHECKSUM);
  if (sum != ((sumLow as u64) | ((sumHigh as u64) << 32))) return damaged(low, DAMAGE_IDENTITY);
  if (load<u64>(block, 32) != load<u64>(STORE_ID)) return damaged(low, DAMAGE_IDENTITY);
  if (load<u32>(block, 8) != low || load<u32>(block, 12) != high || load<u8>(block, 4) != kind) {
    return damaged(low, DAMAGE_IDENTITY);
  }
  if (load<u16>(block, 6) != FORMAT_VERSION) return damaged(low, DAMAGE_IDENTITY);
  return OK;
}

/** Codec of a block's payload as its header says, unchecked; 0xff when no block begins here. */
export function blockCodec(block: usize): u32 {
  return load<u32>(block) == BLOCK_MAGIC ? (load<u8>(block, 5) as u32) : 0xff;
}

/**
 * Brings a block's payload to `target`, which holds `most` bytes. ENCODED: the host has to decode it to that place
 * (payloadAddress), when `host` may.
 */
export function payloadOpen(block: usize, target: usize, most: u32, low: u32, host: bool): i32 {
  const raw = load<u32>(block, 24);
  const stored = load<u32>(block, 28);
  const codec = load<u8>(block, 5) as u32;
  if (raw == 0 || raw > most) return damaged(low, DAMAGE_SIZE);
  if (codec == CODEC_NONE) {
    if (raw != stored) return damaged(low, DAMAGE_SIZE);
    memory.copy(target, block + BLOCK_HEADER_SIZE, raw);
    return OK;
  }
  if (host && codec < 32 && load<u32>(HOST_CODECS) & (1 << codec)) {
    if (stored >= raw) return damaged(low, DAMAGE_SIZE);
    store<u32>(PAYLOAD_ADDRESS, target as u32);
    return ENCODED;
  }
  if (codec != CODEC_LZ4) return damaged(low, DAMAGE_CODEC);
  if (lz4Decompress(block + BLOCK_HEADER_SIZE, stored, target, raw)) return OK;
  return damaged(low, DAMAGE_COMPRESSION);
}

/** Checks a block that is no page and brings its payload to `target`; the payload must have `expected` bytes. */
export function blockOpen(
  block: usize,
  available: u32,
  kind: u32,
  low: u32,
  high: u32,
  sumLow: u32,
  sumHigh: u32,
  target: usize,
  expected: u32,
): i32 {
  const status = blockVerify(block, available, kind, low, high, sumLow, sumHigh);
  if (status != OK) return status;
  if (load<u32>(block, 24) != expected) return damaged(low, DAMAGE_SIZE);
  return payloadOpen(block, target, expected, low, false);
}

/**
 * Brings a page in: checks its block, builds it in a free frame, checks it against what the miss expects (when
 * `expecting`) and makes it resident, pinned and clean. `end` 0: the newest version; else an old one ending there.
 */
export function pageLoad(
  block: usize,
  available: u32,
  number: u32,
  sumLow: u32,
  sumHigh: u32,
  end: f64,
  expecting: bool,
): i32 {
  const status = blockVerify(block, available, BLOCK_PAGE, number, 0, sumLow, sumHigh);
  if (status != OK) return status;
  // No reader would see a version newer than the present epoch, and one newer than its reader would cause misses for
  // ever.
  const epoch = load<u64>(block, 16);
  if (epoch > load<u64>(EPOCH) || (expecting && epoch > load<u64>(MISS_EPOCH))) {
    return damaged(number, DAMAGE_IDENTITY);
  }
  const opened = payloadOpen(block, pageSpare(), pageSize, number, true);
  return opened == OK ? pageLoadDecoded(block, number, end, expecting) : opened;
}

/** The rest of pageLoad(), of the same block, once the host has decoded its payload. */
export function pageLoadDecoded(block: usize, number: u32, end: f64, expecting: bool): i32 {
  areasUse(AREA_STAGING);
  const frame = frameTake();
  const page = frameAddress(frame);
  const what = pageBuild(page, number, load<u64>(block, 16), pageSpare(), load<u32>(block, 24));
  const fault = what == 0 && expecting ? pageExpect(page) : what;
  if (fault != 0) {
    memory.fill(page, 0, pageSize); // a half-built page must not leak into the frame's next life
    frameGive(frame);
    return damaged(number, fault);
  }
  if (DEBUG) pageAudit(page);
  frameAdmit(frame, false, end as u64);
  framePin(frame);
  return OK;
}
