/*
 * The B+tree: search, insert, replace and delete over pages found by number.
 *
 * A root's page number never changes: when it is full its content moves down one level. An operation first walks to
 * the leaf without changing anything; when the leaf lacks space (or a page on the way is nearly empty, for a delete)
 * it makes one structural step and starts again. Every step leaves a valid tree of the same content and has at most
 * four pages in hand, so a missing page or a full pool may interrupt the operation between any two steps: it answers
 * MISS or EXHAUSTED, the host helps, and calls again.
 *
 * Splits go by size; an insert at the very end (or start) of the tree leaves the full page as it is, so that loads
 * in key order fill their pages. A page under a quarter full is merged with its neighbour, or takes from it, by the
 * next delete that passes. Separators are the shortest key that tells two leaves apart (Bayer & Unterauer, 1977).
 *
 * Invariants
 *   1. All leaves have level 0; a child's level is its parent's less one. Both are checked on the way.
 *   2. The keys below a child lie in [its slot's key, the next slot's key).
 *   3. Nothing is changed by a call that answers MISS or EXHAUSTED except through whole structural steps.
 */
import { pageAudit } from '../page/audit';
import {
  NOT_FOUND,
  OK,
  PAGE_LEAF,
  PRIVATE_PAGE,
  EXHAUSTED,
  VALUE_OVERFLOW,
  VALUE_TOMBSTONE,
} from '../layout';
import { frameNewest, pageNumber } from '../pool/frames';
import { overflowDrop } from './overflow';
import {
  DEBUG,
  LATEST,
  MERGES_OFF,
  VALUE_ADDRESS,
  VALUE_FLAGS,
  VALUE_LENGTH,
  frameAddress,
  pageSize,
} from '../memory/memory';
import {
  FOUND,
  META_OVERFLOW,
  META_TOMBSTONE,
  SLOT_SIZE,
  cellWord,
  pageCellSize,
  pageCount,
  pageFree,
  pageInsert,
  pageRemove,
  pageSearch,
  setCellWord,
  valueAt,
  valueStored,
} from '../page/page';
import { makeWritable, pageEnd, pageNew, stepReady } from '../pool/versions';
import { walkFrame, walkTo, walkIndex, walkParent } from './walk';
import { mergeTowards, splitTowards } from './reshape';

/** Finds a key: OK with the value's place, length and flags noted, or NOT_FOUND, MISS, DAMAGED. */
export function treeFind(root: u32, epoch: u64, key: usize, length: u32): i32 {
  const status = walkTo(root, epoch, key, length);
  if (status != OK) return status;
  const page = frameAddress(walkFrame());
  const found = pageSearch(page, key, length);
  if (!(found & FOUND)) return NOT_FOUND;
  reportValue(page, found & ~FOUND);
  return OK;
}

/** Notes the value of a leaf's slot for the host. */
export function reportValue(page: usize, index: u32): void {
  const meta = cellWord(page, index);
  const at = valueAt(page, index);
  store<u32>(VALUE_LENGTH, meta & ~(META_OVERFLOW | META_TOMBSTONE));
  if (meta & META_OVERFLOW) {
    store<u32>(VALUE_FLAGS, VALUE_OVERFLOW);
    store<u32>(VALUE_ADDRESS, load<u32>(at));
  } else {
    store<u32>(VALUE_FLAGS, meta & META_TOMBSTONE ? VALUE_TOMBSTONE : 0);
    store<u32>(VALUE_ADDRESS, at as u32);
  }
}

/** Makes an empty tree whose root has the given number. Needs one free frame. */
export function treeCreate(root: u32): i32 {
  if (!stepReady((root & PRIVATE_PAGE) != 0)) return EXHAUSTED;
  assert(frameNewest(root) == 0, 'a new tree has a new root');
  pageNew(root, PAGE_LEAF, 0);
  return OK;
}

/** Ends an empty tree: its root's number is free. OK, or MISS, EXHAUSTED; NOT_FOUND: it is not empty. */
export function treeEnd(root: u32): i32 {
  if (!stepReady((root & PRIVATE_PAGE) != 0)) return EXHAUSTED;
  const status = walkTo(root, LATEST, 0, 0);
  if (status != OK) return status;
  const page = frameAddress(walkFrame());
  if (pageNumber(page) != root || pageCount(page) != 0) return NOT_FOUND;
  pageEnd(walkFrame());
  return OK;
}

/** Inserts or replaces a leaf cell; `word` is its meta word, `stored` the bytes of the value in the cell. */
export function treePutCell(root: u32, key: usize, length: u32, word: u32, value: usize, stored: u32): i32 {
  // Longer keys would make separators that no parent has space for.
  assert(length <= ((pageSize >> 3) as u32), 'a key is no longer than an eighth of a page');
  const isPrivate = (root & PRIVATE_PAGE) != 0;
  while (true) {
    if (!stepReady(isPrivate)) return EXHAUSTED;
    const status = walkTo(root, LATEST, key, length);
    if (status != OK) return status;
    const frame = walkFrame();
    const page = frameAddress(frame);
    const found = pageSearch(page, key, length);
    const index = found & ~FOUND;
    const need = SLOT_SIZE + 4 + length + stored;
    if (found & FOUND) {
      const old = cellWord(page, index);
      const oldStored = valueStored(old);
      if (oldStored != stored && pageFree(page) + pageCellSize(page, index) < need) {
        splitTowards(root, key, length, need);
        continue;
      }
      makeWritable(frame);
      if (old & META_OVERFLOW) overflowDrop(page, index);
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
      if (DEBUG) pageAudit(page);
      return OK;
    }
    splitTowards(root, key, length, need);
  }
}

/** Removes a key: OK, or NOT_FOUND, MISS, EXHAUSTED, DAMAGED. */
export function treeDeleteKey(root: u32, key: usize, length: u32): i32 {
  const mayMerge = load<u32>(MERGES_OFF) == 0;
  while (true) {
    if (!stepReady((root & PRIVATE_PAGE) != 0)) return EXHAUSTED;
    const status = walkTo(root, LATEST, key, length);
    if (status != OK) return status;
    const frame = walkFrame();
    const page = frameAddress(frame);
    const found = pageSearch(page, key, length);
    if (!(found & FOUND)) return NOT_FOUND;
    if (mayMerge) {
      const step = mergeTowards(root, key, length);
      if (step == OK) continue;
      if (step != NOT_FOUND) return step;
    }
    const index = found & ~FOUND;
    makeWritable(frame);
    if (cellWord(page, index) & META_OVERFLOW) overflowDrop(page, index);
    pageRemove(page, index);
    if (pageCount(page) == 0) unlink(frame);
    return OK;
  }
}

/** Takes the empty leaf the last walk came to out of its parent, unless it is the only child. */
function unlink(leaf: u32): void {
  const parent = walkParent();
  if (parent == 0) return;
  const above = frameAddress(parent);
  const index = walkIndex();
  if (pageCount(above) == 1) return;
  makeWritable(parent);
  // The first child has no key of its own: its neighbour takes its place.
  if (index == 0) setCellWord(above, 0, cellWord(above, 1));
  pageRemove(above, index == 0 ? 1 : index);
  pageEnd(leaf);
}
