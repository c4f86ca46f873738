/*
 * Verification of stores in ruins: much damage at once, damage that is planted while a walk is under way, reads that
 * the device refuses, and single bits.
 */
import { expect, test } from 'vitest';
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import type { VerifyReport } from '../../src/maintenance/verify.ts';
import type { Extents } from '../../src/store/extents.ts';
import { randomFrom } from '../support/codec-data.ts';
import { seed, sized } from '../support/seed.ts';
import { openBare } from './bare-store.ts';
import { kindIn, LEAF, leavesOf, makeGround, write } from './books-kit.ts';

/** Whether a sector belongs to a block. */
function isOwned(extents: Extents, sector: number): boolean {
  const isFree = extents.claim(sector, 1);
  if (isFree) extents.free(sector, 1);
  return !isFree;
}

test('verify: a page that is damaged in its block and whole in memory is found, and what lies below it is walked', async () => {
  const { store, backend } = await makeGround();
  const { records, pages } = await store.verify();
  const place = store.pager.directory.place(store.root);
  write(backend, place.start * SECTOR_SIZE + 70, new Uint8Array([1, 2, 3, 4]));
  const report = await store.verify();
  expect(report.problems).toEqual([
    {
      message: expect.stringMatching(/^page 1: the checksum does not hold \(file data, offset \d+\)$/),
      page: 1,
      file: 'data',
      offset: place.start * SECTOR_SIZE,
    },
  ]);
  expect(report).toMatchObject({ records, pages });
});

test('verify: a page that is lost while a walk is under way is found', async () => {
  const { store } = await makeGround();
  const { pager } = store;
  const { x } = pager.core;
  const rewrite = (value: string): void => {
    for (let i = 0; i < 400; i++) store.put(`key ${String(i).padStart(5, '0')}`, value);
  };
  rewrite('in memory only');
  let pauses = 0;
  const report = await store.verify(async () => {
    if (pauses++ > 0) return;
    rewrite('the bytes before are an old version');
    pager.drain();
    for (const { page, from, place } of pager.versions.records()) {
      if (place.sectors === 0) x.frameDrop(x.oldFrame(page, from));
    }
  }, 2);
  expect(report.problems.map(({ message }) => message).join('\n')).toMatch(
    /^page \d+ lies neither in memory nor in the file$/m,
  );
});

test('verify: a search that counts otherwise than the walk is a finding', async () => {
  const { store } = await makeGround();
  const { x } = store.pager.core;
  const scanCount = x.scanCount;
  Object.assign(x, { scanCount: () => scanCount() + 1 });
  const [problem] = (await store.verify()).problems;
  expect(problem?.message).toMatch(/^a search below page \d+ finds 402 records instead of 401 records$/);
});

test('verify: damage in one subtree does not hide damage in another', async () => {
  const backend = new MemoryBackend();
  const { store } = await makeGround();
  expect(backend.list()).toEqual([]);
  const { pager } = store;
  const frames = [...Array(pager.core.frames + 1).keys()].filter(
    (frame) => frame > 0 && pager.core.x.frameNumber(frame) > 1,
  );
  const leaves = frames.filter((frame) => kindIn(pager, frame) === LEAF).slice(0, 5);
  for (const frame of leaves) pager.core.u8[pager.core.x.frameAddress(frame) + 24]! += 1;
  const report = await store.verify();
  expect(new Set(report.problems.map(({ page }) => page))).toEqual(
    new Set(leaves.map((frame) => pager.core.x.frameNumber(frame))),
  );
});

test('verify: a store in ruins is listed up to a limit and counted to the end', async () => {
  const backend = new MemoryBackend();
  const store = await openBare(backend, { bufferPoolSize: '16MB' });
  for (let i = 0; i < 6000; i++) store.put(`key ${i}`, 'v'.repeat(900));
  store.checkpointer.runBlocking();
  const { pager } = store;
  for (let page = 2; page < pager.nextPage; page++) {
    const place = pager.directory.place(page);
    if (place.sectors > 0) write(backend, place.start * SECTOR_SIZE, new Uint8Array(8));
  }
  const report = await store.verify();
  expect(report.problems.length).toBe(1000);
  expect(report.problemCount).toBeGreaterThan(1500);
  expect(report.ok).toBe(false);
});

test('verify: a read that the device refuses is a finding, and the walk goes on', async () => {
  const { store } = await makeGround();
  const { file } = store.pager.blocks;
  const [chunk] = store.pager.directory.chunkPlaces();
  const refused = [
    4096,
    store.pager.directory.place(leavesOf(store.pager)[0]).start * SECTOR_SIZE,
    chunk!.start * SECTOR_SIZE,
  ];
  const read = file.read.bind(file);
  file.read = (target, position) => {
    if (refused.includes(position))
      throw new AegisError('IO_ERROR', 'the device failed', { file: 'data', offset: position });
    return read(target, position);
  };
  const report = await store.verify();
  expect(report.problems.map(({ offset }) => offset).sort()).toEqual(refused.sort());
  expect(report.problems[0]).toMatchObject({ message: 'the device failed', file: 'data' });
  expect(report.records).toBe(401);
});

/** Flips bits of a store's file one by one; what the first verification of each says. */
async function flip(
  backend: MemoryBackend,
  bits: Iterable<number>,
  check: (bit: number) => Promise<void>,
): Promise<void> {
  const file = backend.open('data', { create: false });
  const byte = new Uint8Array(1);
  for (const bit of bits) {
    file.read(byte, bit >> 3);
    byte[0]! ^= 1 << (bit & 7);
    file.write([byte], bit >> 3);
    await check(bit);
    byte[0]! ^= 1 << (bit & 7);
    file.write([byte], bit >> 3);
  }
}

test.each(['lz4', 'none'] as const)(
  'verify: finds every flipped bit of every block and slot, %s',
  { timeout: 3_600_000 },
  async (compression) => {
    const backend = new MemoryBackend();
    const store = await openBare(backend, { compression });
    const random = randomFrom(seed);
    for (let i = 0; store.pager.blocks.extents.end < 110; i++) {
      store.put(
        `key ${i}`,
        Uint8Array.from({ length: 200 + random(100) }, () => random(256)),
      );
      if (i % 50 === 0) store.checkpointer.runBlocking();
    }
    store.put(
      'long',
      Uint8Array.from({ length: 9000 }, () => random(256)),
    );
    store.checkpointer.runBlocking();
    store.checkpointer.runBlocking();
    expect((await store.verify()).problems).toEqual([]);
    const { extents } = store.pager.blocks;
    expect(extents.end * SECTOR_SIZE).toBeGreaterThan(65_536);
    // A sample in the daily run: one bit in eight bytes, another one for every seed.
    const bits: number[] = [];
    const step = sized(256, 64, 1);
    for (let bit = 0; bit < extents.end * SECTOR_SIZE * 8; bit += step) {
      const one = bit + (step === 1 ? 0 : random(step));
      const sector = Math.floor(one / 8 / SECTOR_SIZE);
      if (sector === 0 || sector === 8 || (sector >= 16 && isOwned(extents, sector))) bits.push(one);
    }
    expect(bits.length).toBeGreaterThan((extents.used * SECTOR_SIZE * 8) / step / 1.01);
    const missed: number[] = [];
    await flip(backend, bits, async (bit) => {
      if ((await store.verify()).ok) missed.push(bit);
    });
    expect(missed).toEqual([]);
    expect((await store.verify()).problems).toEqual([]);
  },
);

test('verify: finds flipped bits through the public face, in memory and after opening again', async () => {
  const backend = new MemoryBackend();
  const options = { backend, pageSize: 4096, compression: 'lz4' } as const;
  const first = await StorageEngine.open(options);
  for (let i = 0; i < 300; i++) first.putSync(`key ${i}`, `value ${i} `.repeat(9));
  await first.checkpoint();
  const { size } = { size: backend.open('data', { create: false }).size() };
  const random = randomFrom(seed);
  const bits = Array.from({ length: sized(20, 60, 4000) }, () => 8192 * 8 + random((size - 8192) * 8));
  let found = 0;
  await flip(backend, bits, async () => {
    const [open, again] = [await first.verify(), await verifyAgain(backend.copy(), options)];
    // The file also holds space that nobody uses; whatever one of them sees the other sees.
    expect(again.ok).toBe(open.ok);
    if (!open.ok) found++;
  });
  expect(found).toBeGreaterThan(bits.length / 30);
  await first.close();
});

async function verifyAgain(
  backend: MemoryBackend,
  options: Partial<StorageConfig>,
): Promise<Pick<VerifyReport, 'ok'>> {
  try {
    const store = await StorageEngine.open({ ...options, backend, readOnly: true });
    const report = await store.verify();
    await store.close();
    return report;
  } catch (error) {
    expect(error).toMatchObject({ code: 'CORRUPTION' });
    return { ok: false };
  }
}
