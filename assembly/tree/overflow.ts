/*
 * Overflow chains: values too long for a leaf, in pages of their own, one after the other.
 *
 * A chain is built from front to back, a piece at a time. The number of the next page is taken when a page is begun,
 * so a page that is full is complete and may be evicted; only the last one is ever touched again. Every page says
 * how many bytes of the value lie in it and after it: the sum must fall strictly, so no chain can be a circle.
 *
 * Invariants
 *   1. `remaining` of a page = its own `used` + `remaining` of the next; the last page has used = remaining, next 0.
 *   2. While a chain is being built its pages are referenced by nobody; treePutOverflow makes it visible.
 */
import { areasUseAt } from '../memory/areas';
import { DAMAGE_OVERFLOW, OK, PAGE_OVERFLOW, PRIVATE_PAGE, EXHAUSTED } from '../layout';
import { LEVEL_OVERFLOW, frameAt, frameNewest, frameTouch, missPage } from '../pool/frames';
import { overflowCapacity } from '../page/limits';
import {
  OVERFLOW_DROPPED,
  OVERFLOW_FIRST,
  OVERFLOW_LEFT,
  OVERFLOW_NEXT,
  OVERFLOW_PAGE,
  OVERFLOW_REST,
  OVERFLOW_TAKEN,
  LATEST,
  NO_BOUND,
  VALUE_ADDRESS,
  VALUE_LENGTH,
  damaged,
  frameAddress,
} from '../memory/memory';
import {
  META_OVERFLOW,
  META_TOMBSTONE,
  PAGE_HEADER_SIZE,
  cellWord,
  pageDataUsed,
  pageKind,
  pageNext,
  pageRemaining,
  pageSetOverflow,
  valueAt,
} from '../page/page';
import { makeWritable, numberTake, pageEnd, pageNew, stepReady } from '../pool/versions';

function overflowMiss(page: u32, epoch: u64): i32 {
  return missPage(page, epoch, LEVEL_OVERFLOW, 0, NO_BOUND, 0, NO_BOUND);
}

/** Begins a chain for a value of `total` bytes (at least 1). */
export function overflowBegin(isPrivate: bool, total: u32): i32 {
  if (!stepReady(isPrivate)) return EXHAUSTED;
  assert(total > 0, 'an empty value needs no chain');
  const number = numberTake(isPrivate);
  store<u32>(OVERFLOW_FIRST, number);
  store<u32>(OVERFLOW_PAGE, number);
  store<u32>(OVERFLOW_LEFT, total);
  overflowPageNew(number, total);
  return OK;
}

function overflowPageNew(number: u32, left: u32): void {
  const page = frameAddress(pageNew(number, PAGE_OVERFLOW, 0));
  const next = left > overflowCapacity() ? numberTake((number & PRIVATE_PAGE) != 0) : 0;
  pageSetOverflow(page, next, 0, left);
}

/** Appends bytes to the chain being built; overflowTaken() says how many even when MISS or EXHAUSTED interrupts. */
export function overflowAppend(address: usize, length: u32): i32 {
  areasUseAt(address);
  store<u32>(OVERFLOW_TAKEN, 0);
  let taken: u32 = 0;
  while (taken < length) {
    const number = load<u32>(OVERFLOW_PAGE);
    if (!stepReady((number & PRIVATE_PAGE) != 0)) return EXHAUSTED;
    const frame = frameNewest(number);
    if (frame == 0) return overflowMiss(number, LATEST);
    const page = frameAddress(frame);
    const used = pageDataUsed(page);
    const left = load<u32>(OVERFLOW_LEFT);
    const piece = min(length - taken, min(left, overflowCapacity() - used));
    assert(piece > 0, 'a chain takes no more than it was begun for');
    makeWritable(frame);
    memory.copy(page + PAGE_HEADER_SIZE + used, address + taken, piece);
    pageSetOverflow(page, pageNext(page), used + piece, pageRemaining(page));
    taken += piece;
    store<u32>(OVERFLOW_TAKEN, taken);
    store<u32>(OVERFLOW_LEFT, left - piece);
    if (left - piece > 0 && used + piece == overflowCapacity()) {
      const next = pageNext(page);
      overflowPageNew(next, left - piece);
      store<u32>(OVERFLOW_PAGE, next);
    }
  }
  return OK;
}

/** Notes where a page of a chain lies (valueAddress, valueLength) and what follows it (overflowNext). */
export function overflowRead(number: u32, epoch: u64, expected: u32): i32 {
  const frame = frameAt(number, epoch);
  if (frame == 0) return overflowMiss(number, epoch);
  const page = frameAddress(frame);
  if (!overflowPageSound(page, expected)) return damaged(number, DAMAGE_OVERFLOW);
  store<u32>(VALUE_ADDRESS, (page + PAGE_HEADER_SIZE) as u32);
  store<u32>(VALUE_LENGTH, pageDataUsed(page));
  store<u32>(OVERFLOW_NEXT, pageNext(page));
  frameTouch(frame);
  return OK;
}

/** Whether a page can be the one of a chain where `expected` bytes are left. */
export function overflowPageSound(page: usize, expected: u32): bool {
  if (pageKind(page) != PAGE_OVERFLOW || pageRemaining(page) != expected) return false;
  const used = pageDataUsed(page);
  if (used == 0 || used > expected || used > overflowCapacity()) return false;
  return (pageNext(page) == 0) == (used == expected);
}

/** Notes that nobody refers any more to the chain in a leaf's slot: its pages are to be freed. */
export function overflowDrop(page: usize, index: u32): void {
  store<u32>(OVERFLOW_DROPPED, load<u32>(valueAt(page, index)));
  store<u32>(OVERFLOW_REST, cellWord(page, index) & ~(META_OVERFLOW | META_TOMBSTONE));
}

/** Notes that nobody will ever refer to the chain built last, of `total` bytes: its pages are to be freed. */
export function overflowAbandon(total: u32): void {
  store<u32>(OVERFLOW_DROPPED, load<u32>(OVERFLOW_FIRST));
  store<u32>(OVERFLOW_REST, total);
}

/**
 * Frees pages of the dropped chain (overflowDropped) until it is gone; EXHAUSTED or MISS interrupt. A page that is not the one
 * the chain goes on with is another's, and stays.
 */
export function overflowFree(): i32 {
  while (true) {
    const number = load<u32>(OVERFLOW_DROPPED);
    if (number == 0) return OK;
    if (!stepReady((number & PRIVATE_PAGE) != 0)) return EXHAUSTED;
    const frame = frameNewest(number);
    if (frame == 0) return overflowMiss(number, LATEST);
    const page = frameAddress(frame);
    const rest = load<u32>(OVERFLOW_REST);
    if (!overflowPageSound(page, rest)) return damaged(number, DAMAGE_OVERFLOW);
    const next = pageNext(page);
    store<u32>(OVERFLOW_REST, rest - pageDataUsed(page));
    pageEnd(frame);
    store<u32>(OVERFLOW_DROPPED, next);
  }
}
