/*
 * What a commit is promised in pages before it is logged is at least what it comes to, also where many records each
 * split a leaf under a page of its own above it: then every one of them dirties a way of its own.
 */
import { expect, test } from 'vitest';
import { VICTIM_AREA, VICTIM_CAPACITY } from '../../assembly/layout.ts';
import { hostOf } from '../../src/backend/host.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { openStore } from '../../src/maintenance/open-store.ts';
import type { Pager } from '../../src/store/pager.ts';
import { FreeSpace } from '../../src/txn/free-space.ts';
import { pagesFilled } from '../../src/txn/write-set.ts';

const PAGE = 4096;
const LEAVES = 3000;
const VALUE = new Uint8Array(960);
/** What is put between them: little, so that the pages it fills do not hide what it splits. */
const SMALL = new Uint8Array(1);

/** Long keys that differ early and late, so that separators are long and pages hold few of them. */
function keyOf(leaf: number, record: number): Uint8Array {
  return Buffer.from(`${'shared by all keys '.repeat(16)}${String(leaf).padStart(6, '0')}/${record}`);
}

/** Makes every page clean. */
function writeAll(pager: Pager): void {
  const { x, u32 } = pager.core;
  pager.drain();
  for (let frame = 1; frame <= pager.core.frames; frame = u32[VICTIM_AREA / 4 + VICTIM_CAPACITY] as number) {
    const listed = x.framesDirtyAt(x.epochCurrent(), frame, VICTIM_CAPACITY);
    const next = u32[VICTIM_AREA / 4 + VICTIM_CAPACITY] as number;
    pager.writeFrames(Array.from(u32.subarray(VICTIM_AREA / 4, VICTIM_AREA / 4 + listed)));
    u32[VICTIM_AREA / 4 + VICTIM_CAPACITY] = next;
  }
}

test('free space: a commit dirties no more pages than it is promised, wherever its leaves lie', async () => {
  const backend = new MemoryBackend();
  const config = resolveConfig({ backend, pageSize: PAGE, bufferPoolSize: '64MB', compression: 'none' });
  const { trees, catalog } = await openStore({ backend, host: hostOf(backend), config });
  const { pager } = trees;
  const { x } = pager.core;
  const root = catalog.find('')?.root as number;
  for (let leaf = 0; leaf < LEAVES; ++leaf)
    for (let record = 0; record < 3; ++record) trees.put(root, keyOf(leaf, record), VALUE);
  const freeSpace = new FreeSpace(pager, true, () => undefined);
  for (const every of [15, 40, 150, 1000]) {
    writeAll(pager);
    expect(x.dirtyCount()).toBe(0);
    const load = { operations: 0, pages: 0, named: 0 };
    for (let leaf = every; leaf < LEAVES; leaf += every) {
      const key = keyOf(leaf, every);
      load.operations += 1;
      load.pages += pagesFilled(key.length, SMALL.length, PAGE);
      trees.put(root, key, SMALL);
    }
    const promised = freeSpace.pagesFor(load);
    expect(x.dirtyCount()).toBeGreaterThanOrEqual(load.operations);
    expect(x.dirtyCount(), `one record in ${every} leaves`).toBeLessThanOrEqual(promised);
  }
});
