/*
 * After a failure nothing goes on: a checkpoint that cannot write its superblock leaves nobody knowing what is on the
 * disk, and a commit that stops halfway leaves pages that are no state of the store. Whoever waited then (a second
 * checkpoint, `close`, a backup, a compaction) used to run on, over what a reopening needs.
 */
import { expect, test } from 'vitest';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';
import type { SimulatedCall } from '../../src/testing/index.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';

const KEYS = 200;
const VALUE = 'v'.repeat(500);
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'ok',
    (error: { code?: string }) => error.code ?? String(error),
  );

/** A store of keys that were acknowledged, on a disk that refuses the next write of a superblock. */
async function withFailingSuperblock(errno: 'ENOSPC' | 'EIO') {
  const disk = new SimulatedBackend({ seed: 5 });
  const engine = await StorageEngine.open({ backend: disk, walEnabled: true });
  for (let i = 0; i < KEYS; ++i) await engine.put(`key ${i}`, VALUE);
  let struck = false;
  disk.plan = ({ operation, file, position }: SimulatedCall) => {
    if (struck || operation !== 'write' || file !== 'data' || position >= 8192) return undefined;
    struck = true;
    return { errno };
  };
  return { disk, engine };
}

async function expectAll(disk: SimulatedBackend): Promise<void> {
  const again = await StorageEngine.open({ backend: disk.crash(() => true) });
  expect(again.count({ prefix: 'key ' })).toBe(KEYS);
  expect((await again.verify()).ok).toBe(true);
  await again.close();
}

test.each(['ENOSPC', 'EIO'] as const)(
  'failure: what waits behind a checkpoint that fails is refused, and nothing is lost (%s)',
  async (errno) => {
    const { disk, engine } = await withFailingSuperblock(errno);
    const told = await Promise.all([
      codeOf(engine.checkpoint()),
      codeOf(engine.checkpoint()),
      codeOf(engine.compact()),
      codeOf(engine.backup(new SimulatedBackend({ seed: 6 }))),
    ]);
    expect(told).toEqual(['STORE_FAILED', 'STORE_FAILED', 'STORE_FAILED', 'STORE_FAILED']);
    expect(await codeOf(engine.put('later', '1'))).toBe('STORE_FAILED');
    await codeOf(engine.close());
    await expectAll(disk);
  },
);

test.each(['ENOSPC', 'EIO'] as const)(
  'failure: closing behind a checkpoint that fails writes no other one (%s)',
  async (errno) => {
    const { disk, engine } = await withFailingSuperblock(errno);
    const checkpoint = codeOf(engine.checkpoint());
    const closing = codeOf(engine.close());
    expect([await checkpoint, await closing]).toEqual(['STORE_FAILED', 'STORE_FAILED']);
    await expectAll(disk);
  },
);

test('failure: a checkpoint under way when another part fails the store writes nothing more', async () => {
  const disk = new SimulatedBackend({ seed: 5 });
  const engine = await StorageEngine.open({ backend: disk });
  for (let i = 0; i < KEYS; ++i) await engine.put(`key ${i}`, VALUE);
  // More pages than one slice of a checkpoint.
  await engine.batch(
    Array.from({ length: 4000 }, (_, i) => ({ type: 'put', key: `more ${i}`, value: VALUE })),
  );
  let failed = false;
  let written = 0;
  disk.plan = ({ operation, file }: SimulatedCall) => {
    if (failed && operation === 'write' && file === 'data') ++written;
    return operation === 'sync' && file.startsWith('log-') ? { errno: 'EIO' } : undefined;
  };
  const put = codeOf(engine.put('later', '1')).then((code) => {
    failed = true;
    return code;
  });
  const told = await Promise.all([put, codeOf(engine.checkpoint())]);
  expect(told).toEqual(['COMMIT_UNKNOWN', 'STORE_FAILED']);
  expect(written).toBe(0);
  await codeOf(engine.close());
  await expectAll(disk);
});

test.each([true, false])(
  'failure: a commit that comes while a store is closed is there, or refused (walEnabled: %s)',
  async (walEnabled) => {
    let done = 0;
    for (let turns = 0; turns < 60; ++turns) {
      const disk = new MemoryBackend();
      const engine = await StorageEngine.open({ backend: disk, walEnabled });
      await engine.put('key', 'value');
      const transaction = engine.beginTransaction();
      transaction.put('late', 'value');
      const closing = engine.close();
      for (let turn = 0; turn < turns; ++turn) await Promise.resolve();
      const told = await codeOf((async () => transaction.commit())());
      await closing;
      if (told === 'ok') ++done;
      else expect(['CLOSED', 'TRANSACTION_FINISHED']).toContain(told);
      const again = await StorageEngine.open({ backend: disk });
      expect([turns, told, again.has('late')]).toEqual([turns, told, told === 'ok']);
      await again.close();
    }
    expect(done).toBeGreaterThan(0);
  },
);
