/**
 * Backup: a snapshot reader that copies the pages it sees to another place, as a store of its own, while readers,
 * writers and checkpoints go on.
 *
 *   1. lock the target and begin a creation there, as a new store does: a superblock of generation 0, synced
 *   2. take a snapshot and its checkpoint descriptor
 *   3. copy every page that it sees, in slices: the block where it has one, else the page from its frame; the snapshot
 *      ends here
 *   4. write the directory of the copy, sync
 *   5. write the superblock to one slot, sync, to the other, sync
 *   6. read the copy and verify it
 *
 * The copy has the store's id and its page numbers, its pages lie one behind the other, and it has no log: it holds
 * what was applied at the moment of the snapshot, nothing of it pending.
 *
 * Invariants
 *   1. A block is checked against the checksum of the reference that led to it before it is written.
 *   2. Until step 5 the target is a creation that was not finished: the next opening or backup begins it anew. When a
 *      backup fails, whatever step it had reached, the target is made that again if it can be written.
 *   3. What the target refuses never harms the source: nothing of the source is changed, and the snapshot ends.
 */
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../backend/backend.ts';
import { hostOf } from '../backend/host.ts';
import { AegisError, causedBy, invariant } from '../base/errors.ts';
import type { ResolvedConfig } from '../config/config.ts';
import { guardTrap } from '../core/wasm.ts';
import { type BlockStore, DATA_FILE } from '../store/blocks.ts';
import { Directory, type Place } from '../store/directory.ts';
import type { Superblock } from '../store/superblock.ts';
import { encodeSuperblock, LAST_SLOT, writeSuperblock } from '../store/superblock.ts';
import type { Log } from '../wal/log.ts';
import {
  type CheckpointDescriptor,
  type DescriptorParts,
  describeCheckpoint,
} from './checkpoint-descriptor.ts';
import { composeEntries, writeChunks } from './chunks.ts';
import { beginCreation, takeBackCreation } from './creation.ts';
import { findStore, refuseForeignPlace } from './find-store.ts';
import { visibleVersion } from './inspector.ts';
import { openStore } from './open-store.ts';
import { type VerifyProblem, type VerifyReport, verifyStore } from './verify.ts';
import { visibleAt } from './visible-state.ts';

/** What a finished backup says of itself. The copy was synced, read again and found sound. */
export interface BackupReport {
  /** Last commit that the copy holds. */
  readonly sequence: number;
  /** Pages copied. */
  readonly pages: number;
  /** Keys and values in them. */
  readonly records: number;
  /** Bytes of the copy's data file. */
  readonly bytes: number;
}

/** What a backup works with. */
export interface BackupParts extends DescriptorParts {
  readonly log: Log | undefined;
  /** Where the copy goes, and what it is opened with. */
  readonly target: StorageBackend;
  readonly targetConfig: ResolvedConfig;
  /** Takes a snapshot of the present state; closing it a second time does nothing. */
  readonly take: () => { readonly epoch: number; close(): void };
  /** Lets other work run. */
  readonly pause: () => Promise<void>;
  /** Throws when the store can be read no more. */
  readonly check: () => void;
  /** What to throw for an error met while working on the source's pages. */
  readonly guard: (error: unknown) => unknown;
  readonly onProgress: (phase: 'backup' | 'verify', done: number, total: number) => void;
}

/** Some milliseconds of work. */
const SLICE_PAGES = 64;

/** Copies the store to a place where none is yet. */
export async function backUp(parts: BackupParts): Promise<BackupReport> {
  const { target, targetConfig, check } = parts;
  await refuseForeignPlace(target, targetConfig);
  const lock = await target.lock('exclusive');
  try {
    check();
    const names = await target.list();
    const file = await target.open(DATA_FILE, { create: true });
    try {
      if (findStore(file, names, targetConfig)) {
        throw new AegisError('EXISTS', 'a store is where the backup is to be made', { file: DATA_FILE });
      }
      return await new Backup(parts, file).run();
    } finally {
      file.close();
    }
  } finally {
    await lock.release();
  }
}

/** Pages that were copied, and what they belong to. */
interface Copied {
  readonly descriptor: CheckpointDescriptor;
  readonly directory: Directory;
  readonly pages: number;
}

class Backup {
  readonly #parts: BackupParts;
  readonly #file: BackendFile;
  readonly #blocks: BlockStore;
  /** The superblock that says that the creation was not finished. */
  readonly #unfinished: Uint8Array;
  #finishing = false;

  constructor(parts: BackupParts, file: BackendFile) {
    const { pager, superblock } = parts;
    this.#parts = parts;
    this.#file = file;
    this.#blocks = pager.blocks.twin(file);
    this.#unfinished = encodeSuperblock(pager.core, { ...superblock, generation: 0 });
  }

  async run(): Promise<BackupReport> {
    const { pager, superblock, target, pause, check } = this.#parts;
    try {
      await this.#aimed(() => beginCreation(pager.core, this.#file, target, superblock));
      // A small store is copied in one slice; a loop of backups must still let other work run.
      await pause();
      check();
      const copied = await this.#guarded(() => this.#copyPages());
      await this.#guarded(() => this.#finish(copied));
      const { records } = await this.#verify(copied);
      const { descriptor, pages } = copied;
      return { sequence: descriptor.sequence, pages, records, bytes: this.#blocks.extents.end * SECTOR_SIZE };
    } catch (error) {
      await takeBackCreation(this.#file, this.#finishing ? this.#unfinished : undefined);
      throw error;
    }
  }

  /** Steps 2 and 3. */
  async #copyPages(): Promise<Copied> {
    const { pager, take, pause, check, onProgress } = this.#parts;
    const snapshot = take();
    try {
      const descriptor = describeCheckpoint(this.#parts, snapshot.epoch);
      const directory = new Directory(pager.core.pageSize);
      const total = pager.pageCount;
      let pages = 0;
      // A number outside these runs is no page that the snapshot sees.
      for (const { from, to } of [...pager.freeNumbers.outside(descriptor.nextPage)]) {
        for (let page = from; page < to; ++page) {
          const place = this.#copyPage(page, snapshot.epoch);
          if (!place) continue;
          directory.setPlace(page, place, 0);
          if (++pages % SLICE_PAGES > 0) continue;
          onProgress('backup', Math.min(pages, total), total);
          await pause();
          check();
        }
      }
      onProgress('backup', total, total);
      return { descriptor, directory, pages };
    } finally {
      snapshot.close();
    }
  }

  /** Copies a page as an epoch sees it; answers where it lies in the copy, or nothing if there is no such page. */
  #copyPage(page: number, epoch: number): Place | undefined {
    const { pager } = this.#parts;
    pager.drain();
    const version = visibleVersion(pager, page, epoch);
    if (!version) return undefined;
    const { place, frame } = version;
    if (place.sectors > 0) {
      pager.blocks.readWhole(place, page);
      return this.#aimedSync(() => this.#blocks.writeWhole(place));
    }
    invariant(frame !== 0, 'a page that is seen lies in a frame or in an extent');
    let copy: Place | undefined;
    this.#aimedSync(() =>
      this.#blocks.writePages([frame], (_frame, written) => {
        copy = written;
      }),
    );
    return copy;
  }

  /** Steps 4 and 5. */
  async #finish({ descriptor, directory }: Copied): Promise<void> {
    const { pager, superblock, log, pause, check } = this.#parts;
    const changed: number[] = [];
    directory.eachChunk((_words, index) => void changed.push(index));
    const steps = writeChunks({
      directory,
      blocks: this.#blocks,
      chunkCount: descriptor.chunkCount,
      changed,
      entries: (index) =>
        composeEntries(directory.fanout, index, descriptor.nextPage, (page) => directory.place(page)),
      written: () => undefined,
    });
    let step = this.#aimedSync(() => steps.next());
    while (!step.done) {
      await pause();
      check();
      step = this.#aimedSync(() => steps.next());
    }
    const finished: Superblock = {
      ...superblock,
      ...descriptor,
      // The copy has no log, so the mark must not lie above its LSN.
      mark: Math.min(descriptor.lsn, log?.durable ?? descriptor.lsn),
      logSize: 0,
      directory: step.value.root,
      codecs: superblock.codecs | this.#blocks.codecs.used,
      endSector: this.#blocks.extents.end,
    };
    await this.#aimed(() => this.#file.sync());
    for (const slot of [1 - LAST_SLOT, LAST_SLOT]) {
      check();
      this.#finishing = true;
      await this.#aimed(async () => {
        writeSuperblock(pager.core, this.#file, slot, finished);
        await this.#file.sync();
      });
    }
  }

  /** Step 6. */
  async #verify({ pages }: Copied): Promise<VerifyReport> {
    const { target, targetConfig, pause, check, onProgress } = this.#parts;
    check();
    const config = { ...targetConfig, readOnly: true, createIfMissing: false };
    try {
      const store = await openStore({ backend: target, host: hostOf(target), config });
      const { pager, superblock } = store;
      try {
        const snapshot = pager.takeSnapshot();
        const report = await verifyStore({
          ...visibleAt(store, snapshot.epoch, config.codecs ?? {}),
          release: () => pager.releaseSnapshot(snapshot),
          durable: { superblock, unsettled: undefined },
          readOnly: false, // both slots were written
          pause,
          check,
          onProgress: (done, total) => onProgress('verify', done, total),
        });
        if (report.ok && report.pages === pages) return report;
        const { message, ...where }: VerifyProblem = report.problems[0] ?? {
          message: `${report.pages} pages are in it, and ${pages} were copied`,
        };
        if (where.errno !== undefined) {
          throw new AegisError('IO_ERROR', message, { ...where, operation: 'read' });
        }
        throw new AegisError('CORRUPTION', `the copy is damaged: ${message}`, where);
      } finally {
        pager.blocks.file.close();
      }
    } catch (error) {
      throw aimed(guardTrap(error));
    }
  }

  /** For work on the source's pages; what the copy alone goes wrong with says nothing about the source. */
  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#parts.guard(error);
    }
  }

  async #aimed(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw aimed(error);
    }
  }

  #aimedSync<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw aimed(error);
    }
  }
}

/** An error of the target, which must not be taken for one of the source. */
function aimed(error: unknown): unknown {
  if (!(error instanceof AegisError)) return error;
  if (error.code !== 'IO_ERROR' && error.code !== 'OUT_OF_SPACE') return error;
  return causedBy(error.code, 'the target of the backup', error);
}
