/*
 * What the reliability tests counted, for people: each test prints its figures as one line and leaves them in
 * build/reliability.ndjson, from which `node test/report.mjs` makes the table of docs/reliability.md.
 */
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { long, seed } from './seed.ts';

const folder = join(import.meta.dirname, '../../build');

/** Figures by name, such as `{ 'crash states': 20_000, lost: 0 }`. */
export type Figures = Readonly<Record<string, number | string>>;

/** Prints and keeps the figures of one row of the table; `command` repeats the test alone. */
export function report(row: string, figures: Figures, command: string): void {
  const shown = Object.entries(figures).map(([name, figure]) => `${withCommas(figure)} ${name}`);
  process.stdout.write(`figures: ${row}: ${shown.join(', ')}\n`);
  mkdirSync(folder, { recursive: true });
  const line = { row, size: long ? 'long' : 'quick', seed, figures: shown.join(', '), command };
  appendFileSync(join(folder, 'reliability.ndjson'), `${JSON.stringify(line)}\n`);
}

function withCommas(figure: number | string): string {
  return typeof figure === 'number' ? figure.toLocaleString('en-US') : figure;
}
