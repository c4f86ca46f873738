/*
 * Errors of another realm or of another copy of the package: known by their name and code, so that what a backend or a
 * callback throws means the same wherever its classes come from.
 */
import { createContext, runInContext } from 'node:vm';
import { expect, onTestFinished, test } from 'vitest';
import { systemError } from '../../src/backend/local-system.ts';
import type { StorageBackend } from '../../src/index.ts';
import { AegisError, MemoryBackend, StorageEngine } from '../../src/index.ts';
import { refused } from '../support/refused.ts';

const realm = createContext({});
runInContext(
  `class AegisError extends Error {
    constructor(code, message) { super(message); this.name = 'AegisError'; this.code = code; }
  }
  globalThis.foreign = (code, message) => new AegisError(code, message);
  globalThis.system = (code) => Object.assign(new Error(code + ': no'), { code });`,
  realm,
);
const { foreign, system } = realm as {
  foreign(code: string, message: string): Error;
  system(code: string): Error;
};

test('foreign errors: ours of another realm are ours, others are not', () => {
  class Special extends AegisError {}
  const own = new AegisError('CONFLICT', 'own');
  expect(foreign('CONFLICT', 'x') instanceof Error).toBe(false);
  for (const error of [own, new Special('CLOSED', 'x'), foreign('CONFLICT', 'x'), foreign('IO_ERROR', 'x')]) {
    expect(error instanceof AegisError).toBe(true);
  }
  expect([new Special('CLOSED', 'x') instanceof Special, own instanceof Special]).toEqual([true, false]);
  expect(foreign('CLOSED', 'x') instanceof Special).toBe(false);
  const others = [
    foreign('EVERYTHING', 'x'),
    foreign('toString', 'x'),
    system('CONFLICT'),
    { code: 'CONFLICT' },
    { name: 'AegisError' },
    undefined,
    null,
    'CONFLICT',
    new Error('x'),
  ];
  for (const error of others) expect(error instanceof AegisError).toBe(false);
});

test('foreign errors: the errors of the system in another realm keep their names', () => {
  for (const [errno, code] of Object.entries({ ENOSPC: 'OUT_OF_SPACE', EIO: 'IO_ERROR' })) {
    const error = systemError(system(errno), 'write', 'data');
    expect(error).toMatchObject({ code, errno, file: 'data' });
    expect(error.message).toBe(`write of data failed: ${errno}: no`);
  }
  expect(systemError('plain text', 'write', 'data').message).toBe('write of data failed: plain text');
  expect(systemError(undefined, 'write', 'data').code).toBe('IO_ERROR');
});

test('foreign errors: a conflict that a callback throws is tried again', async () => {
  const db = await StorageEngine.open();
  onTestFinished(() => db.close());
  let tries = 0;
  await db.transaction((tx) => {
    tx.put('k', String(++tries));
    if (tries < 3) throw foreign('CONFLICT', 'somebody was first');
  });
  expect([tries, db.getString('k')]).toEqual([3, '3']);
  await expect(db.transaction(() => Promise.reject(foreign('CLOSED', 'x')))).rejects.toMatchObject({
    code: 'CLOSED',
  });
});

/** A backend whose files throw errors of another realm while `broken` names an operation. */
function foreignBackend(): StorageBackend & { broken: string; code: string; times: number } {
  const inner = new MemoryBackend();
  const outer = Object.create(inner) as ReturnType<typeof foreignBackend>;
  outer.broken = '';
  outer.code = '';
  outer.times = 0;
  outer.list = () => inner.list();
  outer.remove = (file) => inner.remove(file);
  outer.lock = (mode) => inner.lock(mode);
  outer.syncDirectory = () => inner.syncDirectory();
  outer.open = async (name, options) => {
    const file = await inner.open(name, options);
    return new Proxy(file, {
      get: (target, property) => {
        const value = Reflect.get(target, property, target) as unknown;
        if (typeof value !== 'function') return value;
        return (...given: unknown[]) => {
          if (property === outer.broken && outer.times-- > 0)
            throw foreign(outer.code, `${String(property)} of ${name} failed`);
          return Reflect.apply(value, target, given) as unknown;
        };
      },
    });
  };
  return outer;
}

test('foreign errors: a backend of another realm says what ours would', async () => {
  const backend = foreignBackend();
  const db = await StorageEngine.open({ backend, walEnabled: true, pageSize: 4096, bufferPoolSize: '64KB' });
  onTestFinished(() => db.close());
  for (let i = 0; i < 60; ++i) await db.put(`k${i}`, 'v'.repeat(2000));
  await db.checkpoint();
  Object.assign(backend, { broken: 'write', code: 'OUT_OF_SPACE', times: 1 });
  await refused('OUT_OF_SPACE', () => db.put('x', 'y'));
  Object.assign(backend, { broken: '' });
  await db.put('x', 'z');
  Object.assign(backend, { broken: 'read', code: 'IO_ERROR', times: 1e9 });
  const report = await db.verify();
  expect(report.ok).toBe(false);
  Object.assign(backend, { broken: '' });
  expect(await db.verify()).toMatchObject({ ok: true });
  expect([db.count(), db.getString('x')]).toEqual([61, 'z']);
});
