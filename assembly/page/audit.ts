/*
 * The audit of a page in memory: slots, cells, heads and counts, each checked before it is used, since the bytes may be
 * anything. Verification asks it of resident pages; the debug build asks it after every structural change and load.
 */
import {
  DAMAGE_IDENTITY,
  DAMAGE_KIND,
  DAMAGE_ORDER,
  DAMAGE_REFERENCE,
  DAMAGE_SIZE,
  PAGE_INNER,
  PAGE_LEAF,
  PAGE_OVERFLOW,
  STAGING_AREA,
} from '../layout';
import { LEVEL_MAX, overflowCapacity, numberFault, wordFault } from './limits';
import { EPOCH, bytesCommon, pageEpoch, pageNumber, pageSize } from '../memory/memory';
import {
  META_OVERFLOW,
  PAGE_HEADER_SIZE,
  SLOT_SIZE,
  cellWord,
  headOf,
  heapStart,
  keyAddress,
  keyCompare,
  keyLength,
  pageCapacity,
  pageCount,
  pageDataUsed,
  pageGarbage,
  pageKind,
  pageLevel,
  pageNext,
  pagePrefix,
  pageRemaining,
  slotHead,
  slotOffset,
  valueStored,
} from './page';

// One byte for each byte of a page, in the staging area; a block lies at its start only.
const TAKEN: usize = STAGING_AREA + 0x80000;

/** What is wrong with a page in memory that can be told from the page alone; 0 when nothing is. */
export function pageFault(page: usize, number: u32): u32 {
  if (pageNumber(page) != number || pageEpoch(page) > load<u64>(EPOCH)) return DAMAGE_IDENTITY;
  const kind = pageKind(page);
  const level = pageLevel(page);
  if (kind == PAGE_OVERFLOW) return level == 0 ? overflowFault(page, number) : DAMAGE_KIND;
  if (kind == PAGE_LEAF ? level != 0 : kind != PAGE_INNER || level == 0 || level > LEVEL_MAX)
    return DAMAGE_KIND;
  const count = pageCount(page);
  const heap = heapStart(page);
  if (count > pageCapacity() / SLOT_SIZE || heap > (pageSize as u32)) return DAMAGE_SIZE;
  if (heap < (PAGE_HEADER_SIZE as u32) + count * SLOT_SIZE) return DAMAGE_SIZE;
  if (kind == PAGE_INNER && count == 0) return DAMAGE_SIZE;
  memory.fill(TAKEN, 0, pageSize);
  let cells: u32 = 0;
  for (let i: u32 = 0; i < count; ++i) {
    const fault = cellFault(page, i, number);
    if (fault != 0) return fault;
    const size = cellBytes(page, i);
    if (!cellTake(slotOffset(page, i), size)) return DAMAGE_SIZE;
    cells += size;
  }
  if (heap + cells + pageGarbage(page) != pageSize) return DAMAGE_SIZE;
  return orderFault(page);
}

function overflowFault(page: usize, number: u32): u32 {
  const used = pageDataUsed(page);
  const next = pageNext(page);
  if (used > overflowCapacity() || used > pageRemaining(page)) return DAMAGE_SIZE;
  return next != 0 && numberFault(next, number) ? DAMAGE_REFERENCE : 0;
}

/** Whether a cell lies in the heap and holds what the page's kind allows. */
function cellFault(page: usize, index: u32, number: u32): u32 {
  const offset = slotOffset(page, index);
  const keyBytes = keyLength(page, index);
  if (offset < heapStart(page) || offset + 4 + keyBytes > (pageSize as u32)) return DAMAGE_SIZE;
  if (keyBytes > ((pageSize >> 3) as u32)) return DAMAGE_SIZE;
  const word = cellWord(page, index);
  if (pageKind(page) == PAGE_INNER) {
    if ((keyBytes == 0) != (index == 0)) return DAMAGE_ORDER;
    return numberFault(word, number) ? DAMAGE_REFERENCE : 0;
  }
  const fault = wordFault(word, keyBytes, number);
  if (fault != 0) return fault;
  if (offset + 4 + keyBytes + valueStored(word) > (pageSize as u32)) return DAMAGE_SIZE;
  const isLong = (word & META_OVERFLOW) != 0;
  return isLong && numberFault(load<u32>(keyAddress(page, index) + keyBytes), number) ? DAMAGE_REFERENCE : 0;
}

function cellBytes(page: usize, index: u32): u32 {
  const size: u32 = 4 + keyLength(page, index);
  return pageKind(page) == PAGE_LEAF ? size + valueStored(cellWord(page, index)) : size;
}

/** Marks the bytes of a cell; false when another cell has some of them. */
function cellTake(offset: u32, size: u32): bool {
  for (let at = TAKEN + offset; at < TAKEN + offset + size; ++at) {
    if (load<u8>(at) != 0) return false;
    store<u8>(at, 1);
  }
  return true;
}

/** Order, prefix and heads of a page whose cells are known to be where they should. */
function orderFault(page: usize): u32 {
  const first: u32 = pageKind(page) == PAGE_LEAF ? 0 : 1;
  const count = pageCount(page);
  const prefix = pagePrefix(page);
  for (let i = first; i < count; ++i) {
    const key = keyAddress(page, i);
    const length = keyLength(page, i);
    if (i > first && keyCompare(page, i - 1, key, length) >= 0) return DAMAGE_ORDER;
    if (bytesCommon(keyAddress(page, first), keyLength(page, first), key, length) < prefix)
      return DAMAGE_ORDER;
    if (slotHead(page, i) != headOf(key, length, prefix)) return DAMAGE_ORDER;
  }
  return 0;
}

/** Debug: stops when a page that was just changed is not whole. */
export function pageAudit(page: usize): void {
  assert(pageFault(page, pageNumber(page)) == 0, 'a page is whole after every change');
}
