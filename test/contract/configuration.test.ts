/* The contract of the configuration: its defaults, what each key does, and how it is refused. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { lz4Wasm } from '../../src/codec/lz4-wasm.ts';
import type { Progress, StorageConfig } from '../../src/index.ts';
import { loadConfig, MemoryBackend, StorageEngine } from '../../src/index.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';
import { kinds, randomFrom } from '../support/codec-data.ts';
import { refused, rejected } from '../support/refused.ts';
import { seed } from '../support/seed.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'aegis-contract-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('contract: the defaults in memory and on local are those of the table', async () => {
  const common = {
    dataDirectory: './data',
    pageSize: 8192,
    bufferPoolSize: 64 * 2 ** 20,
    syncOnCommit: true,
    walFlushInterval: 50,
    checkpointWalSize: 64 * 2 ** 20,
    readOnly: false,
    createIfMissing: true,
    errorIfExists: false,
  };
  const memory = await StorageEngine.open();
  expect(memory.config).toMatchObject({
    ...common,
    backend: 'memory',
    compression: 'none',
    walEnabled: false,
  });
  await memory.close();
  const dataDirectory = join(folder(), 'store');
  const local = await StorageEngine.open({ backend: 'local', dataDirectory });
  expect(local.config).toMatchObject({
    ...common,
    dataDirectory,
    backend: 'local',
    compression: 'lz4',
    walEnabled: true,
  });
  expect(Object.isFrozen(local.config)).toBe(true);
  await local.close();
});

test('contract: a key nobody knows and a value that cannot be are refused by name', async () => {
  const impossible: [string, unknown][] = [
    ['backend', 'disk'],
    ['backend', {}],
    ['dataDirectory', 7],
    ['compression', 'snappy'],
    ['compressionLevel', 'high'],
    ['codecs', { snappy: {} }],
    ['pageSize', 5000],
    ['pageSize', 2048],
    ['pageSize', 131_072],
    ['bufferPoolSize', '64 apples'],
    ['bufferPoolSize', 4096],
    ['walEnabled', 'yes'],
    ['syncOnCommit', 1],
    ['walFlushInterval', -1],
    ['checkpointWalSize', '1KB'],
    ['readOnly', 'no'],
    ['createIfMissing', 0],
    ['errorIfExists', null],
    ['onProgress', 'print'],
  ];
  for (const [key, given] of impossible) {
    const config = { [key]: given } as Partial<StorageConfig>;
    const { message } = await rejected('INVALID_ARGUMENT', () => StorageEngine.open(config));
    expect(message, key).toContain(key);
    if (typeof given !== 'object' && key !== 'dataDirectory') expect(message, key).toContain(String(given));
  }
  const { message } = await rejected('INVALID_ARGUMENT', () =>
    StorageEngine.open({ pagesize: 8192 } as Partial<StorageConfig>),
  );
  expect(message).toContain('pagesize');
  expect(message).toContain('pageSize');
  for (const bad of [null, 1, 'local', []]) {
    await rejected('INVALID_ARGUMENT', () => StorageEngine.open(bad as never));
  }
});

test('contract: sizes are bytes or text in powers of 1024, and a pool the machine refuses is TOO_LARGE', async () => {
  for (const [given, size] of [
    ['256KB', 262_144],
    ['2MB', 2 ** 21],
    [300_000, 300_000],
  ] as const) {
    const db = await StorageEngine.open({ bufferPoolSize: given });
    expect(db.config.bufferPoolSize).toBe(size);
    await db.close();
  }
  expect(loadConfig('[storage]\nbuffer_pool_size = "1GB"').bufferPoolSize).toBeDefined();
  await rejected('TOO_LARGE', () => StorageEngine.open({ bufferPoolSize: '4GB' }));
  const smallest = await StorageEngine.open({ bufferPoolSize: 16 * 8192 });
  expect(smallest.config.bufferPoolSize).toBe(131_072);
  await smallest.close();
  await rejected('INVALID_ARGUMENT', () => StorageEngine.open({ bufferPoolSize: 16 * 8192 - 1 }));
});

test('contract: the page size is fixed when a store is created', async () => {
  const backend = new MemoryBackend();
  const db = await StorageEngine.open({ backend, pageSize: 4096 });
  await db.put('a', 'x');
  await db.close();
  for (const pageSize of [undefined, 65_536]) {
    const again = await StorageEngine.open({ backend, ...(pageSize && { pageSize }) });
    expect([again.config.pageSize, again.stats().pages.size, again.getString('a')]).toEqual([
      4096,
      4096,
      'x',
    ]);
    await again.close();
  }
});

test('contract: readOnly never creates, createIfMissing and errorIfExists say which store is meant', async () => {
  const dataDirectory = join(folder(), 'none');
  const local = { backend: 'local', dataDirectory } as const;
  await rejected('NOT_FOUND', () => StorageEngine.open({ ...local, readOnly: true }));
  await rejected('NOT_FOUND', () => StorageEngine.open({ ...local, createIfMissing: false }));
  expect(existsSync(dataDirectory)).toBe(false);
  const db = await StorageEngine.open({ ...local, errorIfExists: true });
  await db.put('a', 'x');
  const { pid } = await rejected('LOCKED', () => StorageEngine.open(local));
  expect(pid).toBe(process.pid);
  await rejected('LOCKED', () => StorageEngine.open({ ...local, readOnly: true }));
  await db.close();
  await rejected('EXISTS', () => StorageEngine.open({ ...local, errorIfExists: true }));
  const readers = await Promise.all([0, 1].map(() => StorageEngine.open({ ...local, readOnly: true })));
  for (const reader of readers) {
    expect(reader.getString('a')).toBe('x');
    await rejected('READ_ONLY', () => reader.put('a', 'y'));
    await rejected('READ_ONLY', () => reader.checkpoint());
    await rejected('READ_ONLY', () => reader.compact());
    await rejected('READ_ONLY', () => reader.dropTree('x'));
    await refused('READ_ONLY', () => reader.beginTransaction());
    await refused('READ_ONLY', () => reader.deleteSync('a'));
    expect(reader.beginTransaction({ readOnly: true }).getString('a')).toBe('x');
    await reader.close();
  }
});

test('contract: without the log commits are durable at checkpoints, and sync means nothing', async () => {
  const disk = new SimulatedBackend();
  const db = await StorageEngine.open({ backend: disk, walEnabled: false });
  await db.put('before', 'x');
  await db.checkpoint();
  const tx = db.beginTransaction();
  tx.put('after', 'x');
  expect((await tx.commit({ sync: true })).lsn).toBe(0);
  expect([...disk.files().keys()].filter((name) => name.startsWith('log-'))).toEqual([]);
  const again = await StorageEngine.open({ backend: disk.crash(() => false) });
  expect([again.has('before'), again.has('after')]).toEqual([true, false]);
  await again.close();
  await db.close();
});

test('contract: syncOnCommit and commit({sync}) decide what a resolved commit has survived', async () => {
  for (const [syncOnCommit, sync, isDurable] of [
    [true, undefined, true],
    [true, false, false],
    [false, undefined, false],
    [false, true, true],
  ] as const) {
    const disk = new SimulatedBackend({ manual: true });
    const db = await disk.run(
      StorageEngine.open({ backend: disk, walEnabled: true, syncOnCommit, walFlushInterval: 1000 }),
    );
    const tx = db.beginTransaction();
    tx.put('a', 'x');
    await disk.run(tx.commit(sync === undefined ? {} : { sync }));
    const cut = disk.crash(() => false);
    const killed = disk.kill();
    for (const [left, there] of [
      [cut, isDurable],
      [killed, true],
    ] as const) {
      const again = await left.run(StorageEngine.open({ backend: left }));
      expect(again.has('a'), `${syncOnCommit} ${sync}`).toBe(there);
      await left.run(again.close());
    }
    await disk.run(db.close());
  }
});

test('contract: a checkpoint starts when the log has grown by checkpointWalSize', async () => {
  const db = await StorageEngine.open({
    backend: new MemoryBackend(),
    walEnabled: true,
    checkpointWalSize: '1MB',
  });
  const { checkpoints } = db.stats();
  for (let i = 0; i < 8; i++) await db.put(`key ${i}`, new Uint8Array(100_000));
  expect(db.stats().checkpoints).toBe(checkpoints);
  for (let i = 0; i < 20; i++) await db.put(`key ${i}`, new Uint8Array(100_000));
  expect(db.stats().checkpoints).toBeGreaterThan(checkpoints);
  await db.close();
});

test('contract: onProgress hears of recovery, checkpoint, backup, verification and compaction', async () => {
  const heard: Progress[] = [];
  const onProgress = (progress: Progress): void => void heard.push(progress);
  const disk = new SimulatedBackend();
  const first = await StorageEngine.open({ backend: disk, walEnabled: true });
  for (let i = 0; i < 300; i++) first.putSync(`key ${i}`, new Uint8Array(3000));
  const db = await StorageEngine.open({ backend: disk.kill(), walEnabled: true, onProgress });
  await db.checkpoint();
  await db.backup(new MemoryBackend());
  await db.verify();
  for (let i = 0; i < 290; i++) db.deleteSync(`key ${i}`);
  await db.compact();
  const phases = ['recovery', 'checkpoint', 'backup', 'verify', 'compaction'] as const;
  for (const phase of phases) {
    const own = heard.filter((progress) => progress.phase === phase);
    expect(own.length, phase).toBeGreaterThan(0);
    for (const { done, total } of own) expect(done).toBeLessThanOrEqual(total);
  }
  expect(new Set(heard.map(({ phase }) => phase)).size).toBe(phases.length);
  await db.close();
  await first.close();
});

test('contract: the TOML block is read word for word, other sections are not, unknown keys are refused', async () => {
  const block = `
[storage]
backend = "local"
data_directory = "/var/aegis"
compression = "lz4"
buffer_pool_size = "1GB"
wal_enabled = true
sync_on_commit = true

[server]
port = 1
`;
  expect(loadConfig(block)).toEqual({
    backend: 'local',
    dataDirectory: '/var/aegis',
    compression: 'lz4',
    bufferPoolSize: '1GB',
    walEnabled: true,
    syncOnCommit: true,
  });
  const { message } = await refused('INVALID_ARGUMENT', () =>
    loadConfig('[storage]\nbufer_pool_size = "1GB"'),
  );
  expect(message).toContain('buffer_pool_size');
  await refused('INVALID_ARGUMENT', () => loadConfig('[storage'));
  const db = await StorageEngine.open({ ...loadConfig('[storage]\ncompression = "lz4"\npage_size = 4096') });
  expect(db.config).toMatchObject({ compression: 'lz4', pageSize: 4096 });
  await db.close();
});

test('contract: a store holds blocks of several codecs side by side', async () => {
  const backend = new MemoryBackend();
  const value = (i: number): string => `a value that compresses well, ${i} `.repeat(20);
  for (const [round, compression] of (['none', 'lz4', 'zstd', 'none'] as const).entries()) {
    const db = await StorageEngine.open({ backend, compression, bufferPoolSize: '1MB' });
    for (let i = 0; i < 60; i++) db.putSync(`${round} ${i}`, value(i));
    await db.close();
  }
  const db = await StorageEngine.open({ backend });
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 60; i++) expect(db.getString(`${round} ${i}`)).toBe(value(i));
  }
  expect(await db.verify()).toMatchObject({ ok: true, records: 240 });
  await db.close();
});

test('contract: another implementation of a codec is used instead of ours', async () => {
  const calls = { compress: 0, decompress: 0 };
  const codecs = {
    lz4: {
      compress(source: Uint8Array, target: Uint8Array): number {
        ++calls.compress;
        return lz4Wasm.compress(source, target);
      },
      decompress(source: Uint8Array, target: Uint8Array): number {
        ++calls.decompress;
        return lz4Wasm.decompress(source, target);
      },
    },
  };
  const backend = new MemoryBackend();
  const db = await StorageEngine.open({ backend, compression: 'lz4', codecs });
  for (let i = 0; i < 100; i++) db.putSync(`key ${i}`, new Uint8Array(100).fill(i));
  await db.close();
  const again = await StorageEngine.open({ backend, compression: 'lz4', codecs });
  expect(again.get('key 7')![99]).toBe(7);
  expect([calls.compress > 0, calls.decompress > 0]).toEqual([true, true]);
  await again.close();
  // The formats are the same: ours reads what the other one wrote.
  const ours = await StorageEngine.open({ backend, compression: 'lz4' });
  expect(await ours.verify()).toMatchObject({ ok: true, records: 100 });
  await ours.close();
});

test('contract: compressionLevel says how hard the codec tries', async () => {
  const sizes: number[] = [];
  const random = randomFrom(seed);
  const records = Array.from({ length: 600 }, () => kinds.documents(700, random));
  for (const compressionLevel of [1, 19]) {
    const db = await StorageEngine.open({
      backend: new MemoryBackend(),
      compression: 'zstd',
      compressionLevel,
    });
    for (const [i, record] of records.entries()) db.putSync(`key ${i}`, record);
    await db.checkpoint();
    sizes.push(db.stats().data.usedSize);
    expect(db.config.compressionLevel).toBe(compressionLevel);
    await db.close();
  }
  expect(sizes[1]).toBeLessThan(sizes[0] as number);
});
