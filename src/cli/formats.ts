/**
 * The forms in which records leave and enter a store as text: NDJSON, CSV and TSV.
 *
 * CSV is RFC 4180 with line feeds; TSV is the same with tabs. Fields are quoted where they have to be, and only there.
 */
import { extname } from 'node:path';
import { UsageError } from './exit.ts';
import { isNoPlainFile } from './files.ts';

export type Format = 'ndjson' | 'csv' | 'tsv';

export const FORMATS: readonly Format[] = ['ndjson', 'csv', 'tsv'];

/** What is between the fields of a table. */
export const DELIMITERS = { csv: ',', tsv: '\t' } as const;

const EXTENSIONS: Readonly<Record<string, Format>> = {
  '.ndjson': 'ndjson',
  '.jsonl': 'ndjson',
  '.json': 'ndjson',
  '.csv': 'csv',
  '.tsv': 'tsv',
  '.tab': 'tsv',
};

/** The format of a file: the one that was asked for, or what its name says, or (without a file of its own) NDJSON. */
export function formatOf(asked: Format | undefined, file: string | undefined): Format {
  if (asked !== undefined) return asked;
  if (file === undefined || file === '-') return 'ndjson';
  const format = EXTENSIONS[extname(file).toLowerCase()];
  if (format !== undefined) return format;
  // Names of devices and pipes tell nothing, nor does /dev/stdout where it is a file.
  if (isNoPlainFile(file) || /^\/(dev|proc)\//.test(file)) return 'ndjson';
  throw new UsageError(`the name of ${file} tells no format; say --format ${FORMATS.join(', ')}`);
}

const QUOTED = /["\t\r\n,]/;
/** What a line of a scan cannot have within a field. */
const BREAKING = /[\t\r\n]/;

/** A line of a table, without its end. */
export function tableLine(fields: readonly string[], delimiter: string): string {
  return fields.map((field) => (QUOTED.test(field) ? quoted(field) : field)).join(delimiter);
}

/** A line for people, without its end: texts, JSON among them, are as they are wherever that tells fields and lines apart. */
export function scanLine(fields: readonly string[]): string {
  return fields.map((field) => (BREAKING.test(field) ? quoted(field) : field)).join('\t');
}

function quoted(field: string): string {
  return `"${field.replaceAll('"', '""')}"`;
}
