/*
 * The stage for scripted interleavings: a small table of numbers in a store, and transactions that begin, as a
 * database's do, with their first statement.
 *
 * 1. A row is a key `row/<id>`; a predicate on values is a scan of all rows with a filter, so that what it did not
 *    find counts as read too.
 * 2. A commit answers whether it came to be; every error but CONFLICT is a failure of the test.
 */
import type { StorageEngine } from '../../src/engine/engine.ts';
import type { IsolationLevel, Transaction } from '../../src/txn/transaction.ts';

/** How commits are called. */
export type CommitForm = 'promise' | 'blocking';

/** Rows by id, in the order of ids. */
export type Rows = Readonly<Record<number, number>>;

const PREFIX = 'row/';

/** One of a script's transactions. */
export class Actor {
  readonly #stage: Stage;
  readonly #readOnly: boolean;
  #transaction: Transaction | undefined;

  constructor(stage: Stage, readOnly: boolean) {
    this.#stage = stage;
    this.#readOnly = readOnly;
  }

  get #tx(): Transaction {
    const { db, isolation } = this.#stage;
    this.#transaction ??= db.beginTransaction({ isolation, readOnly: this.#readOnly });
    return this.#transaction;
  }

  /** Begins now, without a statement. */
  begin(): this {
    void this.#tx;
    return this;
  }

  /** A row; undefined: there is none. */
  get(id: number): number | undefined {
    const text = this.#tx.getString(PREFIX + id);
    return text === undefined ? undefined : Number(text);
  }

  set(id: number, value: number): void {
    this.#tx.put(PREFIX + id, String(value));
  }

  /** All rows whose value a predicate holds for. */
  where(predicate: (value: number) => boolean): Rows {
    return rowsOf(this.#tx.scan({ prefix: PREFIX }), predicate);
  }

  /** Changes every row a predicate holds for; answers how many. */
  update(predicate: (value: number) => boolean, change: (value: number) => number): number {
    const rows = Object.entries(this.where(predicate));
    for (const [id, value] of rows) this.set(Number(id), change(value));
    return rows.length;
  }

  /** Deletes every row a predicate holds for; answers how many. */
  deleteWhere(predicate: (value: number) => boolean): number {
    const ids = Object.keys(this.where(predicate));
    for (const id of ids) this.#tx.delete(PREFIX + id);
    return ids.length;
  }

  abort(): void {
    this.#tx.abort();
  }

  /** Whether the commit came to be. */
  async commit(): Promise<boolean> {
    try {
      if (this.#stage.form === 'blocking') this.#tx.commitSync();
      else await this.#tx.commit();
      return true;
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'CONFLICT') throw error;
      return false;
    }
  }
}

/** A store with two rows, 1 = 10 and 2 = 20, at one isolation level. */
export class Stage {
  readonly db: StorageEngine;
  readonly isolation: IsolationLevel;
  readonly form: CommitForm;

  constructor(db: StorageEngine, isolation: IsolationLevel, form: CommitForm) {
    this.db = db;
    this.isolation = isolation;
    this.form = form;
  }

  /** Brings the table to its first state; `rows`: others than the usual two. */
  async prepare(rows: Rows = { 1: 10, 2: 20 }): Promise<void> {
    for (const [key] of this.db.scan({ prefix: PREFIX })) await this.db.delete(key);
    await this.db.batch(
      Object.entries(rows).map(([id, value]) => ({ type: 'put', key: PREFIX + id, value: String(value) })),
    );
  }

  transaction(readOnly = false): Actor {
    return new Actor(this, readOnly);
  }

  /** The committed rows. */
  rows(): Rows {
    return rowsOf(this.db.scan({ prefix: PREFIX }), () => true);
  }
}

function rowsOf(
  scan: Iterable<[Uint8Array, Uint8Array]>,
  predicate: (value: number) => boolean,
): Record<number, number> {
  const rows: Record<number, number> = {};
  for (const [key, bytes] of scan) {
    const value = Number(Buffer.from(bytes).toString());
    if (predicate(value)) rows[Number(Buffer.from(key).toString().slice(PREFIX.length))] = value;
  }
  return rows;
}
