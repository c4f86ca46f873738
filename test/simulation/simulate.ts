/*
 * Simulated power cuts: stores are made, written to in every way, cut off at every moment and opened again, on disks
 * that keep any part of what was not synced. `simulate` goes on until it has seen so many different crash states, and
 * throws a `Violation` at the first one that breaks a promise.
 */
import { SimulatedRandom } from '../../src/backend/simulated-clock.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { loadCodec, StorageEngine } from '../../src/index.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';
import { Crashes, newTally, type Tally } from './crashes.ts';
import { History } from './history.ts';
import { configFor, PROFILES, type Profile, type ProfileName } from './profile.ts';
import { Program } from './program.ts';
import { inWords, Violation } from './violation.ts';

export type { Tally } from './crashes.ts';
export { Violation } from './violation.ts';

export interface SimulationOptions {
  /** The first store's; the next one has the next seed. */
  readonly seed: number;
  /** Different crash states to open, at the least. */
  readonly states: number;
  readonly profile?: ProfileName;
  /** Done to every backend before it is used: takes a protection away, so that it can be seen to matter. */
  readonly prepare?: (backend: SimulatedBackend) => void;
}

/** Blocking calls between two looks at the crash states drawn meanwhile. */
const BURST = 25;

/** Runs stores until so many different crash states have been opened. */
export async function simulate(options: SimulationOptions): Promise<Tally> {
  const { seed, states, profile = 'mixed' } = options;
  const tally = newTally();
  const everSeen = new Set<number>();
  // Loading takes turns of the real event loop, which simulated time does not wait for.
  if (PROFILES[profile].zstd > 0) await loadCodec('zstd');
  for (let at = seed; tally.states < states; at++) {
    try {
      await new StoreRun(at, options, PROFILES[profile], tally, everSeen).live();
    } catch (error) {
      const repeat = `repeat: --profile ${profile} --seed ${at} --states ${tally.states + 1}`;
      throw new Violation(`${inWords(error)}\nprofile ${profile}, seed ${at}; ${repeat}`, { cause: error });
    }
    tally.stores++;
  }
  return tally;
}

/** One store from its creation through several lives. */
class StoreRun {
  readonly #random: SimulatedRandom;
  readonly #profile: Profile;
  readonly #prepare: (backend: SimulatedBackend) => void;
  readonly #tally: Tally;
  readonly #history = new History();
  readonly #crashes: Crashes;
  #backend: SimulatedBackend;
  #config: Partial<StorageConfig> = {};
  #isCreated = false;
  /** A sync failed: what the cache shows may not be on the device. */
  #lied = false;

  constructor(
    seed: number,
    options: SimulationOptions,
    profile: Profile,
    tally: Tally,
    everSeen: Set<number>,
  ) {
    this.#random = new SimulatedRandom(seed);
    this.#profile = profile;
    this.#prepare = options.prepare ?? (() => undefined);
    this.#tally = tally;
    this.#backend = new SimulatedBackend({ seed: this.#random.bits(), manual: true });
    const draws = new SimulatedRandom(this.#random.bits());
    this.#crashes = new Crashes(draws, this.#history, tally, everSeen, options.states, this.#prepare);
  }

  async live(): Promise<void> {
    for (let life = 0; life < this.#profile.lives && !this.#crashes.isEnough; life++) {
      this.#tally.lives++;
      const db = await this.#open();
      const program = await this.#work(db);
      await this.#end(db, program);
    }
  }

  // --- one life -------------------------------------------------------------------------------------------------

  async #open(): Promise<StorageEngine> {
    const backend = this.#backend;
    this.#config = configFor(this.#profile, this.#random);
    this.#prepare(backend);
    this.#lied = false;
    backend.onCall = (call) => this.#draw(call);
    const db = await backend.run(StorageEngine.open({ ...this.#config, backend }));
    this.#isCreated = true;
    const { sequence } = db.stats();
    const history = this.#history;
    const least = history.resolved;
    if (sequence < least || sequence > history.last) {
      throw new Violation(`the store ends with commit ${sequence}, not within ${least} to ${history.last}`);
    }
    history.compare(sequence, db);
    await this.#crashes.check();
    history.goOnFrom(sequence);
    return db;
  }

  async #work(db: StorageEngine): Promise<Program> {
    const { blocking, moves, failedSync } = this.#profile;
    const random = this.#random;
    const backend = this.#backend;
    const program = new Program({
      db,
      history: this.#history,
      profile: this.#profile,
      random,
      now: () => backend.clock.now,
      mayFail: () => this.#lied,
    });
    if (failedSync > 0 && random.oneIn(failedSync)) this.#failSyncFrom(random.below(60));
    for (let move = 0; move < moves && program.failure === undefined; move++) {
      if (this.#crashes.isEnough) break;
      try {
        program.move();
      } catch (error) {
        if (!this.#lied || error instanceof Violation) throw error;
        program.failure ??= error;
      }
      if (blocking && move % BURST < BURST - 1) continue;
      if (!blocking) {
        await backend.clock.settle();
        for (let steps = random.below(3); steps > 0; steps--) backend.clock.step();
        if (random.oneIn(8)) await backend.run(program.settled());
        program.timePassed();
      }
      // What readers see meanwhile is a state of the store as well.
      if (!this.#lied && random.oneIn(3)) this.#history.compare(db.stats().sequence, db);
      this.#draw(undefined);
      await this.#crashes.check();
    }
    if (program.failure instanceof Violation) throw program.failure;
    this.#tally.commits += program.commits;
    return program;
  }

  /** Some sync from here on fails, of any file or of the directory. */
  #failSyncFrom(calls: number): void {
    const from = this.#backend.calls.length + calls;
    const { plan } = this.#backend;
    this.#backend.plan = (call) => {
      const isSync = /^sync/.test(call.operation);
      if (!isSync || call.number < from || this.#lied) return plan(call);
      this.#lied = true;
      this.#tally.failedSyncs++;
      return { errno: 'EIO' };
    };
  }

  /** The store is closed, or its process dies, or the power goes. */
  async #end(db: StorageEngine, program: Program): Promise<void> {
    const random = this.#random;
    const backend = this.#backend;
    const kind = random.below(4);
    if (kind === 0) {
      if (program.failure === undefined) await backend.run(program.settled());
      await backend.run(this.#close(db, program));
    } else if (random.oneIn(2)) program.release();
    await this.#crashes.check();
    backend.onCall = undefined;
    backend.plan = () => undefined;
    const dropCache = this.#lied && random.oneIn(2);
    const isCut = kind === 1 || this.#lied || this.#config.walEnabled === false;
    if (isCut) this.#history.resolved = this.#history.durable;
    this.#backend = kind === 1 ? backend.crash() : backend.kill({ dropCache });
  }

  async #close(db: StorageEngine, program: Program): Promise<void> {
    const history = this.#history;
    program.release();
    try {
      await db.close();
      if (!this.#lied) history.durable = history.last;
    } catch (error) {
      if (!this.#lied) throw error;
    }
  }

  // --- crash states ---------------------------------------------------------------------------------------------

  #draw(call: Parameters<Crashes['draw']>[2]): void {
    const history = this.#history;
    const most = history.last;
    this.#noteDurable();
    const { walEnabled = true } = this.#config;
    const killed = walEnabled && !this.#lied ? history.resolved : history.durable;
    const opened = { ...this.#config, walEnabled: walEnabled || this.#random.oneIn(2) };
    this.#crashes.draw(this.#backend, opened, call, {
      cut: { least: history.durable, most },
      kill: { least: killed, most },
      draws: this.#profile.draws,
      mayRot: this.#isCreated && !this.#lied,
    });
  }

  /** With nothing of the log on its way, all that was written to it is durable. */
  #noteDurable(): void {
    const history = this.#history;
    if (this.#lied || this.#config.walEnabled === false || history.resolved === history.durable) return;
    const isOnItsWay = this.#backend.units().some(({ kind, file }) => kind === 'entry' || file !== 'data');
    if (!isOnItsWay) history.durable = history.resolved;
  }
}
