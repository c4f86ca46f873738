/* A transaction beside its model: what it must read, and whether it may, must or must not commit. */
import type { Transaction } from '../../src/txn/transaction.ts';
import type { Random } from './codec-data.ts';
import type { ModelInput } from './model-input.ts';
import { ReadNotes, View } from './model-views.ts';
import type { ModelValue, StoreModel } from './store-model.ts';

export class ModelTransaction {
  readonly transaction: Transaction;
  readonly base: number;
  readonly writes = new Map<string, ModelValue>();
  readonly view: View;
  readonly readOnly: boolean;
  readonly #model: StoreModel;
  readonly #input: ModelInput;
  readonly #notes: ReadNotes | undefined;

  constructor(
    parts: { model: StoreModel; input: ModelInput; random: Random },
    transaction: Transaction,
    base: number,
    readOnly: boolean,
  ) {
    this.transaction = transaction;
    this.base = base;
    this.readOnly = readOnly;
    this.#model = parts.model;
    this.#input = parts.input;
    this.#notes = transaction.isolation === 'serializable' ? new ReadNotes() : undefined;
    this.view = new View(parts, transaction, () => base, this.writes, this.#notes);
  }

  put(key: string, value: Uint8Array): void {
    const given = value.slice();
    this.transaction.put(this.#input.given(key), given);
    given.fill(0xdd);
    this.writes.set(key, value);
  }

  delete(key: string): void {
    this.transaction.delete(this.#input.given(key));
    this.writes.set(key, undefined);
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
}
