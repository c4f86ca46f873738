/*
 * Compaction makes a file as small as what is in it, whoever reads and writes meanwhile, and changes no record. Held
 * against the file of a store freshly loaded with what is left, in key order and at random.
 */
import { afterAll, expect, test } from 'vitest';
import { CODEC_LZ4, CODEC_NONE, CODEC_ZSTD, SECTOR_SIZE } from '../../assembly/layout.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { randomFrom } from '../support/codec-data.ts';
import { report } from '../support/report.ts';
import { seed } from '../support/seed.ts';
import { openBare } from './bare-store.ts';
import {
  COUNT,
  type Content,
  dataSize,
  deleteAll,
  expectContent,
  freshSize,
  openQuick,
  putAll,
  QuickBackend,
  records,
  shuffled,
} from './compact-kit.ts';

const COMMAND = 'npx vitest run test/maintenance/compact.test.ts';

/** What is deleted of a store. */
const shapes = {
  'nine in ten, at random': (keys: readonly string[]) => shuffled(keys).slice(0, keys.length * 0.9),
  'all but the end': (keys: readonly string[]) => keys.slice(0, keys.length * 0.9),
  'all but both ends': (keys: readonly string[]) => keys.slice(keys.length * 0.05, keys.length * 0.95),
  'half, at random': (keys: readonly string[]) => shuffled(keys).slice(0, keys.length / 2),
} as const;

const rows = Object.entries(shapes).flatMap(([shape, choose]) =>
  (['in order', 'at random'] as const).map((order) => ({ shape, order, choose })),
);

let worst = 0;
const figures: Record<string, string> = {};

test.each(rows)('compact: a file loaded $order, then rid of $shape, is as a new one', async (row) => {
  const { shape, order, choose } = row;
  const backend = new QuickBackend();
  const engine = await openQuick(backend);
  const content = records(COUNT);
  const entries = [...content];
  await putAll(engine, order === 'in order' ? entries : shuffled(entries));
  const gone = choose([...content.keys()]);
  await deleteAll(engine, gone);
  for (const key of gone) content.delete(key);
  const report1 = await engine.compact();
  expect(report1.bytesAfter).toBe(dataSize(backend));
  expect(report1.bytesAfter).toBe(engine.stats().data.fileSize);
  expect(report1).toMatchObject({ bytesHeld: 0, pagesDamaged: 0 });
  expect(report1.bytesBefore).toBeGreaterThan(report1.bytesAfter);
  await expectContent(engine, content);
  // What was made tight a moment ago is tight.
  const again = await engine.compact();
  expect(again).toMatchObject({ pagesMoved: 0, pagesFreed: 0, rounds: 0, bytesAfter: report1.bytesAfter });
  await engine.close();
  const left = [...content];
  const [inOrder, atRandom] = [await freshSize(left), await freshSize(shuffled(left))];
  const ratios = { inOrder: dataSize(backend) / inOrder, atRandom: dataSize(backend) / atRandom };
  expect(ratios.inOrder).toBeLessThan(1.2);
  expect(ratios.atRandom).toBeLessThan(1.1);
  figures[`${shape}, loaded ${order}: against a new file loaded in order`] = ratios.inOrder.toFixed(3);
  figures[`${shape}, loaded ${order}: against one loaded at random`] = ratios.atRandom.toFixed(3);
  worst = Math.max(worst, ratios.inOrder);
  const reopened = await openQuick(backend);
  await expectContent(reopened, content);
  await reopened.close();
});

afterAll(() => {
  report('compaction', { ...figures, 'worst against a new file': worst.toFixed(3) }, COMMAND);
});

test('compact: a store loaded in order is tight and is not rewritten', async () => {
  const backend = new QuickBackend();
  const engine = await openQuick(backend);
  await putAll(engine, [...records(COUNT)]);
  await engine.checkpoint();
  const { pages, data } = engine.stats();
  const { pagesMoved, pagesFreed, bytesAfter } = await engine.compact();
  expect(pagesMoved).toBeLessThan(pages.count / 10);
  expect(pagesFreed).toBeLessThan(pages.count / 100);
  expect(bytesAfter).toBeLessThanOrEqual(data.fileSize);
  await engine.close();
});

test('compact: long values move too, and what is left of them stays readable', async () => {
  const backend = new QuickBackend();
  const engine = await openQuick(backend, { compression: 'none' });
  const content: Content = new Map();
  const random = randomFrom(seed);
  for (let i = 0; i < 150; i++) {
    content.set(`key ${String(i).padStart(3, '0')}`, `${i} `.repeat(1 + random(9000)));
  }
  await putAll(engine, [...content]);
  const gone = shuffled([...content.keys()]).slice(0, 135);
  await deleteAll(engine, gone);
  for (const key of gone) content.delete(key);
  const before = engine.stats().data.fileSize;
  const { bytesAfter, pagesMoved } = await engine.compact();
  expect(pagesMoved).toBeGreaterThan(0);
  expect(bytesAfter).toBeLessThan(before / 3);
  expect(bytesAfter / (await freshSize([...content], { compression: 'none' }))).toBeLessThan(1.2);
  await expectContent(engine, content);
  await engine.close();
});

/** Which codecs the blocks of a store have, page blocks and chunks. */
async function codecsOf(backend: QuickBackend): Promise<{ pages: Set<unknown>; chunks: Set<unknown> }> {
  const { pager } = await openBare(backend, { readOnly: true });
  const found = { pages: new Set<unknown>(), chunks: new Set<unknown>() };
  pager.directory.eachPlaced((_page, start) => void found.pages.add(pager.blocks.codecAt(start)));
  pager.directory.eachChunkPlace(({ start }) => void found.chunks.add(pager.blocks.codecAt(start)));
  return found;
}

test('compact: blocks of another codec are written anew, once', async () => {
  const backend = new QuickBackend();
  const content = records(COUNT / 10);
  // Values that do not compress are stored as they are, whatever is configured.
  const random = randomFrom(seed);
  for (let i = 0; i < 36; i++) {
    let value = '';
    while (value.length < 9000) value += random(2 ** 32).toString(36);
    content.set(`value that does not compress ${i}`, value);
  }
  const first = await openQuick(backend, { compression: 'none' });
  await putAll(first, [...content]);
  await first.close();
  expect(await codecsOf(backend)).toEqual({ pages: new Set([CODEC_NONE]), chunks: new Set([CODEC_NONE]) });
  const numbers = { none: CODEC_NONE, lz4: CODEC_LZ4, zstd: CODEC_ZSTD };
  // Whatever did not compress with one codec is not tried with the next: only after `none` everything is.
  const steps = [
    ['lz4', true],
    ['none', false],
    ['zstd', true],
    ['lz4', false],
    ['none', false],
    ['lz4', true],
  ] as const;
  for (const [compression, all] of steps) {
    const engine = await openQuick(backend, { compression });
    const { rounds, pagesMoved } = await engine.compact();
    expect(rounds).toBeGreaterThan(0);
    const { count } = engine.stats().pages;
    expect(pagesMoved).toBeGreaterThanOrEqual(all ? count : count / 4);
    expect(await engine.compact()).toMatchObject({ rounds: 0, pagesMoved: 0 });
    await expectContent(engine, content);
    await engine.close();
    const { pages, chunks } = await codecsOf(backend);
    expect(chunks).toEqual(new Set([compression === 'none' ? CODEC_NONE : CODEC_LZ4]));
    expect(pages).toEqual(new Set([numbers[compression], CODEC_NONE]));
    const again = await openQuick(backend, { compression });
    expect(await again.compact()).toMatchObject({ rounds: 0, pagesMoved: 0 });
    await again.close();
  }
});

test('compact: what fits in no hole gets a long hole made for it', async () => {
  const backend = new QuickBackend();
  const engine = await openQuick(backend, { bufferPoolSize: '8MB' });
  const random = randomFrom(seed);
  const content: Content = new Map();
  // Values in pages of their own, by turns of one sector and of many: without the short ones no hole takes a long one.
  for (let i = 0; i < 500; i++) {
    let value = '';
    if (i % 2 === 0) value = 'x'.repeat(3900);
    else while (value.length < 3900) value += String.fromCharCode((random(256) % 94) + 33);
    content.set(`key ${String(i).padStart(4, '0')}`, value);
  }
  await putAll(engine, [...content]);
  await engine.checkpoint();
  const gone = [...content.keys()].filter((_key, i) => i % 2 === 0);
  await deleteAll(engine, gone);
  for (const key of gone) content.delete(key);
  await engine.checkpoint();
  const before = engine.stats().data;
  expect(before.freeSize).toBeGreaterThan(before.usedSize * 0.08);
  const { rounds } = await engine.compact();
  expect(rounds).toBeGreaterThan(1);
  const { freeSize, usedSize } = engine.stats().data;
  expect(freeSize).toBeLessThan(usedSize * 0.055);
  expect(await engine.compact()).toMatchObject({ rounds: 0 });
  await expectContent(engine, content);
  await engine.close();
});

test('compact: chunks of the directory that lie high come down', async () => {
  const backend = new QuickBackend();
  const engine = await openQuick(backend, { compression: 'none' });
  const content = records(12_000);
  await putAll(engine, [...content]);
  // The pages stay where they are, at the start of the file; the chunks are written behind what comes next.
  await engine.checkpoint();
  await engine.put('~', 'x'.repeat(400_000));
  await engine.checkpoint();
  await deleteAll(engine, ['~', ...[...content.keys()].slice(-100)]);
  for (const key of [...content.keys()].slice(-100)) content.delete(key);
  await engine.checkpoint();
  const { bytesAfter } = await engine.compact();
  const { data } = engine.stats();
  expect(data.freeSize).toBeLessThan(data.usedSize * 0.06);
  expect(bytesAfter - data.usedSize).toBeLessThan(data.usedSize * 0.07);
  await expectContent(engine, content);
  await engine.close();
});

test('compact: blocks that are gone keep no other from its new codec', async () => {
  const backend = new QuickBackend();
  const content = records(1500);
  const first = await openQuick(backend, { compression: 'none' });
  await putAll(first, [...content]);
  await first.close();
  const { pager } = await openBare(backend, { readOnly: true });
  const starts: number[] = [];
  pager.directory.eachPlaced((_page, start) => void starts.push(start));
  starts.sort((a, b) => a - b);
  const file = backend.open('data', { create: false });
  file.write([new Uint8Array(8)], starts[starts.length >> 1]! * SECTOR_SIZE);
  const engine = await openQuick(backend, { compression: 'lz4' });
  const before = (await engine.verify()).problems.map(({ page }) => page);
  // The last block is a chunk of the directory, which nobody needs any more.
  let last = 0;
  pager.directory.eachChunkPlace(({ start }) => {
    last = Math.max(last, start);
  });
  expect(last).toBeGreaterThan(starts.at(-1)!);
  file.truncate(last * SECTOR_SIZE + 20);
  const { pagesDamaged, pagesMoved } = await engine.compact();
  expect(pagesDamaged).toBeGreaterThanOrEqual(1);
  expect(pagesMoved).toBeGreaterThan(starts.length * 0.7);
  expect((await engine.verify()).problems.map(({ page }) => page)).toEqual(before);
  await engine.close();
});

test('compact: without a log, and in memory, the file shrinks as well', async () => {
  const content = records(3000);
  for (const config of [{ backend: new QuickBackend() }, {}]) {
    const engine = await StorageEngine.open({ pageSize: 4096, bufferPoolSize: '256KB', ...config });
    expect(engine.config.walEnabled).toBe(false);
    await putAll(engine, [...content]);
    await deleteAll(engine, [...content.keys()].slice(300));
    const before = engine.stats().data.fileSize;
    const { bytesAfter } = await engine.compact();
    expect(engine.stats().data.fileSize).toBe(bytesAfter);
    expect(bytesAfter).toBeLessThan(before / 4);
    await expectContent(engine, new Map([...content].slice(0, 300)));
    await engine.close();
  }
});

test('compact: an empty store, and one that was just made, have nothing to give back', async () => {
  const engine = await openQuick(new QuickBackend());
  const { bytesAfter } = await engine.compact();
  expect(await engine.compact()).toMatchObject({ rounds: 0, pagesMoved: 0, bytesAfter });
  await engine.put('a', '1');
  await engine.delete('a');
  await engine.compact();
  expect(await engine.compact()).toMatchObject({ rounds: 0, pagesMoved: 0 });
  await engine.close();
});
