/*
 * What a story wrote and was told, and what any later reader must therefore find: one of the states after the last
 * commit that must have survived, never half a commit, never one that was refused.
 *
 * A value says who wrote it. So the state of a store is a map from keys to numbers of commits.
 */

/** A commit and what its caller was told. */
export interface Commit {
  readonly number: number;
  /** Sizes of the values; undefined: a deletion. */
  readonly writes: ReadonlyMap<string, number | undefined>;
  outcome: 'pending' | 'kept' | 'refused' | 'unknown';
}

/** Number of the commit that wrote each key's value. */
export type State = ReadonlyMap<string, number>;

/** What a state is read from. */
export interface Readable {
  scan(): Iterable<[key: Uint8Array, value: Uint8Array]>;
}

const cache = new Map<string, Buffer>();

/** The value a commit writes. */
export function valueBy(number: number, size: number): Buffer {
  const name = `${number}/${size}`;
  let value = cache.get(name);
  if (!value) {
    value = Buffer.alloc(size);
    let state = number * 2_654_435_761 + size;
    for (let at = 0; at < size; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      // Half of it compresses.
      value[at] = at % 64 < 32 ? state >>> 24 : 32;
    }
    value.write(`${number};`);
    cache.set(name, value);
  }
  return value;
}

export class History {
  readonly commits: Commit[] = [];
  /** Commits, counted from the first, that the death of the process must leave. */
  floor = 0;
  /** As `floor`, for a power cut. */
  cutFloor = 0;

  begin(writes: ReadonlyMap<string, number | undefined>): Commit {
    const commit: Commit = { number: this.commits.length + 1, writes, outcome: 'pending' };
    this.commits.push(commit);
    return commit;
  }

  /** Everything up to a commit survives the death of the process; `cut`: and a power cut. */
  survives(count: number, cut: boolean): void {
    this.floor = Math.max(this.floor, count);
    if (cut) this.cutFloor = Math.max(this.cutFloor, count);
  }

  /** What a reader of the process that writes sees. */
  visible(): State {
    return this.#after(this.commits.length, (commit) => commit.outcome === 'kept');
  }

  /**
   * How many commits a state holds; undefined when it is none that can be. Of those that may or may not have survived
   * only a first part can have, as they were made in order.
   */
  find(state: State, least: number): number | undefined {
    for (let count = this.commits.length; count >= least; count--) {
      if (
        sameState(
          state,
          this.#after(count, ({ outcome }) => outcome !== 'refused'),
        )
      )
        return count;
    }
    return undefined;
  }

  /** A new process found so many commits: that settles what became of each. */
  resolve(count: number): void {
    for (const [index, commit] of this.commits.entries()) {
      if (index >= count) commit.outcome = 'refused';
      else if (commit.outcome !== 'refused') commit.outcome = 'kept';
    }
    this.floor = Math.min(this.floor, count);
    this.survives(count, true);
  }

  #after(count: number, included: (commit: Commit) => boolean): Map<string, number> {
    const state = new Map<string, number>();
    for (const commit of this.commits.slice(0, count)) {
      if (!included(commit)) continue;
      for (const [key, size] of commit.writes) {
        if (size === undefined) state.delete(key);
        else state.set(key, commit.number);
      }
    }
    return state;
  }

  /** Reads a store's state; throws when a value is none that was ever written to its key. */
  stateOf(store: Readable): State {
    const state = new Map<string, number>();
    for (const [bytes, value] of store.scan()) {
      const key = Buffer.from(bytes).toString();
      state.set(key, this.writerOf(key, value));
    }
    return state;
  }

  /** The commit that wrote a value. */
  writerOf(key: string, value: Uint8Array): number {
    const head = Buffer.from(value.buffer, value.byteOffset, Math.min(12, value.length)).toString('latin1');
    const number = Number.parseInt(head, 10);
    const size = this.commits[number - 1]?.writes.get(key);
    if (size === undefined || !valueBy(number, size).equals(value)) {
      throw new Error(`${key} holds ${value.length} bytes that nobody wrote: ${head}`);
    }
    return number;
  }
}

export function sameState(some: State, others: State): boolean {
  if (some.size !== others.size) return false;
  for (const [key, number] of some) if (others.get(key) !== number) return false;
  return true;
}

/** Two states beside each other, for a message: where they differ. */
export function difference(found: State, expected: State): string {
  const keys = new Set([...found.keys(), ...expected.keys()]);
  return [...keys]
    .filter((key) => found.get(key) !== expected.get(key))
    .map((key) => `${key}: ${found.get(key)}, not ${expected.get(key)}`)
    .join('; ');
}
