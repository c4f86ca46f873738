/*
 * No false alarms: whatever a sound store has been through, and whatever goes on while it is verified, verification
 * finds nothing; and it leaves the pool as it was.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import type { VerifyReport } from '../../src/maintenance/verify.ts';
import { type Random, randomFrom } from '../support/codec-data.ts';
import { temporaryFolder } from '../support/place.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import { type BareStore, openBare } from './bare-store.ts';
import { Life } from './verify-kit.ts';

/** States of stores that were verified. */
let verified = 0;

function expectSound(report: VerifyReport, what: string): void {
  ++verified;
  expect(report.problems, what).toEqual([]);
  expect(report.ok).toBe(true);
  expect(report.problemCount).toBe(0);
}

describe('verify', () => {
  test.each([
    { name: 'release', module: false, stores: sized(6, 60, 25_000) },
    { name: 'debug', module: true, stores: sized(3, 12, 400) },
  ])('verify: random stores in memory are sound, $name build', { timeout: 3_600_000 }, async (row) => {
    for (let i = 0; i < row.stores; i++) {
      const random = randomFrom(seed * 1000 + i);
      const backend = new MemoryBackend();
      const life = new Life(random, { backend }, row.module);
      await life.open();
      for (let round = random(6); round >= 0; --round) {
        const what = `store ${i}, round ${round}`;
        for (let steps = random(200); steps > 0; --steps) life.step();
        const count = life.store.count();
        const pending = life.store.verify();
        for (let steps = random(20); steps > 0; --steps) life.step();
        const report = await pending;
        expectSound(report, what);
        expect(report.records, what).toBe(count);
        await life.settle();
        if (random(3) === 0) await expectCopySound(backend, what);
        if (random(3) > 0) continue;
        await life.close();
        await life.open({ compression: random(2) === 0 ? 'lz4' : 'none' });
      }
      await life.close();
    }
  });

  test('verify: what changes in the turn of its call, behind it, is not looked at', async () => {
    const store = await StorageEngine.open({ backend: 'memory' });
    store.putSync('key', 'value');
    const { records } = await store.verify();
    const pending = store.verify();
    // The first named tree: with it comes the tree of their names.
    for (let i = 0; i < 500; i++) store.tree('first').putSync(`key ${i}`, Buffer.alloc(100));
    const report = await pending;
    expectSound(report, 'the first named tree');
    expect(report.records).toBe(records);
    await store.close();
  });

  test('verify: random stores in a folder are sound', async () => {
    for (let i = 0; i < sized(2, 6, 60); i++) {
      const random = randomFrom(seed * 77 + i);
      const life = new Life(random, { backend: 'local', dataDirectory: join(temporaryFolder(), 'store') });
      await life.open();
      for (let round = 0; round < 3; ++round) {
        for (let steps = random(150); steps > 0; --steps) life.step();
        expectSound(await life.store.verify(), `store ${i}, round ${round}`);
        await life.close();
        await life.open({ readOnly: true });
        expectSound(await life.store.verify(), `store ${i}, round ${round}, for reading only`);
        await life.store.close();
        await life.open();
      }
      await life.close();
    }
  });

  test.each([16, 64, 4000])('verify: finds nothing while everything goes on, %i frames', async (frames) => {
    const backend = new MemoryBackend();
    const random = randomFrom(seed + frames);
    const options = {
      backend,
      pageSize: 4096,
      bufferPoolSize: frames * 4096,
      compression: 'lz4',
      walEnabled: true,
    } as const;
    const store = await StorageEngine.open({ ...options, checkpointWalSize: '512KB' });
    store.batchSync(
      Array.from({ length: 6000 }, (_, i) => ({
        type: 'put' as const,
        key: `key ${i}`,
        value: `${i} `.repeat(30),
      })),
    );
    const tx = store.beginTransaction();
    for (let i = 0; i < 3000; i++) tx.put(`own ${i}`, 'x'.repeat(100));
    let running = true;
    let written = 0;
    const writer = async () => {
      for (; running; ++written) {
        const key = `key ${random(9000)}`;
        if (random(3) === 0) await store.delete(key);
        else await store.put(key, 'y'.repeat(random(40) === 0 ? 9000 : random(300)));
        if (random(30) === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const checkpoints = async () => {
      while (running) {
        const snapshot = store.snapshot();
        await store.checkpoint();
        snapshot.close();
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const work = [writer(), writer(), checkpoints()];
    const reports: VerifyReport[] = [];
    for (let i = 0; i < (long ? 200 : 12); i++) {
      const [one, two] = await Promise.all([store.verify(), store.verify()]);
      reports.push(one, two);
    }
    running = false;
    await Promise.all(work);
    for (const report of reports) expectSound(report, 'while written to');
    expect(written).toBeGreaterThan(20);
    expect(store.stats().versions.openSnapshots).toBe(1);
    await tx.commit();
    expectSound(await store.verify(), 'after all');
    await store.close();
  });

  test('verify: finds nothing between any two steps of writers and checkpoints', {
    timeout: 3_600_000,
  }, async () => {
    for (let i = 0; i < sized(6, 25, 1500); i++) {
      const random = randomFrom(seed * 31 + i);
      const store = await openBare(new MemoryBackend(), {
        bufferPoolSize: (16 + random(200)) * 4096,
        compression: random(2) === 0 ? 'lz4' : 'none',
      });
      const steps = stepsOf(store, random);
      for (let n = 3000; n > 0; --n) steps.next();
      let pauses = 0;
      const report = await store.verify(async () => {
        ++pauses;
        for (let n = random(60); n > 0; --n) steps.next();
        await undefined;
      }, 1 + random(8));
      expectSound(report, `store ${i}`);
      expect(pauses).toBeGreaterThan(10);
    }
  });

  test('verify: leaves the pool as it was', async () => {
    const backend = new MemoryBackend();
    const store = await StorageEngine.open({ backend, pageSize: 4096, bufferPoolSize: 64 * 4096 });
    for (let i = 0; i < 4000; i++) store.putSync(`key ${i}`, 'z'.repeat(100));
    const before = store.stats();
    const report = await store.verify();
    const after = store.stats();
    expect(report.pages).toBe(before.pages.count);
    expect(after.pool.misses).toBe(before.pool.misses);
    expect(after.pool.evictions).toBe(before.pool.evictions);
    expect(after.pool.freeFrames).toBe(before.pool.freeFrames);
    expect(after.pool.dirtyFrames).toBe(before.pool.dirtyFrames);
    expect(after.data.blocksWritten).toBe(before.data.blocksWritten);
    expect(after.versions.openSnapshots).toBe(0);
    await store.close();
  });

  test.each(['write 1', 'write 2', 'write 3', 'write 4', 'syncSync 1', 'syncSync 2', 'syncSync 3'])(
    'verify: a checkpoint that failed is no damage, at its %s',
    async (at) => {
      const [name, count] = at.split(' ') as ['write' | 'syncSync', string];
      const store = await openBare(new MemoryBackend(), { bufferPoolSize: '2MB', compression: 'none' });
      for (let i = 0; i < 2000; i++) store.put(`key ${i}`, 'x'.repeat(100));
      store.checkpointer.runBlocking();
      for (let i = 0; i < 2000; i++) store.put(`key ${i}`, 'y'.repeat(200));
      const { file } = store.pager.blocks;
      const call = file[name].bind(file) as (...values: unknown[]) => void;
      let left = Number(count);
      Object.assign(file, {
        [name]: (...values: unknown[]) => {
          if (--left === 0) throw new AegisError('IO_ERROR', 'the device failed');
          call(...values);
        },
      });
      expect(() => store.checkpointer.runBlocking()).toThrow('the device failed');
      expectSound(await store.verify(), at);
      if (name === 'syncSync') return;
      store.checkpointer.runBlocking();
      expectSound(await store.verify(), `${at}, tried again`);
    },
  );

  test.each([0, 1])(
    'verify: a crash between two superblocks is no damage, slot %i left behind',
    async (slot) => {
      const backend = new MemoryBackend();
      const store = await StorageEngine.open({ backend, pageSize: 4096, walEnabled: true });
      store.putSync('a', '1');
      await store.checkpoint();
      const before = backend.copy();
      store.putSync('a', '2');
      await store.checkpoint();
      const bytes = new Uint8Array(512);
      before.open('data', { create: false }).read(bytes, slot * 4096);
      const left = backend.copy();
      left.open('data', { create: false }).write([bytes], slot * 4096);
      for (const readOnly of [true, false]) {
        const again = await StorageEngine.open({ backend: left, readOnly });
        expect(again.getString('a')).toBe('2');
        expectSound(await again.verify(), `readOnly ${readOnly}`);
        await again.close();
      }
      await store.close();
    },
  );

  test('verify: reports how far it is', async () => {
    const calls: [number, number][] = [];
    const store = await StorageEngine.open({
      backend: new MemoryBackend(),
      pageSize: 4096,
      onProgress: ({ phase, done, total }) => phase === 'verify' && calls.push([done, total]),
    });
    for (let i = 0; i < 4000; i++) store.putSync(`key ${i}`, 'z'.repeat(300));
    const { pages } = await store.verify();
    await store.close();
    expect(calls.length).toBeGreaterThan(3);
    expect(calls.at(-1)).toEqual([pages, pages]);
    expect(calls.every(([done], i) => i === 0 || done >= calls[i - 1]![0])).toBe(true);
  });

  test('verify: the figures of sound stores', () => {
    expect(verified).toBeGreaterThan(sized(60, 300, 300));
    const figures = { 'states of sound stores': verified, 'false alarms': 0 };
    report('verify', figures, 'npx vitest run test/maintenance/verify.test.ts');
  });

  test('verify: ends with CLOSED when the store is closed meanwhile', async () => {
    const store = await StorageEngine.open({ backend: new MemoryBackend(), pageSize: 4096 });
    for (let i = 0; i < 4000; i++) store.putSync(`key ${i}`, 'z'.repeat(300));
    const verifying = store.verify();
    const closing = store.close();
    await expect(verifying).rejects.toMatchObject({ code: 'CLOSED' });
    await closing;
  });
});

/** What the death of the process would leave: it opens, for reading and for writing, and is sound. */
async function expectCopySound(backend: MemoryBackend, what: string): Promise<void> {
  for (const readOnly of [true, false]) {
    const store = await StorageEngine.open({ backend: backend.copy(), readOnly });
    expectSound(await store.verify(), `${what}, copied${readOnly ? ', for reading only' : ''}`);
    await store.close();
  }
}

/** Writes, snapshots and single steps of checkpoints, for ever. */
function* stepsOf(store: BareStore, random: Random): Generator<void> {
  const { pager, checkpointer } = store;
  const nodes: ReturnType<typeof pager.takeSnapshot>[] = [];
  for (;;) {
    const shape = random(60);
    const key = `key ${random(3000)}`;
    if (shape < 40) store.put(key, 'v'.repeat(random(60) === 0 ? 9000 : random(400)));
    else if (shape < 55) store.delete(key);
    else if (shape === 55) nodes.push(pager.takeSnapshot());
    else if (shape === 56 && nodes.length > 0)
      pager.releaseSnapshot(nodes.splice(random(nodes.length), 1)[0]!);
    else if (shape === 57) void checkpointer.start();
    else if (shape === 58 && checkpointer.running && random(2) === 0) checkpointer.runBlocking();
    else pager.freeFrames(8 + random(20));
    yield;
  }
}
