/* Local stores in runtimes that were given little: permissions, machine names, WebAssembly. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { StorageEngine } from '../../src/index.ts';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram, commandOf, flagsWithoutPrograms, hasRuntime } from '../support/programs.ts';

const programs = mkdtempSync(join(realpathSync(tmpdir()), 'aegis-programs-'));
let program = '';

beforeAll(async () => {
  program = await bundleProgram('test/backend/store-user.ts', programs);
});

afterAll(() => rmSync(programs, { recursive: true, force: true }));

/** Runs the program and answers its last line. */
function said(command: string, given: readonly string[]): string {
  const { stdout, stderr } = spawnSync(command, given, { encoding: 'utf8', timeout: 60_000 });
  return stdout.trim() || stderr;
}

const [guard = ''] = flagsWithoutPrograms();

test('permissions: a Node that may sync nothing writes durably, and another one finds it all', async () => {
  const folder = join(temporaryFolder(), 'new', 'store');
  const flags = [...flagsWithoutPrograms(), '--allow-child-process'];
  expect(said(process.execPath, [...flags, program, folder])).toBe('ok true 101');
  const left = join(temporaryFolder(), 'store');
  said(process.execPath, [...flags, program, left, 'die']);
  const engine = await StorageEngine.open({ backend: 'local', dataDirectory: left });
  expect([engine.count(), engine.getString('last')]).toEqual([101, 'y']);
  await engine.close();
});

test('permissions: a Node that may not even start a program or look at sockets says what it needs', () => {
  const folder = temporaryFolder();
  const flags = [
    guard,
    `--allow-fs-read=${program}`,
    `--allow-fs-read=${folder}`,
    `--allow-fs-write=${folder}`,
  ];
  const answer = said(process.execPath, [...flags, '--no-warnings', program, folder]);
  expect(answer).toMatch(/^AegisError UNSUPPORTED .*flock.*--allow-child-process/);
});

test('permissions: a Node that may not write in the folder says so', () => {
  const folder = temporaryFolder();
  const flags = [guard, '--allow-fs-read=*', '--allow-child-process', '--no-warnings'];
  const made = said(process.execPath, [...flags, program, join(folder, 'store')]);
  expect(made).toMatch(/^AegisError UNSUPPORTED .*permission/);
});

test.skipIf(!hasRuntime('deno'))(
  'permissions: Deno needs to read and write in the folder, and nothing else',
  () => {
    const [deno = ''] = commandOf('deno');
    const above = temporaryFolder();
    const there = join(above, 'there');
    mkdirSync(there);
    for (const folder of [there, join(above, 'absent')]) {
      const flags = ['run', '--quiet', '--no-config', '--no-prompt'];
      const allowed = [`--allow-read=${folder}`, `--allow-write=${folder}`];
      expect(said(deno, [...flags, ...allowed, program, folder])).toBe('ok true 101');
      const unwritable = said(deno, [...flags, `--allow-read=${folder}`, program, folder]);
      expect(unwritable).toMatch(/^AegisError UNSUPPORTED .*permission/);
    }
  },
);

test.each(['node', 'deno', 'bun'] as const)(
  'permissions: a second opening in one process of %s hears just that',
  (runtime) => {
    if (!hasRuntime(runtime)) return;
    const [command = '', ...flags] = commandOf(runtime);
    const answer = said(command, [...flags, program, temporaryFolder(), 'twice']);
    expect(answer).toMatch(/^LOCKED .* in process \d+ .*; that is this very process, or a thread of it/);
    expect(answer).toMatch(/\nok true 101$/);
  },
);

test('permissions: a Node without WebAssembly says that it is missing', () => {
  const answer = said(process.execPath, ['--jitless', '--no-warnings', program, temporaryFolder()]);
  expect(answer).toMatch(/^AegisError UNSUPPORTED .*WebAssembly/);
});
