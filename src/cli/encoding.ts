/**
 * Keys and values as text, both ways. A store holds bytes; a terminal, a CSV field and a JSON string hold text.
 *
 * 1. `auto`: text is itself; bytes that are no UTF-8, and text that begins with the mark, are the mark `base64:` and
 *    their base64. So nothing that is written can be taken for something else when it is read back.
 * 2. In JSON the mark is a form of its own, `{"base64": "…"}`: a string is always text.
 * 3. `utf8`, `hex` and `base64` mean every key or value, without marks. What is no UTF-8 has no `utf8` form.
 */
import { CommandFailure } from './exit.ts';

/** How bytes are written as text. */
export type Encoding = 'auto' | 'utf8' | 'hex' | 'base64';

export const ENCODINGS: readonly Encoding[] = ['auto', 'utf8', 'hex', 'base64'];

/** The encodings of the two halves of a record. */
export interface Encodings {
  readonly key: Encoding;
  readonly value: Encoding;
}

/** Bytes in JSON: text, or base64 marked as such. */
export type JsonBytes = string | { readonly base64: string };

const MARK = 'base64:';
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Text of bytes, or undefined when they are no UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    // A text may have half a gigabyte of letters and no more: then base64 has no place in a string either.
    if (error instanceof TypeError) return undefined;
    throw new CommandFailure(`a value of ${bytes.length} bytes is too long to be shown as text`, 'TOO_LARGE');
  }
}

/** Bytes as text. */
export function encode(bytes: Uint8Array, encoding: Encoding): string {
  if (encoding !== 'auto') return encodeAs(bytes, encoding);
  const text = textOf(bytes);
  return text === undefined || text.startsWith(MARK) ? MARK + base64Of(bytes) : text;
}

/** Bytes as a value of JSON. */
export function encodeJson(bytes: Uint8Array, encoding: Encoding): JsonBytes {
  if (encoding !== 'auto') return encodeAs(bytes, encoding);
  return textOf(bytes) ?? { base64: base64Of(bytes) };
}

/** Bytes of a text. @throws RangeError saying why it has none */
export function decode(text: string, encoding: Encoding): string | Uint8Array {
  if (encoding === 'hex') return hexBytes(text);
  if (encoding === 'base64') return base64Bytes(text);
  if (encoding === 'auto' && text.startsWith(MARK)) return base64Bytes(text.slice(MARK.length));
  if (LONE_SURROGATE.test(text)) throw new RangeError('half a surrogate pair has no UTF-8');
  return text;
}

/** Bytes of a field of a table, which come as bytes. @throws RangeError saying why it has none */
export function decodeField(field: Uint8Array, encoding: Encoding): string | Uint8Array {
  const text = textOf(field);
  if (text === undefined) throw new RangeError('it is not UTF-8');
  return decode(text, encoding);
}

/** Bytes of a string or mark of JSON. @throws RangeError saying why it has none */
export function decodeJson(given: unknown, encoding: Encoding): string | Uint8Array {
  // In JSON a string is always text, whatever it begins with.
  if (typeof given === 'string') return decode(given, encoding === 'auto' ? 'utf8' : encoding);
  if (isMark(given)) return base64Bytes(given.base64);
  throw new RangeError('it is neither a string nor {"base64": "…"}');
}

/** Whether a value of JSON is `{"base64": "…"}` and nothing else. */
export function isMark(given: unknown): given is { base64: string } {
  if (typeof given !== 'object' || given === null || Object.keys(given).length !== 1) return false;
  return 'base64' in given && typeof given.base64 === 'string';
}

function encodeAs(bytes: Uint8Array, encoding: 'utf8' | 'hex' | 'base64'): string {
  if (encoding === 'base64') return base64Of(bytes);
  if (encoding === 'hex') return viewOf(bytes).toString('hex');
  const text = textOf(bytes);
  if (text !== undefined) return text;
  const beginning = viewOf(bytes.subarray(0, 16)).toString('hex');
  throw new CommandFailure(
    `not UTF-8: ${bytes.length} bytes that begin ${beginning} (hex); use auto, hex or base64`,
  );
}

function base64Of(bytes: Uint8Array): string {
  return viewOf(bytes).toString('base64');
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function hexBytes(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'hex');
  if (bytes.length * 2 !== text.length) throw new RangeError('it is not hex, two digits a byte');
  return bytes;
}

/** Only what base64 itself would write: everything else, such as a missing end, is refused. */
function base64Bytes(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new RangeError('it is not base64');
  return bytes;
}
