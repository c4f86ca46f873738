import { describe, expect, test } from 'vitest';
import { FREE_AREA, MEMORY_END, startCodecs } from '../support/codec-core.ts';
import { kinds, randomFrom } from '../support/codec-data.ts';
import { seed } from '../support/seed.ts';
import { xxh64 } from '../support/xxh64.ts';

const cores = startCodecs();
const RESULT = FREE_AREA;
const BYTES = FREE_AREA + 64;
const prime32 = 2654435761;

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
