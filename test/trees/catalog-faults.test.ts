/*
 * A device fails at any call while the catalog changes: a name and its tree, a dropped tree and its record stand or fall
 * together. No page is lost, memory and tree say the same, and what is tried again goes well.
 *
 * The pool is the smallest there is, full of dirty pages, and a snapshot sees them all: whatever is read has to make
 * room first, and whatever changes leaves an old version behind.
 */
import { expect, test } from 'vitest';
import { Catalog } from '../../src/store/catalog.ts';
import { nameBytes } from '../../src/store/tree-name.ts';
import { type BareStore, openBare } from '../maintenance/bare-store.ts';
import { FaultyBackend, type Plan } from '../support/faults.ts';
import type { Files } from '../support/files.ts';

const COUNT = 400;
const PUTS = 100;

/** Names so long that few of them fit a page. */
const nameAt = (index: number): string => `${'n'.repeat(240)}${String(index).padStart(6, '0')}`;
const idAt = (index: number): number => index + 2;
/** Most trees were dropped: the pages of the catalog are as empty as they can be, and the next drop merges some. */
const isLeft = (index: number): boolean => index % 7 === 0;

async function makeFiles(): Promise<Files> {
  const backend = new FaultyBackend();
  const store = await openBare(backend);
  const { catalog } = store;
  for (let at = 0; at < COUNT; at++) catalog.create(nameBytes(nameAt(at)), idAt(at));
  for (let at = 0; at < COUNT; at++) if (!isLeft(at)) catalog.drop(nameBytes(nameAt(at)), idAt(at));
  for (let at = 0; at < PUTS; at++) store.put(`key ${at}`, new Uint8Array(1000));
  store.put('long', new Uint8Array(20_000).fill(7));
  store.checkpointer.runBlocking();
  return backend.files;
}

let files: Files | undefined;

async function coldStore(): Promise<{ store: BareStore; backend: FaultyBackend }> {
  files ??= await makeFiles();
  const backend = new FaultyBackend(files);
  const store = await openBare(backend, { bufferPoolSize: 16 * 4096 });
  for (let at = 0; at < PUTS; at++) store.put(`key ${at}`, new Uint8Array(1000).fill(1));
  return { store, backend };
}

interface Change {
  /** Has the store ready for it; no call fails yet. */
  prepare?(store: BareStore, backend: FaultyBackend): void;
  work(store: BareStore): void;
  /** Whether it has been done. */
  isDone(catalog: Catalog): boolean;
}

function dropOf(index: number): Change {
  return {
    work: ({ catalog }) => catalog.drop(nameBytes(nameAt(index)), idAt(index)),
    isDone: (catalog) => catalog.find(nameAt(index)) === undefined,
  };
}

const CHANGES: Readonly<Record<string, Change>> = {
  'a tree is made': {
    work: ({ catalog }) => catalog.create(nameBytes(`${nameAt(77)}x`), idAt(COUNT)),
    isDone: (catalog) => catalog.find(`${nameAt(77)}x`)?.id === idAt(COUNT),
  },
  'a tree is dropped': dropOf(21),
  'another tree is dropped': dropOf(294),
  'a dropped tree is forgotten': {
    work: ({ catalog }) => {
      for (const tree of catalog.dropped) if (tree.id === idAt(22)) catalog.forget(tree);
    },
    isDone: (catalog) => !catalog.dropped.some(({ id }) => id === idAt(22)),
  },
  'an overflow chain that cannot be freed is kept': {
    prepare: ({ trees, delete: remove }, backend) => {
      backend.plan = ({ operation }) => (operation === 'read' ? { errno: 'EIO' } : undefined);
      remove('long');
      expect(trees.overflow.stuck.length).toBe(1);
    },
    work: ({ catalog }) => void catalog.keepStuck(),
    isDone: (catalog) => catalog.dropped.some(({ id }) => id >= idAt(COUNT)),
  },
};

/** What the catalog says, in memory or as it would be read when the store is opened. */
function said(catalog: Catalog): unknown {
  return [catalog.damage, catalog.names(), catalog.dropped.sort((a, b) => a.id - b.id), catalog.state];
}

async function expectSound(store: BareStore, when: string): Promise<void> {
  const { trees, catalog, root } = store;
  const again = new Catalog(trees, root, catalog.state);
  again.load();
  expect(said(again), when).toEqual(said(catalog));
  // Nobody has the pages of a chain that waits to be kept.
  if (trees.overflow.stuck.length === 0) expect((await store.verify()).problems, when).toEqual([]);
}

const PLANS: Readonly<Record<string, (number: number) => Plan>> = {
  'one call fails': (number) => (call) => (call.number === number ? { errno: 'EIO' } : undefined),
  'all calls from one on fail': (number) => (call) => (call.number >= number ? { errno: 'EIO' } : undefined),
};

for (const [fault, plan] of Object.entries(PLANS)) {
  test.each(Object.entries(CHANGES))(`catalog: %s while ${fault}`, async (_, change) => {
    let faults = 0;
    for (let at = 1; ; at++) {
      const { store, backend } = await coldStore();
      change.prepare?.(store, backend);
      const node = store.pager.takeSnapshot();
      const when = `call ${at}`;
      backend.hasFailed = false;
      backend.plan = plan(backend.calls.length + at);
      try {
        change.work(store);
      } catch (error) {
        expect(error, when).toMatchObject({ code: 'IO_ERROR', errno: 'EIO' });
      }
      backend.plan = () => undefined;
      store.pager.releaseSnapshot(node);
      if (!backend.hasFailed) break;
      faults++;
      await expectSound(store, when);
      if (!change.isDone(store.catalog)) change.work(store);
      expect(change.isDone(store.catalog), when).toBe(true);
      await expectSound(store, `${when}, tried again`);
    }
    // A page is written for room, and some are read.
    expect(faults).toBeGreaterThanOrEqual(2);
  });
}
