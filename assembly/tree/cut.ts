/*
 * Cutting a tree down whose records nobody needs any more, leaf by leaf from its start. No record is moved and no leaf
 * is written: a leaf is taken out of the page above it with all pages on the way that have no other child.
 *
 * Each call makes one step and leaves a smaller valid tree, so that the work may be interrupted, given up and gone on
 * with at any time.
 */
import { DAMAGE_KIND, NOT_FOUND, OK, PRIVATE_PAGE, EXHAUSTED } from '../layout';
import { frameNewest, pageNumber } from '../pool/frames';
import { LATEST, damaged, frameAddress } from '../memory/memory';
import { overflowDrop } from './overflow';
import {
  META_OVERFLOW,
  cellWord,
  pageClear,
  pageCount,
  pageLevel,
  pageRemove,
  setCellWord,
} from '../page/page';
import { pullUp } from './reshape';
import { makeWritable, pageEnd, stepReady } from '../pool/versions';
import { walkFrame, walkTo } from './walk';

/** Longest way of pages with one child that is taken out at once: a step may report so many ends. */
const CUT_MAX: u32 = 6;

/**
 * One step: OK with a chain to free (overflowDropped) when the first leaf has one, or with a leaf less; NOT_FOUND when
 * nothing but an empty root is left; MISS, EXHAUSTED, DAMAGED.
 */
export function treeCut(root: u32): i32 {
  if (!stepReady((root & PRIVATE_PAGE) != 0)) return EXHAUSTED;
  const status = walkTo(root, LATEST, 0, 0);
  if (status != OK) return status;
  const leaf = walkFrame();
  const page = frameAddress(leaf);
  const count = pageCount(page);
  for (let i: u32 = 0; i < count; ++i) {
    if (!(cellWord(page, i) & META_OVERFLOW)) continue;
    makeWritable(leaf);
    overflowDrop(page, i);
    pageRemove(page, i);
    return OK;
  }
  const top = frameNewest(root);
  if (top == leaf) {
    if (count == 0) return NOT_FOUND;
    makeWritable(leaf);
    pageClear(page);
    return OK;
  }
  return cutFirst(top);
}

/** Takes the first leaf out; the way to it is in frames. */
function cutFirst(top: u32): i32 {
  let holder: u32 = 0;
  let below: u32 = 0;
  for (let frame = top; pageLevel(frameAddress(frame)) > 0; frame = firstChild(frame)) {
    ++below;
    if (pageCount(frameAddress(frame)) == 1) continue;
    holder = frame;
    below = 0;
  }
  if (holder == 0) {
    // One way down and no other: the root takes its child's content, and is a level lower.
    pullUp(top, firstChild(top));
    return OK;
  }
  const above = frameAddress(holder);
  let frame = firstChild(holder);
  if (below >= CUT_MAX) return damaged(pageNumber(frameAddress(frame)), DAMAGE_KIND);
  makeWritable(holder);
  // The first child has no key of its own: its neighbour takes its place.
  setCellWord(above, 0, cellWord(above, 1));
  pageRemove(above, 1);
  while (true) {
    const next = pageLevel(frameAddress(frame)) > 0 ? firstChild(frame) : 0;
    pageEnd(frame);
    if (next == 0) return OK;
    frame = next;
  }
}

function firstChild(frame: u32): u32 {
  const child = frameNewest(cellWord(frameAddress(frame), 0));
  assert(child != 0, 'the way to a leaf just found is in frames');
  return child;
}
