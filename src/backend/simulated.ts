/**
 * A backend for tests: files in memory on a disk that loses power, tears writes, fails, fills up and rots, as its user
 * says or its seed draws. Time, randomness and the order in which syncs end come from the seed too, so a program that
 * asks nothing else of its surroundings does the same thing again with the same seed.
 *
 * 1. Choosing what a power cut leaves never changes the run itself: chance is drawn from streams of their own.
 * 2. A crash state is a backend of its own: nothing done to it is seen by the one it came from.
 */
import { AegisError } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type {
  BackendFile,
  BackendHost,
  BackendOpenOptions,
  Lock,
  LockMode,
  StorageBackend,
} from './backend.ts';
import { checkFileName } from './file-name.ts';
import { runtimeProcessId } from './host.ts';
import { SimulatedBytes } from './simulated-bytes.ts';
import { SimulatedClock, SimulatedRandom } from './simulated-clock.ts';
import type { CrashChoice, CrashUnit } from './simulated-cut.ts';
import { PowerCut } from './simulated-cut.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import type { SimulatedCall, SimulatedFault, SimulatedOperation, SimulatedPlan } from './simulated-faults.ts';
import { failureOf } from './simulated-faults.ts';
import { type Decision, type FileHost, SimulatedFile } from './simulated-file.ts';

/** How a simulation is set up. */
export interface SimulatedOptions {
  /** Where all chance comes from; default 1. */
  readonly seed?: number;
  /** Files on the disk at the start, durable; default none. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  /** Time stands still unless `run` or `clock.step` moves it. Default: it passes whenever the program waits. */
  readonly manual?: boolean;
  /** The longest that an asynchronous sync takes, in simulated milliseconds; default 4. */
  readonly delay?: number;
  /** Whether a power cut may leave any number of bytes of a write to a file `log-…`, not sectors; default true. */
  readonly tearsLogs?: boolean;
}

/** Most units of choice of which `crashStates` tries every combination. */
const EXHAUSTIVE_UNITS_MAX = 12;
/** Tries for one more distinct state before the rest counts as seen. */
const DRAWS_IN_VAIN_MAX = 64;

/**
 * Files on a simulated disk.
 *
 * ```ts
 * const disk = new SimulatedBackend({ seed: 7 });
 * const store = await StorageEngine.open({ backend: disk });
 * await store.put('key', 'value');
 * const after = disk.crash();                              // what a power cut at this moment may leave
 * const again = await StorageEngine.open({ backend: after });
 * again.getString('key');                                  // 'value', whatever the seed
 * ```
 */
export class SimulatedBackend implements StorageBackend {
  readonly name = 'simulated';
  /** Clock, randomness and timers of the simulation. */
  readonly host: BackendHost;
  /** Simulated time. */
  readonly clock: SimulatedClock;
  /** Decides every call before it does anything: what fails, what is lost. Default: nothing. */
  plan: SimulatedPlan = () => undefined;
  /** Hears of every call that has had its effect; of an asynchronous one when it ends. */
  onCall: ((call: SimulatedCall) => void) | undefined;
  /** Every call so far, in order; `calls[n - 1].number` is n. */
  readonly calls: SimulatedCall[] = [];
  readonly #options: SimulatedOptions;
  readonly #disk: SimulatedDisk;
  readonly #fileHost: FileHost;
  readonly #delays: SimulatedRandom;
  readonly #cuts: SimulatedRandom;
  readonly #faults: SimulatedRandom;
  /** Forgotten with every call. */
  #cut: PowerCut | undefined;
  #readers = 0;
  #writer = false;

  /** A disk with nothing on it but `options.files`. */
  constructor(options?: SimulatedOptions);
  /** A disk of an earlier simulation: for `crash` and `kill`. @internal */
  constructor(options: SimulatedOptions, disk: SimulatedDisk);
  constructor(options: SimulatedOptions = {}, disk?: SimulatedDisk) {
    const { seed = 1, files, manual = false, delay = 4 } = options;
    this.#options = options;
    this.#disk = disk ?? new SimulatedDisk();
    if (disk === undefined) {
      for (const [name, bytes] of files ?? []) this.#disk.add(name, bytesOf(bytes));
    }
    const streams = new SimulatedRandom(seed);
    const random = new SimulatedRandom(streams.bits());
    this.#delays = new SimulatedRandom(streams.bits());
    this.#cuts = new SimulatedRandom(streams.bits());
    this.#faults = new SimulatedRandom(streams.bits());
    this.clock = new SimulatedClock(!manual);
    this.host = {
      now: () => this.clock.now,
      random: (target) => {
        for (let at = 0; at < target.length; at++) target[at] = random.bits() & 255;
      },
      later: (ms, run) => this.clock.later(ms, run),
    };
    this.#fileHost = {
      disk: this.#disk,
      faultRandom: this.#faults,
      decide: (operation, file, position, length) => this.#decide(operation, file, position, length),
      ended: (call) => this.#ended(call),
      delay: () =>
        new Promise((resolve) => void this.clock.later((this.#delays.below(1000) * delay) / 1000, resolve)),
    };
  }

  // --- the backend ----------------------------------------------------------------------------------------------

  /** Opens a file. */
  open(file: string, options: BackendOpenOptions): BackendFile {
    checkFileName(file);
    return this.#do('open', file, () => {
      const { create, readOnly = false } = options;
      const found = this.#disk.names.get(file);
      if (found === undefined && !create)
        throw new AegisError('NOT_FOUND', `there is no file ${file}`, { file });
      const opened = found ?? this.#disk.create(file);
      return new SimulatedFile(this.#fileHost, file, opened, readOnly);
    });
  }

  /** Names of all files. */
  list(): string[] {
    return this.#do('list', '', () => [...this.#disk.names.keys()]);
  }

  /** Removes a file; an absent one is no error. Durable after `syncDirectory`. */
  remove(file: string): void {
    checkFileName(file);
    this.#do('remove', file, () => this.#disk.remove(file));
  }

  /** Makes creations and removals durable. */
  syncDirectory(): void {
    const { call, fault } = this.#decide('syncDirectory', '', 0, 0);
    if (fault?.errno !== undefined) {
      this.#disk.loseDirectory(this.#faults);
      this.#ended(call);
      throw failureOf('syncDirectory', '', fault.errno);
    }
    if (!fault?.lost) this.#disk.syncDirectory();
    this.#ended(call);
  }

  /** Takes the disk for one writer or for readers; crash states come unlocked. */
  lock(mode: LockMode): Lock {
    return this.#do('lock', '', () => {
      if (mode === 'shared' && !this.#disk.names.has('data')) {
        throw new AegisError('NOT_FOUND', 'there is no store in this SimulatedBackend', { file: 'data' });
      }
      if (this.#writer || (mode === 'exclusive' && this.#readers > 0)) {
        const pid = runtimeProcessId();
        const message = 'this SimulatedBackend is already open in this program';
        throw new AegisError('LOCKED', message, pid === undefined ? {} : { pid });
      }
      if (mode === 'exclusive') this.#writer = true;
      else this.#readers++;
      let isHeld = true;
      return {
        release: () => {
          if (!isHeld) return;
          isHeld = false;
          if (mode === 'exclusive') this.#writer = false;
          else this.#readers--;
        },
      };
    });
  }

  // --- time -----------------------------------------------------------------------------------------------------

  /**
   * Lets time pass until a promise has settled, and answers as it does. Needed with `manual` only.
   *
   * @throws {Error} When nothing is left that could settle it: it hangs.
   */
  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.run(promise);
  }

  // --- power and processes --------------------------------------------------------------------------------------

  /** What is not on stable storage now, as units that a power cut leaves or takes. */
  units(): readonly CrashUnit[] {
    return this.#powerCut().units;
  }

  /**
   * What a power cut at this moment may leave, as a backend of its own; this one goes on undisturbed.
   *
   * @param choice Says for each unit whether it is there, `() => true` for instance; default: chance, by the seed.
   */
  crash(choice?: CrashChoice): SimulatedBackend {
    const cut = this.#powerCut();
    const landed = choice ? cut.chosen(choice) : cut.drawn(this.#cuts, this.#options.tearsLogs ?? true);
    return this.#child(cut.leave(landed));
  }

  /**
   * Different states that a power cut at this moment may leave: all of them when there are at most 12 units of choice
   * (torn sectors left out), else as many as are asked for, by chance.
   */
  *crashStates(samples = 1000): Generator<SimulatedBackend, void> {
    const cut = this.#powerCut();
    const seen = new Set<number>();
    const count = cut.units.length;
    if (count <= EXHAUSTIVE_UNITS_MAX) {
      for (let combination = 0; combination < 2 ** count; combination++) {
        const disk = cut.leave(Array.from({ length: count }, (_, unit) => ((combination >> unit) & 1) * 512));
        if (isNew(seen, disk)) yield this.#child(disk);
      }
      return;
    }
    for (let inVain = 0; seen.size < samples && inVain < DRAWS_IN_VAIN_MAX; inVain++) {
      const disk = cut.leave(cut.drawn(this.#cuts, this.#options.tearsLogs ?? true));
      if (!isNew(seen, disk)) continue;
      inVain = -1;
      yield this.#child(disk);
    }
  }

  /**
   * What the death of the process leaves, as a backend of its own: everything that was done, on stable storage or not,
   * and still on its way there. `dropCache`: what a failed sync lost is no longer seen either.
   */
  kill(options: { readonly dropCache?: boolean } = {}): SimulatedBackend {
    const disk = this.#disk.copy();
    if (options.dropCache) for (const file of disk.names.values()) file.dropCache();
    return this.#child(disk);
  }

  /** A number for the files as a program would find them now; different files, different numbers (but for luck). */
  get fingerprint(): number {
    return this.#disk.fingerprint;
  }

  /** Whether everything in a file, or in all files and the directory, is on stable storage. */
  isDurable(file?: string): boolean {
    if (file !== undefined) return (this.#disk.names.get(file)?.pending.length ?? 0) === 0;
    return this.units().length === 0;
  }

  // --- space and damage -----------------------------------------------------------------------------------------

  /** Bytes the disk has, counted in blocks of 4 KiB; without end by default. It may change at any time. */
  get capacity(): number {
    return this.#disk.capacity;
  }

  /** Makes the disk smaller or larger; what lies on it stays. */
  set capacity(bytes: number) {
    this.#disk.capacity = bytes;
  }

  /** Copies of all files as programs see them. */
  files(): Map<string, OwnBytes> {
    const files = new Map<string, OwnBytes>();
    for (const [name, { seen }] of this.#disk.names) {
      const bytes = new Uint8Array(seen.size);
      seen.read(bytes, 0);
      files.set(name, bytes);
    }
    return files;
  }

  /**
   * Turns a bit of a file over, on the device and in what programs see.
   *
   * @param bit Number of the bit from the start of the file, the lowest of each byte first; default: the seed draws one.
   * @returns The number of the bit.
   */
  rot(file: string, bit?: number): number {
    const found = this.#disk.names.get(file);
    if (found === undefined) throw new AegisError('NOT_FOUND', `there is no file ${file}`, { file });
    const turned = bit ?? this.#faults.below(found.seen.size * 8);
    for (const bytes of [found.seen, found.device]) {
      const byte = new Uint8Array(1);
      bytes.read(byte, Math.floor(turned / 8));
      byte[0]! ^= 1 << (turned % 8);
      bytes.put(byte, Math.floor(turned / 8));
    }
    return turned;
  }

  #do<T>(operation: SimulatedOperation, file: string, work: () => T): T {
    const { call, fault } = this.#decide(operation, file, 0, 0);
    if (fault?.errno !== undefined) throw failureOf(operation, file, fault.errno);
    const answer = work();
    this.#ended(call);
    return answer;
  }

  #decide(operation: SimulatedOperation, file: string, position: number, length: number): Decision {
    const call = { number: this.calls.length + 1, operation, file, position, length };
    this.calls.push(call);
    this.#cut = undefined;
    const fault: SimulatedFault | undefined = this.plan(call);
    return { call, fault };
  }

  #ended(call: SimulatedCall): void {
    this.#cut = undefined;
    this.onCall?.(call);
  }

  #powerCut(): PowerCut {
    this.#cut ??= new PowerCut(this.#disk);
    return this.#cut;
  }

  #child(disk: SimulatedDisk): SimulatedBackend {
    return new SimulatedBackend({ ...this.#options, seed: this.#cuts.bits() }, disk);
  }
}

function bytesOf(source: Uint8Array): SimulatedBytes {
  const bytes = new SimulatedBytes();
  bytes.resize(source.length);
  bytes.put(source, 0);
  return bytes;
}

function isNew(seen: Set<number>, { fingerprint }: SimulatedDisk): boolean {
  const known = seen.has(fingerprint);
  seen.add(fingerprint);
  return !known;
}
