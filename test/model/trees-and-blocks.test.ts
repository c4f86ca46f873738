/*
 * Several trees and users' blocks against a model: commits over more than one tree, trees that are dropped and made
 * again under their names, blocks of every codec, snapshots and overlapping transactions meanwhile, crashes and
 * reopenings. A failure names the seed and the last moves.
 *
 * 1. `trees()` and the records of each tree are the model's, for the latest state, a snapshot and a transaction.
 * 2. A transaction answers CONFLICT exactly when a key it writes was committed, or a tree it writes to was dropped,
 *    since it began. A commit that only deletes from a tree that is not there writes nothing to it.
 * 3. An id is answered for one block only, and reads as that block as long as that is not deleted.
 * 4. After a crash the store is the model as of one commit, at or after everything that was answered.
 */
import { expect, test } from 'vitest';
import type { CompressionType } from '../../src/codec/codec.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { AegisError, Block, loadCodec, type Snapshot, type Transaction } from '../../src/index.ts';
import { type Random, randomFrom } from '../support/codec-data.ts';
import { MemoryPlace, type ModelPlace } from '../support/model-place.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';

type Records = ReadonlyMap<string, string>;

/** A block of the model; its id is known once the store has answered, or was found to hold it. */
interface Written {
  id: number | undefined;
  readonly data: string;
}

interface State {
  /** The default tree is called ''. */
  readonly trees: ReadonlyMap<string, Records>;
  readonly blocks: readonly Written[];
}

type Writes = Map<string, Map<string, string | undefined>>;

interface Open {
  readonly tx: Transaction;
  readonly base: number;
  readonly writes: Writes;
}

const NAMES = ['', 'a', 'b', 'ä/ö'];
const KEYS = 30;
const HISTORY = 30;
const PENDING_MAX = 8;
const CODECS: readonly CompressionType[] = ['none', 'lz4', 'zstd'];

interface Setting {
  readonly compression: CompressionType;
  readonly debug: boolean;
}

class Run {
  readonly figures = {
    moves: 0,
    commits: 0,
    /** Deletions where there was no tree. */
    void: 0,
    drops: 0,
    conflicts: 0,
    blocks: 0,
    crashes: 0,
    reopenings: 0,
  };
  readonly #setting: Setting;
  readonly #random: Random;
  #place: ModelPlace;
  #db!: StorageEngine;
  /** The state after each commit, by its number. */
  #states: State[] = [{ trees: new Map([['', new Map()]]), blocks: [] }];
  /** What each commit wrote or dropped: `tree\0key`, or `tree` alone. */
  #changes: ReadonlySet<string>[] = [new Set()];
  /** The last commit that was answered. */
  #sure = 0;
  #pending: Promise<void>[] = [];
  #failure: unknown;
  #life = 0;
  readonly #ids = new Set<number>();
  #open: Open[] = [];
  #snapshots: { readonly snapshot: Snapshot; readonly state: State }[] = [];
  readonly #history: string[] = [];

  constructor(setting: Setting, own: number) {
    this.#setting = setting;
    this.#random = randomFrom(own);
    this.#place = new MemoryPlace(randomFrom(own + 7), true);
  }

  async run(moves: number): Promise<void> {
    const all: [number, () => unknown][] = [
      [20, () => this.#write()],
      [8, () => this.#drop()],
      [14, () => this.#writeBlock()],
      [8, () => this.#deleteBlock()],
      [20, () => this.#begin()],
      [60, () => this.#work()],
      [24, () => this.#end()],
      [6, () => this.#takeSnapshot()],
      [5, () => this.#closeSnapshot()],
      [14, () => this.#read()],
      [10, () => this.#place.tick()],
      [10, () => this.#settle()],
      [2, () => this.#checkpoint()],
      [1, () => this.#compact()],
      [1, () => this.#reopen()],
      [2, () => this.#crash()],
    ];
    const drawn = all.flatMap(([weight, move]) => Array.from({ length: weight }, () => move));
    try {
      await this.#start();
      for (; this.figures.moves < moves; ++this.figures.moves) {
        await drawn[this.#random(drawn.length)]!();
        if (this.#pending.length > PENDING_MAX) await this.#settle();
        if (this.#failure !== undefined) throw this.#failure;
      }
      await this.#reopen();
      expect((await this.#wait(this.#db.verify())).problems).toEqual([]);
      await this.#wait(this.#db.close());
    } catch (error) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const where = `SEED=${seed} ${JSON.stringify(this.#setting)}: move ${this.figures.moves}`;
      throw new Error(`${where}\n${what}\nlast:\n  ${this.#history.join('\n  ')}`, { cause: error });
    }
  }

  get #last(): State {
    return this.#states.at(-1)!;
  }

  #note(...what: unknown[]): void {
    this.#history.push(what.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join(' '));
    if (this.#history.length > HISTORY) this.#history.shift();
  }

  #wait<T>(promise: Promise<T>): Promise<T> {
    return this.#place.settle(promise);
  }

  async #start(): Promise<void> {
    const { compression, debug } = this.#setting;
    const sizes = { pageSize: 4096, bufferPoolSize: 24 * 4096, checkpointWalSize: '512KB' };
    const config = { ...sizes, walEnabled: true, syncOnCommit: true, compression };
    this.#db = await this.#place.open(config, debug);
    ++this.#life;
  }

  // --- the model ------------------------------------------------------------------------------------------------

  /** A commit was called: what it makes of the state. */
  #commit(state: State, changes: Iterable<string>): number {
    this.#changes.push(new Set(changes));
    ++this.figures.commits;
    return this.#states.push(state) - 1;
  }

  #commitWrites(writes: Writes): number {
    const trees = new Map(this.#last.trees);
    const changes: string[] = [];
    for (const [name, own] of writes) {
      if (!trees.has(name) && [...own.values()].every((value) => value === undefined)) {
        ++this.figures.void;
        continue;
      }
      const records = new Map(trees.get(name));
      for (const [key, value] of own) {
        if (value === undefined) records.delete(key);
        else records.set(key, value);
        changes.push(`${name}\0${key}`);
      }
      trees.set(name, records);
    }
    return this.#commit({ ...this.#last, trees }, changes);
  }

  /** Looks at the answer of a commit when it comes. */
  #answered<T>(promise: Promise<T>, number: number, check: (answer: T) => void = () => {}): void {
    const life = this.#life;
    const done = promise.then((answer) => {
      if (life !== this.#life) return;
      this.#sure = Math.max(this.#sure, number);
      check(answer);
    });
    this.#pending.push(
      done.catch((error: unknown) => {
        if (life === this.#life) this.#failure ??= error;
      }),
    );
  }

  async #settle(): Promise<void> {
    await this.#wait(Promise.all(this.#pending));
    this.#pending = [];
  }

  // --- commits --------------------------------------------------------------------------------------------------

  #name(): string {
    return NAMES[this.#random(NAMES.length)]!;
  }

  #key(): string {
    return `key ${this.#random(KEYS)}`;
  }

  #value(): string {
    const size = this.#random(20) === 0 ? this.#random(9000) : this.#random(150);
    return `${this.#random(1e6)} `.repeat(Math.ceil(size / 6));
  }

  /** A batch of one tree. */
  #write(): void {
    const name = this.#name();
    const there = [...(this.#last.trees.get(name) ?? new Map<string, string>()).keys()];
    const own = new Map<string, string | undefined>();
    const onlyDeletes = this.#random(4) === 0;
    for (let i = 1 + this.#random(5); i > 0; --i)
      own.set(this.#key(), onlyDeletes ? undefined : this.#value());
    const gone = there[this.#random(Math.max(1, there.length))];
    if (gone !== undefined) own.set(gone, undefined);
    const space = name === '' ? this.#db : this.#db.tree(name);
    this.#note('batch', name, [...own.keys()]);
    const promise = space.batch(
      [...own].map(([key, value]) =>
        value === undefined ? { type: 'delete', key } : { type: 'put', key, value },
      ),
    );
    this.#answered(promise, this.#commitWrites(new Map([[name, own]])));
  }

  #drop(): void {
    const name = NAMES[1 + this.#random(NAMES.length - 1)]!;
    const there = this.#last.trees.has(name);
    this.#note('drop', name, there);
    const promise = this.#db.dropTree(name);
    let number = 0;
    if (there) {
      const trees = new Map(this.#last.trees);
      trees.delete(name);
      number = this.#commit({ ...this.#last, trees }, [name]);
      ++this.figures.drops;
    }
    this.#answered(promise, number, (answer) => expect(answer).toBe(there));
  }

  async #writeBlock(): Promise<void> {
    const codec = CODECS[this.#random(CODECS.length)]!;
    const size = this.#random(4) === 0 ? this.#random(20_000) : this.#random(300);
    const data = Buffer.from(`${this.#random(1e9)} `.repeat(Math.ceil(size / 8)));
    if (this.#random(3) === 0) for (let i = 0; i < data.length; ++i) data[i] = this.#random(256);
    const block = new Block(data).withCompression(codec);
    const written: Written = { id: undefined, data: data.toString('latin1') };
    // The commit of a zstd block is called a little later than the block is given: nothing must come in between.
    const promise = this.#db.writeBlock(block);
    this.#note('write block', codec, data.length);
    const number = this.#commit({ ...this.#last, blocks: [...this.#last.blocks, written] }, []);
    this.#answered(promise, number, (id) => {
      expect(this.#ids.has(id)).toBe(false);
      this.#ids.add(id);
      written.id = id;
      ++this.figures.blocks;
    });
    if (codec === 'zstd') await this.#settle();
  }

  #deleteBlock(): void {
    const known = this.#last.blocks.filter(({ id }) => id !== undefined);
    const gone = known[this.#random(Math.max(1, known.length))];
    if (!gone) return;
    this.#note('delete block', gone.id);
    const promise = this.#db.deleteBlock(gone.id!);
    const blocks = this.#last.blocks.filter((one) => one !== gone);
    this.#answered(promise, this.#commit({ ...this.#last, blocks }, []), (answer) =>
      expect(answer).toBe(true),
    );
  }

  // --- transactions ---------------------------------------------------------------------------------------------

  /** A transaction begins on a state that is known: nothing is on its way. */
  async #begin(): Promise<void> {
    if (this.#open.length >= 5) return;
    await this.#settle();
    const tx = this.#db.beginTransaction();
    this.#note('begin', tx.id);
    this.#open.push({ tx, base: this.#states.length - 1, writes: new Map() });
  }

  #work(): void {
    const open = this.#open[this.#random(Math.max(1, this.#open.length))];
    if (!open) return;
    const name = this.#name();
    const before = this.#states[open.base]!.trees.get(name);
    const space = name === '' ? open.tx : open.tx.tree(name);
    const own = open.writes.get(name) ?? new Map<string, string | undefined>();
    const seen = new Map(before);
    for (const [key, value] of own) {
      if (value === undefined) seen.delete(key);
      else seen.set(key, value);
    }
    const kind = this.#random(10);
    if (kind < 5) {
      const key = this.#key();
      const value = this.#value();
      this.#note(open.tx.id, 'put', name, key);
      space.put(key, value);
      own.set(key, value);
    } else if (kind < 7) {
      const some = before && [...before.keys()][this.#random(Math.max(1, before.size))];
      const key = some ?? this.#key();
      this.#note(open.tx.id, 'delete', name, key);
      space.delete(key);
      own.set(key, undefined);
    } else if (kind < 8) {
      if (!before) return;
      const ends = [this.#key(), this.#key()].sort() as [string, string];
      this.#note(open.tx.id, 'deleteRange', name, ends);
      space.deleteRange({ gte: ends[0], lt: ends[1] });
      for (const key of seen.keys()) if (key >= ends[0] && key < ends[1]) own.set(key, undefined);
    } else {
      this.#same(space, seen, `transaction ${open.tx.id}, ${name}`);
    }
    if (own.size > 0) open.writes.set(name, own);
  }

  async #end(): Promise<void> {
    const [open] = this.#open.splice(this.#random(Math.max(1, this.#open.length)), 1);
    if (!open) return;
    const { tx, base, writes } = open;
    if (this.#random(6) === 0) {
      this.#note('abort', tx.id);
      tx.abort();
      return;
    }
    const since = this.#changes.slice(base + 1);
    const conflict = [...writes].some(([name, own]) =>
      since.some(
        (changes) => changes.has(name) || [...own.keys()].some((key) => changes.has(`${name}\0${key}`)),
      ),
    );
    this.#note('commit', tx.id, [...writes.keys()], conflict ? 'conflict' : 'commits');
    const promise = tx.commit();
    if (conflict) {
      const error: unknown = await this.#wait(
        promise.then(() => 'committed').catch((thrown: unknown) => thrown),
      );
      expect(error instanceof AegisError ? error.code : error).toBe('CONFLICT');
      ++this.figures.conflicts;
    } else if (writes.size > 0) this.#answered(promise, this.#commitWrites(writes));
    else this.#answered(promise, 0);
  }

  // --- reading --------------------------------------------------------------------------------------------------

  #same(space: Pick<StorageEngine, 'scan'>, records: Records, what: string): void {
    const found = [...space.scan()].map(([key, value]) => `${Buffer.from(key)}=${Buffer.from(value)}`);
    const sorted = [...records].sort(([a], [b]) => (a < b ? -1 : 1));
    expect(found, what).toEqual(sorted.map(([key, value]) => `${key}=${value}`));
  }

  #sameTrees(view: StorageEngine | Snapshot, state: State, what: string): void {
    for (const name of NAMES) {
      const space = name === '' ? view : view.tree(name);
      this.#same(space, state.trees.get(name) ?? new Map(), `${what}, ${name}`);
    }
  }

  async #read(): Promise<void> {
    const held = this.#snapshots[this.#random(Math.max(1, this.#snapshots.length))];
    if (held) this.#sameTrees(held.snapshot, held.state, 'snapshot');
    if (this.#random(2) > 0) return;
    await this.#settle();
    if (this.#failure === undefined) this.#look();
  }

  /** The whole latest state. */
  #look(): void {
    const state = this.#last;
    this.#sameTrees(this.#db, state, 'latest');
    expect(this.#db.trees().sort()).toEqual([...state.trees.keys()].filter((name) => name !== '').sort());
    const live = new Map(state.blocks.map(({ id, data }) => [id, data]));
    for (const id of this.#ids) expect(this.#blockOf(id) === live.get(id), `block ${id}`).toBe(true);
    for (const { id } of state.blocks) expect(id).toBeDefined();
  }

  #blockOf(id: number): string | undefined {
    const block = this.#db.readBlock(id);
    return block && Buffer.from(block.data).toString('latin1');
  }

  #takeSnapshot(): Promise<void> | undefined {
    if (this.#snapshots.length >= 4) return undefined;
    return this.#settle().then(() => {
      this.#note('snapshot');
      this.#snapshots.push({ snapshot: this.#db.snapshot(), state: this.#last });
    });
  }

  #closeSnapshot(): void {
    const [held] = this.#snapshots.splice(this.#random(Math.max(1, this.#snapshots.length)), 1);
    if (!held) return;
    this.#sameTrees(held.snapshot, held.state, 'snapshot that ends');
    held.snapshot.close();
  }

  // --- life of the store ----------------------------------------------------------------------------------------

  #checkpoint(): void {
    this.#note('checkpoint');
    this.#answered(this.#db.checkpoint(), 0);
  }

  #compact(): void {
    this.#note('compact');
    this.#answered(this.#db.compact(), 0);
  }

  async #reopen(): Promise<void> {
    await this.#settle();
    this.#note('reopen');
    for (const { tx } of this.#open) tx.abort();
    await this.#wait(this.#db.close());
    this.#forgetReaders();
    await this.#start();
    ++this.figures.reopenings;
    if (this.#failure === undefined) this.#look();
  }

  async #crash(): Promise<void> {
    const { crashes } = this.#place;
    const kind = crashes[this.#random(crashes.length)]!;
    for (let i = this.#random(4); i > 0; --i) this.#write();
    for (let i = this.#random(6); i > 0; --i) await this.#place.tick();
    if (this.#failure !== undefined) return;
    this.#note('crash', kind, `${this.#sure} of ${this.#states.length - 1} answered`);
    ++this.#life;
    this.#pending = [];
    this.#forgetReaders();
    this.#place = this.#place.crash(kind);
    ++this.figures.crashes;
    await this.#start();
    this.#found();
    this.#look();
  }

  #forgetReaders(): void {
    this.#open = [];
    this.#snapshots = [];
  }

  /** The commit that a crash has left. */
  #found(): void {
    const number = this.#db.stats().sequence;
    expect(number).toBeGreaterThanOrEqual(this.#sure);
    expect(number).toBeLessThan(this.#states.length);
    this.#states.length = number + 1;
    this.#changes.length = number + 1;
    this.#sure = number;
    // Blocks whose ids nobody was told have the next ones, in the order in which they were written.
    let id = Math.max(0, ...this.#ids);
    for (const written of this.#last.blocks) {
      if (written.id !== undefined) continue;
      for (let tries = 0; tries <= PENDING_MAX + 1; ++tries) if (this.#blockOf(++id) !== undefined) break;
      written.id = id;
      this.#ids.add(id);
    }
  }
}

test('engine: several trees and blocks agree with the model, after crashes too', {
  timeout: 3_600_000,
}, async () => {
  await loadCodec('zstd');
  const settings: readonly Setting[] = [
    { compression: 'none', debug: true },
    { compression: 'lz4', debug: false },
    { compression: 'zstd', debug: false },
  ];
  const sums: Record<string, number> = {};
  for (const [index, setting] of settings.entries()) {
    const run = new Run(setting, seed * 1_000_003 + index);
    await run.run(long ? 20_000 : 1000);
    for (const [name, count] of Object.entries(run.figures)) sums[name] = (sums[name] ?? 0) + count;
  }
  for (const count of Object.values(sums)) expect(count).toBeGreaterThan(0);
  report('model, trees and blocks', sums, 'npx vitest run test/model/trees-and-blocks.test.ts');
});
