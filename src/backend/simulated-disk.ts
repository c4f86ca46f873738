/**
 * A simulated disk: what programs see (the system's cache), what is on the device for certain, and in between the
 * ordered list of what was done and is not on stable storage yet. What a power cut leaves is the device and any part
 * of that list (`simulated-cut.ts`).
 *
 * 1. Every change gets a number. A sync brings to the device what had a lower number when it was called, no more.
 * 2. A file's length, its content and the entry that names it are changes of their own.
 * 3. Content is kept in whole sectors, as the cache writes them: what a later change did not touch in a sector is in
 *    it as it was seen at that time.
 * 4. Changes of one file's length take effect in their order; a later one implies those before, as in a journal.
 */
import { BLOCK_SIZE, fingerprintOf, isZero, SimulatedBytes, saltOf } from './simulated-bytes.ts';
import type { SimulatedRandom } from './simulated-clock.ts';

/** Bytes that a device writes as a whole or not at all. */
export const SECTOR_SIZE = 512;

/** A change of a file that is not on the device for certain. */
export type FileChange =
  | {
      readonly kind: 'content';
      readonly order: number;
      readonly position: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'length'; readonly order: number; readonly size: number; readonly cuts: boolean };

/** A change of the directory that is not on the device for certain. */
export interface EntryChange {
  readonly order: number;
  readonly name: string;
  /** The file it leads to from now on; undefined: to none. */
  readonly file: DiskFile | undefined;
}

/** A file, whatever names lead to it. */
export class DiskFile {
  readonly name: string;
  seen = new SimulatedBytes();
  device = new SimulatedBytes();
  pending: FileChange[] = [];
  /** Sectors whose last bytes a failed sync lost: the cache takes them for written. */
  forgotten = new Set<number>();

  constructor(name: string) {
    this.name = name;
  }

  /** Brings what was done before `order` to the device. */
  settle(order: number): void {
    const rest: FileChange[] = [];
    for (const change of this.pending) {
      if (change.order >= order) rest.push(change);
      else if (change.kind === 'length') this.device.resize(change.size);
      else this.device.put(change.bytes, change.position);
    }
    this.pending = rest;
    this.device.allocateAs(this.seen);
  }

  /** A sync failed: of what was written before `order` each sector is on the device or forgotten for ever. */
  lose(order: number, random: SimulatedRandom): void {
    const withLength = random.oneIn(2);
    const rest: FileChange[] = [];
    for (const change of this.pending) {
      if (change.order >= order || (change.kind === 'length' && !withLength)) rest.push(change);
      else if (change.kind === 'length') this.device.resize(change.size);
      else {
        const { bytes, position } = change;
        for (let at = 0; at < bytes.length; at += SECTOR_SIZE) {
          this.forgotten.add((position + at) / SECTOR_SIZE);
          if (random.oneIn(2)) this.device.put(bytes.subarray(at, at + SECTOR_SIZE), position + at);
        }
      }
    }
    this.pending = rest;
  }

  /** The cache gives up what it takes for written, and shows the device again. */
  dropCache(): void {
    const dirty = new Set<number>();
    for (const change of this.pending) {
      if (change.kind !== 'content') continue;
      for (let at = 0; at < change.bytes.length; at += SECTOR_SIZE) {
        dirty.add((change.position + at) / SECTOR_SIZE);
      }
    }
    for (const sector of this.forgotten) {
      if (dirty.has(sector)) continue;
      const bytes = new Uint8Array(SECTOR_SIZE);
      this.device.read(bytes, sector * SECTOR_SIZE);
      this.seen.put(bytes, sector * SECTOR_SIZE);
    }
    this.forgotten.clear();
  }

  copy(): DiskFile {
    const copy = new DiskFile(this.name);
    copy.seen = this.seen.copy();
    copy.device = this.device.copy();
    copy.pending = [...this.pending];
    copy.forgotten = new Set(this.forgotten);
    return copy;
  }
}

export class SimulatedDisk {
  /** Names as programs see them. */
  readonly names = new Map<string, DiskFile>();
  /** Names that a power cut leaves for certain. */
  readonly deviceNames = new Map<string, DiskFile>();
  entries: EntryChange[] = [];
  /** Bytes that all files together may take, in blocks; the disk may be made smaller than it is full. */
  capacity = Number.POSITIVE_INFINITY;
  /** Counts the changes; the next one gets this number. */
  order = 1;

  /** A file that was there before the simulation began. */
  add(name: string, bytes: SimulatedBytes): void {
    const file = new DiskFile(name);
    file.device = bytes;
    file.seen = bytes.copy();
    this.names.set(name, file);
    this.deviceNames.set(name, file);
  }

  create(name: string): DiskFile {
    const file = new DiskFile(name);
    this.#enter(name, file);
    return file;
  }

  remove(name: string): void {
    if (this.names.has(name)) this.#enter(name, undefined);
  }

  #enter(name: string, file: DiskFile | undefined): void {
    const change = { order: this.order++, name, file };
    apply(change, this.names);
    this.entries.push(change);
  }

  syncDirectory(): void {
    for (const change of this.entries) apply(change, this.deviceNames);
    this.entries = [];
  }

  /** A sync of the directory failed: each change is on the device, or still on its way. */
  loseDirectory(random: SimulatedRandom): void {
    // In their order, so that no older change of a name can overtake a newer one later on.
    const landed = random.below(this.entries.length + 1);
    for (const change of this.entries.splice(0, landed)) apply(change, this.deviceNames);
  }

  write(file: DiskFile, bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return;
    const end = position + bytes.length;
    if (end > file.seen.size) this.#setLength(file, end);
    file.seen.put(bytes, position);
    const begin = position - (position % SECTOR_SIZE);
    const sectors =
      begin === position && bytes.length % SECTOR_SIZE === 0 && bytes.byteOffset % 4 === 0
        ? bytes
        : new Uint8Array(Math.ceil((end - begin) / SECTOR_SIZE) * SECTOR_SIZE);
    if (sectors !== bytes) file.seen.read(sectors, begin);
    for (let at = begin; at < end && file.forgotten.size > 0; at += SECTOR_SIZE) {
      file.forgotten.delete(at / SECTOR_SIZE);
    }
    if (isOnDevice(file, sectors, begin)) return;
    const kept = sectors === bytes ? new Uint8Array(bytes) : sectors;
    file.pending.push({ kind: 'content', order: this.order++, position: begin, bytes: kept });
  }

  truncate(file: DiskFile, size: number): void {
    if (size !== file.seen.size) this.#setLength(file, size);
  }

  #setLength(file: DiskFile, size: number): void {
    const cuts = size < file.seen.size;
    file.seen.resize(size);
    file.pending.push({ kind: 'length', order: this.order++, size, cuts });
  }

  /** How many of so many bytes at a place the disk has room for. */
  roomFor(file: DiskFile, position: number, length: number): number {
    if (this.capacity === Number.POSITIVE_INFINITY) return length;
    let free = Math.floor(this.capacity / BLOCK_SIZE);
    for (const { seen } of this.names.values()) free -= seen.blocks;
    const end = position + length;
    for (let block = Math.floor(position / BLOCK_SIZE); block * BLOCK_SIZE < end; block++) {
      if (!file.seen.hasBlock(block) && free-- <= 0) return Math.max(0, block * BLOCK_SIZE - position);
    }
    return length;
  }

  /** What the death of the process leaves: everything that was done, on its way as before. */
  copy(): SimulatedDisk {
    const copy = new SimulatedDisk();
    const copies = new Map<DiskFile, DiskFile>();
    const copyOf = (file: DiskFile): DiskFile => {
      const made = copies.get(file) ?? file.copy();
      copies.set(file, made);
      return made;
    };
    for (const [name, file] of this.names) copy.names.set(name, copyOf(file));
    for (const [name, file] of this.deviceNames) copy.deviceNames.set(name, copyOf(file));
    copy.entries = this.entries.map(({ order, name, file }) => ({ order, name, file: file && copyOf(file) }));
    copy.capacity = this.capacity;
    copy.order = this.order;
    return copy;
  }

  /** A number that stands for the files as programs see them: names, lengths, bytes. */
  get fingerprint(): number {
    const sums = { low: 0, high: 0 };
    for (const [name, { seen }] of this.names) seen.addTo(sums, saltOf(name));
    return fingerprintOf(sums);
  }
}

/** Gives a name to a file, or takes it away. */
export function apply({ name, file }: EntryChange, names: Map<string, DiskFile>): void {
  if (file === undefined) names.delete(name);
  else names.set(name, file);
}

/** Whether a write changes nothing that a power cut could leave: no choice, then. */
function isOnDevice({ device, pending }: DiskFile, sectors: Uint8Array, position: number): boolean {
  const end = position + sectors.length;
  for (const change of pending) {
    if (change.kind === 'length') {
      if (change.cuts && change.size < end) return false;
    } else if (change.position < end && change.position + change.bytes.length > position) return false;
  }
  return device.holds(sectors, position) || isZeroBeyond(device, sectors, position);
}

/** Zeros written behind the end of what the device has of the file: its length alone decides what is there. */
function isZeroBeyond(device: SimulatedBytes, sectors: Uint8Array, position: number): boolean {
  return position >= device.size && isZero(sectors);
}
