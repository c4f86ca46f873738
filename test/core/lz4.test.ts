import { beforeAll, describe, expect, test } from 'vitest';
import { LZ4_TABLE_AREA, LZ4_TABLE_SIZE } from '../../assembly/layout.ts';
import { FREE_AREA, MEMORY_END, startCodecs } from '../support/codec-core.ts';
import { kindNames, kinds, periodic, randomFrom } from '../support/codec-data.ts';
import { compressGuarded, decompressGuarded, edges, same } from '../support/lz4-guarded.ts';
import { decodeSlowly, type Lz4Wasm, loadLz4Wasm } from '../support/lz4-reference.ts';
import { seed } from '../support/seed.ts';

const cores = startCodecs();
const sizes = [0, 1, 4, 5, 11, 12, 13, 14, 31, 32, 300, 4096, 4097, 16384, 16385, 65535, 65536];

/** The most a block can be: one length byte for every 255 literals, and a token. */
const roomFor = (size: number) => size + Math.floor(size / 255) + 2;

describe.each(cores)('$name', (core) => {
  /** Compresses and decompresses at both edges of the memory; returns the block, which keeps the format's end rules. */
  function expectRoundTrip(bytes: Uint8Array, title: string): Uint8Array {
    const [block, other] = edges.map((edge) => compressGuarded(core, bytes, roomFor(bytes.length), edge));
    if (block === undefined || other === undefined) throw new Error(`${title}: no block`);
    expect(same(block, other), `${title}: the place makes no difference`).toBe(true);
    for (const edge of edges) {
      const decoded = decompressGuarded(core, block, bytes.length, edge);
      expect(decoded !== undefined && same(decoded, bytes), `${title}: decoded by us`).toBe(true);
    }
    const slow = decodeSlowly(block, bytes.length);
    expect(slow !== undefined && same(slow.bytes, bytes), `${title}: decoded slowly`).toBe(true);
    const sequences = slow?.sequences ?? [];
    const last = sequences.pop();
    expect(sequences.length === 0 || last!.literals >= 5, `${title}: five last literals`).toBe(true);
    const latest = Math.max(0, ...sequences.map(({ matchStart }) => matchStart));
    expect(latest <= Math.max(0, bytes.length - 12), `${title}: no match begins too late`).toBe(true);
    return block;
  }

  test.each(kindNames)('lz4: %s bytes of every size come back', (kind) => {
    const random = randomFrom(seed);
    for (const size of sizes) expectRoundTrip(kinds[kind](size, random), `${size} bytes`);
  });

  test('lz4: data of every period up to 40 comes back, and small', () => {
    const random = randomFrom(seed);
    for (let period = 1; period <= 40; period++) {
      for (const size of [13, 60, 200, 4096]) {
        const block = expectRoundTrip(periodic(size, period, random), `${size} bytes, period ${period}`);
        if (size === 4096) expect(block.length, `period ${period}`).toBeLessThan(period + 40);
      }
    }
  });

  test('lz4: every small size comes back', () => {
    const random = randomFrom(seed);
    for (let size = 0; size <= 120; size++) {
      for (const kind of kindNames) expectRoundTrip(kinds[kind](size, random), `${size} ${kind} bytes`);
    }
  });

  test('lz4: a match is found from one end of a 64 KiB page to the other', () => {
    const bytes = new Uint8Array(65536);
    bytes.set(kinds.random(60, randomFrom(seed)));
    bytes.copyWithin(65536 - 60, 1, 41);
    const slow = decodeSlowly(expectRoundTrip(bytes, 'a far match'), bytes.length);
    expect(slow?.sequences.map(({ offset }) => offset)).toContain(65536 - 60 - 1);
  });

  test('lz4: zero bytes make a block of one zero byte', () => {
    expect(compressGuarded(core, new Uint8Array(0), 1)).toEqual(new Uint8Array(1));
    expect(decompressGuarded(core, new Uint8Array(1), 0)).toEqual(new Uint8Array(0));
    expect(compressGuarded(core, new Uint8Array(0), 0)).toBeUndefined();
  });

  test.each(kindNames)('lz4: a block of %s bytes fits its own size and nothing smaller', (kind) => {
    const random = randomFrom(seed);
    for (const size of [0, 12, 13, 14, 100, 700, 4096]) {
      const bytes = kinds[kind](size, random);
      const block = compressGuarded(core, bytes, roomFor(size));
      expect(compressGuarded(core, bytes, block!.length)).toEqual(block);
      for (let capacity = Math.max(0, block!.length - 300); capacity < block!.length; capacity++) {
        expect(compressGuarded(core, bytes, capacity), `${capacity} of ${block!.length}`).toBeUndefined();
      }
    }
  });

  test('lz4: random bytes do not fit their own size', () => {
    for (const size of [1, 13, 4096, 65536]) {
      expect(compressGuarded(core, kinds.random(size, randomFrom(seed)), size)).toBeUndefined();
    }
  });

  test('lz4: the block depends on the bytes only, not on what was compressed before', () => {
    const random = randomFrom(seed);
    for (const kind of kindNames) {
      const bytes = kinds[kind](5000, random);
      const blocks = [0x00, 0xff, 0x37].map((rubbish) => {
        compressGuarded(core, kinds.mixed(65536, random), roomFor(65536));
        if (rubbish !== 0) core.u8.fill(rubbish, LZ4_TABLE_AREA, LZ4_TABLE_AREA + LZ4_TABLE_SIZE);
        return compressGuarded(core, bytes, roomFor(bytes.length), edges[random(2)]);
      });
      expect(blocks[1]).toEqual(blocks[0]);
      expect(blocks[2]).toEqual(blocks[0]);
    }
  });

  test('lz4: the compressor keeps to its table', () => {
    const areas = [FREE_AREA - 64, LZ4_TABLE_AREA - 64, LZ4_TABLE_AREA + LZ4_TABLE_SIZE];
    const before = areas.map((address) => core.u8.slice(address, address + 64));
    for (const size of [4096, 16384, 65536]) {
      compressGuarded(core, kinds.mixed(size, randomFrom(seed)), roomFor(size));
    }
    expect(areas.map((address) => core.u8.slice(address, address + 64))).toEqual(before);
  });

  test('lz4: buffers that cannot be are refused as mistakes of ours', () => {
    const { lz4Compress, lz4Decompress } = core.x;
    const far = FREE_AREA + 0x40000;
    expect(() => lz4Compress(FREE_AREA, 65537, far, 70000)).toThrow(
      'no more bytes than the table has positions',
    );
    expect(() => lz4Compress(MEMORY_END - 99, 100, FREE_AREA, 100)).toThrow(
      'a source lies inside the memory',
    );
    expect(() => lz4Compress(FREE_AREA, 100, MEMORY_END - 99, 100)).toThrow(
      'a target lies inside the memory',
    );
    expect(() => lz4Compress(-50, 100, FREE_AREA, 100)).toThrow('a source lies inside the memory');
    expect(() => lz4Compress(FREE_AREA, 100, FREE_AREA + 99, 100)).toThrow('source and target share no byte');
    expect(() => lz4Compress(LZ4_TABLE_AREA - 1, 2, far, 100)).toThrow('a source lies outside the table');
    expect(() => lz4Compress(far, 100, LZ4_TABLE_AREA + 9, 9)).toThrow('a target lies outside the table');
    expect(() => lz4Decompress(MEMORY_END - 9, 10, far, 10)).toThrow('a source lies inside the memory');
    expect(() => lz4Decompress(far, 10, MEMORY_END - 9, 10)).toThrow('a target lies inside the memory');
    expect(() => lz4Decompress(far, 10, far + 9, 10)).toThrow('source and target share no byte');
  });
});

test('lz4: both builds write the same blocks', () => {
  const random = randomFrom(seed);
  for (const kind of kindNames) {
    const bytes = kinds[kind](9000, random);
    const [release, debug] = cores.map((core) => compressGuarded(core, bytes, roomFor(bytes.length)));
    expect(release).toEqual(debug);
  }
});

describe.each(cores)('$name beside lz4-wasm', (core) => {
  let lz4Wasm: Lz4Wasm;

  beforeAll(async () => {
    lz4Wasm = await loadLz4Wasm();
  });

  test.each(kindNames)('lz4: lz4-wasm reads our blocks of %s bytes, and we read its', (kind) => {
    const random = randomFrom(seed);
    const some = Array.from({ length: 100 }, () => random(3000));
    for (const size of [...sizes.filter((size) => size > 0), ...some]) {
      const bytes = kinds[kind](size, random);
      const block = compressGuarded(core, bytes, roomFor(size))!;
      const sized = new Uint8Array(4 + block.length);
      new DataView(sized.buffer).setUint32(0, size, true);
      sized.set(block, 4);
      expect(same(lz4Wasm.decompress(sized), bytes), `${size} bytes, read by lz4-wasm`).toBe(true);
      const theirs = lz4Wasm.compress(bytes).subarray(4);
      const decoded = decompressGuarded(core, theirs, size, edges[random(2)]);
      expect(decoded !== undefined && same(decoded, bytes), `${size} bytes, read by us`).toBe(true);
    }
  });

  test.each(kindNames)('lz4: blocks of %s pages are hardly larger than those of lz4-wasm', (kind) => {
    const random = randomFrom(seed);
    let [ours, theirs] = [0, 0];
    for (const size of [4096, 8192, 16384, 65536]) {
      const bytes = kinds[kind](size, random);
      ours += compressGuarded(core, bytes, roomFor(size))!.length;
      theirs += lz4Wasm.compress(bytes).length - 4;
    }
    expect(ours).toBeLessThan(1.05 * theirs + 10);
  });
});
