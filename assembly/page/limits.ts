/*
 * What a page may say, whoever made it: the limits that a page built from a payload and a page in memory are held to
 * alike.
 */
import { DAMAGE_SIZE, PAGE_NUMBER_MAX, PRIVATE_PAGE } from '../layout';
import { pageSize } from '../memory/memory';
import { META_OVERFLOW, META_TOMBSTONE, PAGE_HEADER_SIZE, valueFits } from './page';

/** Deepest tree that any store has. */
export const LEVEL_MAX: u32 = 60;

/** Bytes of a value that one overflow page holds. */
export function overflowCapacity(): u32 {
  return (pageSize as u32) - (PAGE_HEADER_SIZE as u32);
}

/** A leaf cell's meta word that no writer makes. */
export function wordFault(word: u32, keyBytes: u32, number: u32): u32 {
  const length = word & ~(META_OVERFLOW | META_TOMBSTONE);
  if (word & META_TOMBSTONE) return number & PRIVATE_PAGE && word == META_TOMBSTONE ? 0 : DAMAGE_SIZE;
  if (word & META_OVERFLOW) return length > 0 ? 0 : DAMAGE_SIZE;
  return valueFits(keyBytes, length) ? 0 : DAMAGE_SIZE;
}

/** A page number that a page with that number cannot refer to. */
export function numberFault(number: u32, from: u32): bool {
  const plain = number & ~PRIVATE_PAGE;
  return (
    plain == 0 ||
    plain > (PAGE_NUMBER_MAX as u32) ||
    ((number ^ from) & PRIVATE_PAGE) != 0 ||
    number >= 0x80000000
  );
}
