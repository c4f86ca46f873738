/*
 * What the reliability tests counted, for people: each test prints its figures as one line and leaves them in
 * build/reliability.ndjson, from which `node test/report.mjs` makes the table of docs/reliability.md.
 */
import { keepFigures } from './figures.mjs';
import { seed, sized } from './seed.ts';

/** Figures by name, such as `{ 'crash states': 20_000, lost: 0 }`. */
export type Figures = Readonly<Record<string, number | string>>;

/** Prints and keeps the figures of one row of the table; `command` repeats the test alone. */
export function report(row: string, figures: Figures, command: string): void {
  keepFigures({ row, size: sized('quick', 'full', 'long'), seed, figures, command });
}
