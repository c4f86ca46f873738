/* What a program does in its progress callback, and what becomes of the store under it: nothing. */
import { expect, test } from 'vitest';
import type { Progress, StorageConfig } from '../../src/index.ts';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';
import { openSmall } from '../support/small-store.ts';

type Listener = (progress: Progress) => unknown;

const KEYS = 500;

/** A store with a log to recover, opened by a listener and led through everything that tells of progress. */
async function lifeUnder(listener: Listener): Promise<MemoryBackend> {
  const backend = new MemoryBackend();
  const first = await openSmall(backend, { checkpointWalSize: '64MB' });
  for (let i = 0; i < KEYS; i++) first.putSync(`key ${i}`, 'x'.repeat(1000));
  const left = backend.copy();
  await first.close();
  const onProgress = listener as NonNullable<StorageConfig['onProgress']>;
  const engine = await openSmall(left, { onProgress });
  for (let i = 0; i < KEYS; i++) await engine.put(`key ${i}`, 'y'.repeat(1000));
  for (let i = 0; i < KEYS; i += 2) engine.putSync(`key ${i}`, 'z'.repeat(1000));
  await engine.checkpoint();
  await engine.backup(new MemoryBackend());
  for (let i = 0; i < KEYS; i += 5) await engine.delete(`key ${i}`);
  await engine.compact();
  expect(await engine.verify()).toMatchObject({ ok: true });
  await engine.close();
  return left;
}

async function expectWhole(backend: MemoryBackend): Promise<void> {
  const again = await openSmall(backend);
  expect(again.count({ prefix: 'key ' })).toBe((KEYS / 5) * 4);
  expect(await again.verify()).toMatchObject({ ok: true });
  await again.close();
}

const PHASES = ['backup', 'checkpoint', 'compaction', 'recovery', 'verify'];
const bug = new TypeError('the progress bar has a bug');

test.each<[string, () => unknown]>([
  [
    'throws',
    () => {
      throw bug;
    },
  ],
  ['rejects', () => Promise.reject(bug)],
  ['answers a promise that never settles', () => new Promise(() => undefined)],
])('progress: a callback that %s changes nothing, in any phase', async (_what, act) => {
  const heard = new Set<string>();
  const backend = await lifeUnder(({ phase }) => {
    heard.add(phase);
    return act();
  });
  expect([...heard].sort()).toEqual(PHASES);
  await expectWhole(backend);
});

test('progress: a callback may write, blocking and not, read and begin a checkpoint', async () => {
  const backend = new MemoryBackend();
  const kept: Promise<unknown>[] = [];
  const inside = new Set<string>();
  const calls = new Map<string, number>();
  let engine: StorageEngine | undefined;
  let busy = false;
  engine = await openSmall(backend, {
    onProgress: ({ phase }) => {
      const before = calls.get(phase) ?? 0;
      if (!engine || busy || before >= 10) return;
      busy = true;
      calls.set(phase, before + 1);
      for (let i = 0; i < 4; i++) {
        const key = `inside ${inside.size}`;
        inside.add(key);
        if (i % 2 === 0) engine.putSync(key, new Uint8Array(100_000));
        else kept.push(engine.put(key, new Uint8Array(100_000)));
      }
      kept.push(engine.checkpoint());
      expect(engine.count({ prefix: 'inside ' })).toBeGreaterThan(0);
      busy = false;
    },
  });
  for (let i = 0; i < 400; i++) await engine.put(`key ${i}`, 'v'.repeat(3000));
  await engine.checkpoint();
  await engine.verify();
  await engine.compact();
  await Promise.all(kept);
  expect([...calls.keys()].sort()).toEqual(['checkpoint', 'compaction', 'verify']);
  const found = await StorageEngine.open({ backend: backend.copy() });
  expect(found.count({ prefix: 'key ' })).toBe(400);
  expect([...inside].filter((key) => !found.has(key))).toEqual([]);
  expect(await found.verify()).toMatchObject({ ok: true });
  await found.close();
  await engine.close();
});

test.each(['checkpoint', 'verify', 'compaction', 'backup'] as const)(
  'progress: a callback may close the store under a %s',
  async (phase) => {
    const backend = new MemoryBackend();
    let closing: Promise<void> | undefined;
    const engine = await openSmall(backend, {
      onProgress: (progress) => {
        if (progress.phase === phase && acknowledged === KEYS) closing ??= engine.close();
      },
    });
    let acknowledged = 0;
    for (; acknowledged < KEYS; acknowledged++) await engine.put(`key ${acknowledged}`, 'x'.repeat(1000));
    const work = {
      checkpoint: () => engine.checkpoint(),
      verify: () => engine.verify(),
      compaction: () => engine.compact(),
      backup: () => engine.backup(new MemoryBackend()),
    }[phase];
    await work().catch((error: unknown) => expect(error).toMatchObject({ code: 'CLOSED' }));
    expect(closing).toBeDefined();
    await closing;
    await expect(engine.put('late', '')).rejects.toMatchObject({ code: 'CLOSED' });
    const again = await openSmall(backend);
    expect(again.count()).toBe(KEYS);
    await again.close();
  },
);

test('progress: it is told when the call that has something to tell is over, and the last of a turn only', async () => {
  const told: string[] = [];
  const engine = await openSmall(new MemoryBackend(), {
    checkpointWalSize: '64MB',
    bufferPoolSize: '4MB',
    onProgress: ({ phase, done, total }) => void told.push(`${phase} ${done} of ${total}`),
  });
  for (let i = 0; i < KEYS; i++) engine.putSync(`key ${i}`, 'x'.repeat(1000));
  told.length = 0;
  const checkpoint = engine.checkpoint();
  expect(told).toEqual([]);
  await checkpoint;
  const own = told.filter((line) => line.startsWith('checkpoint'));
  expect(own.length).toBeGreaterThan(1);
  const [, done, total] = /(\d+) of (\d+)$/.exec(own.at(-1) as string) ?? [];
  expect(done).toBe(total);
  await engine.close();
});
