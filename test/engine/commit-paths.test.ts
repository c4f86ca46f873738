/*
 * Ways through the commit pipeline and the checkpoint that need things to meet in one order: a blocking call that
 * overtakes a sync, a device that breaks in its own words, a checkpoint that two drivers share.
 */
import { expect, onTestFinished, test } from 'vitest';
import type { BackendFile, BackendOpenOptions } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { type StorageConfig, StorageEngine } from '../../src/index.ts';
import { FaultyBackend } from '../support/faults.ts';
import { refused, rejected } from '../support/refused.ts';

const LARGE = 400_000; // bytes that outgrow one group of the log

async function open(config: Partial<StorageConfig>): Promise<StorageEngine> {
  const engine = await StorageEngine.open({
    walEnabled: true,
    pageSize: 4096,
    bufferPoolSize: '256KB',
    checkpointWalSize: '512KB',
    ...config,
  });
  onTestFinished(() => engine.close().catch(() => undefined));
  return engine;
}

/** A backend whose files a test may wrap. */
class WrappedBackend extends MemoryBackend {
  wrap: (file: BackendFile, name: string) => BackendFile = (file) => file;
  directoryLater = false;

  override open(name: string, options: BackendOpenOptions): BackendFile {
    return this.wrap(super.open(name, options), name);
  }

  // A promise where the class has none: a backend of somebody else's may answer one.
  override syncDirectory = (): void => (this.directoryLater ? Promise.resolve() : undefined) as undefined;
}

/** A file with some of its methods exchanged. */
function changed(file: BackendFile, change: Partial<BackendFile>): BackendFile {
  const get = (_: object, name: string): unknown => {
    const own =
      (change as Record<string, unknown>)[name] ?? (file as unknown as Record<string, unknown>)[name];
    return typeof own === 'function' ? own.bind(file) : own;
  };
  return new Proxy(file, { get }) as BackendFile;
}

test.each([
  ['single', true],
  ['single', false],
  ['in a transaction', true],
  ['in a transaction', false],
])('commit: a long value %s near the limit of a group goes through (blocking: %s)', async (how, blocking) => {
  // The chain of a long value has a piece for every page; all of them count for what a group holds.
  const engine = await open({});
  const limit = 261_000;
  for (let length = limit - 2500; length <= limit + 600; length += 97) {
    const value = new Uint8Array(length).fill(length & 255);
    if (how === 'single' && blocking) engine.putSync('long', value);
    else if (how === 'single') await engine.put('long', value);
    else {
      const tx = engine.beginTransaction();
      tx.put('long', value);
      if (blocking) tx.commitSync();
      else await tx.commit();
    }
    expect(Buffer.compare(engine.get('long')!, value)).toBe(0);
  }
});

test('commit: a large commit behind a sync that a blocking one overtook waits for a sync of its own', async () => {
  const backend = new WrappedBackend();
  let holdNext = false;
  let release: (() => void) | undefined;
  backend.wrap = (file, name) =>
    changed(file, {
      sync: () => {
        if (!holdNext || !name.startsWith('log')) return file.sync();
        holdNext = false;
        return new Promise((resolve) => {
          release = resolve;
        });
      },
    });
  const engine = await open({ backend, checkpointWalSize: '8MB' });
  await engine.put('first', '0');
  holdNext = true;
  const first = engine.put('first', '1');
  while (release === undefined) await new Promise((resolve) => setImmediate(resolve));
  engine.putSync('second', '2');
  await first;
  const { groups } = engine.stats().log;
  let answered = false;
  const large = engine
    .batch([
      { type: 'put', key: 'large', value: new Uint8Array(3 * LARGE) },
      { type: 'delete', key: 'second' },
    ])
    .then(() => {
      answered = true;
    });
  while (engine.stats().log.groups === groups) await new Promise((resolve) => setImmediate(resolve));
  expect([answered, engine.get('large')]).toEqual([false, undefined]);
  const { syncs } = engine.stats().log;
  release();
  await large;
  expect(engine.stats().log.syncs).toBe(syncs + 1);
  expect([engine.get('large')?.length, engine.getString('second')]).toEqual([3 * LARGE, undefined]);
});

test('commit: large ones and empty batches are taken with the log off too', async () => {
  const engine = await open({ walEnabled: false });
  engine.batchSync([]);
  await engine.batch([]);
  expect(engine.stats().transactions.commits).toBe(0);
  const parts = Array.from({ length: 6 }, (_, n) => ({
    type: 'put' as const,
    key: `${n}`,
    value: new Uint8Array(LARGE).fill(n),
  }));
  await engine.batch(parts);
  engine.batchSync([...parts, { type: 'delete', key: '0' }]);
  expect(engine.count()).toBe(5);
});

test('commit: a blocking one whose group cannot be written is refused, and the next one goes through', async () => {
  const backend = new FaultyBackend();
  const engine = await open({ backend });
  engine.putSync('a', '1');
  let once = true;
  backend.plan = ({ operation, file }) => {
    if (!once || operation !== 'write' || !file.startsWith('log')) return undefined;
    once = false;
    return { errno: 'EIO' };
  };
  await refused('IO_ERROR', () => engine.putSync('a', '2'));
  expect(engine.getString('a')).toBe('1');
  engine.putSync('a', '3');
  expect(engine.getString('a')).toBe('3');
});

test("commit: a device's own words become an error of ours", async () => {
  const backend = new WrappedBackend();
  let broken: 'write' | 'sync' | undefined;
  backend.wrap = (file, name) =>
    changed(file, {
      write: (parts, position) => {
        if (broken === 'write' && name.startsWith('log')) {
          broken = undefined;
          throw new Error('a fuse blew');
        }
        file.write(parts, position);
      },
      sync: async () => {
        if (broken === 'sync' && name.startsWith('log')) throw new Error('a fuse blew');
        await file.sync();
      },
    });
  const engine = await open({ backend });
  await engine.put('a', '1');
  broken = 'write';
  const error = await rejected('IO_ERROR', () => engine.put('a', '2'));
  expect(error.message).toContain('a fuse blew');
  await engine.put('a', '3');
  broken = 'sync';
  await rejected('COMMIT_UNKNOWN', () => engine.put('a', '4'));
  await rejected('STORE_FAILED', () => engine.put('a', '5'));
  expect(engine.getString('a')).toBe('3');
});

test('commit: a backend that syncs its directory later is refused by blocking calls only', async () => {
  const backend = new WrappedBackend();
  const engine = await open({ backend, checkpointWalSize: '8MB' });
  await engine.put('a', '1');
  backend.directoryLater = true;
  const fill = new Uint8Array(900_000);
  const error = await refused('UNSUPPORTED', () => {
    for (let n = 0; n < 20; n++) engine.putSync(`fill ${n}`, fill);
  });
  expect(error.message).toContain('sync its directory');
  await engine.put('a', '2');
  expect(engine.getString('a')).toBe('2');
});

test('checkpoint: a sync that fails after a blocking driver has finished its run fails the store', async () => {
  const backend = new WrappedBackend();
  let fail: ((error: unknown) => void) | undefined;
  let held = false;
  backend.wrap = (file, name) =>
    changed(file, {
      sync: () =>
        held && name === 'data'
          ? new Promise<void>((_, reject) => {
              fail ??= reject;
            })
          : file.sync(),
    });
  const engine = await open({ backend });
  await engine.put('a', '1');
  held = true;
  const checkpoint = engine.checkpoint();
  while (fail === undefined) await new Promise((resolve) => setImmediate(resolve));
  // The log has outgrown twice its limit: blocking writers run the checkpoint to its end.
  const value = new Uint8Array(100_000);
  for (let n = 0; n < 14; n++) engine.putSync(`fill ${n}`, value);
  await checkpoint;
  fail(new AegisError('IO_ERROR', 'the sync failed after all'));
  await new Promise((resolve) => setImmediate(resolve));
  await rejected('STORE_FAILED', () => engine.put('a', '2'));
  expect(engine.getString('a')).toBe('1');
});

test("checkpoint: a device's own words become an error of ours, and the next one succeeds", async () => {
  const backend = new WrappedBackend();
  let broken = false;
  backend.wrap = (file, name) =>
    changed(file, {
      write: (parts, position) => {
        if (broken && name === 'data') throw new Error('a fuse blew');
        file.write(parts, position);
      },
    });
  const engine = await open({ backend });
  await engine.put('a', '1');
  broken = true;
  const error = await rejected('IO_ERROR', () => engine.checkpoint());
  expect(error.message).toContain('a fuse blew');
  broken = false;
  await engine.checkpoint();
  expect(engine.getString('a')).toBe('1');
});

test('commit: a blocking one that can be neither written nor taken back is told so, and ends the store', async () => {
  const backend = new FaultyBackend();
  const engine = await open({ backend });
  engine.putSync('a', '1');
  backend.plan = ({ file }) => (file.startsWith('log') ? { errno: 'EIO' } : undefined);
  await refused(['STORE_FAILED', 'COMMIT_UNKNOWN'], () => engine.putSync('a', '2'));
  await refused('STORE_FAILED', () => engine.putSync('a', '3'));
  expect(engine.getString('a')).toBe('1');
});

test('commit: a transaction that lost waits for the winner to be applied, and then succeeds', async () => {
  const engine = await open({});
  await engine.put('counter', '0');
  const runs: number[] = [0, 0, 0];
  await Promise.all(
    runs.map((_, n) =>
      engine.transaction((tx) => {
        ++runs[n]!;
        tx.put('counter', String(Number(tx.getString('counter')) + 1));
      }),
    ),
  );
  expect(engine.getString('counter')).toBe('3');
  // Nobody runs against a state that is about to change: each run beyond the first follows a commit.
  expect(Math.max(...runs)).toBeLessThanOrEqual(3);
  const { conflicts } = engine.stats().transactions;
  expect(conflicts).toBe(runs.reduce((sum, count) => sum + count, 0) - 3);
  // One that nobody tries again counts as well.
  const [winner, loser] = [engine.beginTransaction(), engine.beginTransaction()];
  for (const tx of [winner, loser]) tx.put('counter', '9');
  await winner.commit();
  expect(() => loser.commitSync()).toThrow(/another one first/);
  expect(engine.stats().transactions.conflicts).toBe(conflicts + 1);
});
