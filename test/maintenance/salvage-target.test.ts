/*
 * Salvage, case by case: what a damaged log or superblock costs, and what becomes of the target: no half of a store is
 * left there.
 */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { AegisError, salvage } from '../../src/index.ts';
import { backendOf } from '../support/files.ts';
import { Plant } from '../support/plant.ts';
import { refused } from '../support/refused.ts';
import { sized } from '../support/seed.ts';
import { judge, KIT_CONFIG, longKey, newPlace, Writer, writeStory } from './salvage-kit.ts';
import { salvaged, spoiled, tall } from './salvage-tall.ts';

test('salvage: what the log says of a key holds, whatever became of its page', async () => {
  const story = await tall(true);
  const backend = spoiled(story.files, (plant, hit) =>
    hit(plant.nodes().find(({ level }) => level === 0)!.page),
  );
  const target = newPlace();
  const report = await salvage({ ...KIT_CONFIG, backend }, target);
  await judge(story, report, target, 'leaf with changes');
  const bounds = report.lost.map(({ range }) => Object.keys(range!).join());
  expect(bounds).toContain('gt,lt');
  const engine = await StorageEngine.open({ backend: target });
  expect([engine.getString(longKey(5)), engine.has(longKey(6)), engine.has(longKey(7))]).toEqual([
    'newer',
    false,
    false,
  ]);
  await engine.close();
});

test('salvage: one superblock is enough, and without both nothing is made', async () => {
  const { files, ...rest } = await writeStory();
  for (const slot of [0, 4096]) {
    for (const errno of [undefined, 'EIO'] as const) {
      const backend = new SimulatedBackend({ seed: 3, files });
      if (errno === undefined) backend.rot('data', (slot + 60) * 8);
      else backend.plan = failing('data', slot);
      expect((await salvaged({ files, ...rest }, backend, `slot ${slot}`)).lost).toEqual([]);
    }
  }
  const target = newPlace();
  const backend = new SimulatedBackend({ seed: 3, files });
  backend.rot('data', 60 * 8);
  backend.plan = failing('data', 4096);
  const error = await refused('CORRUPTION', () => salvage({ ...KIT_CONFIG, backend }, target));
  expect(error.message).toMatch(/both superblocks are gone/i);
  expect(target.list()).toEqual([]);
});

function failing(name: string, at: number, times = Number.POSITIVE_INFINITY): SimulatedBackend['plan'] {
  let left = times;
  return ({ operation, file, position, length }) =>
    operation === 'read' && file === name && position <= at && at < position + length && left-- > 0
      ? { errno: 'EIO' }
      : undefined;
}

test('salvage: a damaged log is applied up to the damage, and that is said', async () => {
  const writer = await Writer.open();
  await writer.put('', 'first', 'held by the checkpoint');
  await writer.engine.checkpoint();
  const groups: number[] = [];
  for (let i = 0; i < 9; ++i) {
    const before = writer.backend.calls.length;
    await writer.put('', `key ${i % 4}`, `value ${i}`);
    const calls = writer.backend.calls.slice(before);
    groups.push(calls.find(({ operation, file }) => /write/.test(operation) && /^log-/.test(file))!.position);
  }
  const story = writer.end();
  for (const errno of [undefined, 'EIO'] as const) {
    const backend = new SimulatedBackend({ seed: 3, files: story.files });
    if (errno === undefined) backend.rot('log-1', (groups[5]! + 100) * 8);
    else backend.plan = failing('log-1', groups[5]! + 100);
    const report = await salvaged(story, backend, `log ${errno}`);
    expect(report.lost).toMatchObject([{ what: 'commits', ...(errno ? { errno } : {}) }]);
    expect(report.sequence).toBe(story.last - 4);
  }
  const files = new Map([...story.files].filter(([name]) => name === 'data'));
  const { lost, records } = await salvaged(story, new SimulatedBackend({ seed: 3, files }), 'no log');
  expect([lost.map(({ what, file }) => [what, file]), records]).toEqual([[['commits', 'log-1']], 1]);
});

test('salvage: a log file that cannot be opened or measured costs its commits, and only they are lost', async () => {
  const story = await writeStory();
  for (const operation of ['open', 'size'] as const) {
    for (const times of [2, 3]) {
      const backend = new SimulatedBackend({ seed: 3, files: story.files });
      let left = times;
      backend.plan = (call) =>
        call.operation === operation && call.file === 'log-1' && left-- > 0 ? { errno: 'EIO' } : undefined;
      const report = await salvaged(story, backend, `${operation} ${times}`);
      const lost = times < 3 ? [] : [{ what: 'commits', file: 'log-1', errno: 'EIO' }];
      expect(report.lost, operation).toMatchObject(lost);
      expect(report.records, operation).toBeGreaterThan(80);
    }
  }
});

test('salvage: what can be read at a second or third try is not lost', async () => {
  const story = await tall();
  const data = story.files.get('data') as Uint8Array;
  const plant = new Plant(backendOf(story.files));
  const { start } = plant.place(plant.superblock.mainRoot);
  const backend = new SimulatedBackend({ seed: 3, files: story.files });
  backend.plan = failing('data', start * 512, 2);
  expect((await salvaged(story, backend, 'twice')).lost).toEqual([]);
  const chunk = plant.superblock.directory.start * 512;
  expect(chunk).toBeLessThan(data.length);
  backend.plan = failing('data', chunk, 2);
  expect((await salvaged(story, backend, 'twice a chunk')).lost).toEqual([]);
});

test('salvage: whatever the target refuses, and whenever the power goes, there is no store or the whole one', async () => {
  const story = await writeStory();
  const source = (): SimulatedBackend => new SimulatedBackend({ seed: 3, files: story.files });
  const config = { ...KIT_CONFIG, bufferPoolSize: '64KB' } as const;
  const dry = newPlace();
  const disks: SimulatedBackend[] = [];
  dry.onCall = () =>
    void disks.push(
      dry.crash(() => true),
      ...dry.crashStates(1),
    );
  await salvage({ ...config, backend: source() }, dry);
  const whole = async (backend: SimulatedBackend): Promise<void> => {
    const engine = await StorageEngine.open({ ...config, backend, createIfMissing: false });
    const { size } = story.states.get(story.last)!.trees.get('')!;
    expect([engine.count(), (await engine.verify()).ok]).toEqual([size, true]);
    await engine.close();
  };
  let stores = 0;
  for (const disk of disks) {
    try {
      await whole(disk);
      ++stores;
    } catch (error) {
      expect(error).toMatchObject({ code: 'NOT_FOUND' });
    }
  }
  expect([stores > 1, stores < disks.length]).toEqual([true, true]);
  let failed = 0;
  for (let call = 1; call <= dry.calls.length; call += sized(9, 3, 1)) {
    const target = newPlace();
    target.plan = ({ number }) => (number === call ? { errno: 'ENOSPC' } : undefined);
    try {
      await salvage({ ...config, backend: source() }, target);
      continue;
    } catch (error) {
      ++failed;
      expect(error instanceof AegisError && error.code, `${call}: ${error}`).toMatch(/OUT_OF_SPACE|IO_ERROR/);
    }
    target.plan = () => undefined;
    // A store is there when it was finished, and closing it failed; then it is whole.
    const again = target.kill();
    const report = await salvage({ ...config, backend: source() }, again).catch(
      (error: AegisError) => error.code,
    );
    if (report !== 'EXISTS')
      await judge(story, report as Exclude<typeof report, string>, again, `call ${call}`);
    else await whole(again);
  }
  expect(failed).toBeGreaterThan(5);
});

test('salvage: a store in use is locked, and so is a target; a target is never the store itself', async () => {
  const story = await writeStory();
  const backend = new SimulatedBackend({ seed: 3, files: story.files });
  const engine = await StorageEngine.open({ ...KIT_CONFIG, backend });
  await refused('LOCKED', () => salvage({ ...KIT_CONFIG, backend }, newPlace()));
  await engine.close();
  await refused('INVALID_ARGUMENT', () => salvage({ ...KIT_CONFIG, backend }, backend));
  await refused('INVALID_ARGUMENT', () => salvage({ ...KIT_CONFIG, backend }, ''));
  await refused('INVALID_ARGUMENT', () => salvage({ ...KIT_CONFIG, backend, pageSize: 1 }, newPlace()));
  for (const config of [null, 5, []]) {
    const { message } = await refused('INVALID_ARGUMENT', () => salvage(config as never, newPlace()));
    expect(message).toMatch(/^the configuration is one object/);
  }
  const target = newPlace();
  const lock = target.lock('exclusive');
  await refused('LOCKED', () => salvage({ ...KIT_CONFIG, backend }, target));
  await (await lock).release();
  await refused('NOT_FOUND', () => salvage({ ...KIT_CONFIG, backend: newPlace() }, target));
  expect(target.list()).toEqual([]);
  await (await StorageEngine.open({ backend: target })).close();
  await refused('EXISTS', () => salvage({ ...KIT_CONFIG, backend }, target));
});

test('salvage: the new store has the page size and the codec of the old one', async () => {
  for (const compression of ['none', 'lz4', 'zstd'] as const) {
    const source = new SimulatedBackend({ seed: 3 });
    const engine = await StorageEngine.open({ backend: source, pageSize: 16_384, compression });
    for (let i = 0; i < 200; ++i) await engine.put(`key ${i}`, 'value '.repeat(50));
    await engine.close();
    const target = newPlace();
    const progress: number[] = [];
    await salvage({ backend: source, onProgress: ({ done }) => void progress.push(done) }, target);
    const plant = new DataView((target.files().get('data') as Uint8Array).buffer);
    const codecs = { none: 1, lz4: 2, zstd: 6 }[compression];
    expect([plant.getUint32(72, true), plant.getUint32(76, true)]).toEqual([16_384, codecs]);
  }
});
