/*
 * The part of a history that the black-box checker sees: what was read and appended of lists, in plain values. Numbers
 * of commits are left out.
 */
import type { Epoch, HistoryRange, Operation, Recorded } from './history.ts';
import { checkListAppend, type ListTransaction, type ListVerdict, type Move } from './list-append.ts';

/** Judges one epoch by its lists; `found`: what the next one began with. */
export function judgeLists(
  epoch: Epoch,
  found: ReadonlyMap<string, string>,
  listKeys: readonly string[],
): ListVerdict {
  const transactions = epoch.transactions.map((recorded) => listTransaction(recorded, listKeys));
  const mayLose =
    epoch.ending === 'power' && epoch.transactions.some(({ called, durable }) => called > 0 && !durable);
  if (!mayLose) transactions.push(lastReader(found, listKeys));
  const initial = new Map<string, readonly number[]>();
  for (const key of listKeys) initial.set(key, elements(epoch.initial.get(key)));
  return checkListAppend(transactions, initial);
}

/** Who reads everything after the end. */
function lastReader(found: ReadonlyMap<string, string>, listKeys: readonly string[]): ListTransaction {
  const moves: Move[] = listKeys.map((key) => ({ kind: 'read', key, list: elements(found.get(key)) }));
  return {
    id: 0,
    level: 'serializable',
    status: 'committed',
    moves,
    began: Number.MAX_SAFE_INTEGER,
    answered: 0,
  };
}

function listTransaction(recorded: Recorded, listKeys: readonly string[]): ListTransaction {
  const { id, level, began, answered, outcome } = recorded;
  const failed = outcome === 'refused' || outcome === 'aborted' || outcome === 'open';
  return {
    id,
    level,
    status: outcome === 'committed' ? 'committed' : failed ? 'failed' : 'unknown',
    moves: recorded.operations.flatMap((operation) => moves(operation, listKeys)),
    began,
    answered,
  };
}

function moves(operation: Operation, listKeys: readonly string[]): Move[] {
  if (operation.kind === 'scan') return scanned(operation, listKeys);
  if (operation.kind !== 'read' && operation.kind !== 'write') return [];
  const { key, value } = operation;
  if (!key.startsWith('l/')) return [];
  const list = elements(value);
  if (operation.kind === 'read') return [{ kind: 'read', key, list }];
  return [{ kind: 'append', key, element: list[list.length - 1] as number }];
}

/** A scan is a reading of every list it went past; one it did not show was empty. */
function scanned(scan: Extract<Operation, { kind: 'scan' }>, listKeys: readonly string[]): Move[] {
  const { range, entries, exhausted } = scan;
  const shown = new Map(entries);
  const ended = exhausted && entries.length < (range.limit ?? Number.POSITIVE_INFINITY);
  const last = entries[entries.length - 1]?.[0];
  const passed = (key: string): boolean => {
    if (ended) return true;
    if (last === undefined) return false;
    return range.reverse ? key >= last : key <= last;
  };
  return listKeys
    .filter((key) => isInside(key, range) && passed(key))
    .map((key) => ({ kind: 'read', key, list: elements(shown.get(key)) }));
}

function isInside(key: string, { gt, gte, lt, lte, prefix = '' }: HistoryRange): boolean {
  const above = (gt === undefined || key > gt) && (gte === undefined || key >= gte);
  return (
    above && (lt === undefined || key < lt) && (lte === undefined || key <= lte) && key.startsWith(prefix)
  );
}

function elements(value: string | undefined): readonly number[] {
  return value ? value.split(',').map(Number) : [];
}
