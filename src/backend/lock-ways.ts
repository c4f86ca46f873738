/**
 * The ways to have the operating system hold a lock on the file `data`, one for each runtime and system.
 *
 * | where | how |
 * |---|---|
 * | Deno | `FsFile.tryLock` |
 * | Bun, not on Windows | `flock` of the C library |
 * | Node on Linux | the program `flock`, once, with our descriptor: the lock belongs to the open file and outlives it |
 * | Node on Linux without that program | an abstract socket, see `lock-socket.ts` |
 * | Node on macOS and BSD | `open` with O_EXLOCK or O_SHLOCK |
 * | Windows | `open` of a guard file with no sharing |
 *
 * 1. All but the last row exclude one another, across processes and within one: a second open here is refused.
 * 2. A system that answers something unexpected is an error. Going on with a weaker kind of lock would let two
 *    writers in, one under each kind.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { AegisError } from '../base/errors.ts';
import { errnoOf } from './local-system.ts';
import { GUARD_FILE } from './lock-holder.ts';
import { isExcludedBySocket, type LockAnswer, type LockRequest, lockBySocket } from './lock-socket.ts';

const MACHINES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };
const HELPERS = ['/usr/bin/flock', '/bin/flock', 'flock'];
// A helper that is not there or may not be started; anything else is a failure, never a reason for a weaker lock.
const NOT_TO_BE_RUN = new Set<string | undefined>(['ENOENT', 'EACCES', 'EPERM', 'ERR_ACCESS_DENIED']);
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
// Open flags that Node passes on without naming them.
const O_SHLOCK_BSD = 0x10;
const O_EXLOCK_BSD = 0x20;
const O_EXLOCK_WINDOWS = 0x1000_0000;

type WayToLock = (request: LockRequest) => LockAnswer | Promise<LockAnswer>;

/** Goes through the ways of this runtime, best first, up to the first that is there. */
export async function lockOpenFile(request: LockRequest): Promise<LockAnswer> {
  for (const way of waysToLock()) {
    const answer = await way(request);
    if (answer === 'absent') continue;
    const excluded = typeof answer === 'function' && way !== lockBySocket && isExcludedBySocket(request);
    if (!excluded) return answer;
    answer();
    return 'taken';
  }
  throw new AegisError(
    'UNSUPPORTED',
    `no lock to be had for ${request.path}: on ${process.platform} this runtime needs the program flock ` +
      '(package util-linux) and the permission to start it (--allow-child-process under --permission)',
    { file: 'data', operation: 'lock' },
  );
}

function waysToLock(): readonly WayToLock[] {
  const { platform } = process;
  if ('Deno' in globalThis) return [platform === 'win32' ? lockGuardWithDeno : lockWithDeno];
  if (platform === 'win32') return [openGuardUnshared];
  const bun = 'Bun' in globalThis ? [lockWithBun] : [];
  if (platform === 'darwin' || platform.endsWith('bsd')) return [...bun, openLocked];
  return [...bun, lockWithHelper, ...(platform === 'linux' ? [lockBySocket] : [])];
}

function lockWithHelper({ descriptor, mode }: LockRequest): LockAnswer {
  for (const helper of HELPERS) {
    // The descriptor becomes the helper's number 3.
    const { status, stderr, error } = runHelper(
      helper,
      ['-n', mode === 'exclusive' ? '-x' : '-s', '3'],
      descriptor,
    );
    if (NOT_TO_BE_RUN.has(errnoOf(error))) continue;
    if (error !== undefined) throw error;
    if (status === 0) return keepOpen;
    // Status 1 without a word is how every flock says that somebody else has the lock.
    if (status === 1 && stderr.length === 0) return 'taken';
    throw lockFailed(`${helper} ended with ${status ?? 'a signal'}: ${stderr.toString().trim()}`);
  }
  return 'absent';
}

function runHelper(
  helper: string,
  flags: readonly string[],
  descriptor: number,
): { status: number | null; stderr: Buffer; error?: unknown } {
  try {
    return spawnSync(helper, flags, { stdio: ['ignore', 'ignore', 'pipe', descriptor], windowsHide: true });
  } catch (error) {
    // Node without the permission to start programs throws instead of answering.
    return { status: null, stderr: Buffer.alloc(0), error };
  }
}

/** A lock that belongs to the open file ends when its descriptor is closed. */
function keepOpen(): void {}

interface DenoFile {
  tryLockSync(exclusive: boolean): boolean;
  statSync(): { ino: number | null };
  close(): void;
}

function lockWithDeno({ path, descriptor, mode }: LockRequest): LockAnswer {
  const { Deno } = globalThis as unknown as {
    Deno: { openSync(path: string, options: { read: boolean; write: boolean }): DenoFile };
  };
  const file = Deno.openSync(path, { read: true, write: mode === 'exclusive' });
  // Deno makes no file from a descriptor, and this open follows links: check that it is the same file.
  const isSame = file.statSync().ino === fstatSync(descriptor).ino || process.platform === 'win32';
  if (isSame && file.tryLockSync(mode === 'exclusive')) return () => file.close();
  file.close();
  if (!isSame) throw lockFailed('the file was replaced');
  return 'taken';
}

async function lockWithBun({ descriptor, mode }: LockRequest): Promise<LockAnswer> {
  const flock = await bunFlock();
  if (flock === undefined) return 'absent';
  return flock(descriptor, (mode === 'exclusive' ? LOCK_EX : LOCK_SH) | LOCK_NB) === 0 ? keepOpen : 'taken';
}

type Flock = (descriptor: number, operation: number) => number;

async function bunFlock(): Promise<Flock | undefined> {
  // Named at run time: no bundler for another runtime should look for it.
  const name = 'bun:ffi';
  const { dlopen } = (await import(/* @vite-ignore */ name)) as {
    dlopen(library: string, symbols: object): { symbols: { flock: Flock } };
  };
  const { arch } = process;
  for (const library of ['libc.so.6', `libc.musl-${MACHINES[arch] ?? arch}.so.1`, 'libSystem.B.dylib']) {
    try {
      return dlopen(library, { flock: { args: ['i32', 'i32'], returns: 'i32' } }).symbols.flock;
    } catch {
      // The C library has another name on this system.
    }
  }
  return undefined;
}

function openLocked({ path, mode }: LockRequest): LockAnswer {
  const access = mode === 'exclusive' ? constants.O_RDWR | O_EXLOCK_BSD : constants.O_RDONLY | O_SHLOCK_BSD;
  return openOrTaken(path, access | constants.O_NONBLOCK | constants.O_NOFOLLOW, ['EAGAIN', 'EWOULDBLOCK']);
}

function openGuardUnshared({ path, mode }: LockRequest): LockAnswer {
  const access = constants.O_RDWR | constants.O_CREAT | (mode === 'exclusive' ? O_EXLOCK_WINDOWS : 0);
  return openOrTaken(join(dirname(path), GUARD_FILE), access, ['EBUSY']);
}

/** Deno's lock on Windows forbids others to read what it covers, so it covers the guard file. */
function lockGuardWithDeno(request: LockRequest): LockAnswer {
  const path = join(dirname(request.path), GUARD_FILE);
  closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT));
  return lockWithDeno({ ...request, path });
}

function openOrTaken(path: string, flags: number, takenErrors: readonly (string | undefined)[]): LockAnswer {
  try {
    const descriptor = openSync(path, flags, 0o600);
    return () => closeSync(descriptor);
  } catch (cause) {
    if (takenErrors.includes(errnoOf(cause))) return 'taken';
    throw cause;
  }
}

/** The error of a lock that could neither be had nor was held by somebody else. */
export function lockFailed(reason: string): AegisError {
  return new AegisError('IO_ERROR', `lock of data failed: ${reason}`, { file: 'data', operation: 'lock' });
}
