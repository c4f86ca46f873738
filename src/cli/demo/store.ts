/**
 * The store of the demo: where it is, how it is opened, what it takes on disk.
 */
import { mkdtempSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorageConfig } from '../../index.ts';

/** Memory for pages: less than all pages of the whole data set take, so that some have to come and go. */
export const POOL_SIZE = '32MB';

/** How the demo and its writer open the store. */
export function storeConfig(directory: string): StorageConfig {
  return {
    backend: 'local',
    dataDirectory: directory,
    compression: 'lz4',
    bufferPoolSize: POOL_SIZE,
    syncOnCommit: true,
  };
}

/** Makes a folder that is nobody else's. */
export function makeTemporaryFolder(prefix = 'aegis-demo-'): string {
  return mkdtempSync(join(realpathSync(tmpdir()), prefix));
}

/** Takes the folder away, whatever is in it. */
export function removeFolder(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
}

/** What the files of a store take on the disk, in bytes. */
export interface DiskUse {
  readonly data: number;
  readonly log: number;
}

/** Adds up the files of a closed store, as the file system counts them. */
export function diskUse(directory: string): DiskUse {
  const use = { data: 0, log: 0 };
  for (const name of readdirSync(directory)) {
    use[name.startsWith('log-') ? 'log' : 'data'] += statSync(join(directory, name)).blocks * 512;
  }
  return use;
}
