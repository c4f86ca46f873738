/*
 * A store through many lives on a disk that lies: power cuts at any call, syncs that fail while the cache goes on
 * showing what is lost, and superblocks that are torn or rot. At every call a state that a power cut could leave is
 * kept, and opened later: it must hold one prefix of the commits, with everything that was answered, and be sound.
 *
 * A sector of 512 bytes is never torn here but for a superblock's: a slot that was written and not synced since, or
 * whose sync failed, may hold anything. And one slot may rot when the other one is whole.
 */
import { describe, expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { SimulatedCall } from '../../src/backend/simulated-faults.ts';
import { AegisError } from '../../src/base/errors.ts';
import { createCore } from '../../src/core/wasm.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { decodeSuperblock, SLOT_POSITIONS } from '../../src/store/superblock.ts';
import { seed, sized } from '../support/seed.ts';
import { Random } from '../wal/random.ts';

/** Stores in each way of life; each has so many lives. */
const ROUNDS = Number(process.env['ROUNDS'] ?? sized(1, 2, 400));
const LIVES = 4;
/** Keys of a store: four times what the smallest pool holds. */
const KEYS = 240;
/** A state is kept at one call in so many. */
const KEPT = 25;

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const probe = createCore({ pageSize: 4096, frames: 1, storeId: [0, 0] });

type Writes = [key: string, value: string | undefined][];

/** What a power cut left, and the last commit that it must hold. */
interface Left {
  readonly disk: SimulatedBackend;
  readonly sure: number;
  readonly history: readonly Writes[];
  readonly when: string;
}

interface Way {
  readonly name: string;
  readonly log: boolean;
  /** The program never yields: checkpoints run blocking. */
  readonly blocking: boolean;
  readonly lies: boolean;
  /** Things done in a life, and stores to the round. */
  readonly steps: number;
  readonly stores: number;
  /** Longest value of a batch. */
  readonly most: number;
}

class Lives {
  readonly #way: Way;
  readonly #random: Random;
  #disk: SimulatedBackend;
  #db!: StorageEngine;
  #history: Writes[] = [];
  /** Last commit that a power cut, and that the death of the process, must leave. */
  #sure = { power: 0, process: 0 };
  #salt = 0;
  #left: Left[] = [];
  /** Slots whose bytes on the device nobody knows, and those of them that a sync may still settle. */
  #unsure = new Set<number>();
  #written = new Set<number>();
  #failed = false;
  /** Which file's sync will fail, and after how many. */
  #failing = '';
  #syncsLeft = -1;
  /** Syncs of the data file: one is under way; one has failed, so that none after it says anything. */
  #syncing = false;
  #dataFailed = false;
  #life = 0;
  states = 0;

  constructor(way: Way, number: number) {
    this.#way = way;
    this.#random = new Random(number);
    this.#disk = new SimulatedBackend({ seed: number });
  }

  async run(): Promise<void> {
    for (let life = 0; life < LIVES; life++) {
      this.#watch();
      if (this.#way.lies && this.#random.chance(0.3)) this.#failOne();
      try {
        await this.#open();
        await this.#work();
      } catch (error) {
        if (!this.#failed || !isFailure(error)) throw error;
      }
      await this.#checkLeft();
      this.#end();
    }
  }

  // --- watching the disk ----------------------------------------------------------------------------------------

  #watch(): void {
    this.#failed = false;
    this.#syncing = false;
    this.#dataFailed = false;
    this.#written.clear();
    this.#disk.onCall = (call) => this.#called(call);
    this.#disk.plan = (call) => this.#planned(call);
    this.#syncsLeft = -1;
  }

  #called({ operation, file, position, length, number }: SimulatedCall): void {
    if (!['write', 'sync', 'syncSync', 'truncate', 'syncDirectory', 'remove', 'open'].includes(operation))
      return;
    if (file === 'data' && operation === 'write') {
      for (const [slot, at] of SLOT_POSITIONS.entries()) {
        if (position > at || position + length <= at) continue;
        this.#unsure.add(slot);
        this.#written.add(slot);
      }
    }
    const ended = operation === 'sync' || operation === 'syncSync';
    if (file === 'data' && ended) this.#syncing = false;
    if (file === 'data' && ended && !this.#dataFailed) {
      for (const slot of this.#written) this.#unsure.delete(slot);
      this.#written.clear();
    }
    const aboutSlots = file === 'data' && (ended || length === 512 || this.#syncing);
    const isRare = aboutSlots || operation === 'syncDirectory' || operation === 'truncate';
    if (this.#random.below(isRare ? 2 : this.#way.blocking ? 6 * KEPT : KEPT) === 0)
      this.#keep(`call ${number}, ${operation} ${file}`);
  }

  /** Keeps what a power cut now may leave. */
  #keep(when: string): void {
    const disk = this.#disk.crash();
    const names = disk.list();
    let what = '';
    if (names.includes('data')) {
      for (const slot of this.#unsure) {
        // A store that has no other slot yet was not there before.
        if (!this.#random.chance(0.4) || this.#isEmpty(disk, 1 - slot)) continue;
        what += this.#spoil(disk, slot, 'torn');
      }
      const slot = this.#random.below(2);
      if (this.#random.chance(0.3) && this.#isWhole(disk, 1 - slot))
        what += this.#spoil(disk, slot, 'rotten');
    }
    this.#left.push({ disk, sure: this.#sure.power, history: [...this.#history], when: when + what });
  }

  #slot(disk: SimulatedBackend, slot: number): Uint8Array {
    const bytes = new Uint8Array(512);
    const file = disk.open('data', { create: false });
    const length = file.read(bytes, SLOT_POSITIONS[slot]!);
    file.close();
    return bytes.subarray(0, length);
  }

  #isEmpty(disk: SimulatedBackend, slot: number): boolean {
    return this.#slot(disk, slot).every((byte) => byte === 0);
  }

  #isWhole(disk: SimulatedBackend, slot: number): boolean {
    const content = decodeSuperblock(probe, this.#slot(disk, slot));
    return 'superblock' in content && content.superblock.generation > 0;
  }

  #spoil(disk: SimulatedBackend, slot: number, how: string): string {
    if (this.#isEmpty(disk, slot)) return '';
    disk.rot('data', SLOT_POSITIONS[slot]! * 8 + 128 + this.#random.below(1024));
    return `, slot ${slot} ${how}`;
  }

  async #checkLeft(): Promise<void> {
    for (const { disk, sure, history, when } of this.#left.splice(0)) {
      this.states++;
      try {
        const db = await this.#openOn(disk);
        compare(db, sure, history);
        expect((await db.verify()).problems).toEqual([]);
        await db.close();
      } catch (error) {
        throw new Error(`a power cut after ${when}: ${error}`, { cause: error });
      }
    }
  }

  // --- lives ----------------------------------------------------------------------------------------------------

  #openOn(disk: SimulatedBackend): Promise<StorageEngine> {
    return StorageEngine.open({
      backend: disk,
      pageSize: 4096,
      bufferPoolSize: 16 * 4096,
      compression: 'none',
      walEnabled: this.#way.log,
      checkpointWalSize: '512KB',
    });
  }

  async #open(): Promise<void> {
    this.#db = await this.#openOn(this.#disk);
    const found = compare(this.#db, this.#sure.process, this.#history);
    this.#history.length = found;
    this.#sure = { power: found, process: found };
  }

  #end(): void {
    // The disk goes on with what the lost engine may still do; the next life has a copy.
    const disk = this.#disk;
    disk.onCall = undefined;
    this.#life++;
    const forgets = this.#random.chance(0.3);
    if (this.#random.chance(0.3)) {
      this.#disk = disk.crash();
      this.#unsure.clear();
      this.#sure.process = this.#sure.power;
      return;
    }
    this.#disk = disk.kill({ dropCache: forgets });
    if (!forgets || !this.#failed) return;
    this.#sure.process = this.#sure.power;
    // What the next life reads is what the device has.
    if (this.#dataFailed) this.#unsure.clear();
  }

  /** A sync of some file fails soon: what it was to save is lost, and the cache goes on showing it. */
  #failOne(): void {
    this.#failing = this.#random.chance(0.7) ? 'data' : 'log-';
    this.#syncsLeft = 1 + this.#random.below(3);
  }

  #planned({ operation, file }: SimulatedCall): { errno: 'EIO' } | undefined {
    if (operation !== 'sync' && operation !== 'syncSync') return undefined;
    if (file === 'data') this.#syncing = true;
    if (!file.startsWith(this.#failing) || --this.#syncsLeft !== 0) return undefined;
    this.#failed = true;
    if (file === 'data') this.#dataFailed = true;
    return { errno: 'EIO' };
  }

  async #work(): Promise<void> {
    const random = this.#random;
    const running: Promise<unknown>[] = [];
    const { steps } = this.#way;
    const fate = this.#way.lies ? random.below(steps) : -1;
    try {
      for (let step = 0; step < steps; step++) {
        if (step === fate) {
          this.#failOne();
          running.push(this.#checkpoint());
        }
        const what = random.below(100);
        if (what < 8) running.push(this.#checkpoint());
        else if (what < 14) await Promise.all(running.splice(0));
        else if (this.#way.blocking && what < 15) this.#blockingRun();
        else if (what < 40) this.#relaxed();
        else if (what < 70) running.push(this.#put());
        else this.#batch(1 + random.below(12), this.#way.most);
        if (random.chance(0.4)) await this.#pass();
      }
      await Promise.all(running);
    } catch (error) {
      if (!this.#failed || !isFailure(error)) throw error;
    }
    await Promise.allSettled(running);
  }

  /** Lets a moment pass. */
  #pass(): Promise<void> {
    return new Promise((resolve) => void this.#disk.host.later(this.#random.below(4), resolve));
  }

  async #checkpoint(): Promise<void> {
    const { sequence } = await this.#db.checkpoint();
    this.#is(sequence, true);
  }

  #is(sequence: number, durable: boolean): void {
    this.#sure.process = Math.max(this.#sure.process, this.#way.log || durable ? sequence : 0);
    if (durable) this.#sure.power = Math.max(this.#sure.power, sequence);
  }

  #writes(count: number, most: number): Writes {
    const random = this.#random;
    return Array.from({ length: count }, () => {
      const key = `key ${random.below(KEYS)}`;
      if (random.chance(0.1)) return [key, undefined];
      const word = `${++this.#salt} `;
      return [key, word.repeat(1 + random.below(most / word.length))];
    });
  }

  async #put(): Promise<void> {
    const [[key, value]] = this.#writes(1, 900) as [Writes[number]];
    const sequence = this.#history.push([[key, value]]);
    await (value === undefined ? this.#db.delete(key) : this.#db.put(key, value));
    this.#is(sequence, this.#way.log);
  }

  #batch(count: number, most: number): void {
    const writes = this.#writes(count, most);
    const sequence = this.#history.push(writes);
    this.#db.batchSync(
      writes.map(([key, value]) =>
        value === undefined ? { type: 'delete', key } : { type: 'put', key, value },
      ),
    );
    this.#is(sequence, this.#way.log);
  }

  #relaxed(): void {
    // A key of its own: nothing that is queued can conflict.
    const key = `relaxed ${++this.#salt}`;
    const tx = this.#db.beginTransaction();
    tx.put(key, key);
    const sequence = this.#history.push([[key, key]]);
    const life = this.#life;
    tx.commit({ sync: false }).then(
      () => life === this.#life && this.#is(sequence, false),
      () => undefined,
    );
  }

  /** Writes on and on without yielding until a checkpoint must have run. */
  #blockingRun(): void {
    const { checkpoints } = this.#db.stats();
    for (let i = 0; i < 200 && this.#db.stats().checkpoints === checkpoints; i++) this.#batch(8, 9000);
  }
}

/** What a store answers whose disk has failed. */
function isFailure(error: unknown): boolean {
  const codes = ['STORE_FAILED', 'COMMIT_UNKNOWN', 'IO_ERROR'];
  return error instanceof AegisError && codes.includes(error.code);
}

/** Compares a store with what it must hold; answers its last commit. */
function compare(db: StorageEngine, least: number, history: readonly Writes[]): number {
  const { sequence } = db.stats();
  if (sequence < least || sequence > history.length) {
    throw new Error(`commit ${sequence} is the last; ${least} is sure, ${history.length} the last written`);
  }
  const content = new Map<string, string>();
  for (const writes of history.slice(0, sequence)) {
    for (const [key, value] of writes) {
      if (value === undefined) content.delete(key);
      else content.set(key, value);
    }
  }
  const found = new Map([...db.scan()].map(([key, value]) => [text(key), text(value)]));
  if (found.size !== content.size) {
    throw new Error(`${found.size} records as of commit ${sequence}, must be ${content.size}`);
  }
  for (const [key, value] of content) {
    if (found.get(key) !== value) throw new Error(`${key} is not what it was as of commit ${sequence}`);
  }
  return sequence;
}

const usual = { log: true, blocking: false, lies: false, steps: sized(20, 60, 60), stores: 1, most: 300 };

const WAYS: readonly Way[] = [
  { ...usual, name: 'promises' },
  { ...usual, name: 'promises and lies', lies: true },
  { ...usual, name: 'short lives and lies', lies: true, steps: 6, stores: sized(5, 10, 10) },
  { ...usual, name: 'long logs', most: 9000 },
  { ...usual, name: 'blocking', blocking: true },
  { ...usual, name: 'no log', log: false, lies: true },
];

describe('lives', () => {
  test.each(WAYS)(
    'engine: whatever a lying disk and the power do, what was answered is there: $name',
    {
      timeout: 7_200_000,
    },
    async (way) => {
      let states = 0;
      for (let round = 0; round < ROUNDS * way.stores; round++) {
        const lives = new Lives(way, seed * 1009 + round);
        try {
          await lives.run();
        } catch (error) {
          throw new Error(`SEED=${seed} round ${round} of "${way.name}": ${error}`, { cause: error });
        }
        states += lives.states;
      }
      expect(states).toBeGreaterThan(ROUNDS * sized(7, 20, 20));
    },
  );
});
