/*
 * What lies where in a whole store, and what must become of it when bytes change: read from docs/format.md, with the
 * engine's code for the superblock only.
 *
 * For the log the answer is exact. Damage kills a group whose header or payload it hits, and all groups of a segment
 * whose header it hits. The log ends with the last complete commit before the first dead group; when any whole header
 * (wherever it lies, and whether or not its group counts) or the superblock has a mark above that end, opening must
 * answer CORRUPTION, else the store must hold exactly the commits up to there. A flip of one bit can so cost at most
 * the last commit, and only if it lies in that commit's own groups.
 */
import { BLOCK_HEADER_SIZE, GROUP_HEADER_SIZE, SECTOR_SIZE } from '../../assembly/layout.ts';
import { backendOf, type Files } from '../support/files.ts';
import { Plant } from '../support/plant.ts';

/** A block that the checkpoint refers to. */
export interface LiveBlock {
  readonly from: number;
  /** Behind its header and payload; padding follows. */
  readonly to: number;
  /** Behind its padding. */
  readonly end: number;
  /** Page number; undefined for a piece of the directory. */
  readonly page: number | undefined;
}

/** A group of the log, as it was written. */
export interface LiveGroup {
  readonly file: string;
  readonly offset: number;
  /** Length of header and payload. */
  readonly length: number;
  readonly padded: number;
  readonly lsn: number;
  readonly mark: number;
  /** The last commit of which the group has the last part; undefined: it ends none. */
  readonly ends: number | undefined;
}

export interface LiveSegment {
  readonly file: string;
  readonly firstLsn: number;
  readonly size: number;
}

/** What must be found after damage to the log: the last commit that is left, or CORRUPTION. */
export type LogOutcome = { readonly sequence: number; readonly end: number } | 'CORRUPTION';

const SEGMENT_MAGIC = 0x47455341;
const GROUP_MAGIC = 0x50524741;
/** Bytes of a segment's header that mean something. */
const SEGMENT_BYTES = 64;

export class Anatomy {
  readonly files: Files;
  /** In the order of the file. */
  readonly blocks: readonly LiveBlock[];
  readonly segments: readonly LiveSegment[];
  /** In the order of the log, from the checkpoint on. */
  readonly groups: readonly LiveGroup[];
  /** Whole headers that are left of earlier uses of a file, or lie before the checkpoint. */
  readonly stale: readonly LiveGroup[];
  readonly mark: number;
  readonly start: { readonly lsn: number; readonly sequence: number };
  readonly logSize: number;
  readonly endSector: number;
  /** The page that the names of trees are in. */
  readonly catalogRoot: number;

  constructor(files: Files) {
    this.files = files;
    const plant = new Plant(backendOf(files));
    const { superblock } = plant;
    this.mark = superblock.mark;
    this.start = { lsn: superblock.lsn, sequence: superblock.sequence };
    this.logSize = superblock.logSize;
    this.endSector = superblock.endSector;
    this.catalogRoot = superblock.catalogRoot;
    const blocks: LiveBlock[] = plant.pages.map((page) => blockAt(files, plant.place(page), page));
    for (let level = 0; plant.chunkPlaces(level).length > 0; level++) {
      for (const place of plant.chunkPlaces(level)) {
        if (place.sectors > 0) blocks.push(blockAt(files, place, undefined));
      }
    }
    this.blocks = blocks.sort((a, b) => a.from - b.from);
    const logs = [...files.keys()].filter((file) => file.startsWith('log-'));
    this.segments = logs.flatMap((file) => segmentIn(file, files.get(file)!) ?? []);
    const groups = this.segments.flatMap((segment) => groupsIn(segment, files.get(segment.file)!));
    const chain: LiveGroup[] = [];
    for (let lsn = this.start.lsn; ; ) {
      const next = groups.find(
        (group) => group.lsn === lsn || (group.lsn === lsn + SECTOR_SIZE && group.offset === SECTOR_SIZE),
      );
      if (next === undefined) break;
      chain.push(next);
      lsn = next.lsn + next.padded;
    }
    this.groups = chain;
    this.stale = groups.filter((group) => !chain.includes(group));
  }

  /** The live block that has a byte of the data file. */
  blockAt(at: number): LiveBlock | undefined {
    return this.blocks.find(({ from, end }) => at >= from && at < end);
  }

  /**
   * What must become of the log when `isHit` says which bytes of which files have changed. `moved`: the highest mark
   * of a whole header that lies where it was not written. `isShort`: whether a file ends before a place; the padding of
   * a group may hold anything, but must be there.
   */
  logOutcome(
    isHit: (file: string, from: number, to: number) => boolean,
    moved = 0,
    isShort: (file: string, place: number) => boolean = () => false,
  ): LogOutcome {
    const dead = new Set(
      this.segments.filter(({ file }) => isHit(file, 0, SEGMENT_BYTES)).map(({ file }) => file),
    );
    let [end, sequence] = [this.start.lsn, this.start.sequence];
    for (const { file, offset, length, lsn, padded, ends } of this.groups) {
      if (dead.has(file) || isHit(file, offset, offset + length) || isShort(file, offset + padded)) break;
      if (ends === undefined) continue;
      [end, sequence] = [lsn + padded, ends];
    }
    const whole = [...this.groups, ...this.stale].filter(
      ({ file, offset }) => !isHit(file, offset, offset + GROUP_HEADER_SIZE),
    );
    const mark = Math.max(this.mark, moved, ...whole.map((group) => group.mark));
    if (mark > end) return 'CORRUPTION';
    return { sequence, end };
  }
}

function blockAt(
  files: Files,
  place: { start: number; sectors: number },
  page: number | undefined,
): LiveBlock {
  const from = place.start * SECTOR_SIZE;
  const view = viewOf(files.get('data')!);
  const stored = view.getUint32(from + 28, true);
  return { from, to: from + BLOCK_HEADER_SIZE + stored, end: from + place.sectors * SECTOR_SIZE, page };
}

function segmentIn(file: string, bytes: Uint8Array): LiveSegment | undefined {
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== SEGMENT_MAGIC) return undefined;
  return { file, firstLsn: Number(view.getBigUint64(24, true)), size: view.getUint32(32, true) };
}

/** Every sector that begins with a group's header. */
function groupsIn({ file, firstLsn }: LiveSegment, bytes: Uint8Array): LiveGroup[] {
  const view = viewOf(bytes);
  const groups: LiveGroup[] = [];
  for (let offset = SECTOR_SIZE; offset + GROUP_HEADER_SIZE <= bytes.length; offset += SECTOR_SIZE) {
    if (view.getUint32(offset, true) !== GROUP_MAGIC) continue;
    const payload = view.getUint32(offset + 4, true);
    const lsn = Number(view.getBigUint64(offset + 24, true));
    const length = GROUP_HEADER_SIZE + payload;
    groups.push({
      file,
      offset,
      length,
      padded: Math.ceil(length / SECTOR_SIZE) * SECTOR_SIZE,
      // A group of an earlier use of the file: no place in this log.
      lsn: lsn === firstLsn + offset ? lsn : Number.NaN,
      mark: Number(view.getBigUint64(offset + 40, true)),
      ends: lastCommit(view, offset + GROUP_HEADER_SIZE, offset + length),
    });
  }
  return groups;
}

/** The sequence of the last part that ends its commit. */
function lastCommit(view: DataView, from: number, to: number): number | undefined {
  let ends: number | undefined;
  for (let at = from; at + 24 <= Math.min(to, view.byteLength); ) {
    if (view.getUint32(at + 4, true) & 2) ends = Number(view.getBigUint64(at + 8, true));
    at += 24 + Math.ceil(view.getUint32(at, true) / 8) * 8;
  }
  return ends;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
