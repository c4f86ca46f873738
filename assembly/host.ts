/*
 * The host's view of the state area: what a call left behind, and the few words the host sets. Epochs cross the door
 * as f64 (exact below 2^53), addresses and counts as u32 that arrive signed: src/core/wasm.ts mends the sign.
 */
import { NUMBER_AREA, NUMBER_CAPACITY } from './layout';
import { overflowRead } from './tree/overflow';
import { rangeRead } from './tree/cursor';
import { frameOld, pageEpoch } from './pool/frames';
import {
  APPLY_AT,
  BLOCK_SUM,
  OVERFLOW_DROPPED,
  OVERFLOW_NEXT,
  OVERFLOW_REST,
  OVERFLOW_TAKEN,
  DAMAGE,
  DAMAGE_PAGE,
  DELETED,
  DIRTY_COUNT,
  EPOCH,
  EPOCH_TAKEN,
  EVENT_COUNT,
  FREE_COUNT,
  HOST_CODECS,
  MERGES_OFF,
  MISS_EPOCH,
  MISS_PAGE,
  PAYLOAD_ADDRESS,
  PINNED,
  PRIVATE_NUMBERS,
  PRIVATE_READER_EPOCH,
  READER_EPOCH,
  SCAN_BYTES,
  SCAN_COUNT,
  SCAN_DONE,
  SHARED_NUMBERS,
  SHARED_RESIDENT,
  TOUCHES,
  VALUE_ADDRESS,
  VALUE_FLAGS,
  VALUE_LENGTH,
  VERSION_RESIDENT,
  damaged,
  frameAddress,
} from './memory/memory';

export function missPage(): u32 {
  return load<u32>(MISS_PAGE);
}
export function missEpoch(): f64 {
  return load<u64>(MISS_EPOCH) as f64;
}
export function valueAddress(): u32 {
  return load<u32>(VALUE_ADDRESS);
}
export function valueLength(): u32 {
  return load<u32>(VALUE_LENGTH);
}
export function valueFlags(): u32 {
  return load<u32>(VALUE_FLAGS);
}
export function overflowTaken(): u32 {
  return load<u32>(OVERFLOW_TAKEN);
}
export function overflowNext(): u32 {
  return load<u32>(OVERFLOW_NEXT);
}
export function overflowDropped(): u32 {
  return load<u32>(OVERFLOW_DROPPED);
}
/** Bytes of its value that lie from overflowDropped on. */
export function overflowRest(): u32 {
  return load<u32>(OVERFLOW_REST);
}
/** Forgets the rest of a dropped chain: its pages stay taken. Only when damage hides them. */
export function overflowForget(): void {
  store<u32>(OVERFLOW_DROPPED, 0);
}
/** Whether deletes merge nearly empty pages with their neighbours, which may be damaged. */
export function mergesSet(on: bool): void {
  store<u32>(MERGES_OFF, on ? 0 : 1);
}
export function damage(): u32 {
  return load<u32>(DAMAGE);
}
export function damagePage(): u32 {
  return load<u32>(DAMAGE_PAGE);
}
/** Notes what the host found wrong with a page; answers DAMAGED. */
export function damageSet(page: u32, what: u32): i32 {
  return damaged(page, what);
}
/** Says which codecs, as a bit set, the host decodes pages with. */
export function codecsSet(bits: u32): void {
  store<u32>(HOST_CODECS, bits);
}
/** Where the payload lies that the host compresses or is to decode. */
export function payloadAddress(): u32 {
  return load<u32>(PAYLOAD_ADDRESS);
}
export function scanCount(): u32 {
  return load<u32>(SCAN_COUNT);
}
export function scanBytes(): u32 {
  return load<u32>(SCAN_BYTES);
}
export function scanDone(): u32 {
  return load<u32>(SCAN_DONE);
}
export function applyAt(): u32 {
  return load<u32>(APPLY_AT);
}
export function deletedCount(): u32 {
  return load<u32>(DELETED);
}
export function blockSumLow(): u32 {
  return load<u32>(BLOCK_SUM);
}
export function blockSumHigh(): u32 {
  return load<u32>(BLOCK_SUM, 4);
}
export function eventCount(): u32 {
  return load<u32>(EVENT_COUNT);
}
export function eventsClear(): void {
  store<u32>(EVENT_COUNT, 0);
}
export function freeCount(): u32 {
  return load<u32>(FREE_COUNT);
}
export function dirtyCount(): u32 {
  return load<u32>(DIRTY_COUNT);
}
export function pinnedCount(): u32 {
  return load<u32>(PINNED);
}
/** Newest versions of shared pages that are in frames. */
export function sharedResident(): u32 {
  return load<u32>(SHARED_RESIDENT);
}
/** Old versions that are in frames. */
export function oldResident(): u32 {
  return load<u32>(VERSION_RESIDENT);
}
/** Pages visited since the instance started. */
export function touchCount(): f64 {
  return load<f64>(TOUCHES);
}

/** Gives a snapshot the current epoch: the next change starts another one. */
export function epochTake(): f64 {
  store<u32>(EPOCH_TAKEN, 1);
  return load<u64>(EPOCH) as f64;
}
export function epochCurrent(): f64 {
  return load<u64>(EPOCH) as f64;
}
export function epochStart(epoch: f64): void {
  store<u64>(EPOCH, epoch as u64);
}
/** Sets the newest epoch at which somebody reads shared pages; 0 = nobody. */
export function readerEpochSet(epoch: f64): void {
  store<u64>(READER_EPOCH, epoch as u64);
}
/** The same for private pages. */
export function privateReaderEpochSet(epoch: f64): void {
  store<u64>(PRIVATE_READER_EPOCH, epoch as u64);
}

/** Hands the core a free page number; false when it has as many as it holds. */
export function numberPush(number: u32, isPrivate: bool): bool {
  const counter = isPrivate ? PRIVATE_NUMBERS : SHARED_NUMBERS;
  const count = load<u32>(counter);
  if (count == (NUMBER_CAPACITY as u32)) return false;
  const stack: usize = (NUMBER_AREA as usize) + (isPrivate ? (NUMBER_CAPACITY as usize) * 4 : 0);
  store<u32>(stack + ((count as usize) << 2), number);
  store<u32>(counter, count + 1);
  return true;
}
export function numberCount(isPrivate: bool): u32 {
  return load<u32>(isPrivate ? PRIVATE_NUMBERS : SHARED_NUMBERS);
}

export function treeRange(root: u32, epoch: f64, start: u32, end: u32, flags: u32, limit: u32): i32 {
  return rangeRead(root, epoch as u64, start, end, flags, limit);
}
export function overflowPage(number: u32, epoch: f64, expected: u32): i32 {
  return overflowRead(number, epoch as u64, expected);
}

/** Frame of the old version of a page that an epoch sees, or 0. */
export function oldFrame(page: u32, epoch: f64): u32 {
  return frameOld(page, epoch as u64);
}
/** Epoch a frame's page begins with. */
export function frameFrom(frame: u32): f64 {
  return pageEpoch(frameAddress(frame)) as f64;
}
/** Page number in a frame. */
export function frameNumber(frame: u32): u32 {
  return load<u32>(frameAddress(frame));
}
