/**
 * Which names a backend's files may have. Every backend asks here before anything else, so no name can lead out of
 * a store's folder, mean a device on some system, or be two files on one system and one on another.
 *
 * 1. A name is 1 to 64 characters of `a-z 0-9 . -`, begins with a letter or digit and does not end with a dot
 *    (some systems drop it). So there are no separators, no `..`, no NUL and no upper case.
 * 2. Names that begin with `lock` belong to backends themselves: one may say there who holds the store.
 * 3. Device names of Windows are refused everywhere, with and without an extension.
 */
import { AegisError } from '../base/errors.ts';

const WELL_FORMED = /^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9-])?$/;
const RESERVED = /^(?:lock|(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))/;

/**
 * Returns when the name may be used.
 *
 * @throws {AegisError} `INVALID_ARGUMENT` otherwise.
 */
export function checkFileName(file: string): void {
  if (typeof file === 'string' && WELL_FORMED.test(file) && !RESERVED.test(file)) return;
  const given = typeof file === 'string' ? JSON.stringify(file.slice(0, 80)) : String(file);
  throw new AegisError(
    'INVALID_ARGUMENT',
    `${given} is no file name here: 1 to 64 characters of a-z 0-9 . - beginning with a letter or digit, ` +
      'not ending with a dot, not beginning with "lock" and not a device name',
  );
}

/**
 * Returns when a position or size in a file can be.
 *
 * @throws {AegisError} `INVALID_ARGUMENT` otherwise.
 */
export function checkPosition(position: number): void {
  if (Number.isSafeInteger(position) && position >= 0) return;
  throw new AegisError(
    'INVALID_ARGUMENT',
    `${String(position)} is no place in a file: a whole number from 0 is one`,
  );
}
