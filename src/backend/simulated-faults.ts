/**
 * Faults of a simulated backend: every call has a number, and a plan says what becomes of it.
 *
 * A failing call throws what the local backend would throw for the same error of the system, and does as much: a write
 * that fails may have written a part, a sync that fails loses what it should have saved and lies about it later, a
 * `close` never fails.
 */
import { AegisError } from '../base/errors.ts';
import { codeOfErrno } from './errno.ts';

/** What a backend or one of its files was asked to do. */
export type SimulatedOperation =
  | 'open'
  | 'list'
  | 'remove'
  | 'syncDirectory'
  | 'lock'
  | 'size'
  | 'read'
  | 'write'
  | 'sync'
  | 'syncSync'
  | 'truncate'
  | 'close';

/** One call. */
export interface SimulatedCall {
  /** 1 for the first call of the backend's life, and so on. */
  readonly number: number;
  /** What was asked for. */
  readonly operation: SimulatedOperation;
  /** File concerned; empty when it is about the place as a whole. */
  readonly file: string;
  /** Byte position; for `truncate` the new size. */
  readonly position: number;
  /** Bytes it moves. */
  readonly length: number;
}

/** Errors of the system that a plan can ask for. */
export type SimulatedErrno = 'EIO' | 'ENOSPC' | 'EDQUOT' | 'EFBIG' | 'EMFILE' | 'EACCES' | 'EROFS';

/** What becomes of a call. */
export interface SimulatedFault {
  /** The call fails with this error of the system. */
  readonly errno?: SimulatedErrno;
  /** With `errno`, a write leaves a part of its bytes: so many, or for `true` a share that the seed draws. */
  readonly torn?: boolean | number;
  /** A write or sync says that all is well and does nothing. */
  readonly lost?: boolean;
  /** A write says that all is well and lands at this byte position instead. */
  readonly misdirected?: number;
}

/** Decides a call before it does anything; undefined lets it be. */
export type SimulatedPlan = (call: SimulatedCall) => SimulatedFault | undefined;

/** A plan by which one call meets a fault, and none after it. */
export function faultAt(number: number, fault: SimulatedFault): SimulatedPlan {
  return (call) => (call.number === number ? fault : undefined);
}

/** A plan by which every call from that one on meets a fault; only the first of them is torn. */
export function faultFrom(number: number, fault: SimulatedFault): SimulatedPlan {
  const { torn: _, ...later } = fault;
  return (call) => {
    if (call.number < number) return undefined;
    return call.number === number ? fault : later;
  };
}

/** Names of operations as the local backend's errors have them. */
const NAMES: Partial<Record<SimulatedOperation, string>> = {
  size: 'stat',
  syncSync: 'sync',
  syncDirectory: 'sync',
};

/** What a failed call throws. */
export function failureOf(operation: SimulatedOperation, file: string, errno: string): AegisError {
  const name = NAMES[operation] ?? operation;
  const message = `${name} of ${file === '' ? 'the simulated directory' : file} failed: ${errno}`;
  return new AegisError(codeOfErrno(errno, name), message, { file, operation: name, errno });
}
