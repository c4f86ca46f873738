/* Open stores whose log has a few groups after the last checkpoint. */
import { expect, onTestFinished } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { resolveConfig, type StorageConfig } from '../../src/config/config.ts';
import { openEngine, type StorageEngine } from '../../src/engine/engine.ts';
import { contentOf, type FoundGroup, groupsIn, newCore } from '../wal/log-kit.ts';

const SEGMENT = 16_384;
export const SMALL = {
  walEnabled: true,
  pageSize: 4096,
  bufferPoolSize: '64KB',
  checkpointWalSize: '512KB',
} as const;

export async function open(
  backend: StorageConfig['backend'],
  config: Partial<StorageConfig> = {},
): Promise<StorageEngine> {
  const engine = await openEngine(resolveConfig({ ...SMALL, backend, ...config }), undefined, SEGMENT);
  onTestFinished(() => engine.close().catch(() => undefined));
  return engine;
}

/** An open store whose log has four segments in use and one that is not, and its groups. */
export async function makeGround(): Promise<Ground> {
  const backend = new MemoryBackend();
  const engine = await open(backend);
  for (let i = 0; i < 12; ++i) await engine.put(`before ${i}`, 'b'.repeat(3000));
  await engine.checkpoint();
  const { sequence } = engine.stats();
  for (let i = 0; i < 6; ++i) await engine.put(`key ${i}`, 'v'.repeat(700));
  await engine.put('long', 'l'.repeat(40_000));
  for (let i = 0; i < 4; ++i) await engine.put(`after ${i}`, 'a'.repeat(700));
  const view = new DataView(contentOf(backend, 'data').buffer);
  const storeId = [view.getUint32(8, true), view.getUint32(12, true)] as const;
  const start = view.getUint32(48, true);
  const core = newCore();
  core.x.groupConfigure(...storeId, 0);
  const logs = { list: () => backend.list().filter((name) => name.startsWith('log-')) };
  const files = Object.assign(Object.create(backend) as MemoryBackend, logs);
  files.open = (name, options) => backend.open(name, options);
  const groups = groupsIn(core, files)
    .filter(({ lsn }) => lsn >= start)
    .sort((a, b) => a.lsn - b.lsn);
  expect(sequence).toBe(12);
  expect(groups.length).toBeGreaterThanOrEqual(13);
  expect(new Set(groups.map(({ file }) => file)).size).toBeGreaterThan(2);
  return { backend, engine, groups };
}

export interface Ground {
  readonly backend: MemoryBackend;
  readonly engine: StorageEngine;
  readonly groups: FoundGroup[];
}
