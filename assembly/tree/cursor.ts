/*
 * Ranges: packed records of a tree in key order, many a call, forwards or backwards, as an epoch sees them.
 *
 * A cursor is nothing but a key: at the end of a leaf it takes the fence that bounds the leaf and walks down again,
 * so there are no sibling links to keep and a cursor survives any change. Leaves it visits are not marked as used:
 * one big scan must not wash out the pool.
 *
 * The host sets the start in KEY_AREA and the far bound in BOUND_AREA. A packed record is {key length u32,
 * meta u32, key, value}, padded to 4 bytes; meta is the value's length with the bits of a leaf cell. For a value in
 * overflow pages it has the number of the first one instead.
 */
import { areasUse } from '../memory/areas';
import {
  AREA_BOUND,
  AREA_KEY,
  AREA_OUT,
  BOUND_AREA,
  DAMAGE_KIND,
  KEY_AREA,
  OK,
  OUT_AREA,
  OUT_AREA_SIZE,
  PAGE_LEAF,
} from '../layout';
import { LEVEL_ANY, frameAt, frameTouch } from '../pool/frames';
import { NO_BOUND, SCAN_BYTES, SCAN_COUNT, SCAN_DONE, damaged, frameAddress } from '../memory/memory';
import {
  FOUND,
  cellWord,
  keyAddress,
  keyLength,
  pageChildIndex,
  pageCount,
  pageKind,
  pageLevel,
  pageSearch,
  valueAt,
  valueStored,
} from '../page/page';
import {
  walkBegin,
  walkDown,
  walkHasHigh,
  walkHasLow,
  walkHighAddress,
  walkHighLength,
  walkLowAddress,
  walkLowLength,
  walkMiss,
} from './walk';

/** Flags of a range call. */
export const RANGE_REVERSE: u32 = 1;
export const RANGE_START_INCLUSIVE: u32 = 2;
export const RANGE_END_INCLUSIVE: u32 = 4;
export const RANGE_KEYS_ONLY: u32 = 8;
export const RANGE_COUNT_ONLY: u32 = 16;

const SEEK_LEAF: usize = 0x10440; // address of the leaf a seek came to; read at once, never kept across a call

/** Walks to the leaf where a range goes on. */
function seek(root: u32, epoch: u64, startLength: u32, reverse: bool, inclusive: bool): i32 {
  walkBegin();
  let number = root;
  let level = LEVEL_ANY;
  while (true) {
    const frame = frameAt(number, epoch);
    if (frame == 0) return walkMiss(number, epoch, level);
    const page = frameAddress(frame);
    const own = pageLevel(page);
    if (level != LEVEL_ANY && own != level) return damaged(number, DAMAGE_KIND);
    if (own == 0) {
      if (pageKind(page) != PAGE_LEAF) return damaged(number, DAMAGE_KIND);
      store<u32>(SEEK_LEAF, page as u32);
      return OK;
    }
    frameTouch(frame);
    let index: u32;
    if (startLength == NO_BOUND) {
      index = reverse ? pageCount(page) - 1 : 0;
    } else if (reverse && !inclusive) {
      index = (pageSearch(page, KEY_AREA, startLength) & ~FOUND) - 1;
    } else {
      index = pageChildIndex(page, KEY_AREA, startLength);
    }
    walkDown(frame, page, index);
    number = cellWord(page, index);
    level = own - 1;
  }
}

/** First slot of a forward range in a leaf, or one past the last of a reverse one. */
function startSlot(page: usize, startLength: u32, reverse: bool, inclusive: bool): u32 {
  if (startLength == NO_BOUND) return reverse ? pageCount(page) : 0;
  const found = pageSearch(page, KEY_AREA, startLength);
  const index = found & ~FOUND;
  return found & FOUND && reverse == inclusive ? index + 1 : index;
}

/** One past the last slot of a forward range in a leaf, or the first of a reverse one. */
function endSlot(page: usize, endLength: u32, reverse: bool, inclusive: bool): u32 {
  if (endLength == NO_BOUND) return reverse ? 0 : pageCount(page);
  const found = pageSearch(page, BOUND_AREA, endLength);
  const index = found & ~FOUND;
  return found & FOUND && reverse != inclusive ? index + 1 : index;
}

/**
 * Packs up to `limit` records of a range into OUT_AREA. scanCount() and scanBytes() say how much, scanDone() whether
 * the range is exhausted. After a MISS that came midway the records so far are answered with OK and the next call
 * misses again. Or only counts them, a leaf at a time, until the count has come to `limit` (0: to the range's end).
 */
export function rangeRead(
  root: u32,
  epoch: u64,
  startLength: u32,
  endLength: u32,
  flags: u32,
  limit: u32,
): i32 {
  areasUse(AREA_KEY);
  if (endLength != NO_BOUND) areasUse(AREA_BOUND);
  if (!(flags & RANGE_COUNT_ONLY)) areasUse(AREA_OUT);
  const reverse = (flags & RANGE_REVERSE) != 0;
  const endInclusive = (flags & RANGE_END_INCLUSIVE) != 0;
  let inclusive = (flags & RANGE_START_INCLUSIVE) != 0;
  let start = startLength;
  let count: u32 = 0;
  let out: usize = OUT_AREA;
  store<u32>(SCAN_COUNT, 0);
  store<u32>(SCAN_BYTES, 0);
  store<u32>(SCAN_DONE, 0);
  while (true) {
    const status = seek(root, epoch, start, reverse, inclusive);
    if (status != OK) {
      if (count > 0 && !(flags & RANGE_COUNT_ONLY)) return finish(count, out, false);
      return status;
    }
    const page: usize = load<u32>(SEEK_LEAF);
    let at = startSlot(page, start, reverse, inclusive);
    const to = endSlot(page, endLength, reverse, endInclusive);
    if (flags & RANGE_COUNT_ONLY) {
      if (reverse ? at > to : to > at) count += reverse ? at - to : to - at;
      if (limit != 0 && count >= limit) return finish(count, out, false);
    } else {
      while (reverse ? at > to : at < to) {
        if (count == limit) return finish(count, out, false);
        const next = pack(page, reverse ? at - 1 : at, out, (flags & RANGE_KEYS_ONLY) != 0);
        if (next == 0) return finish(count, out, false);
        out = next;
        ++count;
        if (reverse) --at;
        else ++at;
      }
    }
    // The range ends in this leaf when its far bound does, or when there is no next leaf.
    if (reverse ? to > 0 || !walkHasLow() : to < pageCount(page) || !walkHasHigh())
      return finish(count, out, true);
    if (reverse) {
      start = walkLowLength();
      memory.copy(KEY_AREA, walkLowAddress(), start);
      inclusive = false;
    } else {
      start = walkHighLength();
      memory.copy(KEY_AREA, walkHighAddress(), start);
      inclusive = true;
    }
    if (flags & RANGE_COUNT_ONLY) {
      // A count may be interrupted: what was counted is kept, and the host goes on from the fence.
      store<u32>(SCAN_COUNT, count);
      store<u32>(SCAN_BYTES, start);
    }
  }
}

function finish(count: u32, out: usize, done: bool): i32 {
  store<u32>(SCAN_COUNT, count);
  store<u32>(SCAN_BYTES, (out - OUT_AREA) as u32);
  store<u32>(SCAN_DONE, done ? 1 : 0);
  return OK;
}

/** Packs one record; 0 when it does not fit. */
function pack(page: usize, index: u32, out: usize, keysOnly: bool): usize {
  const length = keyLength(page, index);
  const meta = cellWord(page, index);
  const stored = keysOnly ? 0 : valueStored(meta);
  const size = ((8 + length + stored + 3) & ~3) as usize;
  if (out + size > (OUT_AREA as usize) + OUT_AREA_SIZE - 16) return 0;
  store<u32>(out, length);
  store<u32>(out, meta, 4);
  memory.copy(out + 8, keyAddress(page, index), length);
  if (stored) memory.copy(out + 8 + length, valueAt(page, index), stored);
  return out + size;
}
