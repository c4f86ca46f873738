/**
 * Opening a store on a locked backend: one that is there is recovered (recovery.ts), and where none is one is created:
 * a superblock of generation 0 says that its creation was not finished.
 */
import type { BackendFile } from '../backend/backend.ts';
import { AegisError } from '../base/errors.ts';
import type { StoreCodecs } from '../codec/store-codecs.ts';
import { openCodecs } from '../codec/store-codecs.ts';
import { DATA_FILE } from '../store/blocks.ts';
import { NOWHERE } from '../store/directory.ts';
import type { Superblock } from '../store/superblock.ts';
import { FIRST_DATA_SECTOR, LAST_SLOT } from '../store/superblock.ts';
import { MAIN_TREE } from '../store/tree-name.ts';
import { NO_LOG_YET } from '../wal/log-beginning.ts';
import { beginCreation } from './creation.ts';
import { findStore } from './find-store.ts';
import { loadRecovery } from './load-recovery.ts';
import type { OpenedStore, OpenOptions } from './opened-store.ts';
import { assemble, openLog } from './opened-store.ts';

/** Page number of the default tree's root in a new store. */
const MAIN_ROOT = 1;

/** Opens or creates the store on a locked backend. The caller closes the backend's files when this throws. */
export async function openStore(options: OpenOptions): Promise<OpenedStore> {
  const { backend, config } = options;
  const names = await backend.list();
  const file = await backend.open(DATA_FILE, {
    create: !config.readOnly && config.createIfMissing,
    readOnly: config.readOnly,
  });
  try {
    const found = findStore(file, names, config);
    if (found && config.errorIfExists) throw new AegisError('EXISTS', 'a store is there already');
    const codecs = await openCodecs(config, found?.superblock.codecs ?? 0);
    if (!found) return await create(options, file, codecs);
    const { recover } = await loadRecovery();
    return await recover(options, file, names, found, codecs);
  } catch (error) {
    file.close();
    throw error;
  }
}

async function create(options: OpenOptions, file: BackendFile, codecs: StoreCodecs): Promise<OpenedStore> {
  const { host, config } = options;
  const random = new Uint32Array(3);
  host.random(new Uint8Array(random.buffer));
  const superblock: Superblock = {
    storeId: [random[0] as number, random[1] as number],
    generation: 0,
    fence: 1 + ((random[2] as number) & 0xffff),
    pageSize: config.pageSize,
    epoch: 0,
    sequence: 0,
    lsn: 0,
    link: [0, 0],
    mark: 0,
    directory: NOWHERE,
    chunkCount: 0,
    nextPage: MAIN_ROOT + 1,
    mainRoot: MAIN_ROOT,
    catalogRoot: 0,
    nextTree: MAIN_TREE + 1,
    nextBlock: 1,
    codecs: 0,
    endSector: FIRST_DATA_SECTOR,
    logSize: 0,
  };
  const parts = assemble(options, file, superblock, codecs);
  await beginCreation(parts.core, file, options.backend, superblock);
  parts.pager.blocks.extents.setFilled(FIRST_DATA_SECTOR);
  parts.pager.run(() => parts.core.x.treeCreate(MAIN_ROOT));
  parts.applier.settle();
  const durable = parts.pager.versions.startDurable(0);
  const log = config.walEnabled
    ? openLog(options, parts.core, superblock, superblock.fence, NO_LOG_YET)
    : undefined;
  return {
    ...parts,
    log,
    superblock,
    slot: LAST_SLOT,
    durable,
    sequence: 0,
    position: { lsn: 0, link: [0, 0] },
    created: true,
    replayed: 0,
    slotDamaged: false,
    staleLog: [],
  };
}
