/** Which code of ours a system's error is. One table, for the real file system and the simulated one. */
import type { AegisErrorCode } from '../base/errors.ts';

/** What Node calls an error of its permission model, and we those of Deno's: the system was never asked. */
export const REFUSED_BY_RUNTIME = 'ERR_ACCESS_DENIED';

const CODES: Readonly<Record<string, AegisErrorCode>> = {
  ENOENT: 'NOT_FOUND',
  ENOSPC: 'OUT_OF_SPACE',
  EDQUOT: 'OUT_OF_SPACE',
  EFBIG: 'OUT_OF_SPACE',
  ELOOP: 'NOT_A_STORE',
  ENOTDIR: 'NOT_A_STORE',
  EISDIR: 'NOT_A_STORE',
  [REFUSED_BY_RUNTIME]: 'UNSUPPORTED',
};

/** Operations that take no room: whatever a system means by such an error there, it is not that room is short. */
const NEED_NO_ROOM: ReadonlySet<string> = new Set(['read', 'stat', 'list', 'remove']);

/** Windows' own numbers for what has a name elsewhere. */
const WINDOWS_NAMES: Readonly<Record<number, string>> = {
  2: 'ENOENT',
  3: 'ENOENT',
  5: 'EACCES',
  39: 'ENOSPC',
  80: 'EEXIST',
  112: 'ENOSPC',
  183: 'EEXIST',
  223: 'EFBIG',
  1295: 'EDQUOT',
};

/**
 * The system's name of an error, such as `EIO`, where it has one. Deno gives some errors no `code`, only the system's
 * number at the end of the message. `numbers` says what a number means on this system.
 */
export function nameOfError(
  cause: unknown,
  numbers: Readonly<Record<string, number>>,
  isWindows: boolean,
): string | undefined {
  const { code, errno, name, message } = Object(cause) as Record<string, unknown>;
  if (name === 'NotCapable') return REFUSED_BY_RUNTIME;
  if (typeof code === 'string') return code;
  const [, given] = /\(os error (\d+)\)\s*$/.exec(String(message)) ?? [];
  if (given !== undefined && isWindows) return WINDOWS_NAMES[Number(given)];
  const number = Math.abs(Number(given ?? errno));
  return Object.keys(numbers).find((known) => numbers[known] === number);
}

/** The code for an error of the system. A failed sync is `IO_ERROR` whatever the reason (see `backend.ts`). */
export function codeOfErrno(errno: string | undefined, operation: string): AegisErrorCode {
  const code = CODES[errno ?? ''] ?? 'IO_ERROR';
  return operation === 'sync' || (code === 'OUT_OF_SPACE' && NEED_NO_ROOM.has(operation)) ? 'IO_ERROR' : code;
}
