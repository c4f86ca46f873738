/* load of NDJSON: numbers keep all their digits or are refused, and no depth of lists and objects is too much. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fieldText } from '../../src/cli/load/json-text.ts';
import { long, seed } from '../support/seed.ts';
import { Place } from './store.ts';

/** Numbers that mean what is written. */
const EXACT = [
  '0',
  '-0',
  '7',
  '1.0',
  '1.50',
  '0.1',
  '-0.25',
  '1e3',
  '1E+3',
  '-2.5e-7',
  '1e-300',
  '5e-324',
  '1.7976931348623157e308',
  '0.30000000000000004',
  '123456789012345.67',
  '9007199254740991',
  '9007199254740992',
  '1e23',
  '100000000000000000000000',
  `0.${'0'.repeat(300)}1`,
  '0e999',
];

/** Numbers that come out as others. */
const LOSING = [
  '9007199254740993',
  '12345678901234567890',
  '0.1234567890123456789',
  '123456789012345.678',
  '1.00000000000000000001',
  '0.30000000000000004441',
  '1e-400',
  '-1e-330',
  '4e-324',
  '1e400',
  '-1e999',
  `1${'0'.repeat(400)}`,
  `1.${'0'.repeat(400)}1`,
  '1e-99999999999999999999',
];

/** Loads lines and leaves out the malformed ones; answers what is there, and the lines that were named. */
async function loaded(
  lines: readonly string[],
): Promise<{ records: Record<string, string>; named: number[] }> {
  const place = new Place();
  const { status, errors } = await place.run(['load', '-', '--no-progress', '--skip-bad'], {
    stdin: [lines.join('\n')],
  });
  expect(status, errors).toBe(0);
  const named = [...errors.matchAll(/^aegis: line (\d+) is left out: .* loses digits here/gm)];
  return { records: await place.records(), named: named.map(([, line]) => Number(line)) };
}

/** Where a number can stand in a value. */
const PLACES = [
  (number: string) => number,
  (number: string) => `[true,${number}]`,
  (number: string) => `{"a":{"b":[${number}]}}`,
];

test.each(PLACES)(
  'cli: a number in a value is stored as it is written, or its line is named (%#)',
  async (place) => {
    const lines = (numbers: readonly string[]) =>
      numbers.map((number, at) => `{"key":"${at}","value":${place(number)}}`);
    const exact = await loaded(lines(EXACT));
    expect(exact.named).toEqual([]);
    expect(exact.records).toEqual(Object.fromEntries(EXACT.map((number, at) => [String(at), place(number)])));
    for (let from = 0; from < LOSING.length; from += 10) {
      const some = LOSING.slice(from, from + 10);
      const losing = await loaded(lines(some));
      expect(losing).toEqual({ records: {}, named: some.map((_, at) => at + 1) });
    }
  },
);

test('cli: keys that are different numbers are different records, or their lines are named', async () => {
  const lines = (numbers: readonly string[]) => numbers.map((number) => `{"key":${number},"value":"v"}`);
  const exact = await loaded(lines(EXACT));
  expect(exact.named).toEqual([]);
  expect(Object.keys(exact.records).sort()).toEqual([...EXACT].sort());
  for (let from = 0; from < LOSING.length; from += 10) {
    const some = LOSING.slice(from, from + 10);
    expect(await loaded(lines(some))).toEqual({ records: {}, named: some.map((_, at) => at + 1) });
  }
});

test('cli: numbers in fields that nobody asked for are not looked at', async () => {
  const line = '{"n":1e999,"key":"k","value":"v","m":[0.1234567890123456789]}';
  expect(await loaded([line])).toEqual({ records: { k: 'v' }, named: [] });
});

test('cli: of a field that comes twice the last one counts, in its own digits', async () => {
  const line = '{"key":1e999,"value":[1e999],"key":2,"value":[3, 4],"\\u0076alue":{"x" : 5}}';
  expect(await loaded([line])).toEqual({ records: { 2: '{"x":5}' }, named: [] });
});

test('cli: the text of a field is what JSON.parse reads of it, whatever is around', () => {
  fc.assert(
    fc.property(fc.json(), fc.json(), fc.constantFrom(undefined, 1, '\t', ' \n'), (one, other, space) => {
      const object = { a: JSON.parse(other) as unknown, 'b"\\': JSON.parse(one) as unknown, c: null };
      const text = fieldText(JSON.stringify(object, undefined, space), 'b"\\');
      expect(JSON.parse(text)).toEqual(JSON.parse(one));
      expect(text).toBe(JSON.stringify(JSON.parse(text)));
    }),
    { seed, numRuns: long ? 10_000 : 300 },
  );
});

const nested = (depth: number, open: string, close: string, inner = '') =>
  open.repeat(depth) + inner + close.repeat(depth);

test.each([
  ['lists', nested(5000, '[', ']')],
  ['objects', nested(5000, '{"a":', '}', '1')],
  ['both, very many', nested(200_000, '[{"a":', '}]', 'null')],
])('cli: %s in each other are stored as they are written', async (_, value) => {
  const place = new Place();
  const { status, errors } = await place.run(['load', '-', '--no-progress'], {
    stdin: [`{"key":"deep","value":${value}}\n{"key":"next","value":"v"}\n`],
  });
  expect({ status, errors }).toEqual({ status: 0, errors: '' });
  expect(await place.records()).toEqual({ deep: value, next: 'v' });
});

test.each([
  ['a number deep down', nested(5000, '[', ']', '1e999'), 'its field "value": the number 1e999 loses digits'],
  ['an end that is missing', nested(5000, '[', '').slice(1), 'it is not JSON: '],
])('cli: of %s the line is named', async (_, value, problem) => {
  const { status, errors } = await new Place().run(['load', '-', '--no-progress'], {
    stdin: [`\n{"key":"deep","value":${value}}\n`],
  });
  expect(status).toBe(3);
  expect(errors).toContain(`aegis: INVALID_ARGUMENT: line 2: ${problem}`);
  expect(errors).not.toMatch(/call stack/i);
});
