/* get, put, del, scan and count: what they answer, in which form, and with which exit status. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StorageEngine } from '../../src/engine/engine.ts';
import { temporaryFolder } from '../support/place.ts';
import { aegis } from './run.ts';
import { filled, Place } from './store.ts';

test('cli: a record is put, got and deleted, and each exit status says how it went', async () => {
  const { run } = new Place();
  expect(await run(['put', 'k', 'v'])).toMatchObject({ status: 0, output: '', errors: '' });
  expect(await run(['get', 'k'])).toMatchObject({ status: 0, output: 'v\n', errors: '' });
  expect(await run(['get', 'other'])).toMatchObject({ status: 1, output: '', errors: '' });
  expect(await run(['del', 'other'])).toMatchObject({ status: 1, output: '', errors: '' });
  expect(await run(['del', 'k'])).toMatchObject({ status: 0, output: '', errors: '' });
  expect(await run(['get', 'k'])).toMatchObject({ status: 1, output: '' });
});

test('cli: only put makes a store', async () => {
  const { folder, run } = new Place();
  for (const words of [['get', 'k'], ['del', 'k'], ['scan'], ['count']]) {
    const { status, output, errors } = await run(words);
    expect({ status, output }, words.join(' ')).toEqual({ status: 3, output: '' });
    expect(errors).toMatch(/^aegis: NOT_FOUND: there is no store in [^\n]+\n$/);
    expect(existsSync(folder)).toBe(false);
  }
  expect((await run(['put', 'k', 'v'])).status).toBe(0);
  expect(readdirSync(folder)).toContain('data');
});

test('cli: every answer has a form for programs, wherever --json stands', async () => {
  const { run } = new Place();
  const json = async (words: string[]) => {
    const { status, output, errors } = await run(words);
    expect(errors).toBe('');
    return [
      status,
      ...output
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ];
  };
  expect(await json(['--json', 'put', 'k', 'v'])).toEqual([0, { key: 'k', ok: true }]);
  expect(await json(['get', 'k', '--json'])).toEqual([0, { key: 'k', found: true, value: 'v' }]);
  expect(await json(['get', '--json', 'x'])).toEqual([1, { key: 'x', found: false }]);
  expect(await json(['--json', 'scan'])).toEqual([0, { key: 'k', value: 'v' }]);
  expect(await json(['--json', 'count'])).toEqual([0, { count: 1 }]);
  expect(await json(['--json', 'del', 'k'])).toEqual([0, { key: 'k', deleted: true }]);
  expect(await json(['--json', 'del', 'k'])).toEqual([1, { key: 'k', deleted: false }]);
});

test('cli: binary keys and values are marked base64, or all in one encoding', async () => {
  const { run } = new Place();
  await run(['put', '--key-encoding', 'hex', '--value-encoding', 'base64', '00ff', '/wA=']);
  expect((await run(['get', 'base64:AP8='])).output).toBe('base64:/wA=\n');
  expect((await run(['get', 'base64:AP8=', '--raw'])).bytes).toEqual(Buffer.from([255, 0]));
  expect((await run(['get', '--key-encoding', 'base64', '--value-encoding', 'hex', 'AP8='])).output).toBe(
    'ff00\n',
  );
  expect((await run(['--json', 'scan'])).output).toBe(
    '{"key":{"base64":"AP8="},"value":{"base64":"/wA="}}\n',
  );
  expect((await run(['scan'])).output).toBe('base64:AP8=\tbase64:/wA=\n');
  expect((await run(['scan', '--key-encoding', 'hex', '--value-encoding', 'hex'])).output).toBe(
    '00ff\tff00\n',
  );
  expect(await run(['scan', '--value-encoding', 'utf8'])).toMatchObject({
    status: 3,
    errors: expect.stringMatching(/^aegis: not UTF-8: 2 bytes that begin 00ff|ff00/) as string,
  });
});

test('cli: text that looks like the mark keeps its meaning', async () => {
  const { run } = await filled({ 'base64:k': 'base64:v' });
  const { output } = await run(['scan']);
  expect(output).toBe('base64:YmFzZTY0Oms=\tbase64:YmFzZTY0OnY=\n');
  const [key = ''] = output.split('\t');
  expect((await run(['get', key, '--value-encoding', 'utf8'])).output).toBe('base64:v\n');
  expect((await run(['get', 'base64:k', '--key-encoding', 'utf8', '--json'])).output).toContain(
    '"value":"base64:v"',
  );
});

test('cli: a value comes from a file or from standard input when that is asked for, and from nowhere else', async () => {
  const { run, folder } = new Place();
  const bytes = Uint8Array.from({ length: 100_000 }, (_, at) => (at * 7) & 255);
  const file = join(temporaryFolder(), 'value');
  writeFileSync(file, bytes);
  for (const words of [
    ['put', 'k'],
    ['put', 'k', 'v', '--file', file],
    ['put', 'k', '--file', `${file}.absent`],
    ['put', 'k', '--file', temporaryFolder()],
  ]) {
    const { status, errors } = await run(words, { stdin: [bytes] });
    expect(status, errors).toBe(2);
    expect(errors).toMatch(/^aegis: [^\n]+\n$/);
    expect(existsSync(folder)).toBe(false);
  }
  expect((await run(['put', 'k', '--file', '-'], { stdin: [bytes] })).status).toBe(0);
  expect((await run(['get', '--raw', 'k'])).bytes).toEqual(Buffer.from(bytes));
  expect((await run(['put', 'other', '--file', file])).status).toBe(0);
  expect((await run(['get', '--raw', 'other'])).bytes).toEqual(Buffer.from(bytes));
  expect((await run(['put', 'empty', ''])).status).toBe(0);
  expect(await run(['get', 'empty'])).toMatchObject({ status: 0, output: '\n' });
  expect((await run(['put', '--', '-k', '-v'])).status).toBe(0);
  expect((await run(['get', '--', '-k'])).output).toBe('-v\n');
});

test('cli: scan and count take every bound', async () => {
  const { run } = await filled({ a: '1', b: '2', ba: '3', c: '4', d: '5' });
  const keys = async (...words: string[]) =>
    (await run(['scan', '--keys', ...words])).output.split('\n').filter((key) => key !== '');
  expect(await keys()).toEqual(['a', 'b', 'ba', 'c', 'd']);
  expect(await keys('--gt', 'a', '--lte', 'c')).toEqual(['b', 'ba', 'c']);
  expect(await keys('--gte', 'b', '--lt', 'c')).toEqual(['b', 'ba']);
  expect(await keys('--prefix', 'b', '--reverse')).toEqual(['ba', 'b']);
  expect(await keys('--reverse', '--limit', '2')).toEqual(['d', 'c']);
  expect(await keys('--limit', '0')).toEqual([]);
  expect(await keys('--gte', '62', '--lte', '6261', '--key-encoding', 'hex')).toEqual(['62', '6261']);
  expect((await run(['count', '--prefix', 'b'])).output).toBe('2\n');
  expect((await run(['count', '--gt', 'a', '--limit', '3'])).output).toBe('3\n');
});

test('cli: a line of scan has texts as they are, JSON among them, and quotes what would break the line', async () => {
  const values = ['{"a":1,"b":["x, y",null]}', '"text"', '[1,2]', '"', 'a, "b"', '', 'x\ny', 'x\ty', '"\r"'];
  const { run } = await filled(Object.fromEntries(values.map((value, at) => [String(at), value])));
  const shown = [...values.slice(0, 6), '"x\ny"', '"x\ty"', '"""\r"""'];
  expect((await run(['scan'])).output).toBe(shown.map((value, at) => `${at}\t${value}\n`).join(''));
  const inJson = (await run(['scan', '--json'])).output.trimEnd().split('\n');
  expect(inJson.map((line) => (JSON.parse(line) as { value: string }).value)).toEqual(values);
  const keys = await filled({ '{"id":7}': '', 'a\tb': '' });
  expect((await keys.run(['scan', '--keys'])).output).toBe('"a\tb"\n{"id":7}\n');
});

test.each([
  ['no hex', ['get', '--key-encoding', 'hex', 'xyz'], 'the key is "xyz": it is not hex'],
  ['half a byte', ['get', '--key-encoding', 'hex', 'abc'], 'it is not hex'],
  ['no base64', ['get', '--key-encoding', 'base64', 'a'], 'it is not base64'],
  ['a bad mark', ['put', 'k', 'base64:*'], 'the value is "base64:*": it is not base64'],
  ['a bad bound', ['scan', '--gte', 'base64:a'], '--gte is "base64:a": it is not base64'],
  [
    'an unknown encoding',
    ['get', '--key-encoding', 'latin1', 'k'],
    'Allowed choices are auto, utf8, hex, base64.',
  ],
  ['a negative limit', ['scan', '--limit', '-1'], 'a whole number from 0 on'],
  ['a fraction', ['count', '--limit', '1.5'], 'a whole number from 0 on'],
  ['no key', ['get'], "missing required argument 'key'"],
  ['too many words', ['get', 'a', 'b'], 'too many arguments'],
  ['an unknown command', ['gte', 'a'], "unknown command 'gte' (Did you mean get?)"],
  ['an unknown option', ['scan', '--revers'], "unknown option '--revers' (Did you mean --reverse?)"],
  ['a config file that is not there', ['--config', 'absent.toml', 'count'], '--config absent.toml: ENOENT'],
  ['a folder as config file', ['--config', '.', 'count'], 'EISDIR'],
])('cli: %s is wrong usage, said in one line', async (_, words, message) => {
  const { folder, run } = new Place();
  const { status, output, errors } = await run(words);
  expect({ status, output }).toEqual({ status: 2, output: '' });
  expect(errors).toMatch(/^aegis: [^\n]+\n$/);
  expect(errors).toContain(message);
  expect(existsSync(folder)).toBe(false);
  const inJson = await run(['--json', ...words]);
  expect(inJson.status).toBe(2);
  expect(JSON.parse(inJson.errors)).toMatchObject({
    error: {
      code: expect.any(String) as string,
      message: expect.stringContaining(message.split(': ')[0]!) as string,
    },
  });
});

test('cli: the configuration file says how the store is opened, the command line where', async () => {
  const { folder, run } = new Place();
  const file = join(temporaryFolder(), 'aegis.toml');
  const config = (text: string) => writeFileSync(file, text);
  config(
    `[storage]\nbackend = "local"\ndata_directory = "${folder}"\npage_size = 4096\nsync_on_commit = false\n`,
  );
  expect((await aegis(['--config', file, 'put', 'k', 'v'])).status).toBe(0);
  expect((await run(['get', 'k'])).output).toBe('v\n');
  const engine = await StorageEngine.open({ backend: 'local', dataDirectory: folder });
  expect(engine.config.pageSize).toBe(4096);
  await engine.close();
  const other = new Place();
  expect((await other.run(['--config', file, 'put', 'k', 'other'])).status).toBe(0);
  expect((await other.run(['get', 'k'])).output).toBe('other\n');
  config('[storage]\nread_only = true\n');
  expect(await run(['--config', file, 'put', 'k', 'w'])).toMatchObject({
    status: 3,
    errors: expect.stringMatching(/^aegis: READ_ONLY: /) as string,
  });
  config('[storage]\ncreate_if_missing = false\n');
  expect((await new Place().run(['--config', file, 'put', 'k', 'w'])).errors).toMatch(/^aegis: NOT_FOUND: /);
  config('[storage]\nerror_if_exists = true\n');
  expect((await run(['--config', file, 'put', 'k', 'w'])).errors).toMatch(/^aegis: EXISTS: /);
  expect((await run(['--config', file, 'get', 'k'])).output).toBe('v\n');
});

test.each([
  ['impossible TOML', '[storage]\nread_only = perhaps\n', 'INVALID_ARGUMENT: --config', 'line 2, column 13'],
  [
    'an unknown key',
    '[storage]\ndata_dir = "x"\n',
    'INVALID_ARGUMENT: --config',
    'did you mean "data_directory"?',
  ],
  [
    'an impossible value',
    '[storage]\npage_size = 5\n',
    'INVALID_ARGUMENT: --config',
    'page_size is 5; allowed is',
  ],
  [
    'a store in memory',
    '[storage]\nbackend = "memory"\n',
    '--config',
    'the command line works on local stores',
  ],
  ['no text', Uint8Array.of(0x5b, 0xff), '--config', 'not valid for encoding utf-8'],
])(
  'cli: a configuration file with %s is wrong usage, and no store is touched',
  async (_, text, begin, message) => {
    const { folder, run } = new Place();
    const file = join(temporaryFolder(), 'aegis.toml');
    writeFileSync(file, text);
    const { status, errors } = await run(['--config', file, 'put', 'k', 'v']);
    expect(status).toBe(2);
    expect(errors).toMatch(/^aegis: [^\n]+\n$/);
    expect(errors).toContain(`aegis: ${begin}`);
    expect(errors).toContain(message);
    expect(existsSync(folder)).toBe(false);
  },
);

test('cli: errors of the store keep code and evidence', async () => {
  const { folder, run } = await filled({ k: 'v' });
  expect((await run(['put', 'x'.repeat(2000), 'v'])).errors).toMatch(/^aegis: TOO_LARGE: [^\n]+\n$/);
  const engine = await StorageEngine.open({ backend: 'local', dataDirectory: folder });
  const { status, errors } = await run(['--json', 'get', 'k']);
  await engine.close();
  expect(status).toBe(3);
  expect(JSON.parse(errors)).toMatchObject({ error: { code: 'LOCKED', pid: process.pid } });
});

test('cli: a reader who leaves ends a scan with 0 and without a word', async () => {
  const records = Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`key-${at}`, 'x'.repeat(100)]));
  const { run } = await filled(records);
  const { status, errors, bytes } = await run(['scan'], { readerLeavesAfter: 1000 });
  expect({ status, errors }).toEqual({ status: 0, errors: '' });
  expect(bytes.length).toBeLessThan(200_000);
  expect((await run(['count'])).output).toBe('5000\n');
});

test('cli: help has an example for every command and goes to standard output', async () => {
  const { output, status } = await aegis(['--help']);
  expect(status).toBe(0);
  const commands = [...output.matchAll(/^ {2}([a-z]+)(?:\|\w+)? .*$/gm)].map(([, name]) => name as string);
  expect(commands).toContain('scan');
  for (const command of commands) {
    if (['help', 'demo', 'aegis'].includes(command)) continue;
    const help = await aegis(['help', command]);
    expect(help.status, command).toBe(0);
    expect(help.output, command).toMatch(/Examples?:\n {2}aegis /);
    expect(help.errors).toBe('');
  }
});
