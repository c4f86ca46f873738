/**
 * The one error class of the package. Every failure that input, files, the machine or another process can cause is
 * an {@link AegisError} with one of the codes below; anything else that escapes is a defect of ours.
 */

/** Codes, grouped by when they occur. The set is closed. */
export type AegisErrorCode =
  // asking
  | 'INVALID_ARGUMENT' // a value or option that cannot be; nothing happened
  | 'TOO_LARGE' // a key, value, name or pool beyond its limit; nothing happened
  | 'UNSUPPORTED' // this runtime or backend cannot do it
  // opening
  | 'NOT_FOUND' // the store does not exist and was not to be created
  | 'EXISTS' // a store is there already
  | 'NOT_A_STORE' // the folder or file holds something else
  | 'UNSUPPORTED_VERSION' // written by a newer format
  | 'LOCKED' // another opener holds the store; `pid` names it
  // using
  | 'CLOSED' // the engine, scan or snapshot was closed
  | 'READ_ONLY' // a write to something opened for reading
  | 'TRANSACTION_FINISHED' // committed or aborted before
  | 'CONFLICT' // another transaction committed first; run it again
  // storing
  | 'CORRUPTION' // bytes on the backend are not what was written
  | 'OUT_OF_SPACE' // no room on the device or within a limit; nothing was changed
  | 'IO_ERROR' // the backend failed otherwise
  | 'STORE_FAILED' // after a failed sync, a foreign fence or a defect of ours: reopen
  | 'COMMIT_UNKNOWN'; // the commit's sync failed: it may or may not survive

/** Evidence an error can carry; what is known is set. */
export interface AegisErrorDetails {
  /** What made this happen, as thrown by the runtime. */
  cause?: unknown;
  /** Backend file concerned. */
  file?: string;
  /** Byte position in that file. */
  offset?: number;
  /** Page number concerned. */
  page?: number;
  /** The system's error name, such as `EIO`. */
  errno?: string;
  /** The file operation that failed, such as `sync`. */
  operation?: string;
  /** Process that holds the lock. */
  pid?: number;
}

/** The only error class the package throws on purpose. */
export class AegisError extends Error {
  override readonly name = 'AegisError';
  /** One of the documented codes. */
  readonly code: AegisErrorCode;
  readonly file?: string;
  readonly offset?: number;
  readonly page?: number;
  readonly errno?: string;
  readonly operation?: string;
  readonly pid?: number;

  constructor(code: AegisErrorCode, message: string, details: AegisErrorDetails = {}) {
    const { cause, ...evidence } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    Object.assign(this, evidence);
  }

  /** Whether running the same transaction again may succeed: true for `CONFLICT` only. */
  get retryable(): boolean {
    return this.code === 'CONFLICT';
  }
}

/** Stops on a broken invariant of our own; never for input, files or the machine. */
export function invariant(condition: boolean, rule: string): asserts condition {
  if (!condition) throw new AegisError('STORE_FAILED', `internal rule broken: ${rule}`);
}
