/*
 * What a store must answer, kept the plain way: every key with all its values and the commit each came with, in a
 * sorted array. Keys are strings of one character a byte, so that the order of strings is the order of bytes.
 *
 * A range is answered by asking every key of it every question; it shares no thought with the engine's bounds.
 */
import type { RangeOptions } from '../../src/store/range.ts';

export type ModelValue = Uint8Array | undefined;
export type Writes = ReadonlyMap<string, ModelValue>;
export type ModelEntry = [key: string, value: Uint8Array];

/** Range options whose keys are model keys. */
export type ModelRange = Omit<RangeOptions, 'gt' | 'gte' | 'lt' | 'lte' | 'prefix'> & {
  gt?: string;
  gte?: string;
  lt?: string;
  lte?: string;
  prefix?: string;
};

interface Version {
  readonly sequence: number;
  readonly value: ModelValue;
}

export class StoreModel {
  /** Last commit. */
  sequence = 0;
  #keys: string[] = [];
  readonly #versions = new Map<string, Version[]>();

  /** Keys that are or were there. */
  get keyCount(): number {
    return this.#keys.length;
  }

  keyAt(index: number): string {
    return this.#keys[index] as string;
  }

  /** Commits writes (undefined: a deletion); answers the commit's number. */
  commit(writes: Iterable<readonly [string, ModelValue]>): number {
    const sequence = ++this.sequence;
    for (const [key, value] of writes) {
      let versions = this.#versions.get(key);
      if (!versions) {
        versions = [];
        this.#versions.set(key, versions);
        this.#keys.splice(this.#lowest(key), 0, key);
      }
      if (versions[versions.length - 1]?.sequence === sequence) versions.pop();
      versions.push({ sequence, value });
    }
    return sequence;
  }

  /** Value of a key as of a commit. */
  read(key: string, sequence: number): ModelValue {
    const versions = this.#versions.get(key);
    if (!versions) return undefined;
    for (let i = versions.length - 1; i >= 0; --i) {
      const version = versions[i] as Version;
      if (version.sequence <= sequence) return version.value;
    }
    return undefined;
  }

  /** Whether a commit after that one wrote a key. */
  changedSince(key: string, sequence: number): boolean {
    const versions = this.#versions.get(key);
    return versions !== undefined && (versions[versions.length - 1] as Version).sequence > sequence;
  }

  /** Whether a commit after that one wrote any key of a range, whatever its limit. */
  rangeChangedSince(range: ModelRange, sequence: number): boolean {
    return this.#candidates(range).some((key) => inRange(key, range) && this.changedSince(key, sequence));
  }

  /** The records of a range as of a commit, with a transaction's own writes over them. */
  range(range: ModelRange, sequence: number, own?: Writes): ModelEntry[] {
    let keys = this.#candidates(range);
    if (own && own.size > 0) {
      const fresh = [...own.keys()].filter((key) => !this.#versions.has(key));
      keys = fresh.length === 0 ? keys : [...keys, ...fresh].sort(byOrder);
    }
    const entries: ModelEntry[] = [];
    const limit = range.limit ?? Number.POSITIVE_INFINITY;
    const step = range.reverse ? -1 : 1;
    for (let i = range.reverse ? keys.length - 1 : 0; i >= 0 && i < keys.length; i += step) {
      if (entries.length >= limit) break;
      const key = keys[i] as string;
      if (!inRange(key, range)) continue;
      const value = own?.has(key) ? own.get(key) : this.read(key, sequence);
      if (value) entries.push([key, value]);
    }
    return entries;
  }

  /** Forgets every commit after that one: what a crash took. */
  rewind(sequence: number): void {
    this.sequence = sequence;
    for (const [key, versions] of this.#versions) {
      while ((versions.at(-1)?.sequence ?? 0) > sequence) versions.pop();
      if (versions.length === 0) this.#versions.delete(key);
    }
    this.#keys = this.#keys.filter((key) => this.#versions.has(key));
  }

  /** Forgets what nobody asks for any more: values older than the ones that commit left. */
  forget(oldest: number): void {
    let gone = false;
    for (const [key, versions] of this.#versions) {
      let keep = versions.length - 1;
      while (keep > 0 && (versions[keep] as Version).sequence > oldest) --keep;
      if (keep > 0) versions.splice(0, keep);
      const [only] = versions;
      if (versions.length === 1 && only?.value === undefined && (only as Version).sequence <= oldest) {
        this.#versions.delete(key);
        gone = true;
      }
    }
    if (gone) this.#keys = this.#keys.filter((key) => this.#versions.has(key));
  }

  /** The keys from the highest lower bound to the lowest upper bound, whatever else is asked of them. */
  #candidates({ gt, gte, lt, lte }: ModelRange): string[] {
    const lowers = [gt, gte].filter((key) => key !== undefined);
    const uppers = [lt, lte].filter((key) => key !== undefined);
    const from = Math.max(0, ...lowers.map((key) => this.#lowest(key)));
    const to = Math.min(this.#keys.length, ...uppers.map((key) => this.#lowest(key) + 1));
    return this.#keys.slice(from, Math.max(from, to));
  }

  /** Index of the first key from that one on. */
  #lowest(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Whether a range's bounds, all together, admit a key. */
export function inRange(key: string, { gt, gte, lt, lte, prefix }: ModelRange): boolean {
  return (
    (gt === undefined || key > gt) &&
    (gte === undefined || key >= gte) &&
    (lt === undefined || key < lt) &&
    (lte === undefined || key <= lte) &&
    (prefix === undefined || key.startsWith(prefix))
  );
}

function byOrder(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Bytes of a model key. */
export function keyBytes(key: string): Uint8Array {
  return new Uint8Array(Buffer.from(key, 'latin1'));
}

/** Model key of bytes. */
export function keyText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
