import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { SLOT_POSITIONS } from '../../src/store/superblock.ts';
import { seed, sized } from '../support/seed.ts';
import { openBare } from './bare-store.ts';

test('checkpoint: a second one with no change in between keeps the extents of both', async () => {
  const backend = new MemoryBackend();
  const store = await openBare(backend, { bufferPoolSize: 16 * 4096 });
  for (let i = 0; i < 500; i++) store.put(`key ${i}`, 'first '.repeat(20));
  for (let i = 0; i < 3; i++) store.checkpointer.runBlocking();
  // Everything changes and is evicted: whatever nobody holds is written over.
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 500; i++) store.put(`key ${i}`, `${round} later `.repeat(20));
  }
  expect((await store.verify()).problems).toEqual([]);
  const left = await openBare(backend.copy(), { readOnly: true });
  expect(await left.verify()).toMatchObject({ problems: [], records: 500 });
  expect(left.trees.getString(left.root, 2 ** 53, left.trees.setKey('key 499'))).toMatch(/^first/);
});

test('checkpoint: page numbers handed out and never used leave a store that opens', async () => {
  const backend = new MemoryBackend();
  const store = await openBare(backend);
  for (let i = 0; i < 2; i++) store.checkpointer.runBlocking();
  const numbers: number[] = [];
  while (store.pager.nextPage <= store.pager.directory.fanout) numbers.push(store.pager.takeNumber(false));
  for (const number of numbers) store.pager.freeNumbers.give(number);
  store.checkpointer.runBlocking();
  expect((await store.verify()).problems).toEqual([]);
  expect((await (await openBare(backend)).verify()).problems).toEqual([]);
});

test('checkpoint: a directory of three levels grows from one and is read again', async () => {
  const backend = new MemoryBackend();
  const store = await openBare(backend, { bufferPoolSize: '40MB' });
  const { directory } = store.pager;
  const value = new Uint8Array(4000);
  for (let i = 0; store.pager.nextPage < directory.fanout ** 2 + 10; i++) {
    // 250 pages a value.
    store.put(`key ${i}`, new Uint8Array(value.length * 250).fill(i));
    if (i % 40 === 0) store.checkpointer.runBlocking();
  }
  store.checkpointer.runBlocking();
  expect(directory.levelsFor(store.checkpointer.superblock.chunkCount)).toBe(3);
  const report = await store.verify();
  expect(report.problems).toEqual([]);
  expect((await openBare(backend)).pager.pageCount).toBe(report.pages);
});

test('checkpoint: what one that failed has written is in the next one', async () => {
  const backend = new SimulatedBackend();
  const store = await openBare(backend, { bufferPoolSize: 16 * 4096 });
  for (let i = 0; i < 2000; i++) store.put(`key ${i}`, 'first '.repeat(150));
  store.checkpointer.runBlocking();
  for (let i = 0; i < 2000; i++) store.put(`key ${i}`, 'second '.repeat(120));
  let writes = 0;
  backend.plan = ({ operation }) =>
    operation === 'write' && ++writes === 1 ? { errno: 'ENOSPC', torn: true } : undefined;
  expect(() => store.checkpointer.runBlocking()).toThrow('ENOSPC');
  store.checkpointer.runBlocking();
  expect((await store.verify()).problems).toEqual([]);
  const left = await openBare(backend.crash(), { readOnly: true });
  expect(await left.verify()).toMatchObject({ problems: [], records: 2000 });
  expect(left.trees.getString(left.root, 2 ** 53, left.trees.setKey('key 7'))).toMatch(/^second/);
});

test('checkpoint: whichever slot rots, and whenever the power goes, a whole checkpoint is there', async () => {
  const backend = new SimulatedBackend({ seed, delay: 6 });
  const store = await openBare(backend, { bufferPoolSize: 16 * 4096 });
  const keys = Array.from({ length: 400 }, (_none, i) => `key ${i}`);
  const putAll = (round: number) => {
    for (const key of keys) store.put(key, `${round} `.repeat(150));
  };
  const rounds = { before: 1, after: 2 };
  putAll(rounds.before);
  // The second one puts the same generation into both slots, with nothing left to free.
  for (let i = 0; i < 2; i++) store.checkpointer.runBlocking();
  putAll(rounds.after);
  const left: { disk: SimulatedBackend; when: string }[] = [];
  let ends = 0;
  backend.onCall = ({ operation, position }) => {
    if (operation !== 'write' && operation !== 'sync') return;
    for (const keep of [undefined, () => true]) {
      for (const slot of [undefined, 0, 1] as const) {
        if (++ends % sized(5, 1, 1) !== 0) continue;
        const disk = backend.crash(keep);
        if (slot !== undefined) disk.rot('data', SLOT_POSITIONS[slot] * 8 + 700);
        left.push({ disk, when: `${operation} at ${position}, slot ${slot} rotten` });
      }
    }
  };
  let running = true;
  const checkpoint = store.checkpointer.start().finally(() => {
    running = false;
  });
  // Pages are thrown out of the pool all the while: whatever is free is written over.
  for (let i = 0; running; i += 7) {
    for (let more = 0; more < 7; more++) store.put(keys[(i + more) % keys.length]!, '3 '.repeat(150));
    await new Promise<void>((resolve) => void backend.host.later(1, resolve));
  }
  await checkpoint;
  backend.onCall = undefined;
  const seen = new Set<string | undefined>();
  for (const { disk, when } of left) {
    const again = await openBare(disk, { readOnly: true });
    const { problems } = await again.verify();
    expect(
      problems.filter(({ message }) => !/^superblock slot [01] is damaged$/.test(message)),
      when,
    ).toEqual([]);
    const values = keys.map(
      (key) => again.trees.getString(again.root, 2 ** 53, again.trees.setKey(key))?.toString()[0],
    );
    expect(new Set(values).size, when).toBe(1);
    seen.add(values[0]);
  }
  expect([...seen].sort()).toEqual(['1', '2']);
});
