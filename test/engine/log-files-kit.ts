/* What the tests of log files that are given back have in common. */
import type { StorageConfig } from '../../src/index.ts';

/** Names of the log files there are. */
export function logsOf(backend: { list(): string[] }): string[] {
  return backend.list().filter((name) => name.startsWith('log-'));
}

export const small: Partial<StorageConfig> = { compression: 'none', checkpointWalSize: '512KB' };
