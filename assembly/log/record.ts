/*
 * Log groups: what the write-ahead log writes at once, and the headers of the segment files they lie in.
 *
 * A group starts on a multiple of 512, in the log and in its file, and is padded to 512 with zeros:
 *
 *   0       4        8          16      24    32     40     48                56                 64
 *   +-------+--------+----------+-------+-----+------+------+-----------------+------------------+---------
 *   | magic | length | store id | fence | LSN | link | mark | XXH64 (payload) | XXH64 (0..56)    | payload
 *   +-------+--------+----------+-------+-----+------+------+-----------------+------------------+---------
 *
 * The last word is the group's checksum, and the link of the next group is that word: a chain. Having one of its
 * own, a header says its mark even when the payload behind it is torn.
 * Payload = parts, each at a multiple of 8: {bytes after this header u32, flags u32, sequence u64, records u32,
 * zero u32}, then records at multiples of 4: {kind u8, zero u8, key length u16, tree u32, value length u32}, key,
 * value. A long put carries the length of its value only; the value follows in pieces, also over several groups.
 * The key of a record that begins or ends a tree is the tree's name.
 * Segment header: {magic u32, version u32, store id u64, fence u64, first LSN u64, size u32}, zeros, XXH64 (0..56)
 * at 56, zeros up to 512.
 *
 * Owns the state area from 0x800 on: identity, link, the value that is being continued, one segment header.
 *
 *   1. The link is the checksum of the last group sealed or accepted; only groupSeal, groupAccept and groupLinkSet
 *      change it.
 *   2. A check reads nothing outside the bytes it was given, whatever they say.
 *   3. Checksum and structure are separate facts: bytes that were forged have a checksum as well.
 *
 * Nothing here knows files; whether a group counts is decided in src/wal.
 */
import { xxh64 } from '../blocks/checksum';
import {
  DAMAGE_OVERFLOW,
  DAMAGE_CHECKSUM,
  DAMAGE_IDENTITY,
  DAMAGE_KIND,
  DAMAGE_MAGIC,
  DAMAGE_NONE,
  DAMAGE_ORDER,
  DAMAGE_SIZE,
  FORMAT_VERSION,
  GROUP_HEADER_SIZE,
  KEY_SIZE_MAX,
  LOG_BUFFER_SIZE,
  NAME_SIZE_MAX,
  PART_FIRST,
  PART_HEADER_SIZE,
  PART_LAST,
  RECORD_DROP,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  RECORD_PUT_LONG,
  RECORD_TREE,
  RECORD_VALUE,
  SEGMENT_HEADER_SIZE,
  STATE_AREA,
  SECTOR_SIZE,
  VALUE_SIZE_MAX,
} from '../layout';

const GROUP_MAGIC: u32 = 0x50524741; // "AGRP"
const SEGMENT_MAGIC: u32 = 0x47455341; // "ASEG"

const WHOLE: u32 = PART_FIRST | PART_LAST;

// Sizes as they are compared here: with lengths from a file, unsigned.
const GROUP_HEADER: u32 = GROUP_HEADER_SIZE;
const PAYLOAD_MAX: u32 = LOG_BUFFER_SIZE - GROUP_HEADER_SIZE;
const PART_HEADER: u32 = PART_HEADER_SIZE;
const RECORD_HEADER: u32 = RECORD_HEADER_SIZE;
const KEY_MAX: u32 = KEY_SIZE_MAX;
const NAME_MAX: u32 = NAME_SIZE_MAX;
const VALUE_MAX: u32 = VALUE_SIZE_MAX;

// --- state ---
const STORE_ID: usize = STATE_AREA + 0x800; // u64
const FENCE: usize = STATE_AREA + 0x808; // u64: of the groups sealed here
const LINK: usize = STATE_AREA + 0x810; // u64
const VALUE_OPEN: usize = STATE_AREA + 0x818; // u32: bytes of a long value still to come after the last accepted group
const VALUE_LEFT: usize = STATE_AREA + 0x81c; // u32: the same after the group just walked
const FIRST_SEQUENCE: usize = STATE_AREA + 0x820; // u64, of the group just walked; so are the next three
const LAST_SEQUENCE: usize = STATE_AREA + 0x828; // u64
const FLAGS: usize = STATE_AREA + 0x830; // u32
const PARTS: usize = STATE_AREA + 0x834; // u32
const SEGMENT: usize = STATE_AREA + 0xa00; // a segment header on its way out

// --- fields of a group and of a segment header; magic, store id, fence and checksum lie alike in both ---
const AT_LENGTH: usize = 4;
const AT_VERSION: usize = 4;
const AT_STORE_ID: usize = 8;
const AT_FENCE: usize = 16;
const AT_LSN: usize = 24;
const AT_LINK: usize = 32;
const AT_SIZE: usize = 32;
const AT_MARK: usize = 40;
const AT_PAYLOAD_SUM: usize = 48;
const AT_SUM: usize = 56;

function wordOf(low: u32, high: u32): u64 {
  return (low as u64) | ((high as u64) << 32);
}

/** Whether a number crosses to JavaScript exactly. */
function isExact(value: u64): bool {
  return value >> 53 == 0;
}

function isSectorAligned(value: u64): bool {
  return value % SECTOR_SIZE == 0;
}

function padded(payloadLength: u32): u32 {
  return (GROUP_HEADER_SIZE + payloadLength + SECTOR_SIZE - 1) & ~(SECTOR_SIZE - 1);
}

/** Says whose groups these are and the fence new ones carry. */
export function groupConfigure(storeIdLow: u32, storeIdHigh: u32, fence: f64): void {
  store<u64>(STORE_ID, wordOf(storeIdLow, storeIdHigh));
  store<u64>(FENCE, fence as u64);
}

/** Goes on after the group with this checksum, with no long value open. */
export function groupLinkSet(low: u32, high: u32): void {
  store<u64>(LINK, wordOf(low, high));
  store<u32>(VALUE_OPEN, 0);
}

export function groupLinkLow(): u32 {
  return load<u32>(LINK);
}
export function groupLinkHigh(): u32 {
  return load<u32>(LINK, 4);
}

/**
 * Finishes the group at `address`, whose payload lies behind the place of its header: writes header and padding,
 * and makes it the one the next group links to. Answers its length with padding.
 */
export function groupSeal(address: usize, payloadLength: u32, lsn: f64, mark: f64): u32 {
  assert(payloadLength <= PAYLOAD_MAX, 'a group fits one log buffer');
  assert(
    isSectorAligned(address) && isSectorAligned(lsn as u64) && isSectorAligned(mark as u64),
    'groups and marks lie on sector boundaries',
  );
  assert(mark <= lsn, 'a mark never names what is not written yet');
  const end = address + GROUP_HEADER_SIZE + payloadLength;
  const length = padded(payloadLength);
  memory.fill(end, 0, address + length - end);
  store<u32>(address, GROUP_MAGIC);
  store<u32>(address, payloadLength, AT_LENGTH);
  store<u64>(address, load<u64>(STORE_ID), AT_STORE_ID);
  store<u64>(address, load<u64>(FENCE), AT_FENCE);
  store<u64>(address, lsn as u64, AT_LSN);
  store<u64>(address, load<u64>(LINK), AT_LINK);
  store<u64>(address, mark as u64, AT_MARK);
  store<u64>(address, xxh64(address + GROUP_HEADER_SIZE, payloadLength, 0), AT_PAYLOAD_SUM);
  store<u64>(address, xxh64(address, AT_SUM as u32, 0), AT_SUM);
  store<u64>(LINK, load<u64>(address, AT_SUM));
  return length;
}

/** What is wrong with the 64 bytes at `address` as the header of a group of this store: a damage, or none. */
export function groupHeaderCheck(address: usize): u32 {
  if (load<u32>(address) != GROUP_MAGIC) return DAMAGE_MAGIC;
  if (xxh64(address, AT_SUM as u32, 0) != load<u64>(address, AT_SUM)) return DAMAGE_CHECKSUM;
  if (load<u64>(address, AT_STORE_ID) != load<u64>(STORE_ID)) return DAMAGE_IDENTITY;
  if (load<u32>(address, AT_LENGTH) > PAYLOAD_MAX) return DAMAGE_SIZE;
  const lsn = load<u64>(address, AT_LSN);
  const mark = load<u64>(address, AT_MARK);
  if (!isExact(lsn) || !isSectorAligned(lsn) || !isSectorAligned(mark) || mark > lsn) return DAMAGE_ORDER;
  return isExact(load<u64>(address, AT_FENCE)) ? DAMAGE_NONE : DAMAGE_ORDER;
}

/** Offset of the first sector among `length` bytes that starts with a whole group header; `length` if none does. */
export function groupFind(address: usize, length: u32): u32 {
  for (let at: u32 = 0; at < length && length - at >= GROUP_HEADER; at += SECTOR_SIZE) {
    if (groupHeaderCheck(address + at) == DAMAGE_NONE) return at;
  }
  return length;
}

// The following read a header that groupHeaderCheck found whole.
/** Length with padding. */
export function groupLength(address: usize): u32 {
  return padded(load<u32>(address, AT_LENGTH));
}
export function groupPayloadLength(address: usize): u32 {
  return load<u32>(address, AT_LENGTH);
}
export function groupLsn(address: usize): f64 {
  return load<u64>(address, AT_LSN) as f64;
}
export function groupMark(address: usize): f64 {
  return load<u64>(address, AT_MARK) as f64;
}
export function groupFence(address: usize): f64 {
  return load<u64>(address, AT_FENCE) as f64;
}

/** Whether the group links to the last one accepted. */
export function groupFollows(address: usize): bool {
  return load<u64>(address, AT_LINK) == load<u64>(LINK);
}

/** Whether the payload behind a whole header is the one that was sealed with it. */
export function groupPayloadHolds(address: usize): bool {
  const length = load<u32>(address, AT_LENGTH);
  return xxh64(address + GROUP_HEADER_SIZE, length, 0) == load<u64>(address, AT_PAYLOAD_SUM);
}

/** Makes a group the last one accepted; it has been walked by groupStructureCheck. */
export function groupAccept(address: usize): void {
  store<u64>(LINK, load<u64>(address, AT_SUM));
  store<u32>(VALUE_OPEN, load<u32>(VALUE_LEFT));
}

/** Bytes of a long value that are still to come after the last accepted group. */
export function groupOpen(): u32 {
  return load<u32>(VALUE_OPEN);
}
export function groupOpenSet(bytes: u32): void {
  store<u32>(VALUE_OPEN, bytes);
}

/**
 * Walks the records of one part, which ends with less than 8 bytes of padding. The long value they may continue or
 * leave open is kept in VALUE_LEFT.
 */
function recordsCheck(at: usize, length: u32, count: u32): u32 {
  let open = load<u32>(VALUE_LEFT);
  let left = length;
  for (; count > 0; count--) {
    if (left < RECORD_HEADER) return DAMAGE_SIZE;
    const kind: i32 = load<u8>(at);
    const key: u32 = load<u16>(at, 2);
    const value = load<u32>(at, 8);
    if (kind < RECORD_PUT || kind > RECORD_DROP || load<u8>(at, 1) != 0) return DAMAGE_KIND;
    if (key > KEY_MAX || value > VALUE_MAX) return DAMAGE_SIZE;
    if (kind == RECORD_VALUE) {
      if (key != 0 || value == 0 || value > open) return DAMAGE_OVERFLOW;
      open -= value;
    } else if (open != 0) {
      return DAMAGE_OVERFLOW;
    } else if (kind == RECORD_PUT_LONG) {
      if (value == 0) return DAMAGE_OVERFLOW;
      open = value;
    } else if (kind != RECORD_PUT && value != 0) {
      return DAMAGE_SIZE;
    } else if (kind >= RECORD_TREE && (key == 0 || key > NAME_MAX)) {
      return DAMAGE_SIZE;
    }
    const bytes = RECORD_HEADER + key + (kind == RECORD_PUT_LONG ? 0 : value);
    const size = (bytes + 3) & ~3;
    if (size > left) return DAMAGE_SIZE;
    at += size;
    left -= size;
  }
  store<u32>(VALUE_LEFT, open);
  return left < 8 ? DAMAGE_NONE : DAMAGE_SIZE;
}

/** What is wrong with a part at `at` among `left` bytes, given the part before it in the group, if any. */
function partCheck(at: usize, left: u32): u32 {
  if (left < PART_HEADER) return DAMAGE_SIZE;
  const length = load<u32>(at);
  const flags = load<u32>(at, 4);
  const sequence = load<u64>(at, 8);
  if (length > left - PART_HEADER) return DAMAGE_SIZE;
  if ((flags & ~WHOLE) != 0 || load<u32>(at, 20) != 0) return DAMAGE_KIND;
  if (sequence == 0 || !isExact(sequence)) return DAMAGE_ORDER;
  if (load<u32>(PARTS) > 0) {
    // If a group has several parts, each is a whole commit.
    if (load<u32>(FLAGS) != WHOLE || flags != WHOLE) return DAMAGE_ORDER;
    if (sequence != load<u64>(LAST_SEQUENCE) + 1) return DAMAGE_ORDER;
  }
  if ((flags & PART_FIRST) != 0 && load<u32>(VALUE_LEFT) != 0) return DAMAGE_OVERFLOW;
  const what = recordsCheck(at + PART_HEADER_SIZE, length, load<u32>(at, 16));
  if (what != DAMAGE_NONE) return what;
  return (flags & PART_LAST) != 0 && load<u32>(VALUE_LEFT) != 0 ? DAMAGE_OVERFLOW : DAMAGE_NONE;
}

/**
 * What is wrong with the parts and records of a whole group: a damage, or none. Then groupParts() and the three
 * after it say what the group holds.
 */
export function groupStructureCheck(address: usize): u32 {
  store<u32>(VALUE_LEFT, load<u32>(VALUE_OPEN));
  store<u32>(PARTS, 0);
  store<u32>(FLAGS, WHOLE);
  const length = load<u32>(address, AT_LENGTH);
  for (let at: u32 = 0; at < length; ) {
    const part = address + GROUP_HEADER_SIZE + at;
    const what = partCheck(part, length - at);
    if (what != DAMAGE_NONE) return what;
    const parts = load<u32>(PARTS);
    const sequence = load<u64>(part, 8);
    if (parts == 0) store<u64>(FIRST_SEQUENCE, sequence);
    store<u64>(LAST_SEQUENCE, sequence);
    store<u32>(FLAGS, load<u32>(part, 4));
    store<u32>(PARTS, parts + 1);
    at = (at + PART_HEADER_SIZE + load<u32>(part) + 7) & ~7;
  }
  return DAMAGE_NONE;
}

/** Number of parts in the group; one without any only carries a mark. */
export function groupParts(): u32 {
  return load<u32>(PARTS);
}
/** PART_FIRST if the group begins with the start of a commit, PART_LAST if it ends with the end of one. */
export function groupFlags(): u32 {
  return load<u32>(FLAGS);
}
export function groupFirstSequence(): f64 {
  return load<u64>(FIRST_SEQUENCE) as f64;
}
export function groupLastSequence(): f64 {
  return load<u64>(LAST_SEQUENCE) as f64;
}

/** Makes the header of a segment whose first byte has this LSN; answers where its 512 bytes lie. */
export function segmentSeal(firstLsn: f64, size: u32): usize {
  assert(
    isSectorAligned(firstLsn as u64) && isSectorAligned(size) && (size as i32) > SEGMENT_HEADER_SIZE,
    'segments are made of whole sectors',
  );
  memory.fill(SEGMENT, 0, SEGMENT_HEADER_SIZE);
  store<u32>(SEGMENT, SEGMENT_MAGIC);
  store<u32>(SEGMENT, FORMAT_VERSION, AT_VERSION);
  store<u64>(SEGMENT, load<u64>(STORE_ID), AT_STORE_ID);
  store<u64>(SEGMENT, load<u64>(FENCE), AT_FENCE);
  store<u64>(SEGMENT, firstLsn as u64, AT_LSN);
  store<u32>(SEGMENT, size, AT_SIZE);
  store<u64>(SEGMENT, xxh64(SEGMENT, AT_SUM as u32, 0), AT_SUM);
  return SEGMENT;
}

/** What is wrong with the 64 bytes at `address` as a segment header: a damage, or none. KIND: another version. */
export function segmentCheck(address: usize): u32 {
  if (load<u32>(address) != SEGMENT_MAGIC) return DAMAGE_MAGIC;
  if (xxh64(address, AT_SUM as u32, 0) != load<u64>(address, AT_SUM)) return DAMAGE_CHECKSUM;
  if (load<u64>(address, AT_STORE_ID) != load<u64>(STORE_ID)) return DAMAGE_IDENTITY;
  if (load<u32>(address, AT_VERSION) != FORMAT_VERSION) return DAMAGE_KIND;
  const size = load<u32>(address, AT_SIZE);
  if (!isSectorAligned(size) || (size as i32) <= SEGMENT_HEADER_SIZE) return DAMAGE_SIZE;
  const lsn = load<u64>(address, AT_LSN);
  return isExact(lsn) && isSectorAligned(lsn) && isExact(load<u64>(address, AT_FENCE))
    ? DAMAGE_NONE
    : DAMAGE_ORDER;
}

// The following read a segment header that segmentCheck found whole.
export function segmentFirstLsn(address: usize): f64 {
  return load<u64>(address, AT_LSN) as f64;
}
export function segmentSize(address: usize): u32 {
  return load<u32>(address, AT_SIZE);
}
export function segmentFence(address: usize): f64 {
  return load<u64>(address, AT_FENCE) as f64;
}
