/*
 * Kills a writer again and again, each time at a moment chosen for what is under way then, and keeps the books: what
 * was acknowledged, what the next opening finds of it, and what lies in the folder. What a kill hit is told by what
 * the victim had said before it died, never by what was aimed at.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { temporaryFolder } from '../support/place.ts';
import { Victim } from '../support/victim.ts';
import { Random } from '../wal/random.ts';
import { LANES } from './ledger.ts';
import type { Opened, Order } from './writer.ts';

/** What a kill can hit. */
export const HITS = ['creation', 'recovery', 'writing', 'checkpoint', 'closing', 'reading'] as const;
export type Hit = (typeof HITS)[number];

/** What is aimed at, and how often; a creation comes with every new store. */
const AIMS: readonly (readonly [aim: Hit, share: number])[] = [
  ['recovery', 0.2],
  ['writing', 0.3],
  ['checkpoint', 0.25],
  ['closing', 0.15],
  ['reading', 0.1],
];
/** Kills of one store, before a new one is begun. */
const CYCLES_PER_STORE = 50;
const CREATIONS_MAX = 4;
/** A kill in the middle of writing comes within so many milliseconds. */
const WRITING_TIME = 120;
/** Milliseconds after which a victim that says nothing hangs. */
const HANGS = 60_000;
/** Names a store may leave in its folder. */
const OWN_NAME = /^(?:data|lock|log-\d+)$/;

/** What was seen of a run of kills. */
export interface Tally {
  readonly hits: Record<Hit, number>;
  cycles: number;
  /** Aimed at something that was over before the kill came. */
  missed: number;
  /** Openings that went on to check the whole store. */
  checked: number;
  /** Most openings killed one after the other. */
  inARow: number;
  acknowledged: number;
  lost: number;
  partial: number;
  staleLocks: number;
  other: number;
  /** Most files of a store, and most bytes in them, after any kill. */
  files: number;
  bytes: number;
  /** Milliseconds of the slowest opening. */
  slowest: number;
}

/** Protections taken away. */
export type Controls = Partial<Pick<Order, 'logless' | 'torn'>>;

/** A store in the making, and what is known of it. */
interface Store {
  readonly directory: string;
  readonly pageSize: number;
  readonly acknowledged: number[];
  exists: boolean;
}

/** Durations seen, for aiming. */
class Usual {
  #value: number;

  constructor(first: number) {
    this.#value = first;
  }

  get value(): number {
    return this.#value;
  }

  note(ms: number): void {
    this.#value += (ms - this.#value) / 8;
  }
}

/** A run of kills over one store after the other. */
export class Killing {
  readonly tally: Tally;
  /** What went wrong, one line each. */
  readonly notes: string[] = [];
  readonly #random: Random;
  readonly #program: string;
  readonly #syncOnCommit: boolean;
  readonly #controls: Controls;
  readonly #folder = temporaryFolder();
  readonly #creating = new Usual(40);
  readonly #recovering = new Usual(40);
  readonly #seed: number;
  #store: Store;
  #next: Victim;
  #row = 0;

  constructor(program: string, seed: number, syncOnCommit: boolean, controls: Controls = {}) {
    const hits = Object.fromEntries(HITS.map((hit) => [hit, 0])) as Record<Hit, number>;
    const none = { cycles: 0, missed: 0, checked: 0, inARow: 0, acknowledged: 0, lost: 0, partial: 0 };
    this.tally = { hits, ...none, staleLocks: 0, other: 0, files: 0, bytes: 0, slowest: 0 };
    this.#program = program;
    this.#seed = seed;
    this.#syncOnCommit = syncOnCommit;
    this.#controls = controls;
    this.#random = new Random(seed * 2 + Number(syncOnCommit));
    this.#store = this.#newStore();
    this.#next = new Victim(program);
  }

  /** Kills so many victims; every failure ends it, but for `goOn`, with which the tally tells. */
  async run(cycles: number, goOn = false): Promise<Tally> {
    let creations = 1 + this.#random.below(CREATIONS_MAX);
    let aim: Hit = 'creation';
    for (let ofStore = 1; this.tally.cycles < cycles; ofStore++) {
      await this.#cycle(aim);
      if (!goOn) this.#expectNothingWrong();
      if (this.notes.length > 0 && goOn) break;
      if (ofStore >= CYCLES_PER_STORE || this.tally.cycles >= cycles) {
        await this.#lastOpening();
        if (!goOn) this.#expectNothingWrong();
        rmSync(this.#store.directory, { recursive: true });
        this.#store = this.#newStore();
        creations = 1 + this.#random.below(CREATIONS_MAX);
        ofStore = 0;
        aim = 'creation';
      } else aim = --creations > 0 ? 'creation' : this.#nextAim(aim);
    }
    await this.#next.kill();
    return this.tally;
  }

  #expectNothingWrong(): void {
    expect(this.notes, `SEED=${this.#seed}, cycle ${this.tally.cycles}`).toEqual([]);
  }

  #newStore(): Store {
    return {
      directory: join(this.#folder, `store-${this.#random.below(2 ** 31)}`),
      pageSize: 4096 << this.#random.below(3),
      acknowledged: new Array<number>(LANES).fill(0),
      exists: false,
    };
  }

  /** Openings are killed in rows. */
  #nextAim(last: Hit): Hit {
    if (this.#controls.logless || this.#controls.torn) return 'writing';
    if (last === 'recovery' && this.#random.chance(0.5)) return last;
    let at = this.#random.next();
    for (const [aim, share] of AIMS) {
      at -= share;
      if (at < 0) return aim;
    }
    return 'writing';
  }

  #order(aim: Hit, transactions: number): Order {
    const frames = [16, 24, 64, 1024][this.#random.below(4)]!;
    const { directory, pageSize, acknowledged } = this.#store;
    return {
      directory,
      syncOnCommit: this.#syncOnCommit,
      pageSize,
      bufferPoolSize: frames * pageSize,
      blocking: aim !== 'checkpoint' && this.#random.chance(0.3),
      acknowledged,
      seed: this.#random.below(2 ** 31),
      transactions,
      reading: aim === 'reading' && this.#store.exists,
      checkpoints: aim === 'checkpoint',
      logless: false,
      torn: false,
      ...this.#controls,
    };
  }

  async #cycle(aim: Hit): Promise<void> {
    const victim = this.#next;
    await victim.ready();
    const order = this.#order(aim, aim === 'closing' ? 1 + this.#random.below(20) : 0);
    await this.#momentOfDeath(victim, aim, () => {
      victim.start(order);
      this.#next = new Victim(this.#program);
    });
    const { lines, errors, killed, status } = await victim.kill();
    if (errors !== '') this.notes.push(errors);
    this.#takeIn(lines);
    this.#measure();
    if (killed) {
      this.#count(this.#hitOf(lines, order.reading));
      return;
    }
    // Ending by itself is right only after `close`. Else nothing was left to do: a promise nobody will settle.
    this.tally.missed++;
    if (status !== 0 || lines.at(-1) !== 'closed') {
      this.notes.push(`ended with ${status} after ${lines.at(-1)}, aimed at ${aim}`);
    }
  }

  /** Starts the victim and waits for the moment at which it is to die. */
  async #momentOfDeath(victim: Victim, aim: Hit, start: () => void): Promise<void> {
    const random = this.#random;
    const early = aim === 'reading' && random.chance(0.5);
    const signs: Record<Hit, string> = {
      creation: 'opening',
      recovery: 'opening',
      reading: early ? 'opening' : 'opened',
      writing: 'opened',
      checkpoint: 'checkpoint',
      closing: 'closing',
    };
    const times: Record<Hit, number> = {
      creation: this.#creating.value,
      recovery: this.#recovering.value,
      reading: early ? this.#recovering.value : 10,
      writing: WRITING_TIME,
      checkpoint: 8,
      closing: 8,
    };
    const skipped = aim === 'checkpoint' ? random.below(4) : 0;
    let delay = random.next() * times[aim];
    // A checkpoint beside the writers takes turns with them; the one before the end has the place to itself.
    if (aim === 'checkpoint' || aim === 'closing') delay *= random.next();
    const sign = victim.said(signs[aim], skipped);
    start();
    let hangs: NodeJS.Timeout | undefined;
    const tooLong = new Promise<void>((resolve) => {
      hangs = setTimeout(() => {
        this.notes.push(`it hangs: no ${signs[aim]} in ${HANGS / 1000} s`);
        resolve();
      }, HANGS);
    });
    await Promise.race([sign, tooLong]);
    clearTimeout(hangs);
    await new Promise((resolve) => setTimeout(resolve, delay));
  }

  /** Takes in what a victim said before it died. */
  #takeIn(lines: readonly string[]): void {
    const { tally } = this;
    const store = this.#store;
    for (const line of lines) {
      const [word, ...rest] = line.split(' ');
      if (word === 'done') {
        store.acknowledged[Number(rest[0])] = Number(rest[1]);
        tally.acknowledged++;
      } else if (word === 'open') {
        const took = Number(rest[0]);
        (store.exists ? this.#recovering : this.#creating).note(took);
        tally.slowest = Math.max(tally.slowest, Math.round(took));
        store.exists = true;
      } else if (word === 'opened') {
        tally.checked++;
        for (const problem of (JSON.parse(rest.join(' ')) as Opened).problems) this.#wrong(problem);
      } else if (word === 'failed') this.#wrong(line);
    }
  }

  #wrong(problem: string): void {
    this.notes.push(problem);
    if (problem.startsWith('lost:')) this.tally.lost++;
    else if (problem.startsWith('half:')) this.tally.partial++;
    else if (problem.startsWith('failed LOCKED')) this.tally.staleLocks++;
    else this.tally.other++;
  }

  /** What was under way when these were the last words. */
  #hitOf(lines: readonly string[], reading: boolean): Hit {
    if (reading) return 'reading';
    const said = (word: string): number => lines.findLastIndex((line) => line.split(' ')[0] === word);
    if (said('open') < 0) return this.#store.exists ? 'recovery' : 'creation';
    if (said('closing') >= 0) return 'closing';
    return said('checkpoint') > said('checkpointed') ? 'checkpoint' : 'writing';
  }

  #count(hit: Hit): void {
    const { tally } = this;
    tally.cycles++;
    tally.hits[hit]++;
    this.#row = hit === 'recovery' || hit === 'creation' ? this.#row + 1 : 0;
    tally.inARow = Math.max(tally.inARow, this.#row);
  }

  #measure(): void {
    const { directory } = this.#store;
    let names: string[] = [];
    try {
      names = readdirSync(directory);
    } catch {
      // Killed before it made the folder.
    }
    for (const name of names) if (!OWN_NAME.test(name)) this.notes.push(`left behind: ${name}`);
    const bytes = names.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
    this.tally.files = Math.max(this.tally.files, names.length);
    this.tally.bytes = Math.max(this.tally.bytes, bytes);
  }

  /** The last opener of a store is let live: it opens, checks, writes and closes. */
  async #lastOpening(): Promise<void> {
    const victim = this.#next;
    await victim.ready();
    victim.start(this.#order('writing', 5));
    this.#next = new Victim(this.#program);
    const { lines, status } = await victim.end();
    this.#takeIn(lines);
    this.#measure();
    if (status !== 0) this.notes.push(`the last opener ended with ${status} after ${lines.at(-1)}`);
  }
}
