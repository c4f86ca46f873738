/**
 * What `beginTransaction` and `transaction` take, checked.
 */
import { checkOptions, invalid } from '../base/errors.ts';
import type { Signal } from '../base/lib-types.ts';
import type { IsolationLevel } from '../txn/transaction.ts';

/** Options of `beginTransaction`. */
export interface TransactionOptions {
  /** Default `snapshot`. */
  isolation?: IsolationLevel;
  /** Refuses writes; such a transaction never conflicts and costs writers nothing but the old pages it sees. */
  readOnly?: boolean;
}

/** Options of `transaction`. */
export interface RetryOptions {
  /** Default `snapshot`. */
  isolation?: IsolationLevel;
  /** How often a conflict is tried again; default 10. */
  maxRetries?: number;
  /** An `AbortSignal`: stops before the next try. */
  signal?: Signal;
}

/** Tries of a transaction that conflicts, before the conflict is the caller's. */
const RETRIES_DEFAULT = 10;

/** Checks the options of `beginTransaction`. Throws INVALID_ARGUMENT. */
export function checkedTransaction(options: TransactionOptions): Required<TransactionOptions> {
  checkOptions('beginTransaction', options, ['isolation', 'readOnly']);
  const { readOnly = false } = options;
  if (typeof readOnly !== 'boolean') {
    throw invalid('beginTransaction: readOnly', readOnly, 'true or false');
  }
  return { readOnly, isolation: isolationOf(options.isolation) };
}

/** Checks the options of `transaction`; the isolation is checked where it begins. Throws INVALID_ARGUMENT. */
export function checkedRetry(options: RetryOptions): Pick<RetryOptions, 'isolation'> & {
  readonly maxRetries: number;
  readonly signal: Signal | undefined;
} {
  checkOptions('transaction', options, ['isolation', 'maxRetries', 'signal']);
  const { isolation, maxRetries = RETRIES_DEFAULT, signal } = options;
  if (!Number.isSafeInteger(maxRetries) || maxRetries < 0) {
    throw invalid('transaction: maxRetries', maxRetries, 'a whole number from 0 on');
  }
  if (signal !== undefined && typeof signal?.throwIfAborted !== 'function') {
    throw invalid('transaction: signal', signal, 'an AbortSignal');
  }
  return { ...(isolation === undefined ? {} : { isolation }), maxRetries, signal };
}

function isolationOf(given: unknown): IsolationLevel {
  if (given === undefined) return 'snapshot';
  if (given === 'snapshot' || given === 'serializable') return given;
  throw invalid('isolation', given, "'snapshot' or 'serializable'");
}
