/*
 * Overflow chains: values too long for a leaf, in pages of their own, one after the other.
 *
 * A chain is built from front to back, a piece at a time. The number of the next page is taken when a page is begun,
 * so a page that is full is complete and may be evicted; only the last one is ever touched again. Every page says
 * how many bytes of the value lie in it and after it: the sum must fall strictly, so no chain can be a circle.
 *
 * Invariants
 *   1. `remaining` of a page = its own `used` + `remaining` of the next; the last page has used = remaining, next 0.
 *   2. While a chain is being built its pages are referenced by nobody; treePutChain makes it visible.
 */
import { areasUseAt } from '../memory/areas';
import { DAMAGE_CHAIN, OK, PAGE_OVERFLOW, PRIVATE_PAGE, EXHAUSTED } from '../layout';
import { LEVEL_OVERFLOW, frameAt, frameNewest, frameTouch, missPage } from '../pool/frames';
import { chainPageCapacity } from '../page/limits';
import {
  CHAIN_DROPPED,
  CHAIN_FIRST,
  CHAIN_LEFT,
  CHAIN_NEXT,
  CHAIN_PAGE,
  CHAIN_REST,
  CHAIN_TAKEN,
  LATEST,
  NO_BOUND,
  VALUE_ADDRESS,
  VALUE_LENGTH,
  damaged,
  frameAddress,
} from '../memory/memory';
import {
  META_CHAINED,
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

function chainMiss(page: u32, epoch: u64): i32 {
  return missPage(page, epoch, LEVEL_OVERFLOW, 0, NO_BOUND, 0, NO_BOUND);
}

/** Begins a chain for a value of `total` bytes (at least 1). */
export function chainBegin(isPrivate: bool, total: u32): i32 {
  if (!stepReady(isPrivate)) return EXHAUSTED;
  assert(total > 0, 'an empty value needs no chain');
  const number = numberTake(isPrivate);
  store<u32>(CHAIN_FIRST, number);
  store<u32>(CHAIN_PAGE, number);
  store<u32>(CHAIN_LEFT, total);
  chainPageNew(number, total);
  return OK;
}

function chainPageNew(number: u32, left: u32): void {
  const page = frameAddress(pageNew(number, PAGE_OVERFLOW, 0));
  const next = left > chainPageCapacity() ? numberTake((number & PRIVATE_PAGE) != 0) : 0;
  pageSetOverflow(page, next, 0, left);
}

/** Appends bytes to the chain being built; chainTaken() says how many even when MISS or EXHAUSTED interrupts. */
export function chainAppend(address: usize, length: u32): i32 {
  areasUseAt(address);
  store<u32>(CHAIN_TAKEN, 0);
  let taken: u32 = 0;
  while (taken < length) {
    const number = load<u32>(CHAIN_PAGE);
    if (!stepReady((number & PRIVATE_PAGE) != 0)) return EXHAUSTED;
    const frame = frameNewest(number);
    if (frame == 0) return chainMiss(number, LATEST);
    const page = frameAddress(frame);
    const used = pageDataUsed(page);
    const left = load<u32>(CHAIN_LEFT);
    const piece = min(length - taken, min(left, chainPageCapacity() - used));
    assert(piece > 0, 'a chain takes no more than it was begun for');
    makeWritable(frame);
    memory.copy(page + PAGE_HEADER_SIZE + used, address + taken, piece);
    pageSetOverflow(page, pageNext(page), used + piece, pageRemaining(page));
    taken += piece;
    store<u32>(CHAIN_TAKEN, taken);
    store<u32>(CHAIN_LEFT, left - piece);
    if (left - piece > 0 && used + piece == chainPageCapacity()) {
      const next = pageNext(page);
      chainPageNew(next, left - piece);
      store<u32>(CHAIN_PAGE, next);
    }
  }
  return OK;
}

/** Notes where a page of a chain lies (valueAddress, valueLength) and what follows it (chainNext). */
export function chainRead(number: u32, epoch: u64, expected: u32): i32 {
  const frame = frameAt(number, epoch);
  if (frame == 0) return chainMiss(number, epoch);
  const page = frameAddress(frame);
  if (!chainPageSound(page, expected)) return damaged(number, DAMAGE_CHAIN);
  store<u32>(VALUE_ADDRESS, (page + PAGE_HEADER_SIZE) as u32);
  store<u32>(VALUE_LENGTH, pageDataUsed(page));
  store<u32>(CHAIN_NEXT, pageNext(page));
  frameTouch(frame);
  return OK;
}

/** Whether a page can be the one of a chain where `expected` bytes are left. */
export function chainPageSound(page: usize, expected: u32): bool {
  if (pageKind(page) != PAGE_OVERFLOW || pageRemaining(page) != expected) return false;
  const used = pageDataUsed(page);
  if (used == 0 || used > expected || used > chainPageCapacity()) return false;
  return (pageNext(page) == 0) == (used == expected);
}

/** Notes that nobody refers any more to the chain in a leaf's slot: its pages are to be freed. */
export function chainDrop(page: usize, index: u32): void {
  store<u32>(CHAIN_DROPPED, load<u32>(valueAt(page, index)));
  store<u32>(CHAIN_REST, cellWord(page, index) & ~(META_CHAINED | META_TOMBSTONE));
}

/** Notes that nobody will ever refer to the chain built last, of `total` bytes: its pages are to be freed. */
export function chainAbandon(total: u32): void {
  store<u32>(CHAIN_DROPPED, load<u32>(CHAIN_FIRST));
  store<u32>(CHAIN_REST, total);
}

/**
 * Frees pages of the dropped chain (chainDropped) until it is gone; EXHAUSTED or MISS interrupt. A page that is not the one
 * the chain goes on with is another's, and stays.
 */
export function chainFree(): i32 {
  while (true) {
    const number = load<u32>(CHAIN_DROPPED);
    if (number == 0) return OK;
    if (!stepReady((number & PRIVATE_PAGE) != 0)) return EXHAUSTED;
    const frame = frameNewest(number);
    if (frame == 0) return chainMiss(number, LATEST);
    const page = frameAddress(frame);
    const rest = load<u32>(CHAIN_REST);
    if (!chainPageSound(page, rest)) return damaged(number, DAMAGE_CHAIN);
    const next = pageNext(page);
    store<u32>(CHAIN_REST, rest - pageDataUsed(page));
    pageEnd(frame);
    store<u32>(CHAIN_DROPPED, next);
  }
}
