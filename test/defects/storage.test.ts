/*
 * Defects that storage engines have shipped with: the log and its files. Each test is named by its defect and holds what
 * must be the case instead. `kill` is the death of the process, `crash` a power cut.
 */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { AegisErrorCode } from '../../src/base/errors.ts';
import { MemoryBackend, type StorageEngine } from '../../src/index.ts';
import { FaultyBackend } from '../support/faults.ts';
import { backendOf, type Files, filesOf } from '../support/files.ts';
import { refused } from '../support/refused.ts';
import { seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';
import { text } from './defects-kit.ts';

const CODES_OF_DAMAGE: readonly AegisErrorCode[] = ['CORRUPTION', 'NOT_A_STORE', 'UNSUPPORTED_VERSION'];

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
