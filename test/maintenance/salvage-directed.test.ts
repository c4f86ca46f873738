/*
 * Salvage, case by case: what exactly is listed for a page of each kind, what is found below lost inner pages, and what a
 * spoilt page costs.
 */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { salvage } from '../../src/index.ts';
import { backendOf, filesOf } from '../support/files.ts';
import { Plant } from '../support/plant.ts';
import { KIT_CONFIG, longKey, newPlace, Writer, writeStory } from './salvage-kit.ts';
import { salvaged, spoiled, tall } from './salvage-tall.ts';

const text = (bytes: unknown) => Buffer.from(bytes as Uint8Array).toString();

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
