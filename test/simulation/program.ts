/*
 * One life of a store: a seeded program that commits in every way there is, while other commits, syncs and checkpoints
 * are on their way. It tells the history what was asked for, and what was promised.
 *
 * The order of the calls is the order of the commits. So nothing here may conflict: a transaction writes only keys that
 * no commit on its way writes, in trees that are not being dropped, and one that is left open for long is aborted, or
 * writes keys of its own.
 */
import type { SimulatedRandom } from '../../src/backend/simulated-clock.ts';
import { Block, type Snapshot, type StorageEngine, type Transaction, type Tree } from '../../src/index.ts';
import type { BatchOperation } from '../../src/txn/batch-list.ts';
import { blockKey, type History, keyIn, NAMES, placeOf, treeKey, type Write } from './history.ts';
import type { Profile } from './profile.ts';
import { FLUSH_INTERVAL, SLACK } from './profile.ts';
import { inWords, Violation } from './violation.ts';

const KEYS = 40;
const WAITING_MAX = 2;

interface Held {
  readonly transaction: Transaction;
  readonly writes: readonly Write[];
  readonly commits: boolean;
  /** Trees dropped by then. */
  readonly drops: number;
}

/** What a program runs on. */
export interface Machine {
  readonly db: StorageEngine;
  readonly history: History;
  readonly profile: Profile;
  readonly random: SimulatedRandom;
  /** Simulated milliseconds. */
  now(): number;
  /** Whether a fault was put in, so that the store may refuse to go on. */
  mayFail(): boolean;
}

/** Writes values that say which commit they are of. */
function valueFor(commit: number, index: number, size: number): Uint8Array {
  const value = new Uint8Array(size);
  const isText = (commit + index) % 2 === 0;
  for (let at = 0, state = commit * 131 + index; at < size; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    value[at] = isText ? 97 + (at % 23) : state >>> 24;
  }
  new DataView(value.buffer).setUint32(0, commit);
  return value;
}

function operationFor([place, value]: Write): BatchOperation {
  const { tree, key } = placeOf(place);
  const at = tree === '' ? { key } : { key, tree };
  return value ? { type: 'put', ...at, value } : { type: 'delete', ...at };
}

export class Program {
  /** Why the store refuses to go on, once it does. */
  failure: unknown;
  commits = 0;
  readonly #engineCore: Machine;
  /** Keys of commits on their way, and how many write each. */
  readonly #busy = new Map<string, number>();
  readonly #onTheirWay = new Set<Promise<void>>();
  /** Answered and not known to be durable: when, and which. */
  #relaxed: { readonly commit: number; readonly until: number }[] = [];
  #snapshots: { readonly snapshot: Snapshot; readonly base: number }[] = [];
  #held: Held[] = [];
  #own = 0;
  #drops = 0;

  constructor(engineCore: Machine) {
    this.#engineCore = engineCore;
  }

  /** Does one thing. */
  move(): void {
    const { random, profile } = this.#engineCore;
    const { blocking, compaction, drops, blocks } = profile;
    if (compaction > 0 && random.oneIn(compaction)) this.#compact();
    if (drops > 0 && random.oneIn(drops)) this.#drop();
    if (blocks > 0 && random.oneIn(blocks)) random.oneIn(3) ? this.#deleteBlock() : this.#writeBlock();
    const kind = random.below(100);
    if (kind < 22) this.#put(blocking || random.oneIn(4));
    else if (kind < 34) this.#delete(blocking || random.oneIn(4));
    else if (kind < 50) this.#batch(blocking || random.oneIn(4));
    else if (kind < 68) this.#transaction(blocking || random.oneIn(4));
    else if (kind < 76) this.#hold();
    else if (kind < 84) this.#end();
    else if (kind < 88) this.#takeSnapshot();
    else if (kind < 93) this.#closeSnapshot();
    else if (kind < 97) this.#checkpoint();
    else this.#put(false);
    this.timePassed();
  }

  /** What is on its way: resolves when all of it is answered. */
  async settled(): Promise<void> {
    while (this.#onTheirWay.size > 0) await Promise.all(this.#onTheirWay);
  }

  /** What relaxed commits promise: durable some time after they were answered. */
  timePassed(): void {
    const { history } = this.#engineCore;
    const now = this.#engineCore.now();
    this.#relaxed = this.#relaxed.filter(({ commit, until }) => {
      if (until > now) return commit > history.durable;
      if (!this.#engineCore.mayFail()) history.durable = Math.max(history.durable, commit);
      return false;
    });
  }

  /** Ends what readers and open transactions hold, looking at it once more. */
  release(): void {
    while (this.#snapshots.length > 0) this.#closeSnapshot();
    for (const { transaction } of this.#held) if (transaction.state === 'active') transaction.abort();
    this.#held = [];
  }

  // --- commits --------------------------------------------------------------------------------------------------

  #size(): number {
    const { random, profile } = this.#engineCore;
    if (profile.large > 0 && random.oneIn(profile.large)) return 200_000 + random.below(450_000);
    const kind = random.below(18);
    if (kind === 0) return 20_000 + random.below(40_000);
    if (kind < 3) return 4000 + random.below(6000);
    return 4 + random.below(kind < 12 ? 60 : 500);
  }

  #tree(): string {
    const { random } = this.#engineCore;
    return random.below(5) < 2 ? NAMES[random.below(NAMES.length)]! : '';
  }

  #key(): string {
    const key = this.#engineCore.random.below(KEYS);
    return keyIn(this.#tree(), `key ${String(key).padStart(2, '0')}`);
  }

  #space(tree: string): StorageEngine | Tree {
    return tree === '' ? this.#engineCore.db : this.#engineCore.db.tree(tree);
  }

  /** Whether a commit on its way writes a key or drops its tree. */
  #isBusy(key: string): boolean {
    return this.#busy.has(key) || this.#busy.has(treeKey(placeOf(key).tree));
  }

  /** Puts and deletes of different keys, for the commit that comes next. */
  #writes(most: number, key: () => string): Write[] {
    const { random, history } = this.#engineCore;
    const writes = new Map<string, Uint8Array | undefined>();
    for (let count = 1 + random.below(most); count > 0; count--) {
      const size =
        random.below(5) === 0 ? undefined : most === 1 ? this.#size() : Math.min(this.#size(), 9000);
      writes.set(key(), size === undefined ? undefined : valueFor(history.last + 1, count, size));
    }
    return [...writes];
  }

  #put(blocking: boolean): void {
    const key = this.#key();
    const value = valueFor(this.#engineCore.history.last + 1, 0, this.#size());
    const at = placeOf(key);
    const space = this.#space(at.tree);
    if (blocking) this.#blocks([[key, value]], undefined, () => space.putSync(at.key, value));
    else this.#promises([[key, value]], undefined, () => space.put(at.key, value));
  }

  #delete(blocking: boolean): void {
    const key = this.#key();
    const at = placeOf(key);
    const space = this.#space(at.tree);
    if (blocking) this.#blocks([[key, undefined]], undefined, () => space.deleteSync(at.key));
    else this.#promises([[key, undefined]], undefined, () => space.delete(at.key));
  }

  #batch(blocking: boolean): void {
    const { db } = this.#engineCore;
    const writes = this.#writes(9, () => this.#key());
    const operations = writes.map(operationFor);
    if (blocking) this.#blocks(writes, undefined, () => db.batchSync(operations));
    else this.#promises(writes, undefined, () => db.batch(operations));
  }

  #transaction(blocking: boolean): void {
    const { db, random } = this.#engineCore;
    const writes = this.#writes(7, () => this.#key()).filter(([key]) => !this.#isBusy(key));
    if (writes.length === 0) return;
    const isolation = random.oneIn(4) ? ('serializable' as const) : ('snapshot' as const);
    const transaction = this.#filled(db.beginTransaction({ isolation }), writes);
    this.#commit(transaction, writes, blocking);
  }

  #commit(transaction: Transaction, writes: readonly Write[], blocking: boolean): void {
    const { random } = this.#engineCore;
    const sync = random.oneIn(3) ? random.oneIn(2) : undefined;
    const options = sync === undefined ? {} : { sync };
    if (blocking) this.#blocks(writes, sync, () => transaction.commitSync(options));
    else this.#promises(writes, sync, () => transaction.commit(options));
  }

  #filled(transaction: Transaction, writes: readonly Write[]): Transaction {
    const { random } = this.#engineCore;
    const astray = random.oneIn(2) ? random.below(writes.length) : undefined;
    for (const [at, [place, value]] of writes.entries()) {
      const { tree, key } = placeOf(place);
      const space = tree === '' ? transaction : transaction.tree(tree);
      // What a serializable one has looked at must not change meanwhile, and a commit on its way may make the tree.
      const mayLook = tree === '' || transaction.isolation === 'snapshot';
      if (value) space.put(key, value);
      else if (mayLook && random.oneIn(2) && space.has(key)) space.deleteRange({ gte: key, lte: key });
      else space.delete(key);
      if (at === astray) this.#goAstray(transaction);
    }
    return transaction;
  }

  /** Writes what is taken back: to keys that anybody may be writing, since that is no write then. */
  #goAstray(transaction: Transaction): void {
    const { random, history } = this.#engineCore;
    const savepoint = transaction.savepoint();
    for (let steps = 1 + random.below(3); steps > 0; steps--) {
      const { tree, key } = placeOf(this.#key());
      const space = tree === '' ? transaction : transaction.tree(tree);
      space.put(key, valueFor(history.last + 7, steps, this.#size()));
      transaction.delete(placeOf(this.#key()).key);
      // What a serializable one has looked at must not change meanwhile.
      if (transaction.isolation === 'snapshot')
        space.deleteRange({ gte: placeOf(this.#key()).key, limit: 5 });
      transaction.rollbackTo(savepoint);
    }
  }

  /** Begins a transaction that is open for a while: nobody ever sees it, or it writes keys of its own. */
  #hold(): void {
    const { db, random, profile } = this.#engineCore;
    if (this.#held.length >= WAITING_MAX) this.#end();
    const isOwn = random.oneIn(2);
    const id = ++this.#own % 6; // more than are open, so that no two share keys
    const own = (): string => keyIn(this.#tree(), `own ${id} ${random.below(3)}`);
    const writes = this.#writes(4, () => (isOwn ? own() : this.#key()));
    const commits = isOwn && writes.every(([key]) => !this.#isBusy(key));
    const transaction = this.#filled(db.beginTransaction(), writes);
    const held = { transaction, writes, commits, drops: this.#drops };
    this.#held.push(held);
    if (profile.blocking && random.oneIn(2)) this.#end();
  }

  #end(): void {
    const { random, profile } = this.#engineCore;
    const held = this.#held.shift();
    if (held === undefined) return;
    const { transaction, writes } = held;
    const isSpared = held.drops === this.#drops || writes.every(([key]) => placeOf(key).tree === '');
    if (held.commits && isSpared && writes.every(([key]) => !this.#isBusy(key))) {
      this.#commit(transaction, writes, profile.blocking || random.oneIn(4));
    } else transaction.abort();
  }

  /** A commit that is answered when the call returns. */
  #blocks(writes: readonly Write[], sync: boolean | undefined, call: () => unknown): void {
    const commit = this.#engineCore.history.commit(writes);
    this.commits++;
    try {
      call();
    } catch (error) {
      this.#refused(commit, error);
      return;
    }
    this.#answered(commit, sync);
  }

  #promises(writes: readonly Write[], sync: boolean | undefined, call: () => Promise<unknown>): void {
    const commit = this.#engineCore.history.commit(writes);
    this.commits++;
    const keys = writes.map(([key]) => key);
    for (const key of keys) this.#busy.set(key, (this.#busy.get(key) ?? 0) + 1);
    const done = call().then(
      () => this.#answered(commit, sync),
      (error: unknown) => this.#refused(commit, error),
    );
    this.#watch(
      done.finally(() => {
        for (const key of keys) {
          const left = this.#busy.get(key)! - 1;
          if (left === 0) this.#busy.delete(key);
          else this.#busy.set(key, left);
        }
      }),
    );
  }

  #watch(promise: Promise<void>): void {
    this.#onTheirWay.add(promise);
    const forget = (): void => void this.#onTheirWay.delete(promise);
    promise.then(forget, forget);
  }

  #answered(commit: number, sync: boolean | undefined): void {
    const { history, db } = this.#engineCore;
    const { walEnabled, syncOnCommit } = db.config;
    history.resolved = Math.max(history.resolved, commit);
    if (!walEnabled) return;
    if (sync ?? syncOnCommit) history.durable = Math.max(history.durable, commit);
    else this.#relaxed.push({ commit, until: this.#engineCore.now() + FLUSH_INTERVAL + SLACK });
  }

  #refused(commit: number, error: unknown): void {
    if (error instanceof Violation) this.failure = error;
    else if (!this.#engineCore.mayFail()) {
      this.failure ??= new Violation(`commit ${commit} was refused without a reason: ${inWords(error)}`);
    } else this.failure ??= error;
  }

  #checkpoint(): void {
    const { db, history } = this.#engineCore;
    this.#watch(
      db.checkpoint().then(
        ({ sequence }) => {
          history.durable = Math.max(history.durable, sequence);
        },
        (error: unknown) => {
          if (!this.#engineCore.mayFail()) error = new Violation(`a checkpoint failed: ${inWords(error)}`);
          this.failure ??= error;
        },
      ),
    );
  }

  /** Drops a tree that is there once everything before it is committed. */
  #drop(): void {
    const { db, history, random } = this.#engineCore;
    const there = NAMES.filter((name) => history.has(treeKey(name)));
    if (there.length === 0) return;
    const name = there[random.below(there.length)]!;
    this.#drops++;
    this.#promises([[treeKey(name), undefined]], undefined, async () => {
      if (!(await db.dropTree(name))) throw new Violation(`the tree ${name} was not there to be dropped`);
    });
  }

  #writeBlock(): void {
    const { db, history, random } = this.#engineCore;
    const commit = history.last + 1;
    const data = valueFor(commit, 1, this.#size());
    const block = new Block(data, { type: 'document' }).withCompression(random.oneIn(2) ? 'lz4' : 'none');
    history.blocksAsked++;
    this.#promises([[blockKey(commit), data]], undefined, async () => {
      history.noteBlock(await db.writeBlock(block), commit);
    });
  }

  /** Deletes a block that was written, or one that is gone already, or was never there. */
  #deleteBlock(): void {
    const { db, history, random } = this.#engineCore;
    const ids = [...history.blocks.keys(), 1_000_000];
    const id = ids[random.below(ids.length)]!;
    const key = blockKey(history.blocks.get(id) ?? 0);
    const isThere = history.has(key);
    this.#promises([[key, undefined]], undefined, async () => {
      const existed = await db.deleteBlock(id);
      if (existed !== isThere) throw new Violation(`deleteBlock(${id}) answers ${existed}`);
    });
  }

  /** Makes the store small again, most of the time after something has left space in it. */
  #compact(): void {
    const { db, random, history } = this.#engineCore;
    if (random.oneIn(2)) {
      const keys = history.keys.filter((key) => placeOf(key).key.startsWith('key'));
      const gone = keys.filter((key) => !this.#isBusy(key) && !random.oneIn(4));
      const writes = gone.map((key): Write => [key, undefined]);
      const operations = writes.map(operationFor);
      if (gone.length > 0) this.#promises(writes, undefined, () => db.batch(operations));
    }
    this.#watch(
      db.compact().then(
        () => undefined,
        (error: unknown) => {
          if (!this.#engineCore.mayFail()) error = new Violation(`a compaction failed: ${inWords(error)}`);
          this.failure ??= error;
        },
      ),
    );
  }

  // --- readers --------------------------------------------------------------------------------------------------

  #takeSnapshot(): void {
    const { db } = this.#engineCore;
    if (this.#snapshots.length >= WAITING_MAX) return;
    this.#snapshots.push({ snapshot: db.snapshot(), base: db.stats().sequence });
  }

  #closeSnapshot(): void {
    const held = this.#snapshots.shift();
    if (held === undefined) return;
    this.#engineCore.history.compareSnapshot(held.base, held.snapshot);
    held.snapshot.close();
  }
}
