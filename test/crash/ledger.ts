/*
 * What the killed writer writes, so that anybody can tell from a store alone whether it is right. Several lanes write
 * side by side; transaction n of a lane sets the lane's counter to n and changes some of its slots, and what it
 * changes follows from the lane and n alone. So a lane whose counter says c must look exactly as transactions 1 to c
 * leave it: a slot that does not is half a transaction, a counter below what was acknowledged is a lost one.
 */
import { Random } from '../wal/random.ts';

export const LANES = 4;
const SLOTS = 24;
/** Slots of a lane that may hold a long value; few, so that the store stays small. */
const LONG_SLOTS = 3;
const LONG_SIZE = 100 * 1024; // bytes
const COUNTER_SIZE = 8; // bytes

/** How a transaction is written. */
export const KINDS = [
  'put',
  'batch',
  'transaction',
  'commit',
  'serializable',
  'putSync',
  'batchSync',
  'commitSync',
] as const;

export type Kind = (typeof KINDS)[number];

/** One slot a transaction changes; without a size it removes it. */
export interface Change {
  readonly slot: number;
  readonly size: number | undefined;
}

/** What transaction n of a lane does; slots are distinct. */
export interface Plan {
  readonly kind: Kind;
  readonly changes: readonly Change[];
}

/** The part of a store that the check needs. */
export interface Readable {
  get(key: string): Uint8Array | undefined;
  scan(): IterableIterator<[key: Uint8Array, value: Uint8Array]>;
}

export function counterKey(lane: number): string {
  return `counter/${lane}`;
}

export function slotKey(lane: number, slot: number): string {
  return `lane/${lane}/${String(slot).padStart(3, '0')}`;
}

export function counterValue(n: number): Uint8Array {
  const bytes = new Uint8Array(COUNTER_SIZE);
  new DataView(bytes.buffer).setFloat64(0, n);
  return bytes;
}

/** Last transaction of a lane that a store holds. */
export function counterOf(store: Readable, lane: number): number {
  const bytes = store.get(counterKey(lane));
  if (bytes === undefined) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, COUNTER_SIZE).getFloat64(0);
}

/** What a lane's transaction does; `blocking`: by a call that does not yield. */
export function planOf(lane: number, n: number, blocking = false): Plan {
  const random = new Random(n * LANES + lane);
  const kind = KINDS[random.below(KINDS.length)]!;
  // Now and then one that needs several log groups.
  const large = random.chance(0.01);
  const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
  const count = kind === 'put' || kind === 'putSync' ? 0 : large ? SLOTS : 1 + random.below(6);
  const changes: Change[] = [];
  for (let i = 0; i < count; i++) {
    const [slot] = slots.splice(random.below(slots.length), 1);
    changes.push({ slot: slot!, size: sizeFor(random, slot!, large) });
  }
  return { kind: blocking ? blockingTwin(kind) : kind, changes };
}

function sizeFor(random: Random, slot: number, large: boolean): number | undefined {
  if (random.chance(0.15)) return undefined;
  if (slot < LONG_SLOTS && random.chance(0.5)) return LONG_SIZE - random.below(2000);
  if (large) return 12_000 + random.below(4000);
  return random.chance(0.2) ? random.below(5000) : random.below(300);
}

function blockingTwin(kind: Kind): Kind {
  if (kind === 'put') return 'putSync';
  if (kind === 'batch') return 'batchSync';
  return kind === 'putSync' || kind === 'batchSync' ? kind : 'commitSync';
}

/** The value transaction n puts into a slot: no other one puts the same. */
export function valueFor(lane: number, n: number, { slot, size = 0 }: Change): Uint8Array {
  const words = new Uint32Array((size + 3) >> 2);
  let state = (Math.imul(n * LANES + lane, 2_654_435_761) ^ Math.imul(slot + 1, 40_503)) >>> 0 || 1;
  // Half of them compress.
  const mask = n % 2 === 0 ? 0xffffffff : 0x03030303;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state & mask;
  }
  return new Uint8Array(words.buffer, 0, size);
}

/** What is wrong with a store, one line each; `acknowledged`: the last answered transaction of every lane. */
export function checkLedger(store: Readable, acknowledged: readonly number[]): string[] {
  const problems: string[] = [];
  const expected = new Map<string, Uint8Array>();
  for (let lane = 0; lane < LANES; lane++) {
    const counter = counterOf(store, lane);
    const least = acknowledged[lane] ?? 0;
    if (counter < least) problems.push(`lost: lane ${lane} is at ${counter}, ${least} was acknowledged`);
    if (counter > 0) expected.set(counterKey(lane), counterValue(counter));
    for (const [slot, [n, change]] of lastChanges(lane, counter)) {
      if (change.size !== undefined) expected.set(slotKey(lane, slot), valueFor(lane, n, change));
    }
  }
  const decoder = new TextDecoder();
  for (const [bytes, value] of store.scan()) {
    const key = decoder.decode(bytes);
    const wanted = expected.get(key);
    expected.delete(key);
    if (wanted === undefined) problems.push(`half: ${key} should not be there`);
    else if (Buffer.compare(wanted, value) !== 0) problems.push(`half: ${key} holds another value`);
  }
  for (const key of expected.keys()) problems.push(`half: ${key} is missing`);
  return problems;
}

/** For every slot ever changed up to a transaction, the last change and its number. */
function lastChanges(lane: number, counter: number): Map<number, [n: number, change: Change]> {
  const last = new Map<number, [number, Change]>();
  for (let n = counter; n > 0 && last.size < SLOTS; n--) {
    for (const change of planOf(lane, n).changes)
      if (!last.has(change.slot)) last.set(change.slot, [n, change]);
  }
  return last;
}
