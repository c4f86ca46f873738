/**
 * One file of the local backend.
 *
 * 1. A writable file has two descriptors, both opened at the start. One writes and is synced from another thread;
 *    the other serves `syncSync` alone. A system reports a failed write-back once for each open file, and with one
 *    descriptor a sync in another thread could take the report that a blocking commit is about to rely on.
 * 2. Never two asynchronous syncs at a time on one descriptor: they queue.
 * 3. After one failed sync every later one fails the same way. The system would answer that all is well the second
 *    time, while the bytes are gone.
 * 4. A system call may write less than it was given and report nothing. The rest is written again, so the reason
 *    comes out as an error.
 * 5. A sync counts only if the file can be found again: bytes in a file without a name are as good as lost.
 * 6. A descriptor is closed only when no call in another thread uses it: its number would serve another file.
 * 7. Where the runtime refuses every sync, all writes go through a descriptor that syncs each of them.
 */
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  readSync,
  writeSync,
  writevSync,
} from 'node:fs';
import { AegisError } from '../base/errors.ts';
import type { BackendFile } from './backend.ts';
import { checkPosition } from './file-name.ts';
import { ask, systemError } from './local-system.ts';

// Systems move at most 2 GiB in one call, and some bindings count in signed 32 bits.
const TRANSFER_SIZE_MAX = 0x4000_0000; // bytes

/** The descriptors of a file. */
export interface LocalDescriptors {
  /** Reads and writes, and is synced asynchronously. */
  readonly main: number;
  /** For `syncSync`; absent in a file opened for reading. */
  readonly syncer?: number;
  /** Every write is on stable storage when it returns: there is nothing to sync, and nobody is asked to. */
  readonly isDurable?: boolean;
  /** Throws when the place the file lies in is gone; asked after each sync. */
  readonly mustBeThere?: (descriptor: number) => void;
}

/** A file of the local backend; made by `LocalBackend.open`. */
export class LocalFile implements BackendFile {
  readonly #name: string;
  readonly #descriptors: LocalDescriptors;
  #closed = false;
  /** Asynchronous syncs under way. */
  #syncing = 0;
  #syncs: Promise<void> = Promise.resolve();
  #syncFailure: AegisError | undefined;

  constructor(name: string, descriptors: LocalDescriptors) {
    this.#name = name;
    this.#descriptors = descriptors;
  }

  size(): number {
    this.#mustBeOpen();
    return ask('stat', this.#name, () => fstatSync(this.#descriptors.main).size);
  }

  read(target: Uint8Array, position: number): number {
    this.#mustBeOpen();
    checkPosition(position);
    try {
      for (let done = 0; done < target.length; ) {
        const wanted = Math.min(target.length - done, TRANSFER_SIZE_MAX);
        const count = readSync(this.#descriptors.main, target, done, wanted, position + done);
        if (count === 0) return done;
        done += count;
      }
      return target.length;
    } catch (cause) {
      throw systemError(cause, 'read', this.#name);
    }
  }

  write(parts: readonly Uint8Array[], position: number): void {
    this.#mustBeWritable();
    checkPosition(position);
    const { main } = this.#descriptors;
    let rest = unwritten(parts, 0);
    for (let at = position; rest.length > 0; ) {
      const [first] = rest;
      const count = ask('write', this.#name, () =>
        rest.length === 1
          ? writeSync(main, first!, 0, Math.min(first!.length, TRANSFER_SIZE_MAX), at)
          : writevSync(main, rest, at),
      );
      if (count === 0) {
        const message = `write of ${this.#name} failed: the system took no bytes and gave no reason`;
        throw new AegisError('IO_ERROR', message, { file: this.#name, operation: 'write' });
      }
      at += count;
      rest = unwritten(rest, count);
    }
  }

  async sync(): Promise<void> {
    this.#mustBeOpen();
    if (this.#descriptors.syncer === undefined) return;
    this.#syncing++;
    try {
      await this.#syncInTurn();
    } finally {
      this.#syncing--;
      if (this.#closed && this.#syncing === 0) this.#closeDescriptors();
    }
  }

  syncSync(): void {
    this.#mustBeOpen();
    const { syncer, isDurable } = this.#descriptors;
    if (syncer === undefined) return;
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    try {
      if (!isDurable) fdatasyncSync(syncer);
      this.#descriptors.mustBeThere?.(syncer);
    } catch (cause) {
      throw this.#syncFailed(cause);
    }
  }

  truncate(size: number): void {
    this.#mustBeWritable();
    checkPosition(size);
    ask('truncate', this.#name, () => ftruncateSync(this.#descriptors.main, size));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#syncing === 0) this.#closeDescriptors();
  }

  /** Syncs the main descriptor when the syncs asked for before have ended. */
  #syncInTurn(): Promise<void> {
    const turn = this.#syncs.then(
      () =>
        new Promise<void>((resolve, reject) => {
          if (this.#syncFailure !== undefined) throw this.#syncFailure;
          const { main, isDurable, mustBeThere } = this.#descriptors;
          const settle = (cause: Error | null): void => {
            try {
              if (cause) throw cause;
              mustBeThere?.(main);
              resolve();
            } catch (error) {
              reject(this.#syncFailed(error));
            }
          };
          if (isDurable) settle(null);
          else fdatasync(main, settle);
        }),
    );
    this.#syncs = turn.catch(() => undefined);
    return turn;
  }

  #syncFailed(cause: unknown): AegisError {
    this.#syncFailure ??= systemError(cause, 'sync', this.#name);
    return this.#syncFailure;
  }

  #closeDescriptors(): void {
    const { main, syncer } = this.#descriptors;
    for (const descriptor of syncer === undefined ? [main] : [main, syncer]) {
      try {
        closeSync(descriptor);
      } catch {
        // The descriptor is closed all the same, and only a sync says what is durable.
      }
    }
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new AegisError('CLOSED', `file ${this.#name} was closed`, { file: this.#name });
  }

  #mustBeWritable(): void {
    this.#mustBeOpen();
    if (this.#descriptors.syncer !== undefined) return;
    throw new AegisError('READ_ONLY', `file ${this.#name} was opened for reading`, { file: this.#name });
  }
}

/** What is left of the parts after their first `count` bytes, without empty ones. */
function unwritten(parts: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skipped = count;
  for (const part of parts) {
    if (part.length > skipped) rest.push(skipped === 0 ? part : part.subarray(skipped));
    skipped = Math.max(0, skipped - part.length);
  }
  return rest;
}
