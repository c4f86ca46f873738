/*
 * Turns what the reliability tests left in build/reliability.ndjson into a table: `node test/report.mjs` prints it,
 * `node test/report.mjs --write` puts the rows of the long form into docs/reliability.md, between its two marks. A row
 * keeps its newest figures; rows that this run did not make stay as they are.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const source = join(root, 'build/reliability.ndjson');
const target = join(root, 'docs/reliability.md');
const BEGIN = '<!-- figures begin -->';
const END = '<!-- figures end -->';
const SIZES = ['quick', 'full', 'long'];
const HEAD = ['| test | figures seen | repeat with |', '|---|---|---|'];

const lines = existsSync(source) ? readFileSync(source, 'utf8').trim().split('\n').filter(Boolean) : [];
const rows = new Map();
for (const { row, size, seed, figures, command } of lines.map((line) => JSON.parse(line))) {
  const known = rows.get(row);
  if (known !== undefined && SIZES.indexOf(size) < SIZES.indexOf(known.size)) continue;
  const repeat = `SEED=${seed} ${size === 'quick' ? '' : `AEGIS_${size.toUpperCase()}=1 `}${command}`;
  rows.set(row, { size, text: `| ${row} | ${figures} | \`${repeat}\` |` });
}

if (process.argv.includes('--write')) {
  const text = readFileSync(target, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${target} has no marks for the table`);
  const kept = new Map();
  for (const line of text.slice(begin, end).split('\n')) {
    const name = /^\| ([^|]+) \|/.exec(line)?.[1];
    if (name !== undefined && !HEAD.includes(line)) kept.set(name, line);
  }
  for (const [row, { size, text: line }] of rows) if (size === 'long') kept.set(row, line);
  const table = [BEGIN, ...HEAD, ...kept.values(), ''].join('\n');
  writeFileSync(target, text.slice(0, begin) + table + text.slice(end));
} else {
  process.stdout.write(`${[...HEAD, ...[...rows.values()].map(({ text }) => text)].join('\n')}\n`);
}
