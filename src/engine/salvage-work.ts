/**
 * Salvage of a store that is damaged, from two places to a report.
 *
 * 1. Nothing is made at the target before the old store was found and could be read at all.
 * 2. Both places are locked: the old one for reading, so that nobody writes to it, the new one for writing.
 */
import type { StorageBackend } from '../backend/backend.ts';
import { breathOf } from '../backend/breath.ts';
import { hostOf, pauseOf } from '../backend/host.ts';
import { AegisError } from '../base/errors.ts';
import type { CompressionType } from '../codec/codec.ts';
import { CODEC_NUMBERS } from '../codec/store-codecs.ts';
import type { ResolvedConfig, StorageConfig } from '../config/config.ts';
import { resolveConfig } from '../config/config.ts';
import { guardTrap } from '../core/wasm.ts';
import { findStore, refuseForeignPlace } from '../maintenance/find-store.ts';
import { openStore } from '../maintenance/open-store.ts';
import { tellerOf } from '../maintenance/progress.ts';
import type { SalvageReport } from '../maintenance/salvage.ts';
import { salvageStore } from '../maintenance/salvage.ts';
import type { SalvageSource } from '../maintenance/salvage-source.ts';
import { codecOfPages, openDamaged } from '../maintenance/salvage-source.ts';
import { DATA_FILE } from '../store/blocks.ts';
import { backendOf, placeOf } from './open.ts';

/** Copies what is readable of a damaged store to a new one, and lists what is not. */
export async function salvageWhole(
  config: StorageConfig,
  target: string | StorageBackend,
): Promise<SalvageReport> {
  const settings: ResolvedConfig = { ...resolveConfig(config), readOnly: true, createIfMissing: false };
  const { compression } = config;
  const place = await placeOf('salvage', target);
  const backend = await backendOf(settings);
  if (place === backend) {
    throw new AegisError('INVALID_ARGUMENT', 'salvage: the target is the place of the store itself');
  }
  try {
    await refuseTaken(place, resolveConfig({ backend: place }));
    return await withLock(backend, 'shared', async () => {
      const source = await openDamaged(backend, settings);
      try {
        return await fill(source, place, settings, compression);
      } finally {
        source.close();
      }
    });
  } catch (error) {
    throw guardTrap(error);
  }
}

/** Makes the new store. */
async function fill(
  source: SalvageSource,
  place: StorageBackend,
  { codecs, bufferPoolSize, compressionLevel, onProgress }: ResolvedConfig,
  compression = compressionOf(source),
): Promise<SalvageReport> {
  const { pageSize } = source.superblock;
  const config = resolveConfig({
    backend: place,
    pageSize,
    bufferPoolSize: Math.max(bufferPoolSize, POOL_PAGES * pageSize),
    compression,
    compressionLevel,
    codecs,
    walEnabled: false,
    errorIfExists: true,
  });
  const tell = tellerOf(onProgress);
  return withLock(place, 'exclusive', async () => {
    const store = await openStore({ backend: place, host: hostOf(place), config });
    try {
      return await salvageStore({
        source,
        target: store,
        pause: pauseOf(place),
        rest: breathOf(place).rest,
        onProgress: (done, total) => tell('backup', done, total),
      });
    } finally {
      store.pager.blocks.file.close();
    }
  });
}

/** Smallest pool, in pages. */
const POOL_PAGES = 16;

function compressionOf(source: SalvageSource): CompressionType {
  const codec = codecOfPages(source);
  const [name] = Object.entries(CODEC_NUMBERS).find(([, number]) => number === codec) ?? ['none'];
  return name as CompressionType;
}

/** Throws when a store, or something else, is where the new store is to be; makes nothing there. */
async function refuseTaken(place: StorageBackend, config: ResolvedConfig): Promise<void> {
  await refuseForeignPlace(place, config);
  const names = await place.list();
  if (!names.includes(DATA_FILE)) return;
  const file = await place.open(DATA_FILE, { create: false, readOnly: true });
  try {
    if (findStore(file, names, config) === undefined) return;
    throw new AegisError('EXISTS', 'a store is where the salvaged one is to be made', { file: DATA_FILE });
  } finally {
    file.close();
  }
}

async function withLock<T>(
  backend: StorageBackend,
  mode: 'shared' | 'exclusive',
  work: () => Promise<T>,
): Promise<T> {
  const lock = await backend.lock(mode);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
