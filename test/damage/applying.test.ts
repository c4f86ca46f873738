/*
 * Applying beside damage: what a durable change frees, or is made in, may lie on a sector that cannot be read or has
 * rotted. It costs what lies there and nothing else: later commits, other records, and the opening of the store go on,
 * and no read ever answers what was there before an acknowledged change.
 */
import { expect, onTestFinished, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { Block, MemoryBackend } from '../../src/index.ts';

const SECTOR = 512;
const BLOCK_MAGIC = 0x42474541;
const PAGE = 4096;

type Damage = 'unreadable' | 'rotten';
const DAMAGES: readonly Damage[] = ['unreadable', 'rotten'];

function configOf(backend: SimulatedBackend, more: Partial<StorageConfig> = {}): Partial<StorageConfig> {
  return { backend, pageSize: PAGE, bufferPoolSize: '64KB', compression: 'none', ...more };
}

async function open(backend: SimulatedBackend, more: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const engine = await StorageEngine.open(configOf(backend, more));
  onTestFinished(() => engine.close().catch(() => undefined));
  return engine;
}

/** Hits a sector of the data file; the damage stays with the disk. */
function hit(disk: SimulatedBackend, damage: Damage, at: number): void {
  if (damage === 'rotten') return void disk.rot('data', (at + 100) * 8);
  disk.plan = ({ operation, file, position, length }) =>
    operation === 'read' && file === 'data' && position <= at && at < position + length
      ? { errno: 'EIO' }
      : undefined;
}

/** A sector that holds nothing but one byte value. */
function sectorOf(disk: SimulatedBackend, text: string): number {
  const data = Buffer.from(disk.files().get('data') as Uint8Array);
  for (let at = 0; at < data.length; at += SECTOR)
    if (data.subarray(at, at + SECTOR).every((byte) => byte === text.charCodeAt(0))) return at;
  throw new Error(`no sector of ${text}`);
}

/** What a read answers: a value, undefined, or the code of an error. */
function told<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    if (error instanceof AegisError) return error.code;
    throw error;
  }
}

async function settled(engine: StorageEngine): Promise<void> {
  for (let turn = 0; turn < 50; ++turn) await new Promise((resolve) => setImmediate(resolve));
  await engine.checkpoint();
}

const LONG = 'A'.repeat(20_000);

/** Changes that free a long value of a tree, and what is under its key afterwards. */
const FREEING: readonly [
  name: string,
  change: (db: StorageEngine, tree: string) => Promise<unknown>,
  after?: string,
][] = [
  ['overwritten by a short one', (db, tree) => db.tree(tree).put('long', 'short'), 'short'],
  [
    'overwritten by a long one',
    (db, tree) => db.tree(tree).put('long', 'B'.repeat(30_000)),
    'B'.repeat(30_000),
  ],
  ['deleted', (db, tree) => db.tree(tree).delete('long')],
  [
    'deleted with a range',
    (db, tree) => db.transaction(async (tx) => tx.tree(tree).deleteRange({ gte: 'l', lt: 'm' })),
  ],
  ['in a tree that is dropped', (db, tree) => db.dropTree(tree)],
];

for (const damage of DAMAGES) {
  for (const [name, change, after] of FREEING) {
    test(`damage: a long value on a sector that is ${damage} is ${name}`, async () => {
      const disk = new SimulatedBackend({ seed: 3 });
      const engine = await open(disk);
      await engine.put('other', 'fine');
      await engine.tree('t').put('long', LONG);
      await engine.tree('t').put('beside', 'fine');
      await engine.checkpoint();
      // The small pool holds something else now.
      for (let i = 0; i < 200; i++) await engine.put(`filler ${i}`, 'x'.repeat(800));
      await engine.checkpoint();
      hit(disk, damage, sectorOf(disk, 'A'));
      await change(engine, 't');
      const dropped = name.includes('dropped');
      const check = async (db: StorageEngine, turn: string): Promise<void> => {
        expect(db.tree('t').getString('long')).toBe(after);
        expect(db.getString('other')).toBe('fine');
        expect(db.tree('t').getString('beside')).toBe(dropped ? undefined : 'fine');
        await db.put(`more ${turn}`, 'goes on');
        await db.tree('u').put(turn, LONG);
        expect(db.tree('u').getString(turn)).toBe(LONG);
      };
      await check(engine, 'live');
      // From the log, from a checkpoint, and read only.
      const fromLog = disk.crash(() => true);
      await settled(engine);
      await check(engine, 'later');
      const { problems } = await engine.verify();
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.every((one) => one.offset !== undefined || /below damage/.test(one.message))).toBe(
        true,
      );
      const fromCheckpoint = disk.crash(() => true);
      for (const left of [fromLog, fromCheckpoint]) {
        left.plan = disk.plan;
        const readOnly = await open(left.kill(), { readOnly: true });
        expect(readOnly.tree('t').getString('long')).toBe(after);
        await readOnly.close();
        const again = await open(left);
        await settled(again);
        await check(again, 'again');
        // When the sector can be read once more everything is given back.
        left.plan = () => undefined;
        await again.close();
        const healed = await open(left);
        await settled(healed);
        await check(healed, 'healed');
        if (damage === 'unreadable') expect((await healed.verify()).problems).toEqual([]);
        await healed.close();
      }
    });
  }
}

test('damage: a block on a sector that cannot be read is deleted, and ids go on', async () => {
  const disk = new SimulatedBackend({ seed: 4 });
  const engine = await open(disk);
  const id = await engine.writeBlock(new Block(new Uint8Array(20_000).fill(65)));
  await engine.checkpoint();
  for (let i = 0; i < 200; i++) await engine.put(`filler ${i}`, 'x'.repeat(800));
  await engine.checkpoint();
  hit(disk, 'unreadable', sectorOf(disk, 'A'));
  expect(await engine.deleteBlock(id)).toBe(true);
  const next = await engine.writeBlock(new Block(new Uint8Array(9)));
  expect(next).toBeGreaterThan(id);
  const left = disk.crash(() => true);
  left.plan = disk.plan;
  const again = await open(left);
  expect(await again.deleteBlock(id)).toBe(false);
  expect((await again.readBlock(next))?.data.length).toBe(9);
});

test('damage: a read that fails while a chain is freed costs nothing, not even the pages', async () => {
  const disk = new SimulatedBackend({ seed: 5 });
  const engine = await open(disk);
  await engine.put('long', LONG);
  await engine.checkpoint();
  for (let i = 0; i < 200; i++) await engine.put(`filler ${i}`, 'x'.repeat(800));
  await engine.checkpoint();
  const before = engine.stats().pages.count;
  hit(disk, 'unreadable', sectorOf(disk, 'A'));
  await engine.put('long', 'short');
  disk.plan = () => undefined;
  await settled(engine);
  await settled(engine);
  expect((await engine.verify()).problems).toEqual([]);
  // The catalog has its root now; the five pages of the value are free.
  expect(engine.stats().pages.count).toBe(before - 5 + 1);
});

test('damage: a long value that only the replay cannot free takes no id that the log names', async () => {
  const disk = new SimulatedBackend({ seed: 7 });
  const engine = await open(disk);
  await engine.tree('t').put('long', LONG);
  await engine.checkpoint();
  await engine.tree('t').put('long', 'short');
  await engine.tree('u').put('key', 'value');
  const left = disk.crash(() => true);
  hit(left, 'unreadable', sectorOf(left, 'A'));
  const again = await open(left);
  expect([again.trees(), again.tree('u').getString('key')]).toEqual([['t', 'u'], 'value']);
  expect(again.tree('t').getString('long')).toBe('short');
});

// --- pages that the log writes to -----------------------------------------------------------------------------

type Model = Map<string, string | undefined>;

/** A store whose log writes to most of its pages, cut off from its power; and what is acknowledged. */
async function written(): Promise<{ disk: SimulatedBackend; model: Model }> {
  const disk = new SimulatedBackend({ seed: 6 });
  const engine = await StorageEngine.open(configOf(disk));
  const model: Model = new Map();
  const put = async (tree: string, key: string, value: string): Promise<void> => {
    await (tree === '' ? engine : engine.tree(tree)).put(key, value);
    model.set(`${tree}/${key}`, value);
  };
  const keyOf = (i: number): string => `${'k'.repeat(400)} ${String(i).padStart(3, '0')}`;
  for (let i = 0; i < 60; i++) await put('', keyOf(i), `old ${i} `.padEnd(300, 'o'));
  for (let i = 0; i < 15; i++) await put('a', keyOf(i), `old ${i} `.padEnd(300, 'o'));
  await put('gone', 'key', 'old');
  await put('', 'long', 'o'.repeat(10_000));
  await engine.checkpoint();
  for (let i = 0; i < 60; i += 5) await put('', keyOf(i), `new ${i} `.padEnd(400, 'n'));
  for (let i = 0; i < 15; i += 3) await put('a', keyOf(i), `new ${i} `.padEnd(300, 'n'));
  await put('', 'long', 'n'.repeat(9_000));
  await put('', keyOf(17), 'n'.repeat(7_000));
  for (let i = 30; i < 45; i++) {
    await engine.delete(keyOf(i));
    model.set(`/${keyOf(i)}`, undefined);
  }
  await engine.dropTree('gone');
  model.set('gone/key', undefined);
  await put('b', 'made', 'new');
  return { disk: disk.crash(() => true), model };
}

/** Every read answers what was acknowledged last, or that it cannot. Answers how many could not. */
function judge(engine: StorageEngine, model: Model, hint: string): number {
  let lost = 0;
  for (const [name, value] of model) {
    const [tree, key] = [name.slice(0, name.indexOf('/')), name.slice(name.indexOf('/') + 1)];
    const got = told(() => (tree === '' ? engine : engine.tree(tree)).getString(key));
    if (got === 'CORRUPTION' || got === 'IO_ERROR') ++lost;
    else expect(got, `${hint}: ${tree}/${key.slice(-3)}`).toBe(value);
  }
  return lost;
}

for (const damage of DAMAGES) {
  test(`damage: any page the log writes to is ${damage}: the store opens, and nothing old is answered`, async () => {
    const { disk, model } = await written();
    const data = Buffer.from(disk.files().get('data') as Uint8Array);
    let opened = 0;
    let partly = 0;
    for (let at = 0; at < data.length; at += SECTOR) {
      if (data.readUInt32LE(at) !== BLOCK_MAGIC) continue;
      const left = disk.kill();
      hit(left, damage, at);
      for (const readOnly of [true, false]) {
        const hint = `sector at ${at}${readOnly ? ', read only' : ''}`;
        let engine: StorageEngine;
        try {
          engine = await StorageEngine.open(configOf(left, { readOnly }));
        } catch (error) {
          // The directory has no other place.
          expect(`${error}`, hint).toMatch(/directory chunk|read of data failed/);
          continue;
        }
        ++opened;
        const lost = judge(engine, model, hint);
        if (lost > 0) ++partly;
        if (lost > 0) expect((await engine.verify()).problems.length, hint).toBeGreaterThan(0);
        // No copy is made around it either.
        if (lost > 0 && !readOnly)
          await expect(engine.backup(new MemoryBackend()), hint).rejects.toMatchObject({
            code: expect.stringMatching(/CORRUPTION|IO_ERROR/),
          });
        if (!readOnly)
          expect(
            await engine.put('zzz', 'goes on').then(
              () => 'ok',
              (error) => error.code,
            ),
          ).toMatch(/ok|CORRUPTION|IO_ERROR/);
        await engine.close();
      }
      // What could not be read may be read later: it is old then, and never answered.
      left.plan = () => undefined;
      const later = await StorageEngine.open(configOf(left)).catch(() => undefined);
      if (later) judge(later, model, `sector at ${at}, later`);
      await later?.close();
    }
    expect(opened).toBeGreaterThan(40);
    expect(partly).toBeGreaterThan(30);
  });
}

test('damage: reads that fail once each while the log is replayed cost nothing', async () => {
  const { disk, model } = await written();
  const seen = new Set<number>();
  disk.plan = ({ operation, file, position }) => {
    if (operation !== 'read' || file !== 'data' || position < 2 * PAGE || seen.has(position))
      return undefined;
    seen.add(position);
    // The directory is read without a second try.
    return armed ? { errno: 'EIO' } : undefined;
  };
  let armed = false;
  disk.onCall = ({ operation, file }) => {
    if (operation === 'sync' && file === 'data') armed = true;
  };
  const engine = await open(disk);
  expect(seen.size).toBeGreaterThan(5);
  disk.plan = () => undefined;
  expect(judge(engine, model, 'after')).toBe(0);
  expect((await engine.verify()).problems).toEqual([]);
});
