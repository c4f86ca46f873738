/**
 * Rows of NDJSON: a JSON object on every line; blank lines say nothing. A value that is no string is stored as the JSON
 * that stands there, a key that is a number as its digits; where the runtime's numbers do not keep them all, the line
 * is refused, never rounded.
 */
import { decodeJson, type Encoding, isMark, textOf } from '../encoding.ts';
import { fieldText } from './json-text.ts';
import type { Form, Input, Row, Rows } from './row.ts';
import { TREE_FIELD } from './row.ts';
import { type RawRow, Splitter } from './splitter.ts';

/** Reads rows. */
export async function* ndjsonRows(input: Input, form: Form): Rows {
  const splitter = new Splitter();
  const read = (rows: readonly RawRow[]) => rows.flatMap((row) => rowOf(row, form));
  for await (const piece of input) yield read(splitter.take(piece));
  yield read(splitter.end());
}

function rowOf({ bytes, line }: RawRow, form: Form): Row[] {
  const stand = { line, position: line };
  const text = textOf(bytes);
  if (text === undefined) return [{ ...stand, problem: 'it is not UTF-8' }];
  if (text.trim() === '') return [];
  try {
    return [{ ...stand, ...recordOf(text, form) }];
  } catch (error) {
    if (error instanceof SyntaxError) return [{ ...stand, problem: `it is not JSON: ${error.message}` }];
    if (!(error instanceof RangeError)) throw error;
    return [{ ...stand, problem: isStackFull(error) ? 'it is nested too deep' : error.message }];
  }
}

/** Whether the runtime gave up, and not one of the rules here. */
function isStackFull({ message }: RangeError): boolean {
  return /call stack|recursion/i.test(message);
}

function recordOf(text: string, { key = 'key', value = 'value', whole, trees, encodings }: Form) {
  const given: unknown = JSON.parse(text);
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new RangeError(`it is ${kindOf(given)}, not a JSON object`);
  }
  const fields = given as Record<string, unknown>;
  return {
    tree: trees && Object.hasOwn(fields, TREE_FIELD) ? treeOf(fields[TREE_FIELD]) : undefined,
    key: storedKey(text, fieldOf(fields, key), encodings.key, key),
    value: whole ? text : storedValue(text, fieldOf(fields, value), encodings.value, value),
  };
}

function treeOf(given: unknown): string {
  if (typeof given === 'string') return given;
  throw new RangeError(`its field "${TREE_FIELD}" is no name`);
}

function fieldOf(fields: Record<string, unknown>, name: string): NonNullable<unknown> {
  const given = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (given === undefined) throw new RangeError(`it has no field ${JSON.stringify(name)}`);
  if (given !== null) return given;
  throw new RangeError(
    `its field ${JSON.stringify(name)} is null; write what null stands for, or leave the line out`,
  );
}

function storedKey(text: string, given: unknown, encoding: Encoding, name: string): string | Uint8Array {
  return within(name, () =>
    typeof given === 'number' && encoding === 'auto' ? fieldText(text, name) : decodeJson(given, encoding),
  );
}

/** Numbers, truth values, lists and objects are their JSON. */
function storedValue(text: string, given: unknown, encoding: Encoding, name: string): string | Uint8Array {
  const isText = typeof given === 'string' || isMark(given) || encoding !== 'auto';
  return within(name, () => (isText ? decodeJson(given, encoding) : fieldText(text, name)));
}

function kindOf(given: unknown): string {
  if (given === null) return 'null';
  if (Array.isArray(given)) return 'a list';
  return typeof given === 'boolean' ? 'a truth value' : `a ${typeof given}`;
}

/** Says which field an error is about. */
function within<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RangeError) || isStackFull(error)) throw error;
    throw new RangeError(`its field ${JSON.stringify(name)}: ${error.message}`);
  }
}
