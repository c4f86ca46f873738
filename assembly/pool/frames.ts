/*
 * Frames: which page version lies where, which frames are free, and which one goes when another is needed.
 *
 * Newest versions are found by page number in one hash table, old versions (which a snapshot still reads) in
 * another (old-versions.ts). The page number and the epoch a version begins with stand in the page
 * itself; the frame table adds the epoch an old version ends with.
 *
 * Replacement is LRU kept cheaply, after SIEVE (Zhang et al., NSDI 2024): a touch sets one byte; resident frames
 * stand in the order of their arrival and a hand walks from the oldest to the youngest, clearing bytes and taking
 * the first frame without one. Pages that one big scan brings in are never touched again and are the first to go.
 *
 * Invariants
 *   1. A frame is free (on the free list), or resident (in the queue and in exactly one hash table).
 *   2. At most one resident frame is the newest version of a page; old versions of a page have disjoint epochs.
 *   3. A dirty frame is the only place of its bytes and is never dropped; DIRTY_COUNT counts them.
 *   4. A pinned frame is no victim. Frames are pinned from the moment they are loaded to the end of the operation
 *      that missed them, so that an operation needing many pages ends even in the smallest pool.
 *   5. Victims leave only between core calls: within one, an address stays good.
 *
 * Frame table entry: 0 next in hash chain or free list, or left in a tree | 4 younger | 8 older | 12 flags |
 * 16 end epoch u64 | 24 next pinned | 28 right in a tree.
 */
import { areasUse } from '../memory/areas';
import { frameOld, oldVersionInsert, oldVersionRemove } from './old-versions';
import {
  AREA_FENCES,
  MISS,
  VICTIM_AREA,
  VICTIM_CAPACITY,
  FENCE_HIGH_AREA,
  FENCE_LOW_AREA,
  PRIVATE_PAGE,
  KEY_SIZE_MAX,
} from '../layout';
import {
  BUCKETS,
  DEBUG,
  DIRTY_COUNT,
  FRAME_COUNT,
  FREE_COUNT,
  FREE_HEAD,
  HAND,
  LATEST,
  MISS_EPOCH,
  MISS_HIGH,
  MISS_LEVEL,
  MISS_LOW,
  MISS_PAGE,
  NO_BOUND,
  PINNED,
  PIN_HEAD,
  QUEUE_HEAD,
  QUEUE_TAIL,
  SHARED_RESIDENT,
  TOUCHED,
  TOUCHES,
  VERSION_RESIDENT,
  bucketOf,
  frameAddress,
  frameEnd,
  frameEntry,
  pageEpoch,
  pageNumber,
} from '../memory/memory';

export { frameOld } from './old-versions';
export { frameEnd, pageEpoch, pageNumber } from '../memory/memory';

export const FRAME_DIRTY: u32 = 1;
export const FRAME_OLD: u32 = 2; // an old version
export const FRAME_PINNED: u32 = 4;
export const FRAME_RESIDENT: u32 = 8;

/** Level of a page of which nothing is expected, and of an overflow page. */
export const LEVEL_ANY: u32 = 0xff;
export const LEVEL_OVERFLOW: u32 = 0xfe;

export function frameFlags(frame: u32): u32 {
  return load<u32>(frameEntry(frame), 12);
}

function setFlags(frame: u32, flags: u32): void {
  store<u32>(frameEntry(frame), flags, 12);
}

/** Frame of a page's newest version, or 0. */
export function frameNewest(page: u32): u32 {
  let frame = load<u32>(bucketOf(BUCKETS, page));
  while (frame != 0 && pageNumber(frameAddress(frame)) != page) frame = load<u32>(frameEntry(frame));
  return frame;
}

/** Frame of the version of a page that an epoch sees, or 0. */
export function frameAt(page: u32, epoch: u64): u32 {
  const newest = frameNewest(page);
  if (newest != 0 && pageEpoch(frameAddress(newest)) <= epoch) return newest;
  return epoch == LATEST ? 0 : frameOld(page, epoch);
}

/** Marks a frame as used, for the replacement; a pinned frame's first use is its loading and does not count. */
export function frameTouch(frame: u32): void {
  store<u8>((load<u32>(TOUCHED) as usize) + frame, 1);
  store<f64>(TOUCHES, load<f64>(TOUCHES) + 1);
}

/** Notes what is missing and what its parent expects of it; answers MISS. */
export function missPage(
  page: u32,
  epoch: u64,
  level: u32,
  low: usize,
  lowLength: u32,
  high: usize,
  highLength: u32,
): i32 {
  areasUse(AREA_FENCES);
  store<u32>(MISS_PAGE, page);
  store<u64>(MISS_EPOCH, epoch);
  store<u32>(MISS_LEVEL, level);
  store<u32>(MISS_LOW, lowLength);
  store<u32>(MISS_HIGH, highLength);
  if (lowLength != NO_BOUND) {
    assert(lowLength <= (KEY_SIZE_MAX as u32), 'a fence is a key');
    memory.copy(FENCE_LOW_AREA, low, lowLength);
  }
  if (highLength != NO_BOUND) {
    assert(highLength <= (KEY_SIZE_MAX as u32), 'a fence is a key');
    memory.copy(FENCE_HIGH_AREA, high, highLength);
  }
  return MISS;
}

function queueInsert(frame: u32): void {
  const entry = frameEntry(frame);
  const head = load<u32>(QUEUE_HEAD);
  store<u32>(entry, 0, 4);
  store<u32>(entry, head, 8);
  if (head != 0) store<u32>(frameEntry(head), frame, 4);
  else store<u32>(QUEUE_TAIL, frame);
  store<u32>(QUEUE_HEAD, frame);
}

function queueRemove(frame: u32): void {
  const entry = frameEntry(frame);
  const younger = load<u32>(entry, 4);
  const older = load<u32>(entry, 8);
  if (load<u32>(HAND) == frame) store<u32>(HAND, younger);
  if (younger != 0) store<u32>(frameEntry(younger), older, 8);
  else store<u32>(QUEUE_HEAD, older);
  if (older != 0) store<u32>(frameEntry(older), younger, 4);
  else store<u32>(QUEUE_TAIL, younger);
}

function hashInsert(page: u32, frame: u32): void {
  const bucket = bucketOf(BUCKETS, page);
  store<u32>(frameEntry(frame), load<u32>(bucket));
  store<u32>(bucket, frame);
}

function hashRemove(page: u32, frame: u32): void {
  let link = bucketOf(BUCKETS, page);
  while (load<u32>(link) != frame) {
    assert(load<u32>(link) != 0, 'a resident frame is in its hash chain');
    link = frameEntry(load<u32>(link));
  }
  store<u32>(link, load<u32>(frameEntry(frame)));
}

/** Takes a free frame; the caller fills it and makes it resident. */
export function frameTake(): u32 {
  const frame = load<u32>(FREE_HEAD);
  assert(frame != 0, 'a free frame is in hand before it is needed');
  store<u32>(FREE_HEAD, load<u32>(frameEntry(frame)));
  store<u32>(FREE_COUNT, load<u32>(FREE_COUNT) - 1);
  return frame;
}

/** Gives back a frame that never became resident. */
export function frameGive(frame: u32): void {
  store<u32>(frameEntry(frame), load<u32>(FREE_HEAD));
  setFlags(frame, 0);
  store<u32>(FREE_HEAD, frame);
  store<u32>(FREE_COUNT, load<u32>(FREE_COUNT) + 1);
}

/** Makes a filled frame resident: as the newest version (`end` 0) or as an old one that ends before `end`. */
export function frameAdmit(frame: u32, dirty: bool, end: u64): void {
  const page = pageNumber(frameAddress(frame));
  let flags = FRAME_RESIDENT;
  if (dirty) {
    flags |= FRAME_DIRTY;
    store<u32>(DIRTY_COUNT, load<u32>(DIRTY_COUNT) + 1);
  }
  if (end != 0) {
    flags |= FRAME_OLD;
    store<u64>(frameEntry(frame), end, 16);
    oldVersionInsert(page, frame);
    store<u32>(VERSION_RESIDENT, load<u32>(VERSION_RESIDENT) + 1);
  } else {
    if (DEBUG) assert(frameNewest(page) == 0, 'one newest version a page');
    hashInsert(page, frame);
    if ((page & PRIVATE_PAGE) == 0) store<u32>(SHARED_RESIDENT, load<u32>(SHARED_RESIDENT) + 1);
  }
  setFlags(frame, flags);
  store<u8>((load<u32>(TOUCHED) as usize) + frame, 0);
  queueInsert(frame);
}

function hashLeave(frame: u32, flags: u32): void {
  const page = pageNumber(frameAddress(frame));
  if (flags & FRAME_OLD) {
    oldVersionRemove(page, frame);
    store<u32>(VERSION_RESIDENT, load<u32>(VERSION_RESIDENT) - 1);
  } else {
    hashRemove(page, frame);
    if ((page & PRIVATE_PAGE) == 0) store<u32>(SHARED_RESIDENT, load<u32>(SHARED_RESIDENT) - 1);
  }
}

/** Frees a resident frame, whatever it holds: its bytes are elsewhere, or nobody wants them. */
export function frameDrop(frame: u32): void {
  const flags = frameFlags(frame);
  assert((flags & FRAME_RESIDENT) != 0, 'only a resident frame can be dropped');
  if (flags & FRAME_PINNED) unpin(frame);
  if (flags & FRAME_DIRTY) store<u32>(DIRTY_COUNT, load<u32>(DIRTY_COUNT) - 1);
  hashLeave(frame, flags);
  queueRemove(frame);
  frameGive(frame);
}

/** Turns the newest version in a frame into an old one that ends before `end`. */
export function frameRetire(frame: u32, end: u64): void {
  const flags = frameFlags(frame);
  hashLeave(frame, flags);
  setFlags(frame, flags | FRAME_OLD);
  store<u64>(frameEntry(frame), end, 16);
  oldVersionInsert(pageNumber(frameAddress(frame)), frame);
  store<u32>(VERSION_RESIDENT, load<u32>(VERSION_RESIDENT) + 1);
}

/** Notes that a frame's bytes lie nowhere else. */
export function frameSoil(frame: u32): void {
  const flags = frameFlags(frame);
  if (flags & FRAME_DIRTY) return;
  setFlags(frame, flags | FRAME_DIRTY);
  store<u32>(DIRTY_COUNT, load<u32>(DIRTY_COUNT) + 1);
}

/** Notes that a frame's bytes now lie in an extent as well. */
export function frameClean(frame: u32): void {
  const flags = frameFlags(frame);
  assert((flags & FRAME_DIRTY) != 0, 'only a dirty frame is written');
  setFlags(frame, flags & ~FRAME_DIRTY);
  store<u32>(DIRTY_COUNT, load<u32>(DIRTY_COUNT) - 1);
}

/** Pins a frame until the end of the operation. */
export function framePin(frame: u32): void {
  const flags = frameFlags(frame);
  assert((flags & FRAME_PINNED) == 0, 'a frame is pinned once');
  setFlags(frame, flags | FRAME_PINNED);
  store<u32>(frameEntry(frame), load<u32>(PIN_HEAD), 24);
  store<u32>(PIN_HEAD, frame);
  store<u32>(PINNED, load<u32>(PINNED) + 1);
}

function unpin(frame: u32): void {
  let link: usize = PIN_HEAD;
  while (load<u32>(link) != frame) link = frameEntry(load<u32>(link)) + 24;
  store<u32>(link, load<u32>(frameEntry(frame), 24));
  setFlags(frame, frameFlags(frame) & ~FRAME_PINNED);
  store<u32>(PINNED, load<u32>(PINNED) - 1);
}

/** Ends the operation: nothing is pinned any more, and being loaded for it does not count as a use. */
export function framesUnpin(): void {
  let frame = load<u32>(PIN_HEAD);
  while (frame != 0) {
    const entry = frameEntry(frame);
    store<u32>(entry, load<u32>(entry, 12) & ~FRAME_PINNED, 12);
    store<u8>((load<u32>(TOUCHED) as usize) + frame, 0);
    frame = load<u32>(entry, 24);
  }
  store<u32>(PIN_HEAD, 0);
  store<u32>(PINNED, 0);
}

/**
 * Walks the hand until `wanted` frames are free or `writes` dirty victims stand in VICTIM_AREA; answers their
 * number. Clean victims are freed at once; `writes` 0 takes no others. The caller writes the dirty ones and drops them.
 */
export function framesReclaim(wanted: u32, writes: u32): u32 {
  let listed: u32 = 0;
  const most = min(writes, VICTIM_CAPACITY as u32);
  // Go round twice: the first round may only clear the touched bytes.
  let steps = load<u32>(FRAME_COUNT) * 2;
  let frame = load<u32>(HAND);
  let round = 0;
  while (load<u32>(FREE_COUNT) + listed < wanted && (listed < most || most == 0) && steps > 0) {
    --steps;
    if (frame == 0) {
      // Another round could list a victim twice.
      if (listed > 0 && ++round > 1) break;
      frame = load<u32>(QUEUE_TAIL);
      if (frame == 0) break;
    }
    const next = load<u32>(frameEntry(frame), 4);
    const flags = frameFlags(frame);
    const touched = (load<u32>(TOUCHED) as usize) + frame;
    if (flags & FRAME_PINNED) {
      // stays
    } else if (load<u8>(touched)) {
      store<u8>(touched, 0);
    } else if (flags & FRAME_DIRTY) {
      if (most > 0 && !victimListed(frame, listed)) store<u32>(victimAt(listed++), frame);
    } else {
      frameDrop(frame);
    }
    frame = next;
  }
  store<u32>(HAND, frame);
  return listed;
}

function victimAt(index: u32): usize {
  return (VICTIM_AREA as usize) + ((index as usize) << 2);
}

function victimListed(frame: u32, listed: u32): bool {
  for (let i: u32 = 0; i < listed; ++i) {
    if (load<u32>(victimAt(i)) == frame) return true;
  }
  return false;
}

/**
 * Lists up to `most` dirty frames that an epoch sees (shared pages only) in VICTIM_AREA, looking at frames from
 * `first` on. Answers how many; SCAN-like progress is the caller's: framesVisited() says where to go on.
 */
export function framesDirtyAt(epochAsNumber: f64, first: u32, most: u32): u32 {
  const epoch = epochAsNumber as u64;
  let listed: u32 = 0;
  const count = load<u32>(FRAME_COUNT);
  const capacity = min(most, VICTIM_CAPACITY as u32);
  let frame = first;
  while (frame < count && listed < capacity) {
    const flags = frameFlags(frame);
    if ((flags & (FRAME_RESIDENT | FRAME_DIRTY)) == (FRAME_RESIDENT | FRAME_DIRTY)) {
      const page = frameAddress(frame);
      const seen = pageEpoch(page) <= epoch && (!(flags & FRAME_OLD) || epoch < frameEnd(frame));
      if (seen && (pageNumber(page) & PRIVATE_PAGE) == 0) {
        store<u32>(victimAt(listed++), frame);
      }
    }
    ++frame;
  }
  store<u32>(victimAt(VICTIM_CAPACITY), frame);
  return listed;
}
