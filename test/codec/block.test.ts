/*
 * User blocks: what is put in comes out, whatever the codec, and whatever else the bytes could be is CORRUPTION.
 */
import { expect, test, vi } from 'vitest';
import { USER_HEADER_SIZE, USER_PIECE_LZ4, USER_RUN_SIZE } from '../../assembly/layout.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { Codec } from '../../src/codec/codec.ts';
import { lz4 } from '../../src/codec/lz4.ts';
import { lz4Wasm } from '../../src/codec/lz4-wasm.ts';
import { BLOCK_TYPES, encodeBlock } from '../../src/codec/user-block.ts';
import { loadZstd } from '../../src/codec/zstd.ts';
import { Block, readBlock } from '../../src/engine/block.ts';
import { loadCodec } from '../../src/index.ts';
import { fastXxh64 } from '../damage/fast-xxh64.ts';
import { kindNames, kinds, periodic, randomFrom } from '../support/codec-data.ts';
import { same } from '../support/lz4-guarded.ts';
import { long, seed } from '../support/seed.ts';

const compressions = ['none', 'lz4', 'zstd'] as const;
const SIZES = [0, 1, 12, 13, 100, 4096, 65_535, 65_536, 65_537, 200_000, 1_048_576, 1_048_577];

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'nothing';
  } catch (error) {
    return error instanceof AegisError ? error.code : String(error);
  }
}

/** Gives changed bytes the checksum that fits them. */
function reseal(bytes: Uint8Array): Uint8Array {
  let sum = fastXxh64(bytes.subarray(0, 24), 0n);
  for (let at = USER_HEADER_SIZE; at < bytes.length; at += USER_RUN_SIZE)
    sum = fastXxh64(bytes.subarray(at, at + USER_RUN_SIZE), sum);
  new DataView(bytes.buffer).setBigUint64(24, sum, true);
  return bytes;
}

/** Blocks that are small and of every shape: stored as they are, one piece, several pieces of which some are plain. */
function smallBlocks(): Block[] {
  const random = randomFrom(seed);
  const mixed = new Uint8Array(USER_PIECE_LZ4 * 2 + 100);
  mixed.set(kinds.random(300, random), USER_PIECE_LZ4 * 2 - 200);
  return [
    new Block(new Uint8Array()),
    new Block(kinds.random(50, random), { type: 'log' }).withCompression('lz4'),
    new Block(kinds.documents(900, random), { type: 'document' }).withCompression('lz4'),
    new Block(kinds.documents(900, random), { type: 'metadata' }).withCompression('zstd', 5),
    new Block(mixed, { type: 'timeseries' }).withCompression('lz4'),
  ];
}

test.each(compressions)(
  'block: data of every size and kind comes back, compressed with %s',
  (compression) => {
    const random = randomFrom(seed);
    const wrong: string[] = [];
    for (const size of long ? [...SIZES, 5_000_000] : SIZES) {
      for (const kind of size > 100_000 ? (['documents', 'random'] as const) : kindNames) {
        const data = kinds[kind](size, random);
        const block = new Block(data, { type: 'index' }).withCompression(compression);
        const bytes = block.serialize();
        const read = Block.deserialize(bytes);
        const { header } = read;
        const isRight =
          same(read.data, data) &&
          read.type === 'index' &&
          read.compression === compression &&
          header.rawSize === size &&
          header.storedSize === bytes.length - USER_HEADER_SIZE &&
          header.storedSize <= size &&
          (header.codec === 'none') === (header.storedSize === size) &&
          same(read.serialize(), bytes) &&
          JSON.stringify(block.header) === JSON.stringify(header);
        if (!isRight) wrong.push(`${size} ${kind}`);
        if (compression !== 'none' && kind === 'documents' && size >= 4096 && header.storedSize > size / 2)
          wrong.push(`${size} ${kind} is large`);
      }
    }
    expect(wrong).toEqual([]);
  },
);

test('block: every type comes back, and what header says', () => {
  const data = new TextEncoder().encode(
    'a block of some bytes, a block of some bytes, a block of some bytes',
  );
  const types = BLOCK_TYPES.map((type) => Block.deserialize(new Block(data, { type }).serialize()).type);
  expect(types).toEqual(['table', 'timeseries', 'document', 'index', 'log', 'metadata']);
  const block = new Block(data).withCompression('lz4');
  expect([block.type, block.compression, block.level]).toEqual(['table', 'lz4', undefined]);
  expect(block.header).toEqual({
    version: 1,
    type: 'table',
    compression: 'lz4',
    codec: 'lz4',
    rawSize: data.length,
    storedSize: block.serialize().length - USER_HEADER_SIZE,
    checksum: expect.stringMatching(/^[0-9a-f]{16}$/),
  });
  const small = new Block(new Uint8Array([1, 2, 3])).withCompression('zstd');
  expect([small.compression, small.header.codec, small.header.storedSize]).toEqual(['zstd', 'none', 3]);
});

test('block: the checksum is the published one, chained over runs of a mebibyte', () => {
  for (const size of [0, 5000, USER_RUN_SIZE, USER_RUN_SIZE + 77]) {
    const bytes = new Block(kinds.random(size, randomFrom(seed))).serialize();
    expect(same(reseal(bytes.slice()), bytes), `${size} bytes`).toBe(true);
  }
});

test('block: it has its own copy of the data, and hands out bytes of the caller’s own', () => {
  const data = kinds.documents(2000, randomFrom(seed));
  const block = new Block(data).withCompression('lz4');
  const kept = data.slice();
  data.fill(0);
  const bytes = block.serialize();
  block.serialize().fill(0);
  const read = Block.deserialize(bytes);
  bytes.fill(0);
  expect([block.data, read.data].map((one) => same(one, kept))).toEqual([true, true]);
  expect(same(read.serialize(), block.serialize())).toBe(true);
});

test('block: levels of zstd are used, up to the highest', () => {
  const data = kinds.documents(300_000, randomFrom(seed));
  const sizes = [1, 3, 9, 22].map((level) => {
    const block = new Block(data).withCompression('zstd', level);
    expect(same(Block.deserialize(block.serialize()).data, data), `level ${level}`).toBe(true);
    expect(block.level).toBe(level);
    return block.header.storedSize;
  });
  expect(sizes[0]).toBeGreaterThan(sizes[3]!);
});

test('block: bad arguments are INVALID_ARGUMENT, too much data is TOO_LARGE', () => {
  const block = new Block(new Uint8Array(3));
  const bad: (() => unknown)[] = [
    () => new Block('text' as never),
    () => new Block([1, 2] as never),
    () => new Block(new Uint8Array(1), { type: 'page' as never }),
    () => new Block(new Uint8Array(1), { kind: 'log' } as never),
    () => new Block(new Uint8Array(1), null as never),
    () => block.withCompression('gzip' as never),
    () => block.withCompression(undefined as never),
    ...[0, 23, 1.5, '3', Number.NaN].map((level) => () => block.withCompression('zstd', level as never)),
    () => Block.deserialize('text' as never),
    () => Block.deserialize(undefined as never),
  ];
  expect(bad.map(codeOf)).toEqual(bad.map(() => 'INVALID_ARGUMENT'));
  const huge = new Uint8Array(2 ** 30);
  expect(codeOf(() => new Block(huge))).toBe('TOO_LARGE');
});

test('block: every flipped bit of a serialised block is CORRUPTION', () => {
  let flips = 0;
  for (const block of smallBlocks()) {
    const bytes = block.serialize();
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const code = codeOf(() => Block.deserialize(bytes));
      if (code !== 'CORRUPTION')
        expect(code, `bit ${bit} of a block of ${block.data.length}`).toBe('CORRUPTION');
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      flips++;
    }
    expect(same(Block.deserialize(bytes).data, block.data)).toBe(true);
  }
  expect(flips).toBeGreaterThan(10_000);
});

test('block: bytes cut short or with more behind them are CORRUPTION', () => {
  for (const block of smallBlocks()) {
    const bytes = block.serialize();
    const codes = new Set<string>();
    for (let length = 0; length < bytes.length; length++)
      codes.add(codeOf(() => Block.deserialize(bytes.subarray(0, length))));
    for (const more of [1, 4, 512]) {
      const longer = new Uint8Array(bytes.length + more);
      longer.set(bytes);
      codes.add(codeOf(() => Block.deserialize(longer)));
    }
    expect([...codes]).toEqual(['CORRUPTION']);
  }
});

test('block: a header that lies under a checksum that holds is CORRUPTION before anything large is allocated', () => {
  const random = randomFrom(seed);
  const sound = (['lz4', 'zstd'] as const).map((compression) =>
    new Block(kinds.documents(3000, random)).withCompression(compression).serialize(),
  );
  const lies: Record<string, (view: DataView) => void> = {
    'another magic': (view) => view.setUint8(0, 0x42),
    'a newer version': (view) => view.setUint16(6, 2, true),
    'type 0': (view) => view.setUint8(4, 0),
    'type 7': (view) => view.setUint8(4, 7),
    'codec 3': (view) => view.setUint8(5, 3),
    'codec and wanted codec 3': (view) => view.setUint16(16, view.setUint8(5, 3) ?? 3, true),
    'a codec nobody asked for': (view) => view.setUint8(16, 0),
    'something in reserved bytes': (view) => view.setUint8(20, 1),
    'no data': (view) => view.setUint32(8, 0, true),
    'a byte less': (view) => view.setUint32(8, 2999, true),
    'a byte more': (view) => view.setUint32(8, 3001, true),
    'a gibibyte less one': (view) => view.setUint32(8, 2 ** 30 - 1, true),
    'a gibibyte': (view) => view.setUint32(8, 2 ** 30, true),
    'all there is': (view) => view.setUint32(8, 2 ** 32 - 1, true),
    'less stored': (view) => view.setUint32(12, view.getUint32(12, true) - 1, true),
    'a piece of nothing': (view) => view.setUint32(32, 0, true),
    'a longer piece': (view) => view.setUint32(32, view.getUint32(32, true) + 1, true),
    'a shorter piece': (view) => view.setUint32(32, view.getUint32(32, true) - 1, true),
    'a plain piece': (view) => view.setUint32(32, view.getUint32(32, true) + 2 ** 31, true),
    'an endless piece': (view) => view.setUint32(32, 2 ** 31 - 1, true),
  };
  const two = new Block(new Uint8Array(2 * USER_PIECE_LZ4)).withCompression('lz4').serialize();
  new DataView(two.buffer).setUint32(8, USER_PIECE_LZ4, true);
  expect(
    codeOf(() => Block.deserialize(reseal(two))),
    'a piece too many',
  ).toBe('CORRUPTION');
  const plain = new Block(new Uint8Array(100)).serialize();
  new DataView(plain.buffer).setUint32(8, 99, true);
  expect(
    codeOf(() => Block.deserialize(reseal(plain))),
    'data that is shorter',
  ).toBe('CORRUPTION');
  const before = process.memoryUsage().arrayBuffers;
  for (const bytes of sound) {
    for (const [what, lie] of Object.entries(lies)) {
      const changed = bytes.slice();
      lie(new DataView(changed.buffer));
      expect(
        codeOf(() => Block.deserialize(reseal(changed))),
        what,
      ).toBe('CORRUPTION');
    }
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 2 ** 20);
});

test('block: any bytes whatever, half of them under a checksum that holds, are a block or CORRUPTION', () => {
  const random = randomFrom(seed);
  const seeds = smallBlocks().map((block) => block.serialize());
  const counts: Record<string, number> = {};
  for (let round = 0; round < (long ? 100_000 : 4000); round++) {
    const bytes = seeds[random(seeds.length)]!.slice();
    for (let change = random(4); change >= 0; change--) bytes[random(bytes.length)] = random(256);
    const code = codeOf(() => Block.deserialize(round % 2 === 0 ? reseal(bytes) : bytes));
    counts[code] = (counts[code] ?? 0) + 1;
  }
  expect(Object.keys(counts).sort()).toEqual(['CORRUPTION', 'nothing']);
  expect(counts['CORRUPTION']).toBeGreaterThan(counts['nothing']!);
});

test('block: codecs from outside read ours and are read, and those that lie store bytes as they are', async () => {
  const data = kinds.documents(200_000, randomFrom(seed));
  const zstd = await loadZstd();
  for (const [compression, codec] of [
    ['lz4', lz4Wasm],
    ['zstd', { ...zstd }],
  ] as const) {
    const content = { data, type: 'log', compression, level: undefined } as const;
    const bytes = encodeBlock(content, { [compression]: codec });
    expect(Block.deserialize(bytes).header.codec).toBe(compression);
    expect(same(Block.deserialize(bytes).data, data)).toBe(true);
    expect(same(readBlock(encodeBlock(content), { [compression]: codec }).data, data)).toBe(true);
    const liars: Partial<Codec>[] = [
      { compress: () => 99 },
      { compress: () => -1 },
      { compress: (source, target) => codec.compress(source.fill(7) as Uint8Array, target) },
      { compress: (source, target) => codec.compress(source.subarray(1), target) },
      {
        compress: () => {
          throw 'no';
        },
      },
    ];
    for (const liar of liars) {
      const stored = encodeBlock(content, { [compression]: { ...codec, ...liar } });
      expect(Block.deserialize(stored).header).toMatchObject({ codec: 'none', compression });
      expect(same(Block.deserialize(stored).data, data)).toBe(true);
    }
    const mute = { ...codec, decompress: () => 0 };
    expect(codeOf(() => readBlock(bytes, { [compression]: mute }))).toBe('CORRUPTION');
  }
});

test.each([
  ['lz4', lz4],
  ['lz4-wasm', lz4Wasm],
  ['zstd', await loadZstd()],
] as const)('codec: %s fills its target or answers 0, and no failure wears it out', (name, codec) => {
  const random = randomFrom(seed);
  for (const size of [1, 12, 13, 4096, 65_535, 65_536]) {
    const inputs: Uint8Array[] = kindNames.map((kind) => kinds[kind](size, random));
    for (let period = 1; period <= 40 && size === 4096; period++) inputs.push(periodic(size, period, random));
    for (const data of inputs) {
      const target = new Uint8Array(size + (size >> 7) + 100);
      const written = codec.compress(data, target);
      const again = new Uint8Array(size);
      expect(codec.decompress(target.subarray(0, written), again)).toBe(size);
      expect(same(again, data)).toBe(true);
      expect(codec.compress(data, new Uint8Array(written - 1))).toBe(0);
      for (const other of [size - 1, size + 1])
        expect(codec.decompress(target.subarray(0, written), new Uint8Array(other))).toBe(0);
    }
  }
  expect(codec.decompress(new Uint8Array(), new Uint8Array(10))).toBe(0);
  const data = kinds.documents(4096, random);
  const target = new Uint8Array(5000);
  const block = target.subarray(0, codec.compress(data, target));
  for (let length = 0; length < block.length; length++)
    expect(codec.decompress(block.subarray(0, length), new Uint8Array(4096))).toBe(0);
  const { external } = process.memoryUsage();
  const out = new Uint8Array(4096);
  let failures = 0;
  for (let round = 0; round < 10_000; round++) {
    const bad = block.slice();
    for (let change = 0; change < 8; change++) bad[6 + random(bad.length - 6)] = random(256);
    if (codec.decompress(bad, out as Uint8Array) !== out.length) failures++;
  }
  expect(failures, name).toBeGreaterThan(5000);
  expect(process.memoryUsage().external - external).toBeLessThan(100 * 2 ** 20);
  expect(codec.decompress(block, out)).toBe(out.length);
  expect(same(out, data)).toBe(true);
});

test('codec: LZ4 with an offset of 0 is refused before lz4-wasm sees it', () => {
  const literals = [0x44, 1, 2, 3, 4];
  for (const offset of [0, 5, 0xffff]) {
    const block = Uint8Array.of(...literals, offset & 255, offset >> 8, 0x50, 9, 9, 9, 9, 9);
    expect(lz4Wasm.decompress(block, new Uint8Array(17))).toBe(0);
    expect(lz4.decompress(block, new Uint8Array(17))).toBe(0);
  }
});

test('codec: zstd is loaded when asked for, and told apart from what there is not', async () => {
  for (const type of ['none', 'lz4', 'zstd'] as const) await expect(loadCodec(type)).resolves.toBeUndefined();
  await expect(loadCodec('gzip' as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('block: zstd loads itself between two statements, and without such a way says what to do', async () => {
  const load = async (canRead: boolean) => {
    vi.resetModules();
    if (!canRead) {
      vi.doMock('../../src/backend/host.ts', async (original) => ({
        ...(await original<typeof import('../../src/backend/host.ts')>()),
        runtimeModule: () => undefined,
      }));
    }
    const fresh = await import('../../src/engine/block.ts');
    const codec = await import('../../src/codec/zstd.ts');
    vi.doUnmock('../../src/backend/host.ts');
    return { fresh, codec };
  };
  const data = new Uint8Array(1000);
  const able = await load(true);
  expect(new able.fresh.Block(data).withCompression('zstd').header.codec).toBe('zstd');
  const unable = await load(false);
  const block = new unable.fresh.Block(data).withCompression('zstd');
  const refusal = { code: 'UNSUPPORTED', message: expect.stringContaining("await loadCodec('zstd')") };
  expect(() => block.serialize()).toThrow(expect.objectContaining(refusal));
  await unable.codec.loadCodec('zstd');
  expect(block.header.codec).toBe('zstd');
  vi.resetModules();
});
