/**
 * What the local backend asks of the operating system beyond plain reading and writing: opening files nobody else
 * may read, making folders that survive a power cut, and turning the system's errors into ours.
 *
 * 1. A file made here has mode 0600 and a folder 0700, whatever the umask. What somebody else made keeps its modes.
 * 2. Only regular files are opened, and never through a symbolic link in the last place: a link could lead a write
 *    out of the folder. A pipe does not make `open` wait.
 * 3. A folder made here is entered in its parent for good before anything is put into it.
 * 4. Nothing asks for a permission in passing. What a runtime that guards its files refuses is `UNSUPPORTED`, except
 *    where the store holds without it: the name of the machine, and the syncs of folders. A Node with a permission
 *    model syncs nothing at all; there every write is on stable storage when it returns (`local.ts`), and that a new
 *    name is on the disk cannot be promised.
 */
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  statSync,
} from 'node:fs';
import { hostname, constants as system } from 'node:os';
import { basename, dirname } from 'node:path';
import process from 'node:process';
import { AegisError, reasonOf } from '../base/errors.ts';
import { codeOfErrno, nameOfError, REFUSED_BY_RUNTIME } from './errno.ts';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const PERMISSIONS_NEEDED =
  '(the permission model of this runtime refuses it; a local store needs to read and to write in its folder)';
// A name that comes and goes between two system calls is somebody's game, not a race worth more tries.
const OPEN_TRIES_MAX = 10;

/** The system's name of an error, such as `EIO`, where it has one. */
export function errnoOf(cause: unknown): string | undefined {
  return nameOfError(cause, system.errno, process.platform === 'win32');
}

/** Whether it was the runtime that refused, not the system: a permission that the program was not given. */
function isRefusedByRuntime(cause: unknown): boolean {
  return errnoOf(cause) === REFUSED_BY_RUNTIME;
}

/** The error of ours for one of the system's. A failed sync is `IO_ERROR` whatever the reason (see `backend.ts`). */
export function systemError(cause: unknown, operation: string, file: string): AegisError {
  if (cause instanceof AegisError) return cause;
  const errno = errnoOf(cause);
  const message = reasonOf(cause);
  const reason = errno === REFUSED_BY_RUNTIME ? `${message} ${PERMISSIONS_NEEDED}` : message;
  return new AegisError(codeOfErrno(errno, operation), `${operation} of ${file} failed: ${reason}`, {
    cause,
    file,
    operation,
    ...(errno === undefined ? {} : { errno }),
  });
}

/** Runs a system call and answers in our errors. */
export function ask<T>(operation: string, file: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw systemError(cause, operation, file);
  }
}

/** Opens a regular file with the given access flags, making it with mode 0600 if that is wanted. Throws system errors. */
export function openPrivate(path: string, access: number, create: boolean): number {
  const flags = access | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  for (let tries = 1; ; tries++) {
    try {
      return regular(openSync(path, flags), path);
    } catch (cause) {
      // A folder can be opened for reading, but not for writing.
      if (errnoOf(cause) === 'EISDIR') throw irregular(path);
      if (!create || errnoOf(cause) !== 'ENOENT') throw cause;
    }
    try {
      // Exclusive, so that only the one who made the file sets its mode.
      const descriptor = openSync(path, flags | constants.O_CREAT | constants.O_EXCL, FILE_MODE);
      // Most umasks leave the mode alone, and a Node that guards its files allows no `fchmod` at all.
      if ((fstatSync(descriptor).mode & 0o777) !== FILE_MODE) fchmodSync(descriptor, FILE_MODE);
      return descriptor;
    } catch (cause) {
      if (errnoOf(cause) !== 'EEXIST' || tries === OPEN_TRIES_MAX) throw cause;
    }
  }
}

function regular(descriptor: number, path: string): number {
  if (fstatSync(descriptor).isFile()) return descriptor;
  closeSync(descriptor);
  throw irregular(path);
}

function irregular(path: string): AegisError {
  return new AegisError('NOT_A_STORE', `${path} is not a regular file`, {
    operation: 'open',
    file: basename(path),
  });
}

/** Makes a folder and its missing parents, each durable in the one above. */
export function makeFolder(folder: string): void {
  if (isThere(folder)) return;
  const above = dirname(folder);
  try {
    makeOneFolder(folder);
  } catch (cause) {
    // Try this folder first: the runtime may not let us see its parents.
    if (errnoOf(cause) !== 'ENOENT' || above === folder) throw systemError(cause, 'mkdir', folder);
    makeFolder(above);
    ask('mkdir', folder, () => makeOneFolder(folder));
  }
  syncFolder(above);
}

function isThere(folder: string): boolean {
  try {
    return existsSync(folder);
  } catch {
    // The runtime does not let us look. Making the folder will show it.
    return false;
  }
}

function makeOneFolder(path: string): void {
  try {
    mkdirSync(path, { mode: FOLDER_MODE });
    chmodSync(path, FOLDER_MODE);
  } catch (cause) {
    // Another opener was quicker. It sets the mode; both of us sync the directory.
    if (errnoOf(cause) !== 'EEXIST') throw cause;
  }
}

/**
 * Makes what happened to a folder's entries durable; Windows offers no such thing and needs none. A runtime that refuses
 * it is no reason to have no store.
 */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  try {
    const descriptor = openSync(folder, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0));
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (cause) {
    if (!isRefusedByRuntime(cause)) throw systemError(cause, 'sync', folder);
  }
}

/** Whether this runtime refuses to sync files, as Node's permission model does whatever it is told to allow. */
export function syncIsRefused(descriptor: number): boolean {
  // Without a permission model do not try: a sync may take long.
  if ((process as { permission?: unknown }).permission === undefined) return false;
  try {
    fdatasyncSync(descriptor);
    return false;
  } catch (cause) {
    if (!isRefusedByRuntime(cause)) throw cause;
    return true;
  }
}

/** Name of this machine or container, empty where the runtime keeps it to itself. */
export function machineName(): string {
  const { Deno } = globalThis as { Deno?: { permissions: { querySync(what: object): { state: string } } } };
  try {
    // Without the permission Deno would prompt its user.
    if (Deno && Deno.permissions.querySync({ name: 'sys', kind: 'hostname' }).state !== 'granted') return '';
    return hostname();
  } catch {
    return '';
  }
}

/** Which file or folder a path leads to or a descriptor stands for: two of them are one exactly if these agree. */
export function identityOf(place: string | number): string {
  const { dev, ino } =
    typeof place === 'string' ? statSync(place, { bigint: true }) : fstatSync(place, { bigint: true });
  return `${dev}/${ino}`;
}
