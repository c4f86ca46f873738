/*
 * One line for people and one for the table of docs/reliability.md: what a reliability test counted. Plain JavaScript,
 * because scripts that run without a bundler use it too.
 */
import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../build');

/** Prints figures (by name, such as `{ lost: 0 }`) and leaves them in build/reliability.ndjson. */
export function keepFigures({ row, size, seed, figures, command }) {
  const shown = Object.entries(figures).map(([name, figure]) => `${withCommas(figure)} ${name}`);
  process.stdout.write(`figures: ${row}: ${shown.join(', ')}\n`);
  mkdirSync(folder, { recursive: true });
  const line = { row, size, seed, figures: shown.join(', '), command };
  appendFileSync(join(folder, 'reliability.ndjson'), `${JSON.stringify(line)}\n`);
}

function withCommas(figure) {
  return typeof figure === 'number' ? figure.toLocaleString('en-US') : figure;
}
