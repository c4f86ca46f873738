import { expect, test } from 'vitest';
import { MemoryBackend } from '../src/backend/memory.ts';
import { AegisError } from '../src/base/errors.ts';
import { parseSize, resolveConfig, type StorageConfig } from '../src/config/config.ts';

function refusal(given: unknown): AegisError {
  try {
    resolveConfig(given as Partial<StorageConfig>);
  } catch (error) {
    if (error instanceof AegisError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

test('config: the defaults are the documented ones, and depend on the backend', () => {
  const memory = {
    backend: 'memory',
    dataDirectory: './data',
    compression: 'none',
    pageSize: 8192,
    bufferPoolSize: 64 * 1024 * 1024,
    walEnabled: false,
    syncOnCommit: true,
    walFlushInterval: 50,
    checkpointWalSize: 64 * 1024 * 1024,
    readOnly: false,
    createIfMissing: true,
    errorIfExists: false,
  };
  expect(resolveConfig()).toEqual(memory);
  expect(resolveConfig({})).toEqual(memory);
  const local = { ...memory, backend: 'local', compression: 'lz4', walEnabled: true };
  expect(resolveConfig({ backend: 'local' })).toEqual(local);
});

test('config: a folder without a backend means a local store, and only a backend of its own goes before it', () => {
  const dataDirectory = '/var/aegis';
  expect(resolveConfig({ dataDirectory })).toEqual(resolveConfig({ backend: 'local', dataDirectory }));
  const untyped = (config: object) => resolveConfig(config);
  expect(untyped({ dataDirectory, backend: undefined })).toMatchObject({ backend: 'local' });
  expect(untyped({ dataDirectory: undefined })).toMatchObject({ backend: 'memory' });
  expect(resolveConfig({ dataDirectory, backend: 'memory' })).toMatchObject({ backend: 'memory' });
});

test('config: a memory backend handed over counts as memory, any other as a place that lasts', () => {
  const backend = new MemoryBackend();
  expect(resolveConfig({ backend })).toMatchObject({ backend, compression: 'none', walEnabled: false });
  const other = Object.assign(Object.create(backend) as MemoryBackend, { name: 'elsewhere' });
  expect(resolveConfig({ backend: other })).toMatchObject({ compression: 'lz4', walEnabled: true });
});

test('config: a backend may do more than is asked of it', () => {
  const backend = Object.assign(new MemoryBackend(), { rename: () => undefined, writeAsync: 1 });
  expect(resolveConfig({ backend })).toMatchObject({ backend });
});

test('config: what is given goes before the defaults, and undefined is no gift', () => {
  const onProgress = () => undefined;
  const lz4 = { compress: () => 0, decompress: () => 0 };
  const given: Partial<StorageConfig> = {
    backend: 'local',
    dataDirectory: '/var/aegis',
    compression: 'none',
    compressionLevel: 3,
    codecs: { lz4, zstd: undefined },
    pageSize: 65_536,
    bufferPoolSize: '1.5GB',
    walEnabled: false,
    syncOnCommit: false,
    walFlushInterval: 0,
    checkpointWalSize: 512 * 1024,
    readOnly: true,
    createIfMissing: false,
    errorIfExists: true,
    onProgress,
  };
  expect(resolveConfig(given)).toEqual({ ...given, bufferPoolSize: 1.5 * 2 ** 30 });
  const nothing = Object.fromEntries(Object.keys(given).map((key) => [key, undefined]));
  expect(resolveConfig(nothing as Partial<StorageConfig>)).toEqual(resolveConfig());
});

test('config: the result is frozen and what was given is left alone', () => {
  const given = { codecs: { lz4: { compress: () => 0, decompress: () => 0 } } };
  const config = resolveConfig(given);
  expect([Object.isFrozen(config), Object.isFrozen(config.codecs)]).toEqual([true, true]);
  expect([Object.isFrozen(given), Object.isFrozen(given.codecs)]).toEqual([false, false]);
});

test.each([
  ['bufferPoolSze', 'bufferPoolSize'],
  ['buffer_pool_size', 'bufferPoolSize'],
  ['BACKEND', 'backend'],
  ['syncOnCommits', 'syncOnCommit'],
  ['dir', undefined],
  ['path', undefined],
  ['', undefined],
  ['__proto__', undefined],
  ['x'.repeat(10_000), undefined],
])('config: the unknown key %.20s is refused, with the nearest known one', (key, near) => {
  const { code, message } = refusal(JSON.parse(`{${JSON.stringify(key)}: 1}`));
  expect(code).toBe('INVALID_ARGUMENT');
  expect(message).toContain(JSON.stringify(key));
  expect(message).toContain(
    near === undefined ? 'known are backend, dataDirectory' : `did you mean "${near}"?`,
  );
});

const broken = Object.assign(new MemoryBackend(), { lock: undefined });
const oddHost = Object.assign(new MemoryBackend(), { host: { now: () => 0 } });

test.each([
  ['backend', 'disk', "'memory', 'local' or an object"],
  ['backend', null, "'memory', 'local' or an object"],
  ['backend', {}, 'lacks open, list, remove, syncDirectory, lock, name'],
  ['backend', broken, 'lacks lock'],
  ['backend', () => undefined, "'memory', 'local' or an object"],
  ['backend', oddHost, 'now, random and later'],
  ['dataDirectory', '', 'a path'],
  ['dataDirectory', 'a\0b', 'a path'],
  ['dataDirectory', 7, 'a path'],
  ['compression', 'gzip', "one of 'none', 'lz4', 'zstd'"],
  ['compression', 'LZ4', "one of 'none', 'lz4', 'zstd'"],
  ['compression', true, "one of 'none', 'lz4', 'zstd'"],
  ['compressionLevel', 0, 'a whole number from 1 to 22'],
  ['compressionLevel', 1.5, 'a whole number from 1 to 22'],
  ['compressionLevel', '3', 'a whole number from 1 to 22'],
  ['codecs', 'lz4', 'an object with lz4 or zstd'],
  ['codecs', { lz5: {} }, 'only lz4 and zstd'],
  ['codecs', { lz4: { compress: () => 0 } }, 'compress and decompress'],
  ['codecs', { zstd: null }, 'compress and decompress'],
  ['pageSize', 2048, 'one of 4096, 8192, 16384, 32768, 65536'],
  ['pageSize', 5000, 'one of 4096'],
  ['pageSize', '8192', 'one of 4096'],
  ['pageSize', 131_072, 'one of 4096'],
  ['bufferPoolSize', 15 * 8192, '16 pages of 8192 bytes'],
  ['bufferPoolSize', '64', '16 pages of 8192 bytes'],
  ['bufferPoolSize', 'lots', 'as text like'],
  ['bufferPoolSize', '-1MB', 'as text like'],
  ['bufferPoolSize', '1TB', 'as text like'],
  ['bufferPoolSize', '0.0000001GB', 'whole bytes'],
  ['bufferPoolSize', Number.NaN, 'whole bytes'],
  ['bufferPoolSize', 2 ** 24 + 0.5, 'whole bytes'],
  ['bufferPoolSize', 10n ** 9n, 'whole bytes'],
  ['walEnabled', 'yes', 'true or false'],
  ['syncOnCommit', 1, 'true or false'],
  ['readOnly', null, 'true or false'],
  ['createIfMissing', 0, 'true or false'],
  ['errorIfExists', 'true', 'true or false'],
  ['walFlushInterval', -1, 'a number of milliseconds from 0'],
  ['walFlushInterval', Number.NaN, 'a number of milliseconds from 0'],
  ['walFlushInterval', Number.POSITIVE_INFINITY, 'a number of milliseconds from 0'],
  ['walFlushInterval', '50', 'a number of milliseconds from 0'],
  ['checkpointWalSize', 524_287, 'at least 524288'],
  ['checkpointWalSize', [], 'whole bytes'],
  ['onProgress', 'loud', 'a function'],
])('config: %s cannot be %o', (key, value, allowed) => {
  const { code, message } = refusal({ [key]: value });
  expect(code).toBe('INVALID_ARGUMENT');
  expect(message).toMatch(new RegExp(`^${key}[.\\w]* is .*; allowed is `));
  expect(message).toContain(allowed);
});

test('config: a refusal shows what was given, shortened', () => {
  expect(refusal({ pageSize: 4097 }).message).toContain('pageSize is 4097;');
  expect(refusal({ compression: 'gzip' }).message).toContain("compression is 'gzip';");
  expect(refusal({ compression: 'g'.repeat(100_000) }).message.length).toBeLessThan(300);
});

test('config: a pool of 4 GiB or more is TOO_LARGE, the least below it is not', () => {
  for (const size of ['4GB', 2 ** 32, '1000GB', Number.MAX_SAFE_INTEGER]) {
    expect(refusal({ bufferPoolSize: size })).toMatchObject({ code: 'TOO_LARGE' });
  }
  expect(resolveConfig({ bufferPoolSize: 2 ** 32 - 1 }).bufferPoolSize).toBe(2 ** 32 - 1);
});

test('config: the smallest pool is 16 pages of the size chosen', () => {
  for (const pageSize of [4096, 65_536]) {
    expect(resolveConfig({ pageSize, bufferPoolSize: 16 * pageSize }).bufferPoolSize).toBe(16 * pageSize);
    expect(refusal({ pageSize, bufferPoolSize: 16 * pageSize - 1 }).code).toBe('INVALID_ARGUMENT');
  }
});

test('config: zstd has larger pages unless another size is chosen', () => {
  expect(resolveConfig({ compression: 'zstd' })).toMatchObject({ compression: 'zstd', pageSize: 32_768 });
  expect(resolveConfig({ compression: 'zstd', pageSize: 4096 }).pageSize).toBe(4096);
});

test('config: what is no object is refused', () => {
  for (const given of [null, 5, 'local', [], true]) {
    expect(refusal(given)).toMatchObject({ code: 'INVALID_ARGUMENT' });
  }
});

test.each([
  ['64MB', 67_108_864],
  ['1GB', 1_073_741_824],
  ['1.5GB', 1_610_612_736],
  ['0.5kb', 512],
  [' 16 KB ', 16_384],
  ['100B', 100],
  ['100', 100],
  ['0', 0],
  [4096, 4096],
  ['1.5B', 1],
  ['0.3MB', 314_572],
  ['3.9GB', 4_187_593_113],
  ['17.33mb', 18_171_822],
  ['64M', 67_108_864],
  ['64MiB', 67_108_864],
  ['2 kib', 2048],
  ['1.5g', 1_610_612_736],
  ['64i', undefined],
  ['64iB', undefined],
  ['64Mi', undefined],
  ['64MBB', undefined],
  ['64T', undefined],
  ['-1MB', undefined],
  ['9007199254740992.5', undefined],
  ['1e3', undefined],
  ['1 000', undefined],
  ['MB', undefined],
  ['', undefined],
  ['1.KB', undefined],
  ['١KB', undefined],
  ['9007199254740993', undefined],
  [-1, undefined],
  [1.5, undefined],
  [null, undefined],
])('config: the size %o is %o bytes', (given, bytes) => {
  expect(parseSize(given)).toBe(bytes);
});
