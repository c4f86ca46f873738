/* A program that never stops to take breath: whatever it awaits, timers and input have their turns. */
import { expect, test } from 'vitest';
import type { BackendFile, BackendOpenOptions } from '../../src/backend/backend.ts';
import type { Progress } from '../../src/config/config.ts';
import { MemoryBackend, StorageEngine, salvage } from '../../src/index.ts';
import { Plant } from '../support/plant.ts';
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

/** Works without a pause for a while, or until enough was seen; answers how often a timer had its turn meanwhile. */
async function turnsUnder(work: (i: number) => Promise<unknown>): Promise<number> {
  let turns = 0;
  const timer = setInterval(() => void turns++, 1);
  const begin = performance.now();
  for (let i = 0; turns < TURNS_MIN && performance.now() - begin < SPAN; i++) await work(i);
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

// --- opening ----------------------------------------------------------------------------------------------------

/** Makes long work of short work. */
function dawdle(): void {
  const begin = performance.now();
  while (performance.now() - begin < 10);
}

/** Has a function hear of every read of a backend, with what it brought; answers the set of files that are open. */
function watch(backend: MemoryBackend, hear: (file: string, bytes: Uint8Array) => void): Set<BackendFile> {
  const files = new Set<BackendFile>();
  const open = backend.open.bind(backend);
  backend.open = (name: string, options: BackendOpenOptions): BackendFile => {
    const file = open(name, options);
    const read = file.read.bind(file);
    const close = file.close.bind(file);
    files.add(file);
    file.read = (target, position) => {
      const length = read(target, position);
      hear(name, target);
      return length;
    };
    file.close = () => {
      files.delete(file);
      close();
    };
    return file;
  };
  return files;
}

const LONG_VALUE = new Uint8Array(1_000_000);
const SEVENS = LONG_VALUE.slice().fill(7);

/** What a writer left that died with a log of some 40 MB. */
async function withLog(): Promise<MemoryBackend> {
  const backend = new MemoryBackend();
  const engine = await openSmall(backend, { checkpointWalSize: '64MB', bufferPoolSize: '64MB' });
  for (let i = 0; i < 40; i++) await engine.put(`key ${i}`, LONG_VALUE);
  const left = backend.copy();
  await engine.close();
  return left;
}

/** A store whose directory has some 40 chunks. */
async function withDirectory(): Promise<MemoryBackend> {
  const backend = new MemoryBackend();
  const engine = await openSmall(backend);
  for (let i = 0; i < 40; i++) await engine.put(`key ${i}`, LONG_VALUE);
  await engine.close();
  return backend;
}

/** A store with a log file of 40 MB whose header was lost. */
async function withHeadlessLog(): Promise<MemoryBackend> {
  const backend = await withDirectory();
  const file = backend.open('log-9', { create: true });
  for (let i = 0; i < 40; i++) file.write([SEVENS], i * SEVENS.length);
  file.close();
  return backend;
}

/** Steps of an opening that a test makes slow. */
const SLOW_STEPS = 30;

interface Opening {
  readonly store: () => Promise<MemoryBackend>;
  /** Files that are slow to read. */
  readonly slow?: string;
  /** Whether the replay is slow. */
  readonly slowReplay?: boolean;
}

test.each<[string, Opening]>([
  ['a large directory', { store: withDirectory, slow: 'data' }],
  ['a log that is long to scan', { store: withLog, slow: 'log' }],
  ['log files that are searched', { store: withHeadlessLog, slow: 'log-9' }],
  ['a log that is long to replay', { store: withLog, slowReplay: true }],
])('turns: opening a store lets timers run: %s', async (_what, { store, slow, slowReplay }) => {
  const backend = await store();
  // What is read first of a log is its groups; then its files are searched, and it is replayed. Only turns in the midst
  // of slow steps count.
  let steps = 0;
  let turns = 0;
  const step = (): void => {
    if (steps++ < SLOW_STEPS) dawdle();
  };
  watch(backend, (file) => {
    if (slow !== undefined && file.startsWith(slow)) step();
  });
  const onProgress = ({ phase }: Progress): void => {
    if (phase === 'recovery' && slowReplay) step();
  };
  const timer = setInterval(() => {
    if (steps > 0 && steps < SLOW_STEPS) turns++;
  }, 1);
  const engine = await openSmall(backend, { checkpointWalSize: '64MB', onProgress });
  clearInterval(timer);
  expect(steps).toBeGreaterThanOrEqual(SLOW_STEPS);
  expect(turns).toBeGreaterThanOrEqual(TURNS_MIN);
  expect(engine.count()).toBe(40);
  await engine.close();
});

test('turns: an opening that fails between two turns gives everything back', async () => {
  const backend = await withLog();
  let refused: unknown;
  const replayed: number[] = [];
  const files = watch(backend, (file, bytes) => {
    if (replayed.length > 20 && file.startsWith('log')) bytes.fill(0);
  });
  const onProgress = ({ phase, done }: Progress): void => {
    if (phase !== 'recovery') return;
    if (replayed.push(done) > 20) return;
    setImmediate(() => openSmall(backend).catch((error: unknown) => (refused = error)));
    dawdle();
  };
  await expect(openSmall(backend, { checkpointWalSize: '64MB', onProgress })).rejects.toThrow(
    'changed while it was read',
  );
  expect(refused).toMatchObject({ code: 'LOCKED' });
  expect(files.size).toBe(0);
  replayed.length = 0;
  const engine = await openSmall(backend, { checkpointWalSize: '64MB' });
  expect(engine.count()).toBe(40);
  await engine.close();
});

// --- salvage ----------------------------------------------------------------------------------------------------

async function withLeaves(): Promise<MemoryBackend> {
  const backend = new MemoryBackend();
  const engine = await openSmall(backend);
  await engine.batch(
    Array.from({ length: 40 }, (_none, i) => ({
      type: 'put' as const,
      key: `key ${i}`,
      value: 'v'.repeat(900),
    })),
  );
  await engine.close();
  return backend;
}

async function withoutRoot(): Promise<MemoryBackend> {
  const backend = await withLeaves();
  const plant = new Plant(backend);
  plant.overwrite(plant.place(plant.superblock.mainRoot).start * 512 + 90, new Uint8Array([1, 2, 3]));
  return backend;
}

/** Reads of a salvage that a test makes slow. */
const SLOW_READS = 12;

// Of all reads of these files, those from that part on are slow.
test.each<[string, () => Promise<MemoryBackend>, string, number]>([
  ['a large directory', withDirectory, 'data', 0],
  ['records', withLeaves, 'data', 0.5],
  ['a log, when it is scanned', withLog, 'log', 0.1],
  ['a log, when ids are looked for', withLog, 'log', 0.5],
  ['a log, when it is applied', withLog, 'log', 0.8],
  ['leaves that are looked for', withoutRoot, 'data', 0.4],
  ['leaves that were found', withoutRoot, 'data', 0.8],
])('turns: salvage lets timers run: %s', async (_what, store, slow, part) => {
  const source = await store();
  let [reads, turns, first] = [0, 0, Number.POSITIVE_INFINITY];
  watch(source, (file) => {
    if (file.startsWith(slow) && reads++ >= first && reads <= first + SLOW_READS) dawdle();
  });
  await salvage({ backend: source }, new MemoryBackend());
  first = Math.floor(reads * part);
  reads = 0;
  const timer = setInterval(() => {
    if (reads > first && reads < first + SLOW_READS) turns++;
  }, 1);
  const { records, lost } = await salvage({ backend: source }, new MemoryBackend());
  clearInterval(timer);
  expect([records, lost]).toEqual([40, []]);
  expect(turns).toBeGreaterThanOrEqual(1);
});
