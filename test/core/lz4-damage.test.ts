/*
 * Blocks that no compressor wrote. A store checks a block's checksum before it decompresses, but a checksum does not
 * stop a crafted file, so the decoder alone must hold: each test compares its verdict and its bytes with those of the
 * slow decoder, at both edges of the memory, with guard bytes around (test/support/lz4-guarded.ts).
 */
import { describe, expect, test } from 'vitest';
import { type CodecCore, FREE_AREA, startCodecs } from '../support/codec-core.ts';
import { kindNames, kinds, type Random, randomFrom } from '../support/codec-data.ts';
import { compressGuarded, decompressGuarded, edges, same } from '../support/lz4-guarded.ts';
import { decodeSlowly } from '../support/lz4-reference.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';

const cores = startCodecs();
/** Of each build; each is decoded at both edges of the memory. */
const mutants = long ? 2_000_000 : 25_000;

let [decoded, accepted] = [0, 0];

describe.each(cores)('$name', (core) => {
  /** True when the block was taken. */
  function expectSameVerdict(block: Uint8Array, size: number, title: string): boolean {
    const slow = decodeSlowly(block, size);
    for (const edge of edges) {
      const bytes = decompressGuarded(core, block, size, edge);
      const agreed = bytes === undefined || slow === undefined ? bytes === slow : same(bytes, slow.bytes);
      // An expect() for each of a million blocks would take longer than the decoder.
      if (!agreed) expect.fail(`${title}: ${size} bytes from ${Buffer.from(block).toString('hex')}`);
    }
    return slow !== undefined;
  }

  test('lz4: a block cut off at any place is refused', () => {
    const random = randomFrom(seed);
    for (const kind of kindNames) {
      const bytes = kinds[kind](1500, random);
      const block = compressGuarded(core, bytes, 2000)!;
      for (let length = 0; length < block.length; length++) {
        const title = `${kind}, ${length} of ${block.length} bytes`;
        expect(expectSameVerdict(block.subarray(0, length), bytes.length, title), title).toBe(false);
      }
    }
  });

  test('lz4: a block with any single bit flipped stays inside its buffers', () => {
    const random = randomFrom(seed);
    for (const kind of kindNames) {
      const bytes = kinds[kind](400, random);
      const block = compressGuarded(core, bytes, 2000)!;
      for (let bit = 0; bit < 8 * block.length; bit++) {
        block[bit >> 3]! ^= 1 << (bit & 7);
        expectSameVerdict(block, bytes.length, `${kind}, bit ${bit}`);
        block[bit >> 3]! ^= 1 << (bit & 7);
      }
      expect(expectSameVerdict(block, bytes.length, kind)).toBe(true);
    }
  });

  test('lz4: a block is refused for every size but its own', () => {
    const random = randomFrom(seed);
    for (const kind of kindNames) {
      const block = compressGuarded(core, kinds[kind](700, random), 2000)!;
      for (let size = 0; size <= 1400; size++) {
        expect(expectSameVerdict(block, size, `${kind}, ${size}`), `${kind}, ${size}`).toBe(size === 700);
      }
      expect(expectSameVerdict(block, 0x100000, `${kind}, 1 MiB`)).toBe(false);
    }
  });

  test('lz4: bytes behind a block are refused', () => {
    for (const more of [1, 2, 8, 40]) {
      const block = compressGuarded(core, kinds.text(700, randomFrom(seed)), 2000)!;
      const longer = new Uint8Array(block.length + more);
      longer.set(block);
      expect(expectSameVerdict(longer, 700, `${more} more`)).toBe(false);
    }
  });

  test('lz4: an offset of 0 is refused, by the short copies and the exact ones', () => {
    for (const after of [0, 8, 40]) {
      for (const matchLength of [4, 18, 19, 300]) {
        const good = craft([{ literals: 8, offset: 8, matchLength }], after);
        expect(expectSameVerdict(good, 8 + matchLength + after, 'offset 8')).toBe(true);
        const bad = craft([{ literals: 8, offset: 0, matchLength }], after);
        expect(expectSameVerdict(bad, 8 + matchLength + after, 'offset 0')).toBe(false);
      }
    }
  });

  test('lz4: an offset may reach the first byte written, and no further', () => {
    for (const literals of [1, 2, 7, 8, 9, 14, 15, 16, 300]) {
      for (const after of [0, 8, 40]) {
        for (const beyond of [1, 2, 8, 60, 65535 - literals]) {
          const match = { literals, matchLength: 12 };
          const good = craft([{ ...match, offset: literals }], after);
          expect(expectSameVerdict(good, literals + 12 + after, 'the first byte')).toBe(true);
          const bad = craft([{ ...match, offset: literals + beyond }], after);
          expect(expectSameVerdict(bad, literals + 12 + after, `${beyond} before it`)).toBe(false);
        }
      }
    }
  });

  test('lz4: a match before any literal is refused', () => {
    for (const offset of [0, 1, 8, 65535]) {
      const block = craft([{ literals: 0, offset, matchLength: 40 }], 40);
      expect(expectSameVerdict(block, 80, `offset ${offset}`)).toBe(false);
    }
  });

  test('lz4: a block must end with literals, if only with none', () => {
    for (const matchLength of [4, 18, 40]) {
      const block = craft([{ literals: 8, offset: 8, matchLength }], 0);
      expect(expectSameVerdict(block, 8 + matchLength, 'ended')).toBe(true);
      expect(expectSameVerdict(block.subarray(0, -1), 8 + matchLength, 'not ended')).toBe(false);
    }
    expect(expectSameVerdict(new Uint8Array(0), 0, 'nothing at all')).toBe(false);
    expect(expectSameVerdict(new Uint8Array(1), 0, 'nothing, ended')).toBe(true);
  });

  test('lz4: every small offset, match length and distance to the end is copied right', () => {
    for (let offset = 1; offset <= 20; offset++) {
      for (let matchLength = 4; matchLength <= 45; matchLength++) {
        for (let after = 0; after <= 26; after++) {
          const block = craft([{ literals: offset, offset, matchLength }], after);
          const title = `offset ${offset}, ${matchLength} bytes, ${after} after`;
          if (!expectSameVerdict(block, offset + matchLength + after, title)) expect.fail(title);
        }
      }
    }
  });

  test('lz4: long literals and matches of every offset are copied right', () => {
    for (const literals of [14, 15, 16, 127, 128, 129, 269, 270, 271, 70_000]) {
      for (const offset of [1, 2, 3, 7, 8, 13, 100, 127, 128, 130, 5000, 65535]) {
        for (const matchLength of [18, 19, 127, 128, 129, 273, 274, 275, 70_000]) {
          const block = craft([{ literals, offset, matchLength }], 5);
          const title = `${literals} literals, offset ${offset}, ${matchLength} bytes`;
          const taken = expectSameVerdict(block, literals + matchLength + 5, title);
          expect(taken, title).toBe(offset <= literals);
        }
      }
    }
  });

  test('lz4: length bytes that never end are refused', () => {
    const literalRun = new Uint8Array(5000).fill(255);
    expect(expectSameVerdict(literalRun, 65536, 'literals')).toBe(false);
    const matchRun = new Uint8Array(5000).fill(255);
    matchRun.set([0x1f, 7, 1, 0]);
    expect(expectSameVerdict(matchRun, 65536, 'a match')).toBe(false);
  });

  test('lz4: damaged and made-up blocks of every kind are judged right', { timeout: 36_000_000 }, () => {
    const random = randomFrom(seed);
    const taken = [0, 0];
    const before = core.memory.buffer.byteLength;
    for (let count = 0; count < mutants; count++) {
      const { block, size } = random(4) === 0 ? inventBlock(random) : mutateBlock(core, random);
      taken[expectSameVerdict(block, size, `seed ${seed}, mutant ${count}`) ? 1 : 0]!++;
    }
    // Both verdicts were put to the test, or the mutants are too tame or too wild.
    expect(Math.min(...taken)).toBeGreaterThan(mutants / 50);
    expect(core.memory.buffer.byteLength).toBe(before);
    decoded += mutants * edges.length;
    accepted += taken[1]! * edges.length;
    if (core !== cores.at(-1)) return;
    report(
      'compression frames',
      {
        'blocks decoded': decoded,
        accepted,
        refused: decoded - accepted,
        'outside of their buffers': 0,
        hangs: 0,
      },
      'npx vitest run test/core/lz4-damage.test.ts',
    );
  });
});

describe.each(startCodecs(0x1200000))('$name in 18 MiB', ({ u8, x }) => {
  // 15 + 255 * 16843009 = 2^32 + 14: in 32 bits the length would be 14, or 18 for a match, which would fit.
  const run = 16843009;

  test('lz4: a length that would wrap in 32 bits is refused', () => {
    const target = FREE_AREA;
    const source = FREE_AREA + 0x10000;
    u8.fill(255, source, source + 8 + run);
    u8.set([0xf0], source);
    u8.fill(0, source + 1 + run, source + 1 + run + 15);
    expect(x.lz4Decompress(source, 1 + run + 1 + 14, target, 14)).toBe(0);
    u8.fill(255, source, source + 8 + run);
    u8.set([0x1f, 7, 1, 0], source);
    u8.fill(0, source + 4 + run, source + 4 + run + 2);
    expect(x.lz4Decompress(source, 4 + run + 1 + 1, target, 1 + 18)).toBe(0);
  });
});

interface Match {
  literals: number;
  offset: number;
  matchLength: number;
}

/** A block of the given sequences, with literals that differ from their neighbours, and `last` literals at the end. */
function craft(matches: readonly Match[], last: number): Uint8Array {
  const block: number[] = [];
  const pushSequence = (literals: number, extra: number, offset: number | undefined) => {
    block.push((Math.min(literals, 15) << 4) | Math.min(extra, 15));
    pushLength(block, literals);
    for (let index = 0; index < literals; index++) block.push((37 * block.length) & 255);
    if (offset === undefined) return;
    block.push(offset & 255, offset >> 8);
    pushLength(block, extra);
  };
  for (const { literals, offset, matchLength } of matches) pushSequence(literals, matchLength - 4, offset);
  pushSequence(last, 0, undefined);
  return Uint8Array.from(block);
}

function pushLength(block: number[], length: number): void {
  if (length < 15) return;
  let rest = length - 15;
  for (; rest >= 255; rest -= 255) block.push(255);
  block.push(rest);
}

/** A block of random sequences, each near the limits that the decoder has to watch. */
function inventBlock(random: Random): { block: Uint8Array; size: number } {
  const matches: Match[] = [];
  let size = 0;
  for (let left = random(8); left > 0; left--) {
    const literals = random(random(5) === 0 ? 300 : 18);
    size += literals;
    const far = random(40) === 0 ? random(65536) : size - random(Math.min(3, size + 1));
    const offset = random(2) === 0 ? far : Math.min(size, 1 + random(20));
    const matchLength = 4 + random(random(5) === 0 ? 400 : 24);
    size += matchLength;
    matches.push({ literals, offset, matchLength });
  }
  const last = random(40);
  size += last;
  const wrong = random(4) === 0 ? random(41) - 20 : 0;
  return { block: craft(matches, last), size: Math.max(0, size + wrong) };
}

/** A compressed page with a few mutations: bits, bytes, cuts, insertions, pieces moved about. */
function mutateBlock(core: CodecCore, random: Random): { block: Uint8Array; size: number } {
  const size = random(random(10) === 0 ? 3000 : 300);
  const bytes = kinds[kindNames[random(kindNames.length)]!](size, random);
  let block = Array.from(compressGuarded(core, bytes, 4000)!);
  for (let left = random(4); left > 0; left--) {
    const at = random(block.length);
    const kind = random(7);
    if (kind === 0) block[at]! ^= 1 << random(8);
    else if (kind === 1) block[at] = random(256);
    else if (kind === 2) block[at] = [0, 255, 15, 240][random(4)]!;
    else if (kind === 3) block.splice(at, 1 + random(4));
    else if (kind === 4) block.splice(at, 0, random(256));
    else if (kind === 5) block = block.slice(0, at);
    else block.copyWithin(at, random(block.length), random(block.length));
  }
  return { block: Uint8Array.from(block), size };
}
