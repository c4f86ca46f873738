/*
 * Compaction with something in its way: snapshots, trees that are dropped, pages that cannot be read, a second call, a
 * closing, full disks and devices that fail.
 */
import { expect, test } from 'vitest';
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { FaultyBackend } from '../support/faults.ts';
import { backendOf } from '../support/files.ts';
import { rejected } from '../support/refused.ts';
import { long, seed } from '../support/seed.ts';
import { openBare } from './bare-store.ts';
import {
  COUNT,
  deleteAll,
  expectContent,
  freshSize,
  openQuick,
  putAll,
  QuickBackend,
  records,
  shuffled,
} from './compact-kit.ts';

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
