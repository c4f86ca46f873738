/*
 * Payloads: a page as the bytes of its block, without slots and free space, and back.
 *
 * Building a page from a payload lays it out afresh and believes nothing: every record must lie inside the payload,
 * every length, key order and reference must be possible. What comes out is whole by construction, or it is refused.
 * docs/format.md has the tables.
 */
import {
  DAMAGE_KIND,
  DAMAGE_ORDER,
  DAMAGE_REFERENCE,
  DAMAGE_SIZE,
  FENCE_HIGH_AREA,
  FENCE_LOW_AREA,
  PAGE_INNER,
  PAGE_LEAF,
  PAGE_OVERFLOW,
} from '../layout';
import { LEVEL_ANY, LEVEL_OVERFLOW } from '../pool/frames';
import { MISS_HIGH, MISS_LEVEL, MISS_LOW, NO_BOUND, bytesCompare, pageSize } from '../memory/memory';
import {
  META_OVERFLOW,
  PAGE_HEADER_SIZE,
  SLOT_SIZE,
  cellWord,
  keyAddress,
  keyLength,
  pageAppendCell,
  pageCount,
  pageDataUsed,
  pageFree,
  pageInit,
  pageKind,
  pageLevel,
  pageNext,
  pageRehead,
  pageRemaining,
  pageSetOverflow,
  valueAt,
  valueStored,
} from '../page/page';
import { LEVEL_MAX, overflowCapacity, numberFault, wordFault } from '../page/limits';

/** Header sizes of a payload: tree pages, overflow pages. */
const TREE_PAYLOAD_HEADER: u32 = 8;
const OVERFLOW_PAYLOAD_HEADER: u32 = 16;
const RECORD_OVERHEAD: u32 = 6;

/** Writes a page as a payload; answers its length. */
export function pageSerialise(page: usize, target: usize): u32 {
  const kind = pageKind(page);
  store<u8>(target, kind as u8);
  store<u8>(target, pageLevel(page) as u8, 1);
  store<u16>(target, 0, 2);
  if (kind == PAGE_OVERFLOW) {
    const used = pageDataUsed(page);
    store<u32>(target, used, 4);
    store<u32>(target, pageNext(page), 8);
    store<u32>(target, pageRemaining(page), 12);
    memory.copy(target + OVERFLOW_PAYLOAD_HEADER, page + PAGE_HEADER_SIZE, used);
    return OVERFLOW_PAYLOAD_HEADER + used;
  }
  const count = pageCount(page);
  store<u32>(target, count, 4);
  let at = target + TREE_PAYLOAD_HEADER;
  for (let i: u32 = 0; i < count; ++i) {
    const length = keyLength(page, i);
    const word = cellWord(page, i);
    const size = length + (kind == PAGE_LEAF ? valueStored(word) : 0);
    store<u16>(at, length as u16);
    store<u32>(at, word, 2);
    memory.copy(at + RECORD_OVERHEAD, keyAddress(page, i), size); // key and value lie side by side in a cell
    at += RECORD_OVERHEAD + size;
  }
  return (at - target) as u32;
}

/** Builds a page from a payload; answers what is wrong with it, or 0. */
export function pageBuild(page: usize, number: u32, epoch: u64, payload: usize, length: u32): u32 {
  if (length < TREE_PAYLOAD_HEADER) return DAMAGE_SIZE;
  const kind = load<u8>(payload) as u32;
  const level = load<u8>(payload, 1) as u32;
  if (load<u16>(payload, 2) != 0) return DAMAGE_SIZE;
  const count = load<u32>(payload, 4);
  pageInit(page, number, kind, level, epoch);
  if (kind == PAGE_OVERFLOW) return overflowBuild(page, number, payload, length);
  if (kind == PAGE_LEAF ? level != 0 : kind != PAGE_INNER || level == 0 || level > LEVEL_MAX)
    return DAMAGE_KIND;
  if (kind == PAGE_INNER && count == 0) return DAMAGE_SIZE;
  const keyMax = (pageSize >> 3) as u32;
  const end = payload + length;
  let at = payload + TREE_PAYLOAD_HEADER;
  for (let i: u32 = 0; i < count; ++i) {
    if (((end - at) as u32) < RECORD_OVERHEAD) return DAMAGE_SIZE;
    const keyBytes = load<u16>(at) as u32;
    const word = load<u32>(at, 2);
    if (keyBytes > keyMax) return DAMAGE_SIZE;
    let stored: u32 = 0;
    if (kind == PAGE_LEAF) {
      const fault = wordFault(word, keyBytes, number);
      if (fault != 0) return fault;
      stored = valueStored(word);
    } else {
      if (keyBytes == 0 ? i != 0 : i == 0) return DAMAGE_ORDER;
      if (numberFault(word, number)) return DAMAGE_REFERENCE;
    }
    const key = at + RECORD_OVERHEAD;
    if (((end - key) as u32) < keyBytes + stored) return DAMAGE_SIZE;
    if (pageFree(page) < SLOT_SIZE + 4 + keyBytes + stored) return DAMAGE_SIZE;
    if (i > 0) {
      if (bytesCompare(keyAddress(page, i - 1), keyLength(page, i - 1), key, keyBytes) >= 0)
        return DAMAGE_ORDER;
    }
    pageAppendCell(page, key, keyBytes, word, key + keyBytes, stored);
    if (kind == PAGE_LEAF && word & META_OVERFLOW && numberFault(load<u32>(valueAt(page, i)), number)) {
      return DAMAGE_REFERENCE;
    }
    at = key + keyBytes + stored;
  }
  if (at != end) return DAMAGE_SIZE;
  pageRehead(page);
  return 0;
}

function overflowBuild(page: usize, number: u32, payload: usize, length: u32): u32 {
  if (length < OVERFLOW_PAYLOAD_HEADER || load<u8>(payload, 1) != 0) return DAMAGE_SIZE;
  const used = load<u32>(payload, 4);
  const next = load<u32>(payload, 8);
  const remaining = load<u32>(payload, 12);
  if (used > overflowCapacity() || used != length - OVERFLOW_PAYLOAD_HEADER || used > remaining)
    return DAMAGE_SIZE;
  if (next != 0 && numberFault(next, number)) return DAMAGE_REFERENCE;
  pageSetOverflow(page, next, used, remaining);
  memory.copy(page + PAGE_HEADER_SIZE, payload + OVERFLOW_PAYLOAD_HEADER, used);
  return 0;
}

/** Compares a page with what its parent (or chain) expects; answers what is wrong, or 0. */
export function pageExpect(page: usize): u32 {
  const level = load<u32>(MISS_LEVEL);
  const kind = pageKind(page);
  if (level == LEVEL_OVERFLOW) return kind == PAGE_OVERFLOW ? 0 : DAMAGE_KIND;
  if (kind == PAGE_OVERFLOW) return DAMAGE_KIND;
  if (level != LEVEL_ANY && pageLevel(page) != level) return DAMAGE_KIND;
  const first: u32 = kind == PAGE_LEAF ? 0 : 1;
  const count = pageCount(page);
  if (count <= first) return 0;
  const low = load<u32>(MISS_LOW);
  if (
    low != NO_BOUND &&
    bytesCompare(keyAddress(page, first), keyLength(page, first), FENCE_LOW_AREA, low) < 0
  ) {
    return DAMAGE_ORDER;
  }
  const high = load<u32>(MISS_HIGH);
  if (
    high != NO_BOUND &&
    bytesCompare(keyAddress(page, count - 1), keyLength(page, count - 1), FENCE_HIGH_AREA, high) >= 0
  ) {
    return DAMAGE_ORDER;
  }
  return 0;
}
