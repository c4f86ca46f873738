/*
 * The concurrent explorer: seeded programs in which many callers do everything at once, meet a fault or two, and go on;
 * then the store is closed, its process dies, or the power goes, and whoever opens it again looks at what is there.
 *
 * 1. What a program does follows from its seed alone, so that it can be repeated.
 * 2. Whatever happens: every promise settles, with an error that is documented and has a reason; what the store shows is
 *    what the ledger says; and no file is larger than what was written to it explains.
 * 3. A life that was cut off is lived to its end all the same, on its own copy of the disk: its promises settle too.
 */
import { SimulatedClock, SimulatedRandom } from '../../src/backend/simulated-clock.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { type MemoryBackend, StorageEngine } from '../../src/index.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';
import { lendingWhile } from '../support/memories.ts';
import { Callers } from './callers.ts';
import { type Entry, Ledger, type View } from './ledger.ts';
import { Strikes } from './strikes.ts';
import { inWords, Violation } from './violation.ts';
import { Watch } from './watch.ts';
import { memoryWith, type Shape, shownBy, World } from './world.ts';

/** What programs did, all together. */
export interface Explored {
  programs: number;
  lives: number;
  commits: number;
  faults: number;
  /** Lives that met two. */
  twice: number;
  cuts: number;
  deaths: number;
  closes: number;
  /** How commits ended. */
  readonly fates: Map<string, number>;
}

export function nothingExplored(): Explored {
  const zero = { programs: 0, lives: 0, commits: 0, faults: 0, twice: 0, cuts: 0, deaths: 0, closes: 0 };
  return { ...zero, fates: new Map() };
}

/** Calls of the backend in one life before a store counts as spinning. */
const CALLS_MAX = 60_000;
/** Bytes of the data file that need no reason, and how many times what was written it may be. */
const DATA_FREE = 2 << 20;
const DATA_FACTOR = 4;
/** Pages of its own that each caller may have in the file: of a transaction, its savepoints and what it has read. */
const PRIVATE_FREE = 16 << 10;
const LOG_FREE = 4 << 20;
const LOG_FACTOR = 3;

/** Runs the program of a seed. @throws Violation naming how to repeat it */
export async function explore(seed: number, explored: Explored): Promise<void> {
  const program = new Exploration(seed, explored);
  try {
    await lendingWhile(() => program.run());
    explored.programs++;
  } catch (error) {
    const repeat = `repeat: EXPLORE=${seed} npx vitest run test/simulation/explorer.test.ts`;
    throw new Violation(`${inWords(error)}\n${program.told}\n${repeat}`, { cause: error });
  }
}

type Place = SimulatedBackend | MemoryBackend;
type End = 'close' | 'death' | 'cut';

class Exploration {
  readonly #random: SimulatedRandom;
  readonly #explored: Explored;
  readonly #shape: Shape;
  readonly #config: Partial<StorageConfig>;
  readonly #ledger = new Ledger();
  readonly #watch: Watch;
  readonly #blocks = new Map<number, Entry>();
  readonly #seed: number;
  #backend: Place;
  /** Of the place where there is none. */
  #clock: SimulatedClock;
  #strikes: Strikes;
  #said = '';

  constructor(seed: number, explored: Explored) {
    this.#seed = seed;
    const random = new SimulatedRandom(seed);
    this.#random = random;
    this.#explored = explored;
    this.#watch = new Watch(new SimulatedRandom(random.bits()));
    const callers = random.oneIn(8) ? 2 + random.below(63) : 2 + random.below(8);
    this.#shape = {
      callers,
      moves: 1 + Math.floor((6 + random.below(random.oneIn(4) ? 50 : 16)) / callers),
      large: random.oneIn(6) ? 6 : 0,
      bursts: random.oneIn(8) ? 12 : 0,
      isTight: random.oneIn(4),
    };
    this.#config = {
      pageSize: 4096,
      bufferPoolSize: (random.oneIn(3) ? 48 : 16) * 4096,
      checkpointWalSize: '512KB',
      walFlushInterval: 10,
      compression: random.oneIn(2) ? 'lz4' : 'none',
      walEnabled: !random.oneIn(8),
      syncOnCommit: !random.oneIn(4),
    };
    this.#clock = new SimulatedClock(false);
    this.#strikes = new Strikes(random);
    const isMemory = random.oneIn(8);
    this.#backend = isMemory
      ? memoryWith(this.#clock)
      : new SimulatedBackend({ seed: random.bits(), manual: true });
  }

  /** The program in words. */
  get told(): string {
    return `program ${this.#seed}: ${JSON.stringify(this.#shape)} ${JSON.stringify(this.#config)}${this.#said}\n  faults: ${this.#strikes.struck.join('; ')}; unanswered: ${this.#ledger.open}`;
  }

  #tell(what: string): void {
    this.#said += `\n  ${what}`;
  }

  async run(): Promise<void> {
    const random = this.#random;
    let view = this.#ledger.live;
    for (let lives = random.oneIn(4) ? 2 : 1; lives > 0; lives--) {
      const db = await this.#open(view, random.oneIn(4) ? 1 + random.below(2) : 0);
      if (db === undefined) return;
      view = await this.#live(db);
      if (this.#backend instanceof SimulatedBackend) this.#backend.capacity = Number.POSITIVE_INFINITY;
    }
    await this.#last((await this.#open(view, 0))!);
  }

  // --- opening --------------------------------------------------------------------------------------------------

  /** Opens the store, tries again after faults, and finds what it must. */
  async #open(view: View, faults: number): Promise<StorageEngine | undefined> {
    const random = this.#random;
    this.#strikes = new Strikes(random);
    let isCut = false;
    if (this.#backend instanceof SimulatedBackend) {
      const before = this.#backend;
      this.#clock = before.clock;
      this.#strikes.watch(before);
      this.#strikes.arm(faults);
      let cut: SimulatedBackend | undefined;
      let left = random.oneIn(6) ? 1 + random.below(40) : 0;
      if (left > 0) {
        before.onCall = () => {
          if (--left === 0) cut = before.crash();
        };
      }
      if (left > 0 || faults > 0) {
        const first = await this.#try(() => StorageEngine.open({ ...this.#config, backend: before }));
        before.onCall = undefined;
        this.#strikes.disarm();
        if (first !== undefined) {
          if (cut === undefined) return this.#found(first, view);
          await this.#run('close', first.close());
        }
        this.#tell(`opening: ${this.#strikes.struck.join('; ')}${cut === undefined ? '' : '; power cut'}`);
        isCut = cut !== undefined;
        const dropCache = this.#strikes.lied && random.oneIn(2);
        this.#backend = cut ?? (random.oneIn(2) && !this.#strikes.lied ? before : before.kill({ dropCache }));
        this.#clock = this.#backend.clock;
        isCut ||= this.#strikes.lied;
        this.#strikes = new Strikes(random);
        this.#strikes.watch(this.#backend);
      }
    }
    const db = await this.#run('open', StorageEngine.open({ ...this.#config, backend: this.#backend }));
    return this.#found(db, isCut ? this.#ledger.durable : view);
  }

  /** Opens, or is refused for a reason. */
  async #try(open: () => Promise<StorageEngine>): Promise<StorageEngine | undefined> {
    try {
      return await this.#run('open', open());
    } catch (error) {
      if (error instanceof Violation) throw error;
      const { code } = error as { code?: string };
      const isSpace = code === 'OUT_OF_SPACE' && this.#strikes.tookSpace;
      if (this.#strikes.struck.length > 0 && (isSpace || code === 'IO_ERROR' || code === 'STORE_FAILED'))
        return undefined;
      throw new Violation(`opening says ${inWords(error)}`, { cause: error });
    }
  }

  async #found(db: StorageEngine, view: View): Promise<StorageEngine> {
    const shown = shownBy(db, this.#blocks.keys());
    this.#ledger.judge(shown, view);
    this.#ledger.settle(shown);
    // What a cut took had an id that the next block may have.
    for (const [id, { fate }] of this.#blocks) if (fate !== 'done') this.#blocks.delete(id);
    if (this.#random.oneIn(4)) {
      const { ok, problems } = await this.#run('verify', db.verify());
      if (!ok) throw new Violation(`verify finds ${JSON.stringify(problems.slice(0, 3))}`);
    }
    return db;
  }

  #run<T>(what: string, promise: Promise<T>): Promise<T> {
    return this.#watch.run(this.#clock, what, promise);
  }

  // --- a life ---------------------------------------------------------------------------------------------------

  async #live(db: StorageEngine): Promise<View> {
    const random = this.#random;
    const explored = this.#explored;
    const backend = this.#backend;
    const world = this.#world(db);
    const callers = new Callers(world);
    const end = (['close', 'death', 'cut'] as const)[
      random.below(backend instanceof SimulatedBackend ? 3 : 2)
    ]!;
    const most = world.shape.callers * world.shape.moves;
    const until = random.oneIn(2) ? Number.POSITIVE_INFINITY : random.below(most) + 1;
    if (backend instanceof SimulatedBackend) this.#prepare(backend);
    const running = callers.run();
    const isDone = await this.#watch.settles(this.#clock, 'a call', running, () => world.moves > until);
    if (isDone && !world.isClosing) callers.look();
    this.#tell(`${world.moves} moves, then ${end}; ${this.#strikes.struck.join('; ')}`);
    const view = await this.#end(end, world, callers, running);
    if (this.#watch.broken) throw this.#watch.broken;
    explored.lives++;
    explored.faults += this.#strikes.struck.length;
    if (this.#strikes.struck.length > 1) explored.twice++;
    explored[end === 'close' ? 'closes' : end === 'cut' ? 'cuts' : 'deaths']++;
    for (const [fate, count] of world.fates) {
      explored.fates.set(fate, (explored.fates.get(fate) ?? 0) + count);
      explored.commits += count;
    }
    return view;
  }

  #world(db: StorageEngine): World {
    return new World({
      db,
      ledger: this.#ledger,
      random: this.#random,
      clock: this.#clock,
      strikes: this.#strikes,
      watch: this.#watch,
      shape: this.#shape,
      blocks: this.#blocks,
    });
  }

  /** Faults to come, a limit for the spinning, and a disk that is full for a while. */
  #prepare(backend: SimulatedBackend): void {
    const random = this.#random;
    const kind = random.below(10);
    this.#strikes.arm(kind < 3 ? 0 : kind < 7 ? 1 : 2);
    const limit = backend.calls.length + CALLS_MAX;
    const { plan } = backend;
    backend.plan = (call) => {
      if (call.number > limit) this.#watch.broken ??= new Violation('the store calls its files without end');
      return plan(call);
    };
    if (!this.#shape.isTight) return;
    let used = 0;
    for (const bytes of backend.files().values()) used += Math.ceil(bytes.length / 4096) * 4096;
    backend.capacity = used + random.below(700) * 1024;
    if (random.oneIn(2)) {
      this.#clock.later(5 + random.below(60), () => {
        backend.capacity = Number.POSITIVE_INFINITY;
      });
    }
  }

  /** Ends a life; answers what must be there afterwards. */
  async #end(end: End, world: World, callers: Callers, running: Promise<void>): Promise<View> {
    const random = this.#random;
    const before = this.#backend;
    const { lied } = this.#strikes;
    if (end === 'close') {
      const isClosed = await this.#run('close', callers.close());
      await this.#run('a call', running);
      this.#checkSizes(isClosed);
      if (before instanceof SimulatedBackend && this.#strikes.lied) {
        this.#backend = before.kill({ dropCache: random.oneIn(2) });
      }
      return isClosed || this.#config.walEnabled === false || this.#strikes.lied
        ? this.#ledger.durable
        : this.#ledger.live;
    }
    this.#checkSizes(false);
    world.isOver = true;
    const clock = this.#clock;
    if (before instanceof SimulatedBackend) {
      this.#backend = end === 'cut' ? before.crash() : before.kill({ dropCache: lied && random.oneIn(2) });
      this.#clock = this.#backend.clock;
      // What becomes of the old life has no bearing on the new one; its device may be gone.
      if (random.oneIn(2)) before.plan = () => ({ errno: 'EIO' });
    } else {
      this.#clock = new SimulatedClock(false);
      this.#backend = memoryWith(this.#clock, before.copy());
    }
    await this.#watch.run(clock, 'a call after the end', running);
    await this.#watch.run(clock, 'close after the end', callers.close());
    return end === 'cut' || lied || this.#config.walEnabled === false
      ? this.#ledger.durable
      : this.#ledger.live;
  }

  #checkSizes(isClosed: boolean): void {
    if (!(this.#backend instanceof SimulatedBackend)) return;
    const { bytes } = this.#ledger;
    let log = 0;
    for (const [name, { length }] of this.#backend.files()) {
      if (name !== 'data') log += length;
      else if (length > DATA_FREE + PRIVATE_FREE * this.#shape.callers + DATA_FACTOR * bytes) {
        throw new Violation(`the data file has ${length} bytes, for ${bytes} that were written`);
      }
    }
    if (isClosed && log > 0 && this.#strikes.struck.length === 0) {
      throw new Violation(`the log has ${log} bytes after close`);
    }
    if (log > LOG_FREE + LOG_FACTOR * this.#ledger.largest) {
      throw new Violation(`the log has ${log} bytes${isClosed ? ' after close' : ''}`);
    }
  }

  /** Everything is there, sound, and goes on. */
  async #last(db: StorageEngine): Promise<void> {
    const { ok, problems } = await this.#run('verify', db.verify());
    if (!ok) throw new Violation(`verify finds ${JSON.stringify(problems.slice(0, 3))}`);
    await this.#run('put', db.put('last', 'put'));
    await this.#run('close', db.close());
  }
}
