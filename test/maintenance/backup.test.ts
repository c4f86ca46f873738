/* Backups of a store that goes on being written: each is one committed state, whole, and a store to go on with. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { LocalBackend } from '../../src/backend/local.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { Progress, StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { Block } from '../../src/index.ts';
import { temporaryFolder } from '../support/place.ts';
import { report } from '../support/report.ts';
import { seed, sized } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';
import { differences, randomOf, WriteLoad } from '../support/write-load.ts';

const BACKUPS = sized(5, 15, 200);
/** The full size takes minutes. */
const FULL = { timeout: 3_600_000 };

async function opened(promise: Promise<StorageEngine>): Promise<StorageEngine> {
  const engine = await promise;
  onTestFinished(() => engine.close().catch(() => undefined));
  return engine;
}

function openCopy(backend: StorageConfig['backend'], config: Partial<StorageConfig> = {}) {
  return opened(StorageEngine.open({ backend, createIfMissing: false, bufferPoolSize: '256KB', ...config }));
}

test(
  'backup: under full write load each copy opens, verifies and equals one committed state',
  FULL,
  async () => {
    const engine = await opened(openSmall(new MemoryBackend()));
    const load = new WriteLoad(engine, { seed, keys: 2500 });
    for (let i = 0; i < 500; ++i) await load.once();
    load.start();
    let bytes = 0;
    let behind = 0;
    for (let i = 0; i < BACKUPS; ++i) {
      const target = new MemoryBackend();
      const before = engine.stats().sequence;
      const made = await engine.backup(target);
      behind += engine.stats().sequence - made.sequence;
      bytes += made.bytes;
      expect(made.sequence).toBeGreaterThanOrEqual(before);
      const copy = await openCopy(target, { walEnabled: i % 2 === 0 });
      expect(copy.stats().sequence).toBe(made.sequence);
      expect(await copy.verify()).toMatchObject({ ok: true, pages: made.pages, records: made.records });
      expect(differences(copy, load.stateAt(made.sequence))).toEqual([]);
      await copy.close();
    }
    await load.stop();
    expect(differences(engine, load.stateAt(engine.stats().sequence))).toEqual([]);
    expect(await engine.verify()).toMatchObject({ ok: true });
    // Otherwise it was no load, and nothing was copied beside it.
    expect(behind).toBeGreaterThan(20 * BACKUPS);
    expect(engine.stats().checkpoints).toBeGreaterThan(2);
    const figures = {
      backups: BACKUPS,
      'not one committed state': 0,
      'commits meanwhile': load.commits,
      'commits while one was made': Math.round(behind / BACKUPS),
      'MiB copied': Math.round(bytes / 2 ** 20),
    };
    report('backup under write load', figures, 'npx vitest run test/maintenance/backup.test.ts');
  },
);

/** A store with a bit of everything: deleted runs, long values, pages that lie in no extent yet. */
async function makeSource(backend: StorageConfig['backend'] = new MemoryBackend(), commits = 120) {
  const engine = await opened(openSmall(backend as MemoryBackend));
  const load = new WriteLoad(engine, { seed: seed + 1, keys: 200 });
  for (let i = 0; i < commits; ++i) await load.once();
  const stateNow = () => load.stateAt(engine.stats().sequence);
  return { engine, load, stateNow };
}

test('backup: a copy in a folder has private files, no log and no gaps, and is opened like any store', async () => {
  const { engine, stateNow } = await makeSource();
  const folder = join(temporaryFolder(), 'deep', 'copy');
  const made = await engine.backup(folder);
  expect(readdirSync(folder).filter((name) => name !== 'lock')).toEqual(['data']);
  const { size, mode } = statSync(join(folder, 'data'));
  expect([size, mode & 0o777, statSync(folder).mode & 0o777]).toEqual([made.bytes, 0o600, 0o700]);
  expect(made.pages).toBe(engine.stats().pages.count);
  const copy = await opened(StorageEngine.open({ backend: 'local', dataDirectory: folder, readOnly: true }));
  expect(differences(copy, stateNow())).toEqual([]);
  expect(copy.stats().data).toMatchObject({ fileSize: made.bytes, freeSize: 0, damagedSlots: 0 });
});

test('backup: of a folder, and from a copy of a copy', async () => {
  const root = temporaryFolder();
  const { engine, stateNow } = await makeSource(new LocalBackend(join(root, 'store')), 60);
  await engine.backup(new LocalBackend(join(root, 'first')));
  const first = await openCopy(new LocalBackend(join(root, 'first')), { readOnly: true });
  const second = new MemoryBackend();
  await first.backup(second);
  expect(differences(await openCopy(second), stateNow())).toEqual([]);
});

test.each([true, false])(
  'backup: a copy is written on, closed and opened again, log on: %s',
  async (walEnabled) => {
    const { engine } = await makeSource();
    const target = new MemoryBackend();
    const { sequence } = await engine.backup(target);
    for (let life = 0; life < 3; ++life) {
      const copy = await openSmall(target, { walEnabled, createIfMissing: false });
      const load = new WriteLoad(copy, { seed: seed + life, keys: 200 });
      for (let i = 0; i < 40; ++i) await load.once();
      expect(copy.stats().sequence).toBe(sequence + 40 * (life + 1));
      if (life === 1) await copy.checkpoint();
      expect(differences(copy, load.stateAt(copy.stats().sequence))).toEqual([]);
      expect(await copy.verify()).toMatchObject({ ok: true });
      // With the log, also after a death: what was acknowledged is there.
      const next = walEnabled ? await opened(openSmall(target.copy())) : undefined;
      if (next) expect(differences(next, load.stateAt(copy.stats().sequence))).toEqual([]);
      await copy.close();
    }
  },
);

test('backup: a store that is open for reading is copied with what its log holds', async () => {
  const place = new MemoryBackend();
  const { stateNow } = await makeSource(place);
  const reader = await opened(StorageEngine.open({ backend: place.copy(), readOnly: true, pageSize: 4096 }));
  const target = new MemoryBackend();
  await reader.backup(target);
  expect(differences(await openCopy(target), stateNow())).toEqual([]);
});

test('backup: a copy of a new store, and of one that was emptied', async () => {
  const engine = await opened(openSmall(new MemoryBackend()));
  for (const records of [0, 400, 0]) {
    for (let i = 0; i < 400; ++i) {
      if (records > 0) engine.putSync(`key ${i}`, 'v'.repeat(500));
      else engine.deleteSync(`key ${i}`);
    }
    const target = new MemoryBackend();
    expect(await engine.backup(target)).toMatchObject({ records });
    expect((await openCopy(target)).count()).toBe(records);
  }
});

test('backup: several at once, each a state of its own', async () => {
  const { engine, load } = await makeSource();
  load.start();
  const targets = Array.from({ length: 4 }, () => new MemoryBackend());
  const made = await Promise.all(targets.map((target) => engine.backup(target)));
  await load.stop();
  for (const [i, target] of targets.entries()) {
    const copy = await openCopy(target);
    expect(differences(copy, load.stateAt(made[i]!.sequence))).toEqual([]);
  }
});

test('backup: keeps nothing of the source when it is over, and lets checkpoints go on while it is made', async () => {
  const { engine, load } = await makeSource();
  const before = engine.stats().checkpoints;
  load.start();
  for (let i = 0; i < 3; ++i) {
    await engine.backup(new MemoryBackend());
    await engine.checkpoint();
  }
  await load.stop();
  expect(engine.stats().checkpoints).toBeGreaterThanOrEqual(before + 3);
  expect(engine.stats().versions).toMatchObject({ openSnapshots: 0, oldestSnapshotAge: 0 });
  await engine.checkpoint();
  expect(engine.stats().versions.count).toBe(0);
});

test('backup: tells how far it is, copying first and verifying then', async () => {
  const told: Progress[] = [];
  const backend = new MemoryBackend();
  const engine = await opened(openSmall(backend, { onProgress: (progress) => void told.push(progress) }));
  for (let i = 0; i < 300; ++i) await engine.put(`key ${i}`, 'v'.repeat(1500));
  told.length = 0;
  const { pages } = await engine.backup(new MemoryBackend());
  const phases = told.map(({ phase }) => phase).filter((phase) => phase !== 'checkpoint');
  expect([...new Set(phases)]).toEqual(['backup', 'verify']);
  for (const phase of ['backup', 'verify']) {
    const own = told.filter((one) => one.phase === phase);
    expect(own.length).toBeGreaterThan(2);
    expect(own.at(-1)).toMatchObject({ done: pages, total: pages });
    expect(own.every(({ done }, i) => done >= (own[i - 1]?.done ?? 0))).toBe(true);
  }
});

test('backup: the place in the log is that of the snapshot, whatever is logged and not yet applied', async () => {
  const { engine, load, stateNow } = await makeSource();
  for (let i = 0; i < 10; ++i) {
    const pending = [load.once(), load.once(), load.once()];
    const target = new MemoryBackend();
    const { sequence } = await engine.backup(target);
    const copy = await openSmall(target);
    expect(differences(copy, load.stateAt(sequence))).toEqual([]);
    expect(await copy.verify()).toMatchObject({ ok: true });
    await Promise.all(pending);
    await copy.close();
  }
  expect(stateNow().size).toBeGreaterThan(0);
});

/** Trees by name, each with its records. */
type Forest = ReadonlyMap<string, ReadonlyMap<string, string>>;

function forestOf(engine: StorageEngine): Forest {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const names = engine.trees();
  return new Map(
    names.map((name) => [
      name,
      new Map([...engine.tree(name).scan()].map(([key, value]) => [text(key), text(value)])),
    ]),
  );
}

test(
  'backup: trees that are made, written across and dropped meanwhile are those of one moment',
  FULL,
  async () => {
    const engine = await opened(openSmall(new MemoryBackend()));
    const random = randomOf(seed + 5);
    const states = new Map<number, Forest>();
    let running = true;
    const forest = new Map<string, Map<string, string>>();
    const note = (): void => {
      const copy = new Map([...forest].map(([name, records]) => [name, new Map(records)]));
      states.set(engine.stats().sequence, copy);
    };
    note();
    const write = async (): Promise<void> => {
      for (let i = 0; running; ++i) {
        if (i % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
        const names = [`tree ${random(12)}`, `tree ${random(12)}`];
        if (random(6) === 0) {
          await engine.dropTree(names[0]!);
          forest.delete(names[0]!);
          note();
          continue;
        }
        const tx = engine.beginTransaction();
        for (const name of names) {
          const records = forest.get(name) ?? new Map<string, string>();
          forest.set(name, records);
          for (let n = 0; n < 3; ++n) {
            const [key, value] = [`key ${random(60)}`, `${i} `.repeat(1 + random(80))];
            tx.tree(name).put(key, value);
            records.set(key, value);
          }
        }
        await tx.commit();
        note();
      }
    };
    // The first copy has no catalog, although one may be there before it is finished.
    const first = new MemoryBackend();
    const early = engine.backup(first);
    const writing = write();
    const targets = [{ backend: first, sequence: (await early).sequence }];
    for (let i = 0; i < sized(3, 10, 100) || states.size < sized(20, 60, 60); ++i) {
      const backend = new MemoryBackend();
      targets.push({ backend, sequence: (await engine.backup(backend)).sequence });
    }
    running = false;
    await writing;
    for (const [i, { backend, sequence }] of targets.entries()) {
      const copy = await openCopy(backend, { walEnabled: i % 2 === 0 });
      expect(forestOf(copy)).toEqual(states.get(sequence));
      expect(await copy.verify()).toMatchObject({ ok: true });
      // Ids go on behind those that were in use.
      await copy.tree('new in the copy').put('key', 'value');
      await copy.dropTree('tree 1');
      expect(copy.trees()).toContain('new in the copy');
      expect(await copy.verify()).toMatchObject({ ok: true });
      await copy.close();
    }
    expect(states.size).toBeGreaterThan(sized(15, 50, 50));
  },
);

test.each(['lz4', 'zstd', 'none'] as const)(
  'backup: of a store with blocks of several codecs, the last one %s',
  async (compression) => {
    const place = new MemoryBackend();
    const records = new Map<string, string>();
    for (const [i, codec] of (['none', 'lz4', 'zstd', compression] as const).entries()) {
      const engine = await openSmall(place, { compression: codec });
      for (let n = 0; n < 200; ++n) {
        records.set(`key ${i} ${n}`, `value ${n} `.repeat(20));
        await engine.put(`key ${i} ${n}`, `value ${n} `.repeat(20));
      }
      if (i === 3) {
        const target = new MemoryBackend();
        await engine.backup(target);
        const copy = await openCopy(target);
        const found = [...copy.scan()].map(([key, value]) => [
          new TextDecoder().decode(key),
          new TextDecoder().decode(value),
        ]);
        expect(new Map(found as [string, string][])).toEqual(records);
      }
      await engine.close();
    }
  },
);

test("backup: users' blocks are in a copy, and ids go on behind those that were given out", async () => {
  const engine = await opened(openSmall(new MemoryBackend()));
  const written = new Map<number, { sequence: number; data: Uint8Array }>();
  let running = true;
  const write = async (): Promise<void> => {
    for (let i = 1; running; ++i) {
      const data = new Uint8Array(1 + ((i * 977) % 9000)).fill(i);
      const id = await engine.writeBlock(new Block(data).withCompression('lz4'));
      written.set(id, { sequence: engine.stats().sequence, data });
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  const writing = write();
  const wrong: number[] = [];
  for (let i = 0; i < 12; ++i) {
    const target = new MemoryBackend();
    const { sequence } = await engine.backup(target);
    const copy = await openCopy(target);
    for (const [id, block] of written) {
      const found = copy.readBlock(id);
      const same = found !== undefined && Buffer.compare(found.data, block.data) === 0;
      if (same !== block.sequence <= sequence) wrong.push(id);
    }
    const highest = Math.max(
      0,
      ...[...written].flatMap(([id, one]) => (one.sequence <= sequence ? [id] : [])),
    );
    expect(await copy.writeBlock(new Block(new Uint8Array(9)))).toBeGreaterThan(highest);
    expect(await copy.verify()).toMatchObject({ ok: true });
    await copy.close();
  }
  running = false;
  await writing;
  expect(wrong).toEqual([]);
  expect(written.size).toBeGreaterThan(10);
});
