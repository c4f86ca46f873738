/*
 * Page versions: when a page may change in place, and what is set aside when it may not.
 *
 * Every page carries the epoch that wrote it. A snapshot takes the current epoch; the first change after that starts
 * the next one. A change is made in place when no reader can see the present bytes; otherwise they are set aside
 * first: copied to a frame of their own when they lie nowhere else, left to their extent when they do. The host
 * keeps the list of versions and of the snapshots that see them; it learns of every end of a version through an
 * event, which it drains after the call.
 *
 * Invariants
 *   1. A dirty newest version whose epoch is above every reader's snapshot changes in place, and only such a one.
 *   2. Every other change reports the version that ended, with its epochs, in EVENT_AREA (a frame holding the old
 *      bytes when they lie nowhere else and a reader sees them, 0 otherwise).
 *   3. Private pages (transactions' own) have their own newest reader; snapshots of the store do not see them.
 */
import {
  EVENT_AREA,
  EVENT_CAPACITY,
  EVENT_CHANGED,
  EVENT_FREED,
  EVENT_SIZE,
  EVENT_TAKEN,
  NUMBER_AREA,
  NUMBER_CAPACITY,
  PRIVATE_PAGE,
} from '../layout';
import {
  FRAME_DIRTY,
  frameAdmit,
  frameDrop,
  frameFlags,
  frameRetire,
  frameSoil,
  frameTake,
  pageEpoch,
  pageNumber,
} from './frames';
import {
  EPOCH,
  EPOCH_TAKEN,
  EVENT_COUNT,
  FREE_COUNT,
  PRIVATE_NUMBERS,
  PRIVATE_READER_EPOCH,
  READER_EPOCH,
  SHARED_NUMBERS,
  frameAddress,
  pageSize,
} from '../memory/memory';
import { pageInit } from '../page/page';

/** The epoch of a change made now. */
export function epochForChange(): u64 {
  let epoch = load<u64>(EPOCH);
  if (load<u32>(EPOCH_TAKEN)) {
    store<u64>(EPOCH, ++epoch);
    store<u32>(EPOCH_TAKEN, 0);
  }
  return epoch;
}

/** Whether one step of an operation has all it may need: frames, page numbers, space for events. */
export function stepReady(isPrivate: bool): bool {
  return (
    load<u32>(FREE_COUNT) >= 6 &&
    load<u32>(EVENT_COUNT) + 8 <= (EVENT_CAPACITY as u32) &&
    load<u32>(isPrivate ? PRIVATE_NUMBERS : SHARED_NUMBERS) >= 3
  );
}

function report(kind: u32, page: u32, from: u64, to: u64, frame: u32): void {
  const count = load<u32>(EVENT_COUNT);
  assert(count < (EVENT_CAPACITY as u32), 'there is space for an event before it happens');
  const event: usize = (EVENT_AREA as usize) + (count as usize) * (EVENT_SIZE as usize);
  store<u32>(event, kind);
  store<u32>(event, page, 4);
  store<f64>(event, from as f64, 8);
  store<f64>(event, to as f64, 16);
  store<u32>(event, frame, 24);
  store<u32>(EVENT_COUNT, count + 1);
}

function readerEpoch(page: u32): u64 {
  return load<u64>(page & PRIVATE_PAGE ? PRIVATE_READER_EPOCH : READER_EPOCH);
}

/** Makes the newest version in a frame ready to be changed. Needs at most one free frame and one event. */
export function makeWritable(frame: u32): void {
  const page = frameAddress(frame);
  const number = pageNumber(page);
  const from = pageEpoch(page);
  const dirty = (frameFlags(frame) & FRAME_DIRTY) != 0;
  const reader = readerEpoch(number);
  if (dirty && from > reader) return;
  const epoch = epochForChange();
  let copy: u32 = 0;
  if (dirty) {
    copy = frameTake();
    memory.copy(frameAddress(copy), page, pageSize);
    frameAdmit(copy, true, epoch);
  }
  report(EVENT_CHANGED, number, from, epoch, copy);
  store<u64>(page, epoch, 8);
  frameSoil(frame);
}

/** Ends a page whose newest version is in a frame: its number is free, its last bytes stay for those who see them. */
export function pageEnd(frame: u32): void {
  const page = frameAddress(frame);
  const number = pageNumber(page);
  const from = pageEpoch(page);
  const dirty = (frameFlags(frame) & FRAME_DIRTY) != 0;
  const epoch = epochForChange();
  let kept: u32 = 0;
  if (dirty && from <= readerEpoch(number)) {
    frameRetire(frame, epoch);
    kept = frame;
  } else {
    frameDrop(frame);
  }
  report(EVENT_FREED, number, from, epoch, kept);
}

/** Takes a free page number. */
export function numberTake(isPrivate: bool): u32 {
  const counter = isPrivate ? PRIVATE_NUMBERS : SHARED_NUMBERS;
  const count = load<u32>(counter);
  assert(count > 0, 'a free page number is in hand before it is needed');
  store<u32>(counter, count - 1);
  const stack: usize = (NUMBER_AREA as usize) + (isPrivate ? (NUMBER_CAPACITY as usize) * 4 : 0);
  return load<u32>(stack + (((count - 1) as usize) << 2));
}

/** Makes a new page with a number taken before; answers its frame. */
export function pageNew(number: u32, kind: u32, level: u32): u32 {
  const frame = frameTake();
  const epoch = epochForChange();
  pageInit(frameAddress(frame), number, kind, level, epoch);
  frameAdmit(frame, true, 0);
  if (number & PRIVATE_PAGE) report(EVENT_TAKEN, number, epoch, epoch, 0);
  return frame;
}
