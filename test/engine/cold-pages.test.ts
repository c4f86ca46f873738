/*
 * One call over more pages than an operation has tries, nearly none of them in memory. Each page that is missing is one
 * more try, so a limit that counted all of them called a long walk a defect of the engine, and failed the store.
 */
import { beforeAll, expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { StorageEngine } from '../../src/engine/engine.ts';

/** More than the tries of one step, `TRIES_MAX` in pager.ts. */
const PAGES = 10_500;
const RECORDS = 32_000;
const value = new Uint8Array(1000);
const keyOf = (i: number) => String(i).padStart(6, '0');

const backend = new MemoryBackend();

beforeAll(async () => {
  const engine = await StorageEngine.open({ backend, pageSize: 4096, bufferPoolSize: '8MB' });
  for (let i = 0; i < RECORDS; ) {
    engine.batchSync(Array.from({ length: 1000 }, () => ({ type: 'put', key: keyOf(i++), value })));
  }
  expect(engine.stats().pages.count).toBeGreaterThan(PAGES);
  await engine.close();
}, 120_000);

test.each([
  ['count', (engine: StorageEngine) => engine.count(), RECORDS],
  ['a scan backwards', (engine: StorageEngine) => [...engine.scan({ reverse: true }).keys()].length, RECORDS],
  ['nextMany', (engine: StorageEngine) => engine.scan().nextMany(RECORDS).length, RECORDS],
  [
    'getMany',
    (engine: StorageEngine) =>
      engine.getMany(Array.from({ length: RECORDS }, (_none, i) => keyOf(i))).filter(Boolean).length,
    RECORDS,
  ],
  ['verify', async (engine: StorageEngine) => (await engine.verify()).records, RECORDS],
  [
    'deleteRange',
    async (engine: StorageEngine) => {
      await engine.transaction((tx) => tx.deleteRange({ lt: keyOf(RECORDS - 5) }));
      return engine.count();
    },
    5,
  ],
])(
  'pager: %s over more pages than there are tries is a walk, not a defect',
  { timeout: 120_000 },
  async (_what, work, expected) => {
    const engine = await StorageEngine.open({
      backend: backend.copy(),
      pageSize: 4096,
      bufferPoolSize: '64KB',
    });
    expect(await work(engine)).toBe(expected);
    await engine.put('still', 'here');
    expect(engine.getString('still')).toBe('here');
    await engine.close();
  },
);
