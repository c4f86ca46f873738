/* A store with small pages, pool and log, so that a short test meets evictions, new log files and checkpoints. */
import type { StorageBackend } from '../../src/backend/backend.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/engine/engine.ts';

/** Opens it over a backend, with the log on. */
export function openSmall(
  backend: StorageBackend,
  config: Partial<StorageConfig> = {},
): Promise<StorageEngine> {
  return StorageEngine.open({
    backend,
    walEnabled: true,
    pageSize: 4096,
    bufferPoolSize: '64KB',
    checkpointWalSize: '512KB',
    ...config,
  });
}
