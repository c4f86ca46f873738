/*
 * Inspection: what verification asks of a page. Nothing here asserts, evicts or makes a page resident: a block is
 * opened and built in spare places of the staging area, and a page in a frame is read where it lies.
 *
 * The builder of blocks (block.ts) lays every page out afresh, so what it accepts is whole by construction. A page in
 * a frame is the work of many changes: its slots, cells, heads and counts are all checked here, each before it is
 * used, since the bytes may be anything.
 *
 * The host gives the address of a page (inspectBuilt() or frameAddress()); it is good until the next call that loads,
 * builds or changes a page.
 *
 * Invariants
 *   1. Nothing outside the page, and the spare places, is read or written, whatever the page holds.
 *   2. A page that passes can be read by every other function of the core.
 */
import {
  BLOCK_HEADER_SIZE,
  BLOCK_PAGE,
  BOUND_AREA,
  DAMAGE_CHAIN,
  DAMAGE_IDENTITY,
  DAMAGE_KIND,
  DAMAGE_ORDER,
  DAMAGE_REFERENCE,
  DAMAGE_SIZE,
  KEY_AREA,
  OK,
  PAGE_INNER,
  PAGE_LEAF,
  PAGE_OVERFLOW,
  STAGING_AREA,
  UNIT_SIZE,
} from './layout';
import {
  LEVEL_MAX,
  blockVerify,
  numberFault,
  pageBuild,
  pageSerialise,
  payloadOpen,
  wordFault,
} from './block';
import { valueNote } from './btree';
import { pageEpoch, pageNumber } from './frames';
import {
  CHAIN_NEXT,
  DAMAGE,
  EPOCH,
  INSPECTED_BYTES,
  NO_BOUND,
  VALUE_LENGTH,
  bytesCommon,
  bytesCompare,
  damaged,
  frameAddress,
  pageSize,
} from './memory';
import { chainPageCapacity, chainPageSound } from './overflow';
import {
  META_CHAINED,
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

// Spare places; the block itself lies at the start of the staging area.
const PAYLOAD: usize = STAGING_AREA + 0x20000;
const BUILT: usize = STAGING_AREA + 0x40000;
const SERIALISED: usize = STAGING_AREA + 0x60000;
const TAKEN: usize = STAGING_AREA + 0x80000; // one byte for each byte of a page

/** Whether an extent has exactly the units that its block needs, and zeros behind it. */
export function blockPadded(block: usize, available: u32): bool {
  const length: u32 = BLOCK_HEADER_SIZE + load<u32>(block, 28);
  if (available < length || available - length >= (UNIT_SIZE as u32)) return false;
  for (let at = length; at < available; ++at) if (load<u8>(block + at) != 0) return false;
  return true;
}

/** Opens the block in the staging area as that of a page and builds the page in a spare place (inspectBuilt). */
export function inspectBlock(available: u32, number: u32, sumLow: u32, sumHigh: u32): i32 {
  const status = blockVerify(STAGING_AREA, available, BLOCK_PAGE, number, 0, sumLow, sumHigh);
  if (status != OK) return status;
  const length = payloadOpen(STAGING_AREA, PAYLOAD, pageSize, number);
  if (length == 0) return damaged(number, load<u32>(DAMAGE));
  memory.fill(BUILT, 0, pageSize);
  const fault = pageBuild(BUILT, number, load<u64>(STAGING_AREA, 16), PAYLOAD, length);
  if (fault != 0) return damaged(number, fault);
  store<u32>(INSPECTED_BYTES, length);
  return OK;
}

/** Address of the page that inspectBlock() built. */
export function inspectBuilt(): usize {
  return BUILT;
}

/** Whether a page in a frame that has passed says what the block just inspected says, epoch included. */
export function inspectSame(frame: u32): bool {
  const page = frameAddress(frame);
  const length = pageSerialise(page, SERIALISED);
  if (length != load<u32>(INSPECTED_BYTES) || pageEpoch(page) != pageEpoch(BUILT)) return false;
  return bytesCommon(PAYLOAD, length, SERIALISED, length) == length;
}

/** Checks everything about a page that can be told from the page alone; OK or DAMAGED. */
export function inspectPage(page: usize, number: u32): i32 {
  const fault = pageFault(page, number);
  return fault == 0 ? OK : damaged(number, fault);
}

function pageFault(page: usize, number: u32): u32 {
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
  if (used > chainPageCapacity() || used > pageRemaining(page)) return DAMAGE_SIZE;
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
  const chained = (word & META_CHAINED) != 0;
  return chained && numberFault(load<u32>(keyAddress(page, index) + keyBytes), number) ? DAMAGE_REFERENCE : 0;
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

/** What a page is: kind | level << 8 | slots << 16. */
export function inspectShape(page: usize): u32 {
  return pageKind(page) | (pageLevel(page) << 8) | (pageCount(page) << 16);
}

/** Epoch that wrote a page. */
export function inspectEpoch(page: usize): f64 {
  return pageEpoch(page) as f64;
}

/** Child in a slot of an inner page. */
export function inspectChild(page: usize, index: u32): u32 {
  return cellWord(page, index);
}

/** Address of the key of a slot. */
export function inspectKey(page: usize, index: u32): usize {
  return keyAddress(page, index);
}

/** Length of the key of a slot. */
export function inspectKeyBytes(page: usize, index: u32): u32 {
  return keyLength(page, index);
}

/** First slot from `from` on of a leaf whose value is chained (then valueAddress, valueLength), or the slot count. */
export function inspectChained(page: usize, from: u32): u32 {
  const count = pageCount(page);
  for (let i = from; i < count; ++i) {
    if (cellWord(page, i) & META_CHAINED) {
      valueNote(page, i);
      return i;
    }
  }
  return count;
}

/**
 * Checks a tree page's keys against its fences: the lower one in KEY_AREA, the upper one in BOUND_AREA, each with its
 * length or NO_BOUND. A leaf may begin at its lower fence; a separator may not, or no key could lie below it.
 */
export function inspectFences(page: usize, low: u32, high: u32): i32 {
  const leaf = pageKind(page) == PAGE_LEAF;
  const first: u32 = leaf ? 0 : 1;
  const count = pageCount(page);
  if (count <= first) return OK;
  if (low != NO_BOUND) {
    const order = bytesCompare(keyAddress(page, first), keyLength(page, first), KEY_AREA, low);
    if (order < 0 || (!leaf && order == 0)) return damaged(pageNumber(page), DAMAGE_ORDER);
  }
  if (high == NO_BOUND || keyCompare(page, count - 1, BOUND_AREA, high) < 0) return OK;
  return damaged(pageNumber(page), DAMAGE_ORDER);
}

/** Checks a page of a chain of which `expected` bytes are left, and notes what it holds (valueLength, chainNext). */
export function inspectChain(page: usize, expected: u32): i32 {
  if (!chainPageSound(page, expected)) return damaged(pageNumber(page), DAMAGE_CHAIN);
  store<u32>(VALUE_LENGTH, pageDataUsed(page));
  store<u32>(CHAIN_NEXT, pageNext(page));
  return OK;
}
