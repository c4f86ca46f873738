/*
 * A store and its model over all its lives: opened, closed, lost in crashes and found again. It counts commits when
 * they are called, which is the order the engine promises, and knows which of them each kind of crash must leave.
 */
import { expect } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError, type AegisErrorCode } from '../../src/base/errors.ts';
import type { CompressionType } from '../../src/codec/codec.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import type { Tree } from '../../src/engine/tree.ts';
import type { Random } from './codec-data.ts';
import { ModelInput } from './model-input.ts';
import type { Crash, ModelPlace } from './model-place.ts';
import { View } from './model-views.ts';
import { keyBytes, StoreModel } from './store-model.ts';

export interface ModelConfig {
  readonly name: string;
  readonly wal: boolean;
  readonly pageSize: number;
  readonly frames: number;
  readonly compression: CompressionType;
  readonly sync: boolean;
  readonly debug: boolean;
  /** Different keys, and values of megabytes. */
  readonly keys: number;
  readonly huge: number;
  /** How often the store crashes: weight among all moves, which weigh about 1200; default 2. */
  readonly crashes?: number;
  /** Everything is done in the tree of that name; default: the default one. */
  readonly tree?: string;
  /** Pool, codec, log and sync change when the store is opened again. */
  readonly changing?: boolean;
}

export interface Tally {
  operations: number;
  commits: number;
  conflicts: number;
  checkpoints: number;
  reopens: number;
  crashes: number;
  powerCuts: number;
  compactions: number;
  backups: number;
  evictions: number;
}

export function newTally(): Tally {
  const zero = { operations: 0, commits: 0, conflicts: 0, checkpoints: 0 };
  return { ...zero, reopens: 0, crashes: 0, powerCuts: 0, compactions: 0, backups: 0, evictions: 0 };
}

export class ModelStore {
  readonly model = new StoreModel();
  readonly input: ModelInput;
  readonly random: Random;
  readonly tally: Tally;
  /** Tells what happens, for the report of a failure. */
  readonly note: (...what: unknown[]) => void;
  db!: StorageEngine;
  /** Where its records are. */
  space!: StorageEngine | Tree;
  /** The latest state. */
  view!: View;
  /** What commits are asked for in this life. */
  sync: boolean;
  /** Commits and checkpoints on their way. */
  pending = new Set<Promise<void>>();
  /** The first thing that went wrong where nobody waited. */
  failure: unknown;
  readonly #config: ModelConfig;
  #place: ModelPlace;
  #wal: boolean;
  #life = 0;
  #isClosing = false;
  /** Last commit that each crash must leave. */
  #sure: Record<Crash, number> = { process: 0, power: 0 };

  constructor(
    config: ModelConfig,
    place: ModelPlace,
    random: Random,
    tally: Tally,
    note: (...what: unknown[]) => void,
  ) {
    this.#config = config;
    this.#place = place;
    this.random = random;
    this.tally = tally;
    this.note = note;
    this.input = new ModelInput(random, config.pageSize, config.keys, config.huge);
    this.sync = config.sync;
    this.#wal = config.wal;
  }

  /** The last commit that readers see. */
  get applied(): number {
    return this.db.stats().sequence;
  }

  /** The tree that everything is done in, of the engine, a transaction or a snapshot. */
  within<T extends { tree(name: string): unknown }>(whole: T): T | ReturnType<T['tree']> {
    const { tree } = this.#config;
    return tree === undefined ? whole : (whole.tree(tree) as ReturnType<T['tree']>);
  }

  tick(): Promise<void> {
    return this.#place.tick();
  }

  wait<T>(promise: Promise<T>): Promise<T> {
    return this.#place.settle(promise);
  }

  /** Waits for everything on its way. */
  settle(): Promise<unknown> {
    return this.wait(Promise.all(this.pending));
  }

  // --- opening and losing ---------------------------------------------------------------------------------------

  async open(): Promise<void> {
    this.db = await this.#place.open(this.#settings(), this.#config.debug);
    ++this.#life;
    this.space = this.within(this.db);
    this.view = new View(this, this.space, () => this.applied);
  }

  #settings() {
    const { pageSize, frames, compression, changing } = this.#config;
    const { random } = this;
    let pool = frames;
    let codec = compression;
    if (changing && this.#life > 0) {
      pool = [16, 17, 64, frames][random(4)] as number;
      codec = random(2) === 0 ? 'none' : 'lz4';
      this.#wal = random(3) > 0;
      this.sync = random(2) === 0;
    }
    this.note('open', { pool, codec, wal: this.#wal, sync: this.sync });
    return {
      pageSize,
      bufferPoolSize: pool * pageSize,
      compression: codec,
      walEnabled: this.#wal,
      syncOnCommit: this.sync,
      checkpointWalSize: '512KB',
      walFlushInterval: 5,
    };
  }

  async close(): Promise<void> {
    this.#count();
    const { db } = this;
    this.#isClosing = true;
    const closed = db.close();
    expect(db.close()).toBe(closed);
    await this.wait(closed);
    await this.settle();
    this.#isClosing = false;
    failsWith(['CLOSED'], () => db.get('a'));
  }

  /** Opens the closed store again: nothing is missing. */
  async reopen(): Promise<void> {
    ++this.tally.reopens;
    await this.open();
    expect(this.applied).toBe(this.model.sequence);
    this.#found(this.model.sequence);
  }

  /** Loses the engine, now and then within a checkpoint or again within recovery, and opens what is left. */
  async crash(): Promise<void> {
    const { random } = this;
    const { crashes } = this.#place;
    const kind = crashes[random(crashes.length)] as Crash;
    if (random(2) === 0) {
      this.checkpoint();
      for (let i = random(20); i > 0; --i) {
        await this.tick();
        if (random(2) === 0) this.#writeSome();
      }
      if (this.failure) throw this.failure;
    }
    this.note('crash', kind, this.#sure, 'of', this.model.sequence);
    this.#count();
    ++this.#life;
    this.pending = new Set();
    this.#lose(kind);
    while (random(3) === 0) {
      this.note('and again, when it is opened');
      const opening = this.#place.open(this.#settings(), this.#config.debug);
      opening.catch(() => undefined);
      for (let i = random(8); i > 0; --i) await this.tick();
      this.#lose(kind);
    }
    await this.open();
    const found = this.applied;
    const sure = this.#sure[kind];
    if (found < sure || found > this.model.sequence) {
      throw new Error(
        `after a crash commit ${found} is the last; sure was ${sure} of ${this.model.sequence}`,
      );
    }
    this.model.rewind(found);
    this.#found(found);
  }

  /** A blocking commit that takes space in the data file. */
  #writeSome(): void {
    const writes = Array.from({ length: 1 + this.random(20) }, () => {
      return [this.input.key(), this.input.value()] as const;
    });
    this.space.batchSync(writes.map(([key, value]) => ({ type: 'put', key: keyBytes(key), value }) as const));
    this.blocked(this.model.commit(writes));
  }

  #lose(kind: Crash): void {
    if (kind === 'power') ++this.tally.powerCuts;
    else ++this.tally.crashes;
    this.#place = this.#place.crash(kind);
  }

  /** A store that was opened holds what it holds for sure. */
  #found(sequence: number): void {
    this.#sure = { process: sequence, power: sequence };
    this.forget([]);
    this.view.all();
  }

  #count(): void {
    const { pool, transactions } = this.db.stats();
    this.tally.evictions += pool.evictions;
    this.tally.commits += transactions.commits;
  }

  /** The model forgets what no reader (`held`: their commits) and no crash can ask for. */
  forget(held: readonly number[]): void {
    this.model.forget(Math.min(this.#sure.process, this.#sure.power, this.applied, ...held));
  }

  async verify(): Promise<void> {
    const { ok, problems } = await this.wait(this.db.verify());
    expect(problems).toEqual([]);
    expect(ok).toBe(true);
  }

  // --- promises -------------------------------------------------------------------------------------------------

  /** Follows a promise: what its answer must be is checked whenever it comes. */
  track(promise: Promise<unknown>, check: (answer: unknown) => void): Promise<void> {
    const life = this.#life;
    const done: Promise<void> = promise
      .then((answer) => {
        if (life === this.#life) check(answer);
      })
      .catch((error: unknown) => {
        if (life === this.#life) this.failure ??= error;
      })
      .finally(() => this.pending.delete(done));
    this.pending.add(done);
    return done;
  }

  checkpoint(): Promise<void> {
    ++this.tally.checkpoints;
    const least = this.applied;
    return this.track(this.db.checkpoint(), (answer) => {
      const { sequence } = answer as { sequence: number };
      if (sequence < least) throw new Error(`the checkpoint holds ${sequence}, called at ${least}`);
      this.#isSure(sequence, ['process', 'power']);
    });
  }

  compact(): Promise<void> {
    ++this.tally.compactions;
    // One that is under way when the store is closed is cut off, and says so.
    const done = this.db.compact().catch((error: { code?: string }) => {
      if (!this.#isClosing || error.code !== 'CLOSED') throw error;
    });
    return this.track(done, () => undefined);
  }

  /** Copies the store while what is on its way goes on, and compares the copy with the model. */
  async backup(): Promise<void> {
    ++this.tally.backups;
    const least = this.applied;
    const target = new MemoryBackend();
    await this.wait(this.db.backup(target));
    const copy = await StorageEngine.open({
      backend: target,
      readOnly: true,
      bufferPoolSize: 16 * 65_536,
    });
    const { sequence } = copy.stats();
    if (sequence < least || sequence > this.model.sequence)
      throw new Error(`a copy holds ${sequence}, called at ${least} of ${this.model.sequence}`);
    new View(this, this.within(copy), () => sequence).all();
    await copy.close();
  }

  /** A commit that was called; `check` sees its answer. Now and then it is waited for. */
  async answered(
    promise: Promise<unknown>,
    sequence: number,
    sync: boolean,
    check?: (answer: unknown) => void,
  ): Promise<void> {
    const done = this.track(promise, (answer) => {
      check?.(answer);
      this.acknowledged(sequence, sync);
    });
    if (this.random(5) === 0) await this.wait(done);
  }

  /** A commit was answered: readers see it, and it outlives the crashes it was promised to. */
  acknowledged(sequence: number, sync: boolean): void {
    let applied = sequence;
    try {
      applied = this.applied;
    } catch (error) {
      if (!(error instanceof AegisError && error.code === 'CLOSED')) throw error;
    }
    if (applied < sequence) throw new Error(`commit ${sequence} was answered, but readers see ${applied}`);
    if (this.#wal) this.#isSure(sequence, sync ? ['process', 'power'] : ['process']);
  }

  /** After a blocking commit everything called before it is visible too. */
  blocked(sequence: number): void {
    if (this.applied !== sequence) {
      throw new Error(`blocking commit ${sequence}: readers see ${this.applied}`);
    }
    this.acknowledged(sequence, this.sync);
  }

  #isSure(sequence: number, crashes: readonly Crash[]): void {
    for (const crash of crashes) this.#sure[crash] = Math.max(this.#sure[crash], sequence);
  }
}

export function failsWith(codes: readonly AegisErrorCode[], work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (error instanceof AegisError && codes.includes(error.code)) return;
    throw error;
  }
  throw new Error(`this must fail with ${codes.join(' or ')}`);
}
