/*
 * Transactions of the callers: they read what they write, take some of it back, stay open for a while, and are tried
 * again or given up. What each has written is kept beside it, and what it reads of that is compared.
 */
import type { Savepoint, Transaction, TransactionTree } from '../../src/index.ts';
import type { Callers } from './callers.ts';
import { type Entry, type Place, partsOf, placeOf } from './ledger.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

/** Bytes of a value of a large transaction, and how many of them are more than a group of the log holds. */
const LARGE_VALUE = 16_000;
const LARGE_COUNT = 12;

/** A call of the transaction failed: it goes on without what it asked for. */
class GivenUp extends Error {}

export class Transactions {
  readonly #world: World;
  readonly #callers: Callers;

  constructor(world: World, callers: Callers) {
    this.#world = world;
    this.#callers = callers;
  }

  /** One of any kind. */
  async one(): Promise<void> {
    if (this.#world.random.oneIn(5)) await this.#retried();
    else await this.#single((work) => work.steps());
  }

  /** One with more than fits in a group of the log. */
  async large(): Promise<void> {
    await this.#single((work) => work.large());
  }

  async #single(fill: (work: Work) => Promise<void>): Promise<void> {
    const world = this.#world;
    const { random, db } = world;
    const sync = random.oneIn(4) ? random.oneIn(2) : undefined;
    const isBlocking = random.oneIn(4);
    const entry = world.begin(isBlocking ? 'commitSync' : 'commit', sync);
    let transaction: Transaction;
    try {
      transaction = db.beginTransaction({ isolation: random.oneIn(3) ? 'serializable' : 'snapshot' });
    } catch (error) {
      world.refused('StorageEngine', 'beginTransaction', entry, error);
      return;
    }
    const work = new Work(world, this.#callers, transaction, entry);
    try {
      await fill(work);
    } catch (error) {
      if (!(error instanceof GivenUp)) throw error;
      world.ledger.refuse(entry, 'refused');
      if (transaction.state === 'active') transaction.abort();
      return;
    }
    const options = sync === undefined ? {} : { sync };
    try {
      const result = isBlocking ? transaction.commitSync(options) : await transaction.commit(options);
      world.done(entry, result.sequence);
    } catch (error) {
      world.refused('Transaction', isBlocking ? 'commitSync' : 'commit', entry, error);
    }
  }

  /** By `transaction`, which tries again what conflicts. */
  async #retried(): Promise<void> {
    const world = this.#world;
    const { random, db } = world;
    const entry = world.begin('transaction');
    try {
      await db.transaction(
        async (transaction) => {
          await new Work(world, this.#callers, transaction, entry).steps();
        },
        { isolation: random.oneIn(3) ? 'serializable' : 'snapshot' },
      );
      world.done(entry);
    } catch (error) {
      if (error instanceof GivenUp) world.ledger.refuse(entry, 'refused');
      else world.refused('StorageEngine', 'transaction', entry, error);
    }
  }
}

/** One try of a transaction. */
class Work {
  readonly #world: World;
  readonly #callers: Callers;
  readonly #transaction: Transaction;
  readonly #entry: Entry;
  #writes = new Map<Place, Buffer | null>();

  constructor(world: World, callers: Callers, transaction: Transaction, entry: Entry) {
    this.#world = world;
    this.#callers = callers;
    this.#transaction = transaction;
    this.#entry = entry;
  }

  async steps(): Promise<void> {
    const { random } = this.#world;
    let savepoint: { readonly point: Savepoint; readonly writes: Map<Place, Buffer | null> } | undefined;
    this.#entry.read.clear();
    for (let steps = 1 + random.below(6); steps > 0; steps--) {
      const kind = random.below(20);
      if (kind < 9) this.#write(this.#callers.place(), this.#callers.size());
      else if (kind < 12) this.#delete(this.#callers.place());
      else if (kind < 14) this.#read(this.#callers.place());
      else if (kind < 15) this.#deleteRange();
      else if (kind < 17) {
        const point = this.#ask('savepoint', () => this.#transaction.savepoint());
        // One that the collector finds is merged into another, which must not depend on when it comes by.
        this.#world.kept.push(point);
        savepoint = { point, writes: new Map(this.#writes) };
      } else if (kind < 18 && savepoint !== undefined) {
        const { point, writes } = savepoint;
        // A transaction that could not go back is of no more use.
        this.#ask('rollbackTo', () => this.#transaction.rollbackTo(point));
        this.#writes = new Map(writes);
        savepoint = undefined;
      } else if (kind < 20) await this.#world.pause();
    }
    this.#end();
  }

  async large(): Promise<void> {
    const { random } = this.#world;
    for (let n = LARGE_COUNT + random.below(12); n > 0; n--) {
      this.#write(placeOf('', `l${random.below(3)}-${n}`), LARGE_VALUE + random.below(LARGE_VALUE));
      if (n % 8 === 0) await this.#world.pause();
    }
    this.#end();
  }

  /** Marks what was written, and tells what it is. */
  #end(): void {
    const marks = new Map(this.#writes);
    this.#callers.mark(this.#entry, marks);
    for (const [place, value] of marks) {
      if (!this.#writes.has(place))
        this.#ask('put', () => this.#space(place).put(partsOf(place).key, value!));
    }
    this.#world.ledger.enter(this.#entry, marks);
  }

  #space(place: Place): Transaction | TransactionTree {
    const { tree } = partsOf(place);
    return tree === '' ? this.#transaction : this.#transaction.tree(tree);
  }

  #write(place: Place, size: number): void {
    const { ledger } = this.#world;
    const value = ledger.valueOf(this.#entry, size);
    ledger.draft(this.#entry, value.length);
    if (!this.#writes.has(place)) this.#entry.read.set(place, ledger.authorOf(this.#read(place)));
    try {
      this.#ask('put', () => this.#space(place).put(partsOf(place).key, value));
    } catch (error) {
      // Half of the callers go on without it: the transaction is as it was before the call.
      if (!(error instanceof GivenUp) || this.#world.random.oneIn(2)) throw error;
      return;
    }
    this.#writes.set(place, value);
  }

  #delete(place: Place): void {
    this.#ask('delete', () => this.#space(place).delete(partsOf(place).key));
    this.#writes.set(place, null);
  }

  #read(place: Place): Uint8Array | undefined {
    const value = this.#ask('get', () => this.#space(place).get(partsOf(place).key));
    const own = this.#writes.get(place);
    if (
      own !== undefined &&
      (own === null ? value !== undefined : Buffer.compare(own, value ?? Buffer.alloc(0)) !== 0)
    ) {
      throw new Violation(`a transaction does not read what it wrote to ${partsOf(place).key}`);
    }
    return value;
  }

  /** Deletes some keys that are there; marks stay. */
  #deleteRange(): void {
    const { random } = this.#world;
    const { tree } = partsOf(this.#callers.place());
    const at = placeOf(tree, '');
    const range = { gte: `k${random.below(10)}`, lt: 'l', limit: 1 + random.below(6) };
    const keys = this.#ask('scan', () => [...this.#space(at).scan(range).keys()]);
    this.#ask('deleteRange', () => this.#space(at).deleteRange(range));
    for (const key of keys) this.#writes.set(placeOf(tree, Buffer.from(key).toString()), null);
  }

  /** Does a call; one that fails leaves the transaction as it was, or the caller gives it up. */
  #ask<T>(method: string, call: () => T): T {
    const world = this.#world;
    try {
      return call();
    } catch (error) {
      world.mustBeKnown('Transaction', method, error, this.#entry.toString());
      throw new GivenUp();
    }
  }
}
