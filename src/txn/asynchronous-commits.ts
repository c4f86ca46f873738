/**
 * Asynchronous commits: acknowledged before they are durable (`sync: false`). The death of the process loses none of
 * them; a power cut may lose those of the last flush interval.
 *
 *   1. A sync follows within the interval. If it fails nobody waits for it, so the store fails, and `unsaved` keeps
 *      what was acknowledged and may be lost: some later call must report it, at the latest `close`.
 */
import type { BackendHost } from '../backend/backend.ts';
import type { Log } from '../wal/log.ts';
import type { Commit } from './queue.ts';

/** What asynchronous commits need. */
export interface AsynchronousCommitsParts {
  readonly log: Log | undefined;
  readonly host: BackendHost;
  /** Milliseconds within which a commit without a sync is made durable. */
  readonly flushInterval: number;
}

export class AsynchronousCommits {
  readonly #parts: AsynchronousCommitsParts;
  readonly #begun: () => void;
  readonly #fail: (cause: unknown) => void;
  #last: { readonly sequence: number; readonly end: number } | undefined;
  #cancelTimer: (() => void) | undefined;

  /** `begun` hears of every sync asked for, `fail` of one that failed. */
  constructor(parts: AsynchronousCommitsParts, begun: () => void, fail: (cause: unknown) => void) {
    this.#parts = parts;
    this.#begun = begun;
    this.#fail = fail;
  }

  /** Last commit that was answered and is not durable in the log; 0: there is none. */
  get unsaved(): number {
    const { log } = this.#parts;
    if (!this.#last || (log && log.durable >= this.#last.end)) return 0;
    return this.#last.sequence;
  }

  /** A commit was answered without a sync: one will follow. */
  answered({ sequence, end }: Commit): void {
    this.#last = { sequence, end };
    const { log, host, flushInterval } = this.#parts;
    if (log) this.#cancelTimer ??= host.later(flushInterval, () => void this.#sync(log));
  }

  /** No timer is left. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  async #sync(log: Log): Promise<void> {
    this.stop();
    if (log.durable >= log.end) return;
    try {
      this.#begun();
      await log.sync();
    } catch (error) {
      this.#fail(error);
    }
  }
}
