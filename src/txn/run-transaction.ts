/**
 * `engine.transaction`: runs a function in a transaction, commits it, and runs it again when it conflicts.
 *
 * Invariants
 *   1. It resolves only after the commit, or after the function itself has aborted: whatever else ended the transaction
 *      (the engine was closed, a failure inside it that the function kept to itself) is what it rejects with.
 */
import { AegisError } from '../base/errors.ts';
import type { Signal } from '../base/lib-types.ts';
import type { RetryQueue, Turn } from './retry-queue.ts';
import { endTransaction, type Transaction } from './transaction.ts';

/** What a function is run with. */
export interface RunParts {
  readonly begin: () => Transaction;
  readonly retries: RetryQueue;
  /** Resolves when what is queued is applied: another try before that would meet the same commit again. */
  readonly caughtUp: () => Promise<void>;
  readonly maxRetries: number;
  readonly signal: Signal | undefined;
}

/** Runs `work` until it is committed; rejects with what it throws, or with the last conflict. */
export async function runTransaction<T>(
  work: (tx: Transaction) => T | Promise<T>,
  { begin, retries, caughtUp, maxRetries, signal }: RunParts,
): Promise<T> {
  let turn: Turn | undefined;
  try {
    const beginning = retries.begin();
    if (beginning) await beginning;
    for (let attempt = 0; ; ++attempt) {
      signal?.throwIfAborted();
      try {
        return await runOnce(begin(), work);
      } catch (error) {
        if (!(error instanceof AegisError) || error.code !== 'CONFLICT' || attempt >= maxRetries) throw error;
      }
      turn?.insist();
      turn ??= await retries.turn();
      await caughtUp();
    }
  } finally {
    turn?.pass();
  }
}

async function runOnce<T>(tx: Transaction, work: (tx: Transaction) => T | Promise<T>): Promise<T> {
  try {
    const result = await work(tx);
    await endTransaction(tx);
    return result;
  } finally {
    if (tx.state === 'active') tx.abort();
  }
}
