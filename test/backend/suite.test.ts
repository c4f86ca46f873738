/*
 * The conformance suite over our backends, and over backends with one promise broken each: a suite that lets one of
 * those pass proves nothing.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { BackendFile, BackendOpenOptions, StorageBackend } from '../../src/backend/backend.ts';
import { LocalBackend } from '../../src/backend/local.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { backendCases, runBackendSuite, SimulatedBackend } from '../../src/testing/index.ts';
import { temporaryFolder } from '../support/place.ts';

const factories: Record<string, () => StorageBackend> = {
  memory: () => new MemoryBackend(),
  local: () => new LocalBackend(join(temporaryFolder(), 'store')),
  simulated: () => new SimulatedBackend(),
};

for (const [name, factory] of Object.entries(factories)) {
  for (const { name: fact, run } of backendCases(factory)) {
    test(`backend suite: ${name}: ${fact.slice('backend: '.length)}`, async () => {
      await expect(run()).resolves.toBeUndefined();
    });
  }
}

test('backend suite: without a framework it runs every case and reports it', async () => {
  const { passed } = await runBackendSuite(factories['memory']!);
  expect(passed).toEqual(backendCases(factories['memory']!).map(({ name }) => name));
});

test('backend suite: with a framework it registers one test a case and runs none', () => {
  const names: string[] = [];
  const factory = () => {
    throw new Error('a case ran');
  };
  runBackendSuite(factory, { test: (name) => names.push(name) });
  expect(names).toEqual(backendCases(factory).map(({ name }) => name));
  expect(new Set(names).size).toBe(names.length);
});

/** A memory backend with some methods of its files replaced. */
function brokenFile(
  change: (file: BackendFile, options: BackendOpenOptions, name: string) => Partial<BackendFile>,
) {
  return () => {
    const backend = new MemoryBackend();
    return brokenBackend(backend, {
      open(name, options) {
        const file = backend.open(name, options);
        const changed = change(file, options, name);
        return new Proxy(file, {
          get: (_, key: keyof BackendFile) => changed[key] ?? bound(file, key),
        });
      },
    });
  };
}

/** A member as if read from the object itself; a wrapper is asked for members that are not there, too. */
function bound<T extends object>(target: T, key: keyof T): unknown {
  const value = target[key];
  return typeof value === 'function' ? value.bind(target) : value;
}

function brokenBackend(backend: MemoryBackend, changed: Partial<StorageBackend>): StorageBackend {
  return new Proxy<StorageBackend>(backend, {
    get: (_, key: keyof StorageBackend) => changed[key] ?? bound<StorageBackend>(backend, key),
  });
}

function brokenPlace(change: (backend: MemoryBackend) => Partial<StorageBackend>) {
  return () => {
    const backend = new MemoryBackend();
    return brokenBackend(backend, change(backend));
  };
}

const faults: readonly (readonly [fault: string, finding: string, factory: () => StorageBackend])[] = [
  [
    'reads stop at 4096 bytes',
    'read of 10000 bytes at 0 was short',
    brokenFile((file) => ({ read: (target, position) => file.read(target.subarray(0, 4096), position) })),
  ],
  [
    'a read says it was whole at the end of the file',
    'a read over the end does not stop there',
    brokenFile((file) => ({
      read: (target, position) => Math.max(target.length, file.read(target, position)),
    })),
  ],
  [
    'only the first part is written',
    'the file: 13 bytes instead of',
    brokenFile((file) => ({ write: (parts, at) => file.write(parts.slice(0, 1), at) })),
  ],
  [
    'the part after an empty one is lost',
    'the file: 13 bytes instead of',
    brokenFile((file) => ({
      write: (parts, at) => {
        const stop = parts.findIndex(({ length }) => length === 0);
        file.write(stop === -1 ? parts : parts.slice(0, stop), at);
      },
    })),
  ],
  [
    'parts beyond 1024 are lost',
    'a write of a great many parts is whole: the file: 3070 bytes instead of 9000',
    brokenFile((file) => ({ write: (parts, at) => file.write(parts.slice(0, 1024), at) })),
  ],
  [
    'positions are cut to 32 bits',
    'positions beyond 4 GiB are exact',
    brokenFile((file) => ({
      write: (parts, at) => file.write(parts, at > 2 ** 53 ? at : at % 2 ** 32),
      read: (target, at) => file.read(target, at > 2 ** 53 ? at : at % 2 ** 32),
    })),
  ],
  [
    'truncate never extends',
    'the file was not extended',
    brokenFile((file) => ({ truncate: (size) => file.truncate(Math.min(size, file.size())) })),
  ],
  ['truncate does nothing', 'the file was not cut', brokenFile(() => ({ truncate: () => undefined }))],
  [
    'a cut shows its old bytes again',
    'truncate cuts, and extends with zeros: the file: byte 70001',
    brokenFile((file) => {
      let shown: number | undefined;
      return {
        size: () => shown ?? file.size(),
        truncate: (size) => {
          if (size < 0 || !Number.isInteger(size)) file.truncate(size);
          shown = size;
          if (size > file.size()) file.truncate(size);
        },
      };
    }),
  ],
  [
    'a file opened for reading can be written',
    'write: no error instead of READ_ONLY',
    brokenPlace((backend) => ({
      open: (name, options) => backend.open(name, { create: options.create }),
    })),
  ],
  [
    'an absent file is made without create',
    'open: no error instead of NOT_FOUND',
    brokenPlace((backend) => ({
      open: (name) => backend.open(name, { create: true }),
    })),
  ],
  [
    'every open makes the file anew',
    'opened with create: 0 bytes',
    brokenPlace((backend) => ({
      open: (name, options) => {
        if (options.create) backend.remove(name);
        return backend.open(name, options);
      },
    })),
  ],
  [
    'a closed file goes on',
    'size: no error instead of CLOSED',
    brokenFile(() => ({ close: () => undefined })),
  ],
  [
    'a second close fails',
    'closed twice',
    brokenFile((file) => {
      let closed = false;
      return {
        close: () => {
          if (closed) throw new AegisError('CLOSED', 'closed twice');
          closed = true;
          file.close();
        },
      };
    }),
  ],
  [
    'what should reject throws',
    'it throws instead of rejecting',
    brokenFile((file) => ({
      sync: () => {
        file.size();
        return file.sync();
      },
    })),
  ],
  [
    'sync never works',
    'one by one and at once: no',
    brokenFile(() => ({ sync: () => Promise.reject(new AegisError('IO_ERROR', 'no')) })),
  ],
  [
    'names are not checked',
    'open "": no error instead of INVALID_ARGUMENT',
    brokenPlace((backend) => ({
      open: (name, options) => backend.open(/^[a-z0-9.-]{1,64}$/.test(name) ? name : 'odd', options),
    })),
  ],
  [
    'removals are refused for absent files',
    'there is no file a',
    brokenPlace((backend) => ({
      remove: (name) => {
        backend.open(name, { create: false }).close();
        backend.remove(name);
      },
    })),
  ],
  [
    'a lock locks nothing',
    'a second writer: no error instead of LOCKED',
    brokenPlace(() => ({ lock: () => ({ release: () => undefined }) })),
  ],
  [
    'readers exclude one another',
    'until the last is released: this MemoryBackend is already open',
    brokenPlace((backend) => ({ lock: () => backend.lock('exclusive') })),
  ],
  [
    'a lock released twice frees the next one',
    'after the first was released again: no error',
    brokenPlace((backend) => {
      let held: { release(): void | Promise<void> } | undefined;
      return {
        lock: (mode) => {
          held = backend.lock(mode);
          return { release: () => held?.release() };
        },
      };
    }),
  ],
  [
    'a lock is never released',
    'until it is released: this MemoryBackend is already open',
    brokenPlace((backend) => ({
      lock: (mode) => {
        backend.lock(mode);
        return { release: () => undefined };
      },
    })),
  ],
  [
    'the list forgets a file',
    'it lists 0,a,a.b-c,wal',
    brokenPlace((backend) => ({ list: () => backend.list().slice(1) })),
  ],
  [
    'the list names a file for every handle',
    'it lists 0,a,a.b-c,data,data',
    brokenPlace((backend) => {
      const opened: string[] = [];
      return {
        open: (name, options) => {
          const file = backend.open(name, options);
          opened.push(name);
          return file;
        },
        list: () => [...new Set(backend.list()), ...opened.slice(backend.list().length)],
      };
    }),
  ],
];

test('backend suite: the wrapper the faults are put into is itself no fault', async () => {
  await expect(runBackendSuite(brokenFile(() => ({})))).resolves.toBeDefined();
});

for (const [fault, finding, factory] of faults) {
  test(`backend suite: a backend is refused when ${fault}`, async () => {
    await expect(runBackendSuite(factory)).rejects.toThrow(finding);
  });
}
