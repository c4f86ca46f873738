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

/** Operations that take no room: whatever a system means by such an error there, it is not that room is short. */
const NEED_NO_ROOM: ReadonlySet<string> = new Set(['read', 'stat', 'list', 'remove']);

/** The code for an error of the system. A failed sync is `IO_ERROR` whatever the reason (see `backend.ts`). */
export function codeOfErrno(errno: string | undefined, operation: string): AegisErrorCode {
  const code = CODES[errno ?? ''] ?? 'IO_ERROR';
  return operation === 'sync' || (code === 'OUT_OF_SPACE' && NEED_NO_ROOM.has(operation)) ? 'IO_ERROR' : code;
}
