/* Quotes of CSV and TSV that are not closed or stray: every line that is lost to one is named and counted. */
import { expect, test } from 'vitest';
import { Place } from './store.ts';

/** Lines in front of them: the header is line 1, row `at` line `at + 2`. */
const ROWS = 300;

/** A table of rows `k0,v0` and so on, some of them changed. */
function tableOf(changes: Readonly<Record<number, string>>, delimiter: string): string {
  const rows = Array.from({ length: ROWS }, (_, at) => changes[at] ?? `k${at},v${at}`);
  return ['key,value', ...rows].map((row) => `${row.replaceAll(',', delimiter)}\n`).join('');
}

const OPEN: [string, Record<number, string>, number, number, string][] = [
  ['to the end of the input', { 4: 'k4,"open' }, 6, 301, 'field 2 begins with a quote that is never closed'],
  ['in the first field', { 4: '"k4,open' }, 6, 301, 'field 1 begins with a quote that is never closed'],
  ['in the last row', { 299: 'k299,"open' }, 301, 301, 'field 2 begins with a quote that is never closed'],
  ['behind a doubled one', { 4: 'k4,"open""' }, 6, 301, 'field 2 begins with a quote that is never closed'],
  [
    'to a field in quotes',
    { 4: 'k4,"open', 200: 'k200,"x"' },
    6,
    202,
    'field 2 goes on behind its closing quote',
  ],
  [
    'to a stray quote',
    { 4: 'k4,"open', 200: 'k200,6" of snow' },
    6,
    202,
    'field 2 goes on behind its closing quote',
  ],
  ['to a quote with a field behind', { 4: 'k4,"open', 200: 'k200",x' }, 6, 202, 'it has 3 fields, not 2'],
];

test.each(['csv', 'tsv'])(
  'cli: a quote left open in a %s names the lines it takes, and counts them',
  async (format) => {
    for (const [what, changes, first, last, problem] of OPEN) {
      const stdin = [tableOf(changes, format === 'csv' ? ',' : '\t')];
      const lost = last - first + 1;
      const lines = lost === 1 ? `line ${first}` : `line ${first} to ${last}`;
      const place = new Place();
      const words = ['load', '-', '--no-progress', '-f', format];
      const { status, output, errors } = await place.run([...words, '--skip-bad'], { stdin });
      expect(status, what).toBe(0);
      expect(errors).toBe(`aegis: ${lines} is left out: ${errors.split('left out: ')[1]}`);
      expect(errors).toContain(problem);
      expect(output).toMatch(
        lost === 1
          ? /; 1 malformed row was left out\n$/
          : new RegExp(`; 1 malformed row: ${lost} lines were left out\\n$`),
      );
      expect(Object.keys(await place.records())).toHaveLength(ROWS - lost);
      const stopped = await new Place().run(words, { stdin });
      expect(stopped.status).toBe(3);
      expect(stopped.errors).toContain(`aegis: INVALID_ARGUMENT: ${lines}: ${problem}`);
      const inJson = await new Place().run([...words, '--skip-bad', '--json'], { stdin });
      expect(JSON.parse(inJson.output)).toMatchObject({ records: ROWS - lost, bad: 1, badLines: lost });
      expect(JSON.parse(inJson.errors)).toMatchObject({
        leftOut: lost === 1 ? { line: first } : { line: first, lastLine: last },
      });
    }
  },
);

test('cli: rows of several lines are named even where others are only counted', async () => {
  const changes: Record<number, string> = {};
  for (let at = 0; at < 40; ++at) changes[at] = 'one field';
  changes[100] = 'k100,"open';
  changes[120] = 'k120,"x"';
  const { errors, output } = await new Place().run(
    ['load', '-', '--no-progress', '-f', 'csv', '--skip-bad'],
    {
      stdin: [tableOf(changes, ',')],
    },
  );
  const named = errors.trimEnd().split('\n');
  expect(named).toHaveLength(11);
  expect(named[10]).toMatch(/^aegis: line 102 to 122 is left out: /);
  expect(output).toMatch(/; 41 malformed rows: 61 lines were left out\n$/);
});

test('cli: a text of several lines in quotes is no loss', async () => {
  const place = new Place();
  const stdin = [tableOf({ 4: 'k4,"one', 5: 'two ""quoted""', 6: 'three"' }, ',')];
  const { errors, output } = await place.run(['load', '-', '--no-progress', '-f', 'csv'], { stdin });
  expect(errors).toBe('');
  expect(output).toMatch(/^298 records in [^;]+\n$/);
  expect((await place.records())['k4']).toBe('one\ntwo "quoted"\nthree');
});

test.each(['it\'s "cool', '6" of snow', 'a"b"c', 'x"'])(
  'cli: of a stray quote in %s its own row is told in words',
  async (text) => {
    const stdin = [tableOf({ 4: `k4,${text}` }, ',')];
    const place = new Place();
    const words = ['load', '-', '--no-progress', '-f', 'csv'];
    const { errors } = await place.run([...words, '--skip-bad'], { stdin });
    expect(errors).toMatch(/^aegis: line 6 is left out: field 2 has a quote inside; [^\n{]+\n$/);
    expect(Object.keys(await place.records())).toHaveLength(ROWS - 1);
    const plain = new Place();
    expect((await plain.run([...words, '--no-quoting'], { stdin })).status).toBe(0);
    expect((await plain.records())['k4']).toBe(text);
  },
);
