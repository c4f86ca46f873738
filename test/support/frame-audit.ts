/*
 * The audit of the pool's frame table: walks the list of free frames, the queue of resident ones and the table, and
 * compares them with one another and with the core's counters. Between calls only.
 *
 * It reads the words of the state area and of the table where assembly/memory/memory.ts and assembly/pool/frames.ts
 * put them.
 */
import { PRIVATE_PAGE, STATE_AREA } from '../../assembly/layout.ts';
import type { Core } from '../../src/core/wasm.ts';

// Words of the state area.
const [FRAME_TABLE, FREE_HEAD, QUEUE_HEAD, QUEUE_TAIL, HAND] = [16, 28, 36, 40, 44].map(
  (offset) => STATE_AREA + offset,
) as [number, number, number, number, number];
// An entry of the table, in bytes; FREE links the free frames, OLDER and YOUNGER the queue.
const [FREE, YOUNGER, OLDER, FLAGS, ENTRY] = [0, 4, 8, 12, 32];
const [DIRTY, OLD, PINNED, RESIDENT] = [1, 2, 4, 8];

/** Which rule of the frame table does not hold (1 to 6); 0 when all do. */
export function brokenFrameRule(core: Core): number {
  const word = (address: number): number => core.u32[address / 4]!;
  const field = (frame: number, offset: number): number => word(word(FRAME_TABLE) + frame * ENTRY + offset);
  const is = (frame: number, flag: number): boolean => (field(frame, FLAGS) & flag) !== 0;
  let free = 0;
  for (let frame = word(FREE_HEAD); frame !== 0 && free <= core.frames; frame = field(frame, FREE)) {
    if (field(frame, FLAGS) !== 0) return 1;
    free++;
  }
  let [queued, younger] = [0, 0];
  for (let frame = word(QUEUE_HEAD); frame !== 0 && queued <= core.frames; frame = field(frame, OLDER)) {
    if (!is(frame, RESIDENT) || field(frame, YOUNGER) !== younger) return 2;
    if (!isFound(core, frame, is(frame, OLD))) return 3;
    younger = frame;
    queued++;
  }
  if (word(QUEUE_TAIL) !== younger) return 2;
  if (free !== core.x.freeCount() || free + queued !== core.frames) return 4;
  if (word(HAND) !== 0 && !is(word(HAND), RESIDENT)) return 5;
  return doCountersHold(core, is) ? 0 : 6;
}

/** Whether a resident frame is found by the page and the epoch it holds. */
function isFound({ x }: Core, frame: number, isOld: boolean): boolean {
  const page = x.frameNumber(frame);
  return (isOld ? x.oldFrame(page, x.frameFrom(frame)) : x.frameNewest(page)) === frame;
}

function doCountersHold({ x, frames }: Core, is: (frame: number, flag: number) => boolean): boolean {
  const all = Array.from({ length: frames }, (_, index) => index + 1);
  const isShared = (frame: number): boolean => (x.frameNumber(frame) & PRIVATE_PAGE) === 0;
  return (
    all.filter((frame) => is(frame, DIRTY)).length === x.dirtyCount() &&
    all.filter((frame) => is(frame, PINNED)).length === x.pinnedCount() &&
    all.filter((frame) => is(frame, OLD)).length === x.oldResident() &&
    all.filter((frame) => is(frame, RESIDENT) && !is(frame, OLD) && isShared(frame)).length ===
      x.sharedResident()
  );
}
