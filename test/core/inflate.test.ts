/*
 * What undoes DEFLATE in bundles for browsers, against zlib: every kind of block, lengths and distances of every step,
 * and the module itself.
 */
import { constants, deflateRawSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { bytes as release } from '../../build/wasm/release.js';
import { inflate } from '../../src/core/inflate.ts';
import { kinds, randomFrom } from '../support/codec-data.ts';
import { seed } from '../support/seed.ts';

const { Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE } = constants;

function noise(size: number): Buffer {
  return Buffer.from(kinds.random(size, randomFrom(seed)));
}

/** Matches of every length, from every distance that has a step of its own. */
function matches(): Buffer {
  const past = noise(33_000);
  const pieces = [past];
  for (let length = 3; length <= 258; length++)
    pieces.push(past.subarray(32_900 - length * 7).subarray(0, length));
  for (let step = 1; step <= 32_768; step *= 2) {
    for (const distance of [step, step + (step >> 1)]) {
      const all = Buffer.concat(pieces);
      if (distance <= 32_768) pieces.splice(0, pieces.length, all, all.subarray(-distance).subarray(0, 40));
    }
  }
  return Buffer.concat(pieces);
}

test.each([
  ['nothing', Buffer.alloc(0)],
  ['one byte', Buffer.from('a')],
  ['one byte, again and again', Buffer.alloc(100_000, 1)],
  ['what cannot be compressed', noise(70_000)],
  ['words', Buffer.from('to be, or not to be, that is the question; '.repeat(300))],
  ['matches of every length and distance', matches()],
  ['the module', Buffer.from(release)],
])('inflate: %s comes out as it went in, from every kind of block', (_, bytes) => {
  for (const strategy of [Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE]) {
    for (const level of [0, 1, 9]) {
      const packed = deflateRawSync(bytes, { level, strategy });
      expect(Buffer.compare(inflate(packed, bytes.length), bytes), `${level} ${strategy}`).toBe(0);
    }
  }
});
