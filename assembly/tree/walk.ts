/*
 * Walks: the way from a root to a leaf, page by page, as an epoch sees them, with the fences that bound the present
 * page. The fences are slots of pages on the way, not copies: they are good until something changes.
 *
 * A page that is not resident ends the walk with MISS; the page number and the fences are noted, so that the page is
 * held against what its parent expects when it comes in.
 */
import { DAMAGE_KIND, OK, PAGE_LEAF } from '../layout';
import { LEVEL_ANY, frameAt, frameTouch, missPage } from '../pool/frames';
import { NO_BOUND, damaged, frameAddress } from '../memory/memory';
import {
  cellWord,
  keyAddress,
  keyLength,
  pageChildIndex,
  pageCount,
  pageKind,
  pageLevel,
} from '../page/page';

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
/** Frame of the leaf's parent; 0 for a root. */
export function walkParent(): u32 {
  return load<u32>(WALK_PARENT);
}
/** The leaf's slot in its parent. */
export function walkIndex(): u32 {
  return load<u32>(WALK_INDEX);
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
    const index = pageChildIndex(page, key, length);
    walkDown(frame, page, index);
    number = cellWord(page, index);
    level = own - 1;
  }
}
