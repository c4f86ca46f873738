/**
 * The calls that read a whole store as one snapshot sees it: verification and backup.
 */
import type { StorageBackend } from './backend/backend.ts';
import { resolveConfig } from './config.ts';
import { AegisError, invalid } from './errors.ts';
import type { Machine } from './machine.ts';
import { backendOf } from './open.ts';
import type { BackupReport } from './upkeep/backup.ts';
import { backUp } from './upkeep/backup.ts';
import { seenAt } from './upkeep/seen.ts';
import type { VerifyReport } from './upkeep/verify.ts';
import { verifyStore } from './upkeep/verify.ts';

/** Pages of the pool that a copy is verified with: the walk reads past it. */
const COPY_POOL_PAGES = 16;

/** Verifies a store. */
export async function verifyWhole(machine: Machine): Promise<VerifyReport> {
  const { store, leases, pause, config, checkpointer } = machine.readable();
  const lease = leases.take();
  try {
    return await verifyStore({
      ...seenAt(store, lease.epoch, machine.codecs),
      release: () => lease.close(),
      durable: checkpointer,
      readOnly: config.readOnly,
      log: store.log,
      rescan: store.rescan,
      list: () => machine.list(),
      pause,
      check: () => void machine.readable(),
      onProgress: (done, total) => machine.tell('verify', done, total),
    });
  } catch (error) {
    throw machine.guard(error);
  } finally {
    lease.close();
  }
}

/** Backs a store up. */
export async function backUpWhole(machine: Machine, target: string | StorageBackend): Promise<BackupReport> {
  const { store, leases, pause, checkpointer, pipeline } = machine.readable();
  const place = await placeOf('backup', target);
  if (machine.isIn(place)) {
    throw new AegisError('INVALID_ARGUMENT', 'backup: the target is the place of the store itself');
  }
  const { pageSize } = store.core;
  const targetConfig = resolveConfig({
    backend: place,
    pageSize,
    bufferPoolSize: COPY_POOL_PAGES * pageSize,
    walEnabled: false,
    codecs: machine.codecs,
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
    target: machine.outside.backend(place),
    targetConfig,
    take: () => leases.take(),
    pause,
    check: () => machine.readable().checkIntact(),
    guard: (error) => machine.guard(error),
    onProgress: machine.tell,
  });
}

/** The place that a copy goes to. @throws AegisError `INVALID_ARGUMENT`, `UNSUPPORTED` */
export async function placeOf(what: string, target: unknown): Promise<StorageBackend> {
  const allowed = 'a folder (not empty, without NUL) or a backend';
  if (typeof target !== 'string') {
    if (typeof target !== 'object' || target === null) throw invalid(`${what}: the target`, target, allowed);
    return resolveConfig({ backend: target as StorageBackend }).backend as StorageBackend;
  }
  if (target === '' || target.includes('\0')) throw invalid(`${what}: the target`, target, allowed);
  return backendOf({ backend: 'local', dataDirectory: target });
}
