/*
 * Compaction makes a file as small as what is in it, whoever reads and writes meanwhile, and changes no record. Held
 * against the file of a store freshly loaded with what is left, in key order and at random.
 */
import { afterAll, expect, test } from 'vitest';
import { CODEC_LZ4, CODEC_NONE, CODEC_ZSTD, SECTOR_SIZE } from '../../assembly/layout.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { randomFrom } from '../support/codec-data.ts';
import { FaultyBackend } from '../support/faults.ts';
import { backendOf } from '../support/files.ts';
import { rejected } from '../support/refused.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';
import { openBare } from './bare-store.ts';
import {
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
const COUNT = long ? 60_000 : 4000;

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
  for (let i = 0; i < 40; i++) {
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

test('compact: what an open snapshot sees stays until it is closed, and the report says so', async () => {
  const backend = new QuickBackend();
  const engine = await openQuick(backend);
  const content = records(COUNT);
  await putAll(engine, shuffled([...content]));
  const all = engine.snapshot();
  const gone = shuffled([...content.keys()]).slice(0, COUNT * 0.9);
  await deleteAll(engine, gone);
  const left = new Map(content);
  for (const key of gone) left.delete(key);
  const held = await engine.compact();
  expect(held.bytesHeld).toBeGreaterThan(held.bytesAfter / 4);
  expect(all.count()).toBe(COUNT);
  expect(all.getString(gone[0]!)).toBe(content.get(gone[0]!));
  all.close();
  // One that was opened before, and sees what is the latest state still: nothing is written beside what it keeps.
  const more = shuffled([...left.keys()]).slice(0, left.size / 2);
  await deleteAll(engine, more);
  for (const key of more) left.delete(key);
  const latest = engine.snapshot();
  const again = await engine.compact();
  expect(again.pagesMoved).toBe(0);
  expect(again.bytesHeld).toBeGreaterThan(0);
  expect(latest.count()).toBe(left.size);
  latest.close();
  const { bytesAfter, bytesHeld } = await engine.compact();
  expect(bytesHeld).toBe(0);
  expect(bytesAfter / (await freshSize([...left]))).toBeLessThan(1.2);
  await expectContent(engine, left);
  await engine.close();
});

test('compact: blocks of another codec that a snapshot sees are left until it is closed', async () => {
  const backend = new QuickBackend();
  const content = records(COUNT / 10);
  const first = await openQuick(backend, { compression: 'none' });
  await putAll(first, [...content]);
  await first.close();
  const engine = await openQuick(backend, { compression: 'lz4' });
  const open = engine.snapshot();
  const held = await engine.compact();
  expect(held.pagesMoved).toBe(0);
  expect(held.bytesHeld).toBeGreaterThan(held.bytesAfter / 2);
  expect(open.count()).toBe(content.size);
  open.close();
  const { pagesMoved, bytesHeld, bytesAfter } = await engine.compact();
  expect(pagesMoved).toBeGreaterThan(0);
  expect(bytesHeld).toBe(0);
  expect(bytesAfter).toBeLessThan(held.bytesAfter);
  await expectContent(engine, content);
  await engine.close();
});

test('compact: named trees are compacted as well, and one that is dropped meanwhile is left to its end', async () => {
  for (const turns of long ? [0, 1, 2, 3, 5, 8, 13, 21] : [0, 4]) {
    const backend = new QuickBackend();
    const engine = await openQuick(backend, { bufferPoolSize: '128KB' });
    const content = records(1600);
    const trees = ['one', 'two', 'three'].map((name) => engine.tree(name));
    for (const tree of trees) {
      for (const part of [0, 1, 2, 3]) {
        const operations = shuffled([...content]).filter((_entry, i) => i % 4 === part);
        await tree.batch(operations.map(([key, value]) => ({ type: 'put' as const, key, value })));
      }
    }
    const gone = shuffled([...content.keys()]).slice(0, 1300);
    for (const tree of [trees[0]!, trees[1]!]) {
      await tree.batch(gone.map((key) => ({ type: 'delete' as const, key })));
    }
    await engine.checkpoint();
    const before = engine.stats();
    const compacting = engine.compact();
    for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(await engine.dropTree('two')).toBe(true);
    expect(await compacting).toMatchObject({ pagesDamaged: 0 });
    await engine.compact();
    const after = engine.stats();
    expect(after.data.fileSize).toBeLessThan(before.data.fileSize * 0.75);
    const left = new Map(content);
    for (const key of gone) left.delete(key);
    for (const [name, expected] of [['one', left] as const, ['three', content] as const]) {
      expect(engine.tree(name).count()).toBe(expected.size);
      for (const [key, value] of expected) expect(engine.tree(name).getString(key)).toBe(value);
    }
    expect(engine.trees()).toEqual(['one', 'three']);
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
  }
});

test('compact: a page that cannot be read is left alone, and nothing else is harmed', async () => {
  const backend = new QuickBackend();
  const content = records(COUNT / 2);
  const first = await openQuick(backend);
  await putAll(first, shuffled([...content]));
  const gone = shuffled([...content.keys()]).slice(0, COUNT * 0.4);
  await deleteAll(first, gone);
  for (const key of gone) content.delete(key);
  await first.close();
  // The block of one leaf rots.
  const bare = await openBare(backend, { readOnly: true });
  const key = [...content.keys()][content.size / 2]!;
  const { x } = bare.pager.core;
  bare.trees.has(bare.root, 2 ** 53, bare.trees.setKey(key));
  bare.pager.run(() => x.treePeer(bare.root, bare.trees.setKey(key), 0));
  const place = bare.pager.directory.place(x.peerPage());
  const file = backend.open('data', { create: false });
  const byte = new Uint8Array(1);
  file.read(byte, place.start * SECTOR_SIZE + 100);
  file.write([byte.map((bits) => bits ^ 4)], place.start * SECTOR_SIZE + 100);

  const engine = await openQuick(backend);
  const before = (await engine.verify()).problems;
  expect(before).toHaveLength(1);
  const done = await engine.compact();
  expect(done).toMatchObject({ pagesDamaged: 1 });
  expect(done.bytesAfter).toBeLessThan(done.bytesBefore);
  const after = (await engine.verify()).problems;
  expect(after).toHaveLength(1);
  expect(after[0]!.page).toBe(before[0]!.page);
  let lost = 0;
  for (const [name, value] of content) {
    try {
      expect(engine.getString(name)).toBe(value);
    } catch (error) {
      expect(error).toMatchObject({ code: 'CORRUPTION', page: before[0]!.page });
      lost++;
    }
  }
  expect(lost).toBeGreaterThan(0);
  expect(lost).toBeLessThan(60);
  await engine.close();
});

test('compact: a tree whose root is damaged is left as it is, and the rest is compacted', async () => {
  const backend = new QuickBackend();
  const first = await openQuick(backend);
  await putAll(first, [...records(1500)]);
  for (let i = 0; i < 400; i++) await first.tree('sound').put(`key ${i}`, `value ${i}`);
  await first.close();
  const bare = await openBare(backend, { readOnly: true });
  const place = bare.pager.directory.place(bare.root);
  const file = backend.open('data', { create: false });
  const byte = new Uint8Array(1);
  file.read(byte, place.start * SECTOR_SIZE + 70);
  file.write([byte.map((bits) => bits ^ 4)], place.start * SECTOR_SIZE + 70);
  const engine = await openQuick(backend);
  expect((await engine.compact()).pagesDamaged).toBeGreaterThan(0);
  expect(engine.tree('sound').count()).toBe(400);
  expect(() => engine.get('key')).toThrow(expect.objectContaining({ code: 'CORRUPTION', page: bare.root }));
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

test('compact: two at once are one, and progress comes to its end', async () => {
  const progress: [number, number][] = [];
  const backend = new QuickBackend();
  const engine = await openQuick(backend, {
    onProgress: ({ phase, done, total }) => {
      if (phase === 'compaction') progress.push([done, total]);
    },
  });
  await putAll(engine, shuffled([...records(2000)]));
  const [one, two] = await Promise.all([engine.compact(), engine.compact()]);
  expect(one).toBe(two);
  expect(await engine.compact()).not.toBe(one);
  expect(progress.length).toBeGreaterThan(2);
  for (const [i, [done, total]] of progress.entries()) {
    expect(done).toBeLessThanOrEqual(total);
    if (i > 0 && total === progress[i - 1]![1]) expect(done).toBeGreaterThanOrEqual(progress[i - 1]![0]);
  }
  const [done, total] = progress.at(-1)!;
  expect(done).toBe(total);
  await engine.close();
});

test('compact: a store open for reading, or closed, refuses', async () => {
  const backend = new QuickBackend();
  const engine = await openQuick(backend);
  await engine.put('a', '1');
  await engine.close();
  await rejected('CLOSED', () => engine.compact());
  const reader = await openQuick(backend, { readOnly: true });
  await rejected('READ_ONLY', () => reader.compact());
  expect(reader.getString('a')).toBe('1');
  await reader.close();
});

test('compact: closing in the middle ends it, and everything is there', async () => {
  const content = records(3000);
  for (let turns = 0; turns < 40; turns += long ? 1 : 8) {
    const backend = new QuickBackend();
    const engine = await openQuick(backend);
    await putAll(engine, shuffled([...content]));
    const left = new Map([...content].filter((_entry, i) => i % 7 === 0));
    await deleteAll(
      engine,
      [...content.keys()].filter((key) => !left.has(key)),
    );
    const outcome = engine.compact().then(
      () => 'done',
      (error: unknown) => error,
    );
    for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
    await engine.close();
    const end = await outcome;
    if (end !== 'done') expect(end).toMatchObject({ code: 'CLOSED' });
    const again = await openQuick(backend);
    await expectContent(again, left);
    await again.close();
  }
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

test('compact: on a full disk it gives back what it can, or says so, and the store goes on', async () => {
  const content = records(3000);
  let refusals = 0;
  for (const spare of [0, 5000, 40_000, 200_000, 1_000_000]) {
    const backend = new FaultyBackend();
    const engine = await openQuick(backend);
    await putAll(engine, shuffled([...content]));
    const left = new Map([...content].filter((_entry, i) => i % 5 === 0));
    await deleteAll(
      engine,
      [...content.keys()].filter((key) => !left.has(key)),
    );
    await engine.checkpoint();
    backend.capacity = [...backend.files.values()].reduce(
      (sum, { length }) => sum + Math.ceil(length / 4096) * 4096,
      spare,
    );
    try {
      const { bytesAfter, bytesBefore } = await engine.compact();
      expect(bytesAfter).toBeLessThan(bytesBefore);
    } catch (error) {
      expect(error).toMatchObject({ code: 'OUT_OF_SPACE' });
      refusals++;
    }
    // What was free is free: the store goes on as before.
    await engine.put('after', 'x'.repeat(500));
    left.set('after', 'x'.repeat(500));
    await engine.delete('after');
    left.delete('after');
    await expectContent(engine, left);
    await engine.close();
    const again = await openQuick(backendOf(backend.files));
    await expectContent(again, left);
    await again.close();
  }
  expect(refusals).toBeLessThan(5);
});

test('compact: on a disk without space for a page it is refused, and nothing has changed', async () => {
  const content = records(2500);
  const backend = new FaultyBackend();
  const engine = await openQuick(backend);
  // Two thirds full, so that there is work; closed and opened, so that there is no hole and no tail.
  await putAll(engine, shuffled([...content]));
  await engine.compact();
  await putAll(engine, shuffled([...content]).slice(0, 400));
  await engine.close();
  const again = await openQuick(backend);
  await deleteAll(again, [...content.keys()].slice(0, 400));
  for (const key of [...content.keys()].slice(0, 400)) content.delete(key);
  await again.checkpoint();
  backend.plan = ({ operation, file }) =>
    operation === 'write' && file === 'data' ? { errno: 'ENOSPC' } : undefined;
  await rejected('OUT_OF_SPACE', () => again.compact());
  backend.plan = () => undefined;
  await expectContent(again, content);
  expect((await again.compact()).bytesAfter).toBeLessThan((await freshSize([...content])) * 1.2);
  await expectContent(again, content);
  await again.close();
});

test.each([
  { what: 'any call', step: long ? 1 : 16, chosen: /./, codes: ['IO_ERROR'] },
  { what: 'a write', step: long ? 1 : 12, chosen: /^write/, codes: ['IO_ERROR'] },
  { what: 'a sync', step: 1, chosen: /^sync/, codes: ['STORE_FAILED'] },
])('compact: $what that fails refuses it, and no record is harmed', async ({ step, chosen, codes }) => {
  const content = records(700);
  const left = new Map([...content].filter((_entry, i) => i % 5 === 0));
  const outcomes = new Set<string>();
  for (let number = 1; ; number += step) {
    const backend = new SimulatedBackend({ seed: seed + number });
    const engine = await openQuick(backend, { bufferPoolSize: '64KB' });
    await putAll(engine, shuffled([...content]));
    await deleteAll(
      engine,
      [...content.keys()].filter((key) => !left.has(key)),
    );
    const before = backend.calls.length;
    let calls = 0;
    backend.plan = (call) =>
      call.number > before && chosen.test(call.operation) && ++calls === number
        ? { errno: 'EIO' }
        : undefined;
    let failed = false;
    try {
      await engine.compact();
    } catch (error) {
      failed = true;
      expect(error).toMatchObject({ code: expect.stringMatching(/^(IO_ERROR|STORE_FAILED)$/) });
      outcomes.add((error as { code: string }).code);
    }
    const isLast = calls < number;
    backend.plan = () => undefined;
    await engine.close().catch(() => undefined);
    const again = await openQuick(failed ? backend.crash() : backend);
    await expectContent(again, left);
    await again.close();
    if (isLast) break;
  }
  expect([...outcomes]).toEqual(expect.arrayContaining(codes));
});
