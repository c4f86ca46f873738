/**
 * The pager drives the buffer pool. Between two tries of an operation it provides what the core asks for: a missing
 * page (MISS), or frames, page numbers and event slots (EXHAUSTED). It keeps the state that the core cannot keep: where
 * pages lie, which old versions are alive, which page numbers are free.
 *
 * Every operation on a tree goes through `run` (or a loop of its own that calls `serve`), which calls the core until
 * the answer is neither MISS nor EXHAUSTED. The core reports its changes as events; they are drained before anybody
 * looks at the directory or the versions.
 *
 * Invariants
 *   1. Events are drained before a page is loaded, a snapshot is taken or ended, or a place is looked up.
 *   2. A frame counts as clean only after its bytes are written (writes are synchronous: nothing is in flight).
 *   3. A page number is in one place: in use, in `#free`, or in the core's stack of free numbers.
 *   4. Between operations nothing is pinned.
 */
import {
  AREAS_OF_CALL,
  DAMAGED,
  ENCODED,
  EVENT_AREA,
  EVENT_FREED,
  EVENT_SIZE,
  EVENT_TAKEN,
  EXHAUSTED,
  MISS,
  NUMBER_CAPACITY,
  OK,
  PAGE_NUMBER_MAX,
  PRIVATE_PAGE,
  STAGING_AREA,
  VICTIM_AREA,
} from '../../assembly/layout.ts';
import { AegisError, invariant } from '../base/errors.ts';
import type { Core } from '../core/wasm.ts';
import { claimingAreas, guardTrap, LATEST } from '../core/wasm.ts';
import type { BlockStore } from './blocks.ts';
import type { Directory, Place } from './directory.ts';
import { isSpoilt, NOWHERE } from './directory.ts';
import { FreeNumbers } from './numbers.ts';
import type { SnapshotNode } from './versions.ts';
import { Versions } from './versions.ts';

/** Frames kept free for the next steps of an operation; an operation's step needs at most six. */
const FREE_WANTED = 8;
/** Dirty pages written at once when frames are needed. */
const EVICT_BATCH = 32;
/** Tries of one step of an operation after which it cannot be making progress. */
const TRIES_MAX = 10_000;

export class Pager {
  readonly core: Core;
  readonly blocks: BlockStore;
  readonly directory: Directory;
  /** Versions of the store's pages. */
  readonly versions: Versions;
  /** Versions of transactions' private pages; their readers are scans inside a transaction. */
  readonly privateVersions: Versions;
  misses = 0;
  evictions = 0;
  /** Why memory is not to be trusted any more, once it is not. */
  defect: AegisError | undefined;

  #nextPage: number;
  readonly #free = new FreeNumbers();
  #nextPrivate = PRIVATE_PAGE + 1;
  #freePrivate: number[] = [];
  /** Where private pages lie that are not dirty, and the epoch their version began with. */
  readonly #privatePlaces = new Map<number, { readonly place: Place; readonly from: number }>();
  /** Times that the present operation was called again since it last got on. */
  #tries = 0;
  /** Pages of the private tree that is being worked on. */
  #owned: Set<number> | undefined;

  constructor(core: Core, blocks: BlockStore, directory: Directory, nextPage: number) {
    this.core = core;
    this.blocks = blocks;
    this.directory = directory;
    this.#nextPage = nextPage;
    const free = (place: Place): void => blocks.extents.free(place.start, place.sectors);
    const drop = (page: number, from: number): void => {
      const frame = core.x.oldFrame(page, from);
      if (frame !== 0) core.x.frameDrop(frame);
    };
    const versions = (readerEpoch: (epoch: number) => void): Versions =>
      new Versions({ freePlace: free, dropVersion: drop, readerEpoch });
    this.versions = versions((epoch) => core.x.readerEpochSet(epoch));
    this.privateVersions = versions((epoch) => core.x.privateReaderEpochSet(epoch));
  }

  /** Page numbers from here on have never been used. */
  get nextPage(): number {
    return this.#nextPage;
  }

  /** Pages of the store in use, in frames or in extents. */
  get pageCount(): number {
    return this.#nextPage - 1 - this.#free.count - this.core.x.numberCount(false);
  }

  /** Page numbers below `nextPage` that are free. */
  get freeNumbers(): FreeNumbers {
    return this.#free;
  }

  /** Places of private pages that lie in extents: only for verification. */
  get privatePlaces(): ReadonlyMap<number, { readonly place: Place }> {
    return this.#privatePlaces;
  }

  /** Whether every page of the store is in a frame: then no read can fail. */
  get allResident(): boolean {
    return this.core.x.sharedResident() === this.pageCount;
  }

  /** Calls the core until the operation is through; answers its status. Throws CORRUPTION when it meets damage. */
  run(operation: () => number): number {
    try {
      let status = operation();
      if (status === MISS || status === EXHAUSTED) status = this.#again(operation, status);
      if (this.core.x.eventCount() > 0) this.drain();
      if (status === DAMAGED) throw this.damaged();
      return status;
    } catch (error) {
      throw this.trapped(error);
    }
  }

  /** What to throw for an error met in the core: after a trap or a broken rule its memory is not to be trusted. */
  trapped(error: unknown): unknown {
    const mended = guardTrap(error);
    if (mended instanceof AegisError && mended.code === 'STORE_FAILED') this.defect ??= mended;
    return mended;
  }

  #again(operation: () => number, first: number): number {
    let status = first;
    try {
      for (; status === MISS || status === EXHAUSTED; ++this.#tries) {
        invariant(this.#tries < TRIES_MAX, 'an operation gets on');
        this.serve(status);
        status = operation();
      }
    } finally {
      this.release();
    }
    return status;
  }

  /** Does what a status asks for: brings the missing page in, or makes space. */
  serve(status: number): void {
    // The operation will be called again: its arguments and its answers so far must stay in their areas.
    claimingAreas(this.core, AREAS_OF_CALL, () => (status === MISS ? this.#load() : this.replenish()));
  }

  /** Ends an operation served by hand, or a step of one that got on: its pages may leave memory, tries count anew. */
  release(): void {
    this.#tries = 0;
    if (this.core.x.pinnedCount() > 0) this.core.x.framesUnpin();
  }

  /** The error for what the core found damaged in a resident page. */
  damaged(): AegisError {
    const page = this.core.x.damagePage();
    this.drain();
    return this.blocks.damage(this.#placeOf(page), `page ${page}`, page);
  }

  /** Takes the current epoch for a reader of the store's pages. */
  takeSnapshot(): SnapshotNode {
    this.drain();
    return this.versions.take(this.core.x.epochTake());
  }

  /** Ends a reader of the store's pages. */
  releaseSnapshot(node: SnapshotNode): void {
    this.drain();
    this.versions.release(node);
  }

  /** Takes the current epoch for a reader of private pages. */
  takePrivateSnapshot(): SnapshotNode {
    this.drain();
    return this.privateVersions.take(this.core.x.epochTake());
  }

  /** Ends a reader of private pages. */
  releasePrivateSnapshot(node: SnapshotNode): void {
    this.drain();
    this.privateVersions.release(node);
  }

  /** A page number for a new root. */
  takeNumber(isPrivate: boolean): number {
    const number = isPrivate
      ? (this.#freePrivate.pop() ?? this.#nextPrivate++)
      : (this.#free.take() ?? this.#nextPage++);
    if ((number & ~PRIVATE_PAGE) > PAGE_NUMBER_MAX) {
      throw new AegisError('OUT_OF_SPACE', 'the store has used all its page numbers');
    }
    return number;
  }

  /** Makes an empty tree; answers its root's number. */
  createTree(isPrivate: boolean): number {
    const root = this.takeNumber(isPrivate);
    try {
      this.run(() => this.core.x.treeCreate(root));
    } catch (error) {
      // The tree has no page yet, so the number is free again.
      if (isPrivate) this.#freePrivate.push(root);
      else this.#free.give(root);
      throw error;
    }
    return root;
  }

  /** Frees every page of a private tree, whatever is in it. */
  dropPrivateTree(pages: Set<number>): void {
    this.own(undefined);
    const { x } = this.core;
    for (const page of pages) {
      const frame = x.frameNewest(page);
      if (frame !== 0) {
        x.pageEnd(frame);
        this.drain();
      } else {
        this.#endPrivatePage(page);
      }
    }
  }

  /** Drains events, refills page numbers and frees frames. Throws OUT_OF_SPACE when dirty pages cannot be written. */
  replenish(): void {
    this.drain();
    this.#refill(false);
    this.#refill(true);
    this.freeFrames(FREE_WANTED);
  }

  #refill(isPrivate: boolean): void {
    const { x } = this.core;
    if (x.numberCount(isPrivate) >= NUMBER_CAPACITY / 4) return;
    // Fill half the stack: the core takes numbers from its end.
    while (x.numberCount(isPrivate) < NUMBER_CAPACITY / 2)
      x.numberPush(this.takeNumber(isPrivate), isPrivate);
  }

  /** Lets the pool grow, and then evicts, until that many frames are free. */
  freeFrames(wanted: number): void {
    this.drain();
    const { x } = this.core;
    while (x.freeCount() < wanted && this.core.grow());
    const batch = Math.max(1, Math.min(EVICT_BATCH, Math.floor(this.core.frames / 4)));
    for (let round = 0; x.freeCount() < wanted; ++round) {
      const listed = x.framesReclaim(wanted, batch);
      const victims = Array.from(this.core.u32.subarray(VICTIM_AREA / 4, VICTIM_AREA / 4 + listed));
      try {
        this.writeFrames(victims);
      } catch (error) {
        // The disk is full, but clean pages can still be evicted.
        x.framesReclaim(wanted, 0);
        if (x.freeCount() >= wanted) return;
        throw error;
      }
      for (const frame of victims) x.frameDrop(frame);
      this.evictions += victims.length;
      invariant(round < this.core.frames * 4 + 16, 'a pool always has a victim');
    }
  }

  /** Writes dirty frames to extents and notes their places; they are clean afterwards. */
  writeFrames(frames: readonly number[]): void {
    if (frames.length === 0) return;
    const { x } = this.core;
    invariant(x.eventCount() === 0, 'events are drained before frames are chosen');
    this.blocks.writePages(frames, (frame, place) => {
      const page = x.frameNumber(frame);
      const from = x.frameFrom(frame);
      if (x.frameNewest(page) === frame) {
        this.#setPlace(page, place, from);
      } else {
        const record = this.#versionsOf(page).findFrom(page, from);
        invariant(record !== undefined, 'an old version in a frame has a record');
        record.place = place;
        if ((page & PRIVATE_PAGE) === 0) this.directory.markChanged(page);
      }
      x.frameClean(frame);
    });
  }

  /** Takes in what the core reported: versions that ended. */
  drain(): void {
    const { core } = this;
    const { x } = core;
    const count = x.eventCount();
    if (count === 0) return;
    x.eventsClear();
    for (let i = 0; i < count; ++i) {
      const at = EVENT_AREA + i * EVENT_SIZE;
      const kind = core.u32[at / 4];
      const page = core.u32[at / 4 + 1] as number;
      const from = core.f64[at / 8 + 1] as number;
      const to = core.f64[at / 8 + 2] as number;
      const frame = core.u32[at / 4 + 6] as number;
      if (kind === EVENT_TAKEN) {
        invariant(this.#owned !== undefined, 'a private page is taken for a private tree');
        this.#owned.add(page);
        continue;
      }
      const place = this.#placeOf(page);
      if (place.sectors > 0) this.#clearPlace(page);
      const kept = this.#versionsOf(page).add(page, from, to, place);
      if (frame !== 0 && !kept) x.frameDrop(frame);
      if (kind === EVENT_FREED) this.#giveNumber(page);
    }
  }

  /** Says whose pages the next operations on private trees take and free. */
  own(pages: Set<number> | undefined): void {
    if (this.core.x.eventCount() > 0) this.drain();
    this.#owned = pages;
  }

  /** As `pageEnd` in the core, for a private page that is in no frame: a scan may still see it. */
  #endPrivatePage(page: number): void {
    const last = this.#privatePlaces.get(page);
    if (last) {
      this.#privatePlaces.delete(page);
      const epoch = this.core.x.epochCurrent();
      const isSeen = this.privateVersions.newestEpoch === epoch;
      this.privateVersions.add(page, last.from, isSeen ? epoch + 1 : epoch, last.place);
    }
    this.#giveNumber(page);
  }

  #giveNumber(page: number): void {
    if (page & PRIVATE_PAGE) {
      invariant(this.#owned?.delete(page) !== false, 'a private page is freed by the tree that has it');
      this.#freePrivate.push(page);
    } else {
      this.#free.give(page);
    }
  }

  #versionsOf(page: number): Versions {
    return page & PRIVATE_PAGE ? this.privateVersions : this.versions;
  }

  #placeOf(page: number): Place {
    return page & PRIVATE_PAGE
      ? (this.#privatePlaces.get(page)?.place ?? NOWHERE)
      : this.directory.place(page);
  }

  #setPlace(page: number, place: Place, from: number): void {
    if (page & PRIVATE_PAGE) this.#privatePlaces.set(page, { place, from });
    else this.directory.setPlace(page, place, from);
  }

  #clearPlace(page: number): void {
    if (page & PRIVATE_PAGE) this.#privatePlaces.delete(page);
    else this.directory.clearPlace(page);
  }

  /** Brings the page in that the core misses, as its epoch sees it. */
  #load(): void {
    this.drain();
    ++this.misses;
    const { x } = this.core;
    const page = x.missPage();
    const epoch = x.missEpoch();
    this.freeFrames(FREE_WANTED);
    this.loadPage(page, epoch, true);
  }

  /** Loads a page's version of an epoch from its extent; a frame must be free. Throws CORRUPTION. */
  loadPage(page: number, epoch: number, expecting: boolean): void {
    const { x } = this.core;
    const old = epoch === LATEST ? undefined : this.#versionsOf(page).find(page, epoch);
    // A resident newest version that the epoch does not see, and no older one: the page did not exist then.
    const place = old ? old.place : this.#placeOf(page);
    const present = old !== undefined || x.frameNewest(page) === 0;
    if (place.sectors === 0 || !present) {
      throw new AegisError('CORRUPTION', `page ${page} is referenced but does not exist`, { page });
    }
    if (isSpoilt(place)) throw this.blocks.spoilt(place, page);
    const available = this.blocks.read(place, page);
    const end = old ? old.to : 0;
    let status = x.pageLoad(STAGING_AREA, available, page, place.sumLow, place.sumHigh, end, expecting);
    if (status === ENCODED) {
      status = this.blocks.decode(page);
      if (status === OK) status = x.pageLoadDecoded(STAGING_AREA, page, end, expecting);
    }
    if (status !== OK) throw this.blocks.damage(place, `page ${page}`, page);
  }
}
