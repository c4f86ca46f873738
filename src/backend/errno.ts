/** Which code of ours a system's error is. One table, for the real file system and the simulated one. */
import type { AegisErrorCode } from '../errors.ts';

const CODES: Readonly<Record<string, AegisErrorCode>> = {
  ENOENT: 'NOT_FOUND',
  ENOSPC: 'OUT_OF_SPACE',
  EDQUOT: 'OUT_OF_SPACE',
  EFBIG: 'OUT_OF_SPACE',
  ELOOP: 'NOT_A_STORE',
  ENOTDIR: 'NOT_A_STORE',
  EISDIR: 'NOT_A_STORE',
};

/** The code for an error of the system. A failed sync is `IO_ERROR` whatever the reason (see `backend.ts`). */
export function codeOfErrno(errno: string | undefined, operation: string): AegisErrorCode {
  return (operation === 'sync' ? undefined : CODES[errno ?? '']) ?? 'IO_ERROR';
}
