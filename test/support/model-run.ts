/*
 * Random operations on a store and on its model, side by side. Writes are not waited for unless chance says so, so
 * that commits queue up, share syncs, cross checkpoints and are cut off by crashes.
 *
 * 1. What is read is compared with the model as of the commit that the engine says readers see.
 * 2. A resolved commit is visible, and after a crash it is there.
 * 3. After a crash the store is the model as of one commit, never something in between.
 */
import { expect } from 'vitest';
import type { Snapshot } from '../../src/index.ts';
import type { BatchOperation } from '../../src/txn/batch-list.ts';
import type { IsolationLevel } from '../../src/txn/transaction.ts';
import { type Random, randomFrom } from './codec-data.ts';
import type { ModelPlace } from './model-place.ts';
import { failsWith, type ModelConfig, ModelStore, type Tally } from './model-store.ts';
import { ModelTransaction } from './model-transaction.ts';
import { type ModelScan, View } from './model-views.ts';
import type { ModelValue } from './store-model.ts';

const PENDING_MAX = 40;
const HISTORY = 40;
const SCANS_MAX = 6;
const SNAPSHOTS_MAX = 4;
const TRANSACTIONS_MAX = 6;

type Move = () => unknown;

export class ModelRun {
  readonly #name: string;
  readonly #random: Random;
  readonly #store: ModelStore;
  readonly #moves: Move[] = [];
  readonly #history: unknown[][] = [];
  #transactions: ModelTransaction[] = [];
  #snapshots: { snapshot: Snapshot; view: View; base: number }[] = [];
  #scans: { scan: ModelScan; name: string }[] = [];
  #shrinking = false;

  constructor(config: ModelConfig, place: ModelPlace, seed: number, tally: Tally) {
    this.#name = config.name;
    this.#random = randomFrom(seed);
    this.#store = new ModelStore(config, place, this.#random, tally, (...what) => this.#note(...what));
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
      [70, () => this.#store.tick()],
      [15, () => this.#store.settle()],
      [3, () => this.#checkpoint()],
      [1, () => this.#compact()],
      [1, () => this.#backup()],
      [1, () => this.#reopen()],
      [config.crashes ?? 2, () => this.#crash()],
      [1, () => this.#turn()],
    ];
    for (const [weight, move] of weights) for (let i = 0; i < weight; ++i) this.#moves.push(move);
  }

  /** Runs so many operations, then closes the store and looks at what is left. */
  async run(operations: number): Promise<void> {
    const { tally } = this.#store;
    try {
      await this.#store.open();
      for (let i = 0; i < operations; ++i) {
        const move = this.#moves[this.#random(this.#moves.length)] as Move;
        await move();
        ++tally.operations;
        if (this.#store.failure) throw this.#store.failure;
        if (this.#store.pending.size > PENDING_MAX) await this.#store.settle();
        if (i % 500 === 499) this.#forget();
      }
      await this.#finish();
    } catch (error) {
      const history = this.#history.map((what) => `  ${shownMove(what)}`).join('\n');
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const where = `${this.#name}: operation ${tally.operations}`;
      throw new Error(`${where}\n${message}\nlast:\n${history}`, { cause: error });
    }
  }

  #note(...what: unknown[]): void {
    this.#history.push(what);
    if (this.#history.length > HISTORY) this.#history.shift();
  }

  #forget(): void {
    this.#store.forget([...this.#transactions, ...this.#snapshots].map(({ base }) => base));
  }

  // --- life of the store ----------------------------------------------------------------------------------------

  async #reopen(): Promise<void> {
    const store = this.#store;
    if (this.#random(2) === 0) await store.settle();
    this.#note('close, on their way:', store.pending.size);
    await store.close();
    // What readers held is gone with the engine, and says so.
    const gone = ['CLOSED', 'TRANSACTION_FINISHED'] as const;
    for (const { transaction } of this.#transactions) failsWith(gone, () => transaction.get('a'));
    for (const { snapshot } of this.#snapshots) failsWith(gone, () => snapshot.get('a'));
    this.#forgetReaders();
    await store.reopen();
  }

  async #crash(): Promise<void> {
    await this.#store.crash();
    this.#forgetReaders();
  }

  #forgetReaders(): void {
    this.#transactions = [];
    this.#snapshots = [];
    this.#scans = [];
  }

  async #checkpoint(): Promise<void> {
    this.#note('checkpoint');
    const done = this.#store.checkpoint();
    if (this.#random(2) === 0) await this.#store.wait(done);
  }

  async #compact(): Promise<void> {
    this.#note('compact');
    const done = this.#store.compact();
    if (this.#random(2) === 0) await this.#store.wait(done);
  }

  /** A copy holds one committed state, at or after everything answered before the call. */
  async #backup(): Promise<void> {
    this.#note('backup');
    await this.#store.backup();
  }

  async #finish(): Promise<void> {
    const store = this.#store;
    await store.settle();
    for (const { transaction } of this.#transactions) transaction.abort();
    for (const { snapshot } of this.#snapshots) snapshot.close();
    for (const { scan } of this.#scans) scan.close();
    this.#forgetReaders();
    store.view.all();
    await store.wait(store.db.checkpoint());
    const { versions, transactions, pool } = store.db.stats();
    const left = { ...versions, transactions: transactions.active, dirty: pool.dirtyFrames };
    const nothing = { count: 0, openSnapshots: 0, oldestSnapshotAge: 0, transactions: 0, dirty: 0 };
    if (JSON.stringify(left) !== JSON.stringify(nothing)) {
      throw new Error(`with nothing open something is left: ${JSON.stringify(left)}`);
    }
    await store.verify();
    await store.close();
    await store.reopen();
    await store.verify();
    await store.close();
  }

  // --- commits --------------------------------------------------------------------------------------------------

  #anyKey(): string {
    const { input, model } = this.#store;
    return this.#random(3) === 0 ? input.present(model) : input.key();
  }

  #put(blocking: boolean): Promise<void> | undefined {
    const { space, model, input, sync } = this.#store;
    if (this.#shrinking && this.#random(3) > 0) return this.#delete(blocking);
    const key = this.#anyKey();
    const value = input.value();
    const given = value.slice();
    this.#note('put', blocking, key, value.length);
    if (blocking) {
      space.putSync(input.given(key), given);
      this.#store.blocked(model.commit([[key, value]]));
      return undefined;
    }
    const promise = space.put(input.given(key), given);
    given.fill(0xdd);
    return this.#store.answered(promise, model.commit([[key, value]]), sync);
  }

  #delete(blocking: boolean): Promise<void> | undefined {
    const { space, model, input, sync } = this.#store;
    const key = this.#random(4) > 0 ? input.present(model) : input.key();
    const there = model.read(key, model.sequence) !== undefined;
    this.#note('delete', blocking, key, there);
    if (blocking) {
      expect(space.deleteSync(input.given(key))).toBe(there);
      this.#store.blocked(model.commit([[key, undefined]]));
      return undefined;
    }
    const promise = space.delete(input.given(key));
    const sequence = model.commit([[key, undefined]]);
    return this.#store.answered(promise, sequence, sync, (answer) => expect(answer).toBe(there));
  }

  #batch(blocking: boolean): Promise<void> | undefined {
    const { space, model, input, sync } = this.#store;
    const writes = this.#writes();
    const operations = writes.map(([key, value]): BatchOperation => {
      if (!value) return { type: 'delete', key: input.given(key) };
      return { type: 'put', key: input.given(key), value: value.slice() };
    });
    this.#note('batch', blocking, shownWrites(writes));
    if (blocking) {
      space.batchSync(operations);
      if (writes.length > 0) this.#store.blocked(model.commit(writes));
      return undefined;
    }
    const promise = space.batch(operations);
    for (const operation of operations) {
      if (operation.type === 'put') (operation.value as Uint8Array).fill(0xdd);
      if (typeof operation.key !== 'string') operation.key.fill(0xdd);
    }
    const sequence = writes.length > 0 ? model.commit(writes) : 0;
    return this.#store.answered(promise, sequence, sync && sequence > 0);
  }

  /** Puts and deletes of random keys or of neighbours; a key may come twice. */
  #writes(): [string, ModelValue][] {
    const { input, model } = this.#store;
    const random = this.#random;
    const most = random(20) === 0 ? 400 : 12;
    const gone = this.#shrinking ? 85 : 15;
    const keys =
      random(3) === 0 ? input.run(model, most) : Array.from({ length: random(most) }, () => input.key());
    return keys.map((key) => [key, random(100) < gone ? undefined : input.value()]);
  }

  /** From growing to shrinking and back, so that trees gain and lose levels. */
  #turn(): void {
    this.#shrinking = !this.#shrinking;
    this.#note('turn', this.#shrinking);
  }

  // --- reading --------------------------------------------------------------------------------------------------

  #anyView(): { view: View; name: string } {
    const snapshot = this.#snapshots[this.#random(Math.max(1, this.#snapshots.length))];
    if (snapshot && this.#random(10) < 3) return { view: snapshot.view, name: `snapshot ${snapshot.base}` };
    return { view: this.#store.view, name: 'latest' };
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
    if (this.#scans.length >= SCANS_MAX) {
      const [held] = this.#scans.splice(this.#random(this.#scans.length), 1);
      held?.scan.close();
      return;
    }
    const open = this.#transactions[this.#random(2 * this.#transactions.length)];
    const from = open ? { view: open.view, name: `tx ${open.transaction.id}` } : this.#anyView();
    const scan = from.view.open();
    this.#note(from.name, 'scan', scan.range);
    this.#scans.push({ scan, name: `${from.name} scan ${JSON.stringify(scan.range)}` });
  }

  #stepScan(): void {
    const at = this.#random(Math.max(1, this.#scans.length));
    const held = this.#scans[at];
    if (!held) {
      this.#openScan();
      return;
    }
    this.#note(held.name, 'goes on');
    this.#note(held.scan.step());
    if (held.scan.ended) this.#scans.splice(at, 1);
  }

  #takeSnapshot(): void {
    if (this.#snapshots.length >= SNAPSHOTS_MAX) return;
    const base = this.#store.applied;
    const snapshot = this.#store.db.snapshot();
    this.#note('snapshot', base);
    this.#snapshots.push({
      snapshot,
      base,
      view: new View(this.#store, this.#store.within(snapshot), () => base),
    });
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
    if (this.#transactions.length >= TRANSACTIONS_MAX) return;
    const isolation: IsolationLevel = this.#random(2) === 0 ? 'snapshot' : 'serializable';
    const readOnly = this.#random(12) === 0;
    const base = this.#store.applied;
    const transaction = this.#store.db.beginTransaction({ isolation, readOnly });
    this.#note('begin', transaction.id, isolation, readOnly, base);
    this.#transactions.push(new ModelTransaction(this.#store, transaction, base, readOnly));
  }

  #work(): void {
    const open = this.#transactions[this.#random(Math.max(1, this.#transactions.length))];
    if (open) this.#workIn(open);
    else this.#begin();
  }

  #workIn(open: ModelTransaction): void {
    const { transaction, readOnly } = open;
    const name = `tx ${transaction.id}`;
    const kind = this.#random(24);
    if (kind >= 20) {
      this.#goBack(open, name);
    } else if (kind < 10 && readOnly) {
      failsWith(['READ_ONLY'], () => transaction.put('a', 'b'));
    } else if (kind < 6) {
      const key = this.#anyKey();
      const value = this.#store.input.value();
      this.#note(name, 'put', key, value.length);
      open.put(key, value);
    } else if (kind < 9) {
      const key = this.#store.input.present(this.#store.model);
      this.#note(name, 'delete', key);
      open.delete(key);
    } else if (kind < 10 && this.#random(3) === 0) {
      const range = this.#store.input.range(this.#store.model);
      if (this.#random(10) > 0) range.limit = Math.min(range.limit ?? 300, 300);
      this.#note(name, 'deleteRange', range, open.deleteRange(range));
    } else if (kind < 10) {
      const writes = this.#writes();
      this.#note(name, 'writes', shownWrites(writes));
      for (const [key, value] of writes) {
        if (value) open.put(key, value);
        else open.delete(key);
      }
    } else {
      this.#readIn({ view: open.view, name });
    }
  }

  /** Takes a savepoint, or goes back to one. */
  #goBack(open: ModelTransaction, name: string): void {
    const at = this.#random(open.savepoints.length + 2);
    if (at >= open.savepoints.length) {
      this.#note(name, 'savepoint', open.savepoints.length);
      open.savepoint();
    } else {
      this.#note(name, 'rollbackTo', at);
      open.rollbackTo(at);
    }
  }

  async #end(): Promise<void> {
    const [open] = this.#transactions.splice(this.#random(this.#transactions.length), 1);
    if (!open) return;
    const { transaction } = open;
    const kind = this.#random(10);
    if (kind < 2) {
      this.#note('abort', transaction.id);
      if (kind === 0) transaction.abort();
      else transaction[Symbol.dispose]();
      expect(transaction.state).toBe('aborted');
    } else {
      await open.commit(this.#store, kind < 5);
    }
    failsWith(['TRANSACTION_FINISHED'], () => transaction.put('a', 'b'));
  }

  /** A transaction that is run again until it commits. */
  async #transaction(): Promise<void> {
    const store = this.#store;
    const isolation: IsolationLevel = this.#random(2) === 0 ? 'snapshot' : 'serializable';
    this.#note('transaction', isolation);
    let last: ModelTransaction | undefined;
    const commit = store.db.transaction(
      async (tx) => {
        const open = new ModelTransaction(store, tx, store.applied, false);
        last = open;
        for (let i = this.#random(8); i >= 0; --i) {
          this.#workIn(open);
          if (this.#random(4) === 0) await Promise.resolve();
        }
        return open;
      },
      { isolation, maxRetries: 100 },
    );
    const answer = await store.wait(commit);
    expect(answer).toBe(last);
    if (answer.writes.size > 0) store.acknowledged(store.model.commit(answer.writes), store.sync);
  }
}

function shownWrites(writes: readonly [string, ModelValue][]): unknown {
  return writes.map(([key, value]) => [key, value?.length]);
}

function shownMove(what: unknown): string {
  const text = JSON.stringify(what, (_, value: unknown) => {
    if (typeof value === 'string' && value.length > 60) return `${value.slice(0, 40)}… ${value.length}`;
    return value;
  });
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}
