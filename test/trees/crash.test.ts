/*
 * Power cuts while trees are made, dropped and made again: whatever is left of the disk, the store is the state after
 * one commit, all its trees together; and so it is after another cut inside its recovery. What dropped trees had is
 * given back all the same.
 */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { SimulatedRandom } from '../../src/backend/simulated-clock.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import type { BatchOperation } from '../../src/index.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

const NAMES = ['', 'a', 'b', 'c', 'd'];
const KEYS = 12;
const LIVES = sized(3, 10, 240);
const MOVES = 40;

/** Records of every tree that has some, as text. */
type State = ReadonlyMap<string, ReadonlyMap<string, string>>;

interface Cut {
  readonly disk: SimulatedBackend;
  /** The last commit lies between these, both included. */
  readonly least: number;
  readonly most: number;
}

const tally = { states: 0, second: 0, drops: 0, commits: 0 };

/** What each commit of a store leaves, by its sequence. */
class Ledger {
  readonly states = new Map<number, State>([[0, new Map()]]);
  last = 0;
  /** Last commit that was answered, durable. */
  answered = 0;

  get state(): State {
    return this.states.get(this.last) as State;
  }

  /** A commit is called that changes trees; answers its number. */
  commit(change: (trees: Map<string, Map<string, string>>) => void): number {
    const trees = new Map([...this.state].map(([name, records]) => [name, new Map(records)]));
    change(trees);
    this.states.set(++this.last, trees);
    ++tally.commits;
    return this.last;
  }

  resolved(commit: number): void {
    this.answered = Math.max(this.answered, commit);
  }

  /** Compares a store with what its last commit left. */
  compare(db: StorageEngine, least: number, most: number): number {
    const { sequence } = db.stats();
    expect(sequence).toBeGreaterThanOrEqual(least);
    expect(sequence).toBeLessThanOrEqual(most);
    const expected = this.states.get(sequence) as State;
    expect(db.trees()).toEqual([...expected.keys()].filter((name) => name !== '').sort());
    for (const name of NAMES) {
      const found = [...(name === '' ? db : db.tree(name)).scan()];
      const texts = new Map(
        found.map(([key, value]) => [Buffer.from(key).toString(), Buffer.from(value).toString()]),
      );
      expect(texts, `tree ${name} after commit ${sequence}`).toEqual(
        new Map([...(expected.get(name) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))),
      );
    }
    return sequence;
  }

  /** Goes on from a store that was found with less. */
  goOnFrom(sequence: number): void {
    for (const number of [...this.states.keys()]) if (number > sequence) this.states.delete(number);
    this.last = sequence;
    this.answered = sequence;
  }
}

/** One life of a store: answers the cuts drawn while it ran. */
class Life {
  readonly #random: SimulatedRandom;
  readonly #ledger: Ledger;
  readonly #disk: SimulatedBackend;
  readonly #db: StorageEngine;
  readonly #onTheirWay: Promise<unknown>[] = [];

  constructor(random: SimulatedRandom, ledger: Ledger, disk: SimulatedBackend, db: StorageEngine) {
    this.#random = random;
    this.#ledger = ledger;
    this.#disk = disk;
    this.#db = db;
  }

  async run(): Promise<void> {
    for (let move = 0; move < MOVES; ++move) {
      this.#move();
      if (this.#random.oneIn(3)) await this.#disk.clock.settle();
      if (this.#random.oneIn(6)) await this.#disk.run(Promise.all(this.#onTheirWay.splice(0)));
    }
    await this.#disk.run(Promise.all(this.#onTheirWay));
  }

  #move(): void {
    const kind = this.#random.below(20);
    if (kind < 3) this.#drop();
    else if (kind < 5) this.#onTheirWay.push(this.#db.checkpoint());
    else if (kind < 9) this.#batch(true);
    else this.#batch(false);
  }

  #drop(): void {
    const name = NAMES[1 + this.#random.below(NAMES.length - 1)] as string;
    const isThere = this.#ledger.state.has(name);
    const commit = isThere ? this.#ledger.commit((trees) => trees.delete(name)) : 0;
    if (isThere) ++tally.drops;
    this.#onTheirWay.push(
      this.#db.dropTree(name).then((existed) => {
        expect(existed).toBe(isThere);
        this.#ledger.resolved(commit);
      }),
    );
  }

  /** Writes to several trees in one commit; a large one now and then fills several groups. */
  #batch(large: boolean): void {
    const random = this.#random;
    const operations: BatchOperation[] = [];
    const commit = this.#ledger.commit((trees) => {
      for (let count = 1 + random.below(6); count > 0; --count) {
        const tree = NAMES[random.below(NAMES.length)] as string;
        const key = `key ${random.below(KEYS)}`;
        const where = tree === '' ? {} : { tree };
        if (random.oneIn(4)) {
          operations.push({ type: 'delete', key, ...where });
          trees.get(tree)?.delete(key);
          continue;
        }
        const size =
          large && random.oneIn(3)
            ? 3000 + random.below(random.oneIn(6) ? 300_000 : 9000)
            : random.below(300);
        const value = `${this.#ledger.last} `.padEnd(size, 'x');
        operations.push({ type: 'put', key, value, ...where });
        trees.set(tree, (trees.get(tree) ?? new Map()).set(key, value));
      }
    });
    this.#onTheirWay.push(this.#db.batch(operations).then(() => this.#ledger.resolved(commit)));
  }
}

/** Opens what a cut left, with cuts inside the opening, and looks at it. */
async function recover(cut: Cut, ledger: Ledger, random: SimulatedRandom, depth: number): Promise<void> {
  const { disk } = cut;
  const inner: SimulatedBackend[] = [];
  if (depth < 2) {
    const chosen = 1 + random.below(12);
    let calls = 0;
    disk.onCall = () => {
      if (++calls === chosen) inner.push(disk.crash());
    };
  }
  const db = await disk.run(openSmall(disk));
  disk.onCall = undefined;
  ++tally.states;
  if (depth > 1) ++tally.second;
  const sequence = ledger.compare(db, cut.least, cut.most);
  const found = await disk.run(db.verify());
  expect(found.problems).toEqual([]);
  await disk.run(db.close());
  // Another opening has time to give back what is left of dropped trees.
  const again = await disk.run(openSmall(disk));
  ledger.compare(again, sequence, sequence);
  await disk.run(again.compact());
  const sound = await disk.run(again.verify());
  expect(sound.problems).toEqual([]);
  expect(sound.pages).toBe(again.stats().pages.count);
  await disk.run(again.close());
  for (const left of inner)
    await recover({ disk: left, least: cut.least, most: cut.most }, ledger, random, depth + 1);
}

test('trees: after power cuts at every moment all trees are those of one commit', async () => {
  for (let life = 0; life < LIVES; ++life) {
    const random = new SimulatedRandom(seed * 1000 + life);
    const ledger = new Ledger();
    let disk = new SimulatedBackend({ seed: random.bits(), manual: true });
    for (let round = 0; round < 2; ++round) {
      const cuts: Cut[] = [];
      const present = disk;
      let created = round > 0;
      disk.onCall = () => {
        if (!created || !random.oneIn(long ? 25 : 60)) return;
        cuts.push({ disk: present.crash(), least: ledger.answered, most: ledger.last });
      };
      const db = await disk.run(openSmall(disk));
      ledger.goOnFrom(ledger.compare(db, ledger.answered, ledger.last));
      created = true;
      await new Life(random, ledger, disk, db).run();
      cuts.push({ disk: disk.crash(), least: ledger.answered, most: ledger.last });
      disk.onCall = undefined;
      for (const cut of cuts) await recover(cut, ledger, random, 1);
      const next = disk.crash();
      await disk.run(db.close());
      disk = next;
    }
  }
  report('power cuts while trees are made and dropped', tally, 'npx vitest run test/trees/crash.test.ts');
  expect(tally.states).toBeGreaterThan(LIVES * 4);
  expect(tally.second).toBeGreaterThan(LIVES);
  expect(tally.drops).toBeGreaterThan(LIVES);
}, 600_000);
