/*
 * The lock where no program `flock` can be run, and what becomes of helpers that misbehave. Here the helper is taken
 * from this process (`node:child_process` answers as if it were not there); other processes have it, or are run
 * without the permission to start programs.
 */
import type * as ChildProcess from 'node:child_process';
import type * as Fs from 'node:fs';
import { mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { LocalBackend } from '../../src/backend/local.ts';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram, flagsWithoutPrograms, Program } from '../support/programs.ts';
import type { LockOutcome } from './locker.ts';

interface Answer {
  status: number | null;
  stderr: Buffer;
  error?: Error;
}

/** How the helper answers now; undefined lets the real one run. */
const helper = vi.hoisted(() => ({
  answer: undefined as undefined | ((program: string) => Answer | undefined),
  hidesSockets: false,
}));

vi.mock('node:child_process', async (importOriginal) => {
  const original = await importOriginal<typeof ChildProcess>();
  return {
    ...original,
    spawnSync: (program: string, flags: string[], options: object) =>
      helper.answer?.(program) ?? original.spawnSync(program, flags, options),
  };
});

vi.mock('node:fs', async (importOriginal) => {
  const original = await importOriginal<typeof Fs>();
  return {
    ...original,
    readFileSync: (path: string, encoding: 'latin1') => {
      if (helper.hidesSockets && path === '/proc/net/unix') throw new Error('made up');
      return original.readFileSync(path, encoding);
    },
  };
});

const programs = mkdtempSync(join(realpathSync(tmpdir()), 'aegis-programs-'));
let locker = '';

beforeAll(async () => {
  locker = await bundleProgram('test/backend/locker.ts', programs);
});
afterAll(() => rmSync(programs, { recursive: true }));

function failure(errno: string): Answer {
  return { status: null, stderr: Buffer.alloc(0), error: Object.assign(new Error(errno), { code: errno }) };
}

beforeEach(() => {
  helper.answer = () => failure('ENOENT');
  helper.hidesSockets = false;
});

function take(program: Program, folder: string, mode = 'exclusive'): Promise<LockOutcome> {
  return program.ask<LockOutcome>('lock', folder, mode);
}

function error(code: string, more: object = {}): unknown {
  return expect.objectContaining({ name: 'AegisError', code, ...more });
}

const locked = error('LOCKED', { pid: process.pid });

test('lock socket: in one process a writer excludes all, readers only writers', async () => {
  const folder = temporaryFolder();
  const backend = new LocalBackend(folder);
  const writer = await backend.lock('exclusive');
  await expect(backend.lock('exclusive')).rejects.toEqual(locked);
  await expect(backend.lock('shared')).rejects.toEqual(locked);
  await writer.release();
  const [one, two] = [await backend.lock('shared'), await backend.lock('shared')];
  await expect(backend.lock('exclusive')).rejects.toEqual(locked);
  await one.release();
  await expect(backend.lock('exclusive')).rejects.toEqual(locked);
  await two.release();
  await (await backend.lock('exclusive')).release();
});

test('lock socket: it excludes other processes that have no flock either, and ends with its holder', async () => {
  const folder = temporaryFolder();
  const holder = new Program(locker, 'node', flagsWithoutPrograms());
  expect(await take(holder, folder)).toMatchObject({ locked: true });
  const named = error('LOCKED', { pid: holder.pid });
  await expect(new LocalBackend(folder).lock('exclusive')).rejects.toEqual(named);
  await expect(new LocalBackend(folder).lock('shared')).rejects.toEqual(named);
  renameSync(folder, `${folder}-moved`);
  await expect(new LocalBackend(`${folder}-moved`).lock('exclusive')).rejects.toEqual(named);
  renameSync(`${folder}-moved`, folder);
  await holder.kill();
  await (await new LocalBackend(folder).lock('exclusive')).release();
});

test('lock socket: it excludes processes that have flock, and they exclude it', async () => {
  const folder = temporaryFolder();
  const other = new Program(locker);
  for (const [mine, others, fits] of [
    ['exclusive', 'exclusive', false],
    ['exclusive', 'shared', false],
    ['shared', 'exclusive', false],
    ['shared', 'shared', true],
  ] as const) {
    const backend = new LocalBackend(folder);
    writeFileSync(join(folder, 'data'), '');
    const lock = await backend.lock(mine);
    const second = await take(other, folder, others);
    expect(second).toMatchObject(fits ? { locked: true } : { code: 'LOCKED', pid: process.pid });
    await lock.release();
    await other.ask('release');

    expect(await take(other, folder, others)).toMatchObject({ locked: true });
    const tried = backend.lock(mine);
    if (fits) await (await tried).release();
    else await expect(tried).rejects.toEqual(error('LOCKED', { pid: other.pid }));
    await other.ask('release');
  }
});

test('lock socket: of 8 processes without flock in a race exactly one wins, and every loser names it', async () => {
  // A Node without that permission makes no folder durable either, so there is one.
  const folder = temporaryFolder();
  const racers = Array.from({ length: 8 }, () => new Program(locker, 'node', flagsWithoutPrograms()));
  await Promise.all(racers.map((racer) => racer.ask('runtime')));
  for (let round = 0; round < 20; round++) {
    const begin = Date.now() + 10;
    const outcomes = await Promise.all(
      racers.map((racer) => racer.ask<LockOutcome>('lock', folder, 'exclusive', begin)),
    );
    const winner = racers.find((_, index) => outcomes[index]?.locked);
    expect(outcomes.filter((outcome) => outcome.locked).length).toBe(1);
    const losers = outcomes.filter((outcome) => !outcome.locked);
    expect(new Set(losers.map(({ code, pid }) => `${code} ${pid}`))).toEqual(
      new Set([`LOCKED ${winner?.pid}`]),
    );
    await winner?.ask('release');
  }
});

test('lock socket: without flock and without the list of sockets it is UNSUPPORTED, and says what is needed', async () => {
  helper.hidesSockets = true;
  const lock = new LocalBackend(temporaryFolder()).lock('exclusive');
  await expect(lock).rejects.toEqual(error('UNSUPPORTED'));
  await expect(lock).rejects.toThrow('needs the program flock (package util-linux)');
});

test.each([
  ['ends with another status', { status: 71, stderr: Buffer.from('flock: 3: No locks available\n') }],
  ['ends with status 1 and a complaint', { status: 1, stderr: Buffer.from('flock: Input/output error\n') }],
  ['is killed', { status: null, stderr: Buffer.alloc(0) }],
  ['cannot be started for want of memory', failure('ENOMEM')],
  ['cannot be started for want of descriptors', failure('EMFILE')],
])('lock: a helper that %s is an error and no reason for a weaker lock', async (_how, answer) => {
  helper.answer = () => answer;
  const folder = temporaryFolder();
  await expect(new LocalBackend(folder).lock('exclusive')).rejects.toEqual(
    error('IO_ERROR', { operation: 'lock', file: 'data' }),
  );
  helper.answer = undefined;
  await (await new LocalBackend(folder).lock('exclusive')).release();
});

test('lock: a helper found in one place only is found', async () => {
  helper.answer = (program) => (program === 'flock' ? undefined : failure('ENOENT'));
  const folder = temporaryFolder();
  await new LocalBackend(folder).lock('exclusive');
  expect(await take(new Program(locker), folder)).toMatchObject({ code: 'LOCKED', pid: process.pid });
});

test('lock: a lock of a file that was replaced meanwhile does not count', async () => {
  const folder = temporaryFolder();
  const data = join(folder, 'data');
  let replaced = 0;
  helper.answer = () => {
    if (replaced++ < 2) {
      rmSync(data);
      writeFileSync(data, '');
    }
    return undefined;
  };
  await new LocalBackend(folder).lock('exclusive');
  expect(replaced).toBe(3);
  helper.answer = undefined;
  await expect(new LocalBackend(folder).lock('exclusive')).rejects.toEqual(locked);

  const other = temporaryFolder();
  helper.answer = () => {
    rmSync(join(other, 'data'));
    writeFileSync(join(other, 'data'), '');
    return undefined;
  };
  await expect(new LocalBackend(other).lock('exclusive')).rejects.toThrow('replaced all the time');
});

test('lock: a flock is taken where the system shows no list of sockets', async () => {
  helper.answer = undefined;
  helper.hidesSockets = true;
  const folder = temporaryFolder();
  await new LocalBackend(folder).lock('exclusive');
  await expect(new LocalBackend(folder).lock('exclusive')).rejects.toEqual(locked);
});

test('lock socket: a system that refuses the socket for another reason is an error', async () => {
  const { Server } = await import('node:net');
  const listen = vi.spyOn(Server.prototype, 'listen').mockImplementation(function (
    this: InstanceType<typeof Server>,
  ) {
    this.emit('error', Object.assign(new Error('EMFILE'), { code: 'EMFILE' }));
    return this;
  });
  try {
    const lock = new LocalBackend(temporaryFolder()).lock('exclusive');
    await expect(lock).rejects.toEqual(error('IO_ERROR', { errno: 'EMFILE', operation: 'lock' }));
  } finally {
    listen.mockRestore();
  }
});

test('lock: a flock beside a socket that excludes it is given back', async () => {
  helper.answer = undefined;
  const folder = temporaryFolder();
  const holder = new Program(locker, 'node', flagsWithoutPrograms());
  expect(await take(holder, folder)).toMatchObject({ locked: true });
  const named = error('LOCKED', { pid: holder.pid });
  await expect(new LocalBackend(folder).lock('exclusive')).rejects.toEqual(named);
  await holder.ask('release');
  await (await new LocalBackend(folder).lock('exclusive')).release();
});
