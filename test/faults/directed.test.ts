/*
 * Single faults that once did more harm than they should: each test is one defect that the stories found.
 */

import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { rejected } from '../support/refused.ts';
import { openSmall } from '../support/small-store.ts';

test('I/O errors: a creation that tears its second try at a superblock is made anew, not damage', async () => {
  const backend = new SimulatedBackend();
  backend.plan = ({ operation, position }) =>
    operation === 'write' && position >= 8192 ? { errno: 'ENOSPC' } : undefined;
  await rejected('OUT_OF_SPACE', () => openSmall(backend));
  backend.plan = ({ operation }) => (operation === 'write' ? { errno: 'ENOSPC', torn: 200 } : undefined);
  await rejected('OUT_OF_SPACE', () => openSmall(backend));
  backend.plan = () => undefined;
  const engine = await openSmall(backend);
  await engine.put('key', 'value');
  expect(engine.count()).toBe(1);
  await engine.close();
});

test('I/O errors: a checkpoint needs no answer about the sizes of log files', async () => {
  const backend = new SimulatedBackend();
  const engine = await openSmall(backend);
  backend.plan = ({ operation }) => (operation === 'size' ? { errno: 'EIO' } : undefined);
  for (let i = 0; i < 5; i++) {
    await engine.put('key', 'x'.repeat(200_000));
    await engine.checkpoint();
  }
  await rejected('IO_ERROR', async () => engine.stats());
  await engine.put('key', 'value');
  expect(engine.getString('key')).toBe('value');
  await engine.close();
});

test('I/O errors: what a commit that could not be written left behind is no conflict for the next one', async () => {
  for (const size of [10, 2_000_000]) {
    for (const isBlocking of [true, false]) {
      const backend = new SimulatedBackend();
      const engine = await openSmall(backend);
      const old = engine.beginTransaction();
      old.put('other', 'x');
      const write = async (): Promise<void> => {
        const tx = engine.beginTransaction();
        tx.put('key', 'x'.repeat(size));
        if (isBlocking) tx.commitSync();
        else await tx.commit();
      };
      await write();
      // Taking the commit back needs a write, and that one works. A file that is being made holds no commit yet.
      const made = new Set<string>();
      backend.plan = ({ operation, file }) => {
        if (operation === 'open') made.add(file);
        if (operation === 'sync') made.delete(file);
        if (operation !== 'write' || !file.startsWith('log-') || made.has(file)) return undefined;
        backend.plan = () => undefined;
        return { errno: 'ENOSPC' };
      };
      await rejected('OUT_OF_SPACE', write);
      await write();
      await engine.transaction((tx) => tx.put('key', 'again'), { maxRetries: 0 });
      await old.commit();
      expect(engine.getString('key')).toBe('again');
      await engine.close();
    }
  }
});

test('I/O errors: close says so when a commit without a sync may be lost and nobody was told', async () => {
  for (const walEnabled of [true, false]) {
    const backend = new SimulatedBackend();
    const engine = await openSmall(backend, { syncOnCommit: false, walEnabled });
    await engine.put('key', 'value');
    backend.plan = ({ operation }) => (operation === 'sync' ? { errno: 'EIO' } : undefined);
    const error = await rejected('STORE_FAILED', () => engine.close());
    expect(error).toMatchObject({ errno: 'EIO', operation: 'sync' });
    // Files and lock are given back all the same.
    backend.plan = () => undefined;
    await (await openSmall(backend, { walEnabled })).close();
  }
});

test('I/O errors: close has nothing to add when every commit was told of the failure', async () => {
  const backend = new SimulatedBackend();
  const engine = await openSmall(backend);
  await engine.put('key', 'value');
  backend.plan = ({ operation }) => (operation === 'sync' ? { errno: 'EIO' } : undefined);
  await rejected('COMMIT_UNKNOWN', () => engine.put('other', 'value'));
  await expect(engine.close()).resolves.toBe(undefined);
});

test('slow syncs: a transaction that meets a queued commit waits for it before it tries again', async () => {
  const backend = new SimulatedBackend({ delay: 10_000 });
  const engine = await openSmall(backend);
  await engine.put('key', '1');
  for (let round = 2; round < 12; round++) {
    const put = engine.put('key', '1');
    await engine.transaction((tx) => tx.put('key', `${round}`), { maxRetries: 1 });
    await put;
    expect(engine.getString('key')).toBe(`${round}`);
  }
  await engine.close();
});
