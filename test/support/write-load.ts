/*
 * Writers that never rest, and the history of what they committed: the state of the store after each of its commits,
 * so that whatever is read can be held against exactly one of them.
 */
import type { StorageEngine } from '../../src/engine/engine.ts';
import { isCode } from './watched.ts';

const encoder = new TextEncoder();

/** Contents of a store, by key. */
export type State = ReadonlyMap<string, Uint8Array>;

type Change = readonly [key: string, value: Uint8Array | undefined];

/** Random numbers that depend on the seed only. */
export function randomOf(seed: number): (below: number) => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

export interface LoadOptions {
  readonly seed: number;
  readonly writers?: number;
  readonly keys?: number;
  /** Longest value in bytes. */
  readonly longest?: number;
}

/** Every commit changes some keys, deletes a run of them now and then, and stamps one key with its own number. */
export class WriteLoad {
  readonly #engine: StorageEngine;
  readonly #random: (below: number) => number;
  readonly #keys: number;
  readonly #longest: number;
  readonly #writers: number;
  readonly #commits = new Map<number, readonly Change[]>();
  readonly #state = new Map<string, Uint8Array>();
  #at: number;
  #goesOn = true;
  #running: Promise<void>[] = [];
  #stamp = 0;
  conflicts = 0;

  constructor(engine: StorageEngine, { seed, writers = 4, keys = 600, longest = 20_000 }: LoadOptions) {
    this.#engine = engine;
    this.#random = randomOf(seed);
    this.#writers = writers;
    this.#keys = keys;
    this.#longest = longest;
    this.#at = engine.stats().sequence;
    for (const [key, value] of engine.scan()) this.#state.set(new TextDecoder().decode(key), value);
  }

  get commits(): number {
    return this.#commits.size;
  }

  start(): void {
    this.#goesOn = true;
    this.#running = Array.from({ length: this.#writers }, () => this.#write());
  }

  async stop(): Promise<void> {
    this.#goesOn = false;
    await Promise.all(this.#running);
  }

  /** One commit, now. */
  async once(): Promise<void> {
    const changes = this.#changes();
    const tx = this.#engine.beginTransaction();
    for (const [key, value] of changes) {
      if (value) tx.put(key, value);
      else tx.delete(key);
    }
    try {
      const { sequence } = await tx.commit();
      this.#commits.set(sequence, changes);
    } catch (error) {
      if (!isCode(error, 'CONFLICT')) throw error;
      ++this.conflicts;
    }
  }

  /** The state after a commit; ask in rising order. */
  stateAt(sequence: number): State {
    for (; this.#at < sequence; ++this.#at) {
      const changes = this.#commits.get(this.#at + 1);
      if (!changes) throw new Error(`nobody knows what commit ${this.#at + 1} was`);
      for (const [key, value] of changes) {
        if (value) this.#state.set(key, value);
        else this.#state.delete(key);
      }
    }
    if (this.#at > sequence) throw new Error(`the state after ${sequence} is gone`);
    return this.#state;
  }

  async #write(): Promise<void> {
    for (let i = 1; this.#goesOn; ++i) {
      await this.once();
      // In memory every promise settles at once: without this nothing else would ever have its turn.
      if (i % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #changes(): Change[] {
    const stamp = ++this.#stamp;
    const changes = new Map<string, Uint8Array | undefined>();
    for (let left = 1 + this.#random(8); left > 0; --left) changes.set(this.#key(), this.#value(stamp));
    if (this.#random(12) === 0) {
      const first = this.#random(this.#keys);
      for (let i = first; i < Math.min(first + 60, this.#keys); ++i) changes.set(nameOf(i), undefined);
    }
    changes.set(`stamp ${this.#random(4)}`, encoder.encode(`${stamp}`));
    return [...changes];
  }

  #key(): string {
    return nameOf(this.#random(this.#keys));
  }

  #value(stamp: number): Uint8Array {
    const bytes = encoder.encode(`${stamp} `);
    const length = this.#random(20) === 0 ? this.#random(this.#longest) : this.#random(300);
    const value = new Uint8Array(Math.max(bytes.length, length)).fill(stamp & 255);
    value.set(bytes);
    return value;
  }
}

function nameOf(index: number): string {
  return `key ${String(index).padStart(6, '0')}`;
}

/** What a store holds, and what is wrong with it: nothing, when it is exactly the state. */
export function differences(engine: StorageEngine, state: State): string[] {
  const found: string[] = [];
  let count = 0;
  for (const [key, value] of engine.scan()) {
    const name = new TextDecoder().decode(key);
    ++count;
    const expected = state.get(name);
    if (!expected) found.push(`${name} should not be there`);
    else if (Buffer.compare(expected, value) !== 0) found.push(`${name} has another value`);
  }
  if (count !== state.size) found.push(`${count} records, not ${state.size}`);
  return found.slice(0, 5);
}
