/**
 * Whether a log may go on. One failed sync ends it: the system reports a lost write once and then calls the file
 * clean, so a second try would succeed for bytes that are gone. The store above must be opened again.
 */
import { AegisError, type AegisErrorDetails } from '../base/errors.ts';

/** Shared by the parts of one log. */
export class LogHealth {
  #failure: AegisError | undefined;
  #closed = false;

  /** What ended the log. */
  get failure(): AegisError | undefined {
    return this.#failure;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Throws unless the log may go on. */
  check(): void {
    if (this.#closed) throw new AegisError('CLOSED', 'the log was closed');
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends the log and answers the error to throw; the first failure is the one that stays. */
  fail(message: string, cause: unknown): AegisError {
    this.#failure ??= new AegisError('STORE_FAILED', message, { cause, ...evidence(cause) });
    return this.#failure;
  }

  close(): void {
    this.#closed = true;
  }
}

function evidence(cause: unknown): AegisErrorDetails {
  if (!(cause instanceof AegisError)) return {};
  const { file, errno, operation } = cause;
  return {
    ...(file === undefined ? {} : { file }),
    ...(errno === undefined ? {} : { errno }),
    ...(operation === undefined ? {} : { operation }),
  };
}
