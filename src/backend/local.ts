/**
 * Files in a folder of the local file system, through the `node:fs` of Node, Deno or Bun. Loaded on demand: nothing
 * a browser loads leads here.
 *
 * 1. Making a `LocalBackend` touches nothing. The folder is made by the first `open` that may create, or by an
 *    exclusive lock; an absent folder lists as empty.
 * 2. Modes, links and odd files are `local-system.ts`'s business, the lock is `lock.ts`'s.
 * 3. While a lock is held, names are looked up only as long as the path still leads to the folder that was locked.
 *    Otherwise a store whose folder was moved would go on writing into a new folder of the old name. Nor does a sync
 *    count after that, or when the file itself was removed: nobody would find the bytes again.
 */
import { closeSync, constants, existsSync, fstatSync, readdirSync, unlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { AegisError } from '../base/errors.ts';
import type { BackendFile, BackendOpenOptions, Lock, LockMode, StorageBackend } from './backend.ts';
import { checkFileName } from './file-name.ts';
import { runtimeHost } from './host.ts';
import { LocalFile } from './local-file.ts';
import {
  ask,
  errnoOf,
  identityOf,
  makeFolder,
  openPrivate,
  syncFolder,
  syncIsRefused,
  systemError,
} from './local-system.ts';
import { lockData } from './lock.ts';
import { isOurs } from './lock-holder.ts';

/** Keeps files in one folder: `new LocalBackend(directory)`. Files have mode 0600, folders made here 0700. */
export class LocalBackend implements StorageBackend {
  readonly name = 'local';
  /** The folder, as an absolute path. */
  readonly directory: string;
  /** Which folder each lock taken through this object was taken in. */
  readonly #locks = new Set<{ readonly folder: string }>();

  /**
   * @param directory Folder of the store; made, with its parents, when a store is created in it.
   * @throws {AegisError} `INVALID_ARGUMENT` for a path that cannot be one, `NOT_FOUND` for a relative one when the
   *   working directory is gone.
   */
  constructor(directory: string) {
    if (typeof directory !== 'string' || directory === '' || directory.includes('\0')) {
      throw new AegisError(
        'INVALID_ARGUMENT',
        'the directory of a local store is a path without NUL, not empty',
      );
    }
    this.directory = ask('open', directory, () => resolve(directory));
  }

  /**
   * Opens a file.
   *
   * @throws {AegisError} `NOT_FOUND` without `create`, `NOT_A_STORE` for a symbolic link or anything but a regular
   *   file, `IO_ERROR` otherwise.
   */
  open(file: string, options: BackendOpenOptions): BackendFile {
    const path = this.#path(file);
    return ask('open', file, () => {
      if (options.create) makeFolder(this.directory);
      if (options.readOnly) {
        return new LocalFile(file, { main: openPrivate(path, constants.O_RDONLY, options.create) });
      }
      let main = openPrivate(path, constants.O_RDWR, options.create);
      try {
        const isDurable = syncIsRefused(main);
        if (isDurable) {
          // Elsewhere O_DSYNC is absent, or does not flush the drive's own cache as a sync does.
          if (process.platform !== 'linux') throw unsynced(file);
          const durable = openPrivate(path, constants.O_RDWR | constants.O_DSYNC, false);
          closeSync(main);
          main = durable;
        }
        const syncer = openPrivate(path, constants.O_RDWR, false);
        const mustBeThere = (descriptor: number) => this.#mustBeThere(file, descriptor);
        return new LocalFile(file, { main, syncer, isDurable, mustBeThere });
      } catch (cause) {
        closeSync(main);
        throw cause;
      }
    });
  }

  /** Names of everything in the folder, strangers and subfolders included; an absent folder holds nothing. */
  list(): string[] {
    try {
      const names = readdirSync(this.directory);
      return names.filter((name) => !isOurs(this.directory, name));
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return [];
      throw systemError(cause, 'list', this.directory);
    }
  }

  /** Removes a file; an absent one is no error. */
  remove(file: string): void {
    const path = this.#path(file);
    try {
      unlinkSync(path);
    } catch (cause) {
      if (errnoOf(cause) !== 'ENOENT') throw systemError(cause, 'remove', file);
    }
  }

  /** Makes creations and removals durable. */
  syncDirectory(): void {
    this.#mustBeTheSame('sync');
    syncFolder(this.directory);
  }

  /**
   * Takes the store for one writer or for readers; the system holds the lock and frees it when the process dies.
   *
   * @throws {AegisError} `LOCKED` naming the holder (`pid`), `NOT_FOUND` for a shared lock where nothing is,
   *   `UNSUPPORTED` where the system offers no lock to this runtime.
   */
  async lock(mode: LockMode): Promise<Lock> {
    if (mode === 'exclusive') makeFolder(this.directory);
    const lock = await lockData(this.directory, mode, runtimeHost);
    try {
      const held = { folder: ask('lock', this.directory, () => identityOf(this.directory)) };
      this.#locks.add(held);
      return {
        release: () => {
          this.#locks.delete(held);
          lock.release();
        },
      };
    } catch (cause) {
      lock.release();
      throw cause;
    }
  }

  #path(file: string): string {
    checkFileName(file);
    this.#mustBeTheSame();
    return join(this.directory, file);
  }

  /**
   * A file without a name is lost when it is closed, and one behind another folder is not found again. A folder that
   * was only moved lies where it went, and goes on.
   */
  #mustBeThere(file: string, descriptor: number): void {
    if (this.#locks.size === 0) return;
    if (existsSync(this.directory)) this.#mustBeTheSame('sync');
    if (fstatSync(descriptor).nlink > 0) return;
    const message = `${file} was removed from ${this.directory} while the store was open`;
    throw new AegisError('IO_ERROR', message, { operation: 'sync', file, errno: 'ESTALE' });
  }

  #mustBeTheSame(operation = 'open'): void {
    if (this.#locks.size === 0) return;
    let found: string | undefined;
    try {
      found = identityOf(this.directory);
    } catch {
      // It is not there, so it is not the same folder.
    }
    for (const { folder } of this.#locks) if (folder === found) return;
    const message = `${this.directory} is no longer the folder of the open store: it was removed or replaced`;
    throw new AegisError('IO_ERROR', message, { operation, errno: 'ESTALE' });
  }
}

/** Elsewhere a write that is on the disk, and not in the drive's own cache, cannot be had without a sync. */
function unsynced(file: string): AegisError {
  return new AegisError(
    'UNSUPPORTED',
    `${file} cannot be made durable: the permission model of this Node refuses every sync (start it without --permission)`,
    { file, operation: 'sync' },
  );
}
