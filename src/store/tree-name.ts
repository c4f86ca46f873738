/**
 * Names of trees. A user's is 1 to 255 bytes of UTF-8. Trees of the engine's own have names that begin with the byte
 * 0xFF, which is in no UTF-8: nobody can name them by accident. In memory a name is a string; there a lone surrogate,
 * which no user's name can hold, stands for that byte.
 *
 * Invariants
 *   1. `nameBytes` and `nameOf` are inverse to each other; two names never have the same bytes.
 */
import { NAME_SIZE_MAX } from '../../assembly/layout.ts';
import { encodeString } from '../base/bytes-in.ts';
import { AegisError, invalid } from '../base/errors.ts';

/** Tree id of the default tree. */
export const MAIN_TREE = 1;
/** Stands for the id of a tree that is not there. */
export const NO_TREE = 0;
/** What the default tree is called here; no other tree has an empty name. */
export const MAIN_NAME = '';

/** Stands for the byte 0xFF. */
const INTERNAL = '\udfff';
const INTERNAL_BYTE = 0xff;

/** The tree that holds users' blocks. */
export const BLOCKS_NAME = `${INTERNAL}blocks`;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

/** Refuses what is no user's name of a tree. Throws INVALID_ARGUMENT, TOO_LARGE. */
export function checkTreeName(name: unknown): string {
  if (typeof name !== 'string') throw invalid('tree', name, 'a name');
  if (name === '') throw new AegisError('INVALID_ARGUMENT', 'tree: a name has at least one character');
  const { length } = encodeString(name, 'tree');
  if (length <= NAME_SIZE_MAX) return name;
  throw new AegisError('TOO_LARGE', `tree: a name of ${length} bytes, at most ${NAME_SIZE_MAX}`);
}

/** The bytes of a name, as the log and the catalog have them. */
export function nameBytes(name: string): Uint8Array {
  if (!name.startsWith(INTERNAL)) return encoder.encode(name);
  const rest = encoder.encode(name.slice(INTERNAL.length));
  const bytes = new Uint8Array(1 + rest.length);
  bytes[0] = INTERNAL_BYTE;
  bytes.set(rest, 1);
  return bytes;
}

/** The name with these bytes; undefined when no tree of this version can have it. */
export function nameOf(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0 || bytes.length > NAME_SIZE_MAX) return undefined;
  if (bytes[0] === INTERNAL_BYTE) {
    const blocks = nameBytes(BLOCKS_NAME);
    return bytes.length === blocks.length && bytes.every((byte, at) => byte === blocks[at])
      ? BLOCKS_NAME
      : undefined;
  }
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Whether a name is a user's. */
export function isUserName(name: string): boolean {
  return name !== MAIN_NAME && !name.startsWith(INTERNAL);
}
