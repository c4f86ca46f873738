/* The small parts that texts pass on their way in and out: each alone, without a store. */
import { expect, test } from 'vitest';
import { shellWord } from '../../src/cli/command-line.ts';
import { printable } from '../../src/cli/exit.ts';
import { fieldText } from '../../src/cli/load/json-text.ts';
import { Splitter } from '../../src/cli/load/splitter.ts';

test('cli texts: a number that comes out as another is refused', () => {
  const text = (number: string) => fieldText(`{"v":[${number}]}`, 'v');
  for (const number of ['1.50', '-0', '0.30000000000000004', '1e23', '9007199254740992']) {
    expect(text(number)).toBe(`[${number}]`);
  }
  for (const number of ['9007199254740993', '0.30000000000000004441', '1e-400', '1e400', '4e-324']) {
    expect(() => text(number), number).toThrow('loses digits');
  }
});

test('cli texts: of a name that comes twice the last field is read, as JSON.parse does', () => {
  expect(fieldText('{"v":1e999,"w":[{"v":3}],"v":[2, {"x" : 1}]}', 'v')).toBe('[2,{"x":1}]');
});

test('cli texts: a quoted row knows its first and its last line, also where the input ends in it', () => {
  const splitter = new Splitter(',');
  const rows = [...splitter.take(Buffer.from('a,b\n"c\nd",e\n"f\ng\n')), ...splitter.end()];
  expect(rows.map(({ line, lastLine }) => [line, lastLine])).toEqual([
    [1, 1],
    [2, 3],
    [4, 5],
  ]);
});

test('cli texts: a message is one line without what a terminal obeys', () => {
  expect(printable('a \n b\u001b[2J\u009b\u2028ä')).toBe('a b\\u001b[2J\\u009b\\u2028ä');
});

test('cli texts: a word is quoted where a shell would take it for more', () => {
  expect(["it's", '', '-a=b', '$x', 'a\nb'].map(shellWord)).toEqual([
    `'it'\\''s'`,
    `''`,
    '-a=b',
    `'$x'`,
    `$'a\\u000ab'`,
  ]);
});
