/**
 * An open store: what it is opened with, what it is made of, and how that is put together.
 */
import type { BackendFile, BackendHost, StorageBackend } from '../backend/backend.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { StoreCodecs } from '../codec/store-codecs.ts';
import type { ResolvedConfig } from '../config/config.ts';
import type { Core } from '../core/wasm.ts';
import { createCore } from '../core/wasm.ts';
import { Applier } from '../store/apply.ts';
import { BlockStore } from '../store/blocks.ts';
import { Catalog } from '../store/catalog.ts';
import { Directory } from '../store/directory.ts';
import { Extents } from '../store/extents.ts';
import { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';
import { FIRST_DATA_SECTOR } from '../store/superblock.ts';
import { Trees } from '../store/trees.ts';
import type { SnapshotNode } from '../store/versions.ts';
import type { Log, LogPosition } from '../wal/log.ts';
import type { LogBeginning } from '../wal/log-beginning.ts';
import { SegmentLog, segmentSizeFor } from '../wal/segments.ts';

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

/** What a store is put together from, before anything is read. */
export interface Assembled {
  readonly core: Core;
  readonly pager: Pager;
  readonly trees: Trees;
  readonly catalog: Catalog;
  readonly applier: Applier;
}

/** Puts a store together: with an empty pool, and nothing known but its superblock. */
export function assemble(
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

/** The log of a store, from where it was found to end. */
export function openLog(
  { backend, config, segmentSize }: OpenOptions,
  core: Core,
  superblock: Superblock,
  fence: number,
  scan: LogBeginning,
): Log {
  return new SegmentLog({
    core,
    backend,
    storeId: superblock.storeId,
    fence,
    segmentSize: segmentSize ?? segmentSizeFor(config.checkpointWalSize),
    scan,
  });
}
