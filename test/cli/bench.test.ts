/* The small benchmark: what it says, and what it leaves behind. Its figures are a machine's affair. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { recordsFrom } from '../../src/cli/bench/records.ts';
import { aegis } from './run.ts';

const left = () => readdirSync(tmpdir()).filter((name) => name.startsWith('aegis-bench-'));

test('cli: bench measures every level of durability beside a plain file, then reads, and cleans up', async () => {
  const before = left();
  const { status, output, errors } = await aegis(['--json', 'bench', '-r', '1000', '-s', '3', '--seed', '7']);
  expect({ status, errors }).toEqual({ status: 0, errors: '' });
  const answer = JSON.parse(output) as {
    seed: number;
    rows: { name: string; operations: number; ratio?: number }[];
  };
  expect(answer.seed).toBe(7);
  expect(answer.rows.map(({ operations }) => operations)).toEqual([3, 192, 1000, 1000, 1000, 1000]);
  expect(answer.rows.map(({ ratio }) => typeof ratio)).toEqual([
    ...Array(4).fill('number'),
    'undefined',
    'undefined',
  ]);
  expect(left().filter((name) => !before.includes(name))).toEqual([]);
  expect((await aegis(['bench', '--records', '5'])).status).toBe(2);
});

test('cli: the records of bench come from their seed alone, each key once', () => {
  const some = recordsFrom(7, 2000);
  expect(recordsFrom(7, 2000)).toEqual(some);
  expect(recordsFrom(8, 2000)).not.toEqual(some);
  expect(new Set(some.map(({ key }) => key)).size).toBe(2000);
  expect(some.every(({ key, value }) => key.length === 16 && value.length === 100)).toBe(true);
});
