/* The mutants as the table in docs/reliability.md shows them. `MUTANT_TABLE=write npx vitest run test/mutants -t table` */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Mutant } from './mutant.ts';

const path = join(import.meta.dirname, '../../docs/reliability.md');
const BEGIN = '| mutant | source | killer |\n|---|---|---|\n';

function rowOf({ name, file, killer }: Mutant): string {
  const shown = killer.test.source === '.' ? '' : ` "${killer.test.source}"`;
  const env = Object.entries(killer.env ?? {}).map(([key, value]) => `${key}=${value}`);
  const how = env.length === 0 ? '' : ` (${env.join(' ')})`;
  const cells = [name, `\`${file}\``, `\`${killer.file}\`${shown}${how}`];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
}

/** The table as it stands in the document, and as it should; with MUTANT_TABLE=write it is written. */
export function tables(mutants: readonly Mutant[]): { found: string; wanted: string } {
  const text = readFileSync(path, 'utf8');
  const begin = text.indexOf(BEGIN) + BEGIN.length;
  const end = text.indexOf('\n\n', begin) + 1;
  const wanted = mutants.map(rowOf).join('');
  if (process.env['MUTANT_TABLE'] === 'write') {
    writeFileSync(path, text.slice(0, begin) + wanted + text.slice(end));
    return { found: wanted, wanted };
  }
  return { found: text.slice(begin, end), wanted };
}
