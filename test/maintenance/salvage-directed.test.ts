/*
 * Salvage, case by case: what exactly is listed for a page of each kind, what is found below lost inner pages, what the
 * log saves, what a spoilt page costs, and that no half of a store is left at the target.
 */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { AegisError, salvage } from '../../src/index.ts';
import { backendOf, filesOf } from '../support/files.ts';
import { Plant } from '../support/plant.ts';
import { refused } from '../support/refused.ts';
import { sized } from '../support/seed.ts';
import { judge, KIT_CONFIG, longKey, newPlace, type Story, Writer, writeStory } from './salvage-kit.ts';

type Files = ReadonlyMap<string, Uint8Array>;

const text = (bytes: unknown) => Buffer.from(bytes as Uint8Array).toString();

/** A store whose tree has three levels, closed or cut off from its power. */
async function tall(log = false, records = 1000): Promise<Story> {
  const writer = await Writer.open();
  for (let first = 0; first < records; first += 100) {
    const records = Array.from(
      { length: 100 },
      (_, i) => [longKey(first + i), `value ${first + i}`] as const,
    );
    await writer.batch('', records);
  }
  await writer.put('', 'zz', 'x'.repeat(9000));
  await writer.engine.checkpoint();
  if (!log) return writer.end();
  await writer.put('', longKey(5), 'newer');
  await writer.delete('', longKey(6));
  await writer.put('', longKey(6.5), 'new');
  return writer.end();
}

/** The files with damage that `plan` says, and the plant that it was done with. */
function spoiled(files: Files, plan: (plant: Plant, hit: (page: number) => void) => void): SimulatedBackend {
  const memory = backendOf(files);
  const plant = new Plant(memory);
  plan(plant, (page) => plant.overwrite(plant.place(page).start * 512 + 90, new Uint8Array([1, 2, 3, 4, 5])));
  return new SimulatedBackend({ seed: 3, files: filesOf(memory) });
}

async function salvaged(story: Story, backend: SimulatedBackend, hint: string) {
  const target = newPlace();
  const report = await salvage({ ...KIT_CONFIG, backend }, target);
  await judge(story, report, target, hint);
  return report;
}

test('salvage: a lost leaf costs the keys that its parent gives it, and no other', async () => {
  const story = await tall();
  let [first, next] = ['', ''];
  const backend = spoiled(story.files, (plant, hit) => {
    const leaves = plant.nodes().filter(({ level }) => level === 0);
    first = text(plant.tree(leaves[7]!.page).cells[0]!.key);
    next = text(plant.tree(leaves[8]!.page).cells[0]!.key);
    hit(leaves[7]!.page);
  });
  const { lost } = await salvaged(story, backend, 'leaf');
  expect(lost).toHaveLength(1);
  const { gte, lt } = lost[0]!.range!;
  // A separator is no longer than it must be.
  expect([text(gte) <= first, text(lt) > first, text(lt) <= next]).toEqual([true, true, true]);
});

test('salvage: a page of a long value costs its key', async () => {
  const story = await tall();
  for (const which of [0, 1]) {
    const backend = spoiled(story.files, (plant, hit) => hit(plant.chains()[0]!.pages[which]!));
    const { lost } = await salvaged(story, backend, `chain ${which}`);
    expect(lost.map(({ range }) => [text(range!.gte), text(range!.lte)])).toEqual([['zz', 'zz']]);
  }
});

test('salvage: below lost inner pages everything is found again, up to the root', async () => {
  const story = await tall();
  for (const level of [1, 2, 3]) {
    const backend = spoiled(story.files, (plant, hit) => {
      const page = plant.nodes().find((node) => node.level === level);
      expect(page, `level ${level}`).toBeDefined();
      hit(page!.page);
    });
    expect((await salvaged(story, backend, `level ${level}`)).lost, `level ${level}`).toEqual([]);
  }
});

test('salvage: two inner pages of one tree are found again, those of two trees are not told apart', async () => {
  const story = await tall();
  const both = spoiled(story.files, (plant, hit) => {
    const [one, other] = plant.nodes().filter(({ level }) => level === 1);
    hit(one!.page);
    hit(other!.page);
  });
  expect((await salvaged(story, both, 'two of one tree')).lost).toEqual([]);
  const writer = await Writer.open();
  for (const [i, tree] of ['', 'a', 'b'].entries()) {
    await writer.batch(
      tree,
      Array.from({ length: 60 }, (_, at) => [longKey(i * 100 + at), `${tree} ${at}`] as const),
    );
  }
  await writer.engine.checkpoint();
  const trees = writer.end();
  const roots = spoiled(trees.files, (plant, hit) => {
    const catalog = plant.tree(plant.superblock.catalogRoot).cells;
    hit(plant.superblock.mainRoot);
    hit(new DataView(catalog[1]!.value.buffer, catalog[1]!.value.byteOffset).getUint32(4, true));
  });
  const { lost } = await salvaged(trees, roots, 'two trees');
  expect(lost.map(({ what, tree, range }) => [what, tree, range])).toEqual([
    ['keys', undefined, {}],
    ['keys', 'b', {}],
  ]);
});

test('salvage: with a leaf lost below a lost inner page, what lies between its neighbours is listed', async () => {
  const story = await tall();
  let [last, first] = ['', ''];
  const backend = spoiled(story.files, (plant, hit) => {
    const inner = plant.nodes().find(({ level }) => level === 1)!;
    const leaves = plant.tree(inner.page).cells.map(({ word }) => word);
    hit(inner.page);
    hit(leaves[2]!);
    last = text(plant.tree(leaves[1]!).cells.at(-1)!.key);
    first = text(plant.tree(leaves[3]!).cells[0]!.key);
  });
  const { lost } = await salvaged(story, backend, 'inner and leaf');
  // Which of the pages is lost nobody knows, so there may be more between any two.
  expect(lost.length).toBeGreaterThan(3);
  const ranges = lost.map(({ range }) => [range!.gt, range!.lt].map((key) => key && text(key)));
  expect(ranges).toContainEqual([last, first]);
});

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

test('salvage: without its catalog a store keeps its own tree, and what the log says of others', async () => {
  const story = await writeStory();
  const backend = spoiled(story.files, (plant, hit) => hit(plant.superblock.catalogRoot));
  const { lost } = await salvaged(story, backend, 'catalog');
  const kinds = lost.map(({ what, tree }) => tree ?? what);
  expect(kinds).toContain('trees');
  expect(kinds).toContain('blocks');
  // The log makes it; what it held before nobody knows.
  expect(kinds).toContain('fresh');
});

test('salvage: a lost piece of the directory costs its pages, and all of it costs all but the log', async () => {
  const story = await tall(true, 3000);
  const count = { chunk: 0, root: 0 };
  for (const which of ['chunk', 'root'] as const) {
    const backend = spoiled(story.files, (plant) => {
      const place = plant.chunkPlaces(which === 'root' ? 1 : 0)[0]!;
      plant.overwrite(place.start * 512 + 70, new Uint8Array([9, 9]));
    });
    const report = await salvaged(story, backend, which);
    expect(report.lost[0]!.message).toMatch(/directory chunk/);
    count[which] = report.records;
  }
  expect(count.root).toBe(2);
  expect(count.chunk).toBeGreaterThan(100);
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

test('salvage: below a page that a durable change was lost for nothing is believed', async () => {
  for (const level of [0, 1]) {
    const story = await tall(true);
    const memory = backendOf(story.files);
    const plant = new Plant(memory);
    const { page } = plant.nodes().find((node) => node.level === level)!;
    const at = plant.place(page).start * 512 + 90;
    const byte = (story.files.get('data') as Uint8Array)[at]!;
    plant.overwrite(at, new Uint8Array([byte ^ 1]));
    // The program goes on, and its replay loses what was for the page; then the page can be read again.
    const engine = await StorageEngine.open({ ...KIT_CONFIG, backend: memory, walEnabled: true });
    await engine.checkpoint();
    await engine.close();
    plant.overwrite(at, new Uint8Array([byte]));
    const target = newPlace();
    const report = await salvage({ ...KIT_CONFIG, backend: memory }, target);
    expect(`${report.lost[0]?.message}`).toMatch(/durable change/);
    const copy = await StorageEngine.open({ backend: target });
    expect([copy.has(longKey(5)), copy.has(longKey(6)), copy.has(longKey(900))]).toEqual([
      false,
      false,
      true,
    ]);
    await copy.close();
  }
});

test('salvage: pages whose checksums hold and that cannot be are lost, not copied', async () => {
  const story = await tall();
  const planted: [string, (plant: Plant) => void][] = [
    ['a key outside of its page', (plant) => changeLeaf(plant, ({ cells }) => cells[0]!.key.set([1]))],
    [
      'a level',
      (plant) => changeLeaf(plant, (page) => Object.assign(page, { kind: 2, level: 5, cells: [] })),
    ],
    [
      'one leaf twice',
      (plant) => {
        const inner = plant.nodes().find(({ level }) => level === 1)!;
        plant.changeTree(inner.page, ({ cells }) => void Object.assign(cells[2]!, { word: cells[1]!.word }));
      },
    ],
    [
      'a chain',
      (plant) =>
        plant.changeOverflow(
          plant.chains()[0]!.pages[1]!,
          (page) => void Object.assign(page, { remaining: page.remaining + 1 }),
        ),
    ],
  ];
  for (const [what, change] of planted) {
    const memory = backendOf(story.files);
    const plant = new Plant(memory);
    change(plant);
    plant.save();
    const backend = new SimulatedBackend({ seed: 3, files: filesOf(memory) });
    const { lost } = await salvaged(story, backend, what);
    expect(lost.length, what).toBe(1);
  }
});

test('salvage: a long value that two keys refer to is given to one', async () => {
  const story = await tall();
  const memory = backendOf(story.files);
  const plant = new Plant(memory);
  const { leaf, slot } = plant.chains()[0]!;
  plant.changeTree(leaf, ({ cells }) => {
    const { word, value } = cells[slot]!;
    Object.assign(cells[slot - 1]!, { word, value });
  });
  plant.save();
  const target = newPlace();
  const { lost, records } = await salvage({ ...KIT_CONFIG, backend: memory }, target);
  expect([lost.map(({ range }) => text(range!.gte)), records]).toEqual([['zz'], 1000]);
});

function changeLeaf(plant: Plant, change: Parameters<Plant['changeTree']>[1]): void {
  const leaf = plant.nodes().filter(({ level }) => level === 0)[4]!;
  plant.changeTree(leaf.page, change);
}

test('salvage: a name in the catalog that cannot be is listed, and what the log puts in its tree is there', async () => {
  const story = await writeStory();
  const memory = backendOf(story.files);
  const plant = new Plant(memory);
  plant.changeTree(plant.superblock.catalogRoot, ({ cells }) => {
    for (const cell of cells) if (text(cell.key) === 'other') cell.value.set([1, 0, 0, 0]);
  });
  plant.save();
  const backend = new SimulatedBackend({ seed: 3, files: filesOf(memory) });
  const { lost } = await salvaged(story, backend, 'name');
  expect(lost.map(({ what, tree }) => [what, tree])).toEqual([
    ['keys', 'other'],
    ['keys', 'other'],
  ]);
});

test('salvage: a block whose own checksum does not hold is lost', async () => {
  const story = await writeStory();
  const memory = backendOf(story.files);
  const plant = new Plant(memory);
  const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset);
  const own = plant
    .tree(plant.superblock.catalogRoot)
    .cells.find(({ key }) => key[0] === 0xff && key[1] !== 0)!;
  const leaf = plant.tree(view(own.value).getUint32(4, true));
  plant.changeOverflow(view(leaf.cells[2]!.value).getUint32(0, true), ({ data }) => data.set([0xee], 50));
  plant.save();
  const backend = new SimulatedBackend({ seed: 3, files: filesOf(memory) });
  const { lost } = await salvaged(story, backend, 'block');
  expect(lost).toMatchObject([{ what: 'blocks', ids: [3, 3] }]);
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
