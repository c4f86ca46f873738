/*
 * Crash states and what is known of each: drawn while a store works, opened when it waits.
 *
 * 1. Whoever draws a state says which commits may be the last one in it. A state that comes again with other bounds is
 *    not opened again: what opening it answered is remembered, and must lie within all of them.
 * 2. What recovery answers is exactly the store after one commit, within the bounds.
 * 3. A power cut in the middle of a recovery leaves a store that answers the same, and so does the next one.
 */

import type { SimulatedRandom } from '../../src/backend/simulated-clock.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { StorageEngine } from '../../src/index.ts';
import type { SimulatedBackend, SimulatedCall } from '../../src/testing/index.ts';
import { lendingWhile } from '../support/memories.ts';
import type { History } from './history.ts';
import { inWords, Violation } from './violation.ts';

/** The last commit of a state lies between these, both included. */
export interface Bounds {
  readonly least: number;
  readonly most: number;
}

interface State {
  readonly backend: SimulatedBackend;
  readonly config: Partial<StorageConfig>;
  /** What happened last, for people. */
  readonly moment: string;
  /** Power cuts since the store worked. */
  readonly depth: number;
  /** Whether writes may still be on their way to the device, after the death of a process. */
  readonly isUnsettled: boolean;
  bounds: Bounds;
  /** The least that a power cut inside its recovery may leave as the last commit. */
  readonly floor: number;
}

/** Counts of what was done. */
export interface Tally {
  /** Different crash states that were opened and compared. */
  states: number;
  /** Of those: cuts inside a recovery, and inside the recovery after that. */
  second: number;
  third: number;
  /** Deaths of the process, and states with a rotten superblock slot. */
  kills: number;
  rotten: number;
  verified: number;
  stores: number;
  lives: number;
  commits: number;
  failedSyncs: number;
}

export function newTally(): Tally {
  const zero = { states: 0, second: 0, third: 0, kills: 0, rotten: 0, verified: 0 };
  return { ...zero, stores: 0, lives: 0, commits: 0, failedSyncs: 0 };
}

/** Calls that change what a power cut may leave. */
const CHANGES: ReadonlySet<string> = new Set([
  'open',
  'write',
  'sync',
  'syncSync',
  'truncate',
  'remove',
  'syncDirectory',
]);

/** With so few units of choice every combination is tried. */
const EXHAUSTIVE_UNITS_MAX = 3;
const DEPTH_MAX = 3;

export class Crashes {
  readonly #random: SimulatedRandom;
  readonly #history: History;
  readonly #tally: Tally;
  readonly #everSeen: Set<number>;
  readonly #prepare: (backend: SimulatedBackend) => void;
  /** The last commit of each state that was opened. */
  readonly #answers = new Map<number, number>();
  readonly #waiting = new Map<number, State>();

  readonly #states: number;

  /**
   * `everSeen`: fingerprints over all stores; `states`: how many are enough; `prepare`: what is done to every backend
   * before it is used.
   */
  constructor(
    random: SimulatedRandom,
    history: History,
    tally: Tally,
    everSeen: Set<number>,
    states: number,
    prepare: (backend: SimulatedBackend) => void,
  ) {
    this.#random = random;
    this.#history = history;
    this.#tally = tally;
    this.#everSeen = everSeen;
    this.#states = states;
    this.#prepare = prepare;
  }

  /** Draws states at this moment of a store's life. */
  draw(
    backend: SimulatedBackend,
    config: Partial<StorageConfig>,
    call: SimulatedCall | undefined,
    about: { readonly cut: Bounds; readonly kill: Bounds; readonly draws: number; readonly mayRot: boolean },
  ): void {
    if (call !== undefined && !CHANGES.has(call.operation)) return;
    const random = this.#random;
    const moment =
      call === undefined
        ? 'between calls'
        : `call ${call.number}, ${call.operation} ${call.file} at ${call.position}, ${call.length} bytes`;
    const common = { config, moment, depth: 1, floor: about.cut.least };
    const isFew = backend.units().length <= EXHAUSTIVE_UNITS_MAX;
    const cuts = isFew ? backend.crashStates() : drawn(backend, about.draws);
    for (const state of cuts) {
      if (about.mayRot && random.oneIn(12)) {
        // Either slot alone opens the store.
        state.rot('data', random.below(2) * 4096 * 8 + random.below(512 * 8));
        this.#tally.rotten++;
      }
      this.#add({ ...common, backend: state, isUnsettled: false, bounds: about.cut });
    }
    if (random.oneIn(10)) {
      this.#add({ ...common, backend: backend.kill(), isUnsettled: true, bounds: about.kill });
      this.#tally.kills++;
    }
  }

  #add(state: State): void {
    const print = state.backend.fingerprint;
    const answer = this.#answers.get(print);
    if (answer !== undefined) {
      this.#judge(state, answer);
      return;
    }
    const known = this.#waiting.get(print);
    if (known === undefined) this.#waiting.set(print, state);
    else {
      const { least, most } = known.bounds;
      known.bounds = {
        least: Math.max(least, state.bounds.least),
        most: Math.min(most, state.bounds.most),
      };
    }
  }

  #judge({ bounds, moment, depth }: State, answer: number): void {
    if (answer >= bounds.least && answer <= bounds.most) return;
    const what = answer < bounds.least ? `commit ${bounds.least} is lost` : 'there is a commit too many';
    throw new Violation(
      `${what}: the store ends with ${answer}, not within ${bounds.least} to ${bounds.most} (cut ${depth}, ${moment})`,
    );
  }

  /** Whether as many states were opened as were asked for. */
  get isEnough(): boolean {
    return this.#tally.states >= this.#states;
  }

  /** Opens every state that was drawn, until there are enough. */
  async check(): Promise<void> {
    while (this.#waiting.size > 0 && !this.isEnough) {
      for (const [print, state] of this.#waiting) {
        if (this.isEnough) return;
        this.#waiting.delete(print);
        await lendingWhile(() => this.#open(print, state));
      }
    }
  }

  async #open(print: number, state: State): Promise<void> {
    const tally = this.#tally;
    const random = this.#random;
    if (!this.#everSeen.has(print)) {
      this.#everSeen.add(print);
      tally.states++;
      if (state.depth === 2) tally.second++;
      if (state.depth === 3) tally.third++;
    }
    const { backend, depth, moment, isUnsettled } = state;
    this.#prepare(backend);
    // Cuts inside this recovery are judged when it is known what it answers.
    const inside: { backend: SimulatedBackend; moment: string; isAnswered: boolean }[] = [];
    let isAnswered = false;
    if (depth < DEPTH_MAX && random.oneIn(depth === 1 ? 4 : 2)) {
      backend.onCall = (call) => {
        if (!CHANGES.has(call.operation) || !random.oneIn(6)) return;
        const where = `${moment}; then in recovery call ${call.number}, ${call.operation} ${call.file} at ${call.position}`;
        inside.push({ backend: backend.crash(), moment: where, isAnswered });
      };
    }
    try {
      const db = await backend.run(StorageEngine.open({ ...state.config, backend }));
      isAnswered = true;
      const answer = db.stats().sequence;
      this.#judge(state, answer);
      this.#history.compare(answer, db);
      this.#answers.set(print, answer);
      if (random.oneIn(64)) {
        const { ok, problems } = await backend.run(db.verify());
        if (!ok) throw new Violation(`verify finds ${JSON.stringify(problems.slice(0, 3))}`);
        tally.verified++;
      } else if (backend.onCall !== undefined) await backend.run(db.checkpoint());
      backend.onCall = undefined;
      const exact = { least: answer, most: answer };
      for (const cut of inside) {
        // What a recovery read from the cache alone may be gone until it has answered.
        const bounds = cut.isAnswered || !isUnsettled ? exact : { ...exact, least: state.floor };
        const next = { ...state, ...cut, depth: depth + 1, isUnsettled: false };
        this.#add({ ...next, bounds, floor: bounds.least });
      }
      if (random.oneIn(40)) {
        const killed = {
          ...state,
          backend: backend.kill(),
          depth: depth + 1,
          isUnsettled: true,
          floor: answer,
        };
        this.#add({ ...killed, moment: `${moment}; then killed after recovery`, bounds: exact });
      }
    } catch (error) {
      backend.onCall = undefined;
      if (error instanceof Violation && error.message.includes('(cut ')) throw error;
      throw new Violation(`${inWords(error)} (cut ${depth}, ${moment})`, { cause: error });
    }
  }
}

function drawn(backend: SimulatedBackend, draws: number): SimulatedBackend[] {
  return Array.from({ length: draws }, () => backend.crash());
}
