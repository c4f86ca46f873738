/**
 * What the writer commits, and how to tell afterwards whether a store holds it whole.
 *
 * The writer runs a few lanes side by side, each a row of transactions one after the other; transaction n belongs to
 * lane n mod LANES. Its content follows from n alone, so the judge needs no copy of what was written:
 *
 * - parts under `ledger/n/`, new keys, two to eight of them and now and then more bytes than a group of the log holds;
 * - `latest/lane/…`, the same few keys for every transaction of a lane, each set to n.
 *
 * A store is sound when every transaction that is there is there with all its parts, every acknowledged one is there,
 * nothing is there that was never begun, and all latest keys of a lane name the newest of its transactions that is
 * there.
 */
import type { Entry, StorageEngine } from '../../index.ts';

/** Transactions under way at any moment. */
export const LANES = 8;
const LATEST_KEYS = 4;
const PARTS_MIN = 2;
const PARTS_VARY = 7;
// Not a multiple of LANES, so that every lane has large ones.
const LARGE_EVERY = 61;
const LARGE_PARTS = 6;
const LARGE_PART_LENGTH = 256 * 1024; // six of them outgrow a log group of 1 MiB
const SMALL_PART_VARY = 400; // characters

/** Everything transaction n writes, in order. */
export function transactionRecords(n: number): [key: string, value: string][] {
  const large = n % LARGE_EVERY === 0;
  const parts = large ? LARGE_PARTS : PARTS_MIN + (n % PARTS_VARY);
  const records = Array.from({ length: parts }, (_, part): [string, string] => {
    const length = large ? LARGE_PART_LENGTH : 20 + ((n * 31 + part * 97) % SMALL_PART_VARY);
    return [partKey(n, part), partText(n, part, length)];
  });
  for (let index = 0; index < LATEST_KEYS; ++index) records.push([latestKey(n % LANES, index), String(n)]);
  return records;
}

function partKey(n: number, part: number): string {
  return `ledger/${String(n).padStart(8, '0')}/${part}`;
}

function latestKey(lane: number, index: number): string {
  return `latest/${lane}/${index}`;
}

/** Text in which no two places are alike. */
function partText(n: number, part: number, length: number): string {
  const words: string[] = [];
  for (let size = 0; size < length; size += words.at(-1)!.length + 1) words.push(`${n}.${part}.${size}`);
  return words.join(' ').slice(0, length);
}

/** What the writer has said: which transactions it began, and which it was told are durable. */
export interface Claims {
  readonly begun: ReadonlySet<number>;
  readonly acknowledged: ReadonlySet<number>;
}

/** What a store holds of what was claimed. */
export interface Judgement {
  /** Transactions that are there with everything they wrote. */
  readonly whole: ReadonlySet<number>;
  /** Acknowledged transactions that are not, or not whole. */
  readonly lost: readonly number[];
  /** Transactions of which something is there and something missing or different. */
  readonly half: readonly number[];
  /** Keys that belong to no transaction that was begun. */
  readonly foreign: readonly string[];
}

/** Reads everything the writer can have written and compares it with what it claims. */
export function judgeLedger(store: Pick<StorageEngine, 'scan'>, { begun, acknowledged }: Claims): Judgement {
  const { whole, half, foreign } = judgeParts(store.scan({ prefix: 'ledger/' }), begun);
  const newest = newestOfLanes([...whole, ...half]);
  for (const [lane, named] of latestNumbers(store.scan({ prefix: 'latest/' }), begun, foreign)) {
    const last = newest.get(lane);
    const expected = last === undefined ? 0 : LATEST_KEYS;
    if (named.length === expected && named.every((n) => n === last)) continue;
    // The latest keys are parts of the newest transaction, and of whatever they name.
    if (last !== undefined) whole.delete(last);
    for (const n of [...named, ...(last === undefined ? [] : [last])]) if (!whole.has(n)) half.add(n);
  }
  const lost = [...acknowledged].filter((n) => !whole.has(n));
  return { whole, lost, half: [...half], foreign };
}

function newestOfLanes(numbers: readonly number[]): Map<number, number> {
  const newest = new Map<number, number>();
  for (const n of numbers) newest.set(n % LANES, Math.max(n, newest.get(n % LANES) ?? n));
  return newest;
}

/** Sorts the transactions that left parts into whole and half ones. */
function judgeParts(scan: Iterable<Entry>, begun: ReadonlySet<number>) {
  const whole = new Set<number>();
  const half = new Set<number>();
  const foreign: string[] = [];
  const decoder = new TextDecoder();
  let expected: Map<string, string> | undefined;
  let current = -1;
  const finish = () => {
    if (expected && expected.size > 0) half.add(current);
    if (expected && !half.has(current)) whole.add(current);
  };
  for (const [keyBytes, value] of scan) {
    const key = decoder.decode(keyBytes);
    const n = Number(key.split('/')[1]);
    if (n !== current) {
      finish();
      current = n;
      expected = begun.has(n) ? expectedParts(n) : undefined;
    }
    const text = expected?.get(key);
    if (text === undefined) foreign.push(key);
    else if (text !== decoder.decode(value)) half.add(n);
    expected?.delete(key);
  }
  finish();
  return { whole, half, foreign };
}

function expectedParts(n: number): Map<string, string> {
  return new Map(transactionRecords(n).slice(0, -LATEST_KEYS));
}

/** Which transactions the latest keys of every lane name. */
function latestNumbers(
  scan: Iterable<Entry>,
  begun: ReadonlySet<number>,
  foreign: string[],
): Map<number, number[]> {
  const lanes = new Map<number, number[]>(Array.from({ length: LANES }, (_, lane) => [lane, []]));
  const decoder = new TextDecoder();
  for (const [keyBytes, value] of scan) {
    const key = decoder.decode(keyBytes);
    const n = Number(decoder.decode(value));
    const lane = n % LANES;
    if (begun.has(n) && key.startsWith(`latest/${lane}/`)) lanes.get(lane)!.push(n);
    else foreign.push(key);
  }
  return lanes;
}
