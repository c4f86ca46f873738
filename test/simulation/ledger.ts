/*
 * What many callers asked for and what each was told, and whether a store shows just that. The order of commits is not
 * known beforehand: it follows from when each was asked for and answered, and from the sequences that transactions are
 * told.
 *
 * 1. A commit of several writes leaves a mark of its own, which nobody writes again: so it is known whether it is there,
 *    and then all its writes are, in every tree, or what certainly or possibly came after them.
 * 2. One that was acknowledged is there; one that was refused is not; one that was never answered, or is unknown to the
 *    store itself, is there whole or not at all.
 * 3. A value that a later commit wrote over never comes back, and nobody's write is lost between two of a transaction
 *    that read the first and wrote the second.
 */
import { Violation } from './violation.ts';

/** A key in a tree, or a block. */
export type Place = string;

/** What became of a commit, as far as its caller knows. */
export type Fate = 'open' | 'done' | 'unknown' | 'refused';

/** The trees there are; the default one has the empty name. */
export const TREES: readonly string[] = ['', 'events', 'notes'];
/** Stands for the tree of blocks. */
const BLOCKS = '~blocks';

export function placeOf(tree: string, key: string): Place {
  return `${tree}\0${key}`;
}

export function blockPlace(id: number): Place {
  return placeOf(BLOCKS, String(id));
}

export function partsOf(place: Place): { readonly tree: string; readonly key: string } {
  const end = place.indexOf('\0');
  return { tree: place.slice(0, end), key: place.slice(end + 1) };
}

/** A commit that was asked for. */
export class Entry {
  readonly id: number;
  /** For people. */
  readonly what: string;
  /** What it writes; null: it deletes. */
  writes = new Map<Place, Buffer | null>();
  /** The tree it drops. */
  drops: string | undefined;
  /** What it read before it wrote a place: the number of the commit whose value lay there. */
  readonly read = new Map<Place, number>();
  asked: number;
  answered = Number.POSITIVE_INFINITY;
  fate: Fate = 'open';
  /** Bytes that its transaction has written so far, before it is known what it writes. */
  drafted = 0;
  sequence: number | undefined;
  /** A power cut cannot take it once it is acknowledged, nor what was acknowledged before it was asked for. */
  durable: boolean;
  /** The place of its mark. */
  mark: Place | undefined;

  constructor(id: number, what: string, asked: number, durable: boolean) {
    this.id = id;
    this.what = what;
    this.asked = asked;
    this.durable = durable;
  }

  toString(): string {
    return `commit ${this.id} (${this.what}, ${this.fate}${this.sequence === undefined ? '' : `, sequence ${this.sequence}`})`;
  }

  /** Whether it certainly came before another. */
  isBefore(other: Entry): boolean {
    if (this.sequence !== undefined && other.sequence !== undefined) return this.sequence < other.sequence;
    return this.answered < other.asked;
  }

  writesTo(place: Place): boolean {
    return this.writes.has(place) || (this.drops !== undefined && partsOf(place).tree === this.drops);
  }
}

/** Which commits a state must show, and which it may. */
export interface View {
  readonly what: string;
  must(entry: Entry): boolean;
}

/** What a store shows. */
export type Shown = ReadonlyMap<Place, Uint8Array>;

const noise = new Uint8Array(1 << 20);
for (let at = 0, state = 1; at < noise.length; at++) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  noise[at] = state >>> 24;
}

export class Ledger {
  readonly #entries: Entry[] = [];
  /** Commits that write a place by name, in the order they were asked for. */
  readonly #writers = new Map<Place, Entry[]>();
  readonly #drops: Entry[] = [];
  #tick = 0;
  /** What was acknowledged before this moment is durable. */
  #durableUntil = 0;
  /** Bytes that commits were to write so far, all lives together. */
  bytes = 0;
  /** Of the largest commit. */
  largest = 0;

  /** A moment. */
  now(): number {
    return ++this.#tick;
  }

  get count(): number {
    return this.#entries.length;
  }

  /** Commits that nobody has answered, in words. */
  get open(): string {
    return this.#entries.filter(({ fate }) => fate === 'open').join(', ');
  }

  /** A commit is about to be asked for. */
  begin(what: string, durable: boolean): Entry {
    const entry = new Entry(this.#entries.length + 1, what, this.now(), durable);
    this.#entries.push(entry);
    return entry;
  }

  /** A value that tells whose it is. */
  valueOf(entry: Entry, size: number): Buffer {
    const value = Buffer.alloc(Math.max(8, size), 'all work and no play ');
    if (entry.id % 2 === 0) {
      const from = (entry.id * 7919) % 500_000;
      for (let at = 8; at < size; at += 500_000)
        value.set(noise.subarray(from, from + Math.min(500_000, size - at)), at);
    }
    value.writeUInt32BE(entry.id, 0);
    value.writeUInt32BE(this.now(), 4);
    return value;
  }

  /** A transaction writes some bytes: they may be in the file long before it commits, and without its committing. */
  draft(entry: Entry, bytes: number): void {
    entry.drafted += bytes;
    this.bytes += bytes;
  }

  /** Says what a commit writes; again when a transaction is tried again. */
  enter(entry: Entry, writes: ReadonlyMap<Place, Buffer | null>): void {
    let bytes = 0;
    entry.writes = new Map(writes);
    for (const [place, value] of writes) {
      bytes += 64 + (value?.length ?? 0);
      const writers = this.#writers.get(place);
      if (writers === undefined) this.#writers.set(place, [entry]);
      else if (writers.at(-1) !== entry) writers.push(entry);
    }
    if (entry.drops !== undefined && !this.#drops.includes(entry)) this.#drops.push(entry);
    this.bytes += Math.max(0, bytes - entry.drafted);
    entry.drafted = 0;
    this.largest = Math.max(this.largest, bytes);
  }

  /** A commit was acknowledged. */
  acknowledge(entry: Entry, sequence?: number): void {
    entry.answered = this.now();
    entry.fate = 'done';
    entry.sequence = sequence;
    if (entry.durable) this.becameDurable(entry.asked);
  }

  /** A commit was refused, or nobody knows. */
  refuse(entry: Entry, fate: 'unknown' | 'refused'): void {
    entry.fate = fate;
    if (fate === 'refused') entry.answered = this.now();
  }

  /** All that was acknowledged before that moment is durable. */
  becameDurable(moment: number): void {
    this.#durableUntil = Math.max(this.#durableUntil, moment);
  }

  /** What everybody who asks the open store sees; and what the death of its process leaves, when there is a log. */
  get live(): View {
    return { what: 'the open store', must: ({ fate }) => fate === 'done' };
  }

  /** What a power cut leaves. */
  get durable(): View {
    const until = this.#durableUntil;
    return {
      what: 'after a power cut',
      must: ({ fate, durable, answered }) => fate === 'done' && (durable || answered < until),
    };
  }

  /** What a copy holds that was begun at a moment. */
  copyOf(moment: number): View {
    return { what: 'the copy', must: ({ fate, answered }) => fate === 'done' && answered < moment };
  }

  /** The value at a place as a number of a commit; 0: nobody's. */
  authorOf(value: Uint8Array | undefined): number {
    if (value === undefined || value.length < 8) return 0;
    return new DataView(value.buffer, value.byteOffset).getUint32(0);
  }

  /** @throws Violation unless a store shows what it must, and nothing that it may not. */
  judge(shown: Shown, view: View): void {
    const there = this.#marks(shown, view);
    const isSure = (entry: Entry): boolean => there.get(entry) ?? view.must(entry);
    const isPossible = (entry: Entry): boolean => there.get(entry) ?? entry.fate !== 'refused';
    for (const [place, value] of shown) {
      if (!this.#writers.has(place)) throw this.#broken(view, place, 'is there, and nobody wrote it', value);
    }
    for (const [place, named] of this.#writers) {
      const value = shown.get(place);
      const { tree } = partsOf(place);
      // One that was tried again may write other places than at first.
      const writers = [...named, ...this.#drops.filter(({ drops }) => drops === tree)].filter((entry) =>
        entry.writesTo(place),
      );
      if (value === undefined) this.#judgeAbsent(place, writers, view, isSure, isPossible);
      else this.#judgeValue(place, value, writers, view, isSure, isPossible);
      this.#judgeReads(place, writers, view, isSure);
    }
  }

  /** The store was opened again and shows this: so it is known what became of the commits nobody knew of. */
  settle(shown: Shown): void {
    for (const entry of this.#entries) {
      if (entry.answered === Number.POSITIVE_INFINITY) entry.answered = this.now();
      if (entry.fate === 'refused') continue;
      if (entry.mark !== undefined) entry.fate = shown.has(entry.mark) ? 'done' : 'refused';
      else if (entry.fate !== 'done' || !this.#isKept(entry)) {
        entry.fate = 'unknown';
        for (const [place, value] of entry.writes) {
          if (value === null) continue;
          const found = shown.get(place);
          entry.fate = found !== undefined && this.authorOf(found) === entry.id ? 'done' : 'refused';
        }
      }
    }
    this.#durableUntil = this.now();
  }

  #isKept({ durable, answered }: Entry): boolean {
    return durable || answered < this.#durableUntil;
  }

  /** Which commits with a mark are there. */
  #marks(shown: Shown, view: View): Map<Entry, boolean> {
    const there = new Map<Entry, boolean>();
    for (const entry of this.#entries) {
      if (entry.mark === undefined || !entry.writes.has(entry.mark)) continue;
      const isThere = shown.has(entry.mark);
      there.set(entry, isThere);
      if (isThere && entry.fate === 'refused') throw new Violation(`${view.what}: ${entry} is there`);
      if (!isThere && view.must(entry)) throw new Violation(`${view.what}: ${entry} is lost`);
    }
    return there;
  }

  #judgeValue(
    place: Place,
    value: Uint8Array,
    writers: readonly Entry[],
    view: View,
    isSure: (entry: Entry) => boolean,
    isPossible: (entry: Entry) => boolean,
  ): void {
    const id = this.authorOf(value);
    const author = writers.find((entry) => entry.id === id);
    const written = author?.writes.get(place);
    if (author === undefined || !written)
      throw this.#broken(view, place, 'has a value nobody wrote there', value);
    if (Buffer.compare(written, value) !== 0) {
      throw this.#broken(view, place, `has not the bytes that ${author} wrote`, value);
    }
    if (!isPossible(author))
      throw this.#broken(view, place, `has the value of ${author}, which is not there`);
    for (const other of writers) {
      if (other !== author && isSure(other) && author.isBefore(other)) {
        throw this.#broken(view, place, `has the value of ${author}, although ${other} came after it`);
      }
    }
  }

  #judgeAbsent(
    place: Place,
    writers: readonly Entry[],
    view: View,
    isSure: (entry: Entry) => boolean,
    isPossible: (entry: Entry) => boolean,
  ): void {
    for (const entry of writers) {
      if (!entry.writes.get(place) || !isSure(entry)) continue;
      const isExplained = writers.some(
        (other) => other !== entry && !other.writes.get(place) && isPossible(other) && !other.isBefore(entry),
      );
      if (!isExplained) throw this.#broken(view, place, `is missing, although ${entry} wrote it`);
    }
  }

  /** Nobody wrote between what a transaction read and what it wrote. */
  #judgeReads(place: Place, writers: readonly Entry[], view: View, isSure: (entry: Entry) => boolean): void {
    for (const entry of writers) {
      const read = entry.read.get(place);
      if (read === undefined || read === 0 || entry.sequence === undefined || !isSure(entry)) continue;
      const from = this.#entries[read - 1]!;
      if (from.sequence === undefined) continue;
      for (const other of writers) {
        if (other.sequence === undefined || other === entry || other === from || !isSure(other)) continue;
        if (from.sequence < other.sequence && other.sequence < entry.sequence) {
          throw this.#broken(view, place, `was read by ${entry} before ${other} wrote it`);
        }
      }
    }
  }

  #broken(view: View, place: Place, how: string, value?: Uint8Array): Violation {
    const { tree, key } = partsOf(place);
    const whose = value === undefined ? '' : ` (of commit ${this.authorOf(value)}, ${value.length} bytes)`;
    return new Violation(`${view.what}: ${key}${tree === '' ? '' : ` of ${tree}`} ${how}${whose}`);
  }
}
