/**
 * The log files that are not in use, and the making of new ones: filled with zeros once, so that a later sync
 * changes no metadata, on stable storage and in the directory before the first group is written to them.
 *
 *   1. Only a ready segment with no sync under way is handed out: its groups may lie in the range of that sync.
 *   2. A file that could not be made is gone again; one that could not be filled further is as long as before.
 *   3. A sync that fails here ends the log, like any other.
 *   4. Another store's file is left alone.
 *   5. A number is used once: a file whose removal is under way, or failed, has no namesake.
 */
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../backend/backend.ts';
import { AegisError } from '../base/errors.ts';
import type { LogHealth } from './health.ts';
import { BLANK_SECTOR, logNameOf, Segment } from './segment.ts';

const ZEROS = new Uint8Array(262_144); // never written to

/** Owns the segments no group is needed in. */
export class SegmentRecycler {
  readonly #backend: StorageBackend;
  readonly #health: LogHealth;
  readonly #size: number;
  readonly #free: Segment[] = [];
  /** Numbers of the files that were there, and the last one that a new file got. */
  readonly #taken = new Set<number>();
  #lastNumber = 0;
  #making: Promise<void> | undefined;
  #removing: Promise<unknown> = Promise.resolve();
  #isShort = false;

  /** `segments`: all files there are; `inUse`: those that hold what is needed. */
  constructor(
    backend: StorageBackend,
    health: LogHealth,
    size: number,
    segments: readonly Segment[],
    inUse: readonly Segment[],
  ) {
    this.#backend = backend;
    this.#health = health;
    this.#size = size;
    for (const segment of segments) {
      this.#taken.add(segment.number);
      if (segment.foreign) segment.file.close();
      else if (!inUse.includes(segment)) this.#free.push(segment);
    }
  }

  /** Segments that `take` can hand out now. */
  get ready(): number {
    return this.#free.filter(isReady).length;
  }

  /** The files that are not in use. */
  get segments(): readonly Segment[] {
    return this.#free;
  }

  /** Whether the last file that was asked for found no space. */
  get isShort(): boolean {
    return this.#isShort;
  }

  /** Takes a ready segment; its caller made sure that there is one. */
  take(): Segment | undefined {
    return this.#pick(isReady);
  }

  /** Takes back a segment nobody needs; its directory entry is on stable storage since it was first used. */
  give(segment: Segment): void {
    segment.ready = segment.limit >= this.#size;
    segment.synced = segment.writes;
    this.#free.push(segment);
  }

  /** Removes files that are not in use, all but so many, and but so many bytes of ready ones. */
  trim(count: number, bytes: number): void {
    let [left, wanted] = [bytes, count];
    const free = this.#free
      .splice(0)
      .sort((a, b) => Number(isReady(b)) - Number(isReady(a)) || a.number - b.number);
    for (const segment of free) {
      if (wanted > 0 || left > 0 || segment.syncing > 0) this.#free.push(segment);
      else this.#drop(segment);
      wanted--;
      if (segment.ready) left -= segment.limit;
    }
  }

  /** Resolves when no file is being made. */
  async rest(): Promise<void> {
    await this.#making?.catch(() => undefined);
  }

  /** Makes one more segment ready, or waits for the one that is being made. */
  async make(): Promise<void> {
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined;
    });
    await this.#making;
  }

  /** The lowest that is new in this life: behind the highest number that a name can have, no file would be found again. */
  #nextNumber(): number {
    do ++this.#lastNumber;
    while (this.#taken.has(this.#lastNumber));
    return this.#lastNumber;
  }

  async #make(): Promise<void> {
    let segment = this.#pick(isUnready);
    if (segment === undefined) {
      const number = this.#nextNumber();
      segment = new Segment(number, await this.#backend.open(logNameOf(number), { create: true }));
    }
    this.#fill(segment);
    try {
      await segment.file.sync();
      await this.#backend.syncDirectory();
      markReady(segment);
    } catch (cause) {
      throw this.#health.fail(`${segment.name} could not be brought to stable storage`, cause);
    } finally {
      this.#free.push(segment);
      if (this.#health.closed) segment.file.close();
    }
  }

  /** As `make`, blocking, also while `make` waits. */
  makeSync(): void {
    let segment = this.#pick(isUnready);
    if (segment === undefined) {
      const number = this.#nextNumber();
      segment = new Segment(number, this.#fileNow(number));
    }
    this.#fill(segment);
    this.#free.push(segment);
    let directory: void | Promise<void>;
    try {
      segment.file.syncSync();
      directory = this.#backend.syncDirectory();
    } catch (cause) {
      throw this.#health.fail(`${segment.name} could not be brought to stable storage`, cause);
    }
    if (isPromise(directory)) {
      directory.catch((cause) => this.#health.fail('the directory could not be synced', cause));
      throw unsupported(this.#backend, 'sync its directory');
    }
    markReady(segment);
  }

  /** Closes the files that are not in use; resolves when those that were removed are gone. */
  async close(): Promise<void> {
    for (const { file } of this.#free) file.close();
    await this.#removing;
  }

  #pick(wanted: (segment: Segment) => boolean): Segment | undefined {
    const index = this.#free.findIndex(wanted);
    return index < 0 ? undefined : this.#free.splice(index, 1)[0];
  }

  /**
   * Extends a segment's file to its full size with zeros, or leaves it as it was and throws. What was never used is
   * filled anew: after a sync of it that failed it may be filled in the system's cache only, for good, and after a power
   * cut not at all.
   */
  #fill(segment: Segment): void {
    const { file, limit: before } = segment;
    try {
      this.#health.check();
      if (segment.size > before) file.truncate(before);
      segment.size = before;
      for (let at = before; at < this.#size; at += ZEROS.length) {
        const length = Math.min(ZEROS.length, this.#size - at);
        const begins = at === 0 ? [BLANK_SECTOR] : [];
        file.write([...begins, ZEROS.subarray(begins.length * SECTOR_SIZE, length)], at);
      }
      segment.size = Math.max(before, this.#size);
      this.#isShort = false;
    } catch (error) {
      this.#isShort = error instanceof AegisError && error.code === 'OUT_OF_SPACE';
      if (before > 0) this.#shorten(segment, before);
      else this.#drop(segment);
      throw error;
    }
  }

  #shorten(segment: Segment, size: number): void {
    this.#free.push(segment);
    try {
      segment.file.truncate(size);
    } catch {
      // The file keeps some zeros and is not ready; the next attempt fills it on from there.
    }
  }

  #drop(segment: Segment): void {
    segment.file.close();
    this.#removing = Promise.all([this.#removing, this.#remove(segment.name)]);
  }

  /** A file that cannot be removed is found and used at the next open. */
  async #remove(name: string): Promise<void> {
    try {
      await this.#backend.remove(name);
    } catch {}
  }

  #fileNow(number: number): BackendFile {
    const name = logNameOf(number);
    const file = this.#backend.open(name, { create: true });
    if (!isPromise(file)) return file;
    const undo = async (): Promise<void> => {
      (await file).close();
      await this.#remove(name);
    };
    undo().catch(() => undefined);
    throw unsupported(this.#backend, 'make a file');
  }
}

function markReady(segment: Segment): void {
  segment.limit = segment.size;
  segment.ready = true;
}

function isReady({ ready, syncing }: Segment): boolean {
  return ready && syncing === 0;
}

function isUnready({ ready, syncing }: Segment): boolean {
  return !ready && syncing === 0;
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value;
}

function unsupported(backend: StorageBackend, what: string): AegisError {
  const message = `the log needs another file, and the ${backend.name} backend cannot ${what} at once`;
  return new AegisError('UNSUPPORTED', `${message}; use the asynchronous call`);
}
