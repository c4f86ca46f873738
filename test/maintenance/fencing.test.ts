/*
 * Fencing: what happens when the lock did not hold, as on a file system that pretends to lock. Two engines have one
 * store; the older one finds the newer one's fence in the superblock before it writes over anything the newer one
 * relies on, and stops with STORE_FAILED.
 *
 * The control takes the older one's sight: its reads of the superblock answer what it wrote there itself. Then the
 * newer one's commits must be seen to vanish, or these tests would prove nothing.
 */
import { expect, onTestFinished, test } from 'vitest';
import type { BackendFile, StorageBackend } from '../../src/backend/backend.ts';
import { LocalBackend } from '../../src/backend/local.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { SLOT_POSITIONS } from '../../src/store/superblock.ts';
import { temporaryFolder } from '../support/place.ts';
import { refused, rejected } from '../support/refused.ts';
import { report } from '../support/report.ts';

const COMMITS = 200;
/** Syncs of the data file in a checkpoint: of its blocks, of the first slot, of the second. */
const SYNCS = [1, 2, 3];

const PLACES: [name: string, make: () => StorageBackend][] = [
  ['memory', () => new MemoryBackend()],
  ['local', () => new LocalBackend(temporaryFolder())],
];

/** What a test does to one opener's view of the place. */
interface View {
  /** Runs before each sync of the data file, with the number of the sync since it was set. */
  beforeSync?: ((count: number) => Promise<void>) | undefined;
  /** Reads of the superblock answer what this opener wrote there. */
  blind?: boolean;
}

const counts = { openers: 0, stopped: 0, 'controls seen to lose': 0 };

/** A backend whose lock always succeeds, with one opener's view of it. */
function unlocked(place: StorageBackend, view: View = {}): StorageBackend {
  return {
    name: place.name,
    open: async (name, options) => {
      const file = await place.open(name, options);
      return name === 'data' ? viewed(file, view) : file;
    },
    list: () => place.list(),
    remove: (name) => place.remove(name),
    syncDirectory: () => place.syncDirectory(),
    lock: () => ({ release: () => undefined }),
  };
}

function viewed(file: BackendFile, view: View): BackendFile {
  const written = new Map<number, Uint8Array>();
  let syncs = 0;
  return {
    size: () => file.size(),
    read: (target, position) => {
      const own = view.blind && target.length === 512 ? written.get(position) : undefined;
      if (own === undefined) return file.read(target, position);
      target.set(own);
      return own.length;
    },
    write: (parts, position) => {
      if ((SLOT_POSITIONS as readonly number[]).includes(position)) written.set(position, parts[0]!.slice());
      file.write(parts, position);
    },
    sync: async () => {
      await file.sync();
      if (view.beforeSync) await view.beforeSync(++syncs);
      else syncs = 0;
    },
    syncSync: () => file.syncSync(),
    truncate: (size) => file.truncate(size),
    close: () => file.close(),
  };
}

async function open(backend: StorageBackend, more: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const engine = await StorageEngine.open({ backend, pageSize: 4096, walEnabled: true, ...more });
  onTestFinished(() => engine.close().catch(() => undefined));
  counts.openers++;
  return engine;
}

async function fill(engine: StorageEngine, name: string): Promise<void> {
  const keys = Array.from({ length: COMMITS }, (_, i) => `${name} ${i}`);
  await Promise.all(keys.map((key) => engine.put(key, `${name} `.repeat(60))));
}

/** Everything the newer writer was answered, and what was there before it came, is in the place. */
async function expectWhole(place: StorageBackend, ...names: readonly string[]): Promise<void> {
  const engine = await open(unlocked(place));
  expect((await engine.verify()).problems).toEqual([]);
  for (const name of names) expect([name, engine.count({ prefix: `${name} ` })]).toEqual([name, COMMITS]);
  await engine.close();
}

async function expectStopped(engine: StorageEngine): Promise<void> {
  const error = await rejected('STORE_FAILED', () => engine.put('more', 'x'));
  expect(error.message).toContain('another writer opened this store');
  await refused('STORE_FAILED', () => engine.putSync('more', 'x'));
  await rejected('STORE_FAILED', () => engine.checkpoint());
  expect(engine.getString('before 0')).toMatch(/^before/);
  await engine.close();
  counts.stopped++;
}

for (const [name, make] of PLACES) {
  for (const walEnabled of [true, false]) {
    const how = `${name}, ${walEnabled ? 'with' : 'without'} the log`;

    test(`fencing: the older of two writers stops at its next checkpoint, ${how}`, async () => {
      const place = make();
      const older = await open(unlocked(place), { walEnabled });
      await fill(older, 'before');
      await older.checkpoint();
      const newer = await open(unlocked(place), { walEnabled });
      await fill(newer, 'newer');
      await rejected('STORE_FAILED', () => older.checkpoint());
      await expectStopped(older);
      await newer.checkpoint();
      expect((await newer.verify()).problems).toEqual([]);
      await newer.close();
      await expectWhole(place, 'before', 'newer');
    });

    test(`fencing: an older writer that closes cuts nothing off, ${how}`, async () => {
      const place = make();
      const older = await open(unlocked(place), { walEnabled });
      await fill(older, 'before');
      await older.checkpoint();
      const newer = await open(unlocked(place), { walEnabled });
      await fill(newer, 'newer');
      await newer.checkpoint();
      await rejected('STORE_FAILED', () => older.close());
      counts.stopped++;
      await newer.close();
      await expectWhole(place, 'before', 'newer');
    });

    test(`fencing: control: an older writer that cannot see the fence loses commits, ${how}`, async () => {
      const place = make();
      const older = await open(unlocked(place, { blind: true }), { walEnabled });
      await fill(older, 'before');
      await older.checkpoint();
      const newer = await open(unlocked(place), { walEnabled });
      await fill(newer, 'newer');
      await newer.checkpoint();
      for (let round = 0; round < 3; round++) {
        await fill(older, 'older');
        await older.checkpoint();
      }
      await older.close();
      await expect(expectWhole(place, 'before', 'newer')).rejects.toThrow();
      counts['controls seen to lose']++;
    });
  }

  test.each(SYNCS)(
    `fencing: a writer that comes at sync %i of a checkpoint finds it or not, and the older one stops, ${name}`,
    async (sync) => {
      const place = make();
      const view: View = {};
      const older = await open(unlocked(place, view));
      await fill(older, 'before');
      let newer: StorageEngine | undefined;
      view.beforeSync = async (count) => {
        if (count === sync) newer = await open(unlocked(place));
      };
      // At the last sync everything is written, and the run ends well.
      if (sync === SYNCS.length) await older.checkpoint();
      else await rejected('STORE_FAILED', () => older.checkpoint());
      if (!newer) throw new Error(`the checkpoint had no sync ${sync}`);
      await fill(newer, 'newer');
      if (sync === SYNCS.length) await rejected('STORE_FAILED', () => older.checkpoint());
      await expectStopped(older);
      await newer.checkpoint();
      expect((await newer.verify()).problems).toEqual([]);
      await newer.close();
      await expectWhole(place, 'before', 'newer');
    },
  );
}

test('fencing: a writer is not taken in by damaged slots', async () => {
  const place = new MemoryBackend();
  const engine = await open(unlocked(place));
  await fill(engine, 'before');
  const file = place.open('data', { create: false });
  for (const slot of SLOT_POSITIONS) {
    file.write([new Uint8Array(512).fill(7)], slot);
    await engine.checkpoint();
  }
  await fill(engine, 'newer');
  await engine.close();
  await expectWhole(place, 'before', 'newer');
});

test('fencing: figures', () => {
  const expected = PLACES.length * 2;
  expect(counts['controls seen to lose']).toBe(expected);
  expect(counts.stopped).toBe(PLACES.length * (4 + SYNCS.length));
  report('fencing', counts, 'npx vitest run test/maintenance/fencing.test.ts');
});
