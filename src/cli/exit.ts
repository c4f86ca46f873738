/**
 * How a command ends: the exit statuses, and the one line on standard error that goes with a failure.
 */
import { AegisError } from '../index.ts';

/** Everything asked for was done, and the answer is yes. */
export const EXIT_OK = 0;
/** The answer is no: a proof failed, damage was found, a key is absent. */
export const EXIT_NO = 1;
/** The command line makes no sense. */
export const EXIT_USAGE = 2;
/** The store, the machine or the installation failed. */
export const EXIT_FAILED = 3;

/** A failure that is no error of the store: what to say, in one line. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
}

/** Says what failed, in one line where it is a known kind of failure; answers the exit status. */
export function reportFailure(error: unknown): number {
  process.stderr.write(`aegis: ${describeFailure(error)}\n`);
  return EXIT_FAILED;
}

/** A failure as text: with its code if it has one, with the whole stack if it is a defect. */
export function describeFailure(error: unknown): string {
  if (error instanceof CommandFailure) return error.message;
  if (error instanceof AegisError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
