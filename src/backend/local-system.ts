/**
 * What the local backend asks of the operating system beyond plain reading and writing: opening files nobody else
 * may read, making folders that survive a power cut, and turning the system's errors into ours.
 *
 * 1. A file made here has mode 0600 and a folder 0700, whatever the umask. What somebody else made keeps its modes.
 * 2. Only regular files are opened, and never through a symbolic link in the last place: a link could lead a write
 *    out of the folder. A pipe does not make `open` wait.
 * 3. A folder made here is entered in its parent for good before anything is put into it.
 */
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  statSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import process from 'node:process';
import { AegisError } from '../errors.ts';
import { codeOfErrno } from './errno.ts';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
// A name that comes and goes between two system calls is somebody's game, not a race worth more tries.
const OPEN_TRIES_MAX = 10;

/** The system's name of an error, such as `EIO`, where it has one. */
export function errnoOf(cause: unknown): string | undefined {
  const code = cause instanceof Error ? (cause as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** The error of ours for one of the system's. A failed sync is `IO_ERROR` whatever the reason (see `backend.ts`). */
export function systemError(cause: unknown, operation: string, file: string): AegisError {
  if (cause instanceof AegisError) return cause;
  const errno = errnoOf(cause);
  const reason = cause instanceof Error ? cause.message : String(cause);
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
  throw new AegisError('NOT_A_STORE', `${path} is not a regular file`, {
    operation: 'open',
    file: basename(path),
  });
}

/** Makes a folder and its missing parents, each durable in the one above. */
export function makeFolder(folder: string): void {
  const missing: string[] = [];
  for (let above = folder; !existsSync(above); above = dirname(above)) missing.push(above);
  for (const path of missing.reverse()) {
    ask('mkdir', path, () => {
      try {
        mkdirSync(path, { mode: FOLDER_MODE });
        chmodSync(path, FOLDER_MODE);
      } catch (cause) {
        // Another opener was quicker; it sets the mode and we both see to the entry.
        if (errnoOf(cause) !== 'EEXIST') throw cause;
      }
    });
    syncFolder(dirname(path));
  }
}

/** Makes what happened to a folder's entries durable; Windows offers no such thing and needs none. */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  ask('sync', folder, () => {
    const descriptor = openSync(folder, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0));
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  });
}

/** Which file or folder a path leads to or a descriptor stands for: two of them are one exactly if these agree. */
export function identityOf(place: string | number): string {
  const { dev, ino } =
    typeof place === 'string' ? statSync(place, { bigint: true }) : fstatSync(place, { bigint: true });
  return `${dev}/${ino}`;
}
