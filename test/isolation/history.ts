/*
 * Histories: what a random run saw, written down for checkers that know nothing of the engine.
 *
 * Time is a tick that grows with every event. A history is a chain of epochs: a store is opened, used, and lost or
 * closed; the next epoch begins with what was found.
 */

/** Bounds over keys of plain ASCII, whose order as strings is their order as bytes. */
export interface HistoryRange {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly lte?: string;
  readonly prefix?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** What a transaction did and saw, in its order. `value` undefined: absent, or a deletion. */
export type Operation =
  | { readonly kind: 'read'; readonly key: string; readonly value: string | undefined }
  | { readonly kind: 'has'; readonly key: string; readonly there: boolean }
  | { readonly kind: 'write'; readonly key: string; readonly value: string | undefined }
  | { readonly kind: 'count'; readonly range: HistoryRange; readonly count: number }
  /** A scan shows the moment of its call, however late its records are taken. */
  | {
      readonly kind: 'scan';
      readonly range: HistoryRange;
      readonly entries: [key: string, value: string][];
      exhausted: boolean;
    };

export type Level = 'snapshot' | 'serializable';

/**
 * How something ended. `refused`: a conflict. `unknown`: its commit was called and the store was lost before an
 * answer. `open`: the store was lost before it was ended.
 */
export type Outcome = 'open' | 'committed' | 'refused' | 'aborted' | 'unknown';

/**
 * `transaction`: begun and ended by its user. `single`: one operation or batch, a commit of its own that may not be
 * refused. `view`: reads of the latest state or of a snapshot.
 */
export type Kind = 'transaction' | 'single' | 'view';

export interface Recorded {
  readonly id: number;
  readonly kind: Kind;
  readonly level: Level;
  readonly operations: Operation[];
  readonly began: number;
  /** The commit it reads from, as the engine told when it began; undefined: not known. */
  readonly snapshot: number | undefined;
  /** When its commit was called; 0: never. */
  called: number;
  /** When the caller heard how it ended; 0: never. */
  answered: number;
  outcome: Outcome;
  /** Its number as a commit; undefined: not told. */
  sequence: number | undefined;
  /** Whether its answer promises that it survives a power cut. */
  durable: boolean;
}

/** How an epoch ended: closed, the process died, or the power went. */
export type Ending = 'closed' | 'death' | 'power';

export interface Epoch {
  /** Everything that was there when the store was opened, and the number of its last commit. */
  readonly initial: ReadonlyMap<string, string>;
  readonly base: number;
  readonly transactions: Recorded[];
  ending: Ending;
}

export interface History {
  readonly epochs: Epoch[];
  /** What was found after the last epoch, and the number of its last commit. */
  final: { readonly state: ReadonlyMap<string, string>; readonly sequence: number };
}

/** Something that must not be. */
export interface Violation {
  readonly what: string;
  /** The transactions it is about. */
  readonly ids: readonly number[];
}

/** A transaction as text, for people. */
export function shown(recorded: Recorded): string {
  const { id, kind, level, snapshot, sequence, outcome, began, called, answered } = recorded;
  const operations = recorded.operations.map(shownOperation).join(' ');
  const times = `ticks ${began}/${called}/${answered}`;
  return `#${id} ${kind} ${level} ${outcome} at ${snapshot ?? '?'} as ${sequence ?? '?'} ${times}: ${operations}`;
}

function shownOperation(operation: Operation): string {
  switch (operation.kind) {
    case 'read':
      return `r(${operation.key}=${brief(operation.value)})`;
    case 'has':
      return `has(${operation.key}=${operation.there})`;
    case 'write':
      return `w(${operation.key}=${brief(operation.value)})`;
    case 'count':
      return `count(${JSON.stringify(operation.range)}=${operation.count})`;
    case 'scan': {
      const entries = operation.entries.map(([key, value]) => `${key}=${brief(value)}`).join(' ');
      return `scan(${JSON.stringify(operation.range)}: ${entries}${operation.exhausted ? '' : ' …'})`;
    }
  }
}

function brief(value: string | undefined): string {
  if (value === undefined) return '-';
  return value.length > 40 ? `…${value.slice(-36)}` : value;
}
