/*
 * Repacking, for compaction. Pages that deletes and splits have left half full take records from their right neighbour
 * until they are full, from left to right, one step a call (as in reshape.ts): before and after each step the tree is
 * valid and holds the same records.
 *
 * The host goes along a level by keys: each call walks down from the root to the page that holds the key in KEY_AREA
 * and leaves the key its next neighbour begins with in OUT_AREA (peerNext() bytes; -1 at the end of the tree), also when
 * it answers MISS or DAMAGED: then it is the key after what cannot be read, so that the host can pass over it.
 *
 * Invariants
 *   1. A page that a snapshot up to `protectedEpoch` sees stays as it is: its old version would take space beside the new.
 *   2. Neighbours have one parent; the separator between them is replaced in the same step that moves their cells.
 *   3. Only the store's own trees are repacked; a transaction's private tree is gone soon enough.
 */
import { areasUse } from '../memory/areas';
import {
  AREA_KEY,
  AREA_OUT,
  DAMAGE_KIND,
  KEY_AREA,
  NOT_FOUND,
  OK,
  OUT_AREA,
  PAGE_INNER,
  PRIVATE_PAGE,
  EXHAUSTED,
} from '../layout';
import { LEVEL_ANY, frameNewest, frameTouch, pageEpoch, pageNumber } from '../pool/frames';
import {
  DEBUG,
  LATEST,
  NO_BOUND,
  PEER_PROTECTED,
  PEER_MERGED,
  PEER_NEXT,
  PEER_PAGE,
  PEER_PARENT,
  PEER_USED,
  damaged,
  frameAddress,
} from '../memory/memory';
import {
  SLOT_SIZE,
  cellWord,
  keyAddress,
  keyLength,
  pageCapacity,
  pageCellSize,
  pageChildIndex,
  pageCount,
  pageFree,
  pageKind,
  pageLevel,
  pageUsed,
} from '../page/page';
import { pageAudit } from '../page/audit';
import { merge, pullUp, separatorBytes, shiftLeft } from './reshape';
import { makeWritable, stepReady } from '../pool/versions';
import { walkBegin, walkDown, walkHasHigh, walkHighAddress, walkHighLength, walkMiss } from './walk';

/** Walks to the parent of the page of a level that holds the key in KEY_AREA; NOT_FOUND: no page there has one. */
function walkAbove(root: u32, keyBytes: u32, level: u32): i32 {
  walkBegin();
  let number = root;
  let expected = LEVEL_ANY;
  while (true) {
    const frame = frameNewest(number);
    if (frame == 0) return walkMiss(number, LATEST, expected);
    frameTouch(frame);
    const page = frameAddress(frame);
    const own = pageLevel(page);
    if (expected != LEVEL_ANY && own != expected) return damaged(number, DAMAGE_KIND);
    if (own <= level) return NOT_FOUND;
    if (pageKind(page) != PAGE_INNER) return damaged(number, DAMAGE_KIND);
    store<u32>(PEER_PARENT, number);
    if (own == level + 1) return OK;
    const index = pageChildIndex(page, KEY_AREA, keyBytes);
    walkDown(frame, page, index);
    leaveNextKey();
    number = cellWord(page, index);
    expected = own - 1;
  }
}

/** Leaves the upper bound of where the walk is in OUT_AREA. */
function leaveNextKey(): void {
  if (walkHasHigh()) leaveKey(walkHighAddress(), walkHighLength());
  else store<u32>(PEER_NEXT, NO_BOUND);
}

function leaveKey(key: usize, length: u32): void {
  memory.copy(OUT_AREA, key, length);
  store<u32>(PEER_NEXT, length);
}

/** Goes from a parent to one of its children: OK, or MISS, DAMAGED. */
function stepDown(parent: u32, index: u32): i32 {
  const above = frameAddress(parent);
  walkDown(parent, above, index);
  leaveNextKey();
  const number = cellWord(above, index);
  const frame = frameNewest(number);
  if (frame == 0) return walkMiss(number, LATEST, pageLevel(above) - 1);
  const page = frameAddress(frame);
  if (pageLevel(page) + 1 != pageLevel(above)) return damaged(number, DAMAGE_KIND);
  return OK;
}

/** Whatever comes of a call, nothing is left of the one before. */
function begin(): void {
  areasUse(AREA_KEY | AREA_OUT);
  store<u32>(PEER_NEXT, NO_BOUND);
  store<u32>(PEER_MERGED, 0);
  store<u32>(PEER_PROTECTED, 0);
}

/** Finds the page of a level that holds the key in KEY_AREA: peerPage, peerParent, peerUsed, peerNext. */
export function treePeer(root: u32, keyBytes: u32, level: u32): i32 {
  begin();
  const status = walkAbove(root, keyBytes, level);
  if (status != OK) return status;
  const parent = frameNewest(load<u32>(PEER_PARENT));
  const above = frameAddress(parent);
  const index = pageChildIndex(above, KEY_AREA, keyBytes);
  const below = stepDown(parent, index);
  if (below != OK) return below;
  const number = cellWord(above, index);
  store<u32>(PEER_PAGE, number);
  store<u32>(PEER_USED, pageUsed(frameAddress(frameNewest(number))));
  return OK;
}

/**
 * One step for the page of a level that holds the key in KEY_AREA: it takes its right neighbour in (peerMerged; the
 * next step is for the same key), or is filled from it. NOT_FOUND: it is full, or has no neighbour, or a snapshot
 * up to `protectedEpoch` sees one of them. Also MISS, EXHAUSTED, DAMAGED.
 */
export function treeRepack(root: u32, keyBytes: u32, level: u32, protectedEpoch: f64): i32 {
  assert((root & PRIVATE_PAGE) == 0, 'private trees are not repacked');
  begin();
  if (!stepReady(false)) return EXHAUSTED;
  const status = treePeer(root, keyBytes, level);
  if (status != OK) return status;
  const child = frameNewest(load<u32>(PEER_PAGE));
  const left = frameAddress(child);
  const parent = frameNewest(load<u32>(PEER_PARENT));
  const above = frameAddress(parent);
  const count = pageCount(above);
  if (pageEpoch(left) <= (protectedEpoch as u64)) return leaveAsItIs();
  if (count == 1 && pageNumber(above) == root) {
    pullUp(parent, child);
    store<u32>(PEER_MERGED, 1);
    return OK;
  }
  const index = pageChildIndex(above, KEY_AREA, keyBytes);
  if (index + 1 == count || pageFree(left) < pageCapacity() >> 4) return NOT_FOUND;
  if (frameNewest(cellWord(above, index + 1)) == 0) {
    // The walk is at the child by now; the bounds of its neighbour need another walk.
    const again = walkAbove(root, keyBytes, level);
    assert(again == OK, 'the way just gone is there');
    return stepDown(parent, index + 1);
  }
  return fill(parent, index, child, protectedEpoch as u64);
}

/** Fills a page from its right neighbour, which is in its frame. */
function fill(parent: u32, index: u32, child: u32, protectedEpoch: u64): i32 {
  const above = frameAddress(parent);
  const left = frameAddress(child);
  const number = cellWord(above, index + 1);
  const sibling = frameNewest(number);
  const right = frameAddress(sibling);
  if (sibling == child || pageKind(left) != pageKind(right) || pageLevel(left) != pageLevel(right)) {
    return damaged(number, DAMAGE_KIND);
  }
  if (pageEpoch(right) <= protectedEpoch) return leaveAsItIs();
  if (merge(parent, index, child, sibling)) {
    store<u32>(PEER_MERGED, 1);
    return OK;
  }
  const take = cellsToTake(above, index, left, right);
  if (take == 0) return NOT_FOUND;
  makeWritable(parent);
  makeWritable(child);
  makeWritable(sibling);
  shiftLeft(above, index, left, right, take, pageLevel(left) > 0);
  leaveKey(keyAddress(above, index + 1), keyLength(above, index + 1));
  if (DEBUG) {
    pageAudit(left);
    pageAudit(right);
  }
  return OK;
}

function leaveAsItIs(): i32 {
  store<u32>(PEER_PROTECTED, 1);
  return NOT_FOUND;
}

/** How many of the right page's cells fit in the left one, while the parent has space for the separator after them. */
function cellsToTake(above: usize, index: u32, left: usize, right: usize): u32 {
  const inner = pageLevel(left) > 0;
  const most = pageCount(right) - 1;
  const free = pageFree(left);
  let take: u32 = 0;
  let size: u32 = 0;
  while (take < most) {
    // The right page's first child comes without a key: it gets the separator.
    size += inner && take == 0 ? SLOT_SIZE + 4 + keyLength(above, index + 1) : pageCellSize(right, take);
    if (size > free) break;
    ++take;
  }
  const separatorMost = pageFree(above) + keyLength(above, index + 1);
  while (take > 0 && (inner ? keyLength(right, take) : separatorBytes(right, take)) > separatorMost) --take;
  return take;
}

/** Makes a page writable as if it were changed, so that its bytes go to a new place: OK, EXHAUSTED, NOT_FOUND (no frame). */
export function pageRenew(number: u32): i32 {
  if (!stepReady(false)) return EXHAUSTED;
  const frame = frameNewest(number);
  if (frame == 0) return NOT_FOUND;
  makeWritable(frame);
  return OK;
}

export function peerPage(): u32 {
  return load<u32>(PEER_PAGE);
}
export function peerParent(): u32 {
  return load<u32>(PEER_PARENT);
}
export function peerUsed(): u32 {
  return load<u32>(PEER_USED);
}
export function peerNext(): i32 {
  return load<u32>(PEER_NEXT) as i32;
}
export function peerMerged(): bool {
  return load<u32>(PEER_MERGED) != 0;
}
/** Whether the last step was not made for a snapshot's sake. */
export function peerProtected(): bool {
  return load<u32>(PEER_PROTECTED) != 0;
}
/** Bytes that a page of the tree can hold. */
export function peerCapacity(): u32 {
  return pageCapacity();
}
