/**
 * A row of what is loaded, whatever its format: a record, or what is wrong with it. Which fields make the record is
 * the form.
 */
import type { Encodings } from '../encoding.ts';

/** Where a row stands. */
interface Stand {
  /** Line of the input on which it begins, from 1 on. */
  readonly line: number;
  /** Line on which it ends, where that is another one. */
  readonly lastLine?: number;
  /** How many rows have gone by with it: lines of NDJSON, rows of a table below its header. */
  readonly position: number;
}

export interface GoodRow extends Stand {
  /** Absent: the default tree. */
  readonly tree?: string | undefined;
  readonly key: string | Uint8Array;
  readonly value: string | Uint8Array;
}

export interface BadRow extends Stand {
  readonly problem: string;
}

export type Row = GoodRow | BadRow;

/** How many lines a row takes. */
export function linesOf({ line, lastLine = line }: Stand): number {
  return lastLine - line + 1;
}

/** The lines of a row, in words. */
export function nameOfLines({ line, lastLine = line }: Stand): string {
  return line === lastLine ? `line ${line}` : `line ${line} to ${lastLine}`;
}

/** How a row becomes a record. */
export interface Form {
  /** Field of the key; default `key`, or the first column where there is no header. */
  readonly key?: string | undefined;
  /** Field of the value; default `value`, or the second column where there is no header. */
  readonly value?: string | undefined;
  /** The value is the whole line. NDJSON only. */
  readonly whole: boolean;
  /** Whether a field `tree` names the tree: in rows that dump has written, not in anybody else's. */
  readonly trees: boolean;
  readonly encodings: Encodings;
  /** Tables: whether the first row names the fields, and whether fields are quoted. */
  readonly header: boolean;
  readonly quoting: boolean;
}

/** The field that names the tree. */
export const TREE_FIELD = 'tree';

/** Rows in the pieces in which they come. */
export type Rows = AsyncGenerator<readonly Row[]>;

/** What is read: pieces of bytes. */
export type Input = AsyncIterable<Uint8Array>;
