/**
 * A damaged store, open for reading what is left of it: one whole superblock, the pages of its checkpoint, and the log
 * behind it. Nothing is replayed and nothing is written: what the log holds is for somebody else to apply.
 *
 * Invariants
 *   1. A page is believed as everywhere: by the checksum of the reference that led to it. What cannot be read is tried a
 *      few times.
 *   2. No page is read for two references.
 */

import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../backend/backend.ts';
import { breathOf } from '../backend/breath.ts';
import { AegisError } from '../base/errors.ts';
import { openCodecs } from '../codec/store-codecs.ts';
import type { ResolvedConfig } from '../config/config.ts';
import { createCore } from '../core/wasm.ts';
import { READ_TRIES } from '../store/beside-damage.ts';
import { BlockStore, DATA_FILE } from '../store/blocks.ts';
import { Directory } from '../store/directory.ts';
import { Extents } from '../store/extents.ts';
import { NumberSet } from '../store/numbers.ts';
import { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';
import { FIRST_DATA_SECTOR } from '../store/superblock.ts';
import type { LogScan } from '../wal/scan.ts';
import { scanLog } from '../wal/scan.ts';
import { logNamesOf } from '../wal/segment.ts';
import { findStore } from './find-store.ts';
import type { VerifyProblem } from './findings.ts';
import { Findings, problemOf } from './findings.ts';
import { GapFile, withGaps } from './gap-file.ts';
import { Inspector } from './inspector.ts';
import type { LostPlaces } from './salvage-directory.ts';
import { loadReadable } from './salvage-directory.ts';

/** Frames of the pool: pages are read past it. */
const POOL_FRAMES = 16;

export class SalvageSource {
  readonly superblock: Superblock;
  readonly pager: Pager;
  /** Pages that something refers to, and how many there are. */
  readonly entered = new NumberSet();
  pages = 0;
  /** What is wrong with the log, if something is. */
  logProblem: VerifyProblem | undefined;
  readonly #backend: StorageBackend;
  readonly #lostPlaces: readonly LostPlaces[];

  constructor(
    backend: StorageBackend,
    superblock: Superblock,
    pager: Pager,
    lostPlaces: readonly LostPlaces[],
  ) {
    this.#backend = backend;
    this.superblock = superblock;
    this.pager = pager;
    this.#lostPlaces = lostPlaces;
  }

  /** Whether every piece of the directory could be read. */
  get knowsAllPlaces(): boolean {
    return this.#lostPlaces.length === 0;
  }

  /** Reads a page that something refers to, once; its address is good until the next one is read. */
  open(page: number): number | VerifyProblem {
    if (this.entered.has(page)) return this.misfit(page, 'is referred to a second time');
    this.entered.add(page);
    ++this.pages;
    return this.read(page);
  }

  /** What is wrong with a page that could be read. */
  misfit(page: number, what: string): VerifyProblem {
    const offset = this.pager.directory.place(page).start * SECTOR_SIZE;
    return { message: `page ${page} ${what}`, page, file: DATA_FILE, offset };
  }

  /** Reads a page; answers its address, or what is wrong with it. */
  read(page: number): number | VerifyProblem {
    const unknown = this.#lostPlaces.find(({ from, to }) => page >= from && page < to);
    if (unknown) return { ...unknown.problem, page };
    for (let tries = 1; ; ++tries) {
      const findings = new Findings();
      const address = new Inspector(this.pager, this.superblock.epoch, findings).open(page, 'a tree');
      if (address !== 0) return address;
      if (tries === READ_TRIES) return findings.problems[0] as VerifyProblem;
    }
  }

  /** The log behind the checkpoint, up to where it is damaged; undefined: there is none. Whoever asks closes it. */
  async openLog(): Promise<LogScan | undefined> {
    const { superblock, pager } = this;
    const { lsn, link, sequence, mark, logSize } = superblock;
    const note = (error: unknown): void => {
      this.logProblem ??= problemOf(error);
    };
    const backend = withGaps(this.#backend, note);
    if (logNamesOf(await backend.list()).length === 0 && logSize === 0) return undefined;
    return scanLog({
      core: pager.core,
      backend,
      storeId: superblock.storeId,
      start: { lsn, link, sequence, mark, size: logSize },
      readOnly: true,
      refuse: note,
      rest: breathOf(this.#backend).rest,
    });
  }

  close(): void {
    this.pager.blocks.file.close();
  }
}

/** Opens a damaged store, on which a lock for reading is held. @throws AegisError as `findStore`; `CORRUPTION` without a superblock */
export async function openDamaged(backend: StorageBackend, config: ResolvedConfig): Promise<SalvageSource> {
  const names = await backend.list();
  const file = await backend.open(DATA_FILE, { create: false, readOnly: true });
  try {
    const superblock = findSuperblock(file, names, config);
    const { pageSize, storeId, codecs, epoch, nextPage } = superblock;
    const core = createCore({ pageSize, frames: POOL_FRAMES, storeId });
    core.x.epochStart(epoch + 1);
    const extents = new Extents(FIRST_DATA_SECTOR);
    const blocks = new BlockStore(core, file, extents, await openCodecs(config, codecs));
    const pager = new Pager(core, blocks, new Directory(pageSize), nextPage);
    const lostPlaces = await loadReadable(pager, superblock, breathOf(backend).rest);
    return new SalvageSource(backend, superblock, pager, lostPlaces);
  } catch (error) {
    file.close();
    throw error;
  }
}

function findSuperblock(file: BackendFile, names: readonly string[], config: ResolvedConfig): Superblock {
  let gap: AegisError | undefined;
  const slots = new GapFile(file, DATA_FILE, (error) => {
    gap ??= error;
  });
  try {
    const found = findStore(slots, names, config);
    if (found) return found.superblock;
  } catch (error) {
    if (!(error instanceof AegisError) || error.code !== 'CORRUPTION') throw error;
    const { message } = gap ?? error;
    throw new AegisError(
      'CORRUPTION',
      `nothing can be salvaged: ${message}. Both superblocks are gone, and nothing else says which blocks of the file are the store and which are older versions; a backup is what is left`,
      { cause: error, file: DATA_FILE, offset: 0 },
    );
  }
  throw new AegisError('NOT_FOUND', 'there is no store');
}

/** The codec of most pages that are compressed, of the first few hundred; undefined: of none. */
export function codecOfPages({ pager }: SalvageSource): number | undefined {
  const counts = new Map<number, number>();
  let left = 256;
  pager.directory.eachPlaced((_page, start) => {
    if (--left < 0) return;
    try {
      const codec = pager.blocks.codecAt(start);
      if (codec) counts.set(codec, (counts.get(codec) ?? 0) + 1);
    } catch {
      // The copy will meet this block again and list it.
    }
  });
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}
