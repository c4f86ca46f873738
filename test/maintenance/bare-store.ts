/* A store without an engine: pages, trees, checkpoints and verification, with everything inside within reach. */
import { onTestFinished } from 'vitest';
import type { StorageBackend } from '../../src/backend/backend.ts';
import { runtimeHost } from '../../src/backend/host.ts';
import { resolveConfig, type StorageConfig } from '../../src/config/config.ts';
import { Checkpointer } from '../../src/maintenance/checkpoint.ts';
import { openStore } from '../../src/maintenance/open-store.ts';
import { type VerifyReport, verifyStore } from '../../src/maintenance/verify.ts';
import type { Catalog } from '../../src/store/catalog.ts';
import type { Pager } from '../../src/store/pager.ts';
import type { Trees } from '../../src/store/trees.ts';

export interface BareStore {
  readonly pager: Pager;
  readonly trees: Trees;
  readonly catalog: Catalog;
  readonly checkpointer: Checkpointer;
  readonly root: number;
  put(key: string, value: string | Uint8Array): void;
  delete(key: string): void;
  verify(pause?: () => Promise<void>, slice?: number): Promise<VerifyReport>;
}

const encoder = new TextEncoder();

export async function openBare(
  backend: StorageBackend,
  options: Partial<StorageConfig> = {},
): Promise<BareStore> {
  const config = resolveConfig({
    backend,
    pageSize: 4096,
    bufferPoolSize: '4MB',
    walEnabled: false,
    ...options,
  });
  const store = await openStore({ backend, host: runtimeHost, config });
  const { pager, trees, catalog, superblock, slot, durable } = store;
  onTestFinished(() => pager.blocks.file.close());
  const checkpointer = new Checkpointer({
    pager,
    log: undefined,
    pipeline: {
      applied: 1,
      replayPosition: { lsn: 0, link: [0, 0] },
      fail: () => undefined,
      failure: undefined,
    },
    superblock,
    catalog,
    slot,
    durable,
    pause: () => Promise.resolve(),
    onProgress: undefined,
    finished: () => undefined,
  });
  if (store.created) checkpointer.runBlocking();
  const root = superblock.mainRoot;
  return {
    pager,
    trees,
    catalog,
    checkpointer,
    root,
    put: (key, value) =>
      trees.put(root, encoder.encode(key), typeof value === 'string' ? encoder.encode(value) : value),
    delete: (key) => void trees.delete(root, encoder.encode(key)),
    verify: (pause = () => Promise.resolve(), slice = 64) => {
      const node = pager.takeSnapshot();
      let open = true;
      const release = () => {
        if (open) pager.releaseSnapshot(node);
        open = false;
      };
      return verifyStore({
        pager,
        roots: () => catalog.latestRoots(),
        fallback: [root],
        epoch: node.epoch,
        release,
        durable: checkpointer,
        readOnly: config.readOnly,
        pause,
        slice,
        check: () => undefined,
        onProgress: () => undefined,
      }).finally(release);
    },
  };
}
