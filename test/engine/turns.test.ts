/* A program that never stops to take breath: whatever it awaits, timers and input have their turns. */
import { expect, test } from 'vitest';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';
import { openSmall } from '../support/small-store.ts';

const SPAN = 400; // ms
/** Promised are a turn in 50 ms at least; a machine that has other work may not even give us that. */
const TURNS_MIN = 3;

const works: [string, (engine: StorageEngine, i: number) => Promise<unknown>][] = [
  ['put', (engine, i) => engine.put(`key ${i % 1000}`, 'value')],
  ['delete of what is not there', (engine) => engine.delete('absent')],
  ['batch', (engine, i) => engine.batch([{ type: 'put', key: `key ${i % 1000}`, value: 'value' }])],
  ['batch of nothing', (engine) => engine.batch([])],
  ['transaction that only reads', (engine) => engine.transaction((tx) => tx.get('a'))],
  ['transaction', (engine, i) => engine.transaction((tx) => tx.put(`key ${i % 1000}`, 'value'))],
  ['commit of nothing', (engine) => engine.beginTransaction().commit()],
  ['checkpoint with nothing to do', (engine) => engine.checkpoint()],
  ['put of a tree', (engine, i) => engine.tree('t').put(`key ${i % 1000}`, 'value')],
  ['drop of no tree', (engine) => engine.dropTree('absent')],
];

/** Works without a pause for a while; answers how often a timer had its turn meanwhile. */
async function turnsUnder(work: (i: number) => Promise<unknown>): Promise<number> {
  let turns = 0;
  const timer = setInterval(() => void turns++, 1);
  const begin = performance.now();
  for (let i = 0; performance.now() - begin < SPAN; i++) await work(i);
  clearInterval(timer);
  return turns;
}

test.each(works)('turns: a loop of awaited calls lets timers run: %s', async (_what, work) => {
  const engine = await StorageEngine.open();
  expect(await turnsUnder((i) => work(engine, i))).toBeGreaterThanOrEqual(TURNS_MIN);
  await engine.close();
});

test.each([
  ['an engine', (engine: StorageEngine) => engine.scan()],
  ['a tree', (engine: StorageEngine) => engine.tree('t').scan()],
  ['a snapshot', (engine: StorageEngine) => engine.snapshot().scan()],
  ['a transaction', (engine: StorageEngine) => engine.beginTransaction().scan({ reverse: true })],
])('turns: so does a loop that awaits the records of a scan of %s', async (_what, scanOf) => {
  const engine = await StorageEngine.open();
  const batch = Array.from({ length: 2000 }, (_none, i) => ({
    type: 'put' as const,
    key: `key ${String(i).padStart(5, '0')}`,
    value: `${i}`,
  }));
  await engine.batch(batch);
  await engine.batch(batch.map((one) => ({ ...one, tree: 't' })));
  const read: string[] = [];
  const turns = await turnsUnder(async () => {
    read.length = 0;
    for await (const [key] of scanOf(engine)) read.push(Buffer.from(key).toString());
  });
  expect(turns).toBeGreaterThanOrEqual(TURNS_MIN);
  expect(read.sort()).toEqual(batch.map(({ key }) => key));
  const cut = engine.scan();
  for await (const [key] of cut) if (key.length > 0) break;
  expect(cut.next()).toEqual({ done: true, value: undefined });
  await engine.close();
});

test('turns: so does one whose commits do not wait for a sync', async () => {
  const engine = await openSmall(new MemoryBackend(), { syncOnCommit: false });
  expect(await turnsUnder((i) => engine.put(`key ${i % 100}`, 'value'))).toBeGreaterThanOrEqual(TURNS_MIN);
  await engine.close();
});

test('turns: callers side by side share them, and nothing is lost by it', async () => {
  const engine = await StorageEngine.open();
  let count = 0;
  const caller = async (own: number): Promise<void> => {
    for (let i = 0; i < 2000; i++) await engine.put(`${own} ${i}`, String(++count));
  };
  let turns = 0;
  const timer = setInterval(() => void turns++, 1);
  await Promise.all(Array.from({ length: 16 }, (_, own) => caller(own)));
  clearInterval(timer);
  expect(engine.count()).toBe(32_000);
  expect(turns).toBeGreaterThanOrEqual(1);
  await engine.close();
});
