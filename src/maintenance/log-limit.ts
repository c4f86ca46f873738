/**
 * The limit of the log's length: when a checkpoint is due, when writers must wait for it, and what a checkpoint can do
 * for a log that finds no space.
 *
 * Invariants
 *   1. A checkpoint starts when the log has grown by `size` since the last one; writers wait when it has grown by twice
 *      that, and are refused when the last checkpoint failed.
 *   2. Without a log the bytes that would have been logged count, and nobody waits.
 */
import { causedBy } from '../base/errors.ts';
import type { Log } from '../wal/log.ts';
import type { Checkpointer } from './checkpoint.ts';

/** What the limit is made of. */
export interface LogLimitParts {
  readonly log: Log | undefined;
  readonly checkpointer: Checkpointer;
  /** Bytes after which a checkpoint is due. */
  readonly size: number;
  /** Whether a checkpoint before `close` gains anything without a log: not in memory. */
  readonly paysWithoutLog: boolean;
}

export class LogLimit {
  readonly #parts: LogLimitParts;
  #unloggedBytes = 0;

  constructor(parts: LogLimitParts) {
    this.#parts = parts;
  }

  /** Bytes logged since the last checkpoint. */
  get sinceCheckpoint(): number {
    const { log, checkpointer } = this.#parts;
    return log ? log.end - checkpointer.superblock.lsn : this.#unloggedBytes;
  }

  /** So many bytes were logged: a checkpoint may be due. */
  logged(bytes: number): void {
    const { log, checkpointer, size, paysWithoutLog } = this.#parts;
    if (!log) this.#unloggedBytes += bytes;
    if (!log && !paysWithoutLog) return;
    if (this.sinceCheckpoint > size && !checkpointer.running) void checkpointer.start();
  }

  /** A checkpoint has ended. */
  checkpointed(): void {
    this.#unloggedBytes = 0;
  }

  /** Writers must wait for a checkpoint. */
  get isExceeded(): boolean {
    return this.#parts.log !== undefined && this.sinceCheckpoint > 2 * this.#parts.size;
  }

  /** Starts a checkpoint if none runs. Throws when the last one failed: who waited for the next might wait for ever. */
  shorten(): void {
    const { checkpointer } = this.#parts;
    const failure = checkpointer.lastFailure;
    if (!checkpointer.running) void checkpointer.start();
    if (failure) throw causedBy(failure.code, 'the log cannot be shortened', failure);
  }

  /** Runs a checkpoint to its end without yielding. Throws what it fails with. */
  shortenNow(): void {
    this.#parts.checkpointer.runBlocking();
  }

  /** A checkpoint that may free log files; undefined: everything in the log is needed. */
  free(): Promise<unknown> | undefined {
    return this.sinceCheckpoint === 0 ? undefined : this.#parts.checkpointer.checkpoint();
  }

  /** As `free`, blocking; false: there is nothing to be gained. */
  freeNow(): boolean {
    if (this.sinceCheckpoint === 0) return false;
    this.#parts.checkpointer.runBlocking();
    return true;
  }
}
