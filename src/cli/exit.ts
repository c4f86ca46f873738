/**
 * How a command ends: the exit statuses, and the one line on standard error that goes with a failure.
 */
import { AegisError } from '../base/errors.ts';

/** Everything asked for was done, and the answer is yes. */
export const EXIT_OK = 0;
/** The answer is no: a proof failed, damage was found, a key is absent. */
export const EXIT_NO = 1;
/** The command line makes no sense, or the files it names cannot be read. */
export const EXIT_USAGE = 2;
/** The store, the machine or the installation failed. */
export const EXIT_FAILED = 3;
/** Stopped by Ctrl-C, in an orderly way. */
export const EXIT_INTERRUPTED = 130;

/** A failure that is no error of the store: what to say, in one line, and a code where there is one. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly code: string | undefined;

  constructor(message: string, code?: string) {
    super(message);
    this.code = code;
  }
}

/** A command line that makes no sense; nothing was done. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code: string | undefined;

  constructor(message: string, code?: string) {
    super(message);
    this.code = code;
  }
}

/** Takes a command out of its work because whoever typed it in a shell has pressed Ctrl-C. */
export class Interrupted extends Error {}

/** A failure as people and programs read it. */
export interface Failure {
  readonly status: number;
  /** As text: in one line, but for a defect, which shows its whole stack. */
  readonly text: string;
  /** As one JSON object. */
  readonly json: { readonly code: string; readonly message: string };
}

/** What an error means for whoever ran the command. */
export function failureOf(error: unknown): Failure {
  if (error instanceof UsageError) return failure(EXIT_USAGE, error.code, error.message, 'USAGE');
  if (error instanceof CommandFailure) return failure(EXIT_FAILED, error.code, error.message, 'FAILED');
  if (error instanceof AegisError) {
    const { file, offset, page, errno, operation, pid } = error;
    const evidence = { file, offset, page, errno, operation, pid };
    const { json, ...rest } = failure(EXIT_FAILED, error.code, error.message, error.code);
    return { ...rest, json: { ...json, ...evidence } };
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { status: EXIT_FAILED, text, json: { code: 'DEFECT', message: text } };
}

function failure(status: number, code: string | undefined, given: string, otherwise: string): Failure {
  const message = printable(given);
  const text = code === undefined ? message : `${code}: ${message}`;
  return { status, text, json: { code: code ?? otherwise, message } };
}

/** A text in one line, without what a terminal would obey: messages show pieces of what was read. */
export function printable(text: string): string {
  const line = text.replace(/\s*\n\s*/g, ' ').trim();
  return line.replace(
    /(?!\t)[\p{Cc}\u2028\u2029]/gu,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
