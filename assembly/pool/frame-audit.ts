/* The audit of the frame table, which only tests ask for. */
import { PRIVATE_PAGE } from '../layout';
import {
  FRAME_DIRTY,
  FRAME_OLD,
  FRAME_PINNED,
  FRAME_RESIDENT,
  frameFlags,
  frameNewest,
  frameOld,
  pageEpoch,
  pageNumber,
} from './frames';
import {
  DIRTY_COUNT,
  FRAME_COUNT,
  FREE_COUNT,
  FREE_HEAD,
  HAND,
  PINNED,
  QUEUE_HEAD,
  QUEUE_TAIL,
  SHARED_RESIDENT,
  VERSION_RESIDENT,
  frameAddress,
  frameEntry,
} from '../memory/memory';

/**
 * Which rule of the frame table does not hold (1 to 6); 0 when all do. For tests: it walks every frame, and between
 * calls only.
 */
export function framesAudit(): u32 {
  const count = load<u32>(FRAME_COUNT);
  let free: u32 = 0;
  let frame = load<u32>(FREE_HEAD);
  for (; frame != 0 && free < count; frame = load<u32>(frameEntry(frame))) {
    if (frameFlags(frame) != 0) return 1;
    ++free;
  }
  let queued: u32 = 0;
  let younger: u32 = 0;
  frame = load<u32>(QUEUE_HEAD);
  for (; frame != 0 && queued < count; frame = load<u32>(frameEntry(frame), 8)) {
    if ((frameFlags(frame) & FRAME_RESIDENT) == 0 || load<u32>(frameEntry(frame), 4) != younger) return 2;
    if (!frameFound(frame)) return 3;
    younger = frame;
    ++queued;
  }
  if (load<u32>(QUEUE_TAIL) != younger) return 2;
  if (free != load<u32>(FREE_COUNT) || free + queued != count - 1) return 4;
  const hand = load<u32>(HAND);
  if (hand != 0 && (frameFlags(hand) & FRAME_RESIDENT) == 0) return 5;
  return countersHold() ? 0 : 6;
}

/** Whether a resident frame is found by the page and epochs it holds. */
function frameFound(frame: u32): bool {
  const page = frameAddress(frame);
  if (frameFlags(frame) & FRAME_OLD) return frameOld(pageNumber(page), pageEpoch(page)) == frame;
  return frameNewest(pageNumber(page)) == frame;
}

function countersHold(): bool {
  let dirty: u32 = 0;
  let pinned: u32 = 0;
  let old: u32 = 0;
  let shared: u32 = 0;
  const count = load<u32>(FRAME_COUNT);
  for (let frame: u32 = 1; frame < count; ++frame) {
    const flags = frameFlags(frame);
    if (flags & FRAME_DIRTY) ++dirty;
    if (flags & FRAME_PINNED) ++pinned;
    if (flags & FRAME_OLD) ++old;
    else if (flags & FRAME_RESIDENT && (pageNumber(frameAddress(frame)) & PRIVATE_PAGE) == 0) ++shared;
  }
  return (
    dirty == load<u32>(DIRTY_COUNT) &&
    pinned == load<u32>(PINNED) &&
    old == load<u32>(VERSION_RESIDENT) &&
    shared == load<u32>(SHARED_RESIDENT)
  );
}
