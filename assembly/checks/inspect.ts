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
import { areasUse } from '../memory/areas';
import {
  AREA_BOUND,
  AREA_KEY,
  AREA_STAGING,
  BLOCK_HEADER_SIZE,
  BLOCK_PAGE,
  BOUND_AREA,
  DAMAGE_OVERFLOW,
  DAMAGE_ORDER,
  KEY_AREA,
  OK,
  PAGE_LEAF,
  PAGE_OVERFLOW,
  STAGING_AREA,
  SECTOR_SIZE,
} from '../layout';
import { pageFault } from '../page/audit';
import { blockVerify, payloadOpen } from '../blocks/block';
import { pageBuild, pageSerialise } from '../blocks/payload';
import { reportValue } from '../tree/btree';
import { pageEpoch, pageNumber } from '../pool/frames';
import {
  OVERFLOW_NEXT,
  INSPECTED_BYTES,
  NO_BOUND,
  VALUE_ADDRESS,
  VALUE_LENGTH,
  bytesCommon,
  bytesCompare,
  damaged,
  frameAddress,
  pageSize,
} from '../memory/memory';
import { overflowCapacity } from '../page/limits';
import { overflowPageSound } from '../tree/overflow';
import {
  META_OVERFLOW,
  PAGE_HEADER_SIZE,
  cellWord,
  keyAddress,
  keyCompare,
  keyLength,
  pageCapacity,
  pageCount,
  pageDataUsed,
  pageKind,
  pageLevel,
  pageNext,
  pageUsed,
} from '../page/page';

// Spare places; the block itself lies at the start of the staging area.
const PAYLOAD: usize = STAGING_AREA + 0x20000;
const BUILT: usize = STAGING_AREA + 0x40000;
const SERIALISED: usize = STAGING_AREA + 0x60000;

/** Whether the extent in the staging area has exactly the sectors that its block needs, and zeros behind it. */
export function blockPadded(available: u32): bool {
  const length: u32 = BLOCK_HEADER_SIZE + load<u32>(STAGING_AREA, 28);
  if (available < length || available - length >= (SECTOR_SIZE as u32)) return false;
  for (let at = length; at < available; ++at) if (load<u8>((STAGING_AREA as usize) + at) != 0) return false;
  return true;
}

/** Opens the block in the staging area as that of a page and builds the page in a spare place (inspectBuilt). */
export function inspectBlock(available: u32, number: u32, sumLow: u32, sumHigh: u32): i32 {
  const status = blockVerify(STAGING_AREA, available, BLOCK_PAGE, number, 0, sumLow, sumHigh);
  if (status != OK) return status;
  const opened = payloadOpen(STAGING_AREA, PAYLOAD, pageSize, number, true);
  return opened == OK ? inspectDecoded(number) : opened;
}

/** The rest of inspectBlock(), of the same block, once the host has decoded its payload. */
export function inspectDecoded(number: u32): i32 {
  areasUse(AREA_STAGING);
  const length = load<u32>(STAGING_AREA, 24);
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

/** What a page is: kind | level << 8 | slots << 16. */
export function inspectShape(page: usize): u32 {
  return pageKind(page) | (pageLevel(page) << 8) | (pageCount(page) << 16);
}

/** How full a page is, of a thousand: slots and cells of a tree page, bytes of a value in an overflow page. */
export function inspectFill(page: usize): u32 {
  if (pageKind(page) == PAGE_OVERFLOW) return (pageDataUsed(page) * 1000) / overflowCapacity();
  return (pageUsed(page) * 1000) / pageCapacity();
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

/** Notes the value of a slot of a leaf: valueAddress, valueLength, valueFlags. */
export function inspectValue(page: usize, index: u32): void {
  reportValue(page, index);
}

/** First slot from `from` on of a leaf whose value lies in overflow pages (then valueAddress, valueLength), or the slot count. */
export function inspectOverflowSlot(page: usize, from: u32): u32 {
  const count = pageCount(page);
  for (let i = from; i < count; ++i) {
    if (cellWord(page, i) & META_OVERFLOW) {
      reportValue(page, i);
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
  areasUse(AREA_KEY | AREA_BOUND);
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

/** Checks a page of a chain of which `expected` bytes are left, and notes its bytes (valueAddress, valueLength) and overflowNext. */
export function inspectOverflowPage(page: usize, expected: u32): i32 {
  if (!overflowPageSound(page, expected)) return damaged(pageNumber(page), DAMAGE_OVERFLOW);
  store<u32>(VALUE_ADDRESS, (page + PAGE_HEADER_SIZE) as u32);
  store<u32>(VALUE_LENGTH, pageDataUsed(page));
  store<u32>(OVERFLOW_NEXT, pageNext(page));
  return OK;
}
