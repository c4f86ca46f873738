/*
 * The black-box checker: from the values alone it infers who must have come before whom, and looks for cycles. It
 * knows no commit numbers and no engine.
 *
 * Values are lists to which every write appends one element that nobody else appends, so a list tells its own history
 * (Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020). Edges are
 * Adya's: ww from an appender to the next one, wr from an appender to those whose list ends with its element, rw from
 * who read a list to who appended next. Real time adds: what was answered before another began precedes it.
 *
 * 1. Every cycle search is a search for strongly connected components, so time is linear in edges.
 * 2. `snapshot`: no cycle in which no two rw edges follow each other (Fekete et al. 2005; Cerone and Gotsman 2016):
 *    found as components of a graph of pairs (transaction, whether it was come to by rw).
 * 3. `serializable`: no cycle at all. In a history of both levels an rw edge counts only if its reader is
 *    `serializable` or wrote nothing: a `snapshot` writer's reads promise nothing about later commits (Adya 1999, 5.4:
 *    anti-dependencies are obligatory for the level of the reader).
 */
import { components, Graph } from './graph.ts';
import type { Level } from './history.ts';

export type Move =
  | { readonly kind: 'append'; readonly key: string; readonly element: number }
  | { readonly kind: 'read'; readonly key: string; readonly list: readonly number[] };

export interface ListTransaction {
  readonly id: number;
  readonly level: Level;
  readonly status: 'committed' | 'failed' | 'unknown';
  readonly moves: readonly Move[];
  /** When it began and when its answer was heard; 0: never, or not known. */
  readonly began: number;
  readonly answered: number;
}

/** Names of what can go wrong: Adya's and Elle's. */
export type Anomaly =
  | 'garbage'
  | 'duplicate'
  | 'internal'
  | 'incompatible order'
  | 'lost'
  | 'G1a'
  | 'G1b'
  | 'G0'
  | 'G1c'
  | 'G-single'
  | 'G-nonadjacent'
  | 'G2'
  | 'real time';

export interface Finding {
  readonly anomaly: Anomaly;
  readonly ids: readonly number[];
  readonly detail: string;
}

export interface ListVerdict {
  /** Everything found, whether the levels in use allow it or not. */
  readonly anomalies: ReadonlySet<Anomaly>;
  /** What the levels in use do not allow. */
  readonly violations: readonly Finding[];
}

/** Judges one epoch; `initial`: lists that were there before any transaction. */
export function checkListAppend(
  transactions: readonly ListTransaction[],
  initial: ReadonlyMap<string, readonly number[]> = new Map(),
): ListVerdict {
  const checker = new ListChecker(transactions, initial);
  checker.run();
  return { anomalies: new Set(checker.found.map(({ anomaly }) => anomaly)), violations: checker.violations };
}

/** A list as somebody from outside read it. */
interface ExternalRead {
  readonly reader: number;
  readonly key: string;
  readonly list: readonly number[];
}

const WW = 0;
const WR = 1;
const RW = 2;
const RT = 3;
type EdgeKind = 0 | 1 | 2 | 3;

class ListChecker {
  readonly found: Finding[] = [];
  readonly violations: Finding[] = [];
  readonly #transactions: readonly ListTransaction[];
  readonly #initial: ReadonlyMap<string, readonly number[]>;
  /** Index of the transaction that appended an element; -1: it was there before. */
  readonly #appender = new Map<number, number>();
  /** Last elements that transactions append to keys, for intermediate reads. */
  readonly #lastAppends = new Set<number>();
  readonly #reads: ExternalRead[] = [];
  /** The order of each key's elements: its longest list. */
  readonly #orders = new Map<string, readonly number[]>();
  readonly #seen = new Set<number>();
  /** Edges as triples (from, to, kind); nodes from the number of transactions on are moments. */
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  readonly #kinds: EdgeKind[] = [];
  #nodes = 0;

  constructor(transactions: readonly ListTransaction[], initial: ReadonlyMap<string, readonly number[]>) {
    this.#transactions = transactions;
    this.#initial = initial;
  }

  run(): void {
    this.#collect();
    this.#order();
    this.#checkReads();
    this.#checkLost();
    this.#infer();
    this.#realTime();
    this.#cycles();
  }

  #find(anomaly: Anomaly, indices: readonly number[], detail: string, allowed = false): void {
    const ids = indices.map((index) => this.#transactions[index]?.id ?? -1);
    const finding = { anomaly, ids, detail };
    this.found.push(finding);
    if (!allowed) this.violations.push(finding);
  }

  // --- elements and orders --------------------------------------------------------------------------------------

  #collect(): void {
    for (const list of this.#initial.values()) for (const element of list) this.#appender.set(element, -1);
    this.#transactions.forEach((transaction, index) => {
      const last = new Map<string, number>();
      for (const move of transaction.moves) {
        if (move.kind !== 'append') continue;
        if (this.#appender.has(move.element)) {
          this.#find('garbage', [index], `element ${move.element} is appended twice: no test data`);
        }
        this.#appender.set(move.element, index);
        last.set(move.key, move.element);
      }
      for (const element of last.values()) this.#lastAppends.add(element);
      if (transaction.status === 'committed') this.#externalReads(transaction, index);
    });
  }

  /** A transaction's reads with its own appends taken off; what does not fit its own writes is found here. */
  #externalReads(transaction: ListTransaction, reader: number): void {
    const known = new Map<string, number[]>();
    const blind = new Map<string, number[]>();
    for (const move of transaction.moves) {
      const { key } = move;
      const list = known.get(key);
      const own = blind.get(key) ?? [];
      if (move.kind === 'append') {
        if (list) list.push(move.element);
        else blind.set(key, [...own, move.element]);
      } else if (list) {
        if (!sameList(list, move.list)) {
          this.#find('internal', [reader], `${key}: ${move.list} read where ${list} was due`);
          return;
        }
      } else {
        const outside = move.list.slice(0, move.list.length - own.length);
        if (!sameList([...outside, ...own], move.list)) {
          this.#find('internal', [reader], `${key}: ${move.list} read after appending ${own}`);
          return;
        }
        known.set(key, [...move.list]);
        this.#reads.push({ reader, key, list: outside });
      }
    }
  }

  #order(): void {
    for (const [key, list] of this.#initial) this.#orders.set(key, list);
    for (const { key, list } of this.#reads) {
      if (list.length > (this.#orders.get(key)?.length ?? 0)) this.#orders.set(key, list);
    }
    for (const order of this.#orders.values()) for (const element of order) this.#seen.add(element);
  }

  #checkReads(): void {
    for (const [key, order] of this.#orders) {
      if (new Set(order).size < order.length) this.#find('duplicate', [], `${key}: ${order}`);
    }
    for (const { reader, key, list } of this.#reads) {
      const order = this.#orders.get(key) ?? [];
      if (list.some((element, index) => element !== order[index])) {
        this.#find('incompatible order', [reader], `${key}: ${list} and ${order}`);
      }
      for (const element of list) {
        const appender = this.#appender.get(element);
        if (appender === undefined) this.#find('garbage', [reader], `${key}: nobody appended ${element}`);
        else if (this.#transactions[appender]?.status === 'failed') {
          this.#find('G1a', [reader, appender], `${key}: ${element} was never committed`);
        }
      }
      const last = list[list.length - 1];
      const appender = last === undefined ? -1 : (this.#appender.get(last) ?? -1);
      if (last !== undefined && appender >= 0 && appender !== reader && !this.#lastAppends.has(last)) {
        this.#find('G1b', [reader, appender], `${key}: more was appended after ${last}`);
      }
    }
  }

  /** What was committed is in the longest list, if anybody has read that key later. */
  #checkLost(): void {
    const lastRead = new Map<string, number>();
    for (const { reader, key } of this.#reads) {
      const { began } = this.#transactions[reader] as ListTransaction;
      lastRead.set(key, Math.max(lastRead.get(key) ?? 0, began));
    }
    this.#transactions.forEach(({ status, moves, answered }, index) => {
      if (status !== 'committed' || answered === 0) return;
      for (const move of moves) {
        if (move.kind !== 'append' || this.#seen.has(move.element)) continue;
        if ((lastRead.get(move.key) ?? 0) <= answered) continue;
        this.#find('lost', [index], `${move.key}: ${move.element} was committed and is not there later`);
      }
    });
  }

  // --- edges ----------------------------------------------------------------------------------------------------

  #edge(from: number, to: number, kind: EdgeKind): void {
    if (from === to || from < 0 || to < 0) return;
    this.#from.push(from);
    this.#to.push(to);
    this.#kinds.push(kind);
  }

  #appenderOf(element: number | undefined): number {
    return element === undefined ? -1 : (this.#appender.get(element) ?? -1);
  }

  #infer(): void {
    this.#nodes = this.#transactions.length;
    for (const order of this.#orders.values()) {
      for (let i = 1; i < order.length; ++i) {
        this.#edge(this.#appenderOf(order[i - 1]), this.#appenderOf(order[i]), WW);
      }
    }
    for (const { reader, key, list } of this.#reads) {
      const order = this.#orders.get(key) ?? [];
      this.#edge(this.#appenderOf(list[list.length - 1]), reader, WR);
      // Elements of one appender may follow each other: the next one is the first of another.
      let next = list.length;
      while (next < order.length && this.#appenderOf(order[next]) === reader) ++next;
      this.#edge(reader, this.#appenderOf(order[next]), RW);
    }
  }

  /** Moments in their order stand between those who were answered and those who began after. */
  #realTime(): void {
    const events: { tick: number; index: number; begins: boolean }[] = [];
    this.#transactions.forEach(({ status, began, answered }, index) => {
      if (status !== 'committed') return;
      if (began > 0) events.push({ tick: began, index, begins: true });
      if (answered > 0) events.push({ tick: answered, index, begins: false });
    });
    events.sort((a, b) => a.tick - b.tick);
    let moment = -1;
    for (const { index, begins } of events) {
      if (begins) {
        this.#edge(moment, index, RT);
      } else {
        const next = this.#nodes++;
        this.#edge(moment, next, RT);
        this.#edge(index, next, RT);
        moment = next;
      }
    }
  }

  // --- cycles ---------------------------------------------------------------------------------------------------

  #cycles(): void {
    const writes = this.#transactions.map(({ moves }) => moves.some(({ kind }) => kind === 'append'));
    const obliged = (index: number): boolean =>
      this.#transactions[index]?.level === 'serializable' || !writes[index];
    const wrong = new Set<number>();
    const search = (
      anomaly: Anomaly,
      admits: (kind: EdgeKind, from: number) => boolean,
      allowed = false,
    ): void => {
      for (const cycle of this.#componentsOf(admits)) {
        // A cycle of fewer edges has been told of already.
        if (cycle.some((index) => wrong.has(index))) continue;
        const ids = cycle.filter((index) => index < this.#transactions.length);
        if (!allowed) for (const index of ids) wrong.add(index);
        this.#find(anomaly, ids, `a cycle through ${ids.length}`, allowed);
      }
    };
    const searchNonadjacent = (anomaly: Anomaly | undefined, realTime: boolean): void => {
      for (const cycle of this.#nonadjacent(realTime)) {
        const ids = cycle.filter((index) => index < this.#transactions.length);
        if (ids.some((index) => wrong.has(index))) continue;
        const name = anomaly ?? (this.#hasSingle(new Set(cycle)) ? 'G-single' : 'G-nonadjacent');
        for (const index of ids) wrong.add(index);
        this.#find(name, ids, `a cycle through ${ids.length}`);
      }
    };
    search('G0', (kind) => kind === WW);
    search('G1c', (kind) => kind === WW || kind === WR);
    searchNonadjacent(undefined, false);
    search('G2', (kind, from) => kind === WW || kind === WR || (kind === RW && obliged(from)));
    // With real time, which no level of the literature asks for, but this engine promises.
    search('real time', (kind) => kind !== RW);
    searchNonadjacent('real time', true);
    search('real time', (kind, from) => kind !== RW || obliged(from));
    // Allowed, and good to know of.
    search('G2', (kind) => kind !== RT, true);
  }

  /** Components of more than one node of the graph with some of the edges. */
  #componentsOf(admits: (kind: EdgeKind, from: number) => boolean): number[][] {
    const graph = new Graph(this.#nodes);
    this.#from.forEach((from, i) => {
      if (admits(this.#kinds[i] as EdgeKind, from)) graph.add(from, this.#to[i] as number);
    });
    return components(graph);
  }

  /** Components in which a cycle without two rw edges in a row exists. */
  #nonadjacent(realTime: boolean): number[][] {
    const count = this.#nodes;
    const graph = new Graph(2 * count);
    this.#from.forEach((from, i) => {
      const kind = this.#kinds[i] as EdgeKind;
      const to = this.#to[i] as number;
      if (kind === RT && !realTime) return;
      if (kind === RW) {
        graph.add(from, to + count);
      } else {
        graph.add(from, to);
        graph.add(from + count, to);
      }
    });
    return components(graph).map((nodes) => [...new Set(nodes.map((node) => node % count))]);
  }

  /** Whether a cycle with one rw edge only lies within these nodes. */
  #hasSingle(nodes: ReadonlySet<number>): boolean {
    const next = new Map<number, number[]>();
    this.#from.forEach((from, i) => {
      const to = this.#to[i] as number;
      const kind = this.#kinds[i];
      if (kind === RW || kind === RT || !nodes.has(from) || !nodes.has(to)) return;
      next.set(from, [...(next.get(from) ?? []), to]);
    });
    return this.#from.some((from, i) => {
      const to = this.#to[i] as number;
      if (this.#kinds[i] !== RW || !nodes.has(from) || !nodes.has(to)) return false;
      return reaches(next, to, from);
    });
  }
}

function reaches(next: ReadonlyMap<number, readonly number[]>, from: number, to: number): boolean {
  const seen = new Set([from]);
  for (const node of seen) {
    if (node === to) return true;
    for (const other of next.get(node) ?? []) seen.add(other);
  }
  return false;
}

function sameList(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((element, index) => element === b[index]);
}
