/* What the callers of a store share: the store, what is known of it, and what may go wrong. */
import type { SimulatedClock, SimulatedRandom } from '../../src/backend/simulated-clock.ts';
import { type AegisError, MemoryBackend, type StorageBackend, StorageEngine } from '../../src/index.ts';
import { documentedCodes, type PublicClass } from '../support/documented.ts';
import type { Entry, Ledger, Place, Shown, View } from './ledger.ts';
import { blockPlace, placeOf, TREES } from './ledger.ts';
import type { Strikes } from './strikes.ts';
import { inWords, Violation } from './violation.ts';
import type { Watch } from './watch.ts';

/** How one program lives. */
export interface Shape {
  readonly callers: number;
  /** Things each of them does. */
  readonly moves: number;
  /** One in so many commits is larger than a group of the log; 0: none. */
  readonly large: number;
  /** One in so many moves is a burst of small puts that nobody waits for; 0: none. */
  readonly bursts: number;
  /** The disk is full some time. */
  readonly isTight: boolean;
}

const documented = new Map<PublicClass, ReadonlyMap<string, ReadonlySet<string>>>();

function codesOf(of: PublicClass, method: string): ReadonlySet<string> {
  const known = documented.get(of) ?? documentedCodes(of);
  documented.set(of, known);
  const codes = known.get(method);
  if (codes === undefined) throw new Error(`${of}.${method} documents no errors`);
  return codes;
}

export class World {
  readonly db: StorageEngine;
  readonly ledger: Ledger;
  readonly random: SimulatedRandom;
  readonly clock: SimulatedClock;
  readonly strikes: Strikes;
  readonly watch: Watch;
  readonly shape: Shape;
  /** The power was cut, or the process died: what is answered from now on is no concern of the store that comes next. */
  isOver = false;
  /** Somebody has called `close`. */
  isClosing = false;
  /** Moves that were made. */
  moves = 0;
  /** What the collector must not find. */
  readonly kept: unknown[] = [];
  /** Commits that were answered, and how. */
  readonly fates = new Map<string, number>();
  /** Blocks with their ids, deleted ones too. */
  readonly blocks: Map<number, Entry>;

  constructor(parts: {
    readonly db: StorageEngine;
    readonly ledger: Ledger;
    readonly random: SimulatedRandom;
    readonly clock: SimulatedClock;
    readonly strikes: Strikes;
    readonly watch: Watch;
    readonly shape: Shape;
    readonly blocks: Map<number, Entry>;
  }) {
    this.db = parts.db;
    this.ledger = parts.ledger;
    this.random = parts.random;
    this.clock = parts.clock;
    this.strikes = parts.strikes;
    this.watch = parts.watch;
    this.shape = parts.shape;
    this.blocks = parts.blocks;
  }

  /** Lets time pass for a caller. */
  pause(): Promise<void> {
    const ms = this.random.below(4);
    return new Promise((resolve) => void this.clock.later(ms, resolve));
  }

  /** Notes that a promise was broken, where nobody could be told. */
  report(error: unknown): void {
    if (error instanceof Violation) this.watch.broken ??= error;
    else
      this.watch.broken ??= new Violation(`an error that nobody knows: ${inWords(error)}`, { cause: error });
  }

  // --- commits --------------------------------------------------------------------------------------------------

  begin(what: string, sync?: boolean): Entry {
    const { walEnabled, syncOnCommit } = this.db.config;
    return this.ledger.begin(what, walEnabled && (sync ?? syncOnCommit));
  }

  done(entry: Entry, sequence?: number): void {
    this.#count('done');
    if (!this.isOver) this.ledger.acknowledge(entry, sequence);
  }

  /** A commit was refused: checks that it may be, and with that error. */
  refused(of: PublicClass, method: string, entry: Entry, error: unknown): void {
    const code = this.mustBeKnown(of, method, error, entry.toString());
    this.#count(code);
    if (!this.isOver) this.ledger.refuse(entry, code === 'COMMIT_UNKNOWN' ? 'unknown' : 'refused');
  }

  #count(fate: string): void {
    this.fates.set(fate, (this.fates.get(fate) ?? 0) + 1);
  }

  /** Checks that a call may fail, and in this way; answers the code. */
  mustBeKnown(of: PublicClass, method: string, error: unknown, what = ''): string {
    if (error instanceof Violation) throw error;
    const { name, code, message } = error as AegisError;
    const said = `${method} says ${inWords(error)}${what === '' ? '' : `, to ${what}`}`;
    if (name !== 'AegisError') throw new Violation(said, { cause: error });
    if (!codesOf(of, method).has(code))
      throw new Violation(`${said}, which is not documented`, { cause: error });
    if (/internal rule/.test(message)) throw new Violation(said, { cause: error });
    if (!this.#hasReason(code, method)) throw new Violation(`${said}, without a reason`, { cause: error });
    return code;
  }

  #hasReason(code: string, method: string): boolean {
    const { strikes, shape } = this;
    switch (code) {
      case 'CONFLICT':
        return /^(commit|transaction)/.test(method);
      case 'OUT_OF_SPACE':
        return strikes.tookSpace || shape.isTight || this.isOver;
      case 'CLOSED':
      case 'TRANSACTION_FINISHED':
        return this.isClosing || this.isOver;
      case 'IO_ERROR':
      case 'STORE_FAILED':
      case 'COMMIT_UNKNOWN':
        return strikes.struck.length > 0 || this.isOver;
      default:
        return false;
    }
  }
}

// --- what a store shows -------------------------------------------------------------------------------------------

/** All that a store shows. */
export function shownBy(db: StorageEngine, blocks: Iterable<number>): Shown {
  const shown = new Map<Place, Uint8Array>();
  for (const name of db.trees()) {
    if (!TREES.includes(name)) throw new Violation(`there is a tree ${name}`);
  }
  for (const tree of TREES) {
    const space = tree === '' ? db : db.tree(tree);
    for (const [key, value] of space.scan()) shown.set(placeOf(tree, Buffer.from(key).toString()), value);
  }
  for (const id of blocks) {
    const data = db.readBlock(id)?.data;
    if (data !== undefined) shown.set(blockPlace(id), data);
  }
  return shown;
}

/** Opens a copy and looks at it. */
export async function judgeCopy(backend: StorageBackend, world: World, view: View): Promise<void> {
  const copy = await StorageEngine.open({
    backend,
    pageSize: 4096,
    bufferPoolSize: 16 * 4096,
    createIfMissing: false,
  });
  world.ledger.judge(shownBy(copy, world.blocks.keys()), view);
  await copy.close();
}

/** A place in memory with the clock of a simulation. */
export function memoryWith(clock: SimulatedClock, memory = new MemoryBackend()): MemoryBackend {
  const host = {
    now: () => clock.now,
    random: (target: Uint8Array) => void target.fill(7),
    later: (ms: number, run: () => void) => clock.later(ms, run),
  };
  return Object.assign(memory, { host });
}
