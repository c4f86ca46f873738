/*
 * Rot: every kind of damage to the files of a store, bit by bit and in pieces. What can still be read is what was
 * written; the rest is CORRUPTION that names file and offset.
 */
import { expect, test } from 'vitest';
import { copyOf, judge, makeSample, type Sample, type Verdict } from '../support/damage.ts';
import type { Files } from '../support/files.ts';
import { long, seed } from '../support/seed.ts';
import { Random } from '../wal/random.ts';

const FLIPS = 3000;

const samples = await Promise.all([
  makeSample('closed', 'lz4'),
  makeSample('closed', 'none'),
  makeSample('checkpoint and log', 'lz4'),
  makeSample('checkpoint and log', 'none'),
  makeSample('log only', 'none'),
]);

type Tally = Record<Verdict, number>;

function newTally(): Tally {
  return { right: 0, shorter: 0, partial: 0, refused: 0 };
}

/** Bytes of a file up to the last one that is not zero, and a little more: flips in endless zeros tell nothing. */
function usedBytes(bytes: Uint8Array): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return Math.min(bytes.length, end + 600);
}

/** Every bit that may be flipped, by number; a file's bits follow each other. */
function bitsOf(files: Files): {
  total: number;
  place: (bit: number) => { file: string; at: number; mask: number };
} {
  const sizes = [...files].map(([file, bytes]) => [file, usedBytes(bytes)] as const);
  const total = sizes.reduce((sum, [, size]) => sum + size * 8, 0);
  return {
    total,
    place: (bit) => {
      let left = bit;
      for (const [file, size] of sizes) {
        if (left < size * 8) return { file, at: left >> 3, mask: 1 << (left & 7) };
        left -= size * 8;
      }
      throw new Error('no such bit');
    },
  };
}

/** Whether a place lies in the group of the last commit. */
function isLast({ last }: Sample, file: string, from: number, to = from + 1): boolean {
  return last !== undefined && file === last.file && from < last.to && to > last.from;
}

test.each(samples)('damage: no single bit changes an answer ($name)', async (sample) => {
  const random = new Random(seed);
  const { total, place } = bitsOf(sample.files);
  const tally = newTally();
  const harmless = copyOf(sample.files);
  const rounds = long ? total : FLIPS / samples.length;
  for (let round = 0; round < rounds; round++) {
    const { file, at, mask } = place(long ? round : random.below(total));
    const files = new Map(sample.files);
    const bytes = files.get(file)!.slice();
    bytes[at]! ^= mask;
    files.set(file, bytes);
    const mayMissLast = isLast(sample, file, at);
    const verdict = await judge(sample, files, { readOnly: round % 2 === 0, mayMissLast }).catch((cause) => {
      throw new Error(`SEED=${seed}, ${file} at ${at}, mask ${mask}: ${cause}`, { cause });
    });
    tally[verdict]++;
    if (verdict === 'right' && !(file === 'data' && at < 8192)) harmless.get(file)![at]! ^= mask;
  }
  // What was harmless alone is so together: those bytes mean nothing.
  expect(await judge(sample, harmless)).toBe('right');
  if (long) process.stdout.write(`bit flips, ${sample.name}: ${total} bits, ${JSON.stringify(tally)}\n`);
  expect(tally.partial + tally.refused).toBeGreaterThan(rounds / 4);
});

/** Kinds of damage to more than a bit; each answers what it did to which places, or undefined if it did nothing. */
const KINDS: Record<string, (files: Files, random: Random) => { file: string; from: number; to: number }[]> =
  {
    'a few bytes at random': (files, random) =>
      change(files, random, 1 + random.below(40), () => random.below(256)),
    'a zeroed sector': (files, random) => sector(files, random, () => 0),
    'a sector of ones': (files, random) => sector(files, random, () => 255),
    'a sector of noise': (files, random) => sector(files, random, () => random.below(256)),
    'a zeroed block of 4 KiB': (files, random) => change(files, random, 4096, () => 0),
    'two sectors swapped': (files, random) => {
      const { file, bytes } = pick(files, random);
      const [a, b] = [random.below(bytes.length >> 9) * 512, random.below(bytes.length >> 9) * 512];
      const held = bytes.slice(a, a + 512);
      bytes.copyWithin(a, b, b + 512);
      bytes.set(held, b);
      return [a, b].map((from) => ({ file, from, to: from + 512 }));
    },
    'a sector copied over another': (files, random) => {
      const { file, bytes } = pick(files, random);
      const [a, b] = [random.below(bytes.length >> 9) * 512, random.below(bytes.length >> 9) * 512];
      bytes.copyWithin(a, b, b + 512);
      return [{ file, from: a, to: a + 512 }];
    },
    'a file cut short': (files, random) => {
      const { file, bytes } = pick(files, random);
      const from = random.below(usedBytes(bytes));
      files.set(file, bytes.slice(0, from));
      return [{ file, from, to: bytes.length }];
    },
    'a file with more behind its end': (files, random) => {
      const { file, bytes } = pick(files, random);
      const longer = new Uint8Array(bytes.length + 1 + random.below(5000)).map(() => random.below(256));
      longer.set(bytes);
      files.set(file, longer);
      return [];
    },
  };

function pick(files: Files, random: Random): { file: string; bytes: Uint8Array } {
  const [file, bytes] = [...files][random.below(files.size)]!;
  return { file, bytes };
}

function change(files: Files, random: Random, length: number, byte: () => number) {
  const { file, bytes } = pick(files, random);
  const from = random.below(usedBytes(bytes));
  for (let at = from; at < Math.min(bytes.length, from + length); at++) bytes[at] = byte();
  return [{ file, from, to: from + length }];
}

function sector(files: Files, random: Random, byte: () => number) {
  const { file, bytes } = pick(files, random);
  const from = random.below(Math.ceil(usedBytes(bytes) / 512)) * 512;
  for (let at = from; at < Math.min(bytes.length, from + 512); at++) bytes[at] = byte();
  return [{ file, from, to: from + 512 }];
}

test.each(Object.entries(KINDS))('damage: %s changes no answer', async (_what, kind) => {
  const random = new Random(seed + 1);
  const tally = newTally();
  for (let round = 0; round < (long ? 4000 : 40); round++) {
    const sample = samples[round % samples.length]!;
    const files = copyOf(sample.files);
    const places = kind(files, random);
    const mayMissLast = places.some(({ file, from, to }) => isLast(sample, file, from, to));
    const bothSlots = places.some(({ file, from }) => file === 'data' && from < 8192);
    const verdict = await judge(sample, files, {
      readOnly: random.chance(0.5),
      mayMissLast,
      // A file cut before its first superblock ends is none.
      maySay: bothSlots ? ['NOT_A_STORE', 'NOT_FOUND'] : [],
    }).catch((cause) => {
      throw new Error(`SEED=${seed}, round ${round}, ${sample.name}, ${JSON.stringify(places)}: ${cause}`, {
        cause,
      });
    });
    tally[verdict]++;
  }
  expect(tally.right).toBeGreaterThan(0);
});
