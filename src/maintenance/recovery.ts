/**
 * Recovery, with which every opening of a store begins that is there: from the files of a backend to pages, log position
 * and everything acknowledged.
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
 */
import { PART_FIRST, PART_HEADER_SIZE, SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendFile } from '../backend/backend.ts';
import { breathOf } from '../backend/breath.ts';
import { AegisError, invariant } from '../base/errors.ts';
import type { StoreCodecs } from '../codec/store-codecs.ts';
import type { Core } from '../core/wasm.ts';
import type { Superblock } from '../store/superblock.ts';
import { LAST_SLOT, writeSuperblock } from '../store/superblock.ts';
import type { LogScan } from '../wal/scan.ts';
import { scanLog } from '../wal/scan.ts';
import { logNamesOf } from '../wal/segment.ts';
import { FENCE_STEP } from '../wal/segments.ts';
import { loadDirectory } from './directory-load.ts';
import type { FoundStore } from './find-store.ts';
import type { Assembled, OpenedStore, OpenOptions } from './opened-store.ts';
import { assemble, openLog } from './opened-store.ts';
import { OverlayFile } from './overlay.ts';
import { tellNow } from './progress.ts';

/** Bytes of log that are replayed in one go, apart from a group that is larger. */
const REPLAY_SLICE = 1 << 16;

/** Brings a store that was found to its last committed state. */
export async function recover(
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
    const log = wanted ? openLog(options, parts.core, current, fence, scan!) : undefined;
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
