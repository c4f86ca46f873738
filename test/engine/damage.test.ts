/*
 * Rot: every kind of damage to the files of a store, bit by bit and in pieces. What can still be read is what was
 * written; the rest is CORRUPTION that names file and offset.
 */
import { expect, test } from 'vitest';
import { copyOf, judge, makeSample, type Region, type Sample, type Verdict } from '../support/damage.ts';
import type { Files } from '../support/files.ts';
import { long, seed } from '../support/seed.ts';
import { Random } from '../wal/random.ts';

/** Flips in all; the long form flips every bit of the samples marked so. */
const FLIPS = long ? 40_000 : 3000;
const EVERY_BIT = ['closed, lz4', 'checkpoint and log, lz4'];

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

interface Bit {
  readonly file: string;
  readonly at: number;
  readonly mask: number;
}

/** The bits to flip: all of them, or some, spread over the files alike. */
function* bitsOf({ name, files }: Sample): Generator<Bit> {
  const random = new Random(seed);
  const sizes = [...files].map(([file, bytes]) => [file, usedBytes(bytes)] as const);
  if (long && EVERY_BIT.includes(name)) {
    for (const [file, size] of sizes) {
      for (let bit = 0; bit < size * 8; bit++) yield { file, at: bit >> 3, mask: 1 << (bit & 7) };
    }
    return;
  }
  for (let count = FLIPS / samples.length; count > 0; count--) {
    const [file, size] = sizes[random.below(sizes.length)]!;
    yield { file, at: random.below(size), mask: 1 << random.below(8) };
  }
}

test.each(samples)('damage: no single bit changes an answer ($name)', async (sample) => {
  const tally = newTally();
  const harmless = copyOf(sample.files);
  let rounds = 0;
  for (const { file, at, mask } of bitsOf(sample)) {
    const files = new Map(sample.files);
    const bytes = files.get(file)!.slice();
    bytes[at]! ^= mask;
    files.set(file, bytes);
    const damaged = [{ file, from: at, to: at + 1 }];
    const verdict = await judge(sample, files, damaged, { readOnly: ++rounds % 2 === 0 }).catch((cause) => {
      throw new Error(`SEED=${seed}, ${file} at ${at}, mask ${mask}: ${cause}`, { cause });
    });
    tally[verdict]++;
    // A superblock slot is harmless alone only.
    if (verdict === 'right' && !(file === 'data' && at < 8192)) harmless.get(file)![at]! ^= mask;
  }
  // What means nothing alone means nothing together.
  expect(await judge(sample, harmless, [])).toBe('right');
  if (long) process.stdout.write(`${rounds} flipped bits, ${sample.name}: ${JSON.stringify(tally)}\n`);
  expect(tally.partial + tally.refused).toBeGreaterThan(rounds / 20);
});

/** Kinds of damage to more than a bit; each answers what it did to which places, or undefined if it did nothing. */
const KINDS: Record<string, (files: Files, random: Random) => Region[]> = {
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
  'more behind the end of a file': (files, random) => {
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

test.each(Object.entries(KINDS))('damage: %s changes no answer', async (what, kind) => {
  const random = new Random(seed + 1);
  const tally = newTally();
  for (let round = 0; round < (long ? 4000 : 40); round++) {
    const sample = samples[round % samples.length]!;
    const files = copyOf(sample.files);
    const places = kind(files, random);
    const verdict = await judge(sample, files, places, {
      readOnly: random.chance(0.5),
      // A file cut before its first superblock ends is none.
      maySay: places.some(({ file, from }) => file === 'data' && from < 8192)
        ? ['NOT_A_STORE', 'NOT_FOUND']
        : [],
    }).catch((cause) => {
      throw new Error(`SEED=${seed}, round ${round}, ${sample.name}, ${JSON.stringify(places)}: ${cause}`, {
        cause,
      });
    });
    tally[verdict]++;
  }
  const found = tally.partial + tally.refused;
  if (what === 'more behind the end of a file') expect(found).toBe(0);
  else expect(found).toBeGreaterThan(0);
});
