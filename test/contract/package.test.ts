/* The contract of the package and of its command line: what comes with it, and what each command may do. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { aegis } from '../cli/run.ts';

const root = new URL('../../', import.meta.url);
const read = (name: string) => JSON.parse(readFileSync(new URL(name, root), 'utf8'));

test('contract: the package is ES modules under Apache-2.0 with its four entry points and one command', () => {
  const manifest = read('package.json');
  expect(manifest).toMatchObject({
    name: 'aegis-storage',
    type: 'module',
    license: 'Apache-2.0',
    engines: { node: '>=20.16' },
    bin: { aegis: 'build/cli.js' },
  });
  for (const entry of ['.', './local', './testing', './lz4-wasm']) {
    expect(Object.keys(manifest.exports[entry]), entry).toEqual(expect.arrayContaining(['types', 'default']));
  }
  expect(readFileSync(new URL('LICENSE', root), 'utf8')).toContain('Apache License');
  expect(readFileSync(new URL('build/cli.js', root), 'utf8').startsWith('#!/usr/bin/env node')).toBe(true);
});

test('contract: nothing is installed beside the package, and nothing runs when it is', () => {
  const { scripts, dependencies } = read('package.json');
  for (const hook of ['preinstall', 'install', 'postinstall', 'prepare'])
    expect(scripts[hook]).toBe(undefined);
  const { packages } = read('package-lock.json') as { packages: Record<string, Record<string, unknown>> };
  // What a user of the package gets beside it: nothing.
  const shipped = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  expect(dependencies).toBe(undefined);
  expect(shipped).toEqual([]);
});

const COMMANDS = {
  get: ['a'],
  put: ['a', 'x'],
  del: ['a'],
  scan: [],
  count: [],
  load: ['-'],
  dump: [],
  stat: [],
  verify: [],
  backup: ['to'],
  compact: [],
  page: ['1'],
  wal: [],
  blocks: [],
  shell: [],
} as const;

test('contract: only put, load and shell make a store; the others say NOT_FOUND in one line, with status 3', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aegis-contract-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [command, words] of Object.entries(COMMANDS)) {
    const store = join(folder, command);
    const given = words.map((word) => (word === 'to' ? join(folder, 'copy') : word));
    const { status, output, errors } = await aegis(['-d', store, command, ...given]);
    const makes = ['put', 'load', 'shell'].includes(command);
    expect([command, status, existsSync(store)]).toEqual([command, makes ? 0 : 3, makes]);
    if (makes) continue;
    expect([output, errors.trimEnd().split('\n').length]).toEqual(['', 1]);
    expect(errors).toContain('NOT_FOUND');
  }
  expect(existsSync(join(folder, 'copy'))).toBe(false);
});

test('contract: the exit status says yes, no, wrong words, or an error of the store', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aegis-contract-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const status = async (...words: string[]): Promise<number> =>
    (await aegis(['-d', folder, ...words])).status;
  expect(await status('put', 'a', 'x')).toBe(0);
  expect([await status('get', 'a'), await status('get', 'b')]).toEqual([0, 1]);
  expect([await status('del', 'a'), await status('del', 'a')]).toEqual([0, 1]);
  expect(await status('blocks', '7')).toBe(1);
  expect(await status('verify')).toBe(0);
  for (const words of [['no-such-command'], ['get'], ['scan', '--limit', 'many'], ['page', 'one']]) {
    expect([words, await status(...words)]).toEqual([words, 2]);
  }
  expect(await status('--config', join(folder, 'none.toml'), 'get', 'a')).toBeGreaterThanOrEqual(2);
  expect(await status('backup', folder)).toBe(3);
});
