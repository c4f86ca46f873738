/* The catalog against records that no writer makes: whatever a file or a log says, it is refused or a tree of its own. */
import { expect, onTestFinished, test } from 'vitest';
import { hostOf } from '../../src/backend/host.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { openStore } from '../../src/maintenance/open-store.ts';
import { Catalog } from '../../src/store/catalog.ts';
import { BLOCKS_NAME, nameBytes, nameOf } from '../../src/store/tree-name.ts';
import { refused } from '../support/refused.ts';

/** A store with two trees, and a way to put a record into its catalog. */
async function store() {
  const backend = new MemoryBackend();
  const config = resolveConfig({ backend, pageSize: 4096, walEnabled: false });
  const { trees, catalog, pager, superblock } = await openStore({ backend, host: hostOf(backend), config });
  onTestFinished(() => pager.blocks.file.close());
  catalog.create(Buffer.from('a'), 2);
  catalog.create(Buffer.from('b'), 3);
  const { catalogRoot } = catalog.state;
  const put = (key: Uint8Array, ...words: number[]): void =>
    trees.put(catalogRoot, key, new Uint8Array(Uint32Array.from(words).buffer));
  const loaded = (): Catalog => {
    const again = new Catalog(trees, superblock.mainRoot, catalog.state);
    again.load();
    return again;
  };
  /** An id that no tree has any more. */
  const used = (): number => {
    const id = catalog.freeId();
    catalog.markIdUsed(id);
    return id;
  };
  return { trees, catalog, catalogRoot, mainRoot: superblock.mainRoot, put, loaded, used };
}

test('catalog: what is in it is found again', async () => {
  const { catalog, loaded } = await store();
  catalog.create(nameBytes(BLOCKS_NAME), 4);
  catalog.create(Buffer.from('b'), 3);
  catalog.drop(Buffer.from('a'), 2);
  catalog.drop(Buffer.from('b'), 7);
  catalog.drop(Buffer.from([0xff, 0xfe]), 7);
  const again = loaded();
  expect(again.names()).toEqual(['b']);
  expect([again.size, again.find(BLOCKS_NAME)?.id, again.find('b')?.id, again.find('a')]).toEqual([
    1,
    4,
    3,
    undefined,
  ]);
  expect(again.dropped.map(({ id }) => id)).toEqual([2]);
  expect(again.state).toEqual(catalog.state);
  expect([again.idOf('b'), again.idOf('c'), again.freeId(), again.freeId(2)]).toEqual([3, undefined, 5, 7]);
  expect([again.isMade(3), again.isMade(5), again.rootOf(5)]).toEqual([true, false, undefined]);
});

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test.each<[string, (given: Awaited<ReturnType<typeof store>>) => void]>([
  ['a record too short', ({ put }) => put(bytes(99), 4)],
  ['an id that was never given', ({ put, trees }) => put(bytes(99), 900, trees.pager.createTree(false))],
  ['an id that is taken', ({ put, trees }) => put(bytes(99), 2, trees.pager.createTree(false))],
  ["the default tree's id", ({ put, trees }) => put(bytes(99), 1, trees.pager.createTree(false))],
  ["the default tree's root", ({ put, mainRoot, used }) => put(bytes(99), used(), mainRoot)],
  ["the catalog's own root", ({ put, catalogRoot, used }) => put(bytes(99), used(), catalogRoot)],
  ["another tree's root", ({ put, catalog, used }) => put(bytes(99), used(), catalog.find('a')?.root ?? 0)],
  ['root 0', ({ put, used }) => put(bytes(99), used(), 0)],
  ['a root that was never used', ({ put, used }) => put(bytes(99), used(), 1_000_000)],
  [
    'a name that is no text',
    ({ put, trees, used }) => put(bytes(0xc3), used(), trees.pager.createTree(false)),
  ],
  ['no name', ({ put, trees, used }) => put(bytes(), used(), trees.pager.createTree(false))],
  [
    'a tree of the engine that is unknown',
    ({ put, trees, used }) => put(bytes(255, 98), used(), trees.pager.createTree(false)),
  ],
  [
    'a dropped tree under a wrong id',
    ({ put, trees, used }) => put(bytes(255, 0, 0, 0, 0, 99), used(), trees.pager.createTree(false)),
  ],
])('catalog: %s is damage', async (_what, plant) => {
  const given = await store();
  plant(given);
  const damaged = given.loaded();
  for (const call of [
    () => damaged.names(),
    () => damaged.find('a'),
    () => damaged.idOf('z'),
    () => damaged.rootOf(9),
    () => damaged.create(Buffer.from('z'), 50),
    () => damaged.drop(Buffer.from('a'), 2),
    () => damaged.findAt('a', { epoch: 0, root: 0, changes: -1 }),
    () => damaged.rootsAt(damaged.view(2 ** 53)),
  ]) {
    await refused('CORRUPTION', call);
  }
  expect(damaged.find('')?.root).toBe(given.mainRoot);
});

test.each<[string, Uint8Array, number]>([
  ['a name of another tree', Buffer.from('a'), 9],
  ['an id of another tree', Buffer.from('z'), 3],
  ["the default tree's id", Buffer.from('z'), 1],
  ['an id beyond all', Buffer.from('z'), 0xffffffff],
  ['a name that is no text', bytes(0x80), 9],
])('catalog: a log that makes a tree with %s is damaged', async (_what, name, id) => {
  const { catalog } = await store();
  await refused('CORRUPTION', () => catalog.create(name, id));
  expect(catalog.names()).toEqual(['a', 'b']);
});

test('catalog: ids come to an end', async () => {
  const { catalog } = await store();
  catalog.markIdUsed(0xfffffffe);
  await refused('OUT_OF_SPACE', () => catalog.freeId());
  expect(catalog.idOf('a')).toBe(2);
});

test('catalog: names and their bytes are inverse to each other', () => {
  for (const name of ['a', 'é', '\0', '\ufeffx', '😀', 'x'.repeat(255), BLOCKS_NAME]) {
    expect(nameOf(nameBytes(name))).toBe(name);
  }
  expect([nameOf(bytes()), nameOf(new Uint8Array(256)), nameOf(bytes(0xff, 0))]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
