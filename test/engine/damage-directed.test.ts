/*
 * Rot where it hurts: superblock slots, blocks replaced by older ones of the same page or by another store's, log files
 * that are gone, exchanged or another store's; and what goes on beside a page that cannot be read.
 */
import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import {
  copyOf,
  judge,
  makeSample,
  type Region,
  type Sample,
  type TailCommit,
  writeTail,
} from '../support/damage.ts';
import { backendOf, type Files, filesOf } from '../support/files.ts';
import { rejected } from '../support/refused.ts';
import { seed } from '../support/seed.ts';
import { Random } from '../wal/random.ts';

const SLOTS = [0, 4096];
const closed = await makeSample('closed', 'lz4');
const live = await makeSample('checkpoint and log', 'none');

/** Several ways to damage a slot of 512 bytes. */
const SLOT_DAMAGE: [what: string, damage: (slot: Uint8Array) => void][] = [
  ['zeroed', (slot) => slot.fill(0)],
  ['all ones', (slot) => slot.fill(255)],
  ['without its magic', (slot) => slot.fill(0, 0, 4)],
  ['of a newer version, by rot', (slot) => slot.fill(1, 5, 6)],
  ['half torn', (slot) => slot.fill(0, 256)],
  ['with another generation', (slot) => slot.fill(200, 16, 20)],
  ['with another checksum', (slot) => slot.fill(0, 504)],
];

function withSlot({ files }: Sample, slots: readonly number[], damage: (slot: Uint8Array) => void): Files {
  const copy = copyOf(files);
  for (const at of slots) damage(copy.get('data')!.subarray(at, at + 512));
  return copy;
}

test.each(SLOT_DAMAGE)(
  'damage: a store with one superblock %s opens, and then has both',
  async (_what, damage) => {
    for (const sample of [closed, live]) {
      for (const at of SLOTS) {
        const files = withSlot(sample, [at], damage);
        // All is there, and verify tells of the slot.
        expect(await judge(sample, files, [], { readOnly: true })).toBe('partial');
        const backend = backendOf(files);
        await (await StorageEngine.open({ backend, walEnabled: true, checkpointWalSize: '512KB' })).close();
        const other = 4096 - at;
        const mended = withSlot({ ...sample, files: filesOf(backend) }, [other], (slot) => slot.fill(0));
        expect(await judge({ ...sample, tail: [] }, mended, [])).toBe('right');
      }
    }
  },
);

test.each(SLOT_DAMAGE)(
  'damage: a store with both superblocks %s is refused and left alone',
  async (_what, damage) => {
    for (const sample of [closed, live]) {
      const files = withSlot(sample, SLOTS, damage);
      for (const readOnly of [true, false]) {
        const maySay = ['NOT_A_STORE', 'UNSUPPORTED_VERSION'];
        expect(await judge(sample, files, [], { readOnly, maySay })).toBe('refused');
      }
    }
  },
);

/** A store at two checkpoints: pages of the second that lie where pages of the first lay. */
async function makeHistory(): Promise<{ before: Files; after: Sample }> {
  const backend = new MemoryBackend();
  const engine = await StorageEngine.open({
    backend,
    walEnabled: true,
    pageSize: 4096,
    checkpointWalSize: '512KB',
  });
  const content = new Map<string, string>();
  let before = filesOf(backend);
  for (let round = 0; round < 6; round++) {
    before = filesOf(backend);
    for (let i = 0; i < 90; i++) {
      const [key, value] = [`key ${String(i).padStart(4, '0')}`, `value ${i} of round ${round} `.repeat(4)];
      await engine.put(key, value);
      content.set(key, value);
    }
    await engine.checkpoint();
  }
  await engine.close();
  const after = { name: 'history', files: filesOf(backend), content, tail: [], pageSize: 4096 };
  return { before, after };
}

test('damage: an older copy of a block is not taken for the present one', async () => {
  const { before, after } = await makeHistory();
  const [old, present] = [before.get('data')!, after.files.get('data')!];
  let found = 0;
  for (let at = 8192; at + 512 <= present.length; at += 512) {
    // From one sector up to a whole block of the older file.
    for (const sectors of [1, 2, 4, 8, 9]) {
      const piece = old.subarray(at, at + sectors * 512);
      const files = copyOf(after.files);
      files.get('data')!.set(piece.subarray(0, present.length - at), at);
      const verdict = await judge(after, files, [], { readOnly: sectors % 2 === 0 });
      if (verdict !== 'right') found++;
    }
  }
  expect(found).toBeGreaterThan(30);
});

test('damage: an older data file with a newer log is what was written, or CORRUPTION', async () => {
  const { before, after } = await makeHistory();
  const mixed = new Map([...after.files, ['data', before.get('data')!]] as const);
  expect(await judge(after, mixed, [])).toMatch(/^(right|refused)$/);
  const older = new Map([...after.files, ['log-1', before.get('log-1')!]] as const);
  expect(await judge(after, older, [])).toMatch(/^(right|refused)$/);
});

/** A store whose log fills several files. */
async function makeLongLog(salt: string): Promise<Sample> {
  const backend = new MemoryBackend();
  const engine = await StorageEngine.open({
    backend,
    walEnabled: true,
    pageSize: 4096,
    checkpointWalSize: '2MB',
  });
  const content = new Map<string, string>();
  const tail: TailCommit[] = [];
  for (let i = 0; i < 60; i++) {
    if (i === 20) await engine.checkpoint();
    const commit = await writeTail(backend, engine, content, `item ${i}`, `${salt} ${i} `.repeat(3000));
    if (i >= 20) tail.push(commit);
  }
  const files = filesOf(backend);
  await engine.close();
  return { name: 'long log', files, content, tail, pageSize: 4096 };
}

function whole(file: string): Region[] {
  return [{ file, from: 0, to: Number.POSITIVE_INFINITY }];
}

test('damage: a log file that is gone or empty is missed, under whatever name it was', async () => {
  const sample = await makeLongLog('one');
  const logs = [...sample.files.keys()].filter((name) => name !== 'data');
  expect(logs.length).toBeGreaterThan(3);
  const verdicts: string[] = [];
  for (const [index, log] of logs.entries()) {
    const without = copyOf(sample.files);
    without.delete(log);
    const emptied = copyOf(sample.files).set(log, new Uint8Array(0));
    const header = copyOf(sample.files).set(log, sample.files.get(log)!.slice(0, 512));
    for (const files of [without, emptied, header]) {
      for (const readOnly of [true, false])
        verdicts.push(await judge(sample, files, whole(log), { readOnly }));
    }
    const other = logs[(index + 1) % logs.length]!;
    const exchanged = copyOf(sample.files)
      .set(log, sample.files.get(other)!)
      .set(other, sample.files.get(log)!);
    expect(await judge(sample, exchanged, [])).toBe('right');
    const twice = copyOf(sample.files).set(other, sample.files.get(log)!);
    verdicts.push(await judge(sample, twice, whole(other)));
  }
  // The last file alone may take its commits with it: nothing after it can say that they were.
  expect(verdicts.filter((verdict) => verdict !== 'refused').length).toBeLessThan(8);
  const none = new Map([['data', sample.files.get('data')!]]);
  expect(await judge(sample, none, [])).toBe('refused');
});

test('damage: files of another store are not taken for ours', async () => {
  const [mine, others] = [await makeLongLog('mine'), await makeLongLog('them')];
  expect([...mine.files.keys()]).toEqual([...others.files.keys()]);
  for (const file of mine.files.keys()) {
    const mixed = copyOf(mine.files).set(file, others.files.get(file)!);
    const verdict = await judge(file === 'data' ? others : mine, mixed, whole(file));
    expect(verdict).toMatch(file === [...mine.files.keys()].at(-1) ? /shorter|refused/ : /refused/);
  }
  // Their files beside ours are no log of ours.
  const more = copyOf(mine.files);
  for (const [index, file] of [...others.files.keys()].entries()) {
    if (file !== 'data') more.set(`log-${90 + index}`, others.files.get(file)!);
  }
  expect(await judge(mine, more, [])).toBe('right');
  // A block of theirs in the place of one of ours.
  const random = new Random(seed);
  const [ours, theirs] = [mine.files.get('data')!, others.files.get('data')!];
  for (let round = 0; round < 60; round++) {
    const at = 8192 + 512 * random.below((Math.min(ours.length, theirs.length) - 8192) / 512 - 9);
    const files = copyOf(mine.files);
    files.get('data')!.set(theirs.subarray(at, at + 9 * 512), at);
    await judge(mine, files, []);
  }
});

test('damage: beside a page that cannot be read, everything else goes on', async () => {
  const backend = new MemoryBackend();
  const config = {
    backend,
    walEnabled: true,
    pageSize: 4096,
    compression: 'none',
    checkpointWalSize: '512KB',
  } as const;
  const first = await StorageEngine.open(config);
  const keys = Array.from({ length: 400 }, (_, i) => `key ${String(i).padStart(4, '0')}`);
  for (const key of keys) await first.put(key, `value of ${key} `.repeat(5));
  await first.close();
  // The leaf that holds this value, found by what is in it.
  const data = filesOf(backend).get('data')!;
  const at = Buffer.from(data).indexOf('value of key 0200 ');
  backend.open('data', { create: false }).write([new Uint8Array([data[at]! ^ 1])], at);
  const engine = await StorageEngine.open(config);
  const reads = () =>
    keys.map((key) => {
      try {
        return engine.getString(key);
      } catch (error) {
        return error;
      }
    });
  const lost = keys.filter((_, i) => reads()[i] instanceof AegisError);
  expect(lost).toContain('key 0200');
  expect(lost.length).toBeLessThan(40);
  for (const [i, found] of reads().entries()) {
    if (lost.includes(keys[i]!))
      expect(found).toMatchObject({ code: 'CORRUPTION', file: 'data', page: expect.any(Number) });
    else expect(found).toBe(`value of ${keys[i]} `.repeat(5));
  }
  // Nothing there can be changed, and trying harms nothing.
  const changes = [
    () => engine.put('key 0200', 'new'),
    () => engine.delete('key 0200'),
    () => engine.batch(['key 0001', 'key 0200'].map((key) => ({ type: 'put', key, value: 'new' }))),
    () => engine.transaction((tx) => tx.put('key 0200', 'new')),
    async () => engine.putSync('key 0200', 'new'),
  ];
  for (const change of changes) await rejected('CORRUPTION', change);
  const scan = engine.scan();
  expect(() => [...scan]).toThrow(expect.objectContaining({ code: 'CORRUPTION' }));
  const [before, after] = [keys.indexOf(lost[0]!), keys.indexOf(lost.at(-1)!) + 1];
  expect(engine.scan({ lt: keys[before - 1]! }).nextMany(400).length).toBe(before - 1);
  expect(engine.scan({ gte: keys[after]! }).nextMany(400).length).toBe(400 - after);
  // Elsewhere writing goes on, checkpoints included.
  await engine.put('key 0001', 'new');
  await engine.put('other', 'new');
  await engine.checkpoint();
  const report = await engine.verify();
  expect(report).toMatchObject({ ok: false });
  expect(report.problems.some(({ page }) => page !== undefined)).toBe(true);
  await engine.close();
  const again = await StorageEngine.open(config);
  expect([again.getString('key 0001'), again.getString('other')]).toEqual(['new', 'new']);
  expect(() => again.get('key 0200')).toThrow(expect.objectContaining({ code: 'CORRUPTION' }));
  await again.close();
});
