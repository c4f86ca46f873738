/*
 * What recovery makes of a log and a directory that no writer of today leaves: a tree nobody has, commits the
 * checkpoint already holds, a chunk of the directory that points nowhere. All checksums hold.
 */
import { expect, test } from 'vitest';
import { LOG_AREA, RECORD_PUT } from '../../assembly/layout.ts';
import { runtimeHost } from '../../src/backend/host.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { openStore } from '../../src/maintenance/open-store.ts';
import type { OpenedStore } from '../../src/maintenance/opened-store.ts';
import { ENTRY_WORDS, NOWHERE } from '../../src/store/directory.ts';
import { writeSuperblock } from '../../src/store/superblock.ts';
import { Plant } from '../support/plant.ts';
import { refused } from '../support/refused.ts';
import { buildPayload, type TestPart, WHOLE } from '../wal/log-kit.ts';

const options = { walEnabled: true, pageSize: 4096, bufferPoolSize: '256KB' } as const;

/** A sound store of one key, closed, and its parts opened without an engine. */
async function openParts(backend: MemoryBackend): Promise<OpenedStore> {
  const engine = await StorageEngine.open({ backend, ...options });
  await engine.put('old', '0');
  await engine.close();
  return openStore({ backend, host: runtimeHost, config: resolveConfig({ backend, ...options }) });
}

function put(sequence: number, key: string, tree = 1): TestPart {
  const [keyBytes, value] = [Buffer.from(key), Buffer.from(`${sequence}`)];
  return { sequence, flags: WHOLE, records: [{ kind: RECORD_PUT, key: keyBytes, value, tree }] };
}

/** Leaves one group in the log, and the superblock saying that the checkpoint holds so many more commits. */
async function leave(store: OpenedStore, parts: readonly TestPart[], held = 0): Promise<void> {
  const { core, log, pager, superblock } = store;
  const length = buildPayload(core, parts);
  log!.prepareSync(length, parts.length);
  log!.write(LOG_AREA, length, true);
  log!.syncSync();
  const { file } = pager.blocks;
  for (const slot of [0, 1]) {
    writeSuperblock(core, file, slot, { ...superblock, sequence: superblock.sequence + held });
  }
  await file.sync();
  log!.close();
  file.close();
}

test('recovery: a record of a tree that is not there is CORRUPTION', async () => {
  const backend = new MemoryBackend();
  const store = await openParts(backend);
  await leave(store, [put(store.sequence + 1, 'new', 7)]);
  const error = await refused('CORRUPTION', () => StorageEngine.open({ backend, ...options }));
  expect(error.message).toContain('tree 7');
});

test('recovery: of a group that a checkpoint holds in part, the rest is replayed', async () => {
  const backend = new MemoryBackend();
  const store = await openParts(backend);
  const first = store.sequence + 1;
  await leave(store, [put(first, 'held'), put(first + 1, 'new')], 1);
  const engine = await StorageEngine.open({ backend, ...options });
  expect([...engine.scan()].map(([key]) => Buffer.from(key).toString())).toEqual(['new', 'old']);
  expect(engine.stats().sequence).toBe(first + 1);
  await engine.close();
});

test.each([
  ['a page where a chunk is due', (words: Uint32Array) => words.set([words[1]! ^ (3 << 24)], 1)],
  [
    'a chunk beyond the last',
    (words: Uint32Array) => words.copyWithin(words.length - ENTRY_WORDS, 0, ENTRY_WORDS),
  ],
])('recovery: a directory that names %s is CORRUPTION', async (_what, change) => {
  const backend = new MemoryBackend();
  const engine = await StorageEngine.open({ backend, ...options });
  for (let n = 0; n < 300; n++) await engine.put(`key ${n}`, new Uint8Array(3000).fill(n));
  await engine.close();
  const { core, pager, superblock, log } = await openParts(backend);
  const { blocks } = pager;
  const words = new Uint32Array(superblock.pageSize / 4);
  blocks.readChunk(1, 0, superblock.directory, words);
  change(words);
  const directory = blocks.writeChunk(1, 0, words);
  for (const slot of [0, 1]) {
    writeSuperblock(core, blocks.file, slot, { ...superblock, directory, endSector: blocks.extents.end });
  }
  log!.close();
  const error = await refused('CORRUPTION', () => StorageEngine.open({ backend, ...options }));
  expect(error.message).toContain('refers to what cannot be');
});

test('recovery: a value whose later pages are damaged can be deleted, and verify says what is left', async () => {
  const backend = new MemoryBackend();
  const engine = await StorageEngine.open({ backend, ...options });
  await engine.put('long', new Uint8Array(40_000).fill(7));
  await engine.put('short', '1');
  await engine.close();
  const plant = new Plant(backend);
  const { start } = plant.place(plant.chains()[0]!.pages[3]!);
  backend.open('data', { create: false }).write([Uint8Array.of(0x55)], start * 512 + 70);
  const again = await StorageEngine.open({ backend, ...options });
  await refused('CORRUPTION', () => again.get('long'));
  await again.delete('long');
  expect([again.get('long'), again.getString('short'), again.count()]).toEqual([undefined, '1', 1]);
  expect((await again.verify()).ok).toBe(false);
  await again.close();
});

test('recovery: a directory whose first chunks have become empty is read again', async () => {
  const backend = new MemoryBackend();
  const engine = await StorageEngine.open({ backend, ...options });
  for (let n = 0; n < 700; n++) await engine.put(`key ${n}`, new Uint8Array(3000).fill(n));
  await engine.checkpoint();
  for (let n = 0; n < 700; n++) await engine.delete(`key ${n}`);
  await engine.checkpoint();
  expect(await engine.verify()).toMatchObject({ ok: true });
  await engine.close();
  const again = await StorageEngine.open({ backend, ...options });
  expect([again.count(), (await again.verify()).ok]).toEqual([0, true]);
  await again.put('key', 'value');
  await again.close();
});

test('recovery: a superblock without a directory opens no store that answers', async () => {
  const backend = new MemoryBackend();
  const { core, pager, superblock, log } = await openParts(backend);
  const empty = { ...superblock, chunkCount: 0, directory: NOWHERE };
  for (const slot of [0, 1]) writeSuperblock(core, pager.blocks.file, slot, empty);
  log!.close();
  const error = await refused('CORRUPTION', async () => {
    const engine = await StorageEngine.open({ backend, ...options });
    engine.get('old');
  });
  expect(error.code).toBe('CORRUPTION');
});
