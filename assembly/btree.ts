/*
 * The B+tree: search, insert, replace and delete over pages found by number.
 *
 * A root's page number never changes: when it is full its content moves down one level. An operation first walks to
 * the leaf without changing anything; when the leaf lacks room (or a page on the way is nearly empty, for a delete)
 * it makes one structural step and starts again. Every step leaves a valid tree of the same content and has at most
 * four pages in hand, so a missing page or a full pool may interrupt the operation between any two steps: it answers
 * MISS or ROOM, the host helps, and calls again.
 *
 * Splits go by size; an insert at the very end (or start) of the tree leaves the full page as it is, so that loads
 * in key order fill their pages. A page under a quarter full is merged with its neighbour, or takes from it, by the
 * next delete that passes. Separators are the shortest key that tells two leaves apart (Bayer & Unterauer, 1977).
 *
 * Invariants
 *   1. All leaves have level 0; a child's level is its parent's less one. Both are checked on the way.
 *   2. The keys below a child lie in [its slot's key, the next slot's key).
 *   3. Nothing is changed by a call that answers MISS or ROOM except through whole structural steps.
 */
import {
  DAMAGE_KIND,
  NOT_FOUND,
  OK,
  PAGE_INNER,
  PAGE_LEAF,
  PRIVATE_PAGE,
  ROOM,
} from './layout';
import { LEVEL_ANY, frameAt, frameNewest, frameTouch, missPage, pageEpoch, pageNumber } from './frames';
import {
  CHAIN_DROPPED,
  DEBUG,
  LATEST,
  NO_BOUND,
  VALUE_ADDRESS,
  VALUE_FLAGS,
  VALUE_LENGTH,
  bytesCommon,
  damaged,
  frameAddress,
} from './memory';
import {
  FOUND,
  META_CHAINED,
  META_TOMBSTONE,
  SLOT_SIZE,
  cellWord,
  keyAddress,
  keyCompare,
  keyLength,
  pageAppend,
  pageAppendCell,
  pageAudit,
  pageCapacity,
  pageCellSize,
  pageChildIndex,
  pageClear,
  pageCount,
  pageCut,
  pageFree,
  pageInsert,
  pageKind,
  pageLevel,
  pageRehead,
  pageRemove,
  pageSearch,
  pageSpare,
  pageUsed,
  setCellWord,
  valueAt,
  valueStored,
} from './page';
import { VALUE_CHAINED, VALUE_TOMBSTONE } from './layout';
import { makeWritable, numberTake, pageEnd, pageNew, stepReady } from './versions';
import { pageSize } from './memory';

/** Where the last walk came to: the page, and the slots that bound it. Slot NO_BOUND: no bound on that side. */
const WALK: usize = 0x10400; // in the state area, not shared with the host
const WALK_FRAME: usize = WALK;
const WALK_LOW_PAGE: usize = WALK + 4; // address
const WALK_LOW_SLOT: usize = WALK + 8;
const WALK_HIGH_PAGE: usize = WALK + 12; // address
const WALK_HIGH_SLOT: usize = WALK + 16;
const WALK_PARENT: usize = WALK + 20; // frame of the leaf's parent, 0 for a root
const WALK_INDEX: usize = WALK + 24; // the leaf's slot in it

export function walkFrame(): u32 {
  return load<u32>(WALK_FRAME);
}
export function walkHasLow(): bool {
  return load<u32>(WALK_LOW_SLOT) != NO_BOUND;
}
export function walkHasHigh(): bool {
  return load<u32>(WALK_HIGH_SLOT) != NO_BOUND;
}
export function walkLowAddress(): usize {
  return keyAddress(load<u32>(WALK_LOW_PAGE), load<u32>(WALK_LOW_SLOT));
}
export function walkLowLength(): u32 {
  return keyLength(load<u32>(WALK_LOW_PAGE), load<u32>(WALK_LOW_SLOT));
}
export function walkHighAddress(): usize {
  return keyAddress(load<u32>(WALK_HIGH_PAGE), load<u32>(WALK_HIGH_SLOT));
}
export function walkHighLength(): u32 {
  return keyLength(load<u32>(WALK_HIGH_PAGE), load<u32>(WALK_HIGH_SLOT));
}

/** Begins a walk at a root. */
export function walkBegin(): void {
  store<u32>(WALK_LOW_SLOT, NO_BOUND);
  store<u32>(WALK_HIGH_SLOT, NO_BOUND);
  store<u32>(WALK_PARENT, 0);
}

/** Notes that the walk goes on below a slot. */
export function walkDown(frame: u32, page: usize, index: u32): void {
  if (index > 0) {
    store<u32>(WALK_LOW_PAGE, page as u32);
    store<u32>(WALK_LOW_SLOT, index);
  }
  if (index + 1 < pageCount(page)) {
    store<u32>(WALK_HIGH_PAGE, page as u32);
    store<u32>(WALK_HIGH_SLOT, index + 1);
  }
  store<u32>(WALK_PARENT, frame);
  store<u32>(WALK_INDEX, index);
}

/** Notes the page that the walk misses, with the bounds it came to; answers MISS. */
export function walkMiss(page: u32, epoch: u64, level: u32): i32 {
  const low = walkHasLow();
  const high = walkHasHigh();
  return missPage(
    page,
    epoch,
    level,
    low ? walkLowAddress() : 0,
    low ? walkLowLength() : NO_BOUND,
    high ? walkHighAddress() : 0,
    high ? walkHighLength() : NO_BOUND,
  );
}

/** Walks to the leaf that holds or would hold a key, as an epoch sees it. */
export function walkTo(root: u32, epoch: u64, key: usize, length: u32): i32 {
  walkBegin();
  let number = root;
  let level = LEVEL_ANY;
  while (true) {
    const frame = frameAt(number, epoch);
    if (frame == 0) return walkMiss(number, epoch, level);
    frameTouch(frame);
    const page = frameAddress(frame);
    const own = pageLevel(page);
    if (level != LEVEL_ANY && own != level) return damaged(number, DAMAGE_KIND);
    if (own == 0) {
      if (pageKind(page) != PAGE_LEAF) return damaged(number, DAMAGE_KIND);
      store<u32>(WALK_FRAME, frame);
      return OK;
    }
    if (pageKind(page) != PAGE_INNER) return damaged(number, DAMAGE_KIND);
    const index = pageChildIndex(page, key, length);
    walkDown(frame, page, index);
    number = cellWord(page, index);
    level = own - 1;
  }
}

/** Finds a key: OK with the value's place, length and flags noted, or NOT_FOUND, MISS, DAMAGED. */
export function treeFind(root: u32, epoch: u64, key: usize, length: u32): i32 {
  const status = walkTo(root, epoch, key, length);
  if (status != OK) return status;
  const page = frameAddress(load<u32>(WALK_FRAME));
  const found = pageSearch(page, key, length);
  if (!(found & FOUND)) return NOT_FOUND;
  valueNote(page, found & ~FOUND);
  return OK;
}

/** Notes the value of a leaf's slot for the host. */
export function valueNote(page: usize, index: u32): void {
  const meta = cellWord(page, index);
  const at = valueAt(page, index);
  store<u32>(VALUE_LENGTH, meta & ~(META_CHAINED | META_TOMBSTONE));
  if (meta & META_CHAINED) {
    store<u32>(VALUE_FLAGS, VALUE_CHAINED);
    store<u32>(VALUE_ADDRESS, load<u32>(at));
  } else {
    store<u32>(VALUE_FLAGS, meta & META_TOMBSTONE ? VALUE_TOMBSTONE : 0);
    store<u32>(VALUE_ADDRESS, at as u32);
  }
}

/** Makes an empty tree whose root has the given number. Needs one free frame. */
export function treeCreate(root: u32): i32 {
  if (!stepReady((root & PRIVATE_PAGE) != 0)) return ROOM;
  assert(frameNewest(root) == 0, 'a new tree has a new root');
  pageNew(root, PAGE_LEAF, 0);
  return OK;
}

/** Largest separator cell an inner page must take. */
function separatorMax(): u32 {
  return SLOT_SIZE + 4 + ((pageSize >> 3) as u32);
}

/** Inserts or replaces a leaf cell; `word` is its meta word, `stored` the bytes of the value in the cell. */
export function treePutCell(root: u32, key: usize, length: u32, word: u32, value: usize, stored: u32): i32 {
  const isPrivate = (root & PRIVATE_PAGE) != 0;
  while (true) {
    if (!stepReady(isPrivate)) return ROOM;
    const status = walkTo(root, LATEST, key, length);
    if (status != OK) return status;
    const frame = load<u32>(WALK_FRAME);
    const page = frameAddress(frame);
    const found = pageSearch(page, key, length);
    const index = found & ~FOUND;
    const need = SLOT_SIZE + 4 + length + stored;
    if (found & FOUND) {
      const old = cellWord(page, index);
      const oldStored = valueStored(old);
      if (oldStored != stored && pageFree(page) + pageCellSize(page, index) < need) {
        const step = splitTowards(root, key, length, need);
        if (step != OK) return step;
        continue;
      }
      makeWritable(frame);
      if (old & META_CHAINED) store<u32>(CHAIN_DROPPED, load<u32>(valueAt(page, index)));
      if (oldStored == stored) {
        setCellWord(page, index, word);
        memory.copy(valueAt(page, index), value, stored);
      } else {
        pageRemove(page, index);
        pageInsert(page, index, key, length, word, value, stored);
      }
      return OK;
    }
    if (pageFree(page) >= need) {
      makeWritable(frame);
      pageInsert(page, index, key, length, word, value, stored);
      return OK;
    }
    const step = splitTowards(root, key, length, need);
    if (step != OK) return step;
  }
}

/** One structural step that brings room nearer: pushes a full root down, or splits the first full page on the way. */
function splitTowards(root: u32, key: usize, length: u32, need: u32): i32 {
  walkBegin();
  let frame = frameNewest(root);
  if (frame == 0) return walkMiss(root, LATEST, LEVEL_ANY);
  let page = frameAddress(frame);
  if (pageFree(page) < (pageLevel(page) == 0 ? need : separatorMax())) pushDown(frame);
  while (true) {
    assert(pageKind(page) == PAGE_INNER, 'a full leaf has a parent by now');
    const index = pageChildIndex(page, key, length);
    walkDown(frame, page, index);
    const number = cellWord(page, index);
    const child = frameNewest(number);
    if (child == 0) return walkMiss(number, LATEST, pageLevel(page) - 1);
    const below = frameAddress(child);
    if (pageFree(below) < (pageLevel(below) == 0 ? need : separatorMax())) {
      splitChild(frame, index, child, key, length);
      return OK;
    }
    if (pageLevel(below) == 0) return OK;
    frame = child;
    page = below;
  }
}

/** Moves a root's content to a new page below it. */
function pushDown(frame: u32): void {
  makeWritable(frame);
  const page = frameAddress(frame);
  const level = pageLevel(page);
  const child = pageNew(numberTake((pageNumber(page) & PRIVATE_PAGE) != 0), pageKind(page), level);
  const below = frameAddress(child);
  pageAppend(below, page, 0, pageCount(page));
  pageRehead(below);
  store<u8>(page, PAGE_INNER, 4);
  store<u8>(page, (level + 1) as u8, 5);
  pageClear(page);
  pageAppendCell(page, 0, 0, pageNumber(below), 0, 0);
}

/** Splits a child of a page that has room for any separator. */
function splitChild(parent: u32, index: u32, child: u32, key: usize, length: u32): void {
  makeWritable(parent);
  makeWritable(child);
  const above = frameAddress(parent);
  const left = frameAddress(child);
  const level = pageLevel(left);
  const fresh = pageNew(numberTake((pageNumber(left) & PRIVATE_PAGE) != 0), pageKind(left), level);
  const right = frameAddress(fresh);
  const count = pageCount(left);
  if (level == 0) {
    const at = leafSplitPoint(left, key, length);
    const nextKey = at == count ? key : keyAddress(left, at);
    const nextLength = at == count ? length : keyLength(left, at);
    const lastKey = at == 0 ? key : keyAddress(left, at - 1);
    const lastLength = at == 0 ? length : keyLength(left, at - 1);
    const common = bytesCommon(lastKey, lastLength, nextKey, nextLength);
    assert(common < nextLength, 'the right page begins above the left page');
    pageInsert(above, index + 1, nextKey, common + 1, pageNumber(right), 0, 0);
    pageAppend(right, left, at, count);
    pageRehead(right);
    pageCut(left, at);
  } else {
    const at = innerSplitPoint(left, key, length);
    pageInsert(above, index + 1, keyAddress(left, at), keyLength(left, at), pageNumber(right), 0, 0);
    pageAppendCell(right, 0, 0, cellWord(left, at), 0, 0);
    pageAppend(right, left, at + 1, count);
    pageRehead(right);
    pageCut(left, at);
  }
  if (DEBUG) {
    pageAudit(left);
    pageAudit(right);
    pageAudit(above);
  }
}

/** First slot that goes to the right page: by size, or all to one side at the ends of the tree. */
function leafSplitPoint(page: usize, key: usize, length: u32): u32 {
  const count = pageCount(page);
  const found = pageSearch(page, key, length);
  if (!(found & FOUND)) {
    if (found == count && !walkHasHigh()) return count;
    if (found == 0 && !walkHasLow()) return 0;
  }
  return middleOf(page, 1, count - 1);
}

function innerSplitPoint(page: usize, key: usize, length: u32): u32 {
  const count = pageCount(page);
  // Ascending loads: keep the left page nearly full, but leave the right one a child to stand on.
  if (!walkHasHigh() && pageChildIndex(page, key, length) == count - 1) return count - 1;
  return middleOf(page, 1, count - 1);
}

/** The slot in [first, last] that starts the second half of the page's bytes. */
function middleOf(page: usize, first: u32, last: u32): u32 {
  const half = pageUsed(page) >> 1;
  let size: u32 = 0;
  let index: u32 = 0;
  while (index < last) {
    size += pageCellSize(page, index);
    if (size > half) break;
    ++index;
  }
  return max(first, index);
}

/** Removes a key: OK, or NOT_FOUND, MISS, ROOM, DAMAGED. */
export function treeDeleteKey(root: u32, key: usize, length: u32): i32 {
  let tryMerge = true;
  while (true) {
    if (!stepReady((root & PRIVATE_PAGE) != 0)) return ROOM;
    const status = walkTo(root, LATEST, key, length);
    if (status != OK) return status;
    const frame = load<u32>(WALK_FRAME);
    const page = frameAddress(frame);
    const found = pageSearch(page, key, length);
    if (!(found & FOUND)) return NOT_FOUND;
    if (tryMerge) {
      const step = mergeTowards(root, key, length);
      if (step == OK) continue;
      if (step != NOT_FOUND) return step;
      tryMerge = false;
    }
    const index = found & ~FOUND;
    makeWritable(frame);
    if (cellWord(page, index) & META_CHAINED) store<u32>(CHAIN_DROPPED, load<u32>(valueAt(page, index)));
    pageRemove(page, index);
    if (pageCount(page) == 0) unlink(frame);
    return OK;
  }
}

/** Takes the empty leaf the last walk came to out of its parent, unless it is the only child. */
function unlink(leaf: u32): void {
  const parent = load<u32>(WALK_PARENT);
  if (parent == 0) return;
  const above = frameAddress(parent);
  const index = load<u32>(WALK_INDEX);
  if (pageCount(above) == 1) return;
  makeWritable(parent);
  // The first child has no key of its own: its neighbour takes its place.
  if (index == 0) setCellWord(above, 0, cellWord(above, 1));
  pageRemove(above, index == 0 ? 1 : index);
  pageEnd(leaf);
}

/** One structural step that removes a nearly empty page on the way; NOT_FOUND when there is nothing to do. */
function mergeTowards(root: u32, key: usize, length: u32): i32 {
  walkBegin();
  let frame = frameNewest(root);
  if (frame == 0) return walkMiss(root, LATEST, LEVEL_ANY);
  let page = frameAddress(frame);
  while (pageLevel(page) > 0) {
    const index = pageChildIndex(page, key, length);
    const number = cellWord(page, index);
    const child = frameNewest(number);
    if (pageCount(page) == 1) {
      walkDown(frame, page, index);
      if (child == 0) return walkMiss(number, LATEST, pageLevel(page) - 1);
      if (pageNumber(page) == root) {
        pullUp(frame, child);
        return OK;
      }
    } else {
      if (child == 0) {
        walkDown(frame, page, index);
        return walkMiss(number, LATEST, pageLevel(page) - 1);
      }
      if (pageUsed(frameAddress(child)) < pageCapacity() >> 2) {
        const other = index + 1 < pageCount(page) ? index + 1 : index - 1;
        const sibling = frameNewest(cellWord(page, other));
        if (sibling == 0) {
          walkDown(frame, page, other);
          return walkMiss(cellWord(page, other), LATEST, pageLevel(page) - 1);
        }
        // Unlike the child, the sibling was not on the way down: it is checked here.
        if (pageKind(frameAddress(sibling)) != pageKind(frameAddress(child)) || sibling == child) {
          return damaged(cellWord(page, other), DAMAGE_KIND);
        }
        if (pageLevel(frameAddress(sibling)) + 1 != pageLevel(page)) {
          return damaged(cellWord(page, other), DAMAGE_KIND);
        }
        const leftIndex = min(index, other);
        const step = leftIndex == index ? join(frame, index, child, sibling) : join(frame, other, sibling, child);
        if (step) return OK;
      }
      walkDown(frame, page, index);
    }
    frame = child;
    page = frameAddress(frame);
  }
  return NOT_FOUND;
}

/** A root with a single child takes the child's content. */
function pullUp(frame: u32, child: u32): void {
  makeWritable(frame);
  const page = frameAddress(frame);
  const below = frameAddress(child);
  store<u8>(page, pageKind(below) as u8, 4);
  store<u8>(page, pageLevel(below) as u8, 5);
  pageClear(page);
  pageAppend(page, below, 0, pageCount(below));
  pageRehead(page);
  pageEnd(child);
}

/** Merges two neighbours into the left one, or evens them out; false when neither can be done. */
function join(parent: u32, index: u32, leftFrame: u32, rightFrame: u32): bool {
  const above = frameAddress(parent);
  const left = frameAddress(leftFrame);
  const right = frameAddress(rightFrame);
  const separator = keyAddress(above, index + 1);
  const separatorLength = keyLength(above, index + 1);
  const inner = pageLevel(left) > 0;
  const joined = pageUsed(left) + pageUsed(right) + (inner ? separatorLength : 0);
  if (joined <= pageCapacity()) {
    makeWritable(parent);
    makeWritable(leftFrame);
    if (inner) {
      // The right page's first child gets the separator as its key. The page may need compaction first.
      pageInsert(left, pageCount(left), separator, separatorLength, cellWord(right, 0), 0, 0);
      moveAll(left, right, 1);
    } else {
      moveAll(left, right, 0);
    }
    pageRemove(above, index + 1);
    pageEnd(rightFrame);
    return true;
  }
  return even(parent, index, leftFrame, rightFrame);
}

/** Appends the right page's cells from a slot on; compacts the left page by rebuilding it. */
function moveAll(left: usize, right: usize, from: u32): void {
  const spare = pageSpare();
  memory.copy(spare, left, pageSize);
  pageClear(left);
  pageAppend(left, spare, 0, pageCount(spare));
  pageAppend(left, right, from, pageCount(right));
  pageRehead(left);
  if (DEBUG) pageAudit(left);
}

/** Moves cells between two neighbours until they are about equal; false when the parent cannot hold the separator. */
function even(parent: u32, index: u32, leftFrame: u32, rightFrame: u32): bool {
  const above = frameAddress(parent);
  const left = frameAddress(leftFrame);
  const right = frameAddress(rightFrame);
  const inner = pageLevel(left) > 0;
  const half = (pageUsed(left) + pageUsed(right)) >> 1;
  const toLeft = pageUsed(left) < pageUsed(right);
  const source = toLeft ? right : left;
  let at: u32 = toLeft ? 0 : pageCount(left); // first cell of the right page, as a slot of the source
  let size = min(pageUsed(left), pageUsed(right));
  if (toLeft) {
    const most = pageCount(right) - 1;
    while (at < most && size + pageCellSize(right, at) <= half) size += pageCellSize(right, at++);
    if (at == 0) return false;
  } else {
    while (at > 1 && size + pageCellSize(left, at - 1) <= half) size += pageCellSize(left, --at);
    if (at == pageCount(left)) return false;
  }
  const separator = inner ? keyLength(source, at) : separatorBytes(source, at);
  if (pageFree(above) + keyLength(above, index + 1) < separator) return false;
  makeWritable(parent);
  makeWritable(leftFrame);
  makeWritable(rightFrame);
  if (toLeft) shiftLeft(above, index, left, right, at, inner);
  else shiftRight(above, index, left, right, at, inner);
  return true;
}

/** Bytes of the shortest key that tells a leaf's cells before a slot from those after. */
function separatorBytes(page: usize, at: u32): u32 {
  return (
    bytesCommon(keyAddress(page, at - 1), keyLength(page, at - 1), keyAddress(page, at), keyLength(page, at)) + 1
  );
}

function shiftLeft(above: usize, index: u32, left: usize, right: usize, take: u32, inner: bool): void {
  const spare = pageSpare();
  memory.copy(spare, right, pageSize);
  const count = pageCount(spare);
  if (inner) {
    pageInsert(left, pageCount(left), keyAddress(above, index + 1), keyLength(above, index + 1), cellWord(spare, 0), 0, 0);
  }
  pageClear(right);
  if (inner) {
    pageAppendCell(right, 0, 0, cellWord(spare, take), 0, 0);
    pageAppend(right, spare, take + 1, count);
  } else {
    pageAppend(right, spare, take, count);
  }
  pageRehead(right);
  // Left: its own cells, then the taken ones, compactly (through inserts, since the spare page is in use).
  for (let i: u32 = inner ? 1 : 0; i < take; ++i) {
    const word = cellWord(spare, i);
    const stored = inner ? 0 : valueStored(word);
    pageInsert(left, pageCount(left), keyAddress(spare, i), keyLength(spare, i), word, valueAt(spare, i), stored);
  }
  replaceSeparator(above, index, spare, take, inner, pageNumber(right));
}

function shiftRight(above: usize, index: u32, left: usize, right: usize, keep: u32, inner: bool): void {
  const spare = pageSpare();
  memory.copy(spare, right, pageSize);
  const count = pageCount(left);
  pageClear(right);
  if (inner) {
    pageAppendCell(right, 0, 0, cellWord(left, keep), 0, 0);
    pageAppend(right, left, keep + 1, count);
    pageAppendCell(right, keyAddress(above, index + 1), keyLength(above, index + 1), cellWord(spare, 0), 0, 0);
    pageAppend(right, spare, 1, pageCount(spare));
  } else {
    pageAppend(right, left, keep, count);
    pageAppend(right, spare, 0, pageCount(spare));
  }
  pageRehead(right);
  // The separator is read from the left page's leaving cells: copy them out before they are cut.
  memory.copy(spare, left, pageSize);
  pageCut(left, keep);
  replaceSeparator(above, index, spare, keep, inner, pageNumber(right));
}

/** Gives the right page its new separator: an inner cell's own key, or the shortest one between two leaves. */
function replaceSeparator(above: usize, index: u32, source: usize, at: u32, inner: bool, child: u32): void {
  const length = inner ? keyLength(source, at) : separatorBytes(source, at);
  pageRemove(above, index + 1);
  pageInsert(above, index + 1, keyAddress(source, at), length, child, 0, 0);
  if (DEBUG) pageAudit(above);
}
