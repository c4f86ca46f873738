/*
 * A reader that stays: a snapshot, a scan half read or a transaction is held while one value is overwritten again and
 * again. It keeps the pages it sees and nothing of what came and went since; so the files stay small, it reads the old
 * state to the byte, and the space is used again.
 *
 * The control holds a snapshot for every overwrite, so that all of them have to be kept: the same measure must see it.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { randomFrom } from '../support/codec-data.ts';
import { temporaryFolder } from '../support/place.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';

const OVERWRITES = sized(120, 300, 300);
const VALUE_SIZE = 100 * 1024;
/** Log limits: a small one, that many checkpoints come, and the default. */
const LOG_LIMITS = [1, 64] as const; // MiB
const BEYOND_MAX = 8 * 2 ** 20;

interface Place {
  readonly config: Partial<StorageConfig>;
  /** Bytes of all files. */
  size(): number;
}

function memoryPlace(): Place {
  const backend = new MemoryBackend();
  const sizeOf = (name: string): number => backend.open(name, { create: false, readOnly: true }).size();
  return { config: { backend }, size: () => backend.list().reduce((sum, name) => sum + sizeOf(name), 0) };
}

function localPlace(): Place {
  const folder = temporaryFolder();
  const sizeOf = (name: string): number => statSync(join(folder, name)).size;
  return {
    config: { backend: 'local', dataDirectory: folder },
    size: () => readdirSync(folder).reduce((sum, name) => sum + sizeOf(name), 0),
  };
}

const random = randomFrom(seed);

/** Bytes that do not compress, of which every value is a piece. */
const noise = new Uint8Array(Uint32Array.from({ length: 2 ** 18 }, () => random(2 ** 32)).buffer);

function newValue(size = VALUE_SIZE): Uint8Array {
  const begin = random(noise.length - size);
  return noise.slice(begin, begin + size);
}

type State = Map<string, Uint8Array>;

/** Begins to read; the answer reads all there is as of then, and ends. */
type Holder = (engine: StorageEngine) => () => State;

function stateOf(entries: Iterable<[Uint8Array, Uint8Array]>): State {
  return new Map([...entries].map(([key, value]) => [new TextDecoder().decode(key), value]));
}

const HOLDERS: Record<string, Holder> = {
  'a snapshot': (engine) => {
    const snapshot = engine.snapshot();
    return () => {
      const state = stateOf(snapshot.scan());
      snapshot.close();
      return state;
    };
  },
  'a scan half read': (engine) => {
    const scan = engine.scan();
    const first = [scan.next(), scan.next()].map(({ value }) => value as [Uint8Array, Uint8Array]);
    return () => stateOf([...first, ...scan]);
  },
  'a serializable transaction': (engine) => {
    const tx = engine.beginTransaction({ isolation: 'serializable' });
    tx.count({ prefix: 'key' });
    return () => {
      const state = stateOf(tx.scan());
      tx.abort();
      return state;
    };
  },
};

async function openIn(place: Place, logLimit: number): Promise<StorageEngine> {
  const engine = await StorageEngine.open({
    ...place.config,
    walEnabled: true,
    syncOnCommit: false,
    checkpointWalSize: logLimit * 2 ** 20,
  });
  onTestFinished(() => engine.close());
  return engine;
}

/** Overwrites the long value; answers the most bytes that the files had. */
async function overwrite(engine: StorageEngine, place: Place, each?: () => void): Promise<number> {
  let most = 0;
  for (let i = 0; i < OVERWRITES; i++) {
    await engine.put('key 5', newValue());
    each?.();
    most = Math.max(most, place.size());
  }
  return most;
}

async function begin(place: Place, logLimit: number): Promise<{ engine: StorageEngine; state: State }> {
  const engine = await openIn(place, logLimit);
  const state: State = new Map();
  for (let i = 0; i < 10; i++) state.set(`key ${i}`, newValue(i === 5 ? VALUE_SIZE : 50));
  for (const [key, value] of state) await engine.put(key, value);
  return { engine, state };
}

let most = 0;
let rounds = 0;
let control = 0;

for (const [name, make] of [
  ['memory', memoryPlace],
  ['local', localPlace],
] as const) {
  for (const logLimit of LOG_LIMITS) {
    const isShort = !long && logLimit !== LOG_LIMITS[0];
    test.each(Object.entries(HOLDERS).slice(0, isShort ? 1 : undefined))(
      `long reader: %s keeps what it sees and no more, ${name}, log limit ${logLimit} MiB`,
      async (_who, hold) => {
        const place = make();
        const { engine, state } = await begin(place, logLimit);
        const grown: number[] = [];
        for (let round = 0; round < 2; round++) {
          const read = hold(engine);
          grown.push(await overwrite(engine, place));
          expect(engine.stats().versions.oldestSnapshotAge).toBe(OVERWRITES);
          expect(read()).toEqual(state);
          expect(engine.stats().versions.openSnapshots).toBe(0);
          state.set('key 5', engine.get('key 5')!);
        }
        const [first, second] = grown as [number, number];
        const limit = logLimit * 2 ** 20;
        expect(first - limit).toBeLessThanOrEqual(BEYOND_MAX);
        expect(second - limit).toBeLessThanOrEqual(BEYOND_MAX);
        // What the first round left serves the second one, which writes 30 MiB: the files differ by what the log and
        // its checkpoint were ahead or behind. (With the default the log has not turned over once yet.)
        if (logLimit === LOG_LIMITS[0]) expect(second - first).toBeLessThanOrEqual(2 * limit);
        most = Math.max(most, ...grown.map((bytes) => bytes - limit));
        rounds += grown.length;
        expect((await engine.verify()).problems).toEqual([]);
        await engine.close();
        const again = await openIn(place, logLimit);
        expect(stateOf(again.scan())).toEqual(state);
        expect((await again.verify()).problems).toEqual([]);
        await again.close();
      },
    );
  }

  test(`long reader: control: a snapshot for every overwrite is seen to grow the files, ${name}`, async () => {
    const place = make();
    const { engine } = await begin(place, LOG_LIMITS[0]);
    const bytes = await overwrite(engine, place, () => void engine.snapshot());
    expect(bytes - LOG_LIMITS[0] * 2 ** 20).toBeGreaterThan(BEYOND_MAX);
    control = Math.max(control, bytes);
  });
}

test('long reader: figures', () => {
  const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  expect(most).toBeLessThanOrEqual(BEYOND_MAX);
  expect(rounds).toBeGreaterThan(0);
  report(
    'long reader',
    {
      [`rounds of ${OVERWRITES} x 100 KiB`]: rounds,
      'MiB beyond the log limit at most': mebibytes(most),
      'MiB when every state is held (control)': mebibytes(control),
    },
    'npx vitest run test/engine/long-reader.test.ts',
  );
});
