/*
 * One random history: many transactions at a time over an engine whose syncs end when chance says so
 * (test/support/steered-backend.ts), everything they read and wrote put down for the checkers.
 *
 * 1. Everything is decided by the seed: the order of steps, of turns of the event loop, of syncs.
 * 2. Lists are changed by reading them and writing them with one element more, so that what is lost is missed.
 * 3. Numbers of commits are asked of the engine where it tells them; nothing else of it is looked into.
 */
import type { StorageConfig } from '../../src/config/config.ts';
import type { Scan, Snapshot, StorageEngine, Transaction } from '../../src/index.ts';
import { type Random, randomFrom } from '../support/codec-data.ts';
import { SteeredBackend, settleTurn } from '../support/steered-backend.ts';
import type { Ending, Epoch, History, Kind, Level, Operation, Recorded } from './history.ts';
import { RandomInput } from './random-input.ts';
import { type Settings, settingsFrom } from './settings.ts';

/** An engine to judge: the real one, or one with a bug. */
export type OpenEngine = (config: Partial<StorageConfig>) => Promise<StorageEngine>;

/** What a random run counted. */
export interface RunTally {
  transactions: number;
  singles: number;
  views: number;
  committed: number;
  refused: number;
  crashes: number;
}

const IN_FLIGHT_MAX = 40;
const VIEWS_MAX = 3;

type Reader = Pick<Transaction, 'get' | 'getString' | 'getMany' | 'has' | 'scan' | 'count'>;

/** Somebody who reads: a transaction, a snapshot. */
interface Open {
  readonly recorded: Recorded;
  readonly reader: Reader;
  readonly scans: { readonly scan: Scan; readonly operation: Extract<Operation, { kind: 'scan' }> }[];
  left: number;
}

interface OpenTransaction extends Open {
  readonly transaction: Transaction;
  readonly readOnly: boolean;
}

interface OpenView extends Open {
  readonly snapshot: Snapshot;
}

type CodedError = { readonly code?: unknown };

export class RandomHistory {
  readonly settings: Settings;
  readonly tally: RunTally = { transactions: 0, singles: 0, views: 0, committed: 0, refused: 0, crashes: 0 };
  readonly #random: Random;
  readonly #openEngine: OpenEngine;
  readonly #input: RandomInput;
  readonly #history: History = { epochs: [], final: { state: new Map(), sequence: 0 } };
  #backend: SteeredBackend;
  #db!: StorageEngine;
  #epoch!: Epoch;
  #transactions: OpenTransaction[] = [];
  #views: OpenView[] = [];
  readonly #inFlight = new Set<Promise<void>>();
  #tick = 0;
  #lastId = 0;
  /** The store as it is now is lost: who is answered from here on is not told. */
  #lost = false;
  #failure: unknown;

  constructor(openEngine: OpenEngine, seed: number) {
    this.#random = randomFrom(seed);
    this.#openEngine = openEngine;
    this.settings = settingsFrom(this.#random);
    this.#input = new RandomInput(this.settings, this.#random);
    this.#backend = this.#newBackend();
  }

  /** Runs until so many transactions were begun; answers what was seen. */
  async run(transactions: number): Promise<History> {
    const random = this.#random;
    await this.#open();
    this.#fill();
    while (this.tally.transactions < transactions) {
      this.#step();
      if (random(8) < this.settings.turns) await this.#turn();
      if (this.#inFlight.size > IN_FLIGHT_MAX) await this.#settle();
      const fate = random(1000);
      // Mostly while something is on its way: that is what can be lost.
      if (fate < this.settings.crashes && (this.#inFlight.size > 0 || random(8) === 0)) await this.#crash();
      else if (fate >= 999 && random(2) < this.settings.reopenings) await this.#reopen();
      if (this.#failure) throw this.#failure;
    }
    const endings: (() => Promise<void>)[] = [() => this.#reopen()];
    if (this.settings.crashes > 0) endings.push(() => this.#crash());
    await (endings[random(endings.length)] as () => Promise<void>)();
    this.#history.final = { state: this.#epoch.initial, sequence: this.#epoch.base };
    // The epoch that began with what was found last has seen nothing.
    this.#history.epochs.pop();
    await this.#backend.clock.settle(this.#db.close());
    if (this.#failure) throw this.#failure;
    return this.#history;
  }

  // --- life of the store ----------------------------------------------------------------------------------------

  #newBackend(start?: ReturnType<SteeredBackend['copy']>): SteeredBackend {
    const random = this.#random;
    const backend = new SteeredBackend(random, this.settings.power, start);
    backend.steering = { syncDelay: () => random(this.settings.syncDelay) };
    return backend;
  }

  async #open(): Promise<void> {
    const backend = this.#backend;
    this.#db = await backend.clock.settle(this.#openEngine({ ...this.settings.config, backend }));
    const initial = new Map<string, string>();
    for (const [key, value] of this.#db.scan()) initial.set(text(key), text(value));
    const base = this.#db.stats().sequence;
    this.#epoch = { initial, base, transactions: [], ending: 'closed' };
    this.#history.epochs.push(this.#epoch);
  }

  async #reopen(): Promise<void> {
    await this.#settle();
    for (const open of this.#transactions.splice(0)) this.#abort(open);
    for (const view of this.#views.splice(0)) this.#closeView(view);
    await this.#backend.clock.settle(this.#db.close());
    await this.#open();
  }

  /** The store is lost between two steps; what was answered before is all that was promised. */
  async #crash(): Promise<void> {
    const random = this.#random;
    const ending: Ending = this.settings.power && random(3) > 0 ? 'power' : 'death';
    const left = ending === 'power' ? this.#backend.cut(random) : this.#backend.copy();
    this.#lost = true;
    // Refusals on their way are told: such a commit can have left nothing.
    await settleTurn();
    await settleTurn();
    this.#lost = false;
    this.#epoch.ending = ending;
    this.#inFlight.clear();
    this.#transactions = [];
    this.#views = [];
    ++this.tally.crashes;
    this.#backend = this.#newBackend(left);
    await this.#open();
  }

  /** Lets a little run: some microtasks, the whole turn, or the next sync that ends. */
  async #turn(): Promise<void> {
    const random = this.#random;
    const kind = random(8);
    if (kind < 4) {
      for (let turns = 1 + random(6); turns > 0; --turns) await undefined;
    } else {
      if (kind < 7) this.#backend.clock.step();
      await settleTurn();
    }
  }

  async #settle(): Promise<void> {
    await this.#backend.clock.settle(Promise.all(this.#inFlight));
  }

  // --- steps ----------------------------------------------------------------------------------------------------

  #step(): void {
    const random = this.#random;
    const { slots } = this.settings;
    const kind = random(64);
    if (kind < 4) this.#single();
    else if (kind < 6) this.#view();
    else if (kind === 6 && random(12) === 0) this.#checkpoint();
    else if (this.#transactions.length < slots && (this.#transactions.length === 0 || random(3) === 0)) {
      this.#begin();
    } else {
      const open = this.#transactions[random(this.#transactions.length)];
      if (open) this.#work(open);
    }
  }

  #record(kind: Kind, level: Level, durable: boolean, snapshot: number | undefined): Recorded {
    const recorded: Recorded = {
      id: ++this.#lastId,
      kind,
      level,
      operations: [],
      began: ++this.#tick,
      snapshot,
      called: 0,
      answered: 0,
      outcome: 'open',
      sequence: undefined,
      durable,
    };
    this.#epoch.transactions.push(recorded);
    return recorded;
  }

  #begin(): void {
    const random = this.#random;
    const { levels, operations } = this.settings;
    const isolation = levels[random(levels.length)] as Level;
    const readOnly = random(8) === 0;
    const recorded = this.#record('transaction', isolation, false, this.#db.stats().sequence);
    const transaction = this.#db.beginTransaction({ isolation, readOnly });
    const left = 1 + random(operations);
    this.#transactions.push({ recorded, reader: transaction, transaction, readOnly, scans: [], left });
    ++this.tally.transactions;
  }

  #work(open: OpenTransaction): void {
    const random = this.#random;
    if (--open.left < 0) {
      this.#transactions.splice(this.#transactions.indexOf(open), 1);
      if (random(12) === 0) this.#abort(open);
      else this.#commit(open);
      return;
    }
    if (open.readOnly || random(2) === 0) this.#read(open);
    else this.#write(open);
  }

  #write({ recorded: { operations }, transaction }: OpenTransaction): void {
    const random = this.#random;
    if (random(5) < 3) {
      const key = this.#input.listKey();
      const before = transaction.getString(key);
      const value = this.#input.appended(before);
      operations.push({ kind: 'read', key, value: before }, { kind: 'write', key, value });
      transaction.put(key, value);
      return;
    }
    const key = this.#input.registerKey();
    const value = random(4) === 0 ? undefined : this.#input.value();
    operations.push({ kind: 'write', key, value });
    if (value === undefined) transaction.delete(key);
    else transaction.put(key, value);
  }

  #read({ recorded: { operations }, reader, scans }: Open): void {
    const random = this.#random;
    const kind = random(16);
    const advancing = scans[random(Math.max(1, scans.length))];
    if (kind < 3 && advancing) {
      this.#advance(advancing);
    } else if (kind < 8) {
      const key = this.#input.anyKey();
      operations.push({ kind: 'read', key, value: reader.getString(key) });
    } else if (kind < 10) {
      const keys = Array.from({ length: 1 + random(4) }, () => this.#input.anyKey());
      reader.getMany(keys).forEach((value, index) => {
        operations.push({ kind: 'read', key: keys[index] as string, value: value && text(value) });
      });
    } else if (kind < 11) {
      const key = this.#input.anyKey();
      operations.push({ kind: 'has', key, there: reader.has(key) });
    } else if (kind < 12) {
      const range = this.#input.range();
      operations.push({ kind: 'count', range, count: reader.count(range) });
    } else {
      const range = this.#input.range();
      const operation: Operation = { kind: 'scan', range, entries: [], exhausted: false };
      operations.push(operation);
      const scan = { scan: reader.scan(range), operation };
      scans.push(scan);
      if (random(5) > 0) this.#advance(scan);
    }
  }

  #advance({ scan, operation }: Open['scans'][number]): void {
    const random = this.#random;
    if (operation.exhausted) return;
    const wanted = random(2) === 0 ? 1000 : 1 + random(5);
    const entries = scan.nextMany(wanted);
    for (const [key, value] of entries) operation.entries.push([text(key), text(value)]);
    operation.exhausted = entries.length < wanted;
  }

  // --- ends -----------------------------------------------------------------------------------------------------

  #abort(open: OpenTransaction): void {
    this.#closeScans(open);
    open.transaction.abort();
    open.recorded.outcome = 'aborted';
    open.recorded.answered = ++this.#tick;
  }

  #closeScans({ scans }: Open): void {
    for (const { scan } of scans.splice(0)) scan.close();
  }

  #commit(open: OpenTransaction): void {
    const random = this.#random;
    const { recorded, transaction } = open;
    this.#closeScans(open);
    const sync = random(8) < this.settings.relaxed ? false : (this.settings.config.syncOnCommit ?? true);
    recorded.durable = sync;
    recorded.called = ++this.#tick;
    recorded.outcome = 'unknown';
    if (random(8) < this.settings.blocking) {
      try {
        this.#answered(recorded, transaction.commitSync({ sync }).sequence);
      } catch (error) {
        this.#refused(recorded, error);
      }
    } else {
      this.#follow(
        recorded,
        transaction.commit({ sync }).then(({ sequence }) => sequence),
      );
    }
  }

  #follow(recorded: Recorded, commit: Promise<number | undefined>): void {
    const epoch = this.#epoch;
    const isPresent = (): boolean => this.#epoch === epoch;
    const heard: Promise<void> = commit
      .then(
        (sequence) => {
          if (isPresent() && !this.#lost) this.#answered(recorded, sequence);
        },
        (error: unknown) => {
          if (isPresent()) this.#refused(recorded, error);
        },
      )
      .finally(() => this.#inFlight.delete(heard));
    this.#inFlight.add(heard);
  }

  #answered(recorded: Recorded, sequence: number | undefined): void {
    recorded.answered = ++this.#tick;
    recorded.outcome = 'committed';
    recorded.sequence = sequence;
    ++this.tally.committed;
  }

  #refused(recorded: Recorded, error: unknown): void {
    if ((error as CodedError).code !== 'CONFLICT') this.#failure ??= error;
    recorded.answered = ++this.#tick;
    recorded.outcome = 'refused';
    ++this.tally.refused;
  }

  // --- single operations, views, maintenance -------------------------------------------------------------------------

  #single(): void {
    const random = this.#random;
    const blocking = random(8) < this.settings.blocking;
    const recorded = this.#record(
      'single',
      'serializable',
      this.settings.config.syncOnCommit ?? true,
      undefined,
    );
    const { operations } = recorded;
    ++this.tally.singles;
    const db = this.#db;
    const kind = random(8);
    if (kind < 2 && this.#inFlight.size === 0) {
      // Nothing is on its way: read and put are one moment.
      const key = this.#input.listKey();
      const before = db.getString(key);
      const value = this.#input.appended(before);
      operations.push({ kind: 'read', key, value: before }, { kind: 'write', key, value });
      this.#call(
        recorded,
        blocking,
        () => db.putSync(key, value),
        () => db.put(key, value),
      );
    } else if (kind < 5) {
      const key = this.#input.registerKey();
      const value = this.#input.value();
      operations.push({ kind: 'write', key, value });
      this.#call(
        recorded,
        blocking,
        () => db.putSync(key, value),
        () => db.put(key, value),
      );
    } else if (kind < 6) {
      const key = this.#input.registerKey();
      operations.push({ kind: 'write', key, value: undefined });
      const told = (there: boolean): void => {
        operations.unshift({ kind: 'has', key, there });
      };
      this.#call(
        recorded,
        blocking,
        () => told(db.deleteSync(key)),
        async () => told(await db.delete(key)),
      );
    } else {
      const batch = Array.from({ length: 1 + random(4) }, () => {
        const key = this.#input.registerKey();
        const value = random(4) === 0 ? undefined : this.#input.value();
        operations.push({ kind: 'write', key, value });
        return value === undefined
          ? ({ type: 'delete', key } as const)
          : ({ type: 'put', key, value } as const);
      });
      this.#call(
        recorded,
        blocking,
        () => db.batchSync(batch),
        () => db.batch(batch),
      );
    }
  }

  #fill(): void {
    const recorded = this.#record(
      'single',
      'serializable',
      this.settings.config.syncOnCommit ?? true,
      undefined,
    );
    const entries = this.#input.filling();
    if (entries.length === 0) return;
    for (const [key, value] of entries) recorded.operations.push({ kind: 'write', key, value });
    const batch = entries.map(([key, value]) => ({ type: 'put', key, value }) as const);
    this.#call(
      recorded,
      true,
      () => this.#db.batchSync(batch),
      () => Promise.resolve(),
    );
  }

  #call(recorded: Recorded, blocking: boolean, now: () => void, later: () => Promise<void>): void {
    recorded.called = ++this.#tick;
    recorded.outcome = 'unknown';
    if (!blocking) {
      this.#follow(
        recorded,
        later().then(() => undefined),
      );
      return;
    }
    try {
      now();
      // Whatever was queued before a blocking commit is applied with it: the last one is ours.
      this.#answered(recorded, this.#db.stats().sequence);
    } catch (error) {
      this.#refused(recorded, error);
    }
  }

  /** A snapshot somebody keeps for a while, or one look at the latest state. */
  #view(): void {
    const random = this.#random;
    const kind = random(8);
    const held = this.#views[random(Math.max(1, this.#views.length))];
    if (kind < 4 && held) {
      if (--held.left >= 0) {
        this.#read(held);
      } else {
        this.#views.splice(this.#views.indexOf(held), 1);
        this.#closeView(held);
      }
      return;
    }
    const recorded = this.#record('view', 'serializable', false, this.#db.stats().sequence);
    ++this.tally.views;
    if (kind < 7 || this.#views.length >= VIEWS_MAX) {
      const look: Open = { recorded, reader: this.#db, scans: [], left: 0 };
      this.#read(look);
      for (const scan of look.scans) this.#advance(scan);
      this.#closeScans(look);
      this.#seen(recorded);
      return;
    }
    const snapshot = this.#db.snapshot();
    this.#views.push({ recorded, reader: snapshot, snapshot, scans: [], left: 1 + random(8) });
  }

  #closeView(view: OpenView): void {
    this.#closeScans(view);
    view.snapshot.close();
    this.#seen(view.recorded);
  }

  #seen(recorded: Recorded): void {
    recorded.answered = ++this.#tick;
    recorded.outcome = 'committed';
  }

  #checkpoint(): void {
    const epoch = this.#epoch;
    this.#db.checkpoint().catch((error: unknown) => {
      if (this.#epoch === epoch && !this.#lost && (error as CodedError).code !== 'CLOSED')
        this.#failure ??= error;
    });
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
