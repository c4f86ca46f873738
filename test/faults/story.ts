/*
 * A story: several lives of one store, which together use the whole API, told on a place where some call fails. Every
 * answer is judged when it is given; what the store must hold afterwards is in the history.
 */

import { AegisError, type AegisErrorCode } from '../../src/base/errors.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import type { Transaction } from '../../src/txn/transaction.ts';
import { Watch } from '../support/watched.ts';
import { type Commit, difference, History, type State, sameState, valueBy } from './history.ts';
import type { Place } from './place.ts';

/** What an I/O error may become. */
const EXPECTED: ReadonlySet<AegisErrorCode> = new Set([
  'IO_ERROR',
  'OUT_OF_SPACE',
  'STORE_FAILED',
  'COMMIT_UNKNOWN',
]);

/** Ways to commit. */
export type Kind =
  | 'put'
  | 'putSync'
  | 'batch'
  | 'batchSync'
  | 'snapshot'
  | 'serializable'
  | 'commitSync'
  | 'transaction'
  | 'relaxed'
  | 'durable';

/** Sizes of the values of one commit; negative: a deletion. */
export type Sizes = readonly number[];

const KEYS = 17;
/** Values from this size on go to one key, so that the store stays small and a scan of all short. */
const LARGE = 8000;

export class Story {
  readonly watch = new Watch();
  readonly history = new History();
  readonly place: Place;
  /** What was told of commits, and of the rest. */
  readonly tally = { acknowledged: 0, refused: 0, unknown: 0, unopened: 0, failed: 0, recovered: 0 };
  /** Called once, after the step in which the first call failed. */
  onFault: (() => Promise<void>) | undefined;
  /** The configuration of the present life. */
  #config: Partial<StorageConfig> = {};
  #engine!: StorageEngine;
  /** The calls that had failed when this life began. */
  #failedBefore = 0;

  constructor(place: Place) {
    this.place = place;
  }

  /** Opens the store, lets `work` happen in it and ends; what cannot be opened is told without. */
  async live(config: Partial<StorageConfig>, end: 'close' | 'die', work: () => Promise<void>): Promise<void> {
    this.#config = config;
    const engine = await this.#open();
    this.#failedBefore = this.place.failed.length;
    if (engine) {
      this.#engine = engine;
      if (await this.#recognize()) {
        await work();
        if (!config.readOnly) await this.#probe();
      }
      if (end === 'close') await this.#close();
    } else this.tally.unopened++;
    if (end === 'die') this.place.die();
  }

  // --- opening and closing --------------------------------------------------------------------------------------

  async #open(): Promise<StorageEngine | undefined> {
    const { place } = this;
    for (let attempt = 1; attempt <= 2; attempt++) {
      const failed = place.failed.length;
      const engine = await this.step('open', () =>
        this.watch.open({ ...this.#config, backend: place.backend }),
      );
      if (engine) return engine;
      if (this.#config.readOnly && this.history.floor === 0) return undefined;
      if (place.failed.length === failed) throw new Error('opening fails though no call did');
    }
    return undefined;
  }

  /** Finds out which state the store was opened with, and that it may be. */
  async #recognize(): Promise<boolean> {
    let state: State | undefined;
    // A second time: one read may fail.
    for (let attempt = 1; attempt <= 2 && !state; attempt++) {
      state = await this.step('scan', () => this.history.stateOf(this.#engine));
    }
    if (!state) return false;
    const found = this.history.find(state, this.history.floor);
    if (found === undefined) {
      throw new Error(`opened to a state that cannot be: ${difference(state, this.history.visible())}`);
    }
    // A reader does not make durable what it finds.
    if (!this.#config.readOnly) this.history.resolve(found);
    return true;
  }

  async #close(): Promise<void> {
    const { place, history } = this;
    const [failed, count] = [place.failed.length, this.#committed];
    const wasFailed = await this.#isFailed();
    const stats = await this.step('stats', () => this.#engine.stats());
    if (stats && stats.transactions.active !== 0)
      throw new Error('a transaction that is over counts as active');
    const closed = await this.step('close', async () => {
      await this.#engine.close();
      return true;
    });
    if (!closed && place.failed.length === failed && !wasFailed) {
      throw new Error('close fails though no call did');
    }
    if (closed && !wasFailed && !this.#config.readOnly) history.survives(count, true);
    if (wasFailed) this.tally.failed++;
    // Closed all the same, and the lock given back: opening again tells.
    await this.#mustBe('CLOSED', () => this.#engine.get('k1'));
  }

  async #isFailed(): Promise<boolean> {
    if (this.#config.readOnly) return false;
    try {
      this.#engine.beginTransaction().abort();
      return false;
    } catch (error) {
      return error instanceof AegisError && error.code === 'STORE_FAILED';
    }
  }

  async #mustBe(code: AegisErrorCode, call: () => unknown): Promise<void> {
    try {
      call();
    } catch (error) {
      if (error instanceof AegisError && error.code === code) return;
      throw error;
    }
    throw new Error(`${call} was not refused with ${code}`);
  }

  /**
   * At the end of a life in which calls failed. After a sync that failed nothing may be written any more, and reading
   * goes on; after anything else that was over at once the store must work as before, unless it says that it failed.
   */
  async #probe(): Promise<void> {
    const { place, history } = this;
    const failed = place.failed.slice(this.#failedBefore);
    if (failed.length === 0) return;
    const syncFailed = failed.some(({ operation }) => /sync/i.test(operation));
    if (syncFailed) {
      // Some were on their way when it failed, and the failure may be on its way still.
      await this.step('checkpoint', () => this.#engine.checkpoint());
      const error = await this.#refusal(() => this.#engine.put('k1', valueBy(0, 8)));
      if (error?.code !== 'STORE_FAILED') throw new Error(`after a failed sync: ${error ?? 'a put goes on'}`);
      if (error.operation === undefined || error.errno !== place.injection?.errno) {
        throw new Error(`STORE_FAILED without its evidence: ${error.stack}`);
      }
    }
    if (place.injection?.span !== 'once') return;
    if (await this.#isFailed()) {
      this.#mayFail(failed[0]!);
      if (syncFailed && !(await this.observe())) throw new Error('reading ended with a failed sync');
      return;
    }
    // The first of each may still hear of what failed before.
    await this.commit('put', [20]);
    await this.step('checkpoint', () => this.#engine.checkpoint());
    const last = await this.commit('batch', [30, 3000]);
    if (last.outcome !== 'kept') throw new Error(`the store does not work again: commit ${last.outcome}`);
    await this.checkpoint();
    if (history.cutFloor < this.#committed) throw new Error('the store does not work again: no checkpoint');
    if (!(await this.observe())) throw new Error('the store does not work again: no scan');
    this.tally.recovered++;
  }

  /** Throws unless this is a call whose failure may end the store. */
  #mayFail({ operation, file, position, length }: Place['failed'][number]): void {
    if (/sync/i.test(operation)) return;
    // Superblocks, and pages that a commit already in the log needs or must make room for.
    if (file === 'data' && (operation === 'write' || operation === 'read')) return;
    throw new Error(`one failed ${operation} of ${file} at ${position} (${length} bytes) ended the store`);
  }

  // --- steps ----------------------------------------------------------------------------------------------------

  /** Does something that may be refused, for a reason that is expected; then the answer is undefined. */
  async step<T>(name: string, work: () => T | Promise<T>): Promise<T | undefined> {
    const failed = this.place.failed.length;
    try {
      const answer = work();
      return answer instanceof Promise ? await this.place.settle(answer) : answer;
    } catch (error) {
      this.#judge(name, error);
      return undefined;
    } finally {
      if (failed === 0 && this.place.failed.length > 0) await this.onFault?.();
    }
  }

  /** Throws unless an error is what the fault of this story may become. */
  #judge(name: string, error: unknown): AegisError {
    if (!(error instanceof AegisError)) throw error;
    const { code, errno } = error;
    // What was never made cannot be read.
    if (code === 'NOT_FOUND' && this.#config.readOnly && this.history.floor === 0) return error;
    if (!EXPECTED.has(code)) throw new Error(`${name} answers with ${code}`, { cause: error });
    if (this.place.failed.length === 0) throw new Error(`${name} fails though no call did`, { cause: error });
    if (errno !== undefined && errno !== this.place.injection?.errno) {
      throw new Error(`${name} answers with ${errno}`, { cause: error });
    }
    if (errno === undefined) throw new Error(`${name} answers without errno`, { cause: error });
    return error;
  }

  async #refusal(call: () => Promise<unknown>): Promise<AegisError | undefined> {
    try {
      await this.place.settle(call());
      return undefined;
    } catch (error) {
      if (error instanceof AegisError) return error;
      throw error;
    }
  }

  /** Compares all that can be read with what was answered; false when reading was refused. */
  async observe(reader: { scan(): Iterable<[Uint8Array, Uint8Array]> } = this.#engine): Promise<boolean> {
    return this.observeAs(reader, this.history.visible());
  }

  async observeAs(reader: { scan(): Iterable<[Uint8Array, Uint8Array]> }, expected: State): Promise<boolean> {
    const state = await this.step('scan', () => this.history.stateOf(reader));
    if (!state || sameState(state, expected)) return state !== undefined;
    throw new Error(`what is visible is not what was answered: ${difference(state, expected)}`);
  }

  get engine(): StorageEngine {
    return this.#engine;
  }

  get #committed(): number {
    return this.history.commits.length;
  }

  async checkpoint(): Promise<void> {
    const count = this.#committed;
    const data = await this.step('checkpoint', () => this.#engine.checkpoint());
    if (data) this.history.survives(count, true);
  }

  /** Lets the time pass in which relaxed commits become durable. */
  async rest(): Promise<void> {
    const [failed, count] = [this.place.failed.length, this.#committed];
    const { host } = this.place.backend;
    await this.place.settle(new Promise<void>((resolve) => void host.later(500, resolve)));
    const isSound = this.place.failed.length === failed && !(await this.#isFailed());
    if (isSound && this.#config.walEnabled !== false) this.history.survives(count, true);
  }

  // --- commits --------------------------------------------------------------------------------------------------

  async commit(kind: Kind, sizes: Sizes): Promise<Commit> {
    const [commit] = await this.together([[kind, sizes]]);
    return commit!;
  }

  /** Commits that are asked for in one turn, and share what can be shared. */
  async together(asked: readonly (readonly [Kind, Sizes])[]): Promise<Commit[]> {
    const begun: { commit: Commit; kind: Kind; answer: Promise<unknown> }[] = [];
    for (const [kind, sizes] of asked) {
      const commit = this.history.begin(this.#writesOf(kind, sizes));
      let answer: Promise<unknown>;
      try {
        answer = Promise.resolve(this.#write(kind, commit));
      } catch (error) {
        answer = Promise.reject(error);
      }
      // It is awaited below, after others.
      answer.catch(() => undefined);
      begun.push({ commit, kind, answer });
    }
    for (const { commit, kind, answer } of begun) await this.#conclude(commit, kind, answer);
    for (const { commit } of begun) await this.#check(commit);
    return begun.map(({ commit }) => commit);
  }

  async #conclude(commit: Commit, kind: Kind, answer: Promise<unknown>): Promise<void> {
    commit.outcome = 'refused';
    let unknown = false;
    const conflicts = ['snapshot', 'serializable', 'durable', 'transaction'].includes(kind);
    const kept = await this.step(kind, async () => {
      try {
        await answer;
        commit.outcome = 'kept';
        return true;
      } catch (error) {
        if (error instanceof AegisError && error.code === 'CONFLICT' && conflicts) return false;
        unknown = error instanceof AegisError && error.code === 'COMMIT_UNKNOWN';
        if (unknown) commit.outcome = 'unknown';
        throw error;
      }
    });
    if (kept) this.tally.acknowledged++;
    else if (unknown) this.tally.unknown++;
    else this.tally.refused++;
    if (!kept || this.#config.walEnabled === false) return;
    const { syncOnCommit = true } = this.#config;
    this.history.survives(commit.number, kind === 'durable' || (syncOnCommit && kind !== 'relaxed'));
  }

  /** A commit is seen at once when it was answered, and never when it was refused. */
  async #check({ writes, outcome, number }: Commit): Promise<void> {
    const expected = this.history.visible();
    for (const key of [...writes.keys()].slice(0, 2)) {
      await this.step('get', () => {
        const value = this.#engine.get(key);
        const found = value && this.history.writerOf(key, value);
        if (found !== expected.get(key)) {
          throw new Error(`${key} is of ${found}, not ${expected.get(key)}: commit ${number} was ${outcome}`);
        }
      });
    }
  }

  #writesOf(kind: Kind, sizes: Sizes): Map<string, number | undefined> {
    const number = this.#committed + 1;
    const list = kind === 'put' || kind === 'putSync' ? sizes.slice(0, 1) : sizes;
    const keyOf = (size: number, at: number) =>
      size >= LARGE ? 'large' : `k${(number * 7 + at * 3) % KEYS}`;
    return new Map(list.map((size, at) => [keyOf(size, at), size < 0 ? undefined : size] as const));
  }

  #write(kind: Kind, commit: Commit): unknown {
    const engine = this.#engine;
    const operations = [...commit.writes].map(([key, size]) =>
      size === undefined
        ? ({ type: 'delete', key } as const)
        : ({ type: 'put', key, value: valueBy(commit.number, size) } as const),
    );
    const [first] = operations;
    if (kind === 'put' || kind === 'putSync') {
      if (first!.type === 'put') return engine[kind](first!.key, first!.value);
      return kind === 'put' ? engine.delete(first!.key) : engine.deleteSync(first!.key);
    }
    if (kind === 'batch' || kind === 'batchSync') return engine[kind](operations);
    const fill = (tx: Transaction): void => {
      for (const operation of operations) {
        if (operation.type === 'put') tx.put(operation.key, operation.value);
        else tx.delete(operation.key);
      }
    };
    if (kind === 'transaction') return engine.transaction(fill);
    const tx = engine.beginTransaction({ isolation: kind === 'serializable' ? 'serializable' : 'snapshot' });
    try {
      if (kind === 'serializable') {
        tx.getMany(['k1', first!.key]);
        tx.count({ gte: 'k1', lt: 'k2' });
      }
      fill(tx);
      for (const _ of tx.scan({ limit: 3 })) tx.has('k3');
      if (kind === 'commitSync') return tx.commitSync();
      return tx.commit(kind === 'relaxed' ? { sync: false } : kind === 'durable' ? { sync: true } : {});
    } catch (error) {
      if (tx.state === 'active') tx.abort();
      throw error;
    }
  }
}
