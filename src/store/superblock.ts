/**
 * Superblocks: the two slots at the start of the data file that say which checkpoint is the store.
 *
 * A superblock fits one 512-byte sector; the slots lie in different 4 KiB blocks, so that one torn or rotten write
 * harms one slot only. A checkpoint writes both, one after the other, each synced: either alone opens the store.
 * docs/format.md has the table of fields.
 *
 * Invariants
 *   1. A slot counts if its magic, version and checksum hold and every field is possible.
 *   2. The higher generation wins, then the higher fence, then `LAST_SLOT`: the one that was written last. After a
 *      failed sync it alone may be in the system's cache only, so whoever opens the store writes it first.
 */
import {
  FORMAT_VERSION,
  PAGE_NUMBER_MAX,
  PAGE_SIZE_MAX,
  PAGE_SIZE_MIN,
  SECTOR_SIZE,
  STAGING_AREA,
} from '../../assembly/layout.ts';
import type { BackendFile } from '../backend/backend.ts';
import { AegisError } from '../base/errors.ts';
import type { Core } from '../core/wasm.ts';
import type { Place } from './directory.ts';

/** Byte positions of the two slots. */
export const SLOT_POSITIONS = [0, 4096] as const;

/** Of two slots that are to be the same this one is written last. */
export const LAST_SLOT = 0;

/** First sector of the data file that may hold a block. */
export const FIRST_DATA_SECTOR = 8192 / SECTOR_SIZE;

const MAGIC = 0x53474541; // "AEGS"
const CHECKSUM_AT = SECTOR_SIZE - 8;

/** What a checkpoint leaves behind. 64-bit fields are exact below 2^53. */
export interface Superblock {
  readonly storeId: readonly [low: number, high: number];
  /** Counts checkpoints and recoveries; the higher one is the newer. */
  readonly generation: number;
  /** Number drawn at each open; every log group carries it. */
  readonly fence: number;
  readonly pageSize: number;
  /** Snapshot the checkpoint was taken with. */
  readonly epoch: number;
  /** Last commit the checkpoint holds. */
  readonly sequence: number;
  /** Where the log goes on after the checkpoint. */
  readonly lsn: number;
  /** Checksum of the group before that place. */
  readonly link: readonly [low: number, high: number];
  /** Up to where the log was known durable. */
  readonly mark: number;
  /** Root of the page directory; `sectors` 0 while it is empty. */
  readonly directory: Place;
  /** Chunks of page entries. */
  readonly chunkCount: number;
  /** Page numbers from here on have never been used. */
  readonly nextPage: number;
  /** Root of the default tree. */
  readonly mainRoot: number;
  /** Root of the tree of named trees; 0 while there is none. */
  readonly catalogRoot: number;
  /** Next tree id; ids are never used again. */
  readonly nextTree: number;
  /** Next block id; ids are never used again. */
  readonly nextBlock: number;
  /** Bit set of the codecs whose blocks the store may hold. */
  readonly codecs: number;
  /** One past the highest sector the checkpoint uses. */
  readonly endSector: number;
  /** Bytes of the log's files, at the least: a lost file leaves no other trace. 0 while the log has none, or is off. */
  readonly logSize: number;
}

const FIELDS: readonly [name: keyof Superblock, offset: number, kind: 'u32' | 'u64' | 'pair' | 'place'][] = [
  ['storeId', 8, 'pair'],
  ['generation', 16, 'u64'],
  ['fence', 24, 'u64'],
  ['epoch', 32, 'u64'],
  ['sequence', 40, 'u64'],
  ['lsn', 48, 'u64'],
  ['link', 56, 'pair'],
  ['mark', 64, 'u64'],
  ['pageSize', 72, 'u32'],
  ['codecs', 76, 'u32'],
  ['directory', 80, 'place'],
  ['chunkCount', 96, 'u32'],
  ['nextPage', 100, 'u32'],
  ['mainRoot', 104, 'u32'],
  ['catalogRoot', 108, 'u32'],
  ['nextTree', 112, 'u32'],
  ['nextBlock', 120, 'u64'],
  ['endSector', 128, 'u64'],
  ['logSize', 136, 'u64'],
];

/** Writes a superblock as the 512 bytes of a slot. `core` gives the checksum only. */
export function encodeSuperblock(core: Core, superblock: Superblock): Uint8Array {
  const bytes = new Uint8Array(SECTOR_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, FORMAT_VERSION, true);
  for (const [name, offset, kind] of FIELDS) {
    const value = superblock[name];
    if (kind === 'u32') view.setUint32(offset, value as number, true);
    else if (kind === 'u64') setNumber(view, offset, value as number);
    else if (kind === 'pair') setWords(view, offset, value as readonly number[]);
    else {
      const place = value as Place;
      setWords(view, offset, [place.start, place.sectors, place.sumLow, place.sumHigh]);
    }
  }
  setWords(view, CHECKSUM_AT, checksum(core, bytes.subarray(0, CHECKSUM_AT)));
  return bytes;
}

/**
 * Why a slot holds no superblock: nothing was ever written there; what is there never was one of ours; it was, but its
 * bytes are not what was written; its format is newer (`newer?`: or its version is what is damaged).
 */
export type SlotProblem = 'empty' | 'foreign' | 'damaged' | 'newer' | 'newer?';

/** What a slot holds. */
export type SlotContent = { superblock: Superblock } | { problem: SlotProblem };

/** What the first bytes of a slot say without a look at its checksum; undefined: it may hold a superblock. */
export function strangeness(bytes: Uint8Array): 'empty' | 'foreign' | undefined {
  if (bytes.every((byte) => byte === 0)) return 'empty';
  if (!bytes.subarray(0, 4).every((byte, at) => byte === ((MAGIC >>> (8 * at)) & 255))) return 'foreign';
  // A file that ends within the slot: its creation ran out of space.
  return bytes.length < SECTOR_SIZE ? 'empty' : undefined;
}

/** Reads the bytes of a slot. */
export function decodeSuperblock(core: Core, bytes: Uint8Array): SlotContent {
  const strange = strangeness(bytes);
  if (strange !== undefined) return { problem: strange };
  const view = new DataView(bytes.buffer, bytes.byteOffset, SECTOR_SIZE);
  const sum = checksum(core, bytes.subarray(0, CHECKSUM_AT));
  const whole =
    sum[0] === view.getUint32(CHECKSUM_AT, true) && sum[1] === view.getUint32(CHECKSUM_AT + 4, true);
  const version = view.getUint32(4, true);
  if (version > FORMAT_VERSION) return { problem: whole ? 'newer' : 'newer?' };
  if (!whole || version !== FORMAT_VERSION) return { problem: 'damaged' };
  const fields: Record<string, unknown> = {};
  for (const [name, offset, kind] of FIELDS) {
    if (kind === 'u32') fields[name] = view.getUint32(offset, true);
    else if (kind === 'u64') fields[name] = getNumber(view, offset);
    else if (kind === 'pair') fields[name] = [view.getUint32(offset, true), view.getUint32(offset + 4, true)];
    else {
      fields[name] = {
        start: view.getUint32(offset, true),
        sectors: view.getUint32(offset + 4, true),
        sumLow: view.getUint32(offset + 8, true),
        sumHigh: view.getUint32(offset + 12, true),
      };
    }
  }
  const superblock = fields as unknown as Superblock;
  return possible(superblock) ? { superblock } : { problem: 'damaged' };
}

/** Whether every field is one a store could have: a checksum is no defence against a crafted file. */
function possible(s: Superblock): boolean {
  const numbers = [
    s.generation,
    s.fence,
    s.epoch,
    s.sequence,
    s.lsn,
    s.mark,
    s.nextBlock,
    s.endSector,
    s.logSize,
  ];
  const fanout = s.pageSize / 16;
  return (
    numbers.every((value) => Number.isSafeInteger(value)) &&
    s.pageSize >= PAGE_SIZE_MIN &&
    s.pageSize <= PAGE_SIZE_MAX &&
    Number.isInteger(Math.log2(s.pageSize)) &&
    s.lsn % SECTOR_SIZE === 0 &&
    s.nextPage > s.mainRoot &&
    s.nextPage <= PAGE_NUMBER_MAX + 1 &&
    s.mainRoot > 0 &&
    s.catalogRoot < s.nextPage &&
    s.chunkCount * fanout < s.nextPage + fanout &&
    s.endSector >= FIRST_DATA_SECTOR &&
    s.directory.start + s.directory.sectors <= s.endSector &&
    s.directory.sectors > 0 === s.chunkCount > 0 &&
    (s.chunkCount === 0 || s.chunkCount * fanout >= s.nextPage)
  );
}

/** Writes a superblock to a slot; not durable before the file is synced. */
export function writeSuperblock(core: Core, file: BackendFile, slot: number, superblock: Superblock): void {
  file.write([encodeSuperblock(core, superblock)], SLOT_POSITIONS[slot] as number);
}

/** The bytes of a slot, as far as the file has them. */
export function slotBytes(file: BackendFile, slot: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR_SIZE);
  return bytes.subarray(0, file.read(bytes, SLOT_POSITIONS[slot] as number));
}

/** Reads a slot. */
export function readSlot(core: Core, file: BackendFile, slot: number): SlotContent {
  return decodeSuperblock(core, slotBytes(file, slot));
}

/**
 * Whether another writer has opened the store since: it left its fence in both slots. What is damaged or cannot be
 * read says nothing about that.
 */
export function isFencedOff(core: Core, file: BackendFile, { storeId, fence }: Superblock): boolean {
  return SLOT_POSITIONS.some((_position, slot) => {
    try {
      const content = readSlot(core, file, slot);
      if (!('superblock' in content)) return false;
      const other = content.superblock;
      return other.fence !== fence || other.storeId.some((word, index) => word !== storeId[index]);
    } catch {
      return false;
    }
  });
}

function checksum(core: Core, bytes: Uint8Array): [number, number] {
  core.u8.set(bytes, STAGING_AREA + 64);
  core.x.checksumOf(STAGING_AREA + 64, bytes.length, 0, STAGING_AREA);
  return [core.u32[STAGING_AREA / 4] as number, core.u32[STAGING_AREA / 4 + 1] as number];
}

function setWords(view: DataView, offset: number, words: readonly number[]): void {
  for (const [index, word] of words.entries()) view.setUint32(offset + index * 4, word, true);
}

function setNumber(view: DataView, offset: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new AegisError('STORE_FAILED', 'internal rule broken: a 64-bit field is below 2^53');
  }
  setWords(view, offset, [value >>> 0, Math.floor(value / 2 ** 32)]);
}

function getNumber(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
}
