/* Where dump writes: whole files in place of old ones, through links, devices and pipes, and never anything else. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/place.ts';
import { filled } from './store.ts';

const CLI = fileURLToPath(new URL('../../build/cli.js', import.meta.url));
const DUMPED = '{"key":"a","value":"1"}\n{"key":"b","value":"2"}\n';
const store = () => filled({ a: '1', b: '2' });

/** Runs a line of bash, in which `aegis` is the built command on a store; answers what came of it. */
function bash(folder: string, line: string): { status: number | null; output: string; errors: string } {
  const script = `set -o pipefail; aegis() { "${process.execPath}" "${CLI}" -d "${folder}" "$@"; }; ${line}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: 60_000 });
  return { status, output: stdout, errors: stderr };
}

test('cli: a dump that fails leaves no file, and an old one as it was', async () => {
  const place = await filled({ a: Uint8Array.of(255) });
  const file = join(temporaryFolder(), 'records.csv');
  const words = ['dump', file, '--value-encoding', 'utf8'];
  const { status, errors } = await place.run(words);
  expect(status).toBe(3);
  expect(errors).toMatch(/^aegis: not UTF-8: 1 bytes that begin ff/);
  expect(readdirSync(dirname(file))).toEqual([]);
  writeFileSync(file, 'old');
  expect((await place.run(words)).status).toBe(3);
  expect(readdirSync(dirname(file))).toEqual(['records.csv']);
  expect(readFileSync(file, 'utf8')).toBe('old');
});

test('cli: a dump takes the place of an old file, and its permissions', async () => {
  const place = await store();
  const file = join(temporaryFolder(), 'records.ndjson');
  writeFileSync(file, 'old and longer than what comes now'.repeat(10));
  chmodSync(file, 0o640);
  expect(await place.run(['dump', file])).toMatchObject({ status: 0, output: '', errors: '' });
  expect(readFileSync(file, 'utf8')).toBe(DUMPED);
  expect(statSync(file).mode & 0o777).toBe(0o640);
  expect(readdirSync(dirname(file))).toEqual(['records.ndjson']);
});

test('cli: a dump into a link writes what the link leads to, there or not, and the link stays', async () => {
  const place = await store();
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'far'));
  writeFileSync(join(folder, 'far', 'old.ndjson'), 'old');
  const links: [string, string, string][] = [
    ['one.ndjson', 'far/old.ndjson', 'far/old.ndjson'],
    ['two.ndjson', 'one.ndjson', 'far/old.ndjson'],
    ['new.ndjson', 'far/new.ndjson', 'far/new.ndjson'],
    ['whole.ndjson', join(folder, 'far', 'whole.ndjson'), 'far/whole.ndjson'],
  ];
  for (const [link, leads, end] of links) {
    symlinkSync(leads, join(folder, link));
    if (existsSync(join(folder, end))) writeFileSync(join(folder, end), 'old');
    expect(await place.run(['dump', join(folder, link)]), link).toMatchObject({ status: 0, errors: '' });
    expect(readlinkSync(join(folder, link))).toBe(leads);
    expect(lstatSync(join(folder, end)).isFile()).toBe(true);
    expect(readFileSync(join(folder, end), 'utf8')).toBe(DUMPED);
  }
  expect(readdirSync(join(folder, 'far')).sort()).toEqual(['new.ndjson', 'old.ndjson', 'whole.ndjson']);
});

test('cli: a file that cannot be written is named as it was given, with what is wrong', async () => {
  const place = await store();
  const folder = temporaryFolder();
  const file = join(folder, 'file');
  writeFileSync(file, 'x');
  symlinkSync('b.csv', join(folder, 'a.csv'));
  symlinkSync('a.csv', join(folder, 'b.csv'));
  symlinkSync('none/x.csv', join(folder, 'lost.csv'));
  mkdirSync(join(folder, 'folder.csv'));
  const cases: [string, string][] = [
    [join(folder, 'none', 'x.csv'), 'ENOENT: <file>: its folder is not there'],
    [join(folder, 'lost.csv'), 'ENOENT: <file>: its folder is not there'],
    [join(file, 'x.csv'), 'ENOTDIR: <file>: what should be its folder is a file'],
    [join(folder, 'folder.csv'), 'EISDIR: <file>: it is a folder'],
    [join(folder, 'a.csv'), 'ELOOP: <file>: too many links'],
    [join(folder, `${'x'.repeat(300)}.csv`), 'ENAMETOOLONG: <file>: the name is too long'],
  ];
  const before = readdirSync(folder).sort();
  for (const [target, said] of cases) {
    const { status, output, errors } = await place.run(['dump', target]);
    expect({ status, output }, target).toEqual({ status: 3, output: '' });
    expect(errors).toBe(`aegis: ${said.replace('<file>', target)}\n`);
  }
  expect(readdirSync(folder).sort()).toEqual(before);
});

test('cli: a dump never writes over the store it reads', async () => {
  const place = await store();
  for (const name of ['data', 'lock', 'log-1']) {
    const { status, errors } = await place.run(['dump', '-f', 'csv', join(place.folder, name)]);
    expect(status).toBe(2);
    expect(errors).toContain('belongs to the store');
  }
  expect(await place.records()).toEqual({ a: '1', b: '2' });
});

test('cli process: devices and pipes are written through and stay what they are', async (context) => {
  if (process.platform !== 'linux') context.skip('devices are those of Linux');
  const { folder } = await store();
  const into = temporaryFolder();
  expect(bash(folder, 'aegis dump /dev/stdout')).toEqual({ status: 0, output: DUMPED, errors: '' });
  expect(bash(folder, 'aegis dump /dev/stdout | cat')).toEqual({ status: 0, output: DUMPED, errors: '' });
  expect(bash(folder, 'aegis dump /dev/stderr')).toEqual({ status: 0, output: '', errors: DUMPED });
  expect(bash(folder, 'aegis dump /dev/null')).toEqual({ status: 0, output: '', errors: '' });
  const appended = bash(folder, `cd ${into} && echo head > log && aegis dump /dev/stdout >> log && cat log`);
  expect(appended).toEqual({ status: 0, output: `head\n${DUMPED}`, errors: '' });
  const pipe = bash(
    folder,
    `cd ${into} && mkfifo p && (cat p > got & aegis dump p; wait) && test -p p && cat got`,
  );
  expect(pipe).toEqual({ status: 0, output: DUMPED, errors: '' });
  const substituted = bash(folder, `cd ${into} && aegis dump >(cat > sub) && sleep 1 && cat sub`);
  expect(substituted.output).toBe(DUMPED);
  const full = bash(folder, 'aegis dump /dev/full');
  expect(full).toEqual({
    status: 3,
    output: '',
    errors: 'aegis: ENOSPC: /dev/full: no space left on the device\n',
  });
  expect(statSync('/dev/full').isCharacterDevice() && statSync('/dev/null').isCharacterDevice()).toBe(true);
  expect(readdirSync(into).sort()).toEqual(['got', 'log', 'p', 'sub']);
  const loaded = bash(join(into, 'copy'), `aegis load <(printf '{"key":"k","value":"v"}\\n') && aegis get k`);
  expect(loaded).toMatchObject({ status: 0, errors: '', output: expect.stringMatching(/\nv\n$/) as string });
  const stdin = bash(
    join(into, 'copy'),
    `printf '{"key":"l","value":"v"}\\n' | aegis load /dev/stdin && aegis count`,
  );
  expect(stdin).toMatchObject({ status: 0, errors: '', output: expect.stringMatching(/\n2\n$/) as string });
});
