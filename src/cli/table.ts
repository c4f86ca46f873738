/**
 * Tables of text: columns as wide as their widest cell, headings above, two spaces between. Widths count what a reader
 * sees: letters with their accents once, colours not at all.
 */
import { stripVTControlCharacters } from 'node:util';

/** A column of a table. */
export interface Column {
  readonly title: string;
  /** Default left. */
  readonly align?: 'left' | 'right';
  /** Least width, for tables that appear row by row. */
  readonly width?: number;
}

const GAP = '  ';
const letters = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** How many columns of a terminal a text takes (wide scripts are not considered). */
export function textWidth(text: string): number {
  return [...letters.segment(stripVTControlCharacters(text))].length;
}

/** A text filled up with spaces to a width. */
export function padText(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const fill = ' '.repeat(Math.max(0, width - textWidth(text)));
  return align === 'left' ? text + fill : fill + text;
}

/** One line of a table whose columns know their widths. */
export function tableRow(columns: readonly Column[], cells: readonly string[]): string {
  const padded = columns.map(({ align, width, title }, index) =>
    padText(cells[index] ?? '', width ?? textWidth(title), align),
  );
  return padded.join(GAP).trimEnd();
}

/** A whole table: its columns with their widths, for the heading, and its rows. */
export function layOut(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): { heading: string; lines: string[] } {
  const sized = columns.map((column, index) => ({
    ...column,
    width: Math.max(
      column.width ?? 0,
      textWidth(column.title),
      ...rows.map((row) => textWidth(row[index] ?? '')),
    ),
  }));
  const heading = tableRow(
    sized,
    columns.map(({ title }) => title),
  );
  return { heading, lines: rows.map((row) => tableRow(sized, row)) };
}
