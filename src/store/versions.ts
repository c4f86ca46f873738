/**
 * Live snapshots, and the page versions that only they still see.
 *
 * A snapshot is an epoch that somebody reads: a transaction, a scan, a running checkpoint. The last durable
 * checkpoint is one as well: it reads nothing in memory, but its extents must stay. With that, one rule serves all:
 * an extent is free when its version is dead. The core reports every version that ends (events); this module keeps a
 * record of those that some snapshot sees, and lets them die when the last such snapshot ends.
 *
 * Two of these exist side by side over one epoch clock: one for the store's pages and one for transactions' private
 * pages, whose only readers are scans inside a transaction.
 *
 * Invariants
 *   1. Snapshots are ordered by epoch, one node an epoch; users of the same epoch share it.
 *   2. A record hangs on the newest live snapshot that sees its version (from <= epoch < to); none sees it: it is
 *      dead, its extent free and its frame dropped.
 *   3. Records of one page have disjoint epochs, kept oldest first; the one that an epoch sees is found by binary search.
 *      Dead ones stay in their row until half of it is dead.
 *   4. The core's reader epoch is the newest one with a reader: above it, pages change in place.
 *
 * Each snapshot keeps its records as a pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986) with the latest `from`
 * on top: when it ends, what the next older snapshot does not see is taken out and the rest is melded, so that
 * closing thousands of snapshots in any order costs O(log n) a version. One queue by age would let a long reader
 * keep every version that came after it.
 */
import { invariant } from '../base/errors.ts';
import type { Place } from './directory.ts';
import { NOWHERE } from './directory.ts';

/** Records up to which a row takes no more space than it needs. */
const SHORT_ROW = 8;

/** An old version of a page that some snapshot sees. */
export interface VersionRecord {
  readonly page: number;
  /** First epoch that sees the version. */
  readonly from: number;
  /** First epoch that no longer sees it. */
  readonly to: number;
  /** Its extent; `sectors` 0: its bytes are in a frame only. */
  place: Place;
  isDead: boolean;
  // pairing heap
  child: VersionRecord | undefined;
  sibling: VersionRecord | undefined;
}

/** The versions of one page. */
interface Row {
  records: VersionRecord[];
  dead: number;
}

/** A live epoch. */
export interface SnapshotNode {
  readonly epoch: number;
  /** Who reads at it. */
  readers: number;
  /** Whether the last durable checkpoint is this one. */
  durable: boolean;
  older: SnapshotNode | undefined;
  newer: SnapshotNode | undefined;
  heap: VersionRecord | undefined;
}

/** Frees the places of dead versions. */
export interface VersionOwner {
  /** The extent of a dead version is free. */
  freePlace(place: Place): void;
  /** The frame that holds a dead version, if any, is free. */
  dropVersion(page: number, from: number): void;
  /** The newest epoch with a reader changed; 0 = nobody reads. */
  readerEpoch(epoch: number): void;
}

export class Versions {
  readonly #owner: VersionOwner;
  readonly #rows = new Map<number, Row>();
  #newest: SnapshotNode | undefined;
  #count = 0;
  #hasReader = false;

  constructor(owner: VersionOwner) {
    this.#owner = owner;
  }

  /** Records kept. */
  get count(): number {
    return this.#count;
  }

  /** Newest live epoch; undefined when there is none. */
  get newestEpoch(): number | undefined {
    return this.#newest?.epoch;
  }

  /** Whether anybody reads. */
  get hasReader(): boolean {
    return this.#hasReader;
  }

  /** Adds a reader at the current epoch (`epoch` as the core gave it), or the durable checkpoint at an older one. */
  take(epoch: number): SnapshotNode {
    const node = this.#node(epoch);
    ++node.readers;
    this.#publish();
    return node;
  }

  /** Adds a reader at an epoch that has one. */
  share(node: SnapshotNode): void {
    invariant(node.readers > 0, 'a snapshot is shared while it is held');
    ++node.readers;
  }

  /** Makes a snapshot the durable checkpoint's as well; the answer says which was before. */
  setDurable(node: SnapshotNode): void {
    node.durable = true;
  }

  /** The node of the durable checkpoint of a store just opened. */
  startDurable(epoch: number): SnapshotNode {
    invariant(this.#newest === undefined, 'a store just opened has no readers');
    const node = this.#node(epoch);
    node.durable = true;
    return node;
  }

  /** Ends a reader. */
  release(node: SnapshotNode): void {
    invariant(node.readers > 0, 'a snapshot is released once by each reader');
    --node.readers;
    if (node.readers === 0 && !node.durable) this.#end(node);
    this.#publish();
  }

  /** Ends a durable checkpoint: its extents are released. */
  releaseDurable(node: SnapshotNode): void {
    invariant(node.durable, 'only the durable checkpoint ends as one');
    node.durable = false;
    if (node.readers === 0) this.#end(node);
  }

  /** Notes a version that ended; frees its place at once when no snapshot sees it. Answers whether it is kept. */
  add(page: number, from: number, to: number, place: Place): boolean {
    const node = this.#newest;
    if (!node || from >= to || node.epoch < from) {
      if (place.sectors > 0) this.#owner.freePlace(place);
      return false;
    }
    invariant(node.epoch < to, 'a version ends after every snapshot that was taken before');
    const record: VersionRecord = {
      page,
      from,
      to,
      place,
      isDead: false,
      child: undefined,
      sibling: undefined,
    };
    const row = this.#rows.get(page);
    if (!row) {
      this.#rows.set(page, { records: [record], dead: 0 });
    } else {
      const last = row.records.at(-1);
      invariant(!last || last.to <= from, 'versions of a page have disjoint epochs');
      // Most rows stay short; `push` would reserve space for many elements.
      if (row.records.length < SHORT_ROW) row.records = [...row.records, record];
      else row.records.push(record);
    }
    ++this.#count;
    node.heap = meld(node.heap, record);
    return true;
  }

  /** The old version of a page that an epoch sees, if any. */
  find(page: number, epoch: number): VersionRecord | undefined {
    const record = this.#last(page, epoch);
    return record && epoch < record.to ? record : undefined;
  }

  /** The old version of a page that began with an epoch. */
  findFrom(page: number, from: number): VersionRecord | undefined {
    const record = this.#last(page, from);
    return record?.from === from ? record : undefined;
  }

  /** The last version of a page that began up to an epoch; one that is dead, no snapshot sees. */
  #last(page: number, epoch: number): VersionRecord | undefined {
    const records = this.#rows.get(page)?.records;
    if (!records) return undefined;
    let low = 0;
    for (let high = records.length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((records[middle] as VersionRecord).from <= epoch) low = middle + 1;
      else high = middle;
    }
    const record = records[low - 1];
    return record && !record.isDead ? record : undefined;
  }

  /** The newest epoch up to a given one that somebody reads; 0 when there is none. */
  readerUpTo(epoch: number): number {
    let node = this.#newest;
    while (node && (node.readers === 0 || node.epoch > epoch)) node = node.older;
    return node?.epoch ?? 0;
  }

  /** Sectors of the old versions that a reader keeps, so that not even the next checkpoint sets them free. */
  get protectedSectors(): number {
    const epochs: number[] = [];
    for (let node = this.#newest; node; node = node.older) if (node.readers > 0) epochs.push(node.epoch);
    let sectors = 0;
    for (const { from, to, place } of epochs.length > 0 ? this.records() : []) {
      // Epochs are sorted newest first: only the first one below the version's end can see it.
      let low = 0;
      for (let high = epochs.length; low < high; ) {
        const middle = (low + high) >> 1;
        if ((epochs[middle] as number) < to) high = middle;
        else low = middle + 1;
      }
      if ((epochs[low] ?? 0) >= from) sectors += place.sectors;
    }
    return sectors;
  }

  /** Epochs held as the durable checkpoint's: one. Only for verification. */
  get durableEpochs(): number[] {
    const epochs: number[] = [];
    for (let node = this.#newest; node; node = node.older) if (node.durable) epochs.push(node.epoch);
    return epochs;
  }

  /** Every record kept: only for verification. */
  *records(): Generator<VersionRecord> {
    for (const { records } of this.#rows.values()) yield* records.filter(isAlive);
  }

  #node(epoch: number): SnapshotNode {
    const newest = this.#newest;
    if (newest && newest.epoch === epoch) return newest;
    invariant(!newest || newest.epoch < epoch, 'epochs only rise');
    const node: SnapshotNode = {
      epoch,
      readers: 0,
      durable: false,
      older: newest,
      newer: undefined,
      heap: undefined,
    };
    if (newest) newest.newer = node;
    this.#newest = node;
    return node;
  }

  #end(node: SnapshotNode): void {
    const older = node.older;
    if (node.newer) node.newer.older = older;
    else this.#newest = older;
    if (older) older.newer = node.newer;
    let heap = node.heap;
    node.heap = undefined;
    while (heap && (!older || heap.from > older.epoch)) {
      const dead = heap;
      heap = mergePairs(dead.child);
      dead.child = undefined;
      this.#die(dead);
    }
    if (older) older.heap = meld(older.heap, heap);
  }

  #die(record: VersionRecord): void {
    record.isDead = true;
    const row = this.#rows.get(record.page) as Row;
    if (++row.dead === row.records.length) {
      this.#rows.delete(record.page);
    } else if (row.dead * 2 > row.records.length) {
      row.records = row.records.filter(isAlive);
      row.dead = 0;
    }
    --this.#count;
    if (record.place.sectors > 0) this.#owner.freePlace(record.place);
    record.place = NOWHERE;
    this.#owner.dropVersion(record.page, record.from);
  }

  #publish(): void {
    let node = this.#newest;
    while (node && node.readers === 0) node = node.older;
    this.#hasReader = node !== undefined;
    this.#owner.readerEpoch(node ? node.epoch : 0);
  }
}

function isAlive(record: VersionRecord): boolean {
  return !record.isDead;
}

/** Melds two heaps; the latest `from` is on top. */
function meld(a: VersionRecord | undefined, b: VersionRecord | undefined): VersionRecord | undefined {
  if (!a) return b;
  if (!b) return a;
  const [top, below] = a.from >= b.from ? [a, b] : [b, a];
  below.sibling = top.child;
  top.child = below;
  return top;
}

/** Two-pass pairing of a top's children, without recursion: a list may be a million long. */
function mergePairs(first: VersionRecord | undefined): VersionRecord | undefined {
  const pairs: VersionRecord[] = [];
  let at = first;
  while (at) {
    const a: VersionRecord = at;
    const b: VersionRecord | undefined = a.sibling;
    at = b?.sibling;
    a.sibling = undefined;
    if (b) b.sibling = undefined;
    pairs.push(meld(a, b) as VersionRecord);
  }
  let heap: VersionRecord | undefined;
  for (let i = pairs.length - 1; i >= 0; --i) heap = meld(heap, pairs[i]);
  return heap;
}
