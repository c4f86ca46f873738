/*
 * A memory backend under a test's thumb: time stands still until the test moves it, syncs end when the test lets them,
 * and every write is remembered until a sync has covered it, so that a power cut can take any part of the rest.
 *
 * What a sync covers is what was written before it was asked for. Creations, removals and cuts of files hold at once.
 */
import type { BackendFile, BackendHost, BackendOpenOptions } from '../../src/backend/backend.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { Random } from './codec-data.ts';

const SECTOR = 512;
/** Milliseconds of nothing after which a promise counts as forgotten. */
const QUIET_ROUNDS = 50;

/** Lets everything run that is ready to. */
export function settleTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Time as a list of what is to happen. */
export class Clock {
  now = 0;
  #order = 0;
  #tasks: { at: number; order: number; run: () => void }[] = [];

  later(ms: number, run: () => void): () => void {
    const task = { at: this.now + ms, order: ++this.#order, run };
    this.#tasks.push(task);
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== task);
    };
  }

  get idle(): boolean {
    return this.#tasks.length === 0;
  }

  /** Lets the next thing happen; false: nothing is to. */
  step(): boolean {
    let next = this.#tasks[0];
    if (!next) return false;
    for (const task of this.#tasks) {
      if (task.at < next.at || (task.at === next.at && task.order < next.order)) next = task;
    }
    const due = next;
    this.#tasks = this.#tasks.filter((task) => task !== due);
    this.now = Math.max(this.now, due.at);
    due.run();
    return true;
  }

  /** Moves time until a promise has settled; a promise that nothing will ever settle is an error. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const note = (): void => {
      settled = true;
    };
    promise.then(note, note);
    for (let quiet = 0; ; ) {
      await settleTurn();
      if (settled) return promise;
      if (this.step()) quiet = 0;
      else if (++quiet > QUIET_ROUNDS)
        throw new Error('a promise hangs: nothing is left that could settle it');
    }
  }
}

/** What was written to a file since it was last durable. */
type Journal = Map<string, { readonly position: number; readonly bytes: Uint8Array }>;

class Track {
  /** Journals of syncs on their way, oldest first, and the one being filled last. */
  journals: Journal[] = [new Map()];
  readonly durable: BackendFile;

  constructor(durable: BackendFile) {
    this.durable = durable;
  }

  note(position: number, bytes: Uint8Array): void {
    const journal = this.journals[this.journals.length - 1] as Journal;
    const key = `${position}:${bytes.length}`;
    journal.delete(key);
    journal.set(key, { position, bytes });
  }

  /** Makes everything up to a journal durable. */
  settle(upTo: Journal): void {
    const index = this.journals.indexOf(upTo);
    for (const journal of this.journals.splice(0, index + 1)) {
      for (const { position, bytes } of journal.values()) this.durable.write([bytes], position);
    }
    if (this.journals.length === 0) this.journals.push(new Map());
  }

  cover(): Journal {
    const journal = this.journals[this.journals.length - 1] as Journal;
    this.journals.push(new Map());
    return journal;
  }

  truncate(size: number): void {
    this.durable.truncate(size);
    for (const journal of this.journals) {
      for (const [key, { position, bytes }] of journal) {
        if (position + bytes.length <= size) continue;
        journal.delete(key);
        if (position < size)
          journal.set(`${key}<${size}`, { position, bytes: bytes.subarray(0, size - position) });
      }
    }
  }
}

/** What a test may hear of and decide. */
export interface Steering {
  /** Something was written to a file. */
  onWrite?(file: string, position: number, bytes: Uint8Array): void;
  /** A sync was asked for. */
  onSync?(file: string, blocking: boolean): void;
  /** Whether a sync fails: asked when it ends. */
  syncFails?(file: string, blocking: boolean): boolean;
  /** Milliseconds that an asynchronous sync takes; default 1. */
  syncDelay?(file: string): number;
}

/** A memory backend whose clock, syncs and power are the test's. */
export class SteeredBackend extends MemoryBackend {
  readonly clock = new Clock();
  readonly host: BackendHost;
  steering: Steering = {};
  readonly #tracks = new Map<string, Track>();
  readonly #durable = new MemoryBackend();
  readonly #journaled: boolean;

  /** Without `journaled` there are no power cuts, and writes cost no memory. */
  constructor(random: Random, journaled: boolean, start?: MemoryBackend) {
    super();
    this.#journaled = journaled;
    this.host = {
      now: () => this.clock.now,
      random: (target) => {
        for (let i = 0; i < target.length; ++i) target[i] = random(256);
      },
      later: (ms, run) => this.clock.later(ms, run),
    };
    if (start) copyFiles(start, this);
    if (start && journaled) copyFiles(start, this.#durable);
  }

  override open(file: string, options: BackendOpenOptions): BackendFile {
    const below = super.open(file, options);
    let track = this.#tracks.get(file);
    if (!track) {
      track = new Track(this.#durable.open(file, { create: true }));
      this.#tracks.set(file, track);
    }
    return new SteeredFile(this, file, below, this.#journaled ? track : undefined);
  }

  override remove(file: string): void {
    super.remove(file);
    this.#durable.remove(file);
    this.#tracks.delete(file);
  }

  /** What the disk holds for sure. */
  durableFile(file: string): BackendFile {
    return this.#durable.open(file, { create: false });
  }

  /**
   * What the disk holds after the power went: everything a sync covered, and of each later write the whole, nothing,
   * or some sectors.
   */
  cut(random: Random): MemoryBackend {
    const left = this.#durable.copy();
    const kept = [0, 1, 2, 3][random(4)] as number;
    for (const [name, track] of this.#tracks) {
      const file = left.open(name, { create: true });
      for (const { position, bytes } of track.journals.flatMap((journal) => [...journal.values()])) {
        const fate = kept === 3 ? random(3) : kept;
        if (fate === 1) file.write([bytes], position);
        if (fate !== 2) continue;
        for (let at = 0; at < bytes.length; ) {
          const end = Math.min(bytes.length, at + SECTOR - ((position + at) % SECTOR));
          if (random(2) === 0) file.write([bytes.subarray(at, end)], position + at);
          at = end;
        }
      }
    }
    return left;
  }
}

class SteeredFile implements BackendFile {
  readonly #backend: SteeredBackend;
  readonly #name: string;
  readonly #below: BackendFile;
  readonly #track: Track | undefined;
  #failed = false;

  constructor(backend: SteeredBackend, name: string, below: BackendFile, track: Track | undefined) {
    this.#backend = backend;
    this.#name = name;
    this.#below = below;
    this.#track = track;
  }

  size(): number {
    return this.#below.size();
  }

  read(target: Uint8Array, position: number): number {
    return this.#below.read(target, position);
  }

  write(parts: readonly Uint8Array[], position: number): void {
    this.#below.write(parts, position);
    const { onWrite } = this.#backend.steering;
    if (!this.#track && !onWrite) return;
    const bytes = new Uint8Array(Buffer.concat(parts));
    this.#track?.note(position, bytes);
    onWrite?.(this.#name, position, bytes);
  }

  async sync(): Promise<void> {
    const { steering, clock } = this.#backend;
    steering.onSync?.(this.#name, false);
    const covered = this.#track?.cover();
    await new Promise<void>((resolve) => void clock.later(steering.syncDelay?.(this.#name) ?? 1, resolve));
    this.#end(false);
    if (covered) this.#track?.settle(covered);
  }

  syncSync(): void {
    this.#backend.steering.onSync?.(this.#name, true);
    this.#end(true);
    if (this.#track) this.#track.settle(this.#track.cover());
  }

  truncate(size: number): void {
    this.#below.truncate(size);
    this.#track?.truncate(size);
  }

  close(): void {
    this.#below.close();
  }

  /** A file whose sync has failed is never durable again. */
  #end(blocking: boolean): void {
    this.#failed ||= this.#backend.steering.syncFails?.(this.#name, blocking) ?? false;
    if (!this.#failed) return;
    const what = `sync of ${this.#name} failed`;
    throw new AegisError('IO_ERROR', what, { file: this.#name, operation: 'sync', errno: 'EIO' });
  }
}

function copyFiles(from: MemoryBackend, to: MemoryBackend): void {
  for (const name of from.list()) {
    const source = from.open(name, { create: false });
    const target = MemoryBackend.prototype.open.call(to, name, { create: true });
    const bytes = new Uint8Array(source.size());
    source.read(bytes, 0);
    if (bytes.length > 0) target.write([bytes], 0);
  }
}
