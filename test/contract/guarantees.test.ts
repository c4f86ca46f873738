/* The guarantees, the errors and the door to other places: one short test for each promise; the long ones are elsewhere. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { BackendFile, BackendHost, Lock, StorageBackend, StorageConfig } from '../../src/index.ts';
import { AegisError, MemoryBackend, StorageEngine } from '../../src/index.ts';
import { runBackendSuite, SimulatedBackend } from '../../src/testing/index.ts';
import { backendOf, filesOf } from '../support/files.ts';
import { refused, rejected } from '../support/refused.ts';

const small = {
  pageSize: 4096,
  bufferPoolSize: '64KB',
  walEnabled: true,
  checkpointWalSize: '512KB',
} as const;
const root = new URL('../../', import.meta.url);

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'aegis-contract-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function open(config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const db = await StorageEngine.open({ backend: new MemoryBackend(), ...small, ...config });
  onTestFinished(() => db.close());
  return db;
}

test('contract: no reader outside sees a commit before it is durable', async () => {
  const disk = new SimulatedBackend({ manual: true });
  const db = await disk.run(StorageEngine.open({ backend: disk, ...small }));
  let resolved = false;
  const tx = db.beginTransaction();
  tx.put('a', 'x');
  tx.tree('t').put('a', 'x');
  const commit = tx.commit().then(() => {
    resolved = true;
  });
  let steps = 0;
  while (!resolved) {
    const seen = [db.has('a'), db.tree('t').has('a'), db.count() === 1, db.beginTransaction().has('a')];
    expect(new Set(seen).size).toBe(1);
    if (seen[0]) {
      const again = await StorageEngine.open({ backend: disk.crash(() => false), ...small, readOnly: true });
      expect([again.has('a'), again.tree('t').has('a')]).toEqual([true, true]);
    }
    await disk.clock.settle();
    if (!resolved) disk.clock.step();
    steps++;
  }
  await commit;
  expect([db.has('a'), steps > 1]).toEqual([true, true]);
  await disk.run(db.close());
});

test('contract: damage is CORRUPTION naming file, offset and page, and nothing else stops working', async () => {
  const backend = new MemoryBackend();
  const db = await StorageEngine.open({ backend, ...small, compression: 'none' });
  for (let i = 0; i < 600; i++) db.putSync(`key ${String(i).padStart(3, '0')}`, `value ${i} `.repeat(8));
  await db.close();
  const files = filesOf(backend);
  const data = files.get('data')!;
  const at = Buffer.from(data).lastIndexOf('value 300 ');
  data[at] = (data[at] as number) ^ 1;
  const again = await StorageEngine.open({ backend: backendOf(files), ...small });
  const error = await refused('CORRUPTION', () => again.get('key 300'));
  expect(error).toMatchObject({ file: 'data', offset: expect.any(Number), page: expect.any(Number) });
  expect(error.offset! <= at && at - error.offset! < 8192).toBe(true);
  expect([again.getString('key 000')?.length, again.getString('key 599')?.length]).toEqual([64, 80]);
  await again.put('key 000', 'still written');
  const tx = again.beginTransaction();
  await refused('CORRUPTION', () => tx.get('key 300'));
  tx.put('new', 'x');
  await tx.commit();
  expect(await again.verify()).toMatchObject({ ok: false });
  await again.close();
});

test('contract: readers never block writers, nor writers readers, and a checkpoint blocks neither', async () => {
  const disk = new SimulatedBackend({ manual: true });
  const db = await disk.run(StorageEngine.open({ backend: disk, ...small }));
  for (let i = 0; i < 500; i++) db.putSync(`key ${i}`, 'old'.repeat(30));
  const [tx, snapshot, scan] = [db.beginTransaction({ isolation: 'serializable' }), db.snapshot(), db.scan()];
  expect([tx.count(), scan.nextMany(10).length]).toEqual([500, 10]);
  const checkpoint = db.checkpoint();
  await disk.clock.settle();
  // The checkpoint is under way: writes go through, blocking ones too, and reads answer at once.
  for (let i = 0; i < 500; i++) db.putSync(`key ${i}`, 'new'.repeat(30));
  await disk.run(db.put('key 0', 'newer'));
  expect([db.getString('key 0'), tx.getString('key 0'), snapshot.getString('key 0')]).toEqual([
    'newer',
    'old'.repeat(30),
    'old'.repeat(30),
  ]);
  expect([...scan].every(([, value]) => value.length === 90 && value[0] === 'o'.charCodeAt(0))).toBe(true);
  await disk.run(checkpoint);
  tx.abort();
  snapshot.close();
  await disk.run(db.close());
});

test('contract: what begins after a resolved commit sees it', async () => {
  const db = await open();
  for (let i = 0; i < 30; i++) {
    if (i % 2 === 0) await db.put('a', `${i}`);
    else await db.transaction((tx) => tx.put('a', `${i}`));
    const [tx, snapshot] = [db.beginTransaction(), db.snapshot()];
    const value = [...db.scan().values()].map((bytes) => Buffer.from(bytes).toString());
    expect([tx.getString('a'), snapshot.getString('a'), ...value]).toEqual([`${i}`, `${i}`, `${i}`]);
    tx.abort();
    snapshot.close();
  }
});

test('contract: single operations never answer CONFLICT, the engine orders them', async () => {
  const db = await open();
  const readers = Array.from({ length: 4 }, () => db.beginTransaction({ isolation: 'serializable' }));
  for (const tx of readers) tx.get('a');
  const writes: Promise<unknown>[] = [];
  for (let i = 0; i < 60; i++) {
    writes.push(db.put('a', `${i}`));
    writes.push(i % 3 === 0 ? db.delete('b') : db.batch([{ type: 'put', key: 'b', value: `${i}` }]));
    if (i % 10 === 0) db.putSync('a', `sync ${i}`);
  }
  await Promise.all(writes);
  expect([db.getString('a'), db.getString('b')]).toEqual(['59', '59']);
  for (const tx of readers) tx.abort();
});

test('contract: methods that return a promise reject, they never throw', async () => {
  const db = await open();
  const bad = 7 as never;
  const calls: (() => Promise<unknown>)[] = [
    () => StorageEngine.open(bad),
    () => db.put(bad, 'x'),
    () => db.delete(bad),
    () => db.batch(bad),
    () => db.transaction(bad),
    () => db.transaction(() => undefined, bad),
    () => db.dropTree(bad),
    () => db.backup(bad),
    () => db.tree('t').put(bad, 'x'),
    () => db.tree('t').delete(bad),
    () => db.tree('t').batch(bad),
    () => db.beginTransaction().commit(bad),
  ];
  for (const call of calls) await rejected('INVALID_ARGUMENT', call);
  expect([db.count(), db.stats().sequence]).toEqual([0, 0]);
  const finished = db.beginTransaction();
  finished.abort();
  await rejected('TRANSACTION_FINISHED', () => finished.commit());
});

test('contract: a rejection nobody awaits is that promise’s, and inner promises never show', () => {
  const program = `
    import { StorageEngine } from ${JSON.stringify(new URL('build/index.js', root).href)};
    const seen = [];
    process.on('unhandledRejection', (error) => seen.push(error.code));
    const db = await StorageEngine.open();
    db.put(7, 'x');                              // nobody looks at it
    db.put('a', 7).catch(() => {});              // somebody does
    const lost = db.beginTransaction(); lost.put('a', 'x');
    await db.put('a', 'y');
    await lost.commit().catch(() => {});
    await db.transaction(() => { throw new Error('of the work'); }).catch(() => {});
    await db.close();
    db.checkpoint();
    await new Promise((resolve) => setTimeout(resolve, 50));
    console.log(JSON.stringify(seen));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  expect([stdout.trim(), stderr]).toEqual(['["INVALID_ARGUMENT","CLOSED"]', '']);
});

test('contract: a local store is nobody else’s, and a folder of strangers is never one', async () => {
  const dataDirectory = join(folder(), 'deep', 'store');
  const db = await StorageEngine.open({ backend: 'local', dataDirectory });
  await db.put('a', 'x');
  expect(statSync(dataDirectory).mode & 0o777).toBe(0o700);
  expect(statSync(join(dataDirectory, 'data')).mode & 0o777).toBe(0o600);
  const error = await rejected('LOCKED', () => StorageEngine.open({ backend: 'local', dataDirectory }));
  expect(error.pid).toBe(process.pid);
  // The file that names the holder is no lock: taking it away admits nobody.
  rmSync(join(dataDirectory, 'lock'));
  await rejected('LOCKED', () => StorageEngine.open({ backend: 'local', dataDirectory }));
  await db.close();

  const strangers = join(folder(), 'strangers');
  mkdirSync(strangers);
  for (const [name, bytes] of [
    ['data', 'somebody else’s'],
    ['notes.txt', 'mine'],
  ] as const) {
    writeFileSync(join(strangers, name), bytes);
    await rejected('NOT_A_STORE', () => StorageEngine.open({ backend: 'local', dataDirectory: strangers }));
    expect(readFileSync(join(strangers, name), 'utf8')).toBe(bytes);
    rmSync(join(strangers, 'data'), { force: true });
  }
});

test('contract: there is one class of errors, and its evidence says where', async () => {
  const { file, operation, errno } = await rejected('IO_ERROR', async () => {
    const disk = new SimulatedBackend();
    disk.plan = ({ operation: what }) => (what === 'read' ? { errno: 'EIO' } : undefined);
    await StorageEngine.open({ backend: disk });
  });
  expect([file, operation, errno]).toEqual(['data', 'read', 'EIO']);
  const cause = new Error('of the system');
  const error = new AegisError('IO_ERROR', 'it failed', { cause, errno: 'EIO', operation: 'read' });
  expect(error).toMatchObject({
    cause,
    errno: 'EIO',
    operation: 'read',
    code: 'IO_ERROR',
    message: 'it failed',
  });
});

test('contract: after a sync that fails nothing is acknowledged any more', async () => {
  const disk = new SimulatedBackend();
  const db = await StorageEngine.open({ backend: disk, ...small });
  await db.put('a', 'x');
  disk.plan = ({ operation }) => (/^sync/.test(operation) ? { errno: 'EIO' } : undefined);
  await rejected('COMMIT_UNKNOWN', () => db.put('b', 'x'));
  await rejected('STORE_FAILED', () => db.put('c', 'x'));
  expect([db.getString('a'), db.has('b')]).toEqual(['x', false]);
  await db.close().catch(() => undefined);
});

/** A place that answers with promises wherever it may, with a clock and randomness of its own. */
class Slow implements StorageBackend {
  readonly name = 'slow';
  readonly below = new MemoryBackend();
  readonly asked = { now: 0, random: 0, later: 0 };
  readonly host: BackendHost = {
    now: () => ++this.asked.now,
    random: (target) => {
      ++this.asked.random;
      target.fill(this.asked.random);
    },
    later: (_ms, run) => {
      ++this.asked.later;
      const handle = setImmediate(run);
      return () => clearImmediate(handle);
    },
  };
  async open(file: string, options: { create: boolean; readOnly?: boolean }): Promise<BackendFile> {
    return this.below.open(file, options);
  }
  async list(): Promise<string[]> {
    return this.below.list();
  }
  async remove(file: string): Promise<void> {
    this.below.remove(file);
  }
  async syncDirectory(): Promise<void> {
    this.below.syncDirectory();
  }
  async lock(mode: 'exclusive' | 'shared'): Promise<Lock> {
    return this.below.lock(mode);
  }
}

test('contract: a backend may answer with promises, and brings clock, randomness and timers', async () => {
  const backend = new Slow();
  const db = await StorageEngine.open({ backend, ...small });
  for (let i = 0; i < 60; i++) await db.put(`key ${i}`, new Uint8Array(30_000));
  const error = await refused('UNSUPPORTED', () => {
    for (let i = 0; i < 200; i++) db.putSync(`sync ${i}`, new Uint8Array(30_000));
  });
  expect(error.message.length).toBeGreaterThan(20);
  await db.put('after', 'x');
  await db.checkpoint();
  await db.close();
  expect(backend.asked.random).toBeGreaterThan(0);
  const again = await StorageEngine.open({ backend, ...small });
  expect([again.count({ prefix: 'key' }), again.has('after')]).toEqual([60, true]);
  expect(await again.verify()).toMatchObject({ ok: true });
  await again.close();
});

test('contract: the conformance suite passes over every backend of ours, and over others', async () => {
  for (const make of [() => new MemoryBackend(), () => new SimulatedBackend(), () => new Slow()]) {
    const { passed } = await runBackendSuite(make);
    expect(passed.length).toBeGreaterThan(20);
  }
});

test('contract: a memory backend outlives its engine and can be opened again', async () => {
  const backend = new MemoryBackend();
  const db = await StorageEngine.open({ backend, walEnabled: true });
  await db.put('a', 'x');
  await rejected('LOCKED', () => StorageEngine.open({ backend, walEnabled: true }));
  const copy = await StorageEngine.open({ backend: backend.copy() });
  expect(copy.getString('a')).toBe('x');
  await copy.close();
  await db.close();
  const again = await StorageEngine.open({ backend });
  expect(again.getString('a')).toBe('x');
  await again.close();
});
