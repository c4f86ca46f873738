/**
 * Rows of NDJSON: a JSON object on every line; blank lines say nothing. A number stands for its digits only if
 * JavaScript keeps all of them; else it is refused, never rounded.
 */
import { decodeJson, type Encoding, isMark, textOf } from '../encoding.ts';
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
    if (error instanceof RangeError) return [{ ...stand, problem: error.message }];
    if (error instanceof SyntaxError) return [{ ...stand, problem: `it is not JSON: ${error.message}` }];
    throw error;
  }
}

function recordOf(text: string, { key = 'key', value = 'value', whole, trees, encodings }: Form) {
  const given: unknown = JSON.parse(text);
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new RangeError('it is not a JSON object');
  }
  const fields = given as Record<string, unknown>;
  return {
    tree: trees && Object.hasOwn(fields, TREE_FIELD) ? treeOf(fields[TREE_FIELD]) : undefined,
    key: storedKey(fieldOf(fields, key), encodings.key, key),
    value: whole ? text : storedValue(fieldOf(fields, value), encodings.value, value),
  };
}

function treeOf(given: unknown): string {
  if (typeof given === 'string') return given;
  throw new RangeError(`its field "${TREE_FIELD}" is no name`);
}

function fieldOf(fields: Record<string, unknown>, name: string): unknown {
  const given = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (given !== undefined && given !== null) return given;
  throw new RangeError(`it has no field ${JSON.stringify(name)}`);
}

function storedKey(given: unknown, encoding: Encoding, name: string): string | Uint8Array {
  if (typeof given === 'number' && encoding === 'auto') return exact(given, name);
  return within(name, () => decodeJson(given, encoding));
}

/** Numbers, truth values, lists and objects are their JSON. */
function storedValue(given: unknown, encoding: Encoding, name: string): string | Uint8Array {
  if (typeof given === 'string' || isMark(given) || encoding !== 'auto') {
    return within(name, () => decodeJson(given, encoding));
  }
  return exact(given, name);
}

function within<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RangeError(`its field ${JSON.stringify(name)}: ${error.message}`);
  }
}

/** JSON of what was read as JSON, as long as no number has lost digits on the way. */
function exact(given: unknown, name: string): string {
  return JSON.stringify(given, (_, value: unknown) => {
    const isRounded = Number.isInteger(value)
      ? !Number.isSafeInteger(value)
      : value === Infinity || value === -Infinity;
    if (!isRounded) return value;
    throw new RangeError(
      `its field ${JSON.stringify(name)} has a number that loses digits here; write it as text`,
    );
  });
}
