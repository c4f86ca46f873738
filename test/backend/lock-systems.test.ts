/*
 * The lock as other systems and runtimes give it, with stand-ins that answer as these document it: macOS and the BSDs
 * (`open` with O_EXLOCK and O_SHLOCK), Windows (`open` with no sharing), Deno (`FsFile.tryLock`) and Bun (`flock` of
 * the C library). CI runs the real Deno and Bun as well (lock.test.ts).
 */
import type * as Fs from 'node:fs';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { LocalBackend } from '../../src/backend/local.ts';
import { AegisError } from '../../src/base/errors.ts';
import { temporaryFolder } from '../support/place.ts';

/** The system that the engine sees now, and who holds what on it: descriptor or file -> inode and kind. */
const system = vi.hoisted(() => ({
  seen: {} as { platform?: string; arch?: string; versions?: object; hostname?: string },
  held: new Map<unknown, { inode: number; exclusive: boolean }>(),
  libraries: [] as string[],
  libraryIsThere: true,
  helperIsThere: true,
  nameIsSecret: false,
  refuseOpen: undefined as Error | undefined,
}));

/** Takes a lock as every one of these systems does; false when somebody holds one that excludes it. */
function take(owner: unknown, inode: number, exclusive: boolean): boolean {
  for (const one of system.held.values()) {
    if (one.inode === inode && (one.exclusive || exclusive)) return false;
  }
  system.held.set(owner, { inode, exclusive });
  return true;
}

vi.mock('node:process', async (importOriginal) => {
  const original = await importOriginal<{ default: NodeJS.Process }>();
  const get = (target: object, name: string) => Reflect.get({ ...target, ...system.seen }, name);
  const pid = original.default.pid;
  const kill = (process: number, signal: number) => original.default.kill(process, signal);
  const { platform, arch, versions } = original.default;
  const seen = new Proxy({ pid, kill, platform, arch, versions }, { get });
  return { ...original, default: seen };
});

vi.mock('node:os', async (importOriginal) => {
  const original = await importOriginal<{ hostname(): string }>();
  const hostname = () => {
    if (system.nameIsSecret) throw Object.assign(new Error('Requires sys access'), { name: 'NotCapable' });
    return system.seen.hostname ?? original.hostname();
  };
  return { ...original, hostname };
});

vi.mock('node:child_process', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  spawnSync: () => {
    // As a Node without the permission to start programs does.
    if (!system.helperIsThere) throw Object.assign(new Error('denied'), { code: 'ERR_ACCESS_DENIED' });
    return { status: 0, stderr: Buffer.alloc(0) };
  },
}));

vi.mock('node:fs', async (importOriginal) => {
  const original = await importOriginal<typeof Fs>();
  const refusal = (code: string) => Object.assign(new Error(code), { code });
  return {
    ...original,
    openSync: (path: string, flags: number, mode?: number) => {
      const { platform = '' } = system.seen;
      const bsd = platform === 'darwin' || platform.endsWith('bsd');
      // O_SHLOCK, O_EXLOCK; libuv's UV_FS_O_EXLOCK on Windows.
      const shared = bsd && (flags & 0x10) !== 0;
      const exclusive = (bsd && (flags & 0x20) !== 0) || (flags & 0x1000_0000) !== 0;
      if (!shared && !exclusive && platform !== 'win32') return original.openSync(path, flags, mode);
      if (system.refuseOpen) throw system.refuseOpen;
      const descriptor = original.openSync(path, flags & ~(bsd ? 0x30 : 0x1000_0000), mode);
      const isGuard = path.endsWith('lock-guard');
      // Node shares the guard with readers; Deno only makes it, and locks it by itself.
      if (platform === 'win32' && (!isGuard || 'Deno' in globalThis)) return descriptor;
      if (take(descriptor, original.fstatSync(descriptor).ino, exclusive)) return descriptor;
      original.closeSync(descriptor);
      throw refusal(platform === 'win32' ? 'EBUSY' : 'EAGAIN');
    },
    closeSync: (descriptor: number) => {
      system.held.delete(descriptor);
      original.closeSync(descriptor);
    },
  };
});

vi.mock('bun:ffi', () => ({
  dlopen: (library: string) => {
    system.libraries.push(library);
    if (!system.libraryIsThere || !library.startsWith('libc.musl')) throw new Error('no such library');
    const flock = (descriptor: number, operation: number) =>
      take(descriptor, statOf(descriptor), (operation & 2) !== 0) ? 0 : -1;
    return { symbols: { flock } };
  },
}));

function statOf(descriptor: number): number {
  return statSync(`/proc/self/fd/${descriptor}`).ino;
}

/** Deno's files: a lock belongs to the open file. */
const deno = {
  openSync: (path: string) => {
    const file = {
      statSync: () => ({ ino: statSync(path).ino }),
      tryLockSync: (exclusive: boolean) => take(file, statSync(path).ino, exclusive),
      close: () => void system.held.delete(file),
    };
    return file;
  },
};

beforeEach(() => {
  system.seen = {};
  system.held.clear();
  system.libraries = [];
  system.libraryIsThere = true;
  system.helperIsThere = true;
  system.refuseOpen = undefined;
});
afterEach(() => vi.unstubAllGlobals());

const locked = expect.objectContaining({ name: 'AegisError', code: 'LOCKED', pid: process.pid });

/** One writer or many readers, and whoever is refused learns who is there. */
async function expectExclusion(): Promise<void> {
  const folder = temporaryFolder();
  const backend = new LocalBackend(folder);
  const writer = await backend.lock('exclusive');
  expect(system.held.size).toBeGreaterThan(0);
  await expect(backend.lock('exclusive')).rejects.toEqual(locked);
  await expect(backend.lock('shared')).rejects.toEqual(locked);
  await writer.release();
  const readers = [await backend.lock('shared'), await backend.lock('shared')];
  await expect(backend.lock('exclusive')).rejects.toEqual(locked);
  for (const reader of readers) await reader.release();
  expect(system.held.size).toBe(0);
  await (await backend.lock('exclusive')).release();
  // What the lock leaves behind is nobody's business, wherever its guard is.
  expect(backend.list()).toEqual(['data']);
}

test.each([
  ['macOS', 'darwin'],
  ['FreeBSD', 'freebsd'],
  ['Windows', 'win32'],
])('lock: Node on %s has one writer or many readers', async (_name, platform) => {
  system.seen = { platform };
  await expectExclusion();
});

test.each([
  ['Linux', 'linux'],
  ['Windows', 'win32'],
])('lock: Deno on %s has one writer or many readers, and says that it is Deno', async (_name, platform) => {
  system.seen = { platform, versions: { deno: '2.0.0' } };
  vi.stubGlobal('Deno', deno);
  await expectExclusion();
  const folder = temporaryFolder();
  await new LocalBackend(folder).lock('exclusive');
  expect(readFileSync(join(folder, 'lock'), 'utf8')).toContain('deno 2.0.0');
});

test('lock: Deno refuses a file that was replaced between two opens', async () => {
  const folder = temporaryFolder();
  vi.stubGlobal('Deno', {
    openSync: (path: string) => {
      writeFileSync(join(folder, 'other'), '');
      renameSync(join(folder, 'other'), path);
      return deno.openSync(path);
    },
  });
  await expect(new LocalBackend(folder).lock('exclusive')).rejects.toThrow('the file was replaced');
});

test.each([
  ['x64', 'libc.musl-x86_64.so.1'],
  ['riscv64', 'libc.musl-riscv64.so.1'],
])('lock: Bun on %s looks for the C library by its names', async (arch, library) => {
  system.seen = { arch, versions: { bun: '1.2.0' } };
  vi.stubGlobal('Bun', {});
  await expectExclusion();
  expect(system.libraries).toContain(library);
  const folder = temporaryFolder();
  await new LocalBackend(folder).lock('exclusive');
  expect(readFileSync(join(folder, 'lock'), 'utf8')).toContain('bun 1.2.0');
});

test('lock: Bun without a C library takes the next way', async () => {
  system.libraryIsThere = false;
  system.seen = { platform: 'darwin' };
  vi.stubGlobal('Bun', {});
  await expectExclusion();
  expect(system.libraries.length).toBeGreaterThan(2);
});

test('lock: a system that knows no way without the helper says what is needed', async () => {
  system.seen = { platform: 'sunos' };
  system.helperIsThere = false;
  await expect(new LocalBackend(temporaryFolder()).lock('exclusive')).rejects.toMatchObject({
    code: 'UNSUPPORTED',
  });
});

test.each(['EIO', undefined])('lock: a system that answers %s is an error, not a lock', async (code) => {
  system.seen = { platform: 'darwin' };
  system.refuseOpen = code === undefined ? new Error('odd') : Object.assign(new Error(code), { code });
  const error = await new LocalBackend(temporaryFolder()).lock('exclusive').catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(AegisError);
  expect(error).toMatchObject({ code: 'IO_ERROR', operation: 'lock' });
});

// --- who holds it -----------------------------------------------------------------------------------------------

/** A store that is there, with whatever in the file that names holders. */
function storeWith(holders: string | Buffer): { folder: string; backend: LocalBackend } {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'data'), 'a store');
  writeFileSync(join(folder, 'lock'), holders);
  return { folder, backend: new LocalBackend(folder) };
}

const slot = (record: object | null) => JSON.stringify(record).padEnd(512);
const alive = { pid: process.pid, host: hostname(), since: '2020', runtime: 'node 1' };

test('lock holder: readers beyond the last slot, and machines with endless names, stay unnamed', async () => {
  const full = slot(alive).repeat(64);
  const { folder, backend } = storeWith(full);
  const reader = await backend.lock('shared');
  expect(readFileSync(join(folder, 'lock'), 'utf8')).toBe(full);
  await reader.release();
  system.seen = { hostname: 'h'.repeat(600) };
  const writer = await backend.lock('exclusive');
  expect(readFileSync(join(folder, 'lock'), 'utf8')).toBe(full);
  await writer.release();
});

test('lock holder: a record that another one wrote over is not blanked', async () => {
  const { folder, backend } = storeWith('');
  const writer = await backend.lock('exclusive');
  const other = slot({ ...alive, runtime: 'another' });
  writeFileSync(join(folder, 'lock'), other);
  await writer.release();
  expect(readFileSync(join(folder, 'lock'), 'utf8')).toBe(other);
});

test.each([
  ['no row of slots', 'nonsense'],
  ['longer than any row', slot(alive).repeat(65)],
  ['JSON, but no record', slot({ pid: 1 })],
  ['JSON, but nothing', slot(null)],
])('lock holder: a file that is %s stops nobody, and names nobody', async (_what, content) => {
  const { folder, backend } = storeWith(content);
  expect(backend.list()).toContain('lock');
  const reader = await backend.lock('shared');
  expect(readFileSync(join(folder, 'lock'), 'utf8').startsWith(`{"pid":${process.pid}`)).toBe(true);
  await reader.release();
});

test('lock holder: a machine that keeps its name to itself stops nobody', async () => {
  const folder = temporaryFolder();
  system.nameIsSecret = true;
  onTestFinished(() => {
    system.nameIsSecret = false;
  });
  for (let i = 0; i < 2; i++) {
    const lock = await new LocalBackend(folder).lock('exclusive');
    expect(JSON.parse(readFileSync(join(folder, 'lock'), 'utf8'))).toMatchObject({
      host: '',
      pid: process.pid,
    });
    await lock.release();
  }
});
