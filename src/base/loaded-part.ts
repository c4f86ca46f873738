/**
 * Parts of the package that browsers load when they are asked for.
 */
import { AegisError, reasonOf } from './errors.ts';

/** A part, once it is loaded. @throws AegisError (as a rejection) `IO_ERROR` */
export async function loadedPart<T>(part: Promise<T>): Promise<T> {
  try {
    return await part;
  } catch (cause) {
    const message = `a part of aegis-storage cannot be loaded: ${reasonOf(cause)}`;
    throw new AegisError('IO_ERROR', message, { cause });
  }
}
