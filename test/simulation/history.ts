/*
 * What was committed, in the order of the commits, and what of it must survive. A commit is entered before the store
 * hears of it, so its number is known to whoever cuts the power in the middle of it.
 *
 * `durable`: the last commit that a power cut may not take. `resolved`: the last one that the death of the process may
 * not take. `last`: the last one that was asked for. All commits before one of these are promised as it is.
 */
import { Violation } from './violation.ts';

export type Key = string;
export type Write = readonly [key: Key, value: Uint8Array | undefined];
/** Records in the order of their keys. */
type Records = readonly (readonly [key: Uint8Array, value: Uint8Array])[];

export class History {
  durable = 0;
  resolved = 0;
  /** The store after each commit. */
  readonly #states: Records[] = [[]];

  get last(): number {
    return this.#states.length - 1;
  }

  /** Enters a commit; answers its number. */
  commit(writes: readonly Write[]): number {
    const records = new Map(
      this.#states.at(-1)!.map((record) => [Buffer.from(record[0]).toString(), record]),
    );
    for (const [key, value] of writes) {
      if (value === undefined) records.delete(key);
      else records.set(key, [Buffer.from(key), value]);
    }
    this.#states.push([...records.values()].sort(([a], [b]) => Buffer.compare(a, b)));
    return this.last;
  }

  /** The keys of the newest state. */
  get keys(): Key[] {
    return this.#states.at(-1)!.map(([key]) => Buffer.from(key).toString());
  }

  /** A crash took everything after that commit; what an open store has shown stays. */
  goOnFrom(commit: number): void {
    this.#states.length = commit + 1;
    this.durable = commit;
    this.resolved = commit;
  }

  /** Throws unless these are the records as of a commit. */
  compare(commit: number, found: Iterable<readonly [Uint8Array, Uint8Array]>): void {
    const records = this.#states[commit];
    if (records === undefined) throw new Violation(`commit ${commit} was never asked for`);
    let at = 0;
    for (const [key, value] of found) {
      const expected = records[at++];
      const name = Buffer.from(key).toString();
      if (expected === undefined || Buffer.compare(expected[0], key) !== 0) {
        throw new Violation(`${name} is there, which is not the state after commit ${commit}`);
      }
      if (Buffer.compare(expected[1], value) !== 0) {
        throw new Violation(`${name} does not have its value of commit ${commit}`);
      }
    }
    if (at < records.length) {
      throw new Violation(`${Buffer.from(records[at]![0]).toString()} of commit ${commit} is missing`);
    }
  }
}
