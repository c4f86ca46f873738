/* A transaction beside its model: what it must read, and whether it may, must or must not commit. */
import { expect } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import type { CommitResult } from '../../src/txn/queue.ts';
import type { Savepoint } from '../../src/txn/savepoint.ts';
import type { Transaction } from '../../src/txn/transaction.ts';
import type { TransactionTree } from '../../src/txn/transaction-tree.ts';
import type { ModelInput } from './model-input.ts';
import { failsWith, type ModelStore } from './model-store.ts';
import { ReadNotes, View } from './model-views.ts';
import type { ModelRange, ModelValue, StoreModel, Writes } from './store-model.ts';

export class ModelTransaction {
  readonly transaction: Transaction;
  readonly base: number;
  readonly writes = new Map<string, ModelValue>();
  readonly view: View;
  readonly readOnly: boolean;
  readonly savepoints: { readonly savepoint: Savepoint; readonly writes: Writes }[] = [];
  /** Where it reads and writes. */
  readonly #space: Transaction | TransactionTree;
  readonly #model: StoreModel;
  readonly #input: ModelInput;
  readonly #notes: ReadNotes | undefined;

  constructor(parts: ModelStore, transaction: Transaction, base: number, readOnly: boolean) {
    this.transaction = transaction;
    this.base = base;
    this.readOnly = readOnly;
    this.#model = parts.model;
    this.#input = parts.input;
    this.#notes = transaction.isolation === 'serializable' ? new ReadNotes() : undefined;
    this.#space = parts.within(transaction);
    this.view = new View(parts, this.#space, () => base, this.writes, this.#notes);
  }

  put(key: string, value: Uint8Array): void {
    const given = value.slice();
    this.#space.put(this.#input.given(key), given);
    given.fill(0xdd);
    this.writes.set(key, value);
  }

  delete(key: string): void {
    this.#space.delete(this.#input.given(key));
    this.writes.set(key, undefined);
  }

  /** Removes what a range shows now, own writes included. */
  deleteRange(range: ModelRange): number {
    const shown = this.#model.range(range, this.base, this.writes);
    const noted = this.#notes?.addRange(range, 'nothing');
    this.#space.deleteRange(this.#input.givenRange(range));
    for (const [key] of shown) this.writes.set(key, undefined);
    const last = shown.at(-1);
    if (noted && last) noted.reached = { key: last[0] };
    if (noted && shown.length < (range.limit ?? Number.POSITIVE_INFINITY)) noted.reached = 'all';
    return shown.length;
  }

  savepoint(): void {
    this.savepoints.push({ savepoint: this.transaction.savepoint(), writes: new Map(this.writes) });
  }

  /** Goes back to one of the savepoints; newer ones are good for nothing then. */
  rollbackTo(at: number): void {
    const { savepoint, writes } = this.savepoints[at]!;
    this.transaction.rollbackTo(savepoint);
    this.writes.clear();
    for (const [key, value] of writes) this.writes.set(key, value);
    for (const gone of this.savepoints.splice(at + 1)) {
      failsWith(['INVALID_ARGUMENT'], () => this.transaction.rollbackTo(gone.savepoint));
    }
  }

  /** What a commit now has to answer; `either` where a scan may have read further than it has handed out. */
  get verdict(): 'commit' | 'conflict' | 'either' {
    if (this.writes.size === 0) return 'commit';
    const model = this.#model;
    for (const key of this.writes.keys()) if (model.changedSince(key, this.base)) return 'conflict';
    if (!this.#notes) return 'commit';
    if (this.#notes.changed(model, this.base)) return 'conflict';
    return this.#notes.mayHaveChanged(model, this.base) ? 'either' : 'commit';
  }

  /** Calls the commit and sees to it that its outcome is the one it must be. */
  async commit(store: ModelStore, blocking: boolean): Promise<void> {
    const { transaction, base, writes, verdict } = this;
    const { model, random } = store;
    const sync = random(4) > 0 ? store.sync : random(2) === 0;
    store.note('commit', transaction.id, { blocking, sync }, verdict);
    // An async function: what the blocking form throws becomes a rejection.
    const call = async (): Promise<CommitResult> =>
      blocking ? transaction.commitSync({ sync }) : transaction.commit({ sync });
    const commit = call();
    const wrote = writes.size > 0;
    const check = (answer: unknown, sequence: number): void => {
      expect((answer as CommitResult).sequence).toBe(wrote ? sequence : base);
      expect(transaction.state).toBe('committed');
    };
    if (verdict === 'commit') {
      const sequence = wrote ? model.commit(writes) : 0;
      await store.answered(commit, sequence, sync && wrote, (answer) => check(answer, sequence));
      return;
    }
    // Only now is known what the next commit's number is.
    const outcome = await store.wait(
      commit.then(
        (answer) => ({ answer }),
        (error: unknown) => ({ error }),
      ),
    );
    if ('error' in outcome) {
      ++store.tally.conflicts;
      if (!(outcome.error instanceof AegisError && outcome.error.code === 'CONFLICT')) throw outcome.error;
      expect(transaction.state).toBe('aborted');
    } else if (verdict === 'conflict') {
      throw new Error('the transaction committed over what another had committed first');
    } else {
      const sequence = model.commit(writes);
      check(outcome.answer, sequence);
      store.acknowledged(sequence, sync);
    }
  }
}
