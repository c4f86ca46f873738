/* What a stopped load says: the whole line that goes on, for a shell to take as it is. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { shellWord } from '../../src/cli/command-line.ts';
import { temporaryFolder } from '../support/place.ts';
import { aegis } from './run.ts';

const CLI = fileURLToPath(new URL('../../build/cli.js', import.meta.url));

/** Runs a line of bash, in which `aegis` is the built command. */
function bash(line: string) {
  const script = `aegis() { "${process.execPath}" "${CLI}" "$@"; }; ${line}`;
  return spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: 60_000 });
}

/** The line that goes on, of what a load has said. */
const lineIn = (errors: string) =>
  /; \d+ records? (?:is|are) in; go on with: (.*)\n$/.exec(errors)?.[1] ?? errors;

test('cli: the line that goes on has the store, the configuration and every option, quoted for a shell', async () => {
  const folder = join(temporaryFolder(), "it's a folder");
  mkdirSync(folder);
  const [data, config, file] = ['the store', 'a b.toml', 'rows $HOME "1".csv'].map((name) =>
    join(folder, name),
  );
  writeFileSync(config!, '[storage]\ncompression = "none"\n');
  const options = ['--tree', 'trée "t"', '--key', 'id no', '--value', 'v;w', '--value-encoding', 'hex'];
  const row = (at: number) => `k${at},${Buffer.from(`v${at}`).toString('hex')}\n`;
  const rows = Array.from({ length: 10 }, (_, at) => row(at));
  writeFileSync(file!, `id no,v;w\n${rows.slice(0, 7).join('')}k7,xyz\n${rows.slice(8).join('')}`);
  const words = [
    '--config',
    config!,
    '-d',
    data!,
    'load',
    file!,
    '-f',
    'csv',
    '--batch',
    '3',
    '--skip',
    '1',
    ...options,
  ];
  const { status, errors } = await aegis([...words, '--no-progress']);
  expect(status).toBe(3);
  const line = lineIn(errors);
  expect(line).toMatch(/^aegis --directory '.* --skip 7$/);
  expect(line.match(/--skip/g)).toHaveLength(1);
  writeFileSync(file!, `id no,v;w\n${rows.join('')}`);
  const rest = bash(line);
  expect(rest).toMatchObject({ status: 0, stderr: '' });
  expect(rest.stdout).toMatch(/^3 records in /);
  const there = bash(`aegis -d ${shellWord(data!)} scan --tree ${shellWord('trée "t"')}`);
  expect(there.stdout).toBe(
    rows
      .slice(1)
      .map((_, at) => `k${at + 1}\tv${at + 1}\n`)
      .join(''),
  );
});

test('cli: a file that looks like an option is none in the line that goes on', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, '-rows.csv'), 'k,v\na,1\nb\n');
  const line = `cd ${folder} && aegis -d s load --batch 1 --no-header --no-quoting -- -rows.csv`;
  const { stderr } = bash(line);
  expect(lineIn(stderr)).toBe(
    'aegis --directory s load --no-header --no-quoting --batch 1 --skip 2 -- -rows.csv',
  );
  writeFileSync(join(folder, '-rows.csv'), 'k,v\na,1\nb,2\n');
  expect(bash(`cd ${folder} && ${lineIn(stderr)} && aegis -d s get b`).stdout).toMatch(
    /^1 record in [^\n]+\n2\n$/,
  );
});

test('cli: a load that is stopped says how to go on to programs too', async () => {
  let stop = (): void => undefined;
  const rows = async function* () {
    for (let at = 0; at < 3000; ++at) {
      if (at === 2500) stop();
      yield `{"key":"${at}","value":""}\n`;
    }
  };
  const folder = join(temporaryFolder(), 's');
  const { status, output } = await aegis(['--json', '-d', folder, 'load', '-', '--batch', '100'], {
    stdin: rows(),
    interrupt: (call) => {
      stop = call;
    },
  });
  expect(status).toBe(130);
  const { skip, ...said } = JSON.parse(output) as { skip: number; goOn: string; interrupted: boolean };
  expect(said).toMatchObject({
    interrupted: true,
    goOn: `aegis --directory ${folder} --json load - --batch 100 --skip ${skip}`,
  });
});

test('cli: an error of the store keeps its evidence behind the way on', async () => {
  const folder = join(temporaryFolder(), 's');
  const config = join(temporaryFolder(), 'c.toml');
  writeFileSync(config, '[storage]\nread_only = true\n');
  await aegis(['-d', folder, 'put', 'a', '1']);
  const { errors } = await aegis(['-d', folder, '--config', config, '--json', 'load', '-'], {
    stdin: ['{"key":"b","value":"2"}'],
  });
  expect(JSON.parse(errors)).toMatchObject({
    error: { code: 'READ_ONLY', message: expect.stringMatching(/; no record is in$/) as string },
  });
});

test('cli: a word is quoted so that bash reads it again', () => {
  const words = [
    'plain-1.csv',
    '',
    'a b',
    "it's",
    '$HOME `x` "y" \\',
    'line\nend',
    "\t'\\",
    'ключ',
    '*',
    '~',
  ];
  const { stdout } = bash(`printf '%s\\0' ${words.map(shellWord).join(' ')}`);
  expect(stdout.split('\0').slice(0, -1)).toEqual(words);
});
