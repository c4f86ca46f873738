import { describe, expect, test } from 'vitest';
import { FREE_AREA, MEMORY_END, startCodecs } from '../support/codec-core.ts';
import { kinds, randomFrom } from '../support/codec-data.ts';
import { seed } from '../support/seed.ts';

const cores = startCodecs();
const RESULT = FREE_AREA;
const BYTES = FREE_AREA + 64;
const prime32 = 2654435761;

/** XXH64 straight from its specification, in whole numbers. */
function xxh64(bytes: Uint8Array, start: bigint): bigint {
  const [p1, p2, p3, p4, p5] = [
    0x9e3779b185ebca87n,
    0xc2b2ae3d27d4eb4fn,
    0x165667b19e3779f9n,
    0x85ebca77c2b2ae63n,
    0x27d4eb2f165667c5n,
  ] as const;
  const u64 = (value: bigint) => BigInt.asUintN(64, value);
  const rotate = (value: bigint, by: bigint) => u64((value << by) | (u64(value) >> (64n - by)));
  const round = (lane: bigint, word: bigint) => u64(rotate(u64(lane + word * p2), 31n) * p1);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  let hash = u64(start + p5);
  if (bytes.length >= 32) {
    const lanes = [start + p1 + p2, start + p2, start, start - p1].map(u64);
    for (; at + 32 <= bytes.length; at += 32) {
      for (let lane = 0; lane < 4; lane++) {
        lanes[lane] = round(lanes[lane]!, view.getBigUint64(at + 8 * lane, true));
      }
    }
    const turns = [1n, 7n, 12n, 18n];
    hash = u64(lanes.reduce((sum, lane, index) => sum + rotate(lane, turns[index]!), 0n));
    for (const lane of lanes) hash = u64((hash ^ round(0n, lane)) * p1 + p4);
  }
  hash = u64(hash + BigInt(bytes.length));
  for (; at + 8 <= bytes.length; at += 8) {
    hash = u64(rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * p1 + p4);
  }
  if (at + 4 <= bytes.length) {
    hash = u64(rotate(hash ^ u64(BigInt(view.getUint32(at, true)) * p1), 23n) * p2 + p3);
    at += 4;
  }
  for (; at < bytes.length; at++) hash = u64(rotate(hash ^ u64(BigInt(bytes[at]!) * p5), 11n) * p1);
  hash = u64((hash ^ (hash >> 33n)) * p2);
  hash = u64((hash ^ (hash >> 29n)) * p3);
  return hash ^ (hash >> 32n);
}

/** The bytes that the reference implementation hashes to check itself. */
function referenceBytes(length: number): Uint8Array {
  let state = BigInt(prime32);
  return Uint8Array.from({ length }, () => {
    const byte = Number(state >> 56n);
    state = BigInt.asUintN(64, state * 11400714785074694797n);
    return byte;
  });
}

const ascii = (text: string) => new TextEncoder().encode(text);

const published: [title: string, bytes: Uint8Array, seed: number, hash: string][] = [
  ['nothing', ascii(''), 0, 'ef46db3751d8e999'],
  ['a', ascii('a'), 0, 'd24ec4f1a98c6e5b'],
  ['as', ascii('as'), 0, '1c330fb2d66be179'],
  ['asd', ascii('asd'), 0, '631c37ce72a97393'],
  ['asdf', ascii('asdf'), 0, '415872f599cea71e'],
  ['abc', ascii('abc'), 0, '44bc2cf5ad770999'],
  [
    '63 characters of prose',
    ascii('Call me Ishmael. Some years ago--never mind how long precisely-'),
    0,
    '02a2e85470d6fd96',
  ],
  ['nothing, seeded', ascii(''), prime32, 'ac75fda2929b17ef'],
  ['1 reference byte', referenceBytes(1), 0, 'e934a84adb052768'],
  ['1 reference byte, seeded', referenceBytes(1), prime32, '5014607643a9b4c3'],
  ['4 reference bytes', referenceBytes(4), 0, '9136a0dca57457ee'],
  ['14 reference bytes', referenceBytes(14), 0, '8282dcc4994e35c8'],
  ['14 reference bytes, seeded', referenceBytes(14), prime32, 'c3bd6bf63deb6df0'],
  ['222 reference bytes', referenceBytes(222), 0, 'b641ae8cb691c174'],
  ['222 reference bytes, seeded', referenceBytes(222), prime32, '20cb8ab7ae10c14a'],
];

describe.each(cores)('$name', ({ memory, u8, x }) => {
  const view = new DataView(memory.buffer);

  function checksum(bytes: Uint8Array, start: number, address = BYTES): bigint {
    u8.set(bytes, address);
    x.checksumOf(address, bytes.length, start, RESULT);
    return view.getBigUint64(RESULT, true);
  }

  test.each(published)('checksum: the published value of %s is met', (_title, bytes, start, hash) => {
    expect(xxh64(bytes, BigInt(start)).toString(16).padStart(16, '0')).toBe(hash);
    expect(checksum(bytes, start).toString(16).padStart(16, '0')).toBe(hash);
  });

  test('checksum: every length up to 300 agrees with the specification', () => {
    const random = randomFrom(seed);
    for (let length = 0; length <= 300; length++) {
      const bytes = kinds.random(length, random);
      const start = random(2) === 0 ? 0 : random(2 ** 32);
      expect(checksum(bytes, start), `${length} bytes, seed ${start}`).toBe(xxh64(bytes, BigInt(start)));
    }
  });

  test('checksum: a page of the largest size agrees with the specification', () => {
    const bytes = kinds.random(65536, randomFrom(seed));
    expect(checksum(bytes, 0)).toBe(xxh64(bytes, 0n));
  });

  test('checksum: the place of the bytes and their surroundings make no difference', () => {
    const bytes = kinds.text(77, randomFrom(seed));
    const expected = xxh64(bytes, 0n);
    for (let shift = 0; shift < 16; shift++) {
      u8.fill(shift * 17, BYTES - 32, BYTES + 256);
      expect(checksum(bytes, 0, BYTES + shift)).toBe(expected);
    }
  });

  test('checksum: no byte behind the end of the memory is read', () => {
    for (let length = 0; length <= 100; length++) {
      const bytes = kinds.random(length, randomFrom(seed + length));
      expect(checksum(bytes, 0, MEMORY_END - length)).toBe(xxh64(bytes, 0n));
    }
  });

  test('checksum: the result may replace some of the bytes', () => {
    const bytes = kinds.text(64, randomFrom(seed));
    u8.set(bytes, BYTES);
    x.checksumOf(BYTES, 64, 0, BYTES + 48);
    expect(view.getBigUint64(BYTES + 48, true)).toBe(xxh64(bytes, 0n));
  });

  test('checksum: bytes outside the memory are refused as a mistake of ours', () => {
    expect(() => x.checksumOf(MEMORY_END - 8, 9, 0, RESULT)).toThrow('hashed bytes lie inside the memory');
    expect(() => x.checksumOf(-8, 9, 0, RESULT)).toThrow('hashed bytes lie inside the memory');
    expect(() => x.checksumOf(BYTES, 9, 0, MEMORY_END - 7)).toThrow('a checksum is stored inside the memory');
  });
});
