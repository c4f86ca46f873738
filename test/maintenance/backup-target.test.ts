/* Where a backup may go, what is told of a place where it may not, and what is left there when it fails. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { StorageBackend } from '../../src/backend/backend.ts';
import { LocalBackend } from '../../src/backend/local.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { temporaryFolder } from '../support/place.ts';
import { Plant } from '../support/plant.ts';
import { seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';
import { Watch } from '../support/watched.ts';
import { differences, WriteLoad } from '../support/write-load.ts';

const watch = new Watch();

async function makeSource(
  backend: StorageBackend = new MemoryBackend(),
  config: Partial<StorageConfig> = {},
) {
  const made = await openSmall(backend);
  const load = new WriteLoad(made, { seed, keys: 200 });
  for (let i = 0; i < 80; ++i) await load.once();
  await made.close();
  const engine = await watch.open({
    backend,
    walEnabled: true,
    pageSize: 4096,
    bufferPoolSize: '64KB',
    ...config,
  });
  onTestFinished(() => engine.close().catch(() => undefined));
  const state = load.stateAt(engine.stats().sequence);
  return { engine, state };
}

/** That a backup to the place works, and leaves the state. */
async function expectBackup(
  { engine, state }: Awaited<ReturnType<typeof makeSource>>,
  target: StorageBackend,
): Promise<void> {
  await engine.backup(target);
  const copy = await StorageEngine.open({ backend: target, createIfMissing: false });
  expect(differences(copy, state)).toEqual([]);
  await copy.close();
}

/** That nobody takes what lies there for a store. */
async function expectNoStore(backend: StorageBackend): Promise<void> {
  await expect(StorageEngine.open({ backend, createIfMissing: false })).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
}

test.each([undefined, null, 7, '', 'a\0b', {}, [], { name: 'mine', open() {} }])(
  'backup: a target that cannot be one is refused, %j',
  async (target) => {
    const { engine } = await makeSource();
    await expect(engine.backup(target as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(watch.breaches).toEqual([]);
  },
);

test('backup: a place with a store is left alone, open or not', async () => {
  const { engine } = await makeSource();
  const target = new MemoryBackend();
  const other = await StorageEngine.open({ backend: target });
  await other.put('key', 'value');
  await expect(engine.backup(target)).rejects.toMatchObject({ code: 'LOCKED' });
  await other.close();
  await expect(engine.backup(target)).rejects.toMatchObject({ code: 'EXISTS' });
  const again = await StorageEngine.open({ backend: target });
  expect(again.getString('key')).toBe('value');
  await again.close();
});

test('backup: a second one into the same place is refused, while the first is made and after it', async () => {
  const source = await makeSource();
  const target = new MemoryBackend();
  const first = source.engine.backup(target);
  await expect(source.engine.backup(target)).rejects.toMatchObject({ code: 'LOCKED' });
  await first;
  await expect(source.engine.backup(target)).rejects.toMatchObject({ code: 'EXISTS' });
});

test('backup: the own place is refused, as a backend and as a folder', async () => {
  const backend = new MemoryBackend();
  const { engine } = await makeSource(backend);
  await expect(engine.backup(backend)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  const folder = join(temporaryFolder(), 'store');
  const local = await makeSource(new LocalBackend(folder));
  const before = readdirSync(folder);
  await expect(local.engine.backup(folder)).rejects.toMatchObject({ code: 'LOCKED', pid: process.pid });
  expect(readdirSync(folder)).toEqual(before);
  expect(differences(local.engine, local.state)).toEqual([]);
});

test("backup: a folder with strangers' files is refused and left as it is", async () => {
  const { engine } = await makeSource();
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'letter.txt'), 'dear reader');
  await expect(engine.backup(folder)).rejects.toMatchObject({ code: 'NOT_A_STORE', file: 'letter.txt' });
  expect(readdirSync(folder)).toEqual(['letter.txt']);
  writeFileSync(join(folder, 'data'), 'somebody else wrote this');
  await expect(engine.backup(folder)).rejects.toMatchObject({ code: 'NOT_A_STORE' });
  expect(readFileSync(join(folder, 'data'), 'utf8')).toBe('somebody else wrote this');
  mkdirSync(join(folder, 'empty'));
  await engine.backup(join(folder, 'empty'));
});

test('backup: a target that is a file, and one that is a damaged store, are refused', async () => {
  const { engine } = await makeSource();
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, 'text');
  await expect(engine.backup(file)).rejects.toMatchObject({ code: 'NOT_A_STORE', errno: 'ENOTDIR' });
  const target = new MemoryBackend();
  await engine.backup(target);
  for (const slot of [0, 4096]) target.open('data', { create: false }).write([new Uint8Array(9)], slot + 20);
  await expect(engine.backup(target)).rejects.toMatchObject({ code: 'CORRUPTION' });
  expect(watch.breaches.filter((breach) => !breach.includes('nothing was damaged'))).toEqual([]);
});

test('backup: modes are private whatever the umask', async () => {
  const before = process.umask(0);
  onTestFinished(() => void process.umask(before));
  const { engine } = await makeSource();
  const folder = join(temporaryFolder(), 'copy');
  await engine.backup(folder);
  for (const name of readdirSync(folder)) {
    expect([name, statSync(join(folder, name)).mode & 0o777]).toEqual([name, 0o600]);
  }
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test('backup: of a closed store answers CLOSED, and so does one that is closed at any moment', {
  timeout: 600_000,
}, async () => {
  const source = await makeSource();
  const counted = new SimulatedBackend({ seed });
  await source.engine.backup(counted);
  let closed = 0;
  for (let moment = 1; moment <= counted.calls.length; ++moment) {
    const { engine, state } = await makeSource();
    const target = new SimulatedBackend({ seed });
    let closing: Promise<void> | undefined;
    target.onCall = ({ number }) => {
      if (number === moment) closing = engine.close();
    };
    try {
      await engine.backup(target);
      // Nothing was left to be done.
      const copy = await StorageEngine.open({ backend: target, createIfMissing: false });
      expect(differences(copy, state)).toEqual([]);
      await copy.close();
    } catch (error) {
      expect(error).toMatchObject({ code: 'CLOSED' });
      await expectNoStore(target);
      ++closed;
    }
    await closing;
    if (moment % 10 === 0 && closed === moment) await expectBackup(source, target);
  }
  expect(closed).toBeGreaterThan(counted.calls.length * 0.6);
  await source.engine.close();
  await expect(source.engine.backup(new MemoryBackend())).rejects.toMatchObject({ code: 'CLOSED' });
});

test('backup: a target without space answers OUT_OF_SPACE, gives back what it took, and the source goes on', async () => {
  const source = await makeSource();
  const { engine } = source;
  let refused = 0;
  for (let capacity = 4096; ; capacity += 16_384) {
    const target = new SimulatedBackend({ seed });
    target.capacity = capacity;
    try {
      await engine.backup(target);
      break;
    } catch (error) {
      expect(error).toMatchObject({ code: 'OUT_OF_SPACE' });
      expect((error as Error).message).toContain('the target of the backup');
    }
    ++refused;
    expect(target.files().get('data')!.length).toBeLessThanOrEqual(SECTOR_SIZE);
    await engine.put('meanwhile', `${refused}`);
    await engine.delete('meanwhile');
    target.capacity = Number.POSITIVE_INFINITY;
    await expectNoStore(target);
    await expectBackup(source, target);
  }
  expect(refused).toBeGreaterThan(3);
  expect(await engine.verify()).toMatchObject({ ok: true });
});

test('backup: damage in any page of the source is named, and nothing is left that looks like a copy', async () => {
  const backend = new MemoryBackend();
  const store = await openSmall(backend);
  const load = new WriteLoad(store, { seed, keys: 200 });
  for (let i = 0; i < 80; ++i) await load.once();
  await store.close();
  const plant = new Plant(backend);
  for (const page of plant.pages) {
    const place = plant.place(page);
    const damaged = backend.copy();
    const offset = place.start * SECTOR_SIZE + (page % (place.sectors * SECTOR_SIZE));
    const file = damaged.open('data', { create: false });
    const byte = new Uint8Array(1);
    file.read(byte, offset);
    byte[0]! ^= 1 << (page % 8);
    file.write([byte], offset);
    const engine = await openSmall(damaged);
    const target = new MemoryBackend();
    await expect(engine.backup(target)).rejects.toMatchObject({
      code: 'CORRUPTION',
      page,
      file: 'data',
      offset: place.start * SECTOR_SIZE,
    });
    await expectNoStore(target);
    // The store is not given up for it.
    expect((await engine.verify()).problems[0]).toMatchObject({ page });
    await engine.close();
  }
  expect(plant.pages.length).toBeGreaterThanOrEqual(20);
});

test.each(['a byte behind it', 'a sector too many'])(
  'backup: a block with %s is not copied',
  async (what) => {
    const backend = new MemoryBackend();
    const store = await openSmall(backend);
    for (let i = 0; i < 100; ++i) await store.put(`key ${i}`, 'v'.repeat(100));
    await store.close();
    const plant = new Plant(backend);
    const { page } = plant.nodes().find(({ level }) => level === 0)!;
    const block = plant.seal(plant.payload(plant.place(page)), { number: page });
    const longer = new Uint8Array(block.length + (what === 'a sector too many' ? SECTOR_SIZE : 0));
    longer.set(block);
    if (longer.length === block.length) longer[block.length - 1] = 1;
    plant.setPlace(page, plant.append(longer));
    plant.save();
    const engine = await openSmall(backend);
    await expect(engine.backup(new MemoryBackend())).rejects.toMatchObject({ code: 'CORRUPTION', page });
    await engine.close();
  },
);

test('backup: damage that only its meaning gives away is found in the copy, which is taken back', async () => {
  const backend = new MemoryBackend();
  const store = await openSmall(backend);
  for (let i = 0; i < 400; ++i) await store.put(`key ${i}`, 'v'.repeat(100));
  await store.close();
  const plant = new Plant(backend);
  const leaf = plant.nodes().find(({ level, slot }) => level === 0 && slot === 1)!;
  plant.changeTree(leaf.page, ({ cells }) => (cells[0]!.key = new Uint8Array([1])));
  plant.save();
  const engine = await openSmall(backend);
  const target = new MemoryBackend();
  const refusal = { code: 'CORRUPTION', page: leaf.page };
  await expect(engine.backup(target)).rejects.toMatchObject(refusal);
  expect(target.open('data', { create: false }).size()).toBe(SECTOR_SIZE);
  await expectNoStore(target);
  await engine.close();
});

test('backup: of a source that has failed none is made, and the target takes a store', async () => {
  const backend = new SimulatedBackend({ seed });
  const { engine } = await makeSource(backend);
  await engine.put('first', 'value'); // so that no file has to be made for the next one
  backend.plan = ({ operation }) => (operation === 'sync' ? { errno: 'EIO' } : undefined);
  await expect(engine.put('lost', 'value')).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' });
  const target = new MemoryBackend();
  await expect(engine.backup(target)).rejects.toMatchObject({ code: 'STORE_FAILED' });
  const fresh = await StorageEngine.open({ backend: target });
  expect(fresh.count()).toBe(0);
  await fresh.close();
});

test('backup: where no folder can be had, a folder as the target is UNSUPPORTED', async () => {
  const browser = (await import('../../build/browser.js')) as unknown as {
    StorageEngine: typeof StorageEngine;
  };
  const engine = await browser.StorageEngine.open();
  await expect(engine.backup('folder')).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  await engine.close();
});
