/* The shell: commands on one open store, transactions with savepoints, and named trees in all of them. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { History } from '../../src/cli/shell/history.ts';
import { wordsOf } from '../../src/cli/shell/words.ts';
import { temporaryFolder } from '../support/place.ts';
import { filled, Place } from './store.ts';

/** Lines as standard input. */
const lines = (...some: string[]) => ({ stdin: [`${some.join('\n')}\n`] });

test('cli: a shell runs commands on one store, which it makes', async () => {
  const place = new Place();
  const { status, output, errors } = await place.run(
    ['shell'],
    lines(
      'put a 1',
      "put 'two words' \"it's\"",
      '',
      '# a comment',
      'get a',
      'get absent',
      'scan',
      'count',
      'del a',
      'verify',
    ),
  );
  expect({ status, errors }).toEqual({ status: 0, errors: '' });
  expect(output).toMatch(/^1\na\t1\ntwo words\tit's\n2\nok: \d+ pages, 1 records\n$/);
  expect(await place.records()).toEqual({ 'two words': "it's" });
});

test('cli: a transaction of a shell is seen by itself, and by others when it commits', async () => {
  const place = await filled({ a: '0' });
  const { status, output } = await place.run(
    ['shell'],
    lines(
      'begin',
      'put a 1',
      'put b 2',
      'get a',
      'count',
      'abort',
      'get a',
      'begin -i serializable',
      'del a',
      'get a',
      'commit',
      'scan',
    ),
  );
  expect({ status, output }).toEqual({ status: 0, output: '1\n2\n0\n' });
  expect(await place.records()).toEqual({});
});

test('cli: savepoints take back what came after them', async () => {
  const place = new Place();
  const script = lines(
    'begin',
    'put a 1',
    'savepoint one',
    'put a 2',
    'savepoint',
    'put a 3',
    'rollback',
    'get a',
    'rollback one',
    'get a',
    'put b 1',
    'commit',
  );
  const { status, output, errors } = await place.run(['shell'], script);
  expect({ status, output, errors }).toEqual({ status: 0, output: '2\n1\n', errors: '' });
  expect(await place.records()).toEqual({ a: '1', b: '1' });
});

test('cli: where the input ends in a transaction it is given up: the shell says so, and the answer is no', async () => {
  const place = new Place();
  const open = await place.run(['shell'], lines('begin', 'put a 1'));
  expect(open).toMatchObject({ status: 1, errors: expect.stringContaining('given up') as string });
  const inJson = await place.run(['--json', 'shell'], lines('begin', 'put a 1', 'get absent'));
  expect(inJson.status).toBe(1);
  expect(JSON.parse(inJson.errors)).toMatchObject({ error: { code: 'NOT_COMMITTED' } });
  const failed = await place.run(['shell'], lines('begin', 'put a 1', 'begin'));
  expect(failed.status).toBe(2);
  expect(failed.errors).toContain('given up');
  expect(await place.records()).toEqual({});
});

test('cli: a shell that is left in a transaction gives it up and says so', async () => {
  const place = new Place();
  const { status, errors } = await place.run(['shell'], lines('begin', 'put a 1', 'exit', 'commit'));
  expect(status).toBe(0);
  expect(errors).toBe('aegis: the transaction was not committed, and is given up\n');
  expect(await place.records()).toEqual({});
});

test.each([
  ['an unknown command', 'gte a', 2, "unknown command 'gte' (Did you mean get?)"],
  ['an open quote', 'put "a', 2, 'a quote is not closed'],
  ['a put without a value', 'put b', 2, "missing required argument 'value'"],
  ['a value that would be the lines behind it', 'put b --file -', 2, 'standard input is its lines'],
  ['a commit of nothing', 'commit', 2, 'no transaction is under way'],
  ['a savepoint of nothing', 'savepoint', 2, 'no transaction is under way'],
  ['a second begin', 'begin\nbegin', 2, 'a transaction is under way'],
  ['a savepoint nobody took', 'begin\nrollback x', 2, 'there is no savepoint x; none was taken'],
  [
    'a savepoint taken back',
    'begin\nsavepoint a\nsavepoint b\nrollback a\nrollback b',
    2,
    'no savepoint b; there are a',
  ],
  ['an isolation there is not', 'begin -i loose', 2, 'Allowed choices are snapshot, serializable.'],
  ['a key too long', `put ${'x'.repeat(2000)} v`, 3, 'TOO_LARGE: '],
  ['a drop in a transaction', 'begin\ndrop t', 2, 'drop is a transaction of its own'],
  ['another store', '-d elsewhere get a', 2, "unknown option '-d'"],
])('cli: a line with %s ends a script with its status', async (_, line, expected, message) => {
  const place = new Place();
  const { status, errors } = await place.run(['shell'], lines('put a 1', line, 'put late 1'));
  expect(status).toBe(expected);
  expect(errors).toContain(message);
  expect(errors.split('\n')[0]).toMatch(/^aegis: /);
  expect(await place.records()).toEqual({ a: '1' });
});

test('cli: answers of a shell have their form for programs too', async () => {
  const { output } = await new Place().run(
    ['--json', 'shell'],
    lines('begin', 'put a 1', 'savepoint s', 'rollback', 'commit', 'get a', 'begin', 'abort'),
  );
  expect(
    output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([
    { begun: true },
    { key: 'a', ok: true },
    { savepoint: 's' },
    { savepoint: 's' },
    { sequence: 1 },
    { key: 'a', found: true, value: '1' },
    { begun: true },
    { aborted: true },
  ]);
});

test('cli: at a terminal a shell asks, goes on after errors, completes words and keeps its history', async () => {
  const state = temporaryFolder();
  const place = await filled({ a: '1' });
  await place.open((engine) => engine.tree('orchard').put('apple', 'red'));
  const keyboard = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => undefined });
  const typed = ['get a\r', 'gte a\r', 'begin\r', 'abort\r', 'sca\t--tree orc\t\r', 'exit\r'];
  // A key at a time, as fingers do, and each line when it is asked for.
  const type = (keys: string[]) => {
    keyboard.write(keys[0]);
    if (keys.length > 1) setTimeout(type, 1, keys.slice(1));
  };
  const watch = (text: string) => {
    const next = /aegis.*> /.test(text) && !text.includes('scan') ? typed.shift() : undefined;
    if (next !== undefined) setImmediate(type, [...next]);
  };
  const { status, output, errors } = await place.run(['shell'], {
    terminal: keyboard as unknown as Readable,
    watch,
    environment: { XDG_STATE_HOME: state, NO_COLOR: '1' },
  });
  expect(status).toBe(0);
  expect(output).toContain('aegis> ');
  expect(output).toMatch(/get a\r?\n1\n/);
  expect(output).toContain('aegis (in a transaction)> ');
  expect(output).toContain('apple\tred\n');
  expect(errors).toContain("unknown command 'gte'");
  const file = join(state, 'aegis', 'history');
  expect(readFileSync(file, 'utf8').split('\n')).toContain('scan --tree orchard ');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(new History({ XDG_STATE_HOME: state }).read()[0]).toBe('exit');
});

test('cli: a shell without a place for its history works without', () => {
  const blocked = new History({ XDG_STATE_HOME: '/dev/null' });
  blocked.keep(['secret']);
  expect(blocked.read()).toEqual([]);
  const homeless = new History({});
  homeless.keep(['secret']);
  expect(homeless.read()).toEqual([]);
  expect(existsSync('/dev/null/aegis')).toBe(false);
});

test('cli: words of a line keep what quotes hold together', () => {
  expect(wordsOf('  put  a b ')).toEqual(['put', 'a', 'b']);
  expect(wordsOf(`a"b c"d '' "" '\\n' "\\"" \\ x\\`)).toEqual(['ab cd', '', '', '\\n', '"', ' x\\']);
  expect(wordsOf('')).toEqual([]);
});

test('cli: every command on keys works on a named tree, made by its first put', async () => {
  const place = await filled({ k: 'default' });
  const tree = ['-t', 'fruit'];
  expect(await place.run(['get', 'k', ...tree])).toMatchObject({ status: 1, output: '' });
  expect((await place.run(['put', ...tree, 'k', 'named'])).status).toBe(0);
  expect((await place.run(['get', 'k', '--tree', 'fruit'])).output).toBe('named\n');
  expect((await place.run(['scan', ...tree])).output).toBe('k\tnamed\n');
  expect((await place.run(['count', ...tree])).output).toBe('1\n');
  expect((await place.run(['get', 'k'])).output).toBe('default\n');
  expect((await place.run(['trees'])).output).toMatch(/tree +records\n +fruit +1\n$/);
  expect(JSON.parse((await place.run(['--json', 'trees'])).output)).toEqual({
    trees: [{ name: 'fruit', records: 1 }],
  });
  expect((await place.run(['stat'])).output).toMatch(/ {2}records +1\n +in tree fruit +1\n/);
  const script = lines('begin', 'put -t fruit x 1', 'put y 2', 'count -t fruit', 'abort', 'count -t fruit');
  expect((await place.run(['shell'], script)).output).toBe('2\n1\n');
  expect((await place.run(['del', 'k', ...tree])).status).toBe(0);
  expect((await place.run(['drop', 'fruit'])).status).toBe(0);
  expect((await place.run(['drop', 'fruit'])).status).toBe(1);
  expect((await place.run(['trees'])).output).toBe('');
  for (const name of ['', 'x'.repeat(256), 'ä'.repeat(128)]) {
    const { status, errors } = await place.run(['get', 'k', '--tree', name]);
    expect(status).toBe(2);
    expect(errors).toContain('A name has 1 to 255 bytes of UTF-8.');
  }
});

test.each(['ndjson', 'csv', 'tsv'])(
  'cli: a dump as %s holds all trees, and load puts each back',
  async (format) => {
    const place = await filled({ a: '1' });
    await place.open(async (engine) => {
      await engine.tree('ä, "b"').put('a', Uint8Array.of(255));
      await engine.tree('base64:x').put('', '');
    });
    const dumped = await place.run(['dump', '-f', format]);
    const copy = new Place();
    expect((await copy.run(['load', '-', '-f', format], { stdin: [dumped.bytes] })).status).toBe(0);
    expect((await copy.run(['dump', '-f', format])).output).toBe(dumped.output);
    expect((await copy.run(['trees'])).output).toMatch(/base64:x +1\n/);
    const one = await place.run(['dump', '-f', format, '--tree', 'base64:x']);
    expect(one.output).not.toContain('base64:x');
    const moved = new Place();
    await moved.run(['load', '-', '-f', format, '--tree', 'other'], { stdin: [dumped.bytes] });
    expect((await moved.run(['count', '-t', 'other'])).output).toBe('2\n');
    expect((await moved.run(['count'])).output).toBe('0\n');
  },
);

test('cli: a field tree of somebody else is no tree, and a bad name is malformed', async () => {
  const place = new Place();
  const row = '{"key":"oak","value":"v","tree":"oak"}\n';
  await place.run(['load', '-', '--key', 'key'], { stdin: [row] });
  expect((await place.run(['trees'])).output).toBe('');
  const bad = `${row}{"key":"k","value":"v","tree":7}\n{"key":"k","value":"v","tree":"${'x'.repeat(256)}"}\n`;
  const { errors } = await place.run(['load', '-', '--skip-bad', '--no-progress'], { stdin: [bad] });
  expect(errors).toContain('line 2 is left out: its field "tree" is no name');
  expect(errors).toContain('line 3 is left out: the name of its tree has 256 bytes; allowed are 1 to 255');
  expect((await place.run(['count', '-t', 'oak'])).output).toBe('1\n');
});
