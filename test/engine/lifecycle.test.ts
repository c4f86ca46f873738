/*
 * A store's life: it is made, closed and opened again, with the log and without, and interrupted at every single call
 * to its backend in the middle of its creation, its recovery, its checkpoints and its change from one mode to the
 * other. Whoever opens it next finds a store, and in it everything that was acknowledged.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { deadFrom, FaultyBackend } from '../support/faults.ts';
import { backendOf, type Files, filesOf, sameFiles } from '../support/files.ts';
import { temporaryFolder } from '../support/place.ts';
import { long, seed, sized } from '../support/seed.ts';

const SMALL = { pageSize: 4096, bufferPoolSize: '128KB', checkpointWalSize: '512KB' } as const;

function open(config: Partial<StorageConfig>): Promise<StorageEngine> {
  return StorageEngine.open({ ...SMALL, walEnabled: true, ...config });
}

/** A history of commits: number n sets a counter, its own key, and one that others set too. */
class History {
  /** Commits that were answered. */
  acknowledged = 0;
  /** Commits that were begun. */
  begun = 0;

  async write(engine: StorageEngine, count: number): Promise<void> {
    for (; count > 0; count--) {
      const n = ++this.begun;
      await engine.batch(History.#keysOf(n).map((key) => ({ type: 'put', key, value: History.#valueOf(n) })));
      this.acknowledged = n;
    }
  }

  /** The commit that a store ends with, all of it and all before it there. */
  static check(engine: StorageEngine): number {
    const last = Number(engine.getString('counter') ?? 0);
    const expected = new Map<string, string>();
    for (let n = 1; n <= last; n++) {
      for (const key of History.#keysOf(n)) expected.set(key, History.#valueOf(n));
    }
    const found = [...engine.scan()].map((entry) => entry.map((bytes) => Buffer.from(bytes).toString()));
    expect(new Map(found as [string, string][])).toEqual(expected);
    return last;
  }

  static #keysOf(n: number): string[] {
    return ['counter', `own ${n}`, `shared ${n % 7}`];
  }

  static #valueOf(n: number): string {
    return n % 5 === 0 ? `${n}`.padEnd(3000, ' ') : `${n}`;
  }
}

/** Opens files as another process would, checks them, writes on and closes; answers the last commit found. */
async function checkFiles(files: Files, config: Partial<StorageConfig> = {}): Promise<number> {
  const backend = backendOf(files);
  const engine = await open({ backend, ...config });
  const last = History.check(engine);
  expect(await engine.verify()).toMatchObject({ ok: true });
  await engine.put('more', 'x');
  await engine.close();
  const again = await open({ backend, ...config });
  expect(again.getString('more')).toBe('x');
  await again.delete('more');
  expect(History.check(again)).toBe(last);
  await again.close();
  return last;
}

/** A death comes at one call in so many. */
const STEP = sized(5, 1, 1);

/** Runs work that dies at its first call, a later one, the next … until it gets through; checks what each left. */
async function dieEverywhere(
  start: Files,
  work: (backend: FaultyBackend, history: History) => Promise<void>,
  {
    from = new History(),
    config = {} as Partial<StorageConfig>,
    durable = (history: History) => history.acknowledged,
  } = {},
): Promise<number> {
  for (let number = 1 + (seed % STEP); ; number += STEP) {
    // A write on which it dies may have been begun.
    const ways = long ? [false, true] : [(number + seed) % 2 === 0];
    for (const torn of ways) {
      const backend = new FaultyBackend(start);
      const history = Object.assign(new History(), from);
      backend.plan = deadFrom(number, torn);
      const death = await work(backend, history).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (death !== undefined && !(death instanceof AegisError)) throw death;
      try {
        const last = await checkFiles(backend.files, config);
        expect(last).toBeGreaterThanOrEqual(durable(history));
        expect(last).toBeLessThanOrEqual(history.begun);
      } catch (cause) {
        throw new Error(`SEED=${seed}, after death at ${JSON.stringify(backend.calls[number - 1])}`, {
          cause,
        });
      }
      if (backend.hasFailed) continue;
      expect(death).toBeUndefined();
      return number;
    }
  }
}

/** A store that died with so many commits in its log, and its history. */
async function makeLive(config: Partial<StorageConfig> = {}): Promise<{ files: Files; history: History }> {
  const backend = new MemoryBackend();
  const history = new History();
  const engine = await open({ backend, ...config });
  await history.write(engine, 12);
  await engine.checkpoint();
  await history.write(engine, 12);
  const files = filesOf(backend);
  await engine.close();
  return { files, history };
}

describe.each(['memory', 'local'] as const)('on %s', (where) => {
  test.each([true, false])(
    `lifecycle: what was written is there after closing (${where}, log %s)`,
    async (walEnabled) => {
      const place =
        where === 'memory'
          ? { backend: new MemoryBackend() }
          : { backend: where, dataDirectory: join(temporaryFolder(), 'store') };
      const history = new History();
      for (let life = 0; life < 5; life++) {
        const engine = await open({ ...place, walEnabled });
        expect(History.check(engine)).toBe(history.acknowledged);
        expect(engine.stats().log.enabled).toBe(walEnabled);
        await history.write(engine, 30);
        if (life === 2) await engine.checkpoint();
        await engine.close();
      }
      const reader = await open({ ...place, readOnly: true });
      expect(History.check(reader)).toBe(150);
      await reader.close();
    },
  );

  test(`lifecycle: an empty store closed at once is one (${where})`, async () => {
    const place =
      where === 'memory'
        ? { backend: new MemoryBackend() }
        : { backend: where, dataDirectory: join(temporaryFolder(), 'store') };
    for (let life = 0; life < 3; life++) await (await open(place)).close();
    const reader = await open({ ...place, readOnly: true, errorIfExists: false });
    expect(reader.count()).toBe(0);
    expect(await reader.verify()).toMatchObject({ ok: true });
    await reader.close();
  });
});

test.each([true, false])(
  'lifecycle: a creation that dies at any call leaves nothing or a store (log %s)',
  async (walEnabled) => {
    await dieEverywhere(
      new Map(),
      async (backend, history) => {
        const engine = await open({ backend, walEnabled });
        await history.write(engine, 3);
        await engine.close();
      },
      { config: { walEnabled }, durable: (history) => (walEnabled ? history.acknowledged : 0) },
    );
  },
);

test('lifecycle: a recovery that dies at any call loses nothing', async () => {
  const { files, history } = await makeLive();
  const calls = await dieEverywhere(
    files,
    async (backend) => {
      const engine = await open({ backend });
      expect(History.check(engine)).toBe(24);
      // The first checkpoint after a recovery runs in the background.
      await engine.checkpoint();
      await engine.close();
    },
    { from: history },
  );
  expect(calls).toBeGreaterThan(30);
});

test('lifecycle: a recovery that dies inside a recovery that died loses nothing', async () => {
  const { files } = await makeLive();
  const step = sized(17, 7, 1);
  for (let first = 1; first < 60; first += step) {
    const backend = new FaultyBackend(files);
    backend.plan = deadFrom(first, first % 2 === 0);
    await open({ backend })
      .then((engine) => engine.close())
      .catch(() => undefined);
    for (let second = 1; second < 60; second += step) {
      const again = new FaultyBackend(backend.files);
      again.plan = deadFrom(second, second % 2 === 0);
      await open({ backend: again })
        .then((engine) => engine.close())
        .catch(() => undefined);
      expect(await checkFiles(again.files), `calls ${first} and ${second}`).toBe(24);
    }
  }
});

test('lifecycle: a store that was read-only opened and died is as it was', async () => {
  const { files } = await makeLive();
  for (let number = 1; ; number++) {
    const backend = new FaultyBackend(files);
    backend.plan = deadFrom(number);
    await open({ backend, readOnly: true })
      .then((engine) => engine.close())
      .catch(() => undefined);
    expect(sameFiles(backend.files, files)).toBe(true);
    if (!backend.hasFailed) break;
  }
  expect(await checkFiles(files)).toBe(24);
});

test('lifecycle: checkpoints that die at any call lose nothing', async () => {
  const { files, history } = await makeLive();
  const closed = backendOf(files);
  await (await open({ backend: closed })).close();
  const calls = await dieEverywhere(
    filesOf(closed),
    async (backend, ongoing) => {
      const engine = await open({ backend });
      for (let round = 0; round < 3; round++) {
        await ongoing.write(engine, 6);
        const checkpoint = engine.checkpoint();
        checkpoint.catch(() => undefined);
        await ongoing.write(engine, 3);
        await checkpoint;
      }
      await engine.close();
    },
    { from: history },
  );
  expect(calls).toBeGreaterThan(100);
});

test('lifecycle: recovering twice is recovering once', async () => {
  const { files } = await makeLive();
  const states = [];
  let left = files;
  for (let round = 0; round < 3; round++) {
    const backend = backendOf(left);
    const engine = await open({ backend });
    states.push([...engine.scan()].map((entry) => entry.map(String)));
    // Dies with the checkpoint of the recovery finished or not.
    left = filesOf(backend);
    await engine.close();
  }
  expect(states[0]!.length).toBeGreaterThan(24);
  expect(states[1]).toEqual(states[0]);
  expect(states[2]).toEqual(states[0]);
});

test('lifecycle: a store goes from a log to none and back, and keeps what it has', async () => {
  const backend = new MemoryBackend();
  const history = new History();
  for (const walEnabled of [false, true, false, false, true, true, false, true]) {
    const engine = await open({ backend, walEnabled });
    expect(History.check(engine)).toBe(history.acknowledged);
    await history.write(engine, 25);
    const hasLog = () => backend.list().some((name) => name.startsWith('log-'));
    expect(hasLog()).toBe(walEnabled);
    await engine.close();
    expect(hasLog()).toBe(false);
  }
});

test('lifecycle: a store that goes from a log to none dies at any call and loses nothing of the log', async () => {
  // A log that has come round: none of its files begins where logs begin.
  const { files, history } = await makeLive();
  const backend = backendOf(files);
  const engine = await open({ backend });
  await engine.put('long', 'x'.repeat(400_000));
  await engine.checkpoint();
  await engine.put('long', 'x'.repeat(400_000));
  await engine.delete('long');
  await engine.checkpoint();
  await history.write(engine, 5);
  const live = filesOf(backend);
  await engine.close();
  for (const walEnabled of [true, false]) {
    await dieEverywhere(
      live,
      async (faulty, ongoing) => {
        const without = await open({ backend: faulty, walEnabled: false });
        await ongoing.write(without, 3);
        await without.close();
        const again = await open({ backend: faulty });
        await ongoing.write(again, 2);
        await again.close();
      },
      { from: history, config: { walEnabled }, durable: () => 29 },
    );
  }
});
