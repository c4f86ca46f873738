/*
 * Devices that refuse at chosen moments: what a failed sync, a log that cannot be shortened and a page that cannot be
 * read do to a store. Errors at every single call are test/faults/every-call.test.ts.
 */

import { expect, test } from 'vitest';
import { FaultyBackend } from '../support/faults.ts';
import { backendOf, type Files, filesOf } from '../support/files.ts';
import { refused, rejected } from '../support/refused.ts';
import { openSmall } from '../support/small-store.ts';

const HANG = 10_000; // ms

function withoutHang<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} hangs`)), HANG);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Opens what is left as another process would: the base is there, and all is sound. */
async function checkLeft(files: Files): Promise<void> {
  const engine = await openSmall(backendOf(files));
  expect(engine.count({ prefix: 'base' })).toBe(60);
  expect(await engine.verify()).toMatchObject({ ok: true });
  await engine.close();
}

/** A store that died with something in its log. */
async function makeBase(): Promise<Files> {
  const backend = new FaultyBackend();
  const engine = await openSmall(backend);
  for (let i = 0; i < 60; i++) {
    await engine.put(`base ${i}`, `${i}`.repeat(30));
    if (i === 30) await engine.checkpoint();
  }
  const { files } = backend;
  await engine.close();
  return files;
}

const base = await makeBase();

test('faults: after a failed sync commits are unknown, then refused; reads go on; opening again has what was answered', async () => {
  for (const blocking of [false, true]) {
    const backend = new FaultyBackend(base);
    const engine = await openSmall(backend);
    await engine.put('before', 'x');
    backend.plan = ({ operation, file }) =>
      operation === 'sync' && file !== 'data' ? { errno: 'EIO' } : undefined;
    const snapshot = engine.snapshot();
    if (blocking) await refused('COMMIT_UNKNOWN', () => engine.putSync('lost?', 'x'));
    else {
      const both = await Promise.allSettled([engine.put('lost?', 'x'), engine.put('lost too?', 'x')]);
      for (const result of both)
        expect(result).toMatchObject({ status: 'rejected', reason: { code: 'COMMIT_UNKNOWN' } });
    }
    // The device says that all is well now. It is not.
    backend.plan = () => undefined;
    const failed = await rejected('STORE_FAILED', () => engine.put('after', 'x'));
    expect(failed).toMatchObject({ errno: 'EIO', operation: 'sync' });
    await rejected('STORE_FAILED', () => engine.checkpoint());
    await refused('STORE_FAILED', () => engine.putSync('after', 'x'));
    await refused('STORE_FAILED', () => engine.beginTransaction());
    expect(engine.getString('before')).toBe('x');
    expect(engine.has('lost?')).toBe(false);
    expect(snapshot.count()).toBe(61);
    expect(engine.beginTransaction({ readOnly: true }).count()).toBe(61);
    await engine.close();
    const again = await openSmall(backendOf(backend.files));
    expect(again.getString('before')).toBe('x');
    expect(again.has('after')).toBe(false);
    await again.put('after', 'x');
  }
});

test('faults: a checkpoint whose sync fails ends the store, and loses nothing', async () => {
  for (const file of ['data']) {
    for (let nth = 1; nth <= 3; nth++) {
      const backend = new FaultyBackend(base);
      const engine = await openSmall(backend);
      await engine.checkpoint();
      for (let i = 0; i < 20; i++) await engine.put(`new ${i}`, 'x'.repeat(500));
      let syncs = 0;
      backend.plan = (call) => {
        if (call.operation !== 'sync' || call.file !== file || ++syncs !== nth) return undefined;
        return { errno: 'EIO' };
      };
      const error = await refused('STORE_FAILED', () => engine.checkpoint());
      expect(error).toMatchObject({ errno: 'EIO', operation: 'sync' });
      await rejected('STORE_FAILED', () => engine.put('after', 'x'));
      expect(engine.count({ prefix: 'new' })).toBe(20);
      await engine.close();
      const again = await openSmall(backendOf(backend.files));
      expect(again.count({ prefix: 'new' })).toBe(20);
      expect(again.count({ prefix: 'base' })).toBe(60);
      expect(await again.verify()).toMatchObject({ ok: true });
    }
  }
});

test('faults: a blocking commit whose checkpoint meets a failed sync is told that the store has failed', async () => {
  for (let nth = 1; nth <= 3; nth++) {
    const backend = new FaultyBackend(base);
    const engine = await openSmall(backend);
    let syncs = 0;
    backend.plan = ({ operation, file }) =>
      operation === 'sync' && file === 'data' && ++syncs >= nth ? { errno: 'EIO' } : undefined;
    const writeOn = () => {
      for (let i = 0; i < 500; i++) engine.putSync(`blocking ${i}`, 'x'.repeat(20_000));
    };
    const error = await refused('STORE_FAILED', writeOn);
    expect(error, `sync ${nth}`).toMatchObject({ errno: 'EIO', operation: 'sync' });
    await refused('STORE_FAILED', () => engine.putSync('after', 'x'));
    const seen = engine.count({ prefix: 'blocking' });
    await engine.close();
    const again = await openSmall(backendOf(backend.files));
    expect(again.count({ prefix: 'blocking' })).toBe(seen);
    await again.close();
  }
});

test.each(['sync', 'syncDirectory'] as const)(
  'faults: a failed %s while a log file is made fails the store, also for checkpoints',
  async (wanted) => {
    for (const isBlocking of [false, true]) {
      const backend = new FaultyBackend(base);
      const engine = await openSmall(backend);
      const old = [...backend.files.keys()];
      backend.plan = ({ operation, file }) => {
        const isNew = wanted === 'syncDirectory' || (file.startsWith('log-') && !old.includes(file));
        return operation === wanted && isNew ? { errno: 'EIO' } : undefined;
      };
      const error = await refused(['STORE_FAILED', 'COMMIT_UNKNOWN'], async () => {
        for (let i = 0; i < 300; i++) {
          if (isBlocking) engine.putSync(`new ${i}`, 'x'.repeat(20_000));
          else await engine.put(`new ${i}`, 'x'.repeat(20_000));
        }
      });
      expect(error).toMatchObject({ errno: 'EIO' });
      const seen = engine.count({ prefix: 'new' });
      let calls = 0;
      backend.plan = () => {
        calls++;
        return undefined;
      };
      await refused('STORE_FAILED', () => engine.checkpoint());
      expect(calls, 'a failed store touches nothing').toBe(0);
      await engine.close();
      const again = await openSmall(backendOf(backend.files));
      expect(again.count({ prefix: 'new' })).toBe(seen);
      await again.close();
    }
  },
);

test('faults: a log that no checkpoint can shorten refuses writers, and lets them in when one can', async () => {
  for (const errno of ['EIO', 'ENOSPC'] as const) {
    const backend = new FaultyBackend(base);
    const engine = await openSmall(backend, { bufferPoolSize: '4MB' });
    await engine.put('room', 'x'.repeat(500_000));
    await engine.checkpoint();
    backend.plan = ({ operation, file }) =>
      operation === 'write' && file === 'data' ? { errno } : undefined;
    const code = errno === 'EIO' ? 'IO_ERROR' : 'OUT_OF_SPACE';
    let written = 0;
    const write = () => withoutHang('a put', engine.put(`more ${written % 10}`, 'x'.repeat(5000)));
    await refused(code, async () => {
      for (; written < 1000; written++) await write();
    });
    // It has grown to twice its limit before anybody was refused.
    expect(written).toBeGreaterThan(180);
    await refused(code, () => engine.putSync('more', 'x'));
    const several = await Promise.allSettled([write(), write(), write()]);
    for (const result of several) expect(result).toMatchObject({ status: 'rejected', reason: { code } });
    expect(engine.count({ prefix: 'more' })).toBe(10);
    backend.plan = () => undefined;
    await engine.checkpoint();
    await write();
    await engine.close();
    await checkLeft(backend.files);
  }
});

test('faults: a page that cannot be read now is read when the device can', async () => {
  const backend = backendOf(base);
  await (await openSmall(backend)).close();
  const faulty = new FaultyBackend(filesOf(backend));
  const engine = await openSmall(faulty);
  faulty.plan = ({ operation, file }) =>
    operation === 'read' && file === 'data' ? { errno: 'EIO' } : undefined;
  const error = await refused('IO_ERROR', () => engine.get('base 7'));
  expect(error).toMatchObject({ errno: 'EIO', operation: 'read', file: 'data' });
  await refused('IO_ERROR', () => [...engine.scan()]);
  await rejected('IO_ERROR', () => engine.put('base 7', 'new'));
  expect(await engine.verify()).toMatchObject({ ok: false });
  faulty.plan = () => undefined;
  expect(engine.getString('base 7')).toBe('7'.repeat(30));
  await engine.put('base 7', 'new');
  expect(engine.getString('base 7')).toBe('new');
  expect(await engine.verify()).toMatchObject({ ok: true });
});
