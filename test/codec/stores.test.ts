/*
 * Stores and their codecs: several side by side, one after the other, from outside, broken, and not to be had.
 */
import { expect, test, vi } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { Codec, CompressionType } from '../../src/codec/codec.ts';
import { lz4Wasm } from '../../src/codec/lz4-wasm.ts';
import { loadZstd } from '../../src/codec/zstd.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { openSmall } from '../support/small-store.ts';

const zstd = await loadZstd();

/** Records that compress, and some that do not. */
function valueFor(n: number): Uint8Array {
  const value = new TextEncoder().encode(
    JSON.stringify({ id: n, name: `name ${n % 7}`, text: 'word '.repeat(n % 60) }),
  );
  if (n % 10 === 0)
    for (let at = 0, state = n; at < value.length; at++) value[at] = state = (state * 31 + at) & 255;
  return value;
}

async function fill(engine: StorageEngine, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 100) {
    const operations = Array.from({ length: 100 }, (_, i) => ({
      type: 'put' as const,
      key: `key ${n + i}`,
      value: valueFor(n + i),
    }));
    await engine.batch(operations);
  }
}

/** Whether every record is there, read one by one. */
function expectAll(engine: StorageEngine, count: number): void {
  const wrong: number[] = [];
  for (let n = 0; n < count; n++) {
    if (Buffer.compare(engine.get(`key ${n}`) ?? new Uint8Array(), valueFor(n)) !== 0) wrong.push(n);
  }
  expect(wrong).toEqual([]);
}

/** Codecs of the blocks that are in the data file, pages only. */
function codecsIn(backend: SimulatedBackend): Record<number, number> {
  const bytes = backend.files().get('data')!;
  const counts: Record<number, number> = {};
  for (let at = 8192; at + 64 <= bytes.length; at += 512) {
    const isPage = bytes[at] === 0x41 && bytes[at + 3] === 0x42 && bytes[at + 4] === 1;
    if (isPage) counts[bytes[at + 5]!] = (counts[bytes[at + 5]!] ?? 0) + 1;
  }
  return counts;
}

function codecBits(backend: SimulatedBackend): number {
  return new DataView(backend.files().get('data')!.buffer).getUint32(76, true);
}

const small = (backend: SimulatedBackend, config: Partial<StorageConfig>) => openSmall(backend, config);

test('codecs: a zstd store is opened by whoever does not ask for zstd, and for reading only', async () => {
  const backend = new SimulatedBackend();
  const first = await small(backend, { compression: 'zstd' });
  await fill(first, 0, 1000);
  await first.close();
  expect(codecsIn(backend)[2]).toBeGreaterThan(20);
  expect(codecBits(backend) & 4).toBe(4);
  for (const config of [{ compression: 'lz4' }, { compression: 'none', readOnly: true }] as const) {
    const engine = await small(backend, config);
    expectAll(engine, 1000);
    expect(await engine.verify()).toMatchObject({ ok: true, problems: [] });
    await engine.close();
  }
});

test('codecs: the codec of a store changes with each opening, and its blocks lie side by side', async () => {
  const backend = new SimulatedBackend();
  const order: CompressionType[] = ['lz4', 'zstd', 'none', 'zstd', 'lz4'];
  let count = 0;
  for (const compression of order) {
    const engine = await small(backend, { compression });
    if (count > 0) expectAll(engine, count);
    await fill(engine, count, count + 500);
    count += 500;
    await engine.checkpoint();
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
  }
  const engine = await small(backend, {});
  expectAll(engine, count);
  expect(Object.keys(codecsIn(backend))).toEqual(['0', '1', '2']);
  expect(codecBits(backend)).toBe(7);
  await engine.close();
});

test('codecs: a superblock says that there are zstd blocks from the first checkpoint on that has some', async () => {
  const backend = new SimulatedBackend();
  await (await small(backend, { compression: 'lz4' })).close();
  expect(codecBits(backend) & 4).toBe(0);
  const engine = await small(backend, { compression: 'zstd' });
  let early = 0;
  backend.plan = ({ operation }) => {
    if (operation === 'write' && (codecBits(backend) & 4) === 0) early++;
    return undefined;
  };
  await fill(engine, 0, 300);
  await engine.checkpoint();
  expect(early).toBeGreaterThan(1);
  expect(codecBits(backend) & 4).toBe(4);
  await engine.close();
});

test('codecs: an lz4 store is written and read by lz4-wasm and by us in turn', async () => {
  const backend = new SimulatedBackend();
  for (const [turn, codecs] of [{ lz4: lz4Wasm }, {}, { lz4: lz4Wasm }].entries()) {
    const engine = await small(backend, { compression: 'lz4', codecs });
    if (turn > 0) expectAll(engine, 500 * turn);
    await fill(engine, 500 * turn, 500 * turn + 500);
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
  }
  expect(codecsIn(backend)[1]).toBeGreaterThan(20);
});

test('codecs: a zstd implementation from outside does the work, at the level that is asked for', async () => {
  const levels = new Set<number | undefined>();
  let decoded = 0;
  const own: Codec = {
    compress(source, target, level) {
      levels.add(level);
      return zstd.compress(source, target, level);
    },
    decompress(source, target) {
      decoded++;
      return zstd.decompress(source, target);
    },
  };
  const backend = new SimulatedBackend();
  const engine = await small(backend, { compression: 'zstd', compressionLevel: 7, codecs: { zstd: own } });
  await fill(engine, 0, 500);
  await engine.close();
  expect([...levels]).toEqual([7]);
  expect(decoded).toBeGreaterThanOrEqual(codecsIn(backend)[2]!);
  const again = await small(backend, {});
  expectAll(again, 500);
  await again.close();
});

const isBroken: Record<string, Partial<Codec>> = {
  throws: {
    compress: () => {
      throw new Error('broken');
    },
  },
  'answers nonsense': { compress: () => Number.NaN },
  'writes nothing': { compress: () => 300 },
  'leaves bytes away': { compress: (source, target) => zstd.compress(source.subarray(1), target) },
};
test.each(Object.keys(isBroken))('codecs: with one that %s a store is written uncompressed', async (what) => {
  const backend = new SimulatedBackend();
  const codecs = { zstd: { ...zstd, ...isBroken[what] }, lz4: { ...lz4Wasm, ...isBroken[what] } };
  for (const compression of ['zstd', 'lz4'] as const) {
    const engine = await small(backend, { compression, codecs });
    await fill(engine, 0, 400);
    await engine.close();
  }
  expect(Object.keys(codecsIn(backend))).toEqual(['0']);
  const again = await small(backend, {});
  expectAll(again, 400);
  await again.close();
});

test.each(['lz4', 'zstd'] as const)(
  'codecs: %s that cannot decompress is damage of the pages it meets',
  async (compression) => {
    const backend = new SimulatedBackend();
    const engine = await small(backend, { compression });
    await fill(engine, 0, 400);
    await engine.close();
    let answers: () => number = () => 0;
    const codecs = { [compression]: { compress: () => 0, decompress: () => answers() } };
    const broken = await small(backend, { compression, codecs });
    const failure = new TypeError('no such function');
    const replies: [string, () => number, unknown][] = [
      ['nothing', () => 0, undefined],
      ['too much', () => 1e9, undefined],
      [
        'an error',
        () => {
          throw failure;
        },
        failure,
      ],
    ];
    for (const [what, reply, cause] of replies) {
      answers = reply;
      const fail = expect(() => broken.get('key 5'), what);
      fail.toThrow(expect.objectContaining({ code: 'CORRUPTION', file: 'data', page: expect.any(Number) }));
      if (cause !== undefined) fail.toThrow(expect.objectContaining({ cause }));
    }
    const { ok, problems } = await broken.verify();
    expect(ok).toBe(false);
    expect(problems[0]!.message).toContain('do not decode');
    await broken.close().catch(() => undefined);
    const again = await small(backend, {});
    expectAll(again, 400);
    expect((await again.verify()).ok).toBe(true);
    await again.close();
  },
);

test('codecs: where zstd cannot be loaded, stores that need it are UNSUPPORTED unless somebody brings it', async () => {
  vi.resetModules();
  vi.doMock('../../src/core/wasm-zstd.ts', () => ({
    importZstd: () => Promise.resolve(),
    readZstd: () => true,
    startZstd: () => {
      throw new EvalError('unsafe-eval is not allowed');
    },
  }));
  try {
    const fresh = await import('../../src/index.ts');
    const { loadZstdSync } = await import('../../src/codec/zstd.ts');
    const backend = new SimulatedBackend();
    const config = { backend, compression: 'zstd', pageSize: 4096 } as const;
    const refusal = { code: 'UNSUPPORTED', message: expect.stringContaining('unsafe-eval is not allowed') };
    await expect(fresh.StorageEngine.open(config)).rejects.toMatchObject(refusal);
    await expect(fresh.loadCodec('zstd')).rejects.toMatchObject(refusal);
    expect(loadZstdSync).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
    const engine = await fresh.StorageEngine.open({ ...config, codecs: { zstd } });
    await engine.put('key', 'value '.repeat(200));
    await engine.close();
    await expect(fresh.StorageEngine.open({ backend })).rejects.toMatchObject(refusal);
    const again = await fresh.StorageEngine.open({ backend, codecs: { zstd } });
    expect(again.getString('key')).toBe('value '.repeat(200));
    await again.close();
  } finally {
    vi.doUnmock('../../src/core/wasm-zstd.ts');
    vi.resetModules();
  }
});

test.each([
  ['lz4', 'zstd', 2],
  ['zstd', 'lz4', 1],
  ['zstd', 'none', 0],
] as const)('codecs: compacting rewrites a store from %s to %s', async (before, after, number) => {
  const backend = new SimulatedBackend();
  const engine = await small(backend, { compression: before });
  await fill(engine, 0, 600);
  await engine.close();
  const other = await small(backend, { compression: after });
  await other.compact();
  expect((await other.verify()).problems).toEqual([]);
  await other.close();
  // Whoever reads everything meets no block of the codec before.
  let met = 0;
  const { compress, decompress } = before === 'lz4' ? lz4Wasm : zstd;
  const counted: Codec = {
    compress,
    decompress: (source, target) => {
      met++;
      return decompress(source, target);
    },
  };
  const last = await small(backend, { compression: after, codecs: { [before]: counted } });
  expectAll(last, 600);
  expect((await last.verify()).ok).toBe(true);
  expect([met, (codecsIn(backend)[number] ?? 0) > 10]).toEqual([0, true]);
  await last.close();
});
