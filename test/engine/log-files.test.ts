/*
 * What the files of the log take: little after a burst, nothing after `close`; what an opening reads of them; and that
 * giving them back is safe at every step, on full disks too.
 */
import { expect, test } from 'vitest';
import type { StorageBackend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { createCore } from '../../src/core/wasm.ts';
import { type StorageConfig, StorageEngine } from '../../src/index.ts';
import { readSlot } from '../../src/store/superblock.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';
import { FaultyBackend } from '../support/faults.ts';
import { backendOf, filesOf } from '../support/files.ts';
import { rejected } from '../support/refused.ts';
import { seed, sized } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

const RESERVE = 1_048_576;

/** A backend that counts the bytes read of log files. */
function counting(): { backend: MemoryBackend; read: () => number } {
  const backend = new MemoryBackend();
  let bytes = 0;
  const open = backend.open.bind(backend);
  backend.open = (name, options) => {
    const file = open(name, options);
    if (!name.startsWith('log-')) return file;
    const { read } = file;
    file.read = (target, position) => {
      const count = read.call(file, target, position);
      bytes += count;
      return count;
    };
    return file;
  };
  return { backend, read: () => bytes };
}

function logsOf(backend: { list(): string[] }): string[] {
  return backend.list().filter((name) => name.startsWith('log-'));
}

/** What a store may go through before it is closed. */
const LIVES: [what: string, live: (engine: StorageEngine) => Promise<unknown>][] = [
  ['nothing', async () => undefined],
  ['a put', (engine) => engine.put('key', 'value')],
  [
    'one large commit',
    async (engine) => {
      engine.putSync('large', new Uint8Array(20_000_000));
      await engine.delete('large');
    },
  ],
  [
    'many commits and checkpoints',
    async (engine) => {
      for (let i = 0; i < 300; i++) await engine.put(`key ${i}`, new Uint8Array(20_000));
      await engine.checkpoint();
      for (let i = 0; i < 300; i++) await engine.delete(`key ${i}`);
    },
  ],
  [
    'commits that nobody waits for',
    async (engine) => {
      for (let i = 0; i < 200; i++) void engine.put(`key ${i}`, new Uint8Array(10_000));
    },
  ],
  [
    'a transaction that is refused',
    async (engine) => {
      const [one, other] = [engine.beginTransaction(), engine.beginTransaction()];
      for (const [at, transaction] of [one, other].entries())
        for (let i = 0; i < 100; i++) transaction.put(`key ${i}`, new Uint8Array(30_000).fill(at));
      await one.commit();
      await rejected('CONFLICT', () => other.commit());
    },
  ],
  [
    'a checkpoint that holds everything',
    async (engine) => {
      await engine.put('last', 'value');
      await engine.checkpoint();
    },
  ],
  [
    'a compaction',
    async (engine) => {
      for (let i = 0; i < 300; i++) engine.putSync(`key ${i}`, new Uint8Array(20_000));
      await engine.compact();
    },
  ],
];

test.each(['1MB', '64MB'])(
  'log: close leaves no file of it, and opening reads none, whatever the store went through (%s)',
  async (checkpointWalSize) => {
    const { backend, read } = counting();
    const open = (): Promise<StorageEngine> =>
      StorageEngine.open({ backend, walEnabled: true, checkpointWalSize, compression: 'none' });
    for (const syncOnCommit of sized([seed % 2 === 0], [true, false], [true, false])) {
      for (const [what, live] of LIVES) {
        const before = read();
        const engine = await open();
        expect(read() - before, what).toBe(0);
        await live(engine);
        const count = engine.count();
        await engine.close();
        expect(logsOf(backend), what).toEqual([]);
        const again = await StorageEngine.open({
          backend,
          walEnabled: true,
          checkpointWalSize,
          syncOnCommit,
        });
        expect([again.count() >= count, (await again.verify()).ok], what).toEqual([true, true]);
        await again.close();
      }
    }
  },
);

test('log: one checkpoint after a burst gives it back, whoever asks for it', async () => {
  for (const how of ['checkpoint', 'compact', 'blocking'] as const) {
    const { backend } = counting();
    const engine = await openSmall(backend, { compression: 'none' });
    engine.putSync('large', new Uint8Array(12_000_000));
    expect(engine.stats().log.diskSize).toBeGreaterThan(12_000_000);
    if (how === 'blocking') for (let i = 0; i < 20; i++) engine.putSync(`key ${i}`, new Uint8Array(100_000));
    else await engine[how]();
    const { diskSize } = engine.stats().log;
    expect([how, diskSize <= 2 * RESERVE]).toEqual([how, true]);
    expect(diskSize).toBe(logsOf(backend).length * 262_144);
    await engine.checkpoint();
    await engine.checkpoint();
    expect(engine.stats().log.diskSize).toBeLessThanOrEqual(RESERVE);
    await engine.close();
  }
});

test('log: after a crash opening reads what follows the checkpoint, and one sector of each other file', async () => {
  const { backend, read } = counting();
  const engine = await openSmall(backend, { checkpointWalSize: '1MB' });
  for (let i = 0; i < 200; i++) await engine.put(`key ${i}`, new Uint8Array(20_000).fill(i));
  await engine.checkpoint();
  const { diskSize } = engine.stats().log;
  expect(diskSize).toBeGreaterThanOrEqual(2 * 262_144);
  await engine.put('last', 'value');
  const before = read();
  const copy = backend.copy();
  let bytes = 0;
  const open = copy.open.bind(copy);
  copy.open = (name, options) => {
    const file = open(name, options);
    const take = file.read;
    file.read = (target, position) => {
      const count = take.call(file, target, position);
      if (name.startsWith('log-')) bytes += count;
      return count;
    };
    return file;
  };
  const again = await openSmall(copy, { checkpointWalSize: '1MB' });
  expect(again.count()).toBe(201);
  // The last segment is looked through from the checkpoint on, by each of those who read it.
  expect(bytes).toBeLessThan(4 * 262_144 + 512 * logsOf(copy).length);
  expect(read()).toBe(before);
  await again.close();
  await engine.close();
});

// --- crashes ------------------------------------------------------------------------------------------------------

const small: Partial<StorageConfig> = { compression: 'none', checkpointWalSize: '512KB' };
/** Space for a burst that starts no checkpoint. */
const spacious: Partial<StorageConfig> = { ...small, checkpointWalSize: '4MB' };

/** A store with a burst behind it, and commits that no checkpoint holds. */
async function afterBurst(disk: SimulatedBackend): Promise<{ engine: StorageEngine; keys: Set<string> }> {
  const engine = await openSmall(disk, spacious);
  const keys = new Set<string>();
  const put = async (key: string, length: number): Promise<void> => {
    await engine.put(key, new Uint8Array(length).fill(key.length));
    keys.add(key);
  };
  await put('large', 3_500_000);
  for (let i = 0; i < 5; i++) await put(`key ${i}`, 2000);
  return { engine, keys };
}

/** A state that a power cut, or the death of the process, leaves. */
interface Left {
  readonly disk: SimulatedBackend;
  readonly keys: readonly string[];
  readonly where: string;
}

async function judge({ disk, keys, where }: Left): Promise<void> {
  const engine = await openSmall(disk, small);
  for (const key of keys) expect(engine.has(key), `${where}: ${key}`).toBe(true);
  expect((await engine.verify()).ok, where).toBe(true);
  await engine.put('next', new Uint8Array(300_000));
  await engine.close();
  expect(logsOf(disk), where).toEqual([]);
}

test.each(['checkpoint', 'compact', 'close', 'putSync'] as const)(
  'log: a power cut at any call while files are given back leaves a whole store (%s)',
  async (how) => {
    const disk = new SimulatedBackend({ seed });
    const { engine, keys } = await afterBurst(disk);
    const left: Left[] = [];
    let removed = 0;
    disk.onCall = ({ number, operation, file, position }) => {
      if (operation === 'remove') removed++;
      // The other calls are other tests' business.
      const isSlot = file === 'data' && position < 8192 && /write|sync/.test(operation);
      if (!isSlot && operation !== 'remove') return;
      if (number % sized(3, 1, 1) !== 0) return;
      const where = `SEED=${seed}, ${how}, after call ${number}, ${operation} ${file}`;
      const now = [...keys];
      for (const state of [
        disk.kill(),
        disk.crash(),
        disk.crash(({ kind }) => kind !== 'entry'),
        disk.crash(),
      ])
        left.push({ disk: state, keys: now, where });
    };
    if (how === 'putSync') {
      // A program that never yields: the checkpoint is driven to its end inside a put.
      for (let i = 0; i < 6; i++) {
        engine.putSync(`more ${i}`, new Uint8Array(1_000_000));
        keys.add(`more ${i}`);
      }
    } else await engine[how]();
    disk.onCall = undefined;
    expect(removed).toBeGreaterThan(3);
    for (const state of left) await judge(state);
    if (how !== 'close') await engine.close();
  },
  sized(1, 1, 12) * 300_000,
);

test('log: files that come back after a power cut change nothing, and go again', async () => {
  const disk = new SimulatedBackend({ seed });
  const { engine, keys } = await afterBurst(disk);
  const before = logsOf(disk).length;
  await engine.close();
  expect(logsOf(disk)).toEqual([]);
  const back = disk.crash(({ kind }) => kind !== 'entry');
  expect(logsOf(back).length).toBeGreaterThan(before / 2);
  const again = await openSmall(back, small);
  expect([...keys].every((key) => again.has(key))).toBe(true);
  await again.put('more', 'value');
  const cut = await openSmall(back.crash(), small);
  expect(cut.has('more')).toBe(true);
  await cut.close();
  await again.close();
  expect(logsOf(back)).toEqual([]);
});

test('log: a writer’s fence is above all that the one before it took, also when their files are gone', async () => {
  const host = {
    now: () => 0,
    random: (target: Uint8Array) => void target.fill(0),
    later: (ms: number, run: () => void) => {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
  };
  const backend = new FaultyBackend();
  Object.assign(backend, { host });
  const core = createCore({ pageSize: 4096, frames: 1, storeId: [0, 0] });
  const fence = (): number => {
    const content = readSlot(core, backend.open('data', { create: false }), 0);
    return 'superblock' in content ? content.superblock.fence : 0;
  };
  const engine = await openSmall(backend, small);
  await engine.put('key', 'value');
  const first = fence();
  let refusals = 0;
  backend.plan = ({ operation, file }) =>
    operation === 'write' && file.startsWith('log-') && refusals++ % 2 === 0 ? { errno: 'EIO' } : undefined;
  const tries = 5;
  for (let i = 0; i < tries; i++) await rejected('IO_ERROR', () => engine.put('key', `other ${i}`));
  backend.plan = () => undefined;
  await engine.close();
  expect(logsOf({ list: () => [...backend.files.keys()] })).toEqual([]);
  const again = await openSmall(backend, small);
  expect(fence()).toBeGreaterThan(first + tries);
  await again.close();
});

// --- full disks and other backends --------------------------------------------------------------------------------

test('log: on a full disk deletes work after the store was closed and opened again', async () => {
  for (
    let capacity = 900_000, round = 0;
    capacity < 3_000_000;
    capacity = Math.round(capacity * 1.3), round++
  ) {
    const backend = new FaultyBackend();
    const config = { checkpointWalSize: round % 2 === 0 ? '512KB' : '4MB', compression: 'none' } as const;
    const engine = await openSmall(backend, config);
    backend.capacity = capacity;
    let written = 0;
    await rejected('OUT_OF_SPACE', async () => {
      for (; ; written++) await engine.put(`more ${written}`, `${written} `.repeat(written % 1000));
    });
    await engine.close();
    for (let life = 0; life < 3; life++) {
      const again = await openSmall(backend, config);
      const where = `${capacity} bytes, life ${life}`;
      expect(again.count(), where).toBe(written);
      // Who puts until the disk is full again must not take the space that deletes need.
      let more = 0;
      await rejected('OUT_OF_SPACE', async () => {
        for (; ; more++) await again.put(`yet ${more}`, new Uint8Array(3000));
      });
      for (let i = 0; i < more; i++) expect(await again.delete(`yet ${i}`), where).toBe(true);
      for (let i = 0; i < 5; i++) expect(await again.delete(`more ${--written}`), where).toBe(true);
      await again.close();
    }
  }
});

test('log: when somebody else took the space, commits are refused before anything is promised', async () => {
  const backend = new FaultyBackend();
  const engine = await openSmall(backend, small);
  for (let i = 0; i < 40; i++) await engine.put(`key ${i}`, new Uint8Array(3000));
  await engine.close();
  const used = [...backend.files.values()].reduce((sum, { length }) => sum + length, 0);
  backend.capacity = Math.ceil(used / 4096) * 4096;
  const again = await openSmall(backend, small);
  await rejected('OUT_OF_SPACE', () => again.put('more', 'value'));
  await rejected('OUT_OF_SPACE', () => again.delete('key 1'));
  expect([again.count(), (await again.verify()).ok]).toEqual([40, true]);
  backend.capacity += 1_000_000;
  expect(await again.delete('key 1')).toBe(true);
  await again.close();
  const last = await openSmall(backendOf(backend.files), small);
  expect(last.count()).toBe(39);
  await last.close();
});

test('log: beside files of another store, and of odd names, a store finds again what it writes, and leaves them alone', async () => {
  const another = new MemoryBackend();
  const other = await openSmall(another);
  for (let i = 0; i < 50; i++) await other.put(`key ${i}`, new Uint8Array(1000));
  const theirs = filesOf(another).get('log-1') as Uint8Array;
  const garbage = new Uint8Array(5000).fill(7);
  // Those without a header are the store's to use again, if it could have given them their name.
  const files: [name: string, content: Uint8Array, isOurs: boolean][] = [
    ['log-1', theirs, false],
    ['log-999999999', theirs, false],
    ['log-999999999', garbage, true],
    ['log-007', garbage, false],
  ];
  for (const [at, [name, content, isOurs]] of files.entries()) {
    for (const walEnabled of sized([(at + seed) % 2 === 0], [true, false], [true, false])) {
      const backend = new MemoryBackend();
      await (await openSmall(backend)).close();
      const file = backend.open(name, { create: true });
      file.write([content], 0);
      file.close();
      const off = await openSmall(backend, { walEnabled });
      await off.put('before', 'it');
      await off.close();
      const engine = await openSmall(backend);
      for (let i = 0; i < 12; i++) await engine.put(`key ${i}`, new Uint8Array(20_000));
      const left = backend.copy();
      await engine.close();
      const again = await openSmall(left);
      expect([again.count(), (await again.verify()).ok], name).toEqual([13, true]);
      await again.close();
      const logs = [...filesOf(left)].filter(([one]) => one.startsWith('log-'));
      expect(logs, `${name} ${walEnabled}`).toEqual(isOurs ? [] : [[name, content]]);
    }
  }
});

test('log: close waits until its files are gone, where that takes time', async () => {
  const memory = new MemoryBackend();
  let isLocked = false;
  const removedLate: string[] = [];
  const later: StorageBackend = {
    name: 'later',
    open: async (file, options) => memory.open(file, options),
    list: async () => memory.list(),
    remove: async (file) => {
      for (let turn = 0; turn < 200; turn++) await Promise.resolve();
      if (!isLocked) removedLate.push(file);
      memory.remove(file);
    },
    syncDirectory: async () => undefined,
    lock: async () => {
      isLocked = true;
      return {
        release: () => {
          isLocked = false;
        },
      };
    },
  };
  const engine = await openSmall(later, small);
  await engine.put('large', new Uint8Array(2_000_000));
  await engine.close();
  expect([logsOf(memory), removedLate]).toEqual([[], []]);
});
