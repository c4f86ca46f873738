/*
 * Slotted pages: the nodes of the tree as they lie in a frame.
 *
 *   0         4      5       6        8       16      20          24        28      32     36         40
 *   +---------+------+-------+--------+-------+-------+-----------+---------+-------+------+-----------+
 *   | number  | kind | level | prefix | epoch | count | heapStart | garbage | next  | used | remaining |
 *   +---------+------+-------+--------+-------+-------+-----------+---------+-------+------+-----------+
 *   | slot 0 | slot 1 | ...  >>>            free            <<<  ... | cell | cell | cell              |
 *   +-----------------------------------------------------------------------------------------------+
 *
 * A slot is {head u32, offset u16, key length u16}. The head is the first four bytes of the key after the prefix
 * that all keys of the page share, big-endian and padded with zeros: comparing heads as numbers compares keys as
 * bytes, so that a branchless search rarely leaves the slot array. A leaf cell is {meta u32, key, value}; meta holds
 * the value's length and whether it lies in overflow pages (then the cell has the number of the first) or is a tombstone.
 * An inner cell is {child u32, key}; the key of slot 0 is empty and stands for "before everything".
 * Overflow pages use the header's last three fields and hold `used` bytes of a value from offset 40 on.
 * This is the form in memory only; docs/format.md describes how a page lies in a block.
 *
 * Invariants
 *   1. Keys ascend strictly (from slot 1 on in an inner page).
 *   2. All keys (of slot 1 on in an inner page) start with the same `prefix` bytes, and every head follows from it.
 *   3. header + slots + free + cells + garbage = page size; cells never overlap.
 */
import { areasUse } from '../memory/areas';
import { AREA_PAGE, PAGE_LEAF, VALUE_SIZE_MAX, PAGE_AREA, PAGE_SIZE_MAX } from '../layout';
import { bytesCommon, bytesCompare, pageSize } from '../memory/memory';

export const PAGE_HEADER_SIZE: usize = 40;
export const SLOT_SIZE: u32 = 8;

/** Bits of a leaf cell's meta word above the value's length. */
export const META_OVERFLOW: u32 = 0x40000000;
export const META_TOMBSTONE: u32 = 0x80000000;

/** Found bit of a search answer. */
export const FOUND: u32 = 0x80000000;

export function pageKind(page: usize): u32 {
  return load<u8>(page, 4);
}
export function pageLevel(page: usize): u32 {
  return load<u8>(page, 5);
}
export function pagePrefix(page: usize): u32 {
  return load<u16>(page, 6);
}
export function pageCount(page: usize): u32 {
  return load<u32>(page, 16);
}
export function pageNext(page: usize): u32 {
  return load<u32>(page, 28);
}
export function pageDataUsed(page: usize): u32 {
  return load<u32>(page, 32);
}
export function pageRemaining(page: usize): u32 {
  return load<u32>(page, 36);
}

/** Where the cells begin. */
export function heapStart(page: usize): u32 {
  return load<u32>(page, 20);
}
/** Bytes behind that which no cell uses. */
export function pageGarbage(page: usize): u32 {
  return load<u32>(page, 24);
}

/** Writes an empty page's header. */
export function pageInit(page: usize, number: u32, kind: u32, level: u32, epoch: u64): void {
  store<u32>(page, number);
  store<u8>(page, kind, 4);
  store<u8>(page, level, 5);
  store<u16>(page, 0, 6);
  store<u64>(page, epoch, 8);
  store<u32>(page, 0, 16);
  store<u32>(page, pageSize, 20);
  store<u32>(page, 0, 24);
  store<u32>(page, 0, 28);
  store<u32>(page, 0, 32);
  store<u32>(page, 0, 36);
}

/** Sets the fields of an overflow page. */
export function pageSetOverflow(page: usize, next: u32, used: u32, remaining: u32): void {
  store<u32>(page, next, 28);
  store<u32>(page, used, 32);
  store<u32>(page, remaining, 36);
}

function slotAt(page: usize, index: u32): usize {
  return page + PAGE_HEADER_SIZE + ((index as usize) << 3);
}

function cellAt(page: usize, index: u32): usize {
  return page + load<u16>(slotAt(page, index), 4);
}

export function slotHead(page: usize, index: u32): u32 {
  return load<u32>(slotAt(page, index));
}

export function slotOffset(page: usize, index: u32): u32 {
  return load<u16>(slotAt(page, index), 4);
}

export function keyLength(page: usize, index: u32): u32 {
  return load<u16>(slotAt(page, index), 6);
}

export function keyAddress(page: usize, index: u32): usize {
  return cellAt(page, index) + 4;
}

/** Meta word of a leaf cell, or child of an inner cell. */
export function cellWord(page: usize, index: u32): u32 {
  return load<u32>(cellAt(page, index));
}

export function setCellWord(page: usize, index: u32, word: u32): void {
  store<u32>(cellAt(page, index), word);
}

export function valueAt(page: usize, index: u32): usize {
  const slot = slotAt(page, index);
  return page + load<u16>(slot, 4) + 4 + load<u16>(slot, 6);
}

/** Bytes a value takes in its cell, from its meta word. */
export function valueStored(meta: u32): u32 {
  if (meta & META_OVERFLOW) return 4;
  return meta & META_TOMBSTONE ? 0 : meta;
}

function cellSize(page: usize, index: u32): u32 {
  const slot = slotAt(page, index);
  const size: u32 = 4 + (load<u16>(slot, 6) as u32);
  return pageKind(page) == PAGE_LEAF ? size + valueStored(load<u32>(page + load<u16>(slot, 4))) : size;
}

/** Bytes a new cell with its slot may take, after compaction. */
export function pageFree(page: usize): u32 {
  return heapStart(page) - (PAGE_HEADER_SIZE as u32) - pageCount(page) * SLOT_SIZE + load<u32>(page, 24);
}

/** Bytes a page can hold: slots and cells. */
export function pageCapacity(): u32 {
  return pageSize - (PAGE_HEADER_SIZE as u32);
}

/** Bytes taken by slots and cells. */
export function pageUsed(page: usize): u32 {
  return pageCapacity() - pageFree(page);
}

/** The largest leaf cell (with its slot): four fit in a page, which is what makes every split succeed. */
export function cellMax(): u32 {
  return pageCapacity() >> 2;
}

/** Whether a value of that length stays in the leaf beside a key of that length. */
export function valueFits(keyBytes: u32, valueBytes: u32): bool {
  return valueBytes <= (VALUE_SIZE_MAX as u32) && SLOT_SIZE + 4 + keyBytes + valueBytes <= cellMax();
}

export function headOf(key: usize, length: u32, prefix: u32): u32 {
  if (length <= prefix) return 0;
  const rest = length - prefix;
  const head = bswap(load<u32>(key + prefix));
  return rest >= 4 ? head : head & (0xffffffff << ((4 - rest) << 3));
}

/** First slot whose key counts for prefix and order. */
function firstKey(page: usize): u32 {
  return pageKind(page) == PAGE_LEAF ? 0 : 1;
}

/** Index of the first key not below the given one; with FOUND when it is that key. */
export function pageSearch(page: usize, key: usize, length: u32): u32 {
  const first = firstKey(page);
  const count = pageCount(page);
  if (count <= first) return first;
  const prefix = pagePrefix(page);
  if (prefix != 0) {
    const order = bytesCompare(key, min(length, prefix), keyAddress(page, first), prefix);
    if (order != 0) return order < 0 ? first : count;
  }
  const head = headOf(key, length, prefix);
  let base = slotAt(page, first);
  let rest = count - first;
  while (rest > 1) {
    const half = rest >> 1;
    const middle = base + ((half as usize) << 3);
    base = select(middle, base, load<u32>(middle - SLOT_SIZE) < head);
    rest -= half;
  }
  if (load<u32>(base) < head) base += SLOT_SIZE;
  let low = ((base - page - PAGE_HEADER_SIZE) >> 3) as u32;
  if (low == count || load<u32>(slotAt(page, low)) != head) return low;
  // Keys with equal heads: the rest decides. Usually one; a run is searched from both ends.
  let high = low + 1;
  let step: u32 = 1;
  while (high < count && load<u32>(slotAt(page, high)) == head) {
    high = min(count, high + step);
    step <<= 1;
  }
  while (low < high) {
    const middle = (low + high) >> 1;
    const order = bytesCompare(keyAddress(page, middle), keyLength(page, middle), key, length);
    if (order == 0) return middle | FOUND;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Slot of the child that holds a key (the last one whose key is not above it). */
export function pageChildIndex(page: usize, key: usize, length: u32): u32 {
  const found = pageSearch(page, key, length);
  return found & FOUND ? found & ~FOUND : found - 1;
}

/** Compares the key of a slot with a key. */
export function keyCompare(page: usize, index: u32, key: usize, length: u32): i32 {
  return bytesCompare(keyAddress(page, index), keyLength(page, index), key, length);
}

/** Computes the prefix afresh, as long as it can be, and every head. */
export function pageRehead(page: usize): void {
  const first = firstKey(page);
  const count = pageCount(page);
  let prefix: u32 = 0;
  if (count > first) {
    prefix = bytesCommon(
      keyAddress(page, first),
      keyLength(page, first),
      keyAddress(page, count - 1),
      keyLength(page, count - 1),
    );
  }
  setHeads(page, prefix);
}

function setHeads(page: usize, prefix: u32): void {
  store<u16>(page, prefix as u16, 6);
  const count = pageCount(page);
  for (let i = firstKey(page); i < count; ++i) {
    store<u32>(slotAt(page, i), headOf(keyAddress(page, i), keyLength(page, i), prefix));
  }
}

/** Moves all cells together at the end of the page: garbage becomes free space. */
function pageCompact(page: usize): void {
  areasUse(AREA_PAGE);
  const copy: usize = PAGE_AREA;
  memory.copy(copy, page, pageSize);
  let heap: u32 = pageSize;
  const count = pageCount(page);
  for (let i: u32 = 0; i < count; ++i) {
    const size = cellSize(copy, i);
    heap -= size;
    memory.copy(page + heap, cellAt(copy, i), size);
    store<u16>(slotAt(page, i), heap as u16, 4);
  }
  store<u32>(page, heap, 20);
  store<u32>(page, 0, 24);
}

/** Inserts a cell before the slot at `index`; the caller has seen that it fits (pageFree). */
export function pageInsert(
  page: usize,
  index: u32,
  key: usize,
  length: u32,
  word: u32,
  value: usize,
  stored: u32,
): void {
  const size: u32 = 4 + length + stored;
  assert(size + SLOT_SIZE <= pageFree(page), 'a cell is inserted only where it fits');
  const count = pageCount(page);
  if (heapStart(page) - (PAGE_HEADER_SIZE as u32) - count * SLOT_SIZE < size + SLOT_SIZE) pageCompact(page);
  const heap = heapStart(page) - size;
  const cell = page + heap;
  store<u32>(cell, word);
  memory.copy(cell + 4, key, length);
  if (stored) memory.copy(cell + 4 + length, value, stored);
  const slot = slotAt(page, index);
  if (index < count) memory.copy(slot + SLOT_SIZE, slot, ((count - index) * SLOT_SIZE) as usize);
  store<u16>(slot, heap as u16, 4);
  store<u16>(slot, length as u16, 6);
  store<u32>(page, heap, 20);
  store<u32>(page, count + 1, 16);
  const first = firstKey(page);
  assert(index >= first, 'nothing is inserted before the slot of an inner page that has no key');
  if (count <= first) {
    setHeads(page, length);
  } else {
    const prefix = pagePrefix(page);
    const other = index == first ? first + 1 : first;
    const common = bytesCommon(key, length, keyAddress(page, other), prefix);
    if (common < prefix) setHeads(page, common);
    else store<u32>(slot, headOf(key, length, prefix));
  }
}

/** Removes the cell of a slot. */
export function pageRemove(page: usize, index: u32): void {
  const count = pageCount(page);
  assert(index < count, 'only a cell that is there can be removed');
  const size = cellSize(page, index);
  const offset = load<u16>(slotAt(page, index), 4) as u32;
  if (offset == heapStart(page)) store<u32>(page, offset + size, 20);
  else store<u32>(page, load<u32>(page, 24) + size, 24);
  const slot = slotAt(page, index);
  memory.copy(slot, slot + SLOT_SIZE, ((count - index - 1) * SLOT_SIZE) as usize);
  store<u32>(page, count - 1, 16);
  if (count == 1) {
    store<u32>(page, pageSize, 20);
    store<u32>(page, 0, 24);
    store<u16>(page, 0, 6);
  }
}

/** Appends the cells [from, to) of one page to another, without heads: the caller calls pageRehead. */
export function pageAppend(target: usize, source: usize, from: u32, to: u32): void {
  let heap = heapStart(target);
  let count = pageCount(target);
  for (let i = from; i < to; ++i) {
    const size = cellSize(source, i);
    heap -= size;
    memory.copy(target + heap, cellAt(source, i), size);
    const slot = slotAt(target, count++);
    store<u32>(slot, 0);
    store<u16>(slot, heap as u16, 4);
    store<u16>(slot, keyLength(source, i) as u16, 6);
  }
  assert(heap >= (PAGE_HEADER_SIZE as u32) + count * SLOT_SIZE, 'cells are appended only where they fit');
  store<u32>(target, heap, 20);
  store<u32>(target, count, 16);
}

/** Appends one cell, without a head: the caller calls pageRehead. */
export function pageAppendCell(
  page: usize,
  key: usize,
  length: u32,
  word: u32,
  value: usize,
  stored: u32,
): void {
  const heap = heapStart(page) - 4 - length - stored;
  const count = pageCount(page);
  assert(
    heap >= (PAGE_HEADER_SIZE as u32) + (count + 1) * SLOT_SIZE,
    'a cell is appended only where it fits',
  );
  store<u32>(page + heap, word);
  memory.copy(page + heap + 4, key, length);
  if (stored) memory.copy(page + heap + 4 + length, value, stored);
  const slot = slotAt(page, count);
  store<u32>(slot, 0);
  store<u16>(slot, heap as u16, 4);
  store<u16>(slot, length as u16, 6);
  store<u32>(page, heap, 20);
  store<u32>(page, count + 1, 16);
}

/** Forgets all cells; kind, level, number and epoch stay. */
export function pageClear(page: usize): void {
  pageInit(page, load<u32>(page), pageKind(page), pageLevel(page), load<u64>(page, 8));
}

/** Forgets the cells from `count` on; the rest moves together. */
export function pageCut(page: usize, count: u32): void {
  store<u32>(page, count, 16);
  pageCompact(page);
  pageRehead(page);
}

/** Size of a cell with its slot. */
export function pageCellSize(page: usize, index: u32): u32 {
  return cellSize(page, index) + SLOT_SIZE;
}

/** The second spare page, for rebuilding a page from its own cells. */
export function pageSpare(): usize {
  areasUse(AREA_PAGE);
  return PAGE_AREA + PAGE_SIZE_MAX;
}
