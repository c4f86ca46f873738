/*
 * A scan that meets a page it cannot read: what was read before is handed out, the error comes again as often as
 * somebody asks, and nothing stays held. Finalizers throw nothing, whatever became of the memory.
 */
import { expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { openEngineCore } from '../../src/engine/open.ts';
import { type Scan, StorageEngine } from '../../src/index.ts';
import { Plant } from '../support/plant.ts';

const RECORDS = 300;
const keyOf = (i: number) => `key ${String(i).padStart(4, '0')}`;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** A store in which a leaf in the middle is damaged; `good`: the records before it. */
async function damaged(): Promise<{ engine: StorageEngine; good: number }> {
  const backend = new MemoryBackend();
  const config = { backend, pageSize: 4096, compression: 'none' } as const;
  const first = await StorageEngine.open(config);
  for (let i = 0; i < RECORDS; ++i) await first.put(keyOf(i), `value ${i} `.repeat(8));
  await first.close();
  const plant = new Plant(backend);
  const leaf = plant.nodes().filter(({ level }) => level === 0)[3]!;
  const good = Number(text(plant.tree(leaf.page).cells[0]!.key).slice(4));
  plant.overwrite(plant.place(leaf.page).start * 512 + 200, new Uint8Array([1, 2, 3]));
  const engine = await StorageEngine.open(config);
  onTestFinished(() => engine.close());
  expect(good).toBeGreaterThan(50);
  return { engine, good };
}

/** Every way through a scan: takes keys until it throws. */
const ways: Record<string, (scan: Scan, taken: string[]) => Promise<void> | void> = {
  next: (scan, taken) => {
    for (let one = scan.next(); !one.done; one = scan.next()) taken.push(text(one.value[0]));
  },
  'nextMany, a few at a time': (scan, taken) => many(scan, taken, 7),
  'nextMany, all at once': (scan, taken) => many(scan, taken, RECORDS),
  'a loop': (scan, taken) => {
    for (const [key] of scan) taken.push(text(key));
  },
  'an asynchronous loop': async (scan, taken) => {
    for await (const [key] of scan) taken.push(text(key));
  },
  keys: (scan, taken) => {
    for (const key of scan.keys()) taken.push(text(key));
  },
};

function many(scan: Scan, taken: string[], n: number): void {
  for (let some = scan.nextMany(n); some.length > 0; some = scan.nextMany(n)) {
    taken.push(...some.map(([key]) => text(key)));
  }
}

test.each(Object.keys(ways))(
  'scan: an error ends it, and what %s had read before is not lost',
  async (name) => {
    const way = ways[name] as (scan: Scan, taken: string[]) => Promise<void> | void;
    const { engine, good } = await damaged();
    const wanted = Array.from({ length: good }, (_, i) => keyOf(i));
    const tx = engine.beginTransaction();
    tx.put(keyOf(1), 'own');
    const snapshot = engine.snapshot();
    const before = engine.stats().versions.openSnapshots;
    for (const source of [engine, snapshot, tx]) {
      const scan = source.scan();
      const taken: string[] = [];
      const run = async () => way(scan, taken);
      await expect(run()).rejects.toMatchObject({ code: 'CORRUPTION' });
      expect(engine.stats().versions.openSnapshots, name).toBe(before);
      // Loops end a scan for good when they end; elsewhere the rest comes now, and the error again and again.
      if (/^next/.test(name)) {
        for (const again of [1, 2])
          await expect(run(), `${again}`).rejects.toMatchObject({ code: 'CORRUPTION' });
      }
      expect(taken).toEqual(wanted);
      expect(engine.stats().versions.openSnapshots, name).toBe(before);
      scan.close();
      expect(scan.next().done).toBe(true);
    }
    // Behind the damage everything is there.
    expect(engine.scan({ gt: keyOf(good + 60) }).nextMany(1000)).toHaveLength(RECORDS - good - 61);
    tx.abort();
    snapshot.close();
  },
);

test('scan: after an error each form hands out what is kept', async () => {
  const { engine, good } = await damaged();
  const failed = (): Scan => {
    const scan = engine.scan();
    expect(() => scan.nextMany(RECORDS)).toThrow(expect.objectContaining({ code: 'CORRUPTION' }));
    return scan;
  };
  expect(
    failed()
      .nextMany(3)
      .map(([key]) => text(key)),
  ).toEqual([0, 1, 2].map(keyOf));
  expect(failed().nextMany(RECORDS)).toHaveLength(good);
  expect(text(failed().next().value[0])).toBe(keyOf(0));
  expect(text(failed().keys().next().value!)).toBe(keyOf(0));
  expect(text(failed().values().next().value!)).toBe('value 0 '.repeat(8));
});

test('scan: a finalizer that runs after a trap throws nothing, and nothing is believed afterwards', async () => {
  const finalizers: ((held: unknown) => void)[] = [];
  const held: unknown[] = [];
  const own = globalThis.FinalizationRegistry;
  class Registry {
    constructor(run: (held: unknown) => void) {
      finalizers.push(run);
    }
    register(_: object, one: unknown): void {
      held.push(one);
    }
  }
  onTestFinished(() => void Object.assign(globalThis, { FinalizationRegistry: own }));
  Object.assign(globalThis, { FinalizationRegistry: Registry });
  const engineCore = await openEngineCore(resolveConfig({ backend: 'memory' }));
  const engine = new StorageEngine(engineCore);
  await engine.put('key', 'value');
  engine.snapshot();
  engine.beginTransaction().put('key', 'own');
  const tx = engine.beginTransaction();
  tx.put('key', 'own');
  tx.savepoint();
  // One of handles, and one of savepoints for each transaction.
  expect([finalizers.length, held.length]).toEqual([3, 4]);
  // What a core does whose memory is broken.
  engineCore.store.pager.drain = () => {
    throw new WebAssembly.RuntimeError('unreachable');
  };
  for (const one of held) {
    const run = finalizers[one === held.at(-1) ? 2 : 0] as (held: unknown) => void;
    expect(() => run(one)).not.toThrow();
  }
  expect(() => engine.get('key')).toThrow(expect.objectContaining({ code: 'STORE_FAILED' }));
  await engine.close().catch(() => undefined);
});

test('scan: closing after a trap throws nothing, and nothing is believed afterwards', async () => {
  const engineCore = await openEngineCore(resolveConfig({ backend: 'memory' }));
  const engine = new StorageEngine(engineCore);
  await engine.put('key', 'value');
  const snapshot = engine.snapshot();
  const scans = [engine.scan(), snapshot.scan(), engine.tree('t').scan()];
  let traps = 0;
  engineCore.store.pager.drain = () => {
    traps++;
    throw new WebAssembly.RuntimeError('unreachable');
  };
  for (const scan of scans) expect(() => scan.close()).not.toThrow();
  expect(() => snapshot.close()).not.toThrow();
  expect(traps).toBe(4);
  expect(() => engine.get('key')).toThrow(expect.objectContaining({ code: 'STORE_FAILED' }));
  await engine.close().catch(() => undefined);
});
