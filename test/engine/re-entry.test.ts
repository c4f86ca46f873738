/*
 * Code of the program's that runs in the middle of a call, codecs and backends, and calls the engine from there: it is
 * refused, whatever is asked, and the call that is under way goes on as if nothing had been.
 */
import { afterEach, expect, test } from 'vitest';
import type { BackendFile, StorageBackend } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { Codec } from '../../src/codec/codec.ts';
import { lz4Wasm } from '../../src/codec/lz4-wasm.ts';
import { loadZstd } from '../../src/codec/zstd.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { refused } from '../support/refused.ts';
import { openSmall } from '../support/small-store.ts';
import { COUNT, fill, holdAll, keyOf, Nosy, nosyBackend, nosyCodec, textOf, work } from './re-entry-kit.ts';

let open: StorageEngine[] = [];
afterEach(async () => {
  const engines = open.reverse();
  open = [];
  for (const engine of engines) await engine.close();
});

/** Works on a store, with all its calls tried from within; then opens it again and looks whether all is well. */
async function expectSound(nosy: Nosy, below: StorageBackend, config: Partial<StorageConfig>): Promise<void> {
  const engine = await openSmall(below, config);
  open.push(engine);
  await fill(engine);
  await engine.checkpoint();
  nosy.held = holdAll(engine);
  await work(engine);
  await nosy.expectRefused();
  await engine.close();
  const again = await openSmall(below, config);
  open.push(again);
  await work(again);
}

const zstd = await loadZstd();

test.each([
  { compression: 'lz4', codec: lz4Wasm },
  { compression: 'zstd', codec: zstd },
] as const)(
  're-entry: a codec of $compression that calls the engine is refused, and nothing is wrong',
  async (one) => {
    const nosy = new Nosy();
    const codecs = { [one.compression]: nosyCodec(nosy, one.codec) };
    await expectSound(nosy, new MemoryBackend(), { compression: one.compression, codecs });
    expect([...nosy.places].sort()).toEqual(['compress', 'compressed', 'decompress', 'decompressed']);
  },
);

test('re-entry: a backend that calls the engine is refused, and nothing is wrong', async () => {
  const nosy = new Nosy();
  await expectSound(nosy, nosyBackend(nosy), { compression: 'lz4' });
  expect([...nosy.places]).toEqual(expect.arrayContaining(['read', 'write', 'sync', 'syncSync']));
});

test('re-entry: the backend that a copy goes to cannot call the engine that is copied', async () => {
  const engine = await openSmall(new MemoryBackend());
  open.push(engine);
  await fill(engine);
  const nosy = new Nosy();
  nosy.held = holdAll(engine);
  const copy = nosyBackend(nosy);
  await engine.backup(copy);
  await nosy.expectRefused();
  await work(engine);
  const opened = await openSmall(copy);
  open.push(opened);
  await work(opened);
});

test.each(['read', 'write', 'sync', 'decompress'])(
  're-entry: a store that is closed from within a %s ends what it is at, and closes then',
  async (place) => {
    const nosy = new Nosy();
    const backend = nosyBackend(nosy);
    const config = { compression: 'lz4', codecs: { lz4: nosyCodec(nosy, lz4Wasm) } } as const;
    const engine = await openSmall(backend, config);
    await fill(engine);
    await engine.checkpoint();
    let closing: Promise<void> | undefined;
    nosy.visit = (where) => {
      if (where === place) closing ??= engine.close();
    };
    const wrong: string[] = [];
    const putting = engine.put('last', 'one');
    for (let n = 0; n < COUNT && !closing; n += 5)
      if (engine.getString(keyOf(n)) !== textOf(n)) wrong.push(keyOf(n));
    await putting;
    await closing;
    expect([closing !== undefined, wrong]).toEqual([true, []]);
    expect(() => engine.get('last')).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    const again = await openSmall(backend, config);
    open.push(again);
    expect(again.getString('last')).toBe('one');
    await work(again);
  },
);

test('re-entry: what a backend does after a promise of its own is a call like any other', async () => {
  const below = new MemoryBackend();
  let engine: StorageEngine | undefined;
  let seen: (string | undefined)[] | undefined;
  const wait = async (): Promise<void> => {
    await undefined;
    if (seen) seen.push(engine?.getString('key'));
  };
  const open = (...given: Parameters<MemoryBackend['open']>): BackendFile => {
    const file = below.open(...given);
    return Object.assign(Object.create(file) as BackendFile, {
      size: () => file.size(),
      read: (target: Uint8Array, position: number) => file.read(target, position),
      write: (parts: readonly Uint8Array[], position: number) => file.write(parts, position),
      truncate: (size: number) => file.truncate(size),
      close: () => file.close(),
      syncSync: () => file.syncSync(),
      sync: async () => {
        await wait();
        await file.sync();
      },
    });
  };
  const backend = Object.assign(new MemoryBackend(), {
    open,
    list: () => below.list(),
    remove: (name: string) => below.remove(name),
  });
  engine = await openSmall(backend);
  await engine.put('key', 'value');
  seen = [];
  await engine.put('key', 'later');
  expect(seen).toEqual(['value']);
  seen = undefined;
  await engine.close();
});

test('re-entry: a backend may keep what it has in another store', async () => {
  const outer = await openSmall(new MemoryBackend());
  open.push(outer);
  let calls = 0;
  const nosy = new Nosy();
  nosy.visit = (place) => {
    outer.putSync('last call', place);
    if (outer.getString('last call') === place) ++calls;
  };
  const inner = await openSmall(nosyBackend(nosy));
  open.push(inner);
  await fill(inner);
  await work(inner);
  expect(calls).toBeGreaterThan(100);
});

test('re-entry: keys that a list looks up when it is asked for them may read the store', async () => {
  const engine = await openSmall(new MemoryBackend());
  open.push(engine);
  await fill(engine);
  const keys = Array.from({ length: 40 }, (_, n) => keyOf(n));
  const asking = new Proxy(keys, {
    get: (list, name) => {
      engine.getMany(keys.slice(20));
      return Reflect.get(list, name) as unknown;
    },
  });
  const texts = engine.getMany(asking).map((value) => new TextDecoder().decode(value));
  expect(texts).toEqual(keys.map((_, n) => textOf(n)));
});

test.each(['commit', 'commitSync'] as const)(
  're-entry: options of a %s that end the transaction while they are looked at',
  async (outer) => {
    const engine = await openSmall(new MemoryBackend());
    open.push(engine);
    for (const inner of ['abort', 'commit', 'commitSync'] as const) {
      const tx = engine.beginTransaction();
      tx.put(inner, 'x'.repeat(9000));
      let ended: unknown;
      const options = {
        get sync() {
          ended ??= tx[inner]() ?? 'done';
          return true;
        },
      };
      const error = await refused('TRANSACTION_FINISHED', async () => tx[outer](options));
      await ended;
      // What came of it is what the inner call has made of it.
      expect([tx.state, engine.has(inner), error.message]).toEqual(
        inner === 'abort'
          ? ['aborted', false, 'the transaction is aborted']
          : ['committed', true, `the transaction is ${inner === 'commit' ? 'committing' : 'committed'}`],
      );
    }
    expect((await engine.verify()).problems).toEqual([]);
  },
);

// --- memory -----------------------------------------------------------------------------------------------------

/** What a codec does with the memory that it is given, besides its work. */
const misdeeds: Record<string, (bytes: Uint8Array) => void> = {
  'writes over all memory it can reach': (bytes) => new Uint8Array(bytes.buffer).fill(0xee),
  'transfers it away': (bytes) => void structuredClone(bytes, { transfer: [bytes.buffer] }),
  'keeps it, and writes on it later': (bytes) =>
    void setImmediate(() => new Uint8Array(bytes.buffer).fill(0xee)),
};

test.each(
  Object.keys(misdeeds).flatMap((deed) => (['lz4', 'zstd'] as const).map((kind) => ({ deed, kind }))),
)('re-entry: a codec of $kind that $deed harms nothing but its own answer', async ({ deed, kind }) => {
  const sound = kind === 'lz4' ? lz4Wasm : zstd;
  let calls = 0;
  let reach = 0;
  let isBad = false;
  const spoil = (bytes: Uint8Array): void => {
    ++calls;
    reach = Math.max(reach, bytes.buffer.byteLength);
    if (isBad) misdeeds[deed]?.(bytes);
  };
  const codec: Codec = {
    compress(source, target, level) {
      const size = sound.compress(source, target, level);
      spoil(source);
      if (deed !== 'writes over all memory it can reach') spoil(target);
      return size;
    },
    decompress(source, target) {
      const size = sound.decompress(source, target);
      spoil(source);
      return size;
    },
  };
  const backend = new MemoryBackend();
  const config = { compression: kind, codecs: { [kind]: codec } };
  const engine = await openSmall(backend, config);
  open.push(engine);
  isBad = true;
  await fill(engine);
  await engine.checkpoint();
  await work(engine);
  await engine.close();
  expect(calls).toBeGreaterThan(20);
  expect(reach).toBeLessThanOrEqual(4096);
  const again = await openSmall(backend, { compression: kind });
  open.push(again);
  await work(again);
});
