/*
 * User blocks: any bytes a program wants kept as one thing, in a form of their own that holds wherever they lie.
 *
 *   0       4      5       6         8          12            16       17         24         32
 *   +-------+------+-------+---------+----------+-------------+--------+----------+----------+----
 *   | magic | type | codec | version | raw size | stored size | wanted | reserved | checksum | payload
 *   +-------+------+-------+---------+----------+-------------+--------+----------+----------+----
 *
 * `wanted` is the codec that was asked for, `codec` the one the payload is stored with: none when nothing is saved. The
 * checksum is XXH64 over the payload in runs of USER_RUN_SIZE, each seeded with the sum of what is before it, the first
 * one with the sum of the 24 header bytes. A compressed payload is a row of pieces (docs/format.md).
 *
 * A block of up to 1 GiB passes through a window of this memory, run by run: the host moves it.
 *
 * Invariants
 *   1. Header and payload are under one checksum, and the header's sizes fit the bytes that are there before any of the
 *      payload is looked at.
 */
import {
  CODEC_NONE,
  CODEC_ZSTD,
  DAMAGE_CODEC,
  DAMAGE_IDENTITY,
  DAMAGE_KIND,
  DAMAGE_MAGIC,
  DAMAGE_SIZE,
  FORMAT_VERSION,
  USER_HEADER_SIZE,
  USER_TYPE_COUNT,
  VALUE_SIZE_MAX,
} from '../layout';
import { xxh64 } from './checksum';
import { USER_SUM } from '../memory/memory';

const USER_MAGIC: u32 = 0x55474541; // "AEGU"
const SUMMED_SIZE: u32 = 24; // bytes of the header under the checksum

/** Writes a header but for its checksum, and begins that. */
export function userHeaderSeal(
  header: usize,
  type: u32,
  wanted: u32,
  codec: u32,
  raw: u32,
  stored: u32,
): void {
  store<u32>(header, USER_MAGIC);
  store<u8>(header, type as u8, 4);
  store<u8>(header, codec as u8, 5);
  store<u16>(header, FORMAT_VERSION, 6);
  store<u32>(header, raw, 8);
  store<u32>(header, stored, 12);
  store<u64>(header, wanted as u64, 16);
  store<u64>(USER_SUM, xxh64(header, SUMMED_SIZE, 0));
}

/** Says what is wrong with the header of a block of so many bytes, 0 when nothing is, and begins its checksum. */
export function userHeaderCheck(header: usize, available: u32): u32 {
  if (available < (USER_HEADER_SIZE as u32)) return DAMAGE_SIZE;
  if (load<u32>(header) != USER_MAGIC) return DAMAGE_MAGIC;
  if (load<u16>(header, 6) != FORMAT_VERSION) return DAMAGE_IDENTITY;
  const type = load<u8>(header, 4) as u32;
  if (type == 0 || type > (USER_TYPE_COUNT as u32)) return DAMAGE_KIND;
  const codec = load<u8>(header, 5) as u32;
  const wanted = load<u64>(header, 16);
  if (wanted > (CODEC_ZSTD as u64) || (codec != (CODEC_NONE as u32) && codec != (wanted as u32))) {
    return DAMAGE_CODEC;
  }
  const raw = load<u32>(header, 8);
  const stored = load<u32>(header, 12);
  if (raw > (VALUE_SIZE_MAX as u32) || stored != available - USER_HEADER_SIZE) return DAMAGE_SIZE;
  if (codec == CODEC_NONE ? stored != raw : stored >= raw) return DAMAGE_SIZE;
  store<u64>(USER_SUM, xxh64(header, SUMMED_SIZE, 0));
  return 0;
}

/** Adds the next run of the payload to the checksum. */
export function userSumAdd(address: usize, length: u32): void {
  store<u64>(USER_SUM, xxh64(address, length, load<u64>(USER_SUM)));
}

/** Enters the checksum in the header. */
export function userSumSeal(header: usize): void {
  store<u64>(header, load<u64>(USER_SUM), 24);
}

/** Whether the header has the checksum of what was added. */
export function userSumHolds(header: usize): bool {
  return load<u64>(header, 24) == load<u64>(USER_SUM);
}
