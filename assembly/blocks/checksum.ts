/*
 * XXH64: the one checksum of the store's blocks, log groups and superblocks. It is the published algorithm, so any
 * conforming program can check a store's bytes. It finds accidents, not forgery: whoever can write to a store can
 * also write the checksum that fits.
 *
 * Owns no memory.
 *
 * 1. The result depends on the bytes, their number and the seed only, never on where they lie: loads are
 *    little-endian and unaligned by the definition of WebAssembly.
 * 2. Nothing outside the given range is read.
 *
 * A checksum does not leave through a return value, because 64-bit results reach JavaScript as BigInt; checksumOf()
 * stores it in memory for callers outside.
 */

// Written in halves: no JavaScript number holds them exactly, and tools that read this file as TypeScript say so.
const PRIME_1: u64 = (0x9e3779b1 << 32) | 0x85ebca87;
const PRIME_2: u64 = (0xc2b2ae3d << 32) | 0x27d4eb4f;
const PRIME_3: u64 = (0x165667b1 << 32) | 0x9e3779f9;
const PRIME_4: u64 = (0x85ebca77 << 32) | 0xc2b2ae63;
const PRIME_5: u64 = (0x27d4eb2f << 32) | 0x165667c5;

const STRIPE_SIZE: u32 = 32; // bytes; one word for each of the four lanes

function round(lane: u64, word: u64): u64 {
  return rotl<u64>(lane + word * PRIME_2, 31) * PRIME_1;
}

function mergeLane(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * PRIME_1 + PRIME_4;
}

/** Spreads every input bit over the whole result. */
function avalanche(hash: u64): u64 {
  hash = (hash ^ (hash >> 33)) * PRIME_2;
  hash = (hash ^ (hash >> 29)) * PRIME_3;
  return hash ^ (hash >> 32);
}

/** Takes in the last 0 to 31 bytes: words, then half a word, then bytes. */
function absorbTail(hash: u64, address: usize, left: u32): u64 {
  assert(left < STRIPE_SIZE, 'a tail is shorter than a stripe');
  for (; left >= 8; left -= 8, address += 8) {
    hash = rotl<u64>(hash ^ round(0, load<u64>(address)), 27) * PRIME_1 + PRIME_4;
  }
  if (left >= 4) {
    hash = rotl<u64>(hash ^ ((load<u32>(address) as u64) * PRIME_1), 23) * PRIME_2 + PRIME_3;
    address += 4;
    left -= 4;
  }
  for (; left > 0; left--, address++) {
    hash = rotl<u64>(hash ^ ((load<u8>(address) as u64) * PRIME_5), 11) * PRIME_1;
  }
  return hash;
}

/** The XXH64 of `length` bytes at `address`. */
export function xxh64(address: usize, length: u32, seed: u64): u64 {
  assert((address as u64) + length <= (memory.size() as u64) << 16, 'hashed bytes lie inside the memory');
  let hash = seed + PRIME_5;
  let stripes = length / STRIPE_SIZE;
  if (stripes > 0) {
    let lane1 = seed + PRIME_1 + PRIME_2;
    let lane2 = seed + PRIME_2;
    let lane3 = seed;
    let lane4 = seed - PRIME_1;
    for (; stripes > 0; stripes--, address += STRIPE_SIZE) {
      lane1 = round(lane1, load<u64>(address));
      lane2 = round(lane2, load<u64>(address, 8));
      lane3 = round(lane3, load<u64>(address, 16));
      lane4 = round(lane4, load<u64>(address, 24));
    }
    hash = rotl<u64>(lane1, 1) + rotl<u64>(lane2, 7) + rotl<u64>(lane3, 12) + rotl<u64>(lane4, 18);
    hash = mergeLane(hash, lane1);
    hash = mergeLane(hash, lane2);
    hash = mergeLane(hash, lane3);
    hash = mergeLane(hash, lane4);
  }
  return avalanche(absorbTail(hash + length, address, length % STRIPE_SIZE));
}

/** Stores the XXH64 of `length` bytes at `address` as a little-endian u64 at `result`, which may lie among them. */
export function checksumOf(address: usize, length: u32, seed: u32, result: usize): void {
  assert((result as u64) + 8 <= (memory.size() as u64) << 16, 'a checksum is stored inside the memory');
  store<u64>(result, xxh64(address, length, seed));
}
