/*
 * The callers of a store: each does one thing after the other, by promise or blocking, and goes on whatever it is told.
 * Many of them at once do not know of each other, so that everything meets everything.
 */
import { Block } from '../../src/index.ts';
import type { BatchOperation } from '../../src/txn/batch-list.ts';
import { type Entry, type Place, partsOf, placeOf, TREES } from './ledger.ts';
import { Transactions } from './transactions.ts';
import { judgeCopy, memoryWith, shownBy, type World } from './world.ts';

const KEYS = 24;
/** Puts of a burst. */
const BURST_MAX = 160;

export class Callers {
  readonly #world: World;
  readonly #transactions: Transactions;
  /** Promises that nobody waited for. */
  readonly #loose: Promise<void>[] = [];

  constructor(world: World) {
    this.#world = world;
    this.#transactions = new Transactions(world, this);
  }

  /** All of them, from their first move to their last. */
  async run(): Promise<void> {
    const { callers } = this.#world.shape;
    await Promise.all(Array.from({ length: callers }, () => this.#caller()));
    while (this.#loose.length > 0) await Promise.all(this.#loose.splice(0));
  }

  async #caller(): Promise<void> {
    const world = this.#world;
    const { random, shape } = world;
    try {
      for (let move = 0; move < shape.moves && !world.isOver; move++) {
        world.moves++;
        const done = this.#move();
        if (random.oneIn(4)) this.#loose.push(done);
        else await done;
        if (random.oneIn(5)) await world.pause();
      }
    } catch (error) {
      world.report(error);
    }
  }

  async #move(): Promise<void> {
    const world = this.#world;
    const { random, shape } = world;
    try {
      if (shape.bursts > 0 && random.oneIn(shape.bursts)) return await this.#burst();
      if (shape.large > 0 && random.oneIn(shape.large)) return await this.#transactions.large();
      const kind = random.below(100);
      if (kind < 22) await this.#put();
      else if (kind < 30) await this.#delete();
      else if (kind < 42) await this.#batch();
      else if (kind < 70) await this.#transactions.one();
      else if (kind < 75) await this.#drop();
      else if (kind < 80) await this.#writeBlock();
      else if (kind < 83) await this.#deleteBlock();
      else if (kind < 89) await this.#checkpoint();
      else if (kind < 92) await this.#compact();
      else if (kind < 94) await this.#backup();
      else if (kind < 95) await this.#verify();
      else if (kind < 98) this.look();
      else if (random.oneIn(12)) await this.close();
    } catch (error) {
      world.report(error);
    }
  }

  // --- what is written ------------------------------------------------------------------------------------------

  place(): Place {
    const { random } = this.#world;
    const tree = random.oneIn(2) ? '' : TREES[random.below(TREES.length)]!;
    return placeOf(tree, `k${random.below(KEYS)}`);
  }

  size(): number {
    const { random } = this.#world;
    const kind = random.below(40);
    if (kind === 0) return 12_000 + random.below(30_000);
    if (kind < 4) return 1000 + random.below(8000);
    return 8 + random.below(kind < 25 ? 60 : 500);
  }

  /** Adds the marks of a commit to what it writes: one in each of its trees. */
  mark(entry: Entry, writes: Map<Place, Buffer | null>): void {
    const { ledger } = this.#world;
    const trees = new Set(['']);
    for (const place of writes.keys()) trees.add(partsOf(place).tree);
    for (const tree of trees) writes.set(placeOf(tree, `m${entry.id}`), ledger.valueOf(entry, 8));
    entry.mark = placeOf('', `m${entry.id}`);
  }

  // --- commits --------------------------------------------------------------------------------------------------

  #space(tree: string) {
    const { db } = this.#world;
    return tree === '' ? db : db.tree(tree);
  }

  async #put(): Promise<void> {
    const { random, ledger } = this.#world;
    const isBlocking = random.oneIn(4);
    const entry = this.#world.begin(isBlocking ? 'putSync' : 'put');
    const place = this.place();
    const { tree, key } = partsOf(place);
    const value = ledger.valueOf(entry, this.size());
    ledger.enter(entry, new Map([[place, value]]));
    if (isBlocking) this.#blocking('putSync', entry, () => this.#space(tree).putSync(key, value));
    else await this.#promise('put', entry, async () => this.#space(tree).put(key, value));
  }

  async #delete(): Promise<void> {
    const { random, ledger } = this.#world;
    const isBlocking = random.oneIn(4);
    const entry = this.#world.begin(isBlocking ? 'deleteSync' : 'delete');
    const place = this.place();
    const { tree, key } = partsOf(place);
    ledger.enter(entry, new Map([[place, null]]));
    if (isBlocking) this.#blocking('deleteSync', entry, () => this.#space(tree).deleteSync(key));
    else await this.#promise('delete', entry, async () => this.#space(tree).delete(key));
  }

  async #batch(): Promise<void> {
    const { random, ledger, db } = this.#world;
    const isBlocking = random.oneIn(4);
    const entry = this.#world.begin(isBlocking ? 'batchSync' : 'batch');
    const writes = new Map<Place, Buffer | null>();
    for (let count = 1 + random.below(6); count > 0; count--) {
      writes.set(this.place(), random.oneIn(4) ? null : ledger.valueOf(entry, this.size()));
    }
    this.mark(entry, writes);
    ledger.enter(entry, writes);
    const operations = [...writes].map(operationFor);
    if (isBlocking) this.#blocking('batchSync', entry, () => db.batchSync(operations));
    else await this.#promise('batch', entry, async () => db.batch(operations));
  }

  /** Many small puts at once, each of its own key. */
  async #burst(): Promise<void> {
    const { random } = this.#world;
    const { ledger, db } = this.#world;
    const puts: Promise<void>[] = [];
    for (let n = random.below(BURST_MAX); n >= 0; n--) {
      const entry = this.#world.begin('put of a burst');
      const key = `b${n}`;
      const value = ledger.valueOf(entry, 8);
      ledger.enter(entry, new Map([[placeOf('', key), value]]));
      puts.push(this.#promise('put', entry, async () => db.put(key, value)));
    }
    await Promise.all(puts);
  }

  async #drop(): Promise<void> {
    const { random, ledger, db } = this.#world;
    const entry = this.#world.begin('dropTree');
    entry.drops = TREES[1 + random.below(TREES.length - 1)]!;
    ledger.enter(entry, new Map());
    await this.#promise('dropTree', entry, async () => {
      const existed = await db.dropTree(entry.drops!);
      // Where there was none nothing is committed, so nothing becomes durable by it.
      if (!existed) entry.durable = false;
    });
  }

  async #writeBlock(): Promise<void> {
    const { random, ledger, db, blocks } = this.#world;
    const entry = this.#world.begin('writeBlock');
    const data = ledger.valueOf(entry, this.size());
    const block = new Block(data).withCompression(random.oneIn(2) ? 'lz4' : 'none');
    await this.#promise('writeBlock', entry, async () => {
      const id = await db.writeBlock(block);
      if (this.#world.isOver) return;
      ledger.enter(entry, new Map([[placeOf('~blocks', String(id)), data]]));
      blocks.set(id, entry);
    });
  }

  async #deleteBlock(): Promise<void> {
    const { random, ledger, db, blocks } = this.#world;
    const ids = [...blocks.keys()];
    if (ids.length === 0) return;
    const id = ids[random.below(ids.length)]!;
    const entry = this.#world.begin('deleteBlock');
    ledger.enter(entry, new Map([[placeOf('~blocks', String(id)), null]]));
    await this.#promise('deleteBlock', entry, async () => db.deleteBlock(id));
  }

  #blocking(method: string, entry: Entry, call: () => unknown): void {
    const world = this.#world;
    try {
      call();
    } catch (error) {
      world.refused('StorageEngine', method, entry, error);
      return;
    }
    world.done(entry);
  }

  async #promise(method: string, entry: Entry, call: () => Promise<unknown>): Promise<void> {
    const world = this.#world;
    try {
      await call();
    } catch (error) {
      world.refused('StorageEngine', method, entry, error);
      return;
    }
    world.done(entry);
  }

  // --- maintenance ---------------------------------------------------------------------------------------------------

  async #maintenance(method: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.#world.mustBeKnown('StorageEngine', method, error);
      return false;
    }
  }

  async #checkpoint(): Promise<void> {
    const { ledger, db } = this.#world;
    const moment = ledger.now();
    if ((await this.#maintenance('checkpoint', async () => db.checkpoint())) && !this.#world.isOver) {
      ledger.becameDurable(moment);
    }
  }

  async #compact(): Promise<void> {
    const { db } = this.#world;
    await this.#maintenance('compact', async () => db.compact());
  }

  async #backup(): Promise<void> {
    const world = this.#world;
    const view = world.ledger.copyOf(world.ledger.now());
    const target = memoryWith(world.clock);
    if (!(await this.#maintenance('backup', async () => world.db.backup(target)))) return;
    if (!world.isOver) await judgeCopy(target, world, view);
  }

  async #verify(): Promise<void> {
    const { db, strikes } = this.#world;
    await this.#maintenance('verify', async () => {
      const { ok, problems } = await db.verify();
      // What cannot be read is a problem that verify names; there is no other.
      if (!ok && strikes.struck.length === 0 && !this.#world.isOver)
        throw new Error(`verify: ${JSON.stringify(problems.slice(0, 2))}`);
    });
  }

  /** Looks at everything there is. */
  look(): void {
    const world = this.#world;
    if (world.isOver) return;
    let shown: ReturnType<typeof shownBy>;
    try {
      shown = shownBy(world.db, world.blocks.keys());
    } catch (error) {
      world.mustBeKnown('StorageEngine', 'scan', error);
      return;
    }
    world.ledger.judge(shown, world.ledger.live);
  }

  /** Closes the store; whatever is acknowledged by then is durable if that is said to have worked. */
  async close(): Promise<boolean> {
    const { ledger, db } = this.#world;
    this.#world.isClosing = true;
    const isClosed = await this.#maintenance('close', async () => db.close());
    if (isClosed && !this.#world.isOver) ledger.becameDurable(ledger.now());
    return isClosed;
  }
}

function operationFor([place, value]: readonly [Place, Buffer | null]): BatchOperation {
  const { tree, key } = partsOf(place);
  const at = tree === '' ? { key } : { key, tree };
  return value ? { type: 'put', ...at, value } : { type: 'delete', ...at };
}
