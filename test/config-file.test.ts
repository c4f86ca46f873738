/* The configuration file: what it may say, and what is said about one that makes no sense. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AegisError } from '../src/base/errors.ts';
import { loadConfig } from '../src/config/config-file.ts';
import { long, seed } from './support/seed.ts';

/** The block that users are promised, word for word. */
const PROMISED = `[storage]
backend = "local"
data_directory = "/var/aegis"
compression = "lz4"
buffer_pool_size = "1GB"
wal_enabled = true
sync_on_commit = true
`;

function refusal(text: unknown): AegisError {
  try {
    loadConfig(text as string);
  } catch (error) {
    if (error instanceof AegisError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

test('config file: the promised block works word for word', () => {
  expect(loadConfig(PROMISED)).toEqual({
    backend: 'local',
    dataDirectory: '/var/aegis',
    compression: 'lz4',
    bufferPoolSize: '1GB',
    walEnabled: true,
    syncOnCommit: true,
  });
});

test('config file: every key that can be written has its name in snake_case', () => {
  const text = `[storage]
    backend = "memory"
    data_directory = './data'
    compression = "none"
    compression_level = 3
    page_size = 16_384
    buffer_pool_size = 1_048_576
    wal_enabled = false
    sync_on_commit = false
    wal_flush_interval = 12.5
    checkpoint_wal_size = "1.5MB"
    read_only = true
    create_if_missing = false
    error_if_exists = true`;
  expect(loadConfig(text)).toEqual({
    backend: 'memory',
    dataDirectory: './data',
    compression: 'none',
    compressionLevel: 3,
    pageSize: 16_384,
    bufferPoolSize: 1_048_576,
    walEnabled: false,
    syncOnCommit: false,
    walFlushInterval: 12.5,
    checkpointWalSize: '1.5MB',
    readOnly: true,
    createIfMissing: false,
    errorIfExists: true,
  });
});

test('config file: other sections and keys outside sections are left alone', () => {
  const others = 'title = "x"\n[server]\nport = 80\n[[storages]]\npage_size = 1\n';
  expect(loadConfig(others)).toEqual({});
  expect(loadConfig(`${others}[storage]\npage_size = 4096\n[storage2]\nx = 1\n`)).toEqual({ pageSize: 4096 });
  expect(loadConfig('')).toEqual({});
  expect(loadConfig('\uFEFF[storage]\r\nread_only = true\r\n')).toEqual({ readOnly: true });
  expect(loadConfig('storage = { read_only = true }')).toEqual({ readOnly: true });
  expect(loadConfig('storage.read_only = true')).toEqual({ readOnly: true });
});

test.each([
  ['data_dir = "x"', '"data_dir" is no key of [storage]; did you mean "data_directory"?'],
  ['dataDirectory = "x"', 'did you mean "data_directory"?'],
  ['pagesize = 4096', 'did you mean "page_size"?'],
  ['sync_on_comit = true', 'did you mean "sync_on_commit"?'],
  ['colour = "red"', 'known are backend, data_directory, compression, compression_level, page_size,'],
  ['"" = 1', 'known are backend,'],
  ['__proto__ = 1', '"__proto__" is no key of [storage]'],
  ['constructor = 1', '"constructor" is no key of [storage]'],
  ['[storage.page_size]', 'page_size is an object; allowed is one of 4096,'],
  ['[storage.codecs]', 'codecs is no key of a configuration file: give codecs to StorageEngine.open'],
  ['on_progress = "x"', 'on_progress is no key of a configuration file: give onProgress to'],
])('config file: the key in %s is refused by name', (line, message) => {
  const error = refusal(`[storage]\n${line}\n`);
  expect(error.code).toBe('INVALID_ARGUMENT');
  expect(error.message).toContain(message);
});

test.each([
  ['backend = 5', "backend is 5; allowed is 'memory', 'local' or"],
  ['backend = "disk"', "backend is 'disk'; allowed is 'memory', 'local' or"],
  ['data_directory = true', 'data_directory is true; allowed is a path'],
  ['compression = "gzip"', "compression is 'gzip'; allowed is one of 'none', 'lz4'"],
  ['compression_level = "9"', "compression_level is '9'; allowed is a whole number from 1 to 22"],
  ['page_size = 5000', 'page_size is 5000; allowed is one of 4096,'],
  ['buffer_pool_size = "1TB"', "buffer_pool_size is '1TB'; allowed is whole bytes, at least"],
  ['buffer_pool_size = inf', 'buffer_pool_size is Infinity; allowed'],
  ['buffer_pool_size = [1]', 'buffer_pool_size is an array; allowed'],
  ['buffer_pool_size = 2020-01-01', 'buffer_pool_size is an object; allowed'],
  ['wal_enabled = "yes"', "wal_enabled is 'yes'; allowed is true or false"],
  ['sync_on_commit = 1', 'sync_on_commit is 1; allowed is true or false'],
  ['wal_flush_interval = -1', 'wal_flush_interval is -1; allowed is a number of milliseconds'],
  ['checkpoint_wal_size = "1KB"', "checkpoint_wal_size is '1KB'; allowed is"],
  ['read_only = "false"', "read_only is 'false'; allowed is true or false"],
])('config file: the value in %s is refused with what is allowed', (line, message) => {
  const error = refusal(`[storage]\n${line}\n`);
  expect(error.code).toBe('INVALID_ARGUMENT');
  expect(error.message).toContain(message);
});

test('config file: a pool of 4 GiB is TOO_LARGE', () => {
  expect(refusal('[storage]\nbuffer_pool_size = "4GB"')).toMatchObject({
    code: 'TOO_LARGE',
    message: expect.stringMatching(/^buffer_pool_size is '4GB'/) as string,
  });
});

test.each([
  ['storage = 5', 'storage is 5; a section [storage] is needed'],
  ['storage = 2020-01-01', 'storage is an object; a section [storage] is needed'],
  ['[[storage]]\nread_only = true', 'storage is an array; a section [storage] is needed'],
])('config file: %j is no section', (text, message) => {
  expect(refusal(text)).toMatchObject({ code: 'INVALID_ARGUMENT', message });
});

test.each([
  ['[storage]\nread_only = yes\n', 'line 2, column 13'],
  ['[storage\n', 'line 1, column '],
  ['[storage]\npage_size = 4096\npage_size = 4096\n', 'line 3, column '],
  ['a = 1\n\nb = "open', 'line 3, column '],
  ['[storage]\npage_size = 99999999999999999999', 'line 2, column '],
  ['<xml/>', 'line 1, column '],
])('config file: impossible TOML is refused with its place: %j', (text, place) => {
  const error = refusal(text);
  expect(error.code).toBe('INVALID_ARGUMENT');
  expect(error.message).toContain(`no TOML: ${place}`);
  expect(error.message).not.toContain('\n');
});

test('config file: what is no text is refused', () => {
  for (const given of [undefined, null, 5, {}, new Uint8Array(3)]) {
    expect(refusal(given)).toMatchObject({ code: 'INVALID_ARGUMENT' });
  }
});

test('config file: any text ends in a configuration or a documented error', () => {
  const words = fc.constantFrom(
    ...'[]{}=",.\n\\#\'_-+:0123456789etinfax\u0000\uD800é',
    '[storage]',
    'page_size',
    '"""',
  );
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.array(words, { maxLength: 60 }).map((some) => some.join('')),
    fc
      .tuple(fc.nat(PROMISED.length), words)
      .map(([at, word]) => PROMISED.slice(0, at) + word + PROMISED.slice(at + 1)),
  );
  let refused = 0;
  const property = fc.property(texts, (text) => {
    try {
      loadConfig(text);
    } catch (error) {
      expect(error, JSON.stringify(text)).toBeInstanceOf(AegisError);
      ++refused;
    }
  });
  fc.assert(property, { seed, numRuns: long ? 100_000 : 2000 });
  expect(refused).toBeGreaterThan(500);
  expect(refusal('['.repeat(100_000)).code).toBe('INVALID_ARGUMENT');
  expect(refusal(`a = ${'['.repeat(100_000)}`).code).toBe('INVALID_ARGUMENT');
});
