/* Test runners put clocks that stand still in the place of the runtime's: nothing of the store waits for one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { StorageConfig } from '../../src/index.ts';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';
import { rejected } from '../support/refused.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'aegis-clocks-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const { setTimeout, clearTimeout } = globalThis;

/** What runners of tests replace. */
const CLOCKS = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'] as const;

/** Runs work under clocks that stand still, until it settles or 5 seconds are over. */
async function underStillClocks<T>(work: () => Promise<T>): Promise<T> {
  const { Date: realDate, performance } = globalThis;
  const { now } = performance;
  const real = Object.fromEntries(CLOCKS.map((name) => [name, globalThis[name]]));
  const still = Object.fromEntries(CLOCKS.map((name) => [name, () => ({ unref: () => undefined })]));
  Object.assign(globalThis, still, { Date: class extends realDate {} });
  Object.assign(globalThis.Date, { now: () => 0 });
  Object.assign(performance, { now: () => 0 });
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('something waits for a clock that stands still')), 5000);
    });
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
    Object.assign(globalThis, real, { Date: realDate });
    Object.assign(performance, { now });
  }
}

const places: [string, () => Partial<StorageConfig>][] = [
  ['memory', () => ({})],
  ['memory with a log', () => ({ backend: new MemoryBackend(), walEnabled: true, syncOnCommit: false })],
  ['local', () => ({ backend: 'local', dataDirectory: folder() })],
];

test.each(places)(
  'fake clocks: everything settles in %s, also what was opened under them',
  async (_, config) => {
    const given = config();
    await underStillClocks(async () => {
      const engine = await StorageEngine.open(given);
      await engine.put('a', '1');
      await engine.batch([{ type: 'put', key: 'b', value: '2' }]);
      expect(await engine.delete('b')).toBe(true);
      const tx = engine.beginTransaction();
      tx.put('c', '3');
      await tx.commit({ sync: false });
      let tries = 0;
      await engine.transaction(async (own) => {
        own.get('a');
        own.put('a', 'mine');
        if (++tries < 4) await engine.put('a', `theirs ${tries}`);
      });
      expect(tries).toBe(4);
      await engine.checkpoint();
      await engine.backup(new MemoryBackend());
      expect(await engine.verify()).toMatchObject({ ok: true });
      await engine.compact();
      await engine.tree('t').put('a', '1');
      expect(await engine.dropTree('t')).toBe(true);
      for await (const [key] of engine.scan({ prefix: 'a' })) expect(key).toHaveLength(1);
      await engine.close();
    });
  },
);

test('fake clocks: who is refused hears who holds the store', async () => {
  const dataDirectory = folder();
  const engine = await StorageEngine.open({ backend: 'local', dataDirectory });
  rmSync(join(dataDirectory, 'lock')); // so that it has to be waited for
  const second = () => StorageEngine.open({ backend: 'local', dataDirectory });
  expect(await rejected('LOCKED', () => underStillClocks(second))).toMatchObject({ file: 'data' });
  await engine.close();
});
