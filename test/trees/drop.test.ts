/*
 * Dropping trees: what others see of it, which transactions it refuses, and where the pages go.
 */
import { expect, onTestFinished, test } from 'vitest';
import { bytes as debugBytes } from '../../build/wasm/debug.js';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { openEngine, StorageEngine } from '../../src/engine/engine.ts';
import type { StorageBackend, Transaction } from '../../src/index.ts';
import { rejected } from '../support/refused.ts';
import { openSmall } from '../support/small-store.ts';

async function open(backend: StorageBackend, config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const db = await openSmall(backend, config);
  onTestFinished(() => db.close());
  return db;
}

/** Puts so many records of about 100 bytes into a tree, and some long ones. */
async function fill(db: StorageEngine, name: string, records: number): Promise<void> {
  const key = (n: number): string => `key ${String(n).padStart(6, '0')}`;
  for (let from = 0; from < records; from += 500) {
    const count = Math.min(500, records - from);
    await db
      .tree(name)
      .batch(
        Array.from({ length: count }, (_, n) => ({ type: 'put', key: key(from + n), value: 'x'.repeat(90) })),
      );
  }
  await db.tree(name).put('long', 'y'.repeat(30_000));
  await db.tree(name).put('short', 'z');
}

/** Waits, with the store at work, until something holds. */
async function until(holds: () => boolean): Promise<void> {
  for (let turns = 0; !holds(); ++turns) {
    if (turns > 100_000) throw new Error(`never: ${holds}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Waits until nothing of dropped trees is left but the roots of the default tree and of the catalog. */
async function givenBack(db: StorageEngine): Promise<void> {
  await until(() => db.stats().pages.count === 2);
  expect((await db.verify()).pages).toBe(2);
}

test('trees: a dropped one is gone at once, answers say whether it was there, and its name is free', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  await fill(db, 't', 300);
  expect(await db.dropTree('t')).toBe(true);
  expect([db.trees(), db.tree('t').count(), db.tree('t').get('short')]).toEqual([[], 0, undefined]);
  expect(await db.dropTree('t')).toBe(false);
  expect(await db.dropTree('never')).toBe(false);
  await db.tree('t').put('k', 'again');
  const check = async (engine: StorageEngine): Promise<void> => {
    expect([engine.trees(), engine.tree('t').count(), engine.tree('t').getString('k')]).toEqual([
      ['t'],
      1,
      'again',
    ]);
    expect((await engine.verify()).problems).toEqual([]);
  };
  await check(db);
  // Both generations of the name are in one log.
  await check(await open(backend.copy()));
  await db.close();
  await check(await open(backend));
});

test('trees: snapshots, scans and transactions that began before a drop read on', async () => {
  const db = await open(new MemoryBackend());
  await fill(db, 't', 2000);
  const snapshot = db.snapshot();
  const scan = db.tree('t').scan({ prefix: 'key' });
  const reader = db.beginTransaction({ readOnly: true });
  const tx = db.beginTransaction();
  expect(scan.nextMany(10).length).toBe(10);
  await db.dropTree('t');
  await db.tree('t').put('short', 'new');
  for (const old of [snapshot.tree('t'), reader.tree('t'), tx.tree('t')]) {
    expect([old.count(), old.getString('short'), old.get('long')?.length]).toEqual([2002, 'z', 30_000]);
    expect([...old.scan({ reverse: true, limit: 2 })].length).toBe(2);
  }
  expect([...scan].length).toBe(1990);
  // It wrote elsewhere only, and read in snapshot isolation.
  tx.put('main', 'x');
  await tx.commit();
  expect(db.tree('t').count()).toBe(1);
  expect((await db.verify()).problems).toEqual([]);
  snapshot.close();
  reader.abort();
  await db.dropTree('t');
  await givenBack(db);
});

test('trees: the pages of a dropped one are free again, in memory and in the file', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  await db.tree('kept').put('k', 'v');
  await db.dropTree('kept');
  await givenBack(db);
  await db.checkpoint();
  const before = db.stats();
  await fill(db, 't', 5000);
  await db.checkpoint();
  const full = db.stats();
  expect(full.pages.count).toBeGreaterThan(before.pages.count + 100);
  await db.dropTree('t');
  await givenBack(db);
  await db.checkpoint();
  const { pages, data } = db.stats();
  expect(pages.count).toBe(before.pages.count);
  expect(data.usedSize).toBeLessThanOrEqual(before.data.usedSize + 8192);
  expect((await db.verify()).problems).toEqual([]);
  // Nothing of it is left for the next opening.
  await db.close();
  const again = await open(backend);
  expect([again.stats().pages.count, (await again.verify()).pages]).toEqual([before.pages.count, 2]);
});

test('trees: giving back goes on where a crash or a close left it', async () => {
  const backend = new MemoryBackend();
  let db = await open(backend);
  await fill(db, 't', 20_000);
  await fill(db, 'u', 100);
  await db.checkpoint();
  await db.dropTree('t');
  await db.dropTree('u');
  const pages = db.stats().pages.count;
  await until(() => db.stats().pages.count < pages - 20);
  expect(db.stats().pages.count).toBeGreaterThan(60);
  await db.checkpoint();
  expect(db.stats().pages.count).toBeGreaterThan(60);
  const crashed = await open(backend.copy());
  await db.close();
  db = await open(backend);
  for (const one of [crashed, db]) {
    expect(one.trees()).toEqual([]);
    await givenBack(one);
    expect((await one.verify()).problems).toEqual([]);
    await one.tree('t').put('k', 'v');
    expect(one.tree('t').count()).toBe(1);
  }
});

test('trees: giving back stops when the store is closed', async () => {
  const disk = new SimulatedBackend();
  const db = await open(disk);
  await fill(db, 't', 10_000);
  await db.dropTree('t');
  const pages = db.stats().pages.count;
  await until(() => db.stats().pages.count < pages - 20);
  const calls: string[] = [];
  await db.close();
  disk.onCall = ({ operation }) => calls.push(operation);
  for (let turns = 0; turns < 200; ++turns) await new Promise((resolve) => setImmediate(resolve));
  expect(calls).toEqual([]);
  disk.onCall = undefined;
  const again = await open(disk);
  await givenBack(again);
});

test('trees: damage in a dropped one keeps its pages, and no others', async () => {
  const disk = new SimulatedBackend();
  const config = { compression: 'none' } as const;
  const db = await open(disk, config);
  await fill(db, 't', 1000);
  await db.tree('t').put('key 000500', 'damage goes here');
  await fill(db, 'u', 1000);
  await db.close();
  const file = disk.files().get('data') as Uint8Array;
  const data = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const find = (from: number): number => data.indexOf('damage goes here', from);
  for (let at = find(0); at >= 0; at = find(at + 1)) disk.rot('data', 8 * at);
  const again = await open(disk, config);
  const { count } = again.stats().pages;
  await again.dropTree('t');
  await again.dropTree('u');
  await again.compact();
  const left = again.stats().pages.count;
  expect(left).toBeGreaterThan(5);
  expect(left).toBeLessThan(count - 20);
  expect(again.trees()).toEqual([]);
  const { problems } = await again.verify();
  expect(problems.length).toBeGreaterThan(0);
  expect(problems.every(({ message }) => !message.includes('nothing refers to it'))).toBe(true);
  await again.tree('t').put('k', 'v');
  expect(again.tree('t').count()).toBe(1);
});

test('trees: compaction waits for pages to be given back, and the file shrinks to what is left', async () => {
  const backend = new MemoryBackend();
  const db = await open(backend);
  await db.put('kept', 'x');
  await fill(db, 't', 10_000);
  await db.checkpoint();
  await db.dropTree('t');
  const report = await db.compact();
  expect(report.bytesBefore).toBeGreaterThan(1_000_000);
  expect(report.bytesAfter).toBeLessThan(200_000);
  expect((await db.verify()).problems).toEqual([]);
});

test('trees: ids are never used again, dropped and reopened or not', async () => {
  let backend = new MemoryBackend();
  let db = await open(backend);
  for (let life = 0; life < 4; ++life) {
    for (let round = 0; round < 5; ++round) {
      // Were an id used twice, the replay of this log would mix the trees up.
      await db.tree('t').put(`${life} ${round}`, 'x');
      await db.tree('u').put('u', `${life} ${round}`);
      expect([db.tree('t').count(), db.tree('u').count()]).toEqual([1, 1]);
      await db.dropTree('t');
      if (round % 2 === 1) await db.checkpoint();
    }
    await db.tree(`stays ${life}`).put('k', String(life));
    const copy = backend.copy();
    await db.close();
    // Closed, or as after a crash.
    if (life % 2 === 0) backend = copy;
    db = await open(backend);
    const stay = Array.from({ length: life + 1 }, (_, n) => `stays ${n}`);
    expect([db.trees(), db.tree('u').getString('u')]).toEqual([[...stay, 'u'], `${life} 4`]);
    for (const [n, name] of stay.entries()) expect(db.tree(name).getString('k')).toBe(String(n));
    expect((await db.verify()).problems).toEqual([]);
  }
});

type Use = (tree: ReturnType<Transaction['tree']>) => unknown;
const WRITES: [string, Use][] = [
  ['put', (tree) => tree.put('mine', 'x')],
  ['delete', (tree) => tree.delete('short')],
];
const READS: [string, Use][] = [
  ['get', (tree) => tree.get('short')],
  ['get of nothing', (tree) => tree.get('none')],
  ['has', (tree) => tree.has('short')],
  ['getMany', (tree) => tree.getMany(['short'])],
  ['scan', (tree) => tree.scan().nextMany(1)],
  ['count', (tree) => tree.count()],
];

test('trees: a drop refuses who wrote the tree, and who read it if serializable; no one else', async () => {
  for (const recreate of [false, true]) {
    for (const isolation of ['snapshot', 'serializable'] as const) {
      for (const [what, use] of [...WRITES, ...READS]) {
        const db = await open(new MemoryBackend());
        await fill(db, 't', 10);
        const tx = db.beginTransaction({ isolation });
        use(tx.tree('t'));
        tx.put('main', 'x');
        await db.dropTree('t');
        // The same name with other keys is another tree.
        if (recreate) await db.tree('t').put('theirs', 'y');
        const isWrite = WRITES.some(([name]) => name === what);
        if (isWrite || isolation === 'serializable') await rejected('CONFLICT', () => tx.commit());
        else await tx.commit();
        expect([db.tree('t').count(), db.tree('t').has('mine')], what).toEqual([Number(recreate), false]);
        const later = db.beginTransaction({ isolation });
        use(later.tree('t'));
        later.put('main', 'y');
        await later.commit();
        await db.close();
      }
    }
  }
});

test('trees: a transaction that wrote a tree without seeing its keys is refused when it was dropped meanwhile', async () => {
  const db = await open(new MemoryBackend());
  // Absent when it began, made, dropped and made again since.
  const tx = db.beginTransaction();
  tx.tree('t').put('k', 'mine');
  await db.tree('t').put('k', 'theirs');
  await db.dropTree('t');
  await db.tree('t').put('other', 'theirs');
  await rejected('CONFLICT', () => tx.commit());
  expect(db.tree('t').count()).toBe(1);
});

test('trees: a drop stands in its place among single operations that nobody waits for', async () => {
  const disk = new SimulatedBackend({ manual: true });
  const db = await disk.run(StorageEngine.open({ backend: disk, pageSize: 4096, walEnabled: true }));
  const tree = db.tree('t');
  const answers = Promise.all([
    tree.put('a', '1'),
    tree.put('b', '2'),
    db.dropTree('t'),
    tree.put('c', '3'),
    tree.delete('a'),
    db.dropTree('u'),
    db.dropTree('t'),
    db.dropTree('t'),
    tree.put('d', '4'),
    tree.delete('d'),
    tree.put('e', '5'),
  ]);
  expect(await disk.run(answers)).toEqual([
    undefined,
    undefined,
    true,
    undefined,
    false,
    false,
    true,
    false,
    undefined,
    true,
    undefined,
  ]);
  expect([db.trees(), db.tree('t').count(), db.tree('t').getString('e')]).toEqual([['t'], 1, '5']);
  // A blocking commit behind a drop on its way applies it first.
  const dropped = db.dropTree('t');
  tree.putSync('f', '6');
  expect([tree.count(), tree.getString('f')]).toEqual([1, '6']);
  expect(await disk.run(dropped)).toBe(true);
  expect((await disk.run(db.verify())).problems).toEqual([]);
  await disk.run(db.close());
});

test('trees: on a full disk one can be dropped, and its space is there for others', async () => {
  const disk = new SimulatedBackend();
  const db = await open(disk, { compression: 'none' });
  await db.tree('kept').put('k', 'v');
  disk.capacity = 6_000_000;
  let filled = 0;
  await expect(
    (async () => {
      for (;;) {
        await db.batch(
          Array.from({ length: 20 }, (_, n) => ({
            type: 'put',
            key: `${filled} ${n}`,
            value: 'x'.repeat(300),
            tree: `tree ${filled % 7}`,
          })),
        );
        ++filled;
      }
    })(),
  ).rejects.toMatchObject({ code: 'OUT_OF_SPACE' });
  expect(filled).toBeGreaterThan(100);
  for (let n = 0; n < 7; ++n) expect(await db.dropTree(`tree ${n}`), `tree ${n}`).toBe(true);
  await until(() => db.stats().pages.count <= 4);
  await db.checkpoint();
  for (let n = 0; n < filled / 2; ++n) {
    await db.tree('kept').put(`k ${n}`, 'x'.repeat(3000));
  }
  expect(db.trees()).toEqual(['kept']);
  expect((await db.verify()).problems).toEqual([]);
});

test('trees: a drop that cannot be written changes nothing', async () => {
  const disk = new SimulatedBackend();
  const db = await openSmall(disk);
  await fill(db, 't', 10);
  let failures = 1;
  disk.plan = ({ operation, file }) =>
    operation === 'write' && file?.startsWith('log') && failures-- > 0 ? { errno: 'ENOSPC' } : undefined;
  await rejected('OUT_OF_SPACE', () => db.dropTree('t'));
  expect([db.trees(), db.tree('t').count()]).toEqual([['t'], 12]);
  await db.tree('t').put('k', 'v');
  expect(await db.dropTree('t')).toBe(true);
  await db.close();
});

test('trees: cutting one down keeps every rule that the debug build checks', async () => {
  const config = {
    backend: new MemoryBackend(),
    walEnabled: true,
    pageSize: 4096,
    bufferPoolSize: '128KB',
  } as const;
  const db = await openEngine(resolveConfig(config), debugBytes);
  onTestFinished(() => db.close());
  // Long keys: few to a page above the leaves, and so many levels.
  const key = (n: number): string => String((n * 7919) % 3000).padStart(490, '0');
  for (let from = 0; from < 3000; from += 100) {
    await db.tree('t').batch(
      Array.from({ length: 100 }, (_, n) => ({
        type: 'put',
        key: key(from + n),
        value: n === 7 ? 'x'.repeat(9000) : '',
      })),
    );
  }
  const snapshot = db.snapshot();
  await db.dropTree('t');
  await givenBack(db);
  expect(snapshot.tree('t').count()).toBe(3000);
  expect([...snapshot.tree('t').scan()].length).toBe(3000);
  snapshot.close();
  expect((await db.verify()).problems).toEqual([]);
});
