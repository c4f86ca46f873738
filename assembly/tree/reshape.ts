/*
 * Structural steps of the tree: splitting full pages on the way to a key, merging or evening out nearly empty ones.
 *
 * Each call makes at most one step: a page and its parent, or two neighbours and their parent. Before and after it the
 * tree is valid and holds the same records, so an operation may be interrupted between any two steps. All a step needs
 * is in hand before it begins (stepReady): it never misses halfway.
 *
 * Splits go by size, except at the ends of the tree: there the full page stays as it is and the new one takes what
 * comes, so that loads in key order fill their pages. Separators between leaves are the shortest keys that tell them
 * apart (Bayer & Unterauer, 1977).
 */
import { DAMAGE_KIND, NOT_FOUND, OK, PAGE_INNER, PRIVATE_PAGE } from '../layout';
import { frameNewest, pageNumber } from '../pool/frames';
import { DEBUG, LATEST, bytesCommon, damaged, frameAddress, pageSize } from '../memory/memory';
import {
  FOUND,
  SLOT_SIZE,
  cellWord,
  keyAddress,
  keyLength,
  pageAppend,
  pageAppendCell,
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
  valueAt,
  valueStored,
} from '../page/page';
import { pageAudit } from '../page/audit';
import { makeWritable, numberTake, pageEnd, pageNew } from '../pool/versions';
import { walkBegin, walkDown, walkHasHigh, walkHasLow, walkMiss } from './walk';

/** Largest separator cell an inner page must take. */
function separatorMax(): u32 {
  return SLOT_SIZE + 4 + ((pageSize >> 3) as u32);
}

/**
 * One structural step that brings space nearer: pushes a full root down, or splits the first full page on the way. The
 * caller has just walked to the leaf, which has no space: every page on the way is in its frame.
 */
export function splitTowards(root: u32, key: usize, length: u32, need: u32): void {
  walkBegin();
  let frame = frameNewest(root);
  let page = frameAddress(frame);
  if (pageFree(page) < (pageLevel(page) == 0 ? need : separatorMax())) pushDown(frame);
  while (true) {
    assert(pageKind(page) == PAGE_INNER, 'a full leaf has a parent by now');
    const index = pageChildIndex(page, key, length);
    walkDown(frame, page, index);
    const child = frameNewest(cellWord(page, index));
    assert(child != 0, 'the way to a full leaf is in frames');
    const below = frameAddress(child);
    if (pageFree(below) < (pageLevel(below) == 0 ? need : separatorMax())) {
      splitChild(frame, index, child, key, length);
      return;
    }
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

/** Splits a child of a page that has space for any separator. */
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
  return middleOf(page, count - 1);
}

function innerSplitPoint(page: usize, key: usize, length: u32): u32 {
  const count = pageCount(page);
  // For ascending loads keep the left page nearly full, but give the right one at least one child.
  if (!walkHasHigh() && pageChildIndex(page, key, length) == count - 1) return count - 1;
  return middleOf(page, count - 1);
}

/** The slot in [1, last] that starts the second half of the page's bytes. */
function middleOf(page: usize, last: u32): u32 {
  const half = pageUsed(page) >> 1;
  let size: u32 = 0;
  let index: u32 = 0;
  while (index < last) {
    size += pageCellSize(page, index);
    if (size > half) break;
    ++index;
  }
  return max(1, index);
}

/**
 * One structural step that removes a nearly empty page on the way; NOT_FOUND when there is nothing to do. The caller
 * has just walked to the leaf: every page on the way is in its frame, but its neighbours need not be.
 */
export function mergeTowards(root: u32, key: usize, length: u32): i32 {
  walkBegin();
  let frame = frameNewest(root);
  let page = frameAddress(frame);
  while (pageLevel(page) > 0) {
    const index = pageChildIndex(page, key, length);
    const child = frameNewest(cellWord(page, index));
    assert(child != 0, 'the way to a leaf just found is in frames');
    if (pageCount(page) == 1) {
      walkDown(frame, page, index);
      if (pageNumber(page) == root) {
        pullUp(frame, child);
        return OK;
      }
    } else {
      if (pageUsed(frameAddress(child)) < pageCapacity() >> 2) {
        const other = index + 1 < pageCount(page) ? index + 1 : index - 1;
        const sibling = frameNewest(cellWord(page, other));
        if (sibling == 0) {
          walkDown(frame, page, other);
          return walkMiss(cellWord(page, other), LATEST, pageLevel(page) - 1);
        }
        // The walk down checked the child but not its sibling, so check that here.
        if (pageKind(frameAddress(sibling)) != pageKind(frameAddress(child)) || sibling == child) {
          return damaged(cellWord(page, other), DAMAGE_KIND);
        }
        if (pageLevel(frameAddress(sibling)) + 1 != pageLevel(page)) {
          return damaged(cellWord(page, other), DAMAGE_KIND);
        }
        const leftIndex = min(index, other);
        const step =
          leftIndex == index ? join(frame, index, child, sibling) : join(frame, other, sibling, child);
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
export function pullUp(frame: u32, child: u32): void {
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
  return merge(parent, index, leftFrame, rightFrame) || even(parent, index, leftFrame, rightFrame);
}

/** Merges two neighbours into the left one; false when one page cannot hold both. */
export function merge(parent: u32, index: u32, leftFrame: u32, rightFrame: u32): bool {
  const above = frameAddress(parent);
  const left = frameAddress(leftFrame);
  const right = frameAddress(rightFrame);
  const separator = keyAddress(above, index + 1);
  const separatorLength = keyLength(above, index + 1);
  const inner = pageLevel(left) > 0;
  const joined = pageUsed(left) + pageUsed(right) + (inner ? separatorLength : 0);
  if (joined > pageCapacity()) return false;
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
export function separatorBytes(page: usize, at: u32): u32 {
  return (
    bytesCommon(
      keyAddress(page, at - 1),
      keyLength(page, at - 1),
      keyAddress(page, at),
      keyLength(page, at),
    ) + 1
  );
}

/** Moves the right page's cells before slot `take` to the left page, and the separator with them. */
export function shiftLeft(above: usize, index: u32, left: usize, right: usize, take: u32, inner: bool): void {
  const spare = pageSpare();
  memory.copy(spare, right, pageSize);
  const count = pageCount(spare);
  if (inner) {
    pageInsert(
      left,
      pageCount(left),
      keyAddress(above, index + 1),
      keyLength(above, index + 1),
      cellWord(spare, 0),
      0,
      0,
    );
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
    pageInsert(
      left,
      pageCount(left),
      keyAddress(spare, i),
      keyLength(spare, i),
      word,
      valueAt(spare, i),
      stored,
    );
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
    pageAppendCell(
      right,
      keyAddress(above, index + 1),
      keyLength(above, index + 1),
      cellWord(spare, 0),
      0,
      0,
    );
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
