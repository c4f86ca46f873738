/**
 * Rows of CSV and TSV, by csv-parse: quoted fields may hold delimiters, line ends and doubled quotes. The first row
 * names the fields, unless there is none that does. Blank lines are no rows.
 *
 * 1. Every row has as many fields as the first: one that has not is malformed, never guessed at.
 * 2. Fields are decoded strictly: what is no UTF-8 is malformed, never replaced.
 * 3. Rows are parsed together, and one by one where one of them is malformed: it takes no other with it.
 */
import type { CsvError, Options } from 'csv-parse';
import { decodeField } from '../encoding.ts';
import { UsageError } from '../exit.ts';
import type { Form, Input, Row, Rows } from './row.ts';
import { TREE_FIELD } from './row.ts';
import { type RawRow, Splitter } from './splitter.ts';

/** Places of key and value in a row, and how many fields it has. */
interface Columns {
  readonly key: number;
  readonly value: number;
  /** -1: there is none. */
  readonly tree: number;
  readonly count: number;
}

type Fields = readonly Uint8Array[];
type Parse = (bytes: Uint8Array) => Fields[];

const LINE_END = Uint8Array.of(0x0a);

/** What csv-parse finds wrong with the quotes of a field, as it is told: its own messages show bytes and count lines anew. */
const QUOTE_PROBLEMS: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: 'begins with a quote that is never closed',
  CSV_INVALID_CLOSING_QUOTE: 'goes on behind its closing quote; a quote inside is written twice',
  INVALID_OPENING_QUOTE:
    'has a quote inside; put it in quotes and write that one twice, or say --no-quoting if quotes are letters',
};

/** Reads rows. @throws UsageError when there is no such field */
export async function* tableRows(input: Input, delimiter: string, form: Form): Rows {
  const { parse } = await import('csv-parse/sync');
  const options: Options = {
    delimiter,
    encoding: null,
    quote: form.quoting ? '"' : null,
    record_delimiter: '\n',
    relax_column_count: true,
  };
  // Without an encoding fields are bytes, which the types do not know.
  const reader = new RowReader(form, (bytes) => parse(Buffer.from(bytes), options) as unknown as Fields[]);
  const splitter = new Splitter(form.quoting ? delimiter : undefined);
  for await (const piece of input) yield reader.read(splitter.take(piece));
  yield reader.read(splitter.end());
}

class RowReader {
  readonly #form: Form;
  readonly #parse: Parse;
  #position = 0;
  #columns: Columns | undefined;

  constructor(form: Form, parse: Parse) {
    this.#form = form;
    this.#parse = parse;
  }

  read(given: readonly RawRow[]): Row[] {
    const raw = given.filter(({ bytes }) => bytes.length > 0);
    const parsed = this.#parseAll(raw) ?? raw.map(({ bytes }) => this.#parseOne(bytes));
    return raw.flatMap((row, index) => this.#rowOf(parsed[index] as Fields | string, row));
  }

  /** All rows in one go; undefined when that does not work. */
  #parseAll(raw: readonly RawRow[]): Fields[] | undefined {
    try {
      const parsed = this.#parse(Buffer.concat(raw.flatMap(({ bytes }) => [bytes, LINE_END])));
      return parsed.length === raw.length ? parsed : undefined;
    } catch {
      return undefined;
    }
  }

  /** The fields of one row, or what is wrong with it. */
  #parseOne(bytes: Uint8Array): Fields | string {
    try {
      const [fields, more] = this.#parse(bytes);
      return fields === undefined || more !== undefined ? 'it is not one row' : fields;
    } catch (error) {
      const { code, column } = error as CsvError & { column?: number };
      const problem = QUOTE_PROBLEMS[code];
      return problem === undefined ? 'it is not one row' : `field ${Number(column) + 1} ${problem}`;
    }
  }

  #rowOf(fields: Fields | string, { line, lastLine }: RawRow): Row[] {
    if (this.#columns === undefined) {
      if (typeof fields === 'string') throw new UsageError(`line ${line}, the first of the table: ${fields}`);
      this.#columns = columnsOf(fields, this.#form);
      if (this.#form.header) return [];
    }
    const stand = { line, lastLine, position: ++this.#position };
    if (typeof fields === 'string') return [{ ...stand, problem: fields }];
    try {
      return [{ ...stand, ...recordOf(fields, this.#columns, this.#form) }];
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return [{ ...stand, problem: error.message }];
    }
  }
}

function columnsOf(first: Fields, form: Form): Columns {
  const count = first.length;
  if (!form.header) {
    const place = (given: string | undefined, otherwise: number) => {
      const number = given === undefined ? otherwise : Number(given);
      if (Number.isInteger(number) && number >= 1 && number <= count) return number - 1;
      throw new UsageError(
        `without a header a field is a number from 1 to ${count}, not ${given ?? otherwise}`,
      );
    };
    return { key: place(form.key, 1), value: place(form.value, 2), tree: -1, count };
  }
  const names = first.map((field) => Buffer.from(field).toString());
  const place = (name: string) => {
    const index = names.indexOf(name);
    if (index >= 0) return index;
    const known = names.map((known) => JSON.stringify(known)).join(', ');
    throw new UsageError(`the table has no field ${JSON.stringify(name)}; it has ${known.slice(0, 200)}`);
  };
  const tree = form.trees ? names.indexOf(TREE_FIELD) : -1;
  return { key: place(form.key ?? 'key'), value: place(form.value ?? 'value'), tree, count };
}

function recordOf(fields: Fields, { key, value, tree, count }: Columns, { encodings }: Form) {
  if (fields.length !== count) throw new RangeError(`it has ${fields.length} fields, not ${count}`);
  const name = tree < 0 ? '' : (decodeField(fields[tree] as Uint8Array, 'utf8') as string);
  return {
    // An empty name stands for the default tree.
    tree: name === '' ? undefined : name,
    key: decodeField(fields[key] as Uint8Array, encodings.key),
    value: decodeField(fields[value] as Uint8Array, encodings.value),
  };
}
