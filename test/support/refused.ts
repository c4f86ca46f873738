/* What a refusal must be: an AegisError with a documented code and a message for people, thrown or as a rejection. */
import { expect } from 'vitest';
import { AegisError, type AegisErrorCode } from '../../src/base/errors.ts';

/** Runs a call that must be refused; answers the error. */
export async function refused(
  code: AegisErrorCode | readonly AegisErrorCode[],
  call: () => unknown,
): Promise<AegisError> {
  let outcome: unknown;
  try {
    outcome = await call();
  } catch (error) {
    if (!(error instanceof AegisError)) throw error;
    expect(typeof code === 'string' ? [code] : code, error.message).toContain(error.code);
    expect(error.message).toMatch(/^\S.{7,}/);
    expect(error.message).not.toMatch(/internal rule|undefined is not|\[object/);
    return error;
  }
  throw new Error(`${call} was not refused with ${code} but answered ${String(outcome)}`);
}

/** As `refused`, for a method that answers with a promise: it must reject and never throw. */
export async function rejected(code: AegisErrorCode, call: () => Promise<unknown>): Promise<AegisError> {
  let promise: Promise<unknown>;
  try {
    promise = call();
  } catch (error) {
    throw new Error(`${call} threw instead of rejecting`, { cause: error });
  }
  return refused(code, () => promise);
}
