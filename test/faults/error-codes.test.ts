/*
 * The closed set of error codes: each is provoked here through the public API in at least one way, by a method that
 * documents it, and nothing else ever comes out of the methods people call.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { AegisError, type AegisErrorCode } from '../../src/base/errors.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { allCodes, documentedCodes, PUBLIC_CLASSES, type PublicClass } from '../support/documented.ts';
import { temporaryFolder } from '../support/place.ts';
import { Watch } from '../support/watched.ts';

const SMALL = {
  walEnabled: true,
  pageSize: 4096,
  bufferPoolSize: '64KB',
  checkpointWalSize: '512KB',
} as const;

/** What a provocation works with: opens a watched engine; those it opened are closed after it. */
type Open = (config?: Partial<StorageConfig>) => Promise<StorageEngine>;

async function failedSync(open: Open): Promise<{ engine: StorageEngine; unknown: Promise<void> }> {
  const backend = new SimulatedBackend();
  const engine = await open({ ...SMALL, backend });
  // The log has its first file by now.
  await engine.put('before', 'value');
  backend.plan = ({ operation }) => (operation === 'sync' ? { errno: 'EIO' } : undefined);
  return { engine, unknown: engine.put('key', 'value') };
}

/** Puts the bytes of a `data` file in a place. */
function placeWith(bytes: Uint8Array): MemoryBackend {
  const backend = new MemoryBackend();
  backend.open('data', { create: true }).write([bytes], 0);
  return backend;
}

/** How each code is provoked; the type holds the table to all of them. */
const PROVOCATIONS: Readonly<Record<AegisErrorCode, (open: Open) => Promise<unknown>>> = {
  INVALID_ARGUMENT: async (open) => (await open()).get(7 as never),
  TOO_LARGE: async (open) => (await open()).put('k'.repeat(100_000), ''),
  UNSUPPORTED: async (open) => {
    const backend = new SimulatedBackend();
    const engine = await open({ ...SMALL, backend });
    // A place that can be asked for a new log file, and answers later.
    const { syncDirectory } = backend;
    backend.syncDirectory = () => Promise.resolve().then(() => syncDirectory.call(backend));
    for (let n = 0; n < 20; n++) engine.putSync(`key ${n}`, new Uint8Array(200_000));
    return undefined;
  },
  NOT_FOUND: (open) => open({ createIfMissing: false }),
  EXISTS: async (open) => {
    const backend = new MemoryBackend();
    await (await open({ backend })).close();
    return open({ backend, errorIfExists: true });
  },
  NOT_A_STORE: (open) => open({ backend: placeWith(new TextEncoder().encode('somebody else wrote this')) }),
  UNSUPPORTED_VERSION: async (open) => {
    const backend = new MemoryBackend();
    await (await open({ backend })).close();
    const file = backend.open('data', { create: false });
    for (const slot of [0, 4096]) file.write([new Uint8Array([99])], slot + 4);
    return open({ backend });
  },
  LOCKED: async (open) => {
    const place = { backend: 'local', dataDirectory: join(temporaryFolder(), 'store') } as const;
    await open(place);
    return open(place);
  },
  CLOSED: async (open) => {
    const engine = await open();
    await engine.close();
    return engine.get('key');
  },
  READ_ONLY: async (open) => {
    const backend = new MemoryBackend();
    await (await open({ backend })).close();
    return (await open({ backend, readOnly: true })).put('key', 'value');
  },
  TRANSACTION_FINISHED: async (open) => {
    const tx = (await open()).beginTransaction();
    tx.abort();
    return tx.get('key');
  },
  CONFLICT: async (open) => {
    const engine = await open();
    const tx = engine.beginTransaction();
    tx.put('key', 'mine');
    await engine.put('key', 'theirs');
    return tx.commit();
  },
  CORRUPTION: async (open) => {
    const backend = new SimulatedBackend();
    const engine = await open({ ...SMALL, backend });
    await engine.put('key', 'value');
    await engine.close();
    const { length } = backend.files().get('data')!;
    for (let at = 8192; at < length; at += 512) backend.rot('data', 8 * (at + 30));
    return (await open({ ...SMALL, backend })).get('key');
  },
  OUT_OF_SPACE: async (open) => {
    const backend = new SimulatedBackend();
    const engine = await open({ ...SMALL, backend });
    backend.capacity = 0;
    return engine.put('key', 'x'.repeat(3_000_000));
  },
  IO_ERROR: async (open) => {
    const backend = new SimulatedBackend();
    const engine = await open({ ...SMALL, backend });
    backend.plan = ({ operation }) => (operation === 'size' ? { errno: 'EIO' } : undefined);
    return engine.stats();
  },
  STORE_FAILED: async (open) => {
    const { engine, unknown } = await failedSync(open);
    await unknown.catch(() => undefined);
    return engine.put('key', 'value');
  },
  COMMIT_UNKNOWN: async (open) => (await failedSync(open)).unknown,
};

/** Runs a provocation behind glass; answers what came out and what was breached. */
async function provoke(code: AegisErrorCode): Promise<{ error: unknown; breaches: string[] }> {
  const watch = new Watch();
  const opened: StorageEngine[] = [];
  const open: Open = async (config = {}) => {
    const engine = await watch.open(config);
    opened.push(engine);
    return engine;
  };
  let error: unknown;
  try {
    error = await PROVOCATIONS[code](open);
  } catch (cause) {
    error = cause;
  }
  for (const engine of opened) await engine.close().catch(() => undefined);
  // Here something is damaged.
  const breaches = watch.breaches.filter(
    (breach) => !(code === 'CORRUPTION' && breach.includes('nothing was')),
  );
  return { error, breaches };
}

test('error codes: the table holds every code there is', () => {
  expect(Object.keys(PROVOCATIONS).sort()).toEqual(allCodes().sort());
  expect(allCodes().length).toBeGreaterThan(15);
});

test.each(allCodes())('error codes: %s is provoked, and documented where it comes out', async (code) => {
  const { error, breaches } = await provoke(code);
  expect(error).toBeInstanceOf(AegisError);
  expect(error).toMatchObject({ name: 'AegisError', code, retryable: code === 'CONFLICT' });
  expect((error as AegisError).message).toMatch(/^\S.{7,}/);
  expect(breaches).toEqual([]);
});

test('error codes: every code is documented by some method, and every public method says what it throws', () => {
  const documented = new Set<AegisErrorCode>();
  const silent: string[] = [];
  for (const name of Object.keys(PUBLIC_CLASSES) as PublicClass[]) {
    for (const [method, codes] of documentedCodes(name)) {
      for (const code of codes) documented.add(code);
      if (codes.size === 0) silent.push(`${name}.${method}`);
    }
  }
  expect([...documented].sort()).toEqual(allCodes().sort());
  // What hands itself out has nothing to refuse.
  expect(silent.filter((name) => !/constructor|Symbol.iterator/.test(name))).toEqual([]);
});

test('error codes: every method says that code which the engine has called cannot call it, but for those that it can', () => {
  const silent = (Object.keys(PUBLIC_CLASSES) as PublicClass[]).flatMap((name) =>
    [...documentedCodes(name)]
      .filter(([method, codes]) => method !== 'constructor' && !codes.has('UNSUPPORTED'))
      .map(([method]) => `${name}.${method}`),
  );
  expect(silent.sort()).toEqual([
    'Scan.[Symbol.iterator]',
    'StorageEngine.[Symbol.asyncDispose]',
    'StorageEngine.close',
    'StorageEngine.stats',
  ]);
});

test('error codes: the watch notes an error of another class, an undocumented code and one without evidence', () => {
  const watch = new Watch();
  watch.note('StorageEngine', 'put', new TypeError('x is undefined'));
  watch.note('StorageEngine', 'stats', new AegisError('CONFLICT', 'not here'));
  watch.note('StorageEngine', 'put', new AegisError('IO_ERROR', 'without errno'));
  watch.note('StorageEngine', 'put', new AegisError('MADE_UP' as AegisErrorCode, 'no such code'));
  watch.note(
    'StorageEngine',
    'put',
    new AegisError('IO_ERROR', 'whole', { errno: 'EIO', operation: 'write' }),
  );
  expect(watch.breaches.map((breach) => breach.slice(0, 60))).toEqual([
    expect.stringContaining('not an AegisError'),
    expect.stringContaining('CONFLICT is not documented'),
    expect.stringContaining('without errno'),
    expect.stringContaining('an unknown code'),
    expect.stringContaining('MADE_UP is not documented'),
  ]);
});
