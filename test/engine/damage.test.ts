/*
 * Rot in pieces: kinds of damage to the files of a store that are more than a bit (those: test/damage/bits.test.ts).
 * What can still be read is what was written; the rest is CORRUPTION that names file and offset.
 */
import { expect, test } from 'vitest';
import { copyOf, judge, makeSample, type Region, type Verdict } from '../support/damage.ts';
import type { Files } from '../support/files.ts';
import { long, seed } from '../support/seed.ts';
import { Random } from '../wal/random.ts';

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
