/* What the local backend promises beyond the suite: modes, links, odd files, full disks, moved folders. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, type TestContext, test } from 'vitest';
import { runtimeHost } from '../../src/backend/host.ts';
import { LocalBackend } from '../../src/backend/local.ts';
import { lockData } from '../../src/backend/lock.ts';
import { temporaryFolder } from '../support/place.ts';

const writable = { create: true };
const present = { create: false };

/** The process's umask, for one test. */
function withUmask(mask: number): void {
  const before = process.umask(mask);
  onTestFinished(() => void process.umask(before));
}

function modeOf(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

function error(code: string, more: object = {}): unknown {
  return expect.objectContaining({ name: 'AegisError', code, ...more });
}

test.each(['0', '22', '77', '277', '777'])('local: modes are 0600 and 0700 under umask %s', async (mask) => {
  const folder = join(temporaryFolder(), 'a', 'b');
  withUmask(Number.parseInt(mask, 8));
  const backend = new LocalBackend(folder);
  backend.open('wal-1', writable).close();
  const lock = await backend.lock('exclusive');
  for (const made of [folder, join(folder, '..')]) expect([made, modeOf(made)]).toEqual([made, '700']);
  expect(readdirSync(folder).sort()).toEqual(['data', 'lock', 'wal-1']);
  for (const name of readdirSync(folder)) expect([name, modeOf(join(folder, name))]).toEqual([name, '600']);
  lock.release();
});

test('local: folders and files somebody else made keep their modes', async () => {
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'data'), 'x');
  chmodSync(join(folder, 'data'), 0o640);
  const backend = new LocalBackend(folder);
  backend.open('data', writable).close();
  await (await backend.lock('exclusive')).release();
  expect([modeOf(folder), modeOf(join(folder, 'data'))]).toEqual(['755', '640']);
});

test('local: the constructor touches nothing, and reading makes nothing', async () => {
  const folder = join(temporaryFolder(), 'store');
  const backend = new LocalBackend(folder);
  expect(backend.list()).toEqual([]);
  expect(() => backend.open('data', present)).toThrow(error('NOT_FOUND', { file: 'data', errno: 'ENOENT' }));
  backend.remove('data');
  await expect(backend.lock('shared')).rejects.toEqual(error('NOT_FOUND'));
  expect(existsSync(folder)).toBe(false);
});

test('local: a path that cannot be one is refused by the constructor', () => {
  for (const path of ['', 'a\0b', undefined as unknown as string, 5 as unknown as string]) {
    expect(() => new LocalBackend(path)).toThrow(error('INVALID_ARGUMENT'));
  }
});

test('local: a relative path means the folder it named at first', () => {
  const before = process.cwd();
  onTestFinished(() => process.chdir(before));
  const [first, second] = [temporaryFolder(), temporaryFolder()];
  process.chdir(first);
  const backend = new LocalBackend('store');
  process.chdir(second);
  backend.open('data', writable).close();
  expect([readdirSync(first), readdirSync(second)]).toEqual([['store'], []]);
});

test('local: names that lead elsewhere make no file anywhere', () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'store'));
  const backend = new LocalBackend(join(folder, 'store'));
  for (const name of ['../out', '..', '/tmp/aegis-out', 'a/../../out', 'x'.repeat(300), 'out\0', '.out']) {
    expect(() => backend.open(name, writable)).toThrow(error('INVALID_ARGUMENT'));
  }
  expect([readdirSync(folder), readdirSync(join(folder, 'store'))]).toEqual([['store'], []]);
});

test('local: a symbolic link in the place of a file is refused, whatever it leads to', async () => {
  const folder = temporaryFolder();
  const outside = join(folder, 'outside');
  writeFileSync(outside, 'precious');
  const store = join(folder, 'store');
  mkdirSync(store);
  symlinkSync(outside, join(store, 'data'));
  symlinkSync(join(folder, 'nothing'), join(store, 'wal-1'));
  const backend = new LocalBackend(store);
  for (const name of ['data', 'wal-1']) {
    for (const options of [writable, present, { create: false, readOnly: true }]) {
      expect(() => backend.open(name, options)).toThrow(error('NOT_A_STORE', { file: name, errno: 'ELOOP' }));
    }
  }
  await expect(backend.lock('exclusive')).rejects.toEqual(error('NOT_A_STORE'));
  await expect(backend.lock('shared')).rejects.toEqual(error('NOT_A_STORE'));
  expect([readFileSync(outside, 'utf8'), existsSync(join(folder, 'nothing'))]).toEqual(['precious', false]);
});

test('local: a folder, a pipe or a socket in the place of a file is refused at once', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'wal-1'));
  execFileSync('mkfifo', [join(folder, 'data')]);
  const backend = new LocalBackend(folder);
  for (const name of ['wal-1', 'data']) {
    for (const options of [writable, { create: false, readOnly: true }]) {
      const message = `${join(folder, name)} is not a regular file`;
      expect(() => backend.open(name, options)).toThrow(error('NOT_A_STORE', { file: name, message }));
    }
  }
  await expect(backend.lock('exclusive')).rejects.toEqual(error('NOT_A_STORE'));
});

test('local: a file in the place of the folder is NOT_A_STORE', async () => {
  const path = join(temporaryFolder(), 'file');
  writeFileSync(path, 'precious');
  const backend = new LocalBackend(path);
  expect(() => backend.open('data', writable)).toThrow(error('NOT_A_STORE'));
  expect(() => backend.list()).toThrow(error('NOT_A_STORE'));
  await expect(backend.lock('exclusive')).rejects.toEqual(error('NOT_A_STORE'));
  expect(readFileSync(path, 'utf8')).toBe('precious');
});

test("local: the list names strangers' files and folders, also one called lock, and a lock leaves that alone", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'Thesis.DOC'), '');
  mkdirSync(join(folder, '.git'));
  writeFileSync(join(folder, 'lock'), 'the key is under the mat');
  const backend = new LocalBackend(folder);
  expect(backend.list().sort()).toEqual(['.git', 'Thesis.DOC', 'lock']);
  (await backend.lock('exclusive')).release();
  expect(readFileSync(join(folder, 'lock'), 'utf8')).toBe('the key is under the mat');
});

test('local: a pipe or a link called lock makes nobody wait and is not written through', async () => {
  const folder = temporaryFolder();
  const [withPipe, withLink] = [join(folder, 'pipe'), join(folder, 'link')];
  for (const store of [withPipe, withLink]) mkdirSync(store);
  execFileSync('mkfifo', [join(withPipe, 'lock')]);
  writeFileSync(join(folder, 'outside'), '');
  symlinkSync(join(folder, 'outside'), join(withLink, 'lock'));
  for (const store of [withPipe, withLink]) {
    const backend = new LocalBackend(store);
    expect(backend.list()).toEqual(['lock']);
    backend.open('data', writable).write([Uint8Array.of(1)], 0);
    const lock = await backend.lock('exclusive');
    await expect(backend.lock('shared')).rejects.toEqual(error('LOCKED'));
    lock.release();
  }
  expect(readFileSync(join(folder, 'outside'), 'utf8')).toBe('');
});

test('local: a folder moved while its store is open gets no twin at its old path', async () => {
  const folder = temporaryFolder();
  const [store, moved] = [join(folder, 'store'), join(folder, 'moved')];
  const backend = new LocalBackend(store);
  const lock = await backend.lock('exclusive');
  const file = backend.open('data', writable);
  renameSync(store, moved);
  expect(() => backend.open('wal-1', writable)).toThrow(error('IO_ERROR'));
  expect(existsSync(store)).toBe(false);
  mkdirSync(store);
  for (const work of [
    () => backend.open('wal-1', writable),
    () => backend.remove('data'),
    () => backend.syncDirectory(),
  ]) {
    expect(work).toThrow(error('IO_ERROR', { errno: 'ESTALE' }));
  }
  // What is open stays open, and the moved folder is the same store; but nobody finds it where it was.
  file.write([Uint8Array.of(7)], 0);
  for (const round of [1, 2]) {
    expect(() => file.syncSync(), `sync ${round}`).toThrow(error('IO_ERROR', { errno: 'ESTALE' }));
    await expect(file.sync()).rejects.toEqual(error('IO_ERROR', { errno: 'ESTALE', operation: 'sync' }));
  }
  expect(readFileSync(join(moved, 'data'))).toEqual(Buffer.of(7));
  await expect(new LocalBackend(moved).lock('exclusive')).rejects.toEqual(
    error('LOCKED', { pid: process.pid }),
  );
  await lock.release();
  backend.open('wal-1', writable).close();
  expect(readdirSync(store)).toEqual(['wal-1']);
});

test('local: a file keeps no descriptor once it is closed, whatever came before', async () => {
  const backend = new LocalBackend(join(temporaryFolder(), 'store'));
  const count = () => readdirSync('/proc/self/fd').length;
  backend.open('data', writable).close();
  const before = count();
  for (let round = 0; round < 20; round++) {
    const file = backend.open('data', writable);
    const syncs = [file.sync(), file.sync()];
    if (round % 3 === 0) file.close();
    await Promise.all(syncs);
    file.close();
    (await backend.lock('shared')).release();
    const lock = await backend.lock('exclusive');
    await expect(backend.lock('shared')).rejects.toEqual(error('LOCKED'));
    lock.release();
  }
  expect(count()).toBe(before);
});

/** A file system of its own with room for a few pages; skips the test where none can be had. */
function smallDisk(context: TestContext, kilobytes: number): string {
  const folder = temporaryFolder();
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', folder]);
  if (mounted.status !== 0) context.skip('a small tmpfs cannot be mounted here (it takes root on Linux)');
  onTestFinished(() => void spawnSync('umount', ['-l', folder]));
  return folder;
}

test('local: a full disk is OUT_OF_SPACE, for writes of one part and of many, and clears', async (context) => {
  const backend = new LocalBackend(smallDisk(context, 64));
  const file = backend.open('data', writable);
  const page = new Uint8Array(8192).fill(1);
  const pages = Array.from({ length: 20 }, () => page);
  const full = error('OUT_OF_SPACE', { errno: 'ENOSPC', file: 'data', operation: 'write' });
  // The system takes what fits and says nothing; only the rest brings the reason out.
  expect(() => file.write([new Uint8Array(160_000)], 0)).toThrow(full);
  file.truncate(0);
  expect(() => file.write(pages, 0)).toThrow(full);
  file.truncate(0);
  file.write([page], 0);
  file.syncSync();
  await file.sync();
  expect(file.size()).toBe(8192);
});

test('local: a store can be locked on a full disk', async (context) => {
  const folder = smallDisk(context, 16);
  const backend = new LocalBackend(folder);
  backend.open('data', writable).close();
  expect(() => backend.open('filler', writable).write([new Uint8Array(100_000)], 0)).toThrow(
    error('OUT_OF_SPACE'),
  );
  const count = () => readdirSync('/proc/self/fd').length;
  const before = count();
  const lock = await backend.lock('exclusive');
  await expect(backend.lock('exclusive')).rejects.toEqual(error('LOCKED'));
  lock.release();
  expect(count()).toBe(before);
});

test('local: a hard link of a file is the same file', () => {
  const folder = temporaryFolder();
  const backend = new LocalBackend(folder);
  backend.open('data', writable).write([Uint8Array.of(1)], 0);
  linkSync(join(folder, 'data'), join(folder, 'other'));
  expect(backend.open('other', present).size()).toBe(1);
  rmSync(join(folder, 'other'));
  expect(backend.open('data', present).size()).toBe(1);
});

test('lock: what goes wrong once it is held gives it back', async () => {
  const folder = temporaryFolder();
  const bug = new Error('no time today');
  const now = () => {
    throw bug;
  };
  const broken = lockData(folder, 'exclusive', { ...runtimeHost, now });
  await expect(broken).rejects.toMatchObject({ code: 'IO_ERROR', operation: 'lock', cause: bug });
  const lock = await new LocalBackend(folder).lock('exclusive');
  await lock.release();
});
