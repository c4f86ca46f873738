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

/** What an error of ours looks like, whichever copy of this class made it. */
const CODES: Readonly<Record<AegisErrorCode, true>> = {
  INVALID_ARGUMENT: true,
  TOO_LARGE: true,
  UNSUPPORTED: true,
  NOT_FOUND: true,
  EXISTS: true,
  NOT_A_STORE: true,
  UNSUPPORTED_VERSION: true,
  LOCKED: true,
  CLOSED: true,
  READ_ONLY: true,
  TRANSACTION_FINISHED: true,
  CONFLICT: true,
  CORRUPTION: true,
  OUT_OF_SPACE: true,
  IO_ERROR: true,
  STORE_FAILED: true,
  COMMIT_UNKNOWN: true,
};

/** The only error class the package throws on purpose. */
export class AegisError extends Error {
  /**
   * Errors of ours are known by their name and code: where modules are loaded twice (Jest, frames, two copies of the
   * package) there are several such classes, and a backend or a callback may throw another one's.
   */
  static override [Symbol.hasInstance](given: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: a class made from this one inherits it, and asks for itself
    if (Function.prototype[Symbol.hasInstance].call(this, given)) return true;
    // biome-ignore lint/complexity/noThisInStatic: as above
    if (this !== AegisError || typeof given !== 'object' || given === null) return false;
    const { name, code } = given as Partial<AegisError>;
    return name === 'AegisError' && typeof code === 'string' && Object.hasOwn(CODES, code);
  }

  /** Always `AegisError`: tells it from other errors where classes cannot be compared. */
  override readonly name = 'AegisError';
  /** One of the documented codes. */
  readonly code: AegisErrorCode;
  // Declared only, as a field would be there without a value, and be printed.
  /** Backend file concerned. */
  declare readonly file?: string;
  /** Byte position in that file. */
  declare readonly offset?: number;
  /** Page number concerned. */
  declare readonly page?: number;
  /** The system's error name, such as `EIO`. */
  declare readonly errno?: string;
  /** The file operation that failed, such as `sync`. */
  declare readonly operation?: string;
  /** Process that holds the lock. */
  declare readonly pid?: number;

  /** Backends of your own throw it as ours do: with a code, a message and what they know. */
  constructor(code: AegisErrorCode, message: string, details: AegisErrorDetails = {}) {
    const { cause, ...evidence } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    const known = Object.entries(evidence).filter(([, value]) => value !== undefined);
    Object.assign(this, Object.fromEntries(known));
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

/** The error for an argument that cannot be. */
export function invalid(what: string, given: unknown, allowed: string): AegisError {
  return new AegisError('INVALID_ARGUMENT', `${what}: ${allowed} is needed, got ${shown(given)}`);
}

/** Refuses options that are no object, and names nobody knows: a misspelt one would be silently without effect. */
export function checkOptions(what: string, given: unknown, known: readonly string[]): void {
  if (typeof given !== 'object' || given === null) throw invalid(what, given, 'an object');
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    throw new AegisError(
      'INVALID_ARGUMENT',
      `${what}: unknown option ${name}; known are ${known.join(', ')}`,
    );
  }
}

/** A value as a message shows it: short, on one line, and never a reason to fail. */
export function shown(given: unknown): string {
  if (typeof given === 'string') return `'${given.slice(0, 60)}'`;
  if (typeof given === 'bigint') return `${given}n`;
  if (typeof given === 'function') return 'a function';
  if (Array.isArray(given)) return 'an array';
  return typeof given === 'object' && given !== null ? 'an object' : String(given);
}

/** The same error with the page that it is about and where that lies; anything else as it is. */
export function aboutPage(error: unknown, page: number, offset: number): unknown {
  if (!(error instanceof AegisError)) return error;
  return new AegisError(error.code, error.message, { ...error, cause: error.cause, page, offset });
}

/** What something thrown says of itself: an error of any realm its message, and never a reason to fail. */
export function reasonOf(cause: unknown): string {
  const message = (cause as { message?: unknown } | null | undefined)?.message;
  if (typeof message === 'string') return message;
  return typeof cause === 'string' ? cause : shown(cause);
}

/** An error with the message and the evidence of what caused it. */
export function causedBy(code: AegisErrorCode, what: string, cause: unknown): AegisError {
  const { errno, operation } = cause instanceof AegisError ? cause : ({} as Partial<AegisError>);
  return new AegisError(code, `${what}: ${reasonOf(cause)}`, {
    cause,
    ...(errno === undefined ? {} : { errno }),
    ...(operation === undefined ? {} : { operation }),
  });
}
