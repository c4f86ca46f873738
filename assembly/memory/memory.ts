/*
 * Linear memory: where everything lies, and the small accessors every other module goes through.
 *
 * This module cuts the memory once (memoryInit): the fixed areas of layout.ts, then tables with one entry per frame,
 * then the frames. The frames come last because the host makes the memory longer as they are needed (framesAdd); the
 * tables have their final size from the start. All mutable state lies in the state area, none in globals of this
 * module, so that several instances could one day share one memory.
 *
 * The page size is the store's, not the build's: an immutable global given by the host.
 */
import { FRAME_AREA, FRAME_OVERHEAD, OK, PAGE_SIZE_MAX, PAGE_SIZE_MIN, STATE_AREA, DAMAGED } from '../layout';

export declare const pageSize: i32;
export declare const pageShift: i32;

/** Set by the debug build: walks and accounting checks that cost more than the work they watch. */
export const DEBUG: bool = isDefined(ENGINE_DEBUG);

/** Frames that a pool grows by at the most: one in the debug build, so that tests meet memory that moves at every turn. */
const GROWTH_MOST: u32 = DEBUG ? 1 : u32.MAX_VALUE;

// --- state area: one word each unless said otherwise ---
export const FRAME_COUNT: usize = STATE_AREA; // frames that are in the memory, frame 0 included
export const BUCKET_MASK: usize = STATE_AREA + 4;
export const BUCKETS: usize = STATE_AREA + 8; // address: newest versions by page number
export const OLD_BUCKETS: usize = STATE_AREA + 12; // address: old versions by page number
export const FRAME_TABLE: usize = STATE_AREA + 16; // address
export const TOUCHED: usize = STATE_AREA + 20; // address: one byte per frame
export const FRAMES: usize = STATE_AREA + 24; // address of frame 0, which is never used
export const FREE_HEAD: usize = STATE_AREA + 28;
export const FREE_COUNT: usize = STATE_AREA + 32;
export const QUEUE_HEAD: usize = STATE_AREA + 36; // youngest resident frame
export const QUEUE_TAIL: usize = STATE_AREA + 40; // oldest
export const HAND: usize = STATE_AREA + 44;
export const DIRTY_COUNT: usize = STATE_AREA + 48;
export const SHARED_RESIDENT: usize = STATE_AREA + 52; // newest versions of shared pages in frames
export const EVENT_COUNT: usize = STATE_AREA + 56;
export const SHARED_NUMBERS: usize = STATE_AREA + 60;
export const PRIVATE_NUMBERS: usize = STATE_AREA + 64;
export const EPOCH_TAKEN: usize = STATE_AREA + 68; // a snapshot has the current epoch: the next change starts another
export const EPOCH: usize = STATE_AREA + 72; // u64
export const READER_EPOCH: usize = STATE_AREA + 80; // u64: newest snapshot somebody reads shared pages at; 0 = none
export const PRIVATE_READER_EPOCH: usize = STATE_AREA + 88; // u64: the same for private pages
export const MISS_PAGE: usize = STATE_AREA + 96;
export const MISS_LEVEL: usize = STATE_AREA + 100;
export const MISS_LOW: usize = STATE_AREA + 104; // length of the bound in FENCE_LOW_AREA, or NO_BOUND
export const MISS_HIGH: usize = STATE_AREA + 108;
export const MISS_EPOCH: usize = STATE_AREA + 112; // u64
export const VALUE_ADDRESS: usize = STATE_AREA + 120;
export const VALUE_LENGTH: usize = STATE_AREA + 124;
export const VALUE_FLAGS: usize = STATE_AREA + 128;
export const OVERFLOW_FIRST: usize = STATE_AREA + 132; // overflow chain being built
export const OVERFLOW_PAGE: usize = STATE_AREA + 136;
export const OVERFLOW_LEFT: usize = STATE_AREA + 140;
export const OVERFLOW_TAKEN: usize = STATE_AREA + 144;
export const OVERFLOW_NEXT: usize = STATE_AREA + 148; // after overflowRead
export const OVERFLOW_DROPPED: usize = STATE_AREA + 152; // first page of a chain nobody references any more
export const DAMAGE: usize = STATE_AREA + 156;
export const DAMAGE_PAGE: usize = STATE_AREA + 160;
export const SCAN_COUNT: usize = STATE_AREA + 164;
export const SCAN_BYTES: usize = STATE_AREA + 168;
export const SCAN_DONE: usize = STATE_AREA + 172;
export const APPLY_AT: usize = STATE_AREA + 176; // next record of a bulk call
export const DELETED: usize = STATE_AREA + 180; // records removed by the last bulk call
export const PINNED: usize = STATE_AREA + 184; // frames pinned since the operation began
export const TOUCHES: usize = STATE_AREA + 192; // f64: pages visited
export const STORE_ID: usize = STATE_AREA + 200; // u64
export const BLOCK_SUM: usize = STATE_AREA + 208; // u64: checksum of the block just sealed
export const PIN_HEAD: usize = STATE_AREA + 216;
export const VERSION_RESIDENT: usize = STATE_AREA + 220; // old versions in frames
export const INSPECTED_BYTES: usize = STATE_AREA + 224; // payload of the block inspected last
export const MERGES_OFF: usize = STATE_AREA + 228; // deletes leave nearly empty pages as they are
export const PEER_PAGE: usize = STATE_AREA + 232; // what repack.ts came to last: a page,
export const PEER_PARENT: usize = STATE_AREA + 236; // the page above it,
export const PEER_USED: usize = STATE_AREA + 240; // the bytes it holds,
export const PEER_NEXT: usize = STATE_AREA + 244; // the length of the key in OUT_AREA that ends it, or NO_BOUND,
export const PEER_MERGED: usize = STATE_AREA + 248; // whether it took its neighbour in whole,
export const PEER_PROTECTED: usize = STATE_AREA + 252; // and whether a snapshot protects it
export const HOST_CODECS: usize = STATE_AREA + 256; // bit set of the codecs that the host decodes
export const USER_SUM: usize = STATE_AREA + 264; // u64: checksum of the user block that passes through
export const PAYLOAD_ADDRESS: usize = STATE_AREA + 260; // of the payload that the host compresses or decodes
export const CLAIMED_AREAS: usize = STATE_AREA + 276; // bit set of the areas that are claimed (areas.ts)
export const FRAMES_MAX: usize = STATE_AREA + 288; // what FRAME_COUNT may become
export const SHORT_VALUE: usize = STATE_AREA + 280; // f64 or u32: a value that a call puts in a tree by itself
export const OVERFLOW_REST: usize = STATE_AREA + 272; // bytes of the value from the page in OVERFLOW_DROPPED on

/** "No bound" where a length is expected. */
export const NO_BOUND: u32 = 0xffffffff;
/** Epoch of the reader of the latest state; no snapshot ever has it. */
export const LATEST: u64 = 1 << 53;

/** Bytes of one entry of the frame table. */
export const FRAME_ENTRY_SIZE: usize = 32;

function powerOfTwoAbove(count: u32): u32 {
  let size: u32 = 16;
  while (size < count) size <<= 1;
  return size;
}

/**
 * Cuts the memory for that many frames, of which the first ones can be used at once. DAMAGED when these do not fit, or
 * when the page size cannot be.
 */
export function memoryInit(frames: u32, first: u32, storeIdLow: u32, storeIdHigh: u32): i32 {
  assert(__heap_base <= (STATE_AREA as usize), 'static data lies below the state area');
  if (pageSize < PAGE_SIZE_MIN || pageSize > PAGE_SIZE_MAX || 1 << pageShift != pageSize) return DAMAGED;
  const size: u32 = frames + 1; // frame 0 means "none"
  const buckets = powerOfTwoAbove(size * 2);
  let at: usize = FRAME_AREA;
  memory.fill(STATE_AREA, 0, 0x800);
  store<u32>(FRAME_COUNT, 1);
  store<u32>(FRAMES_MAX, size);
  store<u32>(BUCKET_MASK, buckets - 1);
  store<u32>(BUCKETS, at as u32);
  at += (buckets as usize) * 4;
  store<u32>(OLD_BUCKETS, at as u32);
  at += (buckets as usize) * 4;
  store<u32>(FRAME_TABLE, at as u32);
  at += (size as usize) * FRAME_ENTRY_SIZE;
  store<u32>(TOUCHED, at as u32);
  at += size as usize;
  at = (at + pageSize - 1) & ~((pageSize as usize) - 1);
  store<u32>(FRAMES, at as u32);
  assert(
    (at as u64) <= (FRAME_AREA as u64) + (size as u64) * FRAME_OVERHEAD + pageSize + 128,
    'FRAME_OVERHEAD covers the tables',
  );
  store<u64>(STORE_ID, (storeIdLow as u64) | ((storeIdHigh as u64) << 32));
  store<u64>(EPOCH, 1);
  return framesAdd(first) == first ? OK : DAMAGED;
}

/** Takes in up to `most` more frames, as far as the memory goes; answers how many. */
export function framesAdd(most: u32): u32 {
  const count = load<u32>(FRAME_COUNT);
  const begin = (load<u32>(FRAMES) as u64) + 64; // wide loads may look past the last byte
  const end = (memory.size() as u64) << 16;
  const fit: u32 = end < begin ? 0 : (((end - begin) >> (pageShift as u64)) as u32);
  const size = min(fit, count + min(most, load<u32>(FRAMES_MAX) - count));
  if (size <= count) return 0;
  // The last first: they are taken from the list in the order in which they lie.
  for (let frame = size - 1; frame >= count; --frame) {
    store<u32>(frameEntry(frame), load<u32>(FREE_HEAD));
    store<u32>(FREE_HEAD, frame);
  }
  store<u32>(FRAME_COUNT, size);
  store<u32>(FREE_COUNT, load<u32>(FREE_COUNT) + size - count);
  return size - count;
}

/** How many frames the pool should grow by: as many as it has. */
export function framesGrowth(): u32 {
  const count = load<u32>(FRAME_COUNT);
  return min(min(count - 1, GROWTH_MOST), load<u32>(FRAMES_MAX) - count);
}

/** Address of a frame's bytes. */
export function frameAddress(frame: u32): usize {
  return (load<u32>(FRAMES) as usize) + ((frame as usize) << pageShift);
}

/** Address of a frame's entry in the frame table. */
export function frameEntry(frame: u32): usize {
  return (load<u32>(FRAME_TABLE) as usize) + (frame as usize) * FRAME_ENTRY_SIZE;
}

// The first fields of every page; the rest is page.ts's.
export function pageNumber(page: usize): u32 {
  return load<u32>(page);
}
export function pageEpoch(page: usize): u64 {
  return load<u64>(page, 8);
}

/** First epoch that no longer sees the old version in a frame. */
export function frameEnd(frame: u32): u64 {
  return load<u64>(frameEntry(frame), 16);
}

/** Where what is known of a page begins in a hash table. */
export function bucketOf(table: usize, page: u32): usize {
  // Fibonacci hashing spreads consecutive page numbers; the mask keeps the well-mixed middle bits.
  const hash = (page * 0x9e3779b1) >> 8;
  return (load<u32>(table) as usize) + ((((hash ^ page) & load<u32>(BUCKET_MASK)) as usize) << 2);
}

/** Notes what is wrong with a page and answers DAMAGED. */
export function damaged(page: u32, what: u32): i32 {
  store<u32>(DAMAGE_PAGE, page);
  store<u32>(DAMAGE, what);
  return DAMAGED;
}

/** Compares two byte strings: unsigned bytes, shorter first. Negative, 0 or positive. */
export function bytesCompare(a: usize, aLength: u32, b: usize, bLength: u32): i32 {
  const length = min(aLength, bLength);
  let at: u32 = 0;
  while (length - at >= 8) {
    const x = bswap(load<u64>(a + at));
    const y = bswap(load<u64>(b + at));
    if (x != y) return x < y ? -1 : 1;
    at += 8;
  }
  const rest = length - at;
  if (rest > 0) {
    // Wide loads past the end are harmless (the memory ends in slack) and their extra bytes are shifted out.
    const shift = ((8 - rest) << 3) as u64;
    const x = bswap(load<u64>(a + at)) >> shift;
    const y = bswap(load<u64>(b + at)) >> shift;
    if (x != y) return x < y ? -1 : 1;
  }
  return aLength == bLength ? 0 : aLength < bLength ? -1 : 1;
}

/** Length of the longest common prefix of two byte strings. */
export function bytesCommon(a: usize, aLength: u32, b: usize, bLength: u32): u32 {
  const length = min(aLength, bLength);
  let at: u32 = 0;
  while (at < length) {
    const difference = load<u64>(a + at) ^ load<u64>(b + at);
    if (difference != 0) return min(length, at + ((ctz(difference) >> 3) as u32));
    at += 8;
  }
  return length;
}
