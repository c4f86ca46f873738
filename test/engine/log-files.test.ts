/*
 * What the files of the log take: little after a burst, nothing after `close`; what an opening reads of them; and that
 * giving them back is safe at every step, on full disks too.
 */
import { expect, test } from 'vitest';
import type { StorageBackend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { StorageEngine } from '../../src/index.ts';
import { filesOf } from '../support/files.ts';
import { rejected } from '../support/refused.ts';
import { seed, sized } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';
import { logsOf, small } from './log-files-kit.ts';

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
