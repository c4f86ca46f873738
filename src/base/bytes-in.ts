/**
 * The one door for bytes that come in: keys, values, bounds and prefixes, the data of blocks and serialised blocks.
 *
 * Invariants
 *   1. What passes is known by its brand, not by its class: a Uint8Array of another realm (a frame, a vm context, Jest)
 *      is one, what only looks like one is none. It may lie over shared or resizable memory; memory that was transferred
 *      away, or that a view has been cut off from, holds nothing and is refused.
 *   2. The caller's memory is never written to.
 *   3. Nothing of it is kept: what is packed before the call returns is read where it lies; what waits, or is kept, is
 *      copied with `ownBytes`. Not with `slice()`: that of Node's Buffer copies nothing.
 *   4. What passes has the length that it says: a class of the caller's own may answer anything for `length`. One that
 *      answers differently each time, or calls the store from there, is not guarded against: it would cost every call.
 */
import { VALUE_SIZE_MAX } from '../../assembly/layout.ts';
import { AegisError, shown } from './errors.ts';
import type { OwnBytes } from './lib-types.ts';

/** What a key or value may be: a string stands for its UTF-8 bytes. */
export type Bytes = string | Uint8Array;

const encoder = new TextEncoder();

/** A getter that all typed arrays have in common; it answers for those of every realm. */
function typedArrayGetter<T>(name: 'length' | 'buffer' | 'byteOffset' | symbol): (this: unknown) => T {
  const { get } = Object.getOwnPropertyDescriptor(
    Object.getPrototypeOf(Uint8Array.prototype),
    name,
  ) as PropertyDescriptor;
  return get as (this: unknown) => T;
}

const tagOf = typedArrayGetter<string | undefined>(Symbol.toStringTag);
const lengthOf = typedArrayGetter<number>('length');
const bufferOf = typedArrayGetter<ArrayBuffer>('buffer');
const offsetOf = typedArrayGetter<number>('byteOffset');
const { indexOf } = Uint8Array.prototype;

/** Checked bytes, still the caller's. Throws INVALID_ARGUMENT. */
export function checkBytes(what: string, given: unknown, needed = 'a string or Uint8Array'): Uint8Array {
  if (tagOf.call(given) !== 'Uint8Array') throw notBytes(what, given, needed);
  const bytes = given as Uint8Array;
  const length = lengthOf.call(bytes);
  if (length === 0) checkThere(what, bytes);
  return bytes.length === length ? bytes : new Uint8Array(bufferOf.call(bytes), offsetOf.call(bytes), length);
}

/** Refuses bytes whose memory is gone; they answer 0 for their length, as empty ones do. */
function checkThere(what: string, bytes: Uint8Array): void {
  try {
    indexOf.call(bytes, 0);
  } catch (cause) {
    throw new AegisError(
      'INVALID_ARGUMENT',
      `${what}: its memory was transferred away, or made too small for it`,
      {
        cause,
      },
    );
  }
}

/** A copy of bytes, in memory of its own. Throws TOO_LARGE. */
export function ownBytes(bytes: Uint8Array): OwnBytes {
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new AegisError('TOO_LARGE', `this machine refuses memory for ${bytes.length} bytes`, { cause });
  }
}

/** A value as bytes, checked. Throws INVALID_ARGUMENT, TOO_LARGE. */
export function valueBytes(value: Bytes): Uint8Array {
  const bytes = typeof value === 'string' ? encodeString(value, 'value') : checkBytes('value', value);
  if (bytes.length > VALUE_SIZE_MAX) {
    throw new AegisError('TOO_LARGE', `value: ${bytes.length} bytes, at most ${VALUE_SIZE_MAX}`);
  }
  return bytes;
}

/** Longest text of which it is tried whether it is ASCII: the encoder takes longer for one that is short, not for others. */
const ASCII_MAX = 64;

/** The bytes of an ASCII text; undefined: it is none. */
function asciiBytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; ++i) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return undefined;
    bytes[i] = code;
  }
  return bytes;
}

/** The UTF-8 bytes of a string that is a legal key or value. Throws INVALID_ARGUMENT, TOO_LARGE. */
export function encodeString(text: string, what: string): Uint8Array {
  const ascii = text.length <= ASCII_MAX ? asciiBytes(text) : undefined;
  if (ascii) return ascii;
  checkWellFormed(text, what);
  try {
    return encoder.encode(text);
  } catch (cause) {
    throw new AegisError('TOO_LARGE', `${what}: this machine refuses memory for ${text.length} characters`, {
      cause,
    });
  }
}

/** A string with half a character has no bytes of its own: two such strings would become one key. */
export function checkWellFormed(text: string, what: string): void {
  // isWellFormed is in every runtime we support; typings of ES2023 do not know it yet.
  const checked = text as string & { isWellFormed?: () => boolean };
  const fine = checked.isWellFormed ? checked.isWellFormed() : !/\p{Surrogate}/u.test(text);
  if (!fine) throw new AegisError('INVALID_ARGUMENT', `${what}: a string must not hold a lone surrogate`);
}

/** The error for something that is not what bytes may be. */
function notBytes(what: string, given: unknown, needed: string): AegisError {
  const kind = typeof given === 'object' || typeof given === 'function' ? shown(given) : typeof given;
  return new AegisError('INVALID_ARGUMENT', `${what}: ${needed} is needed, got ${kind}`);
}
