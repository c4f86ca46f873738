/**
 * Names of files as people give them: devices, pipes and links among them.
 */
import { fstatSync, lstatSync, readlinkSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { CommandFailure } from './exit.ts';

/** Links that are followed, one after the other. */
const LINKS_MAX = 40;

/** What a system error means for whoever named a file; others have the words of the system. */
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'its folder is not there',
  ENOTDIR: 'what should be its folder is a file',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the quota is used up',
  EFBIG: 'the file would be too large',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'too many links',
  ENXIO: 'nobody is at its other end',
  EIO: 'the device failed',
};

/** The stat of what a name leads to; undefined when there is nothing. */
function statOf(file: string): Stats | undefined {
  try {
    return statSync(file);
  } catch {
    return undefined;
  }
}

/** Whether a name leads to a device, a pipe or a socket. */
export function isNoPlainFile(file: string): boolean {
  const stat = statOf(file);
  return stat !== undefined && !stat.isFile() && !stat.isDirectory();
}

/** Whether a name leads to what this process has open with a number, as /dev/stdout does. */
export function isOpenAs(file: string, descriptor: number): boolean {
  const stat = statOf(file);
  if (stat === undefined) return false;
  try {
    const own = fstatSync(descriptor);
    return own.dev === stat.dev && own.ino === stat.ino;
  } catch {
    return false; // closed
  }
}

/** A system error, as the failure of the file that was asked for; anything else as it is. */
export function failureOfFile(file: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('syscall' in error)) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const words = WORDS[code ?? ''] ?? message.replace(/^[A-Z0-9]+: /, '').replace(/, \w+( '.*)?$/, '');
  return new CommandFailure(`${file}: ${words}`, code);
}

/** Where a file is written that a name leads to, through all links, whether it is there or not. */
export function endOfLinks(file: string): string {
  let end = resolve(file);
  for (let links = 0; links < LINKS_MAX; ++links) {
    end = join(realpathSync(dirname(end)), basename(end));
    if (!lstatSync(end, { throwIfNoEntry: false })?.isSymbolicLink()) return end;
    end = resolve(dirname(end), readlinkSync(end));
  }
  throw new CommandFailure(`${file}: too many links`, 'ELOOP');
}
