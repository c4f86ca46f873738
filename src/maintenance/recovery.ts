/**
 * Opening a store: from the files of a backend to pages, log position and everything acknowledged.
 *
 *   1. lock; the newer superblock slot that is whole, else the other
 *   2. the directory by its checksums; free space and free page numbers follow from it
 *   3. the log is scanned from the checkpoint's position; what contradicts a mark is CORRUPTION, and nothing is written
 *   4. a new fence, higher than any that a writer before had, whatever files it left
 *   5. the accepted tail of the log is written again and synced
 *   6. the slot that was read is written again, unchanged, and synced; so is the other one; then both, with the new fence
 *   7. the catalog of named trees is read and the log replayed into memory; commits the checkpoint holds are skipped,
 *      and what is for a page that cannot be read costs that page, not the store (apply.ts)
 *   8. a first checkpoint follows in the background
 *
 * Running it twice, or dying inside it, changes nothing: until step 6 the same bytes go to the same places, and step 6
 * keeps one whole slot at any time. After a failed sync, what was read may have been in the page cache only; steps 5
 * and 6 make it durable before anything relies on it. The same holds for space: if the first write to a part of a file
 * was lost, a system may go on treating it as filled and lose every later write to it without an error (ext4 does).
 * So space that was filled, but that no checkpoint covers, is returned to the system here, as are log files that were
 * never used. A read-only open writes nothing (overlay.ts).
 *
 * A store is created the same way: a superblock of generation 0 says that its creation was not finished.
 */
import { PART_FIRST, PART_HEADER_SIZE, SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendFile, BackendHost, StorageBackend } from '../backend/backend.ts';
import { breathOf } from '../backend/breath.ts';
import { AegisError, invariant } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { StoreCodecs } from '../codec/store-codecs.ts';
import { openCodecs } from '../codec/store-codecs.ts';
import type { ResolvedConfig } from '../config/config.ts';
import type { Core } from '../core/wasm.ts';
import { createCore } from '../core/wasm.ts';
import { Applier } from '../store/apply.ts';
import { BlockStore, DATA_FILE } from '../store/blocks.ts';
import { Catalog } from '../store/catalog.ts';
import { Directory, NOWHERE } from '../store/directory.ts';
import { Extents } from '../store/extents.ts';
import { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';
import { FIRST_DATA_SECTOR, LAST_SLOT, writeSuperblock } from '../store/superblock.ts';
import { MAIN_TREE } from '../store/tree-name.ts';
import { Trees } from '../store/trees.ts';
import type { SnapshotNode } from '../store/versions.ts';
import type { Log, LogPosition } from '../wal/log.ts';
import type { LogScan } from '../wal/scan.ts';
import { scanLog } from '../wal/scan.ts';
import { logNamesOf } from '../wal/segment.ts';
import { FENCE_STEP, SegmentLog, segmentSizeFor } from '../wal/segments.ts';
import { beginCreation } from './creation.ts';
import { loadDirectory } from './directory-load.ts';
import type { FoundStore } from './find-store.ts';
import { findStore } from './find-store.ts';
import { OverlayFile } from './overlay.ts';
import { tellNow } from './progress.ts';

/** Page number of the default tree's root in a new store. */
const MAIN_ROOT = 1;

/** Bytes of log that are replayed in one go, apart from a group that is larger. */
const REPLAY_SLICE = 1 << 16;

/** A store that has been brought to its last committed state. */
export interface OpenedStore {
  readonly core: Core;
  readonly pager: Pager;
  readonly trees: Trees;
  readonly catalog: Catalog;
  readonly applier: Applier;
  readonly log: Log | undefined;
  readonly superblock: Superblock;
  /** Slot that the superblock was written to last. */
  readonly slot: number;
  readonly durable: SnapshotNode;
  /** Last commit the store holds. */
  readonly sequence: number;
  /** Where the log ends. */
  readonly position: LogPosition;
  readonly created: boolean;
  /** Bytes of log that were replayed. */
  readonly replayed: number;
  /** Whether one of the superblock slots was damaged. */
  readonly slotDamaged: boolean;
  /** Reads the log again, of a store open for reading. @throws AegisError `CORRUPTION`, what the backend throws */
  readonly rescan?: () => Promise<void>;
  /** Log files left from when the log was on, to be removed after a checkpoint. */
  readonly staleLog: readonly string[];
}

/** What a store is opened with. */
export interface OpenOptions {
  readonly backend: StorageBackend;
  readonly host: BackendHost;
  readonly config: ResolvedConfig;
  /** Module bytes of the core; tests choose the debug build. */
  readonly module?: OwnBytes | undefined;
  /** Bytes of a new log file; tests choose small ones. Default: what the configuration asks for. */
  readonly segmentSize?: number | undefined;
}

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
    return found ? await recover(options, file, names, found, codecs) : await create(options, file, codecs);
  } catch (error) {
    file.close();
    throw error;
  }
}

// --- a new store ----------------------------------------------------------------------------------------------

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
    ? await openLog(options, parts.core, superblock, superblock.fence, undefined)
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

interface Assembled {
  readonly core: Core;
  readonly pager: Pager;
  readonly trees: Trees;
  readonly catalog: Catalog;
  readonly applier: Applier;
}

function assemble(
  options: OpenOptions,
  file: BackendFile,
  superblock: Superblock,
  codecs: StoreCodecs,
): Assembled {
  const { config } = options;
  const core = createCore({
    pageSize: superblock.pageSize,
    frames: Math.max(16, Math.floor(config.bufferPoolSize / superblock.pageSize)),
    storeId: superblock.storeId,
    ...(options.module ? { module: options.module } : {}),
  });
  core.x.epochStart(superblock.epoch + 1);
  const extents = new Extents(FIRST_DATA_SECTOR);
  const blocks = new BlockStore(core, file, extents, codecs);
  const directory = new Directory(superblock.pageSize);
  const pager = new Pager(core, blocks, directory, superblock.nextPage);
  const trees = new Trees(pager);
  const catalog = new Catalog(trees, superblock.mainRoot, superblock);
  return { core, pager, trees, catalog, applier: new Applier(trees, catalog) };
}

// --- an existing store ----------------------------------------------------------------------------------------

async function recover(
  options: OpenOptions,
  file: BackendFile,
  names: readonly string[],
  found: FoundStore,
  codecs: StoreCodecs,
): Promise<OpenedStore> {
  const { config, host, backend } = options;
  const { superblock } = found;
  const data = config.readOnly ? new OverlayFile(file) : file;
  const parts = assemble(options, data, superblock, codecs);
  const { rest } = breathOf(backend);
  await loadDirectory(parts.pager, superblock, Math.floor(file.size() / SECTOR_SIZE), rest);
  const logNames = logNamesOf(names);
  const wanted = config.walEnabled && !config.readOnly;
  const hasLog = logNames.length > 0 || superblock.logSize > 0;
  const scan = hasLog || wanted ? await scanFrom(options, parts.core, superblock, rest) : undefined;
  try {
    let fence = superblock.fence;
    let current = superblock;
    if (!config.readOnly) {
      const random = new Uint8Array(2);
      host.random(random);
      fence =
        Math.max(superblock.fence, scan?.highestFence ?? 0) + FENCE_STEP + random[0]! + random[1]! * 256;
      await scan?.rewriteTail();
      current = await renewSlots(parts.core, data, found, fence, scan?.usedSize);
      // Only now: until the slots are renewed the older one may be the one on the device, and refer to blocks in the
      // tail.
      parts.pager.blocks.cutTail();
    }
    const durable = parts.pager.versions.startDurable(superblock.epoch);
    parts.catalog.load();
    const sequence = scan ? await replay(options, parts, superblock, scan, rest) : superblock.sequence;
    parts.applier.settle();
    const log = wanted ? await openLog(options, parts.core, current, fence, scan) : undefined;
    if (!log) scan?.close();
    return {
      ...parts,
      log,
      superblock: current,
      slot: LAST_SLOT,
      durable,
      sequence,
      position: scan?.end ?? { lsn: superblock.lsn, link: superblock.link },
      created: false,
      replayed: scan?.bytes ?? 0,
      slotDamaged: found.damaged,
      staleLog: wanted ? [] : (scan?.segments ?? []).flatMap(({ foreign, name }) => (foreign ? [] : [name])),
      ...(scan && config.readOnly ? { rescan: () => rescan(options, parts.core, superblock, scan) } : {}),
    };
  } catch (error) {
    scan?.close();
    throw error;
  }
}

function scanFrom(
  options: OpenOptions,
  core: Core,
  superblock: Superblock,
  rest?: () => Promise<void>,
): Promise<LogScan> {
  return scanLog({
    core,
    backend: options.backend,
    storeId: superblock.storeId,
    start: {
      lsn: superblock.lsn,
      link: superblock.link,
      sequence: superblock.sequence,
      mark: superblock.mark,
      size: superblock.logSize,
    },
    readOnly: options.config.readOnly,
    rest,
  });
}

/**
 * Nobody writes while the store is open for reading: the log must be what it was. Readers have the core too, so this
 * is one turn.
 */
async function rescan(
  options: OpenOptions,
  core: Core,
  superblock: Superblock,
  before: LogScan,
): Promise<void> {
  const now = await scanFrom(options, core, superblock);
  now.close();
  const { lsn } = before.end;
  if (now.end.lsn === lsn) return;
  throw new AegisError(
    'CORRUPTION',
    `the log ends at LSN ${now.end.lsn}, and ended at ${lsn} when it was opened`,
  );
}

async function openLog(
  options: OpenOptions,
  core: Core,
  superblock: Superblock,
  fence: number,
  found: LogScan | undefined,
): Promise<Log> {
  const scan = found ?? (await scanFrom(options, core, superblock));
  if (!scan.settled) await scan.rewriteTail();
  return new SegmentLog({
    core,
    backend: options.backend,
    storeId: superblock.storeId,
    fence,
    segmentSize: options.segmentSize ?? segmentSizeFor(options.config.checkpointWalSize),
    scan,
  });
}

/**
 * Step 6: after it both slots are whole, durable, and carry the new fence. A sync may fail after any of the writes, and
 * that slot be in the system's cache only: it is the one that the next opening reads, and so writes first.
 */
async function renewSlots(
  core: Core,
  file: BackendFile,
  found: FoundStore,
  fence: number,
  logSize = found.superblock.logSize,
): Promise<Superblock> {
  // Log files that were never used will be filled anew. If the next opening finds them empty, none may count as lost.
  const renewed = { ...found.superblock, fence, logSize: Math.min(logSize, found.superblock.logSize) };
  const writes: [slot: number, superblock: Superblock][] = [
    [found.slot, found.superblock],
    [LAST_SLOT, found.superblock],
    [1 - LAST_SLOT, renewed],
    [LAST_SLOT, renewed],
  ];
  // If the slot read is the last one, its first write can be left out.
  if (found.slot === LAST_SLOT) writes.shift();
  for (const [slot, superblock] of writes) {
    writeSuperblock(core, file, slot, superblock);
    await file.sync();
  }
  return renewed;
}

/** Step 7: applies every commit the checkpoint does not hold, in order; answers the last one. */
async function replay(
  options: OpenOptions,
  parts: Assembled,
  superblock: Superblock,
  scan: LogScan,
  rest: () => Promise<void>,
): Promise<number> {
  const { core, applier } = parts;
  const { x } = core;
  let last = superblock.sequence;
  let [done, rested] = [0, 0];
  for (const { address, length } of scan.groups()) {
    const end = address + length;
    for (let at = address; at < end; ) {
      const sequence = x.partSequence(at);
      const flags = x.partFlags(at);
      const next = at + PART_HEADER_SIZE + x.partBytes(at);
      if (sequence > superblock.sequence) {
        const expected = flags & PART_FIRST ? last + 1 : last;
        if (flags & PART_FIRST) last = sequence;
        invariant(sequence === expected, 'the scan accepts no commit out of order');
        const from = at + PART_HEADER_SIZE;
        applier.apply(from, x.recordsEnd(from, x.partRecords(at)));
      }
      at = next;
    }
    done += length;
    const total = scan.bytes;
    tellNow(options.config.onProgress, { phase: 'recovery', done: Math.min(done, total), total });
    if (done - rested < REPLAY_SLICE) continue;
    rested = done;
    await rest();
  }
  return last;
}
