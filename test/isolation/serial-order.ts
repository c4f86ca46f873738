/* Whether small list histories are serializable, by trying every order: slow, simple, and the judge of the judge. */
import type { ListTransaction } from './list-append.ts';

/** Whether the transactions, run one after the other in some order, read exactly what they have read. */
export function serialOrderExists(transactions: readonly ListTransaction[]): boolean {
  return extend(new Map(), transactions);
}

function extend(state: ReadonlyMap<string, readonly number[]>, left: readonly ListTransaction[]): boolean {
  if (left.length === 0) return true;
  return left.some((next) => {
    const after = runOn(state, next);
    return (
      after !== undefined &&
      extend(
        after,
        left.filter((other) => other !== next),
      )
    );
  });
}

/** The state after a transaction; undefined: it would have read something else. */
function runOn(
  state: ReadonlyMap<string, readonly number[]>,
  { moves }: ListTransaction,
): ReadonlyMap<string, readonly number[]> | undefined {
  const after = new Map(state);
  for (const { key, ...move } of moves) {
    const list = after.get(key) ?? [];
    if (move.kind === 'append') after.set(key, [...list, move.element]);
    else if (String(list) !== String(move.list)) return undefined;
  }
  return after;
}
