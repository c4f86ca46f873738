/*
 * Random operations on a store and on its model, side by side. Writes are not waited for unless chance says so, so
 * that commits queue up, share syncs, cross checkpoints and are cut off by crashes; the model counts them when they are
 * called, which is the order the engine promises.
 *
 * 1. What is read is compared with the model as of the commit that the engine says readers see.
 * 2. A resolved commit is visible, and after a crash it is there: `#sure` is the last commit that each kind of crash
 *    must leave.
 * 3. After a crash the store is the model as of one commit, never something in between.
 */
import { expect } from 'vitest';
import type { CompressionType } from '../../src/codec/codec.ts';
import type { StorageEngine } from '../../src/engine.ts';
import { AegisError, type AegisErrorCode } from '../../src/errors.ts';
import type { Snapshot } from '../../src/index.ts';
import type { CommitResult } from '../../src/txn/commit.ts';
import type { IsolationLevel } from '../../src/txn/transaction.ts';
import type { BatchOperation } from '../../src/txn/writer.ts';
import { type Random, randomFrom } from './codec-data.ts';
import { ModelInput } from './model-input.ts';
import type { Crash, ModelPlace } from './model-place.ts';
import { ModelTransaction } from './model-transaction.ts';
import { type ModelScan, View } from './model-views.ts';
import { type ModelValue, StoreModel } from './store-model.ts';

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
  evictions: number;
}

export function newTally(): Tally {
  return {
    operations: 0,
    commits: 0,
    conflicts: 0,
    checkpoints: 0,
    reopens: 0,
    crashes: 0,
    powerCuts: 0,
    evictions: 0,
  };
}

const PENDING_MAX = 40;
const HISTORY = 40;

type Move = () => unknown;

export class ModelRun {
  readonly #config: ModelConfig;
  readonly #tally: Tally;
  readonly #random: Random;
  readonly #input: ModelInput;
  readonly #model = new StoreModel();
  readonly #parts: { model: StoreModel; input: ModelInput; random: Random };
  readonly #moves: Move[] = [];
  readonly #history: unknown[] = [];
  #place: ModelPlace;
  #db!: StorageEngine;
  #view!: View;
  #sync: boolean;
  #wal: boolean;
  #life = 0;
  #sure: Record<Crash, number> = { process: 0, power: 0 };
  #pending = new Set<Promise<void>>();
  #failure: unknown;
  #transactions: ModelTransaction[] = [];
  #snapshots: { snapshot: Snapshot; view: View; base: number }[] = [];
  #scans: { scan: ModelScan; name: string }[] = [];
  #shrinking = false;

  constructor(config: ModelConfig, place: ModelPlace, seed: number, tally: Tally) {
    this.#config = config;
    this.#place = place;
    this.#tally = tally;
    this.#random = randomFrom(seed);
    this.#input = new ModelInput(this.#random, config.pageSize, config.keys, config.huge);
    this.#parts = { model: this.#model, input: this.#input, random: this.#random };
    this.#sync = config.sync;
    this.#wal = config.wal;
    const weights: [number, Move][] = [
      [140, () => this.#put(false)],
      [40, () => this.#put(true)],
      [60, () => this.#delete(false)],
      [25, () => this.#delete(true)],
      [25, () => this.#batch(false)],
      [12, () => this.#batch(true)],
      [330, () => this.#read()],
      [30, () => this.#openScan()],
      [100, () => this.#stepScan()],
      [35, () => this.#begin()],
      [220, () => this.#work()],
      [35, () => this.#end()],
      [3, () => this.#transaction()],
      [8, () => this.#takeSnapshot()],
      [8, () => this.#closeSnapshot()],
      [70, () => this.#place.tick()],
      [15, () => this.#settle()],
      [1.5, () => this.#checkpoint(true)],
      [1.5, () => this.#checkpoint(false)],
      [1, () => this.#reopen()],
      [2, () => this.#crash()],
      [1, () => this.#turn()],
    ];
    for (const [weight, move] of weights) for (let i = 0; i < weight * 10; ++i) this.#moves.push(move);
  }

  /** Runs so many operations, then closes the store and looks at what is left. */
  async run(operations: number): Promise<void> {
    try {
      await this.#open();
      for (let i = 0; i < operations; ++i) {
        const move = this.#moves[this.#random(this.#moves.length)] as Move;
        await move();
        ++this.#tally.operations;
        if (this.#failure) throw this.#failure;
        if (this.#pending.size > PENDING_MAX) await this.#settle();
        if (i % 500 === 499) this.#forget();
      }
      await this.#finish();
    } catch (error) {
      const history = this.#history.map((what) => `  ${shownMove(what)}`).join('\n');
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      throw new Error(
        `${this.#config.name}: operation ${this.#tally.operations}\n${message}\nlast:\n${history}`,
        {
          cause: error,
        },
      );
    }
  }

  #note(...what: unknown[]): void {
    this.#history.push(what);
    if (this.#history.length > HISTORY) this.#history.shift();
  }

  // --- life of the store ----------------------------------------------------------------------------------------

  async #open(): Promise<void> {
    const { pageSize, frames, compression, debug, changing } = this.#config;
    let pool = frames;
    let codec = compression;
    if (changing && this.#life > 0) {
      pool = [16, 17, 64, frames][this.#random(4)] as number;
      codec = this.#random(2) === 0 ? 'none' : 'lz4';
      this.#wal = this.#random(3) > 0;
      this.#sync = this.#random(2) === 0;
    }
    this.#note('open', { pool, codec, wal: this.#wal, sync: this.#sync });
    this.#db = await this.#place.open(
      {
        pageSize,
        bufferPoolSize: pool * pageSize,
        compression: codec,
        walEnabled: this.#wal,
        syncOnCommit: this.#sync,
        checkpointWalSize: '512KB',
        walFlushInterval: 5,
      },
      debug,
    );
    ++this.#life;
    this.#view = new View(this.#parts, this.#db, () => this.#applied());
  }

  #count(): void {
    const { pool, transactions } = this.#db.stats();
    this.#tally.evictions += pool.evictions;
    this.#tally.commits += transactions.commits;
  }

  #applied(): number {
    return this.#db.stats().sequence;
  }

  /** What readers hold is gone with the engine, and says so. */
  #loseReaders(): void {
    for (const { transaction } of this.#transactions)
      failsWith(['CLOSED', 'TRANSACTION_FINISHED'], () => transaction.get('a'));
    for (const { snapshot } of this.#snapshots) failsWith(['CLOSED'], () => snapshot.get('a'));
    this.#forgetReaders();
  }

  #forgetReaders(): void {
    this.#transactions = [];
    this.#snapshots = [];
    this.#scans = [];
  }

  async #reopen(): Promise<void> {
    const closing = this.#random(2) === 0;
    this.#note('close', closing ? `with ${this.#pending.size} commits on their way` : '');
    if (!closing) await this.#settle();
    ++this.#tally.reopens;
    this.#count();
    const db = this.#db;
    const closed = db.close();
    expect(db.close()).toBe(closed);
    await this.#place.settle(closed);
    await this.#settle();
    failsWith(['CLOSED'], () => db.get('a'));
    this.#loseReaders();
    await this.#open();
    expect(this.#applied()).toBe(this.#model.sequence);
    this.#sure = { process: this.#model.sequence, power: this.#model.sequence };
    this.#forget();
    this.#view.all();
  }

  async #crash(): Promise<void> {
    const kind = this.#place.crashes[this.#random(this.#place.crashes.length)] as Crash;
    this.#note('crash', kind, this.#sure, 'of', this.#model.sequence);
    if (kind === 'power') ++this.#tally.powerCuts;
    else ++this.#tally.crashes;
    this.#count();
    const sure = this.#sure[kind];
    this.#forgetReaders();
    this.#pending = new Set();
    ++this.#life;
    this.#place = this.#place.crash(kind);
    await this.#open();
    const found = this.#applied();
    if (found < sure || found > this.#model.sequence) {
      throw new Error(
        `after a crash commit ${found} is the last; sure was ${sure} of ${this.#model.sequence}`,
      );
    }
    this.#model.rewind(found);
    this.#sure = { process: found, power: found };
    this.#forget();
    this.#view.all();
  }

  /** The model forgets what no reader and no crash can ask for. */
  #forget(): void {
    const held = [...this.#transactions, ...this.#snapshots].map(({ base }) => base);
    this.#model.forget(Math.min(this.#sure.process, this.#sure.power, this.#applied(), ...held));
  }

  async #finish(): Promise<void> {
    await this.#settle();
    for (const { transaction } of this.#transactions) transaction.abort();
    for (const { snapshot } of this.#snapshots) snapshot.close();
    for (const { scan } of this.#scans) scan.close();
    this.#forgetReaders();
    this.#view.all();
    await this.#place.settle(this.#db.checkpoint());
    const { versions, transactions, pool } = this.#db.stats();
    const left = { ...versions, transactions: transactions.active, dirty: pool.dirtyFrames };
    const nothing = { count: 0, openSnapshots: 0, transactions: 0, dirty: 0 };
    if (JSON.stringify(left) !== JSON.stringify(nothing)) {
      throw new Error(`with nothing open something is left: ${JSON.stringify(left)}`);
    }
    await this.#verify();
    this.#forget();
    await this.#reopen();
    await this.#verify();
    await this.#place.settle(this.#db.close());
  }

  async #verify(): Promise<void> {
    const { ok, problems } = await this.#place.settle(this.#db.verify());
    expect(problems).toEqual([]);
    expect(ok).toBe(true);
  }

  async #checkpoint(waits: boolean): Promise<void> {
    ++this.#tally.checkpoints;
    const least = this.#applied();
    this.#note('checkpoint', waits);
    const done = this.#track(
      this.#db.checkpoint().then(({ sequence }) => {
        if (sequence < least) throw new Error(`the checkpoint holds ${sequence}, called at ${least}`);
        return sequence;
      }),
      (sequence) => this.#isSure(sequence as number, ['process', 'power']),
    );
    if (waits) await this.#place.settle(done);
  }

  #isSure(sequence: number, crashes: readonly Crash[]): void {
    for (const crash of crashes) this.#sure[crash] = Math.max(this.#sure[crash], sequence);
  }

  // --- commits --------------------------------------------------------------------------------------------------

  #track(promise: Promise<unknown>, check: (answer: unknown) => void): Promise<void> {
    const life = this.#life;
    const done: Promise<void> = promise
      .then((answer) => {
        if (life === this.#life) check(answer);
      })
      .catch((error: unknown) => {
        if (life === this.#life) this.#failure ??= error;
      })
      .finally(() => this.#pending.delete(done));
    this.#pending.add(done);
    return done;
  }

  /** A commit was answered: readers see it, and it outlives the crashes it was promised to. */
  #acknowledged(sequence: number, sync: boolean): void {
    let applied = sequence;
    try {
      applied = this.#applied();
    } catch (error) {
      if (!(error instanceof AegisError && error.code === 'CLOSED')) throw error;
    }
    if (applied < sequence) throw new Error(`commit ${sequence} was answered, but readers see ${applied}`);
    if (this.#wal) this.#isSure(sequence, sync ? ['process', 'power'] : ['process']);
  }

  async #answered(
    promise: Promise<unknown>,
    sequence: number,
    sync: boolean,
    check?: (answer: unknown) => void,
  ) {
    const done = this.#track(promise, (answer) => {
      check?.(answer);
      this.#acknowledged(sequence, sync);
    });
    if (this.#random(5) === 0) await this.#place.settle(done);
  }

  /** After a blocking commit everything called before it is visible too. */
  #blocked(sequence: number, sync: boolean): void {
    if (this.#applied() !== sequence)
      throw new Error(`blocking commit ${sequence}: readers see ${this.#applied()}`);
    this.#acknowledged(sequence, sync);
  }

  #put(blocking: boolean): Promise<void> | undefined {
    const key = this.#random(3) === 0 ? this.#input.present(this.#model) : this.#input.key();
    if (this.#shrinking && this.#random(3) > 0) return this.#delete(blocking);
    const value = this.#input.value();
    const given = value.slice();
    this.#note('put', blocking, key, value.length);
    if (blocking) {
      this.#db.putSync(this.#input.given(key), given);
      this.#blocked(this.#model.commit([[key, value]]), this.#sync);
      return undefined;
    }
    const promise = this.#db.put(this.#input.given(key), given);
    given.fill(0xdd);
    return this.#answered(promise, this.#model.commit([[key, value]]), this.#sync);
  }

  #delete(blocking: boolean): Promise<void> | undefined {
    const key = this.#random(4) > 0 ? this.#input.present(this.#model) : this.#input.key();
    const there = this.#model.read(key, this.#model.sequence) !== undefined;
    this.#note('delete', blocking, key, there);
    if (blocking) {
      expect(this.#db.deleteSync(this.#input.given(key))).toBe(there);
      this.#blocked(this.#model.commit([[key, undefined]]), this.#sync);
      return undefined;
    }
    const promise = this.#db.delete(this.#input.given(key));
    const sequence = this.#model.commit([[key, undefined]]);
    return this.#answered(promise, sequence, this.#sync, (answer) => expect(answer).toBe(there));
  }

  #batch(blocking: boolean): Promise<void> | undefined {
    const writes: [string, ModelValue][] = this.#writes();
    const operations = writes.map(([key, value]): BatchOperation => {
      if (!value) return { type: 'delete', key: this.#input.given(key) };
      return { type: 'put', key: this.#input.given(key), value: value.slice() };
    });
    this.#note(
      'batch',
      blocking,
      writes.map(([key, value]) => [key, value?.length]),
    );
    if (blocking) {
      this.#db.batchSync(operations);
      if (writes.length > 0) this.#blocked(this.#model.commit(writes), this.#sync);
      return undefined;
    }
    const promise = this.#db.batch(operations);
    for (const operation of operations) {
      if (operation.type === 'put') (operation.value as Uint8Array).fill(0xdd);
      if (typeof operation.key !== 'string') operation.key.fill(0xdd);
    }
    const sequence = writes.length > 0 ? this.#model.commit(writes) : 0;
    return this.#answered(promise, sequence, this.#sync && sequence > 0);
  }

  /** Puts and deletes of random keys or of neighbours; a key may come twice. */
  #writes(): [string, ModelValue][] {
    const random = this.#random;
    const many = random(30) === 0 ? 400 : 12;
    const share = this.#shrinking ? 85 : 15;
    const keys =
      random(3) === 0
        ? this.#input.run(this.#model, many)
        : Array.from({ length: random(many) }, () => this.#input.key());
    return keys.map((key) => [key, random(100) < share ? undefined : this.#input.value()]);
  }

  #settle(): Promise<unknown> {
    return this.#place.settle(Promise.all(this.#pending));
  }

  /** From growing to shrinking and back, so that trees gain and lose levels. */
  #turn(): void {
    this.#shrinking = !this.#shrinking;
    this.#note('turn', this.#shrinking);
  }

  // --- reading --------------------------------------------------------------------------------------------------

  #anyView(): { view: View; name: string } {
    const random = this.#random;
    const kind = random(10);
    const snapshot = this.#snapshots[random(Math.max(1, this.#snapshots.length))];
    if (kind < 3 && snapshot) return { view: snapshot.view, name: `snapshot ${snapshot.base}` };
    return { view: this.#view, name: 'latest' };
  }

  #readIn({ view, name }: { view: View; name: string }): void {
    const kind = this.#random(20);
    this.#note(name, 'reads', kind);
    if (kind < 7) view.get();
    else if (kind < 9) view.getString();
    else if (kind < 11) view.getMany();
    else if (kind < 14) view.has();
    else if (kind < 18) this.#note('scanned', view.scan());
    else this.#note('counted', view.count());
  }

  #read(): void {
    this.#readIn(this.#anyView());
  }

  #openScan(): void {
    if (this.#scans.length >= 6) return this.#closeScan();
    const transaction = this.#random(2) === 0 && this.#transactions[this.#random(this.#transactions.length)];
    const from = transaction
      ? { view: transaction.view, name: `tx ${transaction.transaction.id}` }
      : this.#anyView();
    const scan = from.view.open();
    this.#note(from.name, 'scan', scan.range);
    this.#scans.push({ scan, name: `${from.name} scan ${JSON.stringify(scan.range)}` });
  }

  #closeScan(): void {
    const [held] = this.#scans.splice(this.#random(this.#scans.length), 1);
    held?.scan.close();
  }

  #stepScan(): void {
    const at = this.#random(Math.max(1, this.#scans.length));
    const held = this.#scans[at];
    if (!held) return this.#openScan();
    this.#note(held.name, 'goes on');
    this.#note(held.scan.step());
    if (held.scan.ended) this.#scans.splice(at, 1);
  }

  #takeSnapshot(): void {
    if (this.#snapshots.length >= 4) return;
    const base = this.#applied();
    const snapshot = this.#db.snapshot();
    this.#note('snapshot', base);
    this.#snapshots.push({ snapshot, base, view: new View(this.#parts, snapshot, () => base) });
  }

  #closeSnapshot(): void {
    const [held] = this.#snapshots.splice(this.#random(this.#snapshots.length), 1);
    if (!held) return;
    this.#note('snapshot ends', held.base);
    if (this.#random(8) === 0) held.view.all();
    held.snapshot.close();
    failsWith(['CLOSED'], () => held.snapshot.has('a'));
  }

  // --- transactions ---------------------------------------------------------------------------------------------

  #begin(): void {
    if (this.#transactions.length >= 6) return;
    const isolation: IsolationLevel = this.#random(2) === 0 ? 'snapshot' : 'serializable';
    const readOnly = this.#random(12) === 0;
    const base = this.#applied();
    const transaction = this.#db.beginTransaction({ isolation, readOnly });
    this.#note('begin', transaction.id, isolation, readOnly, base);
    this.#transactions.push(new ModelTransaction(this.#parts, transaction, base, readOnly));
  }

  #work(): void {
    const open = this.#transactions[this.#random(Math.max(1, this.#transactions.length))];
    if (!open) return this.#begin();
    this.#workIn(open);
  }

  #workIn(open: ModelTransaction): void {
    const { transaction, readOnly } = open;
    const name = `tx ${transaction.id}`;
    const kind = this.#random(20);
    if (kind < 10 && readOnly) {
      failsWith(['READ_ONLY'], () => transaction.put('a', 'b'));
    } else if (kind < 6) {
      const key = this.#random(3) === 0 ? this.#input.present(this.#model) : this.#input.key();
      const value = this.#input.value();
      this.#note(name, 'put', key, value.length);
      open.put(key, value);
    } else if (kind < 9) {
      const key = this.#input.present(this.#model);
      this.#note(name, 'delete', key);
      open.delete(key);
    } else if (kind < 10) {
      const writes = this.#writes();
      this.#note(
        name,
        'writes',
        writes.map(([key, value]) => [key, value?.length]),
      );
      for (const [key, value] of writes) {
        if (value) open.put(key, value);
        else open.delete(key);
      }
    } else {
      this.#readIn({ view: open.view, name });
    }
  }

  async #end(): Promise<void> {
    const [open] = this.#transactions.splice(this.#random(this.#transactions.length), 1);
    if (!open) return;
    const { transaction, base, writes, verdict } = open;
    const kind = this.#random(10);
    this.#note('end', transaction.id, kind < 2 ? 'abort' : kind < 5 ? 'commitSync' : 'commit', verdict);
    if (kind < 2) {
      if (kind === 0) transaction.abort();
      else transaction[Symbol.dispose]();
      expect(transaction.state).toBe('aborted');
    } else {
      const sync = this.#random(4) > 0 ? this.#sync : this.#random(2) === 0;
      const commit = kind < 5 ? this.#commitSync(open, sync) : transaction.commit({ sync });
      const wrote = writes.size > 0;
      const check = (answer: unknown, sequence: number): void => {
        expect((answer as CommitResult).sequence).toBe(wrote ? sequence : base);
        expect(transaction.state).toBe('committed');
      };
      if (verdict === 'commit') {
        const sequence = wrote ? this.#model.commit(writes) : 0;
        await this.#answered(commit, sequence, sync && wrote, (answer) => check(answer, sequence));
      } else {
        await this.#mayConflict(open, commit, sync, verdict === 'conflict', check);
      }
    }
    failsWith(['TRANSACTION_FINISHED'], () => transaction.put('a', 'b'));
  }

  async #commitSync({ transaction }: ModelTransaction, sync: boolean): Promise<CommitResult> {
    return transaction.commitSync({ sync });
  }

  /** Waits for a commit that must or may conflict: only then is known what the next commit's number is. */
  async #mayConflict(
    open: ModelTransaction,
    commit: Promise<CommitResult>,
    sync: boolean,
    must: boolean,
    check: (answer: unknown, sequence: number) => void,
  ): Promise<void> {
    const outcome = await this.#place.settle(
      commit.then(
        (answer) => ({ answer }),
        (error: unknown) => ({ error }),
      ),
    );
    if ('error' in outcome) {
      ++this.#tally.conflicts;
      if (!(outcome.error instanceof AegisError && outcome.error.code === 'CONFLICT')) throw outcome.error;
      expect(open.transaction.state).toBe('aborted');
    } else if (must) {
      throw new Error('the transaction committed over what another had committed first');
    } else {
      const sequence = this.#model.commit(open.writes);
      check(outcome.answer, sequence);
      this.#acknowledged(sequence, sync);
    }
  }

  /** A transaction that is run again until it commits. */
  async #transaction(): Promise<void> {
    const isolation: IsolationLevel = this.#random(2) === 0 ? 'snapshot' : 'serializable';
    this.#note('transaction', isolation);
    let last: ModelTransaction | undefined;
    const commit = this.#db.transaction(
      async (tx) => {
        const open = new ModelTransaction(this.#parts, tx, this.#applied(), false);
        last = open;
        for (let i = this.#random(8); i >= 0; --i) {
          this.#workIn(open);
          if (this.#random(4) === 0) await Promise.resolve();
        }
        return open;
      },
      { isolation, maxRetries: 100 },
    );
    const answer = await this.#place.settle(commit);
    expect(answer).toBe(last);
    if (answer.writes.size === 0) return;
    this.#acknowledged(this.#model.commit(answer.writes), this.#sync);
  }
}

function failsWith(codes: readonly AegisErrorCode[], work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (error instanceof AegisError && codes.includes(error.code)) return;
    throw error;
  }
  throw new Error(`this must fail with ${codes.join(' or ')}`);
}

function shownMove(what: unknown): string {
  const text = JSON.stringify(what, (_, value: unknown) => {
    if (typeof value === 'string' && value.length > 60) return `${value.slice(0, 40)}… ${value.length}`;
    return value;
  });
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}
