/*
 * Operations: records as they stand in the log, packed by the host's calls and applied to trees in bulk; and the
 * reads that answer many keys a call.
 *
 * A record is {kind u8, 0 u8, key length u16, tree u32, value length u32, key, value}, padded to 4 bytes. The same
 * bytes that went to the log are applied, so there is one encoding and one copy of it.
 *
 * Bulk calls note in applyAt() the record to go on with. They answer OK at the end of what they were given, and
 * earlier when a record belongs to another tree, begins or ends one, or left a chain to free (overflowDropped); LONG when a record's value
 * needs an overflow chain; MISS and EXHAUSTED as every operation.
 */
import { areasUse, areasUseAt } from '../memory/areas';
import {
  AREA_INPUT,
  AREA_KEY,
  AREA_OUT,
  INPUT_AREA,
  KEY_AREA,
  LONG,
  NOT_FOUND,
  OK,
  OUT_AREA,
  DAMAGE_KIND,
  MISS,
  PAGE_LEAF,
  PART_HEADER_SIZE,
  RECORD_DELETE,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  RECORD_VALUE,
} from '../layout';
import { treeDeleteKey, treeFind, treePutCell } from './btree';
import { walkBegin, walkMiss, walkTo } from './walk';
import { LEVEL_ANY, frameAt, frameTouch } from '../pool/frames';
import {
  APPLY_AT,
  OVERFLOW_DROPPED,
  OVERFLOW_FIRST,
  DELETED,
  LATEST,
  SHORT_VALUE,
  VALUE_ADDRESS,
  VALUE_FLAGS,
  VALUE_LENGTH,
  damaged,
  frameAddress,
} from '../memory/memory';
import {
  FOUND,
  META_OVERFLOW,
  META_TOMBSTONE,
  cellWord,
  pageChildIndex,
  pageKind,
  pageLevel,
  pageSearch,
  valueAt,
  valueFits,
} from '../page/page';

// --- packing --------------------------------------------------------------------------------------------------

/** Completes a record whose key and value the host has put behind the header's place; answers where the next begins. */
export function recordSeal(at: usize, kind: u32, tree: u32, keyBytes: u32, valueBytes: u32): u32 {
  store<u8>(at, kind as u8);
  store<u8>(at, 0, 1);
  store<u16>(at, keyBytes as u16, 2);
  store<u32>(at, tree, 4);
  store<u32>(at, valueBytes, 8);
  const body = kind == RECORD_DELETE ? keyBytes : keyBytes + valueBytes;
  return close(at, RECORD_HEADER_SIZE + body);
}

/** As recordSeal for a put whose value follows in pieces: the header promises `total` bytes and holds none. */
export function recordSealLong(at: usize, kind: u32, tree: u32, keyBytes: u32, total: u32): u32 {
  recordSeal(at, kind, tree, keyBytes, 0);
  store<u32>(at, total, 8);
  return close(at, RECORD_HEADER_SIZE + keyBytes);
}

function close(at: usize, size: u32): u32 {
  const end = at + size;
  const padded = (end + 3) & ~3;
  for (let i = end; i < padded; ++i) store<u8>(i, 0);
  return padded as u32;
}

/** Completes a part whose records lie behind the header's place, up to `end`; answers where the next part begins. */
export function partSeal(at: usize, end: usize, flags: u32, sequence: f64, records: u32): u32 {
  const padded = (end + 7) & ~7;
  for (let i = end; i < padded; ++i) store<u8>(i, 0);
  store<u32>(at, (padded - at - PART_HEADER_SIZE) as u32);
  store<u32>(at, flags, 4);
  store<u64>(at, sequence as u64, 8);
  store<u32>(at, records, 16);
  store<u32>(at, 0, 20);
  return padded as u32;
}

/** Where the record after this one begins. */
export function recordEnd(at: usize): usize {
  const kind = load<u8>(at) as u32;
  const keyBytes = load<u16>(at, 2) as u32;
  const body = kind == RECORD_PUT || kind == RECORD_VALUE ? keyBytes + load<u32>(at, 8) : keyBytes;
  return (at + RECORD_HEADER_SIZE + body + 3) & ~3;
}

/** Number of the records from `at` to `end`. */
export function recordsCount(at: usize, end: usize): u32 {
  let count: u32 = 0;
  for (; at < end; at = recordEnd(at)) ++count;
  return count;
}

/** End of so many records. */
export function recordsEnd(at: usize, count: u32): usize {
  for (; count > 0; --count) at = recordEnd(at);
  return at;
}

export function partBytes(at: usize): u32 {
  return load<u32>(at);
}
export function partFlags(at: usize): u32 {
  return load<u32>(at, 4);
}
export function partSequence(at: usize): f64 {
  return load<u64>(at, 8) as f64;
}
export function partRecords(at: usize): u32 {
  return load<u32>(at, 16);
}
export function recordKind(at: usize): u32 {
  return load<u8>(at);
}
export function recordKeyBytes(at: usize): u32 {
  return load<u16>(at, 2);
}
export function recordTree(at: usize): u32 {
  return load<u32>(at, 4);
}
export function recordValueBytes(at: usize): u32 {
  return load<u32>(at, 8);
}

// --- applying -------------------------------------------------------------------------------------------------

/** Whether a record is none of a tree's keys: it belongs to another tree, or says that one begins or ends. */
function isOthers(at: usize, tree: u32): bool {
  return load<u32>(at, 4) != tree || (load<u8>(at) as i32) > RECORD_VALUE;
}

/** Applies the records from `at` to `end` that belong to `tree`. `tombstones`: a delete leaves a mark (private trees). */
export function recordsApply(root: u32, tree: u32, at: usize, end: usize, tombstones: bool): i32 {
  store<u32>(DELETED, 0);
  while (at < end) {
    store<u32>(APPLY_AT, at as u32);
    if (isOthers(at, tree)) return OK;
    const kind = load<u8>(at) as u32;
    const keyBytes = load<u16>(at, 2) as u32;
    const valueBytes = load<u32>(at, 8);
    const key = at + RECORD_HEADER_SIZE;
    if (kind == RECORD_PUT) {
      if (!valueFits(keyBytes, valueBytes)) return LONG;
      const status = treePutCell(root, key, keyBytes, valueBytes, key + keyBytes, valueBytes);
      if (status != OK) return status;
    } else if (kind == RECORD_DELETE) {
      const status = tombstones
        ? treePutCell(root, key, keyBytes, META_TOMBSTONE, 0, 0)
        : treeDeleteKey(root, key, keyBytes);
      if (status == OK) store<u32>(DELETED, load<u32>(DELETED) + 1);
      else if (status != NOT_FOUND) return status;
    } else {
      return LONG;
    }
    at = recordEnd(at);
    if (load<u32>(OVERFLOW_DROPPED) != 0) {
      store<u32>(APPLY_AT, at as u32);
      return OK;
    }
  }
  store<u32>(APPLY_AT, at as u32);
  return OK;
}

/** Walks to the leaf of every record's key, so that all are resident, or were a moment ago, and sound. */
export function recordsTouch(root: u32, tree: u32, at: usize, end: usize): i32 {
  while (at < end) {
    store<u32>(APPLY_AT, at as u32);
    if (isOthers(at, tree)) return OK;
    if (load<u8>(at) != RECORD_VALUE) {
      const status = walkTo(root, LATEST, at + RECORD_HEADER_SIZE, load<u16>(at, 2));
      if (status != OK) return status;
    }
    at = recordEnd(at);
  }
  store<u32>(APPLY_AT, at as u32);
  return OK;
}

/** Notes a sequence for the key of every record, in a private tree of notes. */
export function recordsAddRecent(notes: u32, tree: u32, at: usize, end: usize, sequence: f64): i32 {
  while (at < end) {
    store<u32>(APPLY_AT, at as u32);
    if (isOthers(at, tree)) return OK;
    if (load<u8>(at) != RECORD_VALUE) {
      const status = recentAdd(notes, at + RECORD_HEADER_SIZE, load<u16>(at, 2), sequence);
      if (status != OK) return status;
    }
    at = recordEnd(at);
  }
  store<u32>(APPLY_AT, at as u32);
  return OK;
}

/** Notes a sequence for one key. */
export function recentAdd(notes: u32, key: usize, keyBytes: u32, sequence: f64): i32 {
  store<f64>(SHORT_VALUE, sequence);
  return treePutCell(notes, key, keyBytes, 8, SHORT_VALUE, 8);
}

/** Whether a key has a note above a sequence: OK with valueLength 1 or 0, or MISS, DAMAGED. */
export function recentSince(notes: u32, key: usize, keyBytes: u32, sequence: f64): i32 {
  areasUseAt(key);
  const status = treeFind(notes, LATEST, key, keyBytes);
  if (status != OK && status != NOT_FOUND) return status;
  const newer = status == OK && load<f64>(load<u32>(VALUE_ADDRESS)) > sequence;
  store<u32>(VALUE_LENGTH, newer ? 1 : 0);
  return OK;
}

/** Puts the key in KEY_AREA with a value that lies at `value`; LONG when it needs a chain. */
export function treePut(root: u32, keyBytes: u32, value: usize, valueBytes: u32): i32 {
  areasUse(AREA_KEY);
  areasUseAt(value);
  if (!valueFits(keyBytes, valueBytes)) return LONG;
  return treePutCell(root, KEY_AREA, keyBytes, valueBytes, value, valueBytes);
}

/** Puts the key in KEY_AREA with the chain built last, of `total` bytes. */
export function treePutOverflow(root: u32, keyBytes: u32, total: u32): i32 {
  areasUse(AREA_KEY);
  return treePutCell(root, KEY_AREA, keyBytes, total | META_OVERFLOW, OVERFLOW_FIRST, 4);
}

/** Puts the key in KEY_AREA with a chain that is there already and that nobody refers to. */
export function treePutDropped(root: u32, keyBytes: u32, first: u32, rest: u32): i32 {
  areasUse(AREA_KEY);
  store<u32>(SHORT_VALUE, first);
  return treePutCell(root, KEY_AREA, keyBytes, rest | META_OVERFLOW, SHORT_VALUE, 4);
}

/** Puts a tombstone for the key in KEY_AREA. */
export function treePutTombstone(root: u32, keyBytes: u32): i32 {
  areasUse(AREA_KEY);
  return treePutCell(root, KEY_AREA, keyBytes, META_TOMBSTONE, 0, 0);
}

/** Removes the key in KEY_AREA. */
export function treeDelete(root: u32, keyBytes: u32): i32 {
  areasUse(AREA_KEY);
  return treeDeleteKey(root, KEY_AREA, keyBytes);
}

// --- reading --------------------------------------------------------------------------------------------------

/** Answers of treeGet below 0; from 0 on: the length of the value, which lies in OUT_AREA. */
export const GET_ABSENT: i32 = -1;
export const GET_MISS: i32 = -2;
export const GET_ELSEWHERE: i32 = -3; // in overflow pages, a tombstone, or too long for one copy: see value*()
export const GET_DAMAGED: i32 = -4;

/** Longest value that treeGet copies out. */
const COPY_MAX: u32 = 1024;

function wideCopy(target: usize, source: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i += 8) store<u64>(target + i, load<u64>(source + i));
}

/** Looks up the key in KEY_AREA. */
export function treeGet(root: u32, epoch: f64, keyBytes: u32): i32 {
  areasUse(AREA_KEY | AREA_OUT);
  const status = treeFind(root, epoch as u64, KEY_AREA, keyBytes);
  if (status == OK) {
    const length = load<u32>(VALUE_LENGTH);
    if (load<u32>(VALUE_FLAGS) != 0 || length > COPY_MAX) return GET_ELSEWHERE;
    // Eight bytes at a time, up to seven too many: both areas go on behind.
    wideCopy(OUT_AREA, load<u32>(VALUE_ADDRESS), length);
    return length as i32;
  }
  return status == NOT_FOUND ? GET_ABSENT : status == MISS ? GET_MISS : GET_DAMAGED;
}

/** Looks for the key in KEY_AREA and leaves OUT_AREA alone: OK with value*() noted, NOT_FOUND, MISS, DAMAGED. */
export function treeProbe(root: u32, epoch: f64, keyBytes: u32): i32 {
  areasUse(AREA_KEY);
  return treeFind(root, epoch as u64, KEY_AREA, keyBytes);
}

/** Keys a group read looks up at once. */
export const GROUP_SIZE: u32 = 16;
const GROUP_PAGES: usize = 0x10480; // addresses of the pages the walks have come to
const GROUP_SLOT_SIZE: usize = 8;

/**
 * Looks up `count` (up to GROUP_SIZE) keys that lie in INPUT_AREA as {length u32, bytes} padded to 4, walking all of
 * them level by level so that their cache misses overlap. OUT_AREA gets {length or GET_* i32, address u32} for each,
 * then the values, 4-aligned. OK, MISS or DAMAGED.
 */
export function treeGetGroup(root: u32, epochAsNumber: f64, count: u32): i32 {
  const epoch = epochAsNumber as u64;
  assert(count <= GROUP_SIZE, 'a group has a fixed size');
  areasUse(AREA_INPUT | AREA_OUT);
  const top = frameAt(root, epoch);
  if (top == 0) {
    walkBegin();
    return walkMiss(root, epoch, LEVEL_ANY);
  }
  frameTouch(top);
  let level = pageLevel(frameAddress(top));
  for (let i: u32 = 0; i < count; ++i)
    store<u32>(GROUP_PAGES + ((i as usize) << 2), frameAddress(top) as u32);
  while (level > 0) {
    --level;
    let key: usize = INPUT_AREA;
    for (let i: u32 = 0; i < count; ++i) {
      const place = GROUP_PAGES + ((i as usize) << 2);
      const page: usize = load<u32>(place);
      const length = load<u32>(key);
      const number = cellWord(page, pageChildIndex(page, key + 4, length));
      const frame = frameAt(number, epoch);
      // A walk for this key alone also finds the bounds that the missing page must keep.
      if (frame == 0) return walkTo(root, epoch, key + 4, length);
      frameTouch(frame);
      const below = frameAddress(frame);
      if (pageLevel(below) != level) return damaged(number, DAMAGE_KIND);
      store<u32>(place, below as u32);
      key = (key + 4 + length + 3) & ~3;
    }
  }
  return groupCollect(count);
}

function groupCollect(count: u32): i32 {
  let key: usize = INPUT_AREA;
  let out: usize = (OUT_AREA as usize) + (count as usize) * GROUP_SLOT_SIZE;
  for (let i: u32 = 0; i < count; ++i) {
    const page: usize = load<u32>(GROUP_PAGES + ((i as usize) << 2));
    const length = load<u32>(key);
    const slot: usize = (OUT_AREA as usize) + (i as usize) * GROUP_SLOT_SIZE;
    if (pageKind(page) != PAGE_LEAF) return damaged(load<u32>(page), DAMAGE_KIND);
    const found = pageSearch(page, key + 4, length);
    if (!(found & FOUND)) {
      store<i32>(slot, GET_ABSENT);
    } else {
      const index = found & ~FOUND;
      const meta = cellWord(page, index);
      if (meta & (META_OVERFLOW | META_TOMBSTONE) || meta > COPY_MAX) {
        store<i32>(slot, GET_ELSEWHERE);
      } else {
        store<i32>(slot, meta as i32);
        store<u32>(slot, out as u32, 4);
        wideCopy(out, valueAt(page, index), meta);
        out = (out + meta + 3) & ~3;
      }
    }
    key = (key + 4 + length + 3) & ~3;
  }
  return OK;
}
