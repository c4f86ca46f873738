/*
 * The white-box checker: with the numbers of commits known, a history is replayed and every read compared. It shares
 * no code with the engine.
 *
 * 1. Commits have gap-free numbers in the order they were called; single operations, whose numbers are not told, fill
 *    the gaps.
 * 2. Everything a transaction reads is one committed state plus its own writes: the state it was told when it began,
 *    or, if it was told none, any one state. That state holds every commit answered before it began, and none called
 *    after.
 * 3. First committer wins: no other commit wrote a key of its write set between its snapshot and its commit.
 * 4. A `serializable` transaction that wrote has read what it would read just before its own commit: the serial order
 *    is the order of commits. One that wrote nothing reads a prefix of that order (by 2).
 * 5. A refusal has a reason: something it wrote, or as `serializable` read, was committed or on its way meanwhile.
 *    Single operations are never refused.
 * 6. Aborted and refused writes are seen by nobody (2 says so: they are in no state).
 * 7. After a crash the store is the state of one commit: at or after the last answered one when the process died, at
 *    or after the last durable one when the power went; and nobody has seen a durable commit that did not survive.
 */
import type { Epoch, History, HistoryRange, Operation, Recorded, Violation } from './history.ts';

const ENOUGH = 20;

/** The states a key went through. */
interface Versions {
  readonly sequences: number[];
  readonly values: (string | undefined)[];
}

/** Violations of the rules above; the first of them at most. */
export function checkWhiteBox(history: History): Violation[] {
  const checker = new WhiteBox();
  history.epochs.forEach((epoch, index) => {
    const next = history.epochs[index + 1];
    const found = next
      ? { state: next.initial, sequence: next.base }
      : { state: history.final.state, sequence: history.final.sequence };
    checker.epoch(epoch, found);
  });
  return checker.violations.slice(0, ENOUGH);
}

class WhiteBox {
  readonly violations: Violation[] = [];
  readonly #versions = new Map<string, Versions>();
  #keys: string[] = [];
  /** The last commit that was there after the epoch. */
  #found = 0;
  /** Keys of writes that were called, with when and by whom, survivors or not: reasons for refusals. */
  #calls = new Map<string, { called: number; sequence: number }[]>();

  epoch(epoch: Epoch, found: { state: ReadonlyMap<string, string>; sequence: number }): void {
    if (this.violations.length >= ENOUGH) return;
    if (this.#versions.size === 0)
      for (const [key, value] of epoch.initial) this.#add(key, epoch.base, value);
    this.#calls = new Map();
    this.#found = found.sequence;
    const last = this.#number(epoch);
    this.#keys = [...this.#versions.keys()].sort();
    const acknowledged = acknowledgements(epoch);
    for (const recorded of epoch.transactions) {
      this.#transaction(recorded, epoch, acknowledged, last);
      if (this.violations.length >= ENOUGH) return;
    }
    this.#ending(epoch, found, last);
  }

  #violated(what: string, ...of: Recorded[]): void {
    this.violations.push({ what, ids: of.map(({ id }) => id) });
  }

  // --- the order of commits -------------------------------------------------------------------------------------

  /** Gives every commit its number and builds the states; answers the highest. */
  #number(epoch: Epoch): number {
    const writers = epoch.transactions.filter(
      (recorded) =>
        recorded.called > 0 &&
        (recorded.outcome === 'committed' || recorded.outcome === 'unknown') &&
        recorded.operations.some(({ kind }) => kind === 'write'),
    );
    writers.sort((a, b) => a.called - b.called);
    // Keys that nobody commits are in their writers' own sight all the same.
    for (const { operations } of epoch.transactions) {
      for (const operation of operations) if (operation.kind === 'write') this.#versionsOf(operation.key);
    }
    let sequence = epoch.base;
    for (const writer of writers) {
      ++sequence;
      if (writer.sequence !== undefined && writer.sequence !== sequence) {
        this.#violated(
          `commit ${writer.sequence} should be number ${sequence} in the order of calls`,
          writer,
        );
      }
      writer.sequence = sequence;
      for (const operation of writer.operations) {
        if (operation.kind !== 'write') continue;
        this.#add(operation.key, sequence, operation.value);
        this.#call(operation.key, writer.called, sequence);
      }
    }
    return sequence;
  }

  #versionsOf(key: string): Versions {
    let versions = this.#versions.get(key);
    if (!versions) {
      versions = { sequences: [], values: [] };
      this.#versions.set(key, versions);
    }
    return versions;
  }

  #add(key: string, sequence: number, value: string | undefined): void {
    const { sequences, values } = this.#versionsOf(key);
    if (sequences[sequences.length - 1] === sequence) values.pop();
    else sequences.push(sequence);
    values.push(value);
  }

  #call(key: string, called: number, sequence: number): void {
    const calls = this.#calls.get(key);
    if (calls) calls.push({ called, sequence });
    else this.#calls.set(key, [{ called, sequence }]);
  }

  // --- one transaction ------------------------------------------------------------------------------------------

  #transaction(recorded: Recorded, epoch: Epoch, acknowledged: (tick: number) => number, last: number): void {
    const { outcome, kind, sequence, operations } = recorded;
    const floor = Math.max(epoch.base, acknowledged(recorded.began));
    const wrote = operations.some((operation) => operation.kind === 'write');
    // One that nobody was answered and that did not survive may have been waiting to be let in, or refused.
    const survived = outcome === 'unknown' && (sequence ?? Number.POSITIVE_INFINITY) <= this.#found;
    const isCommit = wrote && (outcome === 'committed' || survived) && sequence !== undefined;
    // A single operation is its own moment: what it tells is about the state just before its commit.
    if (kind === 'single') {
      if (outcome === 'refused') this.#violated('a single operation was refused', recorded);
      const told = outcome === 'committed' ? this.#mismatch(operations, (sequence as number) - 1) : undefined;
      if (told) this.#violated(`${told}, by a single operation`, recorded);
      return;
    }
    const highest = isCommit ? sequence - 1 : last;
    const snapshot = this.#snapshot(recorded, floor, highest);
    if (snapshot === undefined) return;
    if (!wrote) {
      if (outcome === 'committed' && sequence !== undefined && sequence !== snapshot) {
        this.#violated(`read from ${snapshot} and was told ${sequence}`, recorded);
      }
      if (outcome === 'refused') this.#violated('a transaction without writes was refused', recorded);
      return;
    }
    if (outcome === 'refused') this.#refusal(recorded, snapshot);
    if (!isCommit) return;
    for (const operation of operations) {
      if (operation.kind !== 'write') continue;
      const other = this.#lastBefore(operation.key, sequence);
      if (other > snapshot) {
        this.#violated(
          `not the first committer of ${operation.key}: ${other} was, after ${snapshot}`,
          recorded,
        );
        return;
      }
    }
    if (recorded.level === 'serializable') {
      const wrong = this.#mismatch(operations, sequence - 1);
      if (wrong) this.#violated(`not serializable as commit ${sequence}: ${wrong}`, recorded);
    }
  }

  /** The state a transaction reads from; undefined: there is none. */
  #snapshot(recorded: Recorded, floor: number, highest: number): number | undefined {
    const { snapshot, operations, outcome } = recorded;
    if (snapshot !== undefined) {
      if (snapshot < floor)
        this.#violated(`reads from ${snapshot}, but ${floor} was answered before`, recorded);
      else if (snapshot > highest)
        this.#violated(`reads from ${snapshot}, which is later than ${highest}`, recorded);
      else {
        const wrong = this.#mismatch(operations, snapshot);
        if (wrong === undefined) return snapshot;
        this.#violated(`not one state, that of ${snapshot}: ${wrong}`, recorded);
      }
      return undefined;
    }
    // The one that leaves a commit the fewest others to have lost against, and a refusal the most.
    const states = Array.from({ length: highest - floor + 1 }, (_, index) => floor + index);
    if (outcome !== 'refused') states.reverse();
    const state = states.find((state) => this.#mismatch(operations, state) === undefined);
    if (state !== undefined) return state;
    this.#violated(`reads from no one state between ${floor} and ${highest}`, recorded);
    return undefined;
  }

  /** What does not fit when all operations are done on one state; undefined: nothing. */
  #mismatch(operations: readonly Operation[], state: number): string | undefined {
    const own = new Map<string, string | undefined>();
    for (const operation of operations) {
      switch (operation.kind) {
        case 'write':
          own.set(operation.key, operation.value);
          break;
        case 'read': {
          const value = this.#value(operation.key, state, own);
          if (value !== operation.value) return `${operation.key} is ${value}, read was ${operation.value}`;
          break;
        }
        case 'has': {
          const there = this.#value(operation.key, state, own) !== undefined;
          if (there !== operation.there)
            return `${operation.key} is there: ${there}, told was ${operation.there}`;
          break;
        }
        case 'count': {
          const { range } = operation;
          const count = this.#entries(range, state, own, range.limit ?? Number.POSITIVE_INFINITY).length;
          if (count !== operation.count) return `${count} in range, counted were ${operation.count}`;
          break;
        }
        case 'scan': {
          const wrong = this.#scanMismatch(operation, state, own);
          if (wrong) return wrong;
          break;
        }
      }
    }
    return undefined;
  }

  #scanMismatch(
    scan: Extract<Operation, { kind: 'scan' }>,
    state: number,
    own: ReadonlyMap<string, string | undefined>,
  ): string | undefined {
    const limit = Math.min(scan.range.limit ?? Number.POSITIVE_INFINITY, scan.entries.length + 1);
    const entries = this.#entries(scan.range, state, own, limit);
    for (const [index, [key, value]] of scan.entries.entries()) {
      const expected = entries[index];
      if (expected?.[0] !== key) return `record ${index} of a scan is ${expected?.[0]}, shown was ${key}`;
      if (expected[1] !== value) return `${key} is ${expected[1]}, a scan showed ${value}`;
    }
    const more = entries[scan.entries.length];
    return scan.exhausted && more ? `${more[0]} is in range, a scan ended without it` : undefined;
  }

  #value(key: string, state: number, own: ReadonlyMap<string, string | undefined>): string | undefined {
    return own.has(key) ? own.get(key) : this.#committed(key, state);
  }

  #committed(key: string, state: number): string | undefined {
    const versions = this.#versions.get(key);
    if (!versions) return undefined;
    return versions.values[countUpTo(versions.sequences, state) - 1];
  }

  #entries(
    range: HistoryRange,
    state: number,
    own: ReadonlyMap<string, string | undefined>,
    limit: number,
  ): [string, string][] {
    const keys = this.#keys;
    const entries: [string, string][] = [];
    const step = range.reverse ? -1 : 1;
    for (
      let i = range.reverse ? keys.length - 1 : 0;
      i >= 0 && i < keys.length && entries.length < limit;
      i += step
    ) {
      const key = keys[i] as string;
      if (!isWithin(key, range)) continue;
      const value = this.#value(key, state, own);
      if (value !== undefined) entries.push([key, value]);
    }
    return entries;
  }

  /** Number of the last commit before one that wrote a key; 0: none. */
  #lastBefore(key: string, sequence: number): number {
    const sequences = this.#versions.get(key)?.sequences ?? [];
    return sequences[countUpTo(sequences, sequence - 1) - 1] ?? 0;
  }

  // --- refusals -------------------------------------------------------------------------------------------------

  #refusal(recorded: Recorded, snapshot: number): void {
    const { operations, level, answered } = recorded;
    const meanwhile = (key: string): boolean =>
      (this.#calls.get(key) ?? []).some(({ called, sequence }) => sequence > snapshot && called < answered);
    for (const operation of operations) {
      if (operation.kind === 'write' && meanwhile(operation.key)) return;
      if (level !== 'serializable') continue;
      if ((operation.kind === 'read' || operation.kind === 'has') && meanwhile(operation.key)) return;
      if (operation.kind !== 'count' && operation.kind !== 'scan') continue;
      // A scan may have read further than it has shown.
      const { range } = operation;
      for (const key of this.#calls.keys()) if (isWithin(key, range) && meanwhile(key)) return;
    }
    this.#violated(`refused without a reason, after ${snapshot}`, recorded);
  }

  // --- the end of an epoch --------------------------------------------------------------------------------------

  #ending(epoch: Epoch, found: { state: ReadonlyMap<string, string>; sequence: number }, last: number): void {
    const { sequence } = found;
    let least = epoch.ending === 'closed' ? last : epoch.base;
    let seen = epoch.base;
    const promised: Recorded[] = [];
    for (const recorded of epoch.transactions) {
      if (recorded.snapshot !== undefined) seen = Math.max(seen, recorded.snapshot);
      if (recorded.outcome === 'committed') promised.push(recorded);
    }
    for (const recorded of epoch.transactions) {
      const { durable, sequence: number, outcome, operations } = recorded;
      if (number === undefined || number <= least) continue;
      // Who only read was told what it read from, which promises nothing.
      if (!operations.some(({ kind }) => kind === 'write')) continue;
      const answered = outcome === 'committed' && (durable || epoch.ending === 'death');
      if (answered || (durable && number <= seen)) least = number;
    }
    if (sequence < least || sequence > last) {
      const lost = promised.filter(({ sequence: number = 0 }) => number > sequence).slice(0, 3);
      this.#violated(`${epoch.ending}: found commit ${sequence}, must be from ${least} to ${last}`, ...lost);
    }
    const none = new Map<string, string>();
    const expected = new Map(this.#entries({}, sequence, none, Number.POSITIVE_INFINITY));
    for (const key of new Set([...expected.keys(), ...found.state.keys()])) {
      if (expected.get(key) === found.state.get(key)) continue;
      this.violations.push({
        what: `${epoch.ending}: ${key} is ${found.state.get(key)}, must be ${expected.get(key)} as of ${sequence}`,
        ids: [],
      });
      return;
    }
    for (const { sequences, values } of this.#versions.values()) {
      const kept = countUpTo(sequences, sequence);
      sequences.length = kept;
      values.length = kept;
    }
  }
}

/** For a tick: the highest number answered before it. Numbers must have been given. */
function acknowledgements(epoch: Epoch): (tick: number) => number {
  const answers = epoch.transactions.filter(
    ({ outcome, answered, sequence, called, kind }) =>
      outcome === 'committed' && answered > 0 && called > 0 && sequence !== undefined && kind !== 'view',
  );
  answers.sort((a, b) => a.answered - b.answered);
  const ticks = answers.map(({ answered }) => answered);
  let highest = 0;
  const numbers = answers.map(({ sequence }) => {
    highest = Math.max(highest, sequence as number);
    return highest;
  });
  return (tick) => numbers[countUpTo(ticks, tick - 1) - 1] ?? 0;
}

/** How many of the ascending numbers are at most a limit. */
function countUpTo(numbers: readonly number[], limit: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((numbers[middle] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isWithin(key: string, range: HistoryRange): boolean {
  const { gt, gte, lt, lte, prefix } = range;
  if (gt !== undefined && !(key > gt)) return false;
  if (gte !== undefined && !(key >= gte)) return false;
  if (lt !== undefined && !(key < lt)) return false;
  if (lte !== undefined && !(key <= lte)) return false;
  return prefix === undefined || key.startsWith(prefix);
}
