/**
 * The door to the outside: a small flat namespace of random-access files. Whoever implements these two interfaces
 * can keep a store in another place; `runBackendSuite` of `aegis-storage/testing` says whether it keeps the contract.
 *
 * 1. Reads are synchronous: that is what makes `get` a plain function. So are writes; only syncs may be waited for,
 *    and each has a blocking twin.
 * 2. What a write put into a file is seen at once by every handle of that file. Only a sync makes it outlive the
 *    machine; creations and removals need `syncDirectory`.
 * 3. A file reads as zeros wherever nothing was written below its end.
 * 4. Failures are thrown as `AegisError`: `INVALID_ARGUMENT` (a name or position that cannot be), `NOT_FOUND`,
 *    `READ_ONLY`, `CLOSED` (used after `close`), `LOCKED`, `OUT_OF_SPACE` (ENOSPC, EDQUOT, EFBIG, of a call that takes
 *    room) and otherwise `IO_ERROR` with `errno` and `operation`. A failed sync is always `IO_ERROR` with the
 *    operation `sync`, also when the reason was space: nobody can say what became of the bytes.
 * 5. A method that calls the engine it works for, before it has returned, is refused there with `UNSUPPORTED`
 *    (outside.ts). The bytes it is given are the engine's memory, for the time of the call.
 */

/** Clock, randomness and timers. The engine has no other source of either. */
export interface BackendHost {
  /** Milliseconds since some fixed moment; used for reports and intervals only. */
  now(): number;
  /** Fills the array with random bytes. */
  random(target: Uint8Array): void;
  /** Runs the function once after `ms` milliseconds; the answer cancels it. Never keeps a process alive. */
  later(ms: number, run: () => void): () => void;
}

/** One writer (`exclusive`) or any number of readers (`shared`). */
export type LockMode = 'exclusive' | 'shared';

/** A held lock; the death of its holder releases it as well. */
export interface Lock {
  /** Gives the lock back; idempotent. */
  release(): void | Promise<void>;
}

/** How a file is opened. */
export interface BackendOpenOptions {
  /** Make the file when it is not there; without it an absent file is `NOT_FOUND`. */
  create: boolean;
  /** Open for reading only: `write` and `truncate` answer `READ_ONLY`. */
  readOnly?: boolean;
}

/** One random-access file. Positions and sizes are whole numbers of bytes, exact up to 2^53 - 1. */
export interface BackendFile {
  /** Bytes in the file. */
  size(): number;
  /** Fills the target from a position and answers how many bytes were there: short only at the end of the file. */
  read(target: Uint8Array, position: number): number;
  /** Writes all parts one after the other, or throws; after an error any part of them may be in the file. */
  write(parts: readonly Uint8Array[], position: number): void;
  /**
   * Resolves when everything written before the call is on stable storage. After one failure it never does. A `close` in
   * between waits for it.
   */
  sync(): Promise<void>;
  /** As `sync`, blocking, through a descriptor of its own where the system has descriptors. */
  syncSync(): void;
  /** Cuts or extends the file to a size in bytes. */
  truncate(size: number): void;
  /** Releases the file; idempotent. Says nothing about durability. */
  close(): void;
}

/** A place to keep files in. */
export interface StorageBackend {
  /** Short name for messages, such as `memory`. */
  readonly name: string;
  /** Default: the runtime's own clock, randomness and timers. */
  readonly host?: BackendHost;
  /** Opens a file. Names are those `checkFileName` (`file-name.ts`) lets pass. */
  open(file: string, options: BackendOpenOptions): BackendFile | Promise<BackendFile>;
  /** Names of everything in the place, strangers included, in any order; a place not made yet holds nothing. */
  list(): string[] | Promise<string[]>;
  /** Removes a file; an absent one is no error. */
  remove(file: string): void | Promise<void>;
  /** Makes creations and removals durable. */
  syncDirectory(): void | Promise<void>;
  /**
   * Takes the store for one writer or for readers; `LOCKED` with the holder's `pid` when that cannot be. An exclusive
   * lock may make the place and an empty file `data`; a shared one makes nothing and may answer `NOT_FOUND`.
   */
  lock(mode: LockMode): Lock | Promise<Lock>;
}
