/*
 * Defects that storage engines have shipped with: log, pages, blocks and files. Each test is named by its defect and
 * holds what must be the case instead. `kill` is the death of the process, `crash` a power cut.
 */
import { expect, onTestFinished, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { AegisErrorCode } from '../../src/base/errors.ts';
import { MemoryBackend, StorageEngine } from '../../src/index.ts';
import { randomFrom } from '../support/codec-data.ts';
import { FaultyBackend } from '../support/faults.ts';
import { backendOf, type Files, filesOf } from '../support/files.ts';
import { refused } from '../support/refused.ts';
import { long, seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

const CODES_OF_DAMAGE: readonly AegisErrorCode[] = ['CORRUPTION', 'NOT_A_STORE', 'UNSUPPORTED_VERSION'];

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString();
}

/** A store's records as text. */
function content(db: StorageEngine): Record<string, string> {
  return Object.fromEntries([...db.scan()].map(([key, value]) => [text(key)!, text(value)!]));
}

/** Opens what is left on a simulated disk, closes it, and answers its records. */
async function found(disk: SimulatedBackend): Promise<Record<string, string>> {
  const db = await openSmall(disk);
  const records = content(db);
  expect((await db.verify()).problems).toEqual([]);
  await db.close();
  return records;
}

// --- the log ----------------------------------------------------------------------------------------------------

test('defects: a log file that is full of commits is written over after a reopening', async () => {
  const value = 'x'.repeat(40_000);
  const expected: Record<string, string> = {};
  let disk = new SimulatedBackend({ seed });
  for (let life = 0; life < 4; life++) {
    const db = await openSmall(disk, { checkpointWalSize: '2MB' });
    expect(content(db)).toEqual(expected);
    // Several log files a life, and no checkpoint that would make up for one that is lost.
    for (let i = 0; i < 10; i++) {
      const key = `life ${life} ${i}`;
      await db.put(key, key + value);
      expected[key] = key + value;
    }
    disk = life % 2 === 0 ? disk.kill() : disk.crash(() => false);
  }
  expect(await found(disk)).toEqual(expected);
});

test('defects: commits behind a torn end of the log are unreachable', async () => {
  const first = new SimulatedBackend({ seed });
  const db = await openSmall(first);
  await db.put('before', 'x');
  const log = [...first.files().keys()].find((name) => name.startsWith('log-'))!;
  let torn: SimulatedBackend | undefined;
  first.onCall = ({ operation, file }) => {
    // Some sectors of the group, as a power cut leaves it.
    if (operation === 'write' && file === log) torn ??= first.crash((unit) => (unit.position >> 9) % 2 === 0);
  };
  await db.put('torn', 'y'.repeat(9000));
  const again = await openSmall(torn!);
  expect(content(again)).toEqual({ before: 'x' });
  for (let i = 0; i < 3; i++) await again.put(`after ${i}`, 'z');
  const expected = { before: 'x', 'after 0': 'z', 'after 1': 'z', 'after 2': 'z' };
  for (const left of [torn!.kill(), torn!.crash(() => false)]) expect(await found(left)).toEqual(expected);
});

test('defects: a transaction number is used again and takes an earlier commit of the log with it', async () => {
  let disk = new SimulatedBackend({ seed });
  const expected: Record<string, string> = {};
  const numbers: number[] = [];
  for (let life = 0; life < 4; life++) {
    const db = await openSmall(disk);
    const stays = db.beginTransaction();
    const goes = db.beginTransaction();
    numbers.push(stays.id);
    stays.put(`life ${life}`, 'stays');
    goes.put(`life ${life}`, 'goes');
    goes.put('gone', 'goes');
    await stays.commit();
    goes.abort();
    expected[`life ${life}`] = 'stays';
    disk = disk.kill();
  }
  // Numbers are of one opening only; what they must not do is name anything in the log.
  expect(new Set(numbers).size).toBe(1);
  expect(await found(disk)).toEqual(expected);
});

test('defects: log positions and sequences start again at one after a reopening', async () => {
  let disk = new SimulatedBackend({ seed });
  let last = { lsn: 0, sequence: 0 };
  for (let life = 0; life < 6; life++) {
    const db = await openSmall(disk);
    for (let i = 0; i < 3; i++) {
      const tx = db.beginTransaction();
      tx.put(`key ${i}`, `${life}`);
      const result = await tx.commit();
      expect(result.lsn).toBeGreaterThan(last.lsn);
      expect(result.sequence).toBe(last.sequence + 1);
      last = result;
    }
    if (life % 3 === 0) await db.close();
    if (life % 3 === 1) await db.checkpoint();
    disk = disk.kill();
  }
});

test('defects: the checkpoint is forgotten, and recovery reads the whole log again', async () => {
  const read = async (withCheckpoint: boolean): Promise<number> => {
    const disk = new SimulatedBackend({ seed });
    const db = await openSmall(disk, { checkpointWalSize: '4MB' });
    for (let i = 0; i < 200; i++) await db.put(`key ${i}`, `value ${i} `.repeat(600));
    if (withCheckpoint) await db.checkpoint();
    await db.put('after', 'x');
    let replayed = 0;
    const again = await openSmall(disk.kill(), {
      checkpointWalSize: '4MB',
      onProgress: ({ phase, total }) => {
        if (phase === 'recovery') replayed = Math.max(replayed, total);
      },
    });
    expect([again.count(), again.getString('after'), again.getString('key 7')?.length]).toEqual([
      201,
      'x',
      4800,
    ]);
    await again.close();
    return replayed;
  };
  const whole = await read(false);
  expect(whole).toBeGreaterThan(900_000);
  expect(await read(true)).toBeLessThan(whole / 20);
});

test('defects: a transaction that is open during a checkpoint is dropped although it is committed', async () => {
  const disk = new SimulatedBackend({ seed });
  const db = await openSmall(disk);
  const tx = db.beginTransaction();
  tx.put('begun before', 'x');
  const large = db.beginTransaction();
  for (let i = 0; i < 2000; i++) large.put(`large ${i}`, 'y'.repeat(100));
  for (let i = 0; i < 300; i++) await db.put(`other ${i % 10}`, 'z'.repeat(3000));
  await db.checkpoint();
  await tx.commit();
  await large.commit();
  expect(db.stats().checkpoints).toBeGreaterThan(1);
  for (const left of [disk.kill(), disk.crash(() => false)]) {
    const records = await found(left);
    expect([records['begun before'], Object.keys(records).length]).toEqual(['x', 2011]);
  }
  await db.close();
});

test('defects: a commit is answered before its part of the log is durable', async () => {
  const disk = new SimulatedBackend({ seed, manual: true });
  const db = await disk.run(openSmall(disk));
  let answered = 0;
  const cuts: { readonly left: SimulatedBackend; readonly least: number }[] = [];
  const commits = Array.from({ length: 60 }, async (_, i) => {
    await db.put(`key ${String(i).padStart(2, '0')}`, 'x'.repeat(500));
    answered++;
    // Nothing that is not synced arrives.
    if (i % 6 === 0) cuts.push({ left: disk.crash(() => false), least: answered });
  });
  await disk.run(Promise.all(commits));
  expect(cuts.length).toBe(10);
  for (const { left, least } of cuts) {
    const again = await left.run(openSmall(left));
    expect(again.count()).toBeGreaterThanOrEqual(least);
    await left.run(again.close());
  }
  await disk.run(db.close());
});

test('defects: without a sync a commit stays in the memory of the process', async () => {
  const disk = new SimulatedBackend({ seed });
  const db = await openSmall(disk, { syncOnCommit: false });
  await db.put('a', 'x');
  const tx = db.beginTransaction();
  tx.put('b', 'x');
  await tx.commit({ sync: false });
  expect(await found(disk.kill())).toEqual({ a: 'x', b: 'x' });
  await db.close();
});

test('defects: a bad record in the middle of the log ends the log there without a word', async () => {
  const backend = new MemoryBackend();
  const db = await openSmall(backend);
  for (let i = 0; i < 30; i++) await db.put(`key ${i}`, `value ${i}`.repeat(20));
  const files = filesOf(backend);
  await db.close();
  const [name, bytes] = [...files].find(([file]) => file.startsWith('log-'))!;
  // In the value of the tenth commit: twenty more were acknowledged behind it.
  const at = Buffer.from(bytes).indexOf('value 10');
  expect(at).toBeGreaterThan(0);
  bytes[at] = (bytes[at] as number) ^ 4;
  const error = await refused('CORRUPTION', () => openSmall(backendOf(files)));
  expect(error).toMatchObject({ file: name, offset: expect.any(Number) });
});

test('defects: files that are too short for what they claim end in a panic', async () => {
  const backend = new MemoryBackend();
  const db = await openSmall(backend);
  for (let i = 0; i < 20; i++) await db.put(`key ${i}`, 'value'.repeat(10));
  const files = filesOf(backend);
  await db.close();
  const lengths = [0, 1, 3, 4, 12, 32, 33, 40, 64, 511, 512, 513, 4096, 8191, 8193, 12_345];
  let opened = 0;
  for (const name of files.keys()) {
    for (const length of lengths) {
      const cut: Files = new Map(files);
      cut.set(name, files.get(name)!.slice(0, length));
      const outcome = await openSmall(backendOf(cut), { createIfMissing: false }).then(
        async (store) => {
          await store.close();
          return 'opened';
        },
        ({ code }) => code,
      );
      // Without any byte of a store nothing is there; a log is never missed silently.
      expect(['opened', 'NOT_FOUND', ...CODES_OF_DAMAGE], `${name} of ${length} bytes`).toContain(outcome);
      if (outcome === 'opened') opened++;
    }
  }
  expect(opened).toBeLessThan(lengths.length * files.size);
});

test('defects: a new file is there only until the next power cut, since its directory is not synced', async () => {
  const disk = new SimulatedBackend({ seed });
  const db = await openSmall(disk);
  const names = new Set<string>();
  for (let i = 0; i < 40; i++) {
    await db.put(`key ${i}`, `${i}`.repeat(10_000));
    for (const name of disk.files().keys()) names.add(name);
    const left = disk.crash((unit) => unit.kind !== 'entry' && i % 2 === 0);
    const again = await openSmall(left, { readOnly: true });
    expect(again.count()).toBe(i + 1);
    await again.close();
  }
  expect(names.size).toBeGreaterThan(2);
  await db.close();
});

test('defects: a commit that met an I/O error takes others with it', async () => {
  const backend = new FaultyBackend();
  const db = await openSmall(backend);
  await db.put('before', 'x');
  let failing = true;
  backend.plan = ({ operation, file }) => {
    if (!failing || operation !== 'write' || !file.startsWith('log-')) return undefined;
    failing = false;
    return { errno: 'ENOSPC', torn: true };
  };
  const tx = db.beginTransaction();
  tx.put('refused', 'x');
  await refused('OUT_OF_SPACE', () => tx.commit());
  expect([tx.state, db.has('refused')]).toEqual(['aborted', false]);
  await db.put('after', 'x');
  const again = await openSmall(backendOf(backend.files));
  expect(content(again)).toEqual({ before: 'x', after: 'x' });
  await again.close();
  await db.close();
});

test('defects: a crash within a commit leaves half a transaction', async () => {
  const disk = new SimulatedBackend({ seed, manual: true });
  const db = await disk.run(openSmall(disk));
  const keys = Array.from({ length: 12 }, (_, i) => `key ${i}`);
  const write = (round: number): Promise<unknown> => {
    const tx = db.beginTransaction();
    for (const key of keys) tx.put(key, `${round} `.repeat(700));
    return tx.commit();
  };
  await disk.run(write(0));
  const left: SimulatedBackend[] = [];
  disk.onCall = ({ number }) => {
    left.push(number % 2 === 0 ? disk.crash() : disk.kill());
  };
  for (let round = 1; round <= 12; round++) {
    await disk.run(write(round));
    if (round % 4 === 0) await disk.run(db.checkpoint());
  }
  disk.onCall = undefined;
  expect(left.length).toBeGreaterThan(40);
  const rounds = new Set<string>();
  for (const one of left) {
    const again = await one.run(openSmall(one, { readOnly: true }));
    const values = new Set(keys.map((key) => again.getString(key)?.slice(0, 3).trim()));
    expect([...values]).toHaveLength(1);
    for (const value of values) rounds.add(value!);
    await one.run(again.close());
  }
  expect(rounds.size).toBeGreaterThan(10);
  await disk.run(db.close());
});

// --- pages and the pool -----------------------------------------------------------------------------------------

test('defects: a changed page that must leave the pool is dropped', async () => {
  for (const walEnabled of [true, false]) {
    const db = await openSmall(new MemoryBackend(), { walEnabled });
    for (let i = 0; i < 4000; i++) db.putSync(`key ${(i * 7919) % 4000}`, `value ${i} `.repeat(8));
    expect(db.stats().pool.evictions).toBeGreaterThan(50);
    for (let i = 0; i < 4000; i++) {
      expect(db.getString(`key ${(i * 7919) % 4000}`)).toBe(`value ${i} `.repeat(8));
    }
    await db.close();
  }
});

test('defects: bytes that were handed out show another page after an eviction', async () => {
  const db = await openSmall(new MemoryBackend());
  for (let i = 0; i < 3000; i++) db.putSync(`key ${i}`, `value ${i} `.repeat(9));
  const held = Array.from({ length: 3000 }, (_, i) => db.get(`key ${i}`)!);
  const entries = [...db.scan({ limit: 1000 })];
  for (let i = 0; i < 3000; i++) db.putSync(`key ${i}`, 'another'.repeat(12));
  expect(held.every((value, i) => text(value) === `value ${i} `.repeat(9))).toBe(true);
  expect(entries.every(([key, value]) => text(value)!.startsWith(`value ${text(key)!.slice(4)} `))).toBe(
    true,
  );
  // And they are the caller's to change.
  for (const value of db.getMany(['key 1', 'key 2'])) value!.fill(0);
  expect(db.getString('key 1')).toBe('another'.repeat(12));
  await db.close();
});

test('defects: a page that is not there is made up as an empty one', async () => {
  const backend = new MemoryBackend();
  const db = await openSmall(backend, { compression: 'none' });
  for (let i = 0; i < 2000; i++) db.putSync(`key ${i}`, 'x'.repeat(60));
  await db.close();
  const files = filesOf(backend);
  const data = files.get('data')!;
  // Zeros from the first page on, and nothing at all.
  for (const bytes of [data.slice().fill(0, 8192), data.slice(0, 8192)]) {
    const outcome = await openSmall(backendOf(new Map(files).set('data', bytes))).then(
      async (store) => {
        const error = await refused('CORRUPTION', () => [...store.scan()]);
        await store.close().catch(() => undefined);
        return error.code;
      },
      ({ code }) => code,
    );
    expect(outcome).toBe('CORRUPTION');
  }
});

test('defects: space of deleted records is never used again', async () => {
  const db = await openSmall(new MemoryBackend());
  await db.put('stays', 'x');
  const cycles = long ? 50_000 : 4000;
  for (let i = 0; i < cycles; i++) {
    db.putSync(`key ${i % 3}`, 'x'.repeat(100));
    db.deleteSync(`key ${i % 3}`);
  }
  expect([db.count(), db.stats().pages.count]).toEqual([1, 1]);
  await db.checkpoint();
  expect(db.stats().data.usedSize).toBeLessThan(20_000);
  await db.close();
});

test('defects: marks of deleted records are never reclaimed', async () => {
  const db = await openSmall(new MemoryBackend(), { compression: 'none' });
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 1500; i++) db.putSync(`round ${round} ${i}`, 'x'.repeat(80));
    // Deleted by single deletes, in a transaction, and by a range.
    if (round === 0) for (let i = 0; i < 1500; i++) db.deleteSync(`round ${round} ${i}`);
    const tx = db.beginTransaction();
    if (round === 1) for (let i = 0; i < 1500; i++) tx.delete(`round ${round} ${i}`);
    if (round === 2) tx.deleteRange({ prefix: 'round' });
    await tx.commit();
    await db.checkpoint();
    const { pages, data, versions } = db.stats();
    expect([db.count(), versions.count]).toEqual([0, 0]);
    expect(pages.count).toBeLessThan(4);
    expect(data.usedSize).toBeLessThan(30_000);
    expect((await db.verify()).records).toBe(0);
  }
  await db.close();
});

test('defects: what an aborted transaction wrote is never reclaimed', async () => {
  const db = await openSmall(new MemoryBackend());
  await db.put('a', 'x');
  await db.checkpoint();
  const before = db.stats().data.usedSize;
  for (let round = 0; round < 10; round++) {
    const tx = db.beginTransaction();
    for (let i = 0; i < 800; i++) tx.put(i === 0 ? 'a' : `key ${i}`, 'y'.repeat(90));
    tx.put('long', 'z'.repeat(50_000));
    tx.abort();
  }
  await db.checkpoint();
  const { data, versions, pool } = db.stats();
  expect([db.getString('a'), db.count(), versions.count, pool.dirtyFrames]).toEqual(['x', 1, 0, 0]);
  expect(data.usedSize).toBeLessThanOrEqual(before + 8192);
  await db.close();
});

test('defects: counts of pages and bytes drift with overwriting and deleting', async () => {
  const db = await openSmall(new MemoryBackend());
  const random = randomFrom(seed);
  for (let i = 0; i < 4000; i++) {
    const key = `key ${random(300)}`;
    if (random(3) === 0) db.deleteSync(key);
    else db.putSync(key, 'x'.repeat(random(10) === 0 ? 9000 : random(300)));
    if (i % 500 === 499) {
      const report = await db.verify();
      expect(report).toMatchObject({ ok: true, records: db.count(), pages: db.stats().pages.count });
    }
  }
  for (const key of [...db.scan().keys()]) db.deleteSync(key);
  expect([db.stats().pages.count, (await db.verify()).pages]).toEqual([1, 1]);
  await db.close();
});

// --- blocks -----------------------------------------------------------------------------------------------------

/** The files of a closed store of pages that lie in blocks of the same size. */
async function closedStore(): Promise<Files> {
  const backend = new MemoryBackend();
  const db = await openSmall(backend, { compression: 'none' });
  for (let i = 0; i < 600; i++) db.putSync(`key ${i}`, `value ${i} `.repeat(9));
  await db.close();
  return filesOf(backend);
}

/** What reading every record of changed files leads to. */
async function read(files: Files): Promise<'right' | 'wrong' | AegisErrorCode> {
  try {
    const db = await openSmall(backendOf(files), { compression: 'none', readOnly: true });
    onTestFinished(() => db.close());
    let right = 0;
    for (let i = 0; i < 600; i++) if (db.getString(`key ${i}`) === `value ${i} `.repeat(9)) right++;
    return right === 600 && db.count() === 600 ? 'right' : 'wrong';
  } catch (error) {
    return (error as { code: AegisErrorCode }).code;
  }
}

/** Where blocks begin in a data file. */
function blocksOf(data: Uint8Array): number[] {
  const blocks: number[] = [];
  for (let at = 8192; at < data.length; at += 512) {
    if (text(data.subarray(at, at + 4)) === 'AEGB') blocks.push(at);
  }
  return blocks;
}

test('defects: checksums are written and never checked, the one of the header not even written', async () => {
  const files = await closedStore();
  expect(await read(files)).toBe('right');
  const data = files.get('data')!;
  const outcomes = new Set<string>();
  for (const block of blocksOf(data)) {
    for (const at of [block + 5, block + 20, block + 90, block + 400]) {
      const changed = data.slice();
      changed[at] = (changed[at] as number) ^ 1;
      const outcome = await read(new Map(files).set('data', changed));
      // A block that is no longer part of the store may hold anything.
      expect(['right', 'CORRUPTION']).toContain(outcome);
      outcomes.add(outcome);
    }
  }
  expect(outcomes).toContain('CORRUPTION');
});

test('defects: two blocks change places and nobody notices', async () => {
  const files = await closedStore();
  const data = files.get('data')!;
  const blocks = blocksOf(data);
  const outcomes: string[] = [];
  for (let i = 1; i < blocks.length; i++) {
    const [one, two] = [blocks[i - 1] as number, blocks[i] as number];
    const size = Math.min(two - one, (blocks[i + 1] ?? data.length) - two);
    const changed = data.slice();
    changed.set(data.subarray(one, one + size), two);
    changed.set(data.subarray(two, two + size), one);
    outcomes.push(await read(new Map(files).set('data', changed)));
  }
  expect(outcomes).not.toContain('wrong');
  expect(outcomes.filter((outcome) => outcome === 'CORRUPTION').length).toBeGreaterThan(10);
});

test('defects: data that cannot be compressed grows', async () => {
  const random = randomFrom(seed);
  const value = (): Uint8Array => Uint8Array.from({ length: 3000 }, () => random(256));
  const sizes: number[] = [];
  for (const compression of ['none', 'lz4'] as const) {
    const db = await openSmall(new MemoryBackend(), { compression });
    for (let i = 0; i < 200; i++) db.putSync(`key ${i}`, value());
    await db.checkpoint();
    sizes.push(db.stats().data.usedSize);
    await db.close();
  }
  expect(sizes[1]).toBeLessThanOrEqual((sizes[0] as number) * 1.02);
});

// --- configuration ----------------------------------------------------------------------------------------------

test('defects: options that nobody reads are taken without a word', async () => {
  for (const config of [{ syncWrites: true }, { buffer_pool_size: '1GB' }, { compression: 'LZ4' }]) {
    await refused('INVALID_ARGUMENT', () => StorageEngine.open(config as never));
  }
  const db = await StorageEngine.open({ compression: 'lz4', bufferPoolSize: '1MB' });
  expect(db.config).toMatchObject({ backend: 'memory', compression: 'lz4', bufferPoolSize: 1_048_576 });
  await db.close();
});
