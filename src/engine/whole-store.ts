/**
 * The calls that work on a whole store: verification and backup, of what one snapshot sees, and compaction.
 */
import type { StorageBackend } from '../backend/backend.ts';
import { AegisError } from '../base/errors.ts';
import { resolveConfig } from '../config/config.ts';
import type { BackupReport } from '../maintenance/backup.ts';
import type { CompactReport } from '../maintenance/compact.ts';
import type { VerifyReport } from '../maintenance/verify.ts';
import { visibleAt } from '../maintenance/visible-state.ts';
import type { EngineCore } from './engine-core.ts';
import { loadWork } from './load-work.ts';
import { placeOf } from './open.ts';

/** Pages of the pool that a copy is verified with: the walk reads past it. */
const COPY_POOL_PAGES = 16;

/** Verifies a store. */
export async function verifyWhole(engineCore: EngineCore): Promise<VerifyReport> {
  const { store, handles, pause, config, checkpointer } = engineCore.readable();
  const handle = handles.take();
  try {
    // In one turn with the snapshot: its epoch and the roots must be of one moment.
    const visible = visibleAt(store, handle.epoch, engineCore.codecs);
    const { verifyStore } = await loadWork();
    engineCore.readable();
    return await verifyStore({
      ...visible,
      release: () => handle.close(),
      durable: checkpointer,
      readOnly: config.readOnly,
      log: store.log,
      rescan: store.rescan,
      list: () => engineCore.list(),
      pause,
      check: () => void engineCore.readable(),
      onProgress: (done, total) => engineCore.tell('verify', done, total),
    });
  } catch (error) {
    throw engineCore.guard(error);
  } finally {
    handle.close();
  }
}

/** Backs a store up. */
export async function backUpWhole(
  engineCore: EngineCore,
  target: string | StorageBackend,
): Promise<BackupReport> {
  const { store, handles, pause, checkpointer, pipeline } = engineCore.readable();
  const place = await placeOf('backup', target);
  if (engineCore.isIn(place)) {
    throw new AegisError('INVALID_ARGUMENT', 'backup: the target is the place of the store itself');
  }
  const { backUp } = await loadWork();
  const { pageSize } = store.core;
  const targetConfig = resolveConfig({
    backend: place,
    pageSize,
    bufferPoolSize: COPY_POOL_PAGES * pageSize,
    walEnabled: false,
    codecs: engineCore.codecs,
  });
  return backUp({
    pager: store.pager,
    log: store.log,
    pipeline,
    // Asked when it is needed: a checkpoint may end while the target is made ready.
    get superblock() {
      return checkpointer.superblock;
    },
    catalog: store.catalog,
    target: engineCore.outside.backend(place),
    targetConfig,
    take: () => handles.take(),
    pause,
    check: () => engineCore.readable().checkIntact(),
    guard: (error) => engineCore.guard(error),
    onProgress: engineCore.tell,
  });
}

/** Compacts a store, or joins the run under way. */
export async function compactWhole(engineCore: EngineCore): Promise<CompactReport> {
  engineCore.writable();
  try {
    await engineCore.reclaimer.start();
    const { Compactor } = await loadWork();
    engineCore.writable();
    engineCore.compactor ??= new Compactor(engineCore.compactParts);
    return await engineCore.compactor.compact();
  } catch (error) {
    throw engineCore.guard(error);
  }
}
