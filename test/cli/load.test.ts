/* load and dump: what goes out comes back to the byte, what is malformed is named, and a stopped load can go on. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Splitter } from '../../src/cli/load/splitter.ts';
import { temporaryFolder } from '../support/place.ts';
import { long, seed } from '../support/seed.ts';
import { filled, latin, Place } from './store.ts';

/** Writes a file to load. */
function fileOf(name: string, contents: string | Uint8Array): string {
  const file = join(temporaryFolder(), name);
  writeFileSync(file, contents);
  return file;
}

const AWKWARD: [string | Uint8Array, string | Uint8Array][] = [
  ['', ''],
  ['a', ''],
  ['comma,quote"tab\tline\nreturn\r\nend', '"'],
  ['base64:AAAA', 'base64:'],
  ['\uFEFFmark', '\u2028\u2029\u0085\u0000\u001b'],
  [Uint8Array.of(0), Uint8Array.of(255, 254)],
  [Uint8Array.of(0xed, 0xa0, 0x80), Uint8Array.from({ length: 256 }, (_, at) => at)],
  ['  spaces  ', ' '],
  ['{"base64":"AA=="}', '=1+1'],
  ['large', 'x'.repeat(300_000)],
  ['ключ', '値'.repeat(50_000)],
];

test.each(['ndjson', 'csv', 'tsv'])(
  'cli: what dump writes as %s, load reads back to the byte',
  async (format) => {
    const from = await filled(AWKWARD);
    const before = await from.records();
    expect(Object.keys(before)).toHaveLength(AWKWARD.length);
    const dumped = await from.run(['dump', '--format', format]);
    expect(dumped).toMatchObject({ status: 0, errors: '' });
    const to = new Place();
    expect((await to.run(['load', '--format', format, '-'], { stdin: [dumped.bytes] })).status).toBe(0);
    expect(await to.records()).toEqual(before);
    const file = join(temporaryFolder(), `records.${format}`);
    expect(await from.run(['dump', file])).toMatchObject({ status: 0, output: '', errors: '' });
    expect(readFileSync(file)).toEqual(dumped.bytes);
    const again = new Place();
    expect((await again.run(['load', file])).status).toBe(0);
    expect(await again.records()).toEqual(before);
  },
);

test.each(['hex', 'base64'])('cli: a dump with everything in %s comes back too', async (encoding) => {
  const encodings = ['--key-encoding', encoding, '--value-encoding', encoding];
  const from = await filled(AWKWARD);
  const dumped = await from.run(['dump', ...encodings]);
  const to = new Place();
  await to.run(['load', '-', ...encodings], { stdin: [dumped.bytes] });
  expect(await to.records()).toEqual(await from.records());
});

test('cli: any records survive any format', async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.string({ unit: fc.constantFrom(...'ab,"\t\r\n:46=ä\u0000'), maxLength: 12 }),
    fc.constantFrom('base64:', 'base64:AA==', '\uFEFF'),
  );
  const records = fc.array(fc.tuple(bytes, bytes), { minLength: 1, maxLength: 20 });
  const formats = fc.constantFrom('ndjson', 'csv', 'tsv');
  await fc.assert(
    fc.asyncProperty(records, formats, async (some, format) => {
      const from = await filled(some);
      const { bytes: dumped } = await from.run(['dump', '-f', format]);
      const to = new Place();
      const given = { stdin: [dumped.subarray(0, 3), dumped.subarray(3, 40), dumped.subarray(40)] };
      expect((await to.run(['load', '-', '-f', format], given)).status).toBe(0);
      expect(await to.records()).toEqual(await from.records());
    }),
    { seed, numRuns: long ? 300 : 5 },
  );
});

test('cli: fields of other names, no header, no quotes, whole lines', async () => {
  const loaded = async (name: string, contents: string, ...words: string[]) => {
    const place = new Place();
    const { status, errors } = await place.run(['load', fileOf(name, contents), '--no-progress', ...words]);
    expect({ status, errors }).toEqual({ status: 0, errors: '' });
    return place.records();
  };
  const people = 'name,mail,age\r\nAda,a@x,36\r\n\r\n"Bo, jr",b@x,\r\n';
  expect(await loaded('p.csv', people, '--key', 'mail', '--value', 'name')).toEqual({
    'a@x': 'Ada',
    'b@x': 'Bo, jr',
  });
  expect(await loaded('p.csv', 'k,v\nx,y', '--no-header')).toEqual({ k: 'v', x: 'y' });
  expect(await loaded('p.csv', 'k,v\nx,y', '--no-header', '--key', '2', '--value', '1')).toEqual({
    v: 'k',
    y: 'x',
  });
  expect(await loaded('p.tsv', 'key\tvalue\n5" disk\t"a\n', '--no-quoting')).toEqual({ '5" disk': '"a' });
  expect(await loaded('p.csv', '\uFEFFkey,value\na,b\n')).toEqual({ a: 'b' });
  const line = '{"id": 7, "big": 12345678901234567890, "x": [1.50]}';
  expect(await loaded('e.jsonl', `${line}\n`, '--key', 'id', '--whole')).toEqual({ 7: line });
  const values =
    '{"key":"n","value":5}\n{"key":"o","value":{"a":[true,null]}}\r\n\n{"key":"t","value":"x","more":1}';
  expect(await loaded('v.ndjson', `\uFEFF${values}`)).toEqual({ n: '5', o: '{"a":[true,null]}', t: 'x' });
  expect(
    await loaded('u.ndjson', '{"key":"a\u2028b","value":"1"}\n{"key":"a\u2028b","value":"2"}\n'),
  ).toEqual({
    [latin(Buffer.from('a\u2028b'))]: '2',
  });
});

test.each([
  ['no JSON', 'ndjson', '{"key":"b"', 'it is not JSON'],
  ['a list', 'ndjson', '["b","c"]', 'it is a list, not a JSON object'],
  ['null', 'ndjson', 'null', 'it is null, not a JSON object'],
  ['a number', 'ndjson', '7', 'it is a number, not a JSON object'],
  ['a string', 'ndjson', '"key"', 'it is a string, not a JSON object'],
  ['a truth value', 'ndjson', 'true', 'it is a truth value, not a JSON object'],
  ['a letter that a terminal obeys', 'ndjson', '\u001b[2J', '"\\u001b[2J"'],
  ['no key', 'ndjson', '{"value":"c"}', 'it has no field "key"'],
  ['no value', 'ndjson', '{"key":"b"}', 'it has no field "value"'],
  ['a value of null', 'ndjson', '{"key":"b","value":null}', 'its field "value" is null'],
  ['a key of null', 'ndjson', '{"key":null,"value":"c"}', 'its field "key" is null'],
  [
    'a key that is a list',
    'ndjson',
    '{"key":["b"],"value":"c"}',
    'its field "key": it is neither a string nor',
  ],
  ['bad base64', 'ndjson', '{"key":{"base64":"b"},"value":"c"}', 'its field "key": it is not base64'],
  ['half a surrogate', 'ndjson', '{"key":"\\ud800","value":"c"}', 'half a surrogate pair'],
  ['a number that loses digits', 'ndjson', '{"key":12345678901234567890,"value":"c"}', 'loses digits'],
  ['a number beyond all', 'ndjson', '{"key":"b","value":[1e999]}', 'loses digits'],
  ['no UTF-8', 'ndjson', Uint8Array.of(0x22, 0xff, 0x22), 'it is not UTF-8'],
  [
    'a key too long',
    'ndjson',
    `{"key":"${'b'.repeat(1025)}","value":"c"}`,
    'its key has 1025 bytes; the most is 1024',
  ],
  ['too few fields', 'csv', 'b', 'it has 1 fields, not 2'],
  ['too many fields', 'csv', 'b,c,d', 'it has 3 fields, not 2'],
  ['a stray quote', 'csv', 'b"b,c', ': field 1 has a quote inside; '],
  ['a stray quote in the last field', 'csv', 'b,6" of snow', ': field 2 has a quote inside; '],
  ['text behind a quote', 'csv', '"b"b,c', ': field 1 goes on behind its closing quote; '],
  ['no UTF-8 in a table', 'csv', Uint8Array.of(0x62, 0x2c, 0xff), 'it is not UTF-8'],
  ['a bad mark', 'tsv', 'b\tbase64:*', 'it is not base64'],
])('cli: a row with %s is named with its line, or left out and counted', async (_, format, bad, problem) => {
  const good = (key: string) =>
    format === 'ndjson' ? `{"key":"${key}","value":"v"}\n` : `${key}${format === 'csv' ? ',' : '\t'}v\n`;
  const header = format === 'ndjson' ? '\n' : `key${format === 'csv' ? ',' : '\t'}value\n`;
  const parts = [header, good('a1'), good('a2'), bad, '\n', good('z1')];
  const file = fileOf(`rows.${format}`, Buffer.concat(parts.map((part) => Buffer.from(part))));
  const place = new Place();
  const { status, errors, output } = await place.run(['load', '--no-progress', '--batch', '2', file]);
  expect({ status, output }).toEqual({ status: 3, output: '' });
  const skip = format === 'ndjson' ? 3 : 2;
  expect(errors).toMatch(/^aegis: INVALID_ARGUMENT: line 4: [^\n]+\n$/);
  expect(errors).toContain(problem);
  const line = `aegis --directory ${place.folder} load ${file} --batch 2 --no-progress --skip ${skip}`;
  expect(errors).toContain(`; 2 records are in; go on with: ${line}\n`);
  expect(await place.records()).toEqual({ a1: 'v', a2: 'v' });
  const again = await place.run(['load', '--no-progress', '--skip-bad', file]);
  expect(again).toMatchObject({
    status: 0,
    output: expect.stringMatching(/^3 records in .*; 1 malformed row was left out\n$/) as string,
  });
  expect(again.errors).toMatch(/^aegis: line 4 is left out: [^\n]+\n$/);
  expect(await place.records()).toEqual({ a1: 'v', a2: 'v', z1: 'v' });
});

test('cli: nothing of the batch with a malformed row is stored', async () => {
  const rows = Array.from({ length: 25 }, (_, at) => (at === 17 ? 'no' : `{"key":"k${at}","value":"v"}`));
  const place = new Place();
  const { status, errors } = await place.run(['load', '-', '--batch', '5'], { stdin: [rows.join('\n')] });
  expect(status).toBe(3);
  expect(errors).toContain('line 18: it is not JSON');
  expect(errors).toMatch(/; 15 records are in; go on with: aegis .* load - --batch 5 --skip 15\n$/);
  expect(Object.keys(await place.records())).toHaveLength(15);
  rows[17] = '{"key":"k17","value":"v"}';
  const rest = await place.run(['load', '-', '--skip', '15', '--json'], { stdin: [rows.join('\n')] });
  expect(JSON.parse(rest.output)).toMatchObject({ records: 10, bad: 0 });
  expect(Object.keys(await place.records())).toHaveLength(25);
});

test('cli: many malformed rows are counted, and the first ten named', async () => {
  const rows = Array.from({ length: 50 }, (_, at) => (at % 2 ? 'no' : `{"key":"k${at}","value":"v"}`));
  const { status, errors, output } = await new Place().run(['load', '-', '--skip-bad', '--json'], {
    stdin: [rows.join('\n')],
  });
  expect(status).toBe(0);
  const named = errors
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { leftOut: { line: number } });
  expect(named.map(({ leftOut }) => leftOut.line)).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
  expect(JSON.parse(output)).toMatchObject({ records: 25, bad: 25 });
});

test('cli: Ctrl-C ends a load after its batch, says how to go on, and nothing is lost or done twice', async () => {
  const total = 5000;
  const rowsFrom = async function* (stopAt: number, stop: () => void) {
    for (let at = 0; at < total; ++at) {
      if (at === stopAt) stop();
      yield `{"key":"k${String(at).padStart(5, '0')}","value":"${at}"}\n`;
    }
  };
  const place = new Place();
  let stop = (): void => undefined;
  const interrupted = await place.run(['load', '-', '--batch', '100', '--no-progress'], {
    stdin: rowsFrom(2345, () => stop()),
    interrupt: (call) => {
      stop = call;
    },
  });
  expect(interrupted.status).toBe(130);
  const [, records = '', skip = ''] =
    /^aegis: interrupted: ([\d,]+) records are in; go on with: aegis .* load - .* --skip (\d+)\n$/.exec(
      interrupted.errors,
    ) ?? [];
  const there = Number(records.replaceAll(',', ''));
  expect(there).toBeGreaterThan(1000);
  expect(there).toBeLessThan(2346);
  expect(there).toBe(Number(skip));
  const keys = Object.keys(await place.records());
  expect(keys).toEqual(Array.from({ length: there }, (_, at) => `k${String(at).padStart(5, '0')}`));
  expect(await place.open((engine) => engine.verify())).toMatchObject({ ok: true, records: there });
  const rest = await place.run(['load', '-', '--skip', skip, '--json'], {
    stdin: rowsFrom(-1, () => undefined),
  });
  expect(JSON.parse(rest.output)).toMatchObject({ records: total - there });
  expect(Object.keys(await place.records())).toHaveLength(total);
});

test('cli: Ctrl-C ends a load that waits for input', async () => {
  const place = new Place();
  let stop = (): void => undefined;
  const waiting = async function* () {
    yield '{"key":"a","value":"1"}\n';
    setImmediate(() => stop());
    await new Promise(() => undefined);
  };
  const interrupt = (call: () => void) => {
    stop = call;
  };
  const { status, errors } = await place.run(['load', '-'], { stdin: waiting(), interrupt });
  expect(status).toBe(130);
  // Whether the row was taken before depends on how long the store took to open.
  expect(errors).toMatch(/^aegis: interrupted: (no record is in|1 record is in; [^\n]+ --skip 1)\n$/);
  expect(await place.records()).toEqual(errors.includes('no record') ? {} : { a: '1' });
});

test('cli: progress goes to standard error, in shares of a file or in records of a stream', async () => {
  const rows = Array.from(
    { length: 4000 },
    (_, at) => `{"key":"k${at}","value":"${'v'.repeat(100)}"}\n`,
  ).join('');
  const { errors, output } = await new Place().run(['load', fileOf('r.ndjson', rows)]);
  expect(errors.trimEnd().split('\n')).toHaveLength(4);
  expect(errors).toMatch(/^ {3}25 %\s+[\d.]+ KB of 495 KB\n/);
  expect(errors).toMatch(/ {2}100 %\s+495 KB of 495 KB\n$/);
  expect(output).toMatch(/^4,000 records in [\d.]+ m?s, [\d,]+ records\/s\n$/);
});

test.each([
  ['a file that is not there', ['load', 'absent.csv'], 'ENOENT: no such file'],
  ['a folder', ['load', '.', '-f', 'csv'], 'EISDIR: . is a folder'],
  ['a name that tells nothing', ['load', 'data.bin'], 'the name of data.bin tells no format'],
  ['an unknown format', ['load', '-', '-f', 'xml'], 'Allowed choices are ndjson, csv, tsv.'],
  ['a batch of nothing', ['load', '-', '--batch', '0'], 'a whole number from 1 to 1000000'],
  ['whole lines of a table', ['load', '-', '-f', 'csv', '--whole'], '--whole is for NDJSON'],
  ['no file', ['load'], "missing required argument 'file'"],
  ['a table without the field', ['load', '-', '-f', 'csv'], 'the table has no field "key"; it has "a", "b"'],
  [
    'a column that is not there',
    ['load', '-', '-f', 'csv', '--no-header', '--key', '3'],
    'a number from 1 to 2, not 3',
  ],
  ['a broken header', ['load', '-', '-f', 'tsv', '--key', '"'], 'the table has no field'],
])('cli: load of %s is wrong usage, and makes no store', async (_, words, message) => {
  const place = new Place();
  const { status, errors, output } = await place.run(words, { stdin: ['a,b\n1,2\n'] });
  expect({ status, output }).toEqual({ status: 2, output: '' });
  expect(errors).toMatch(/^aegis: [^\n]+\n$/);
  expect(errors).toContain(message);
  expect(existsSync(place.folder)).toBe(false);
});

test('cli: an empty input makes an empty store', async () => {
  for (const words of [
    ['load', '-'],
    ['load', '-', '-f', 'csv'],
  ]) {
    const place = new Place();
    expect(await place.run(words)).toMatchObject({
      status: 0,
      output: expect.stringMatching(/^0 records in/) as string,
    });
    expect((await place.run(['count'])).output).toBe('0\n');
    expect((await place.run(['dump'])).output).toBe('');
    expect((await place.run(['dump', '-f', 'csv'])).output).toBe('key,value\n');
  }
});

test('cli: rows are split the same wherever the pieces end', () => {
  const text = 'a,"b\n""c""\n",d\r\n"x"y,"z\n\n5" disk,1\n"open\nend';
  const rows = (size: number) => {
    const splitter = new Splitter(',');
    const found: [number, string][] = [];
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) {
      found.push(...splitter.take(bytes.subarray(at, at + size)).map(lineAndText));
    }
    return [...found, ...splitter.end().map(lineAndText)];
  };
  const lineAndText = ({ line, bytes }: { line: number; bytes: Uint8Array }): [number, string] => [
    line,
    latin(bytes),
  ];
  const whole = rows(text.length);
  expect(whole).toEqual([
    [1, 'a,"b\n""c""\n",d'],
    [4, '"x"y,"z\n\n5" disk,1'],
    [7, '"open\nend'],
  ]);
  for (let size = 1; size < text.length; ++size) expect(rows(size), `pieces of ${size}`).toEqual(whole);
});
