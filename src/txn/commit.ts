/**
 * The commit pipeline: every change of the store goes through it, one after the other.
 *
 *   validate -> space -> sequence -> records in the log buffer -> write -> sync -> apply -> answer
 *
 * This is the second half, from the log buffer on (admission.ts is the first). The contents of a log buffer are
 * written as one group, so that many callers share one sync (group commit), and then applied from the same bytes.
 *
 * Invariants
 *   1. Sequence order = log order = apply order; sequences have no gaps.
 *   2. A commit that asks for a sync is applied, and so visible, only when its log records are durable. One that does
 *      not is applied when it is written and everything before it has been applied.
 *   3. At most one asynchronous sync is under way. A blocking commit syncs by itself, through the log's own
 *      descriptor for that, and settles whatever that made durable; `#settle` never applies a commit twice.
 *   4. If a write fails, the sequences of its buffer are taken back: its commits are refused as if never made.
 *   5. After a failed sync nothing is acknowledged; after a failed apply nothing is read either.
 */
import { GROUP_HEADER_SIZE, LOG_BUFFER_SIZE, SECTOR_SIZE } from '../../assembly/layout.ts';
import type { Breath } from '../backend/breath.ts';
import { afterThis } from '../backend/host.ts';
import { AegisError, causedBy, invariant } from '../base/errors.ts';
import type { Applier } from '../store/apply.ts';
import type { ComingTrees } from '../store/coming-trees.ts';
import type { LogPosition } from '../wal/log.ts';
import type { AsynchronousCommitsParts } from './asynchronous-commits.ts';
import { AsynchronousCommits } from './asynchronous-commits.ts';
import type { Conflicts } from './conflicts.ts';
import type { Commit } from './queue.ts';
import { CommitQueue, recordsOf } from './queue.ts';

/** What the pipeline works with. */
export interface CommitParts extends AsynchronousCommitsParts {
  /** Lets other work run between groups, when nothing else does. */
  readonly breath: Breath;
  readonly applier: Applier;
  /** Last commit the store holds. */
  readonly sequence: number;
  /** Where the log ends, when it is off. */
  readonly position: LogPosition;
  /** Something was logged: the time to see whether a checkpoint is due. */
  readonly logged: (bytes: number) => void;
  /** Hears when no commit is queued any more, and of sequences that are taken back. */
  readonly conflicts: Pick<Conflicts, 'allApplied' | 'takeBack'>;
  /** Hears of trees that commits on their way make. */
  readonly coming: ComingTrees;
  /** Those who wait for space; they are served when something has changed. */
  readonly callers: { readonly serve: () => void; readonly waiting: () => number };
}

/** Turns of the microtask queue that a flush waits for callers who answer to the last one. */
const GATHER_TURNS = 4;

export class CommitPipeline {
  readonly #parts: CommitParts;
  readonly #queue: CommitQueue;
  #sequence: number;
  #applied: number;
  /** The log before the oldest group that holds an unapplied commit. */
  #position: LogPosition | undefined;
  #scheduled = false;
  #syncing = false;
  #failure: AegisError | undefined;
  #unreadable: AegisError | undefined;
  readonly #sleepers: (() => void)[] = [];
  readonly #asynchronous: AsynchronousCommits;
  /** Commits answered, groups written and syncs asked for, since the store was opened. */
  readonly counters = { commits: 0, groups: 0, syncs: 0 };

  constructor(parts: CommitParts) {
    this.#parts = parts;
    this.#queue = new CommitQueue(parts.coming);
    this.#sequence = parts.sequence;
    this.#applied = parts.sequence;
    this.#asynchronous = new AsynchronousCommits(
      parts,
      () => ++this.counters.syncs,
      (cause) => this.fail(cause),
    );
  }

  /** Last commit that readers see. */
  get applied(): number {
    return this.#applied;
  }

  /** Why writes are refused, once they are. */
  get failure(): AegisError | undefined {
    return this.#failure;
  }

  /** Last commit that was answered and that the log may lose; 0: none. */
  get unsaved(): number {
    return this.#asynchronous.unsaved;
  }

  /** Why reads are refused, once they are. */
  get unreadable(): AegisError | undefined {
    return this.#unreadable;
  }

  /** Largest payload of a group. */
  get maxPayload(): number {
    return this.#parts.log ? this.#parts.log.maxPayload : LOG_BUFFER_SIZE - GROUP_HEADER_SIZE - SECTOR_SIZE;
  }

  /**
   * Whether no commit is on its way, so that a large one may have the log buffer for itself. A sync may be, when a
   * blocking commit has overtaken it: whoever waits for it to end in a program that never yields waits for ever.
   */
  get isIdle(): boolean {
    return this.#queue.length === 0;
  }

  /** Commits on their way. */
  get queue(): CommitQueue {
    return this.#queue;
  }

  /** Sequence of the next commit that is let in. */
  get nextSequence(): number {
    return this.#sequence + 1;
  }

  takeSequence(): number {
    return ++this.#sequence;
  }

  /** Where the log begins that a checkpoint taken now does not hold. */
  get replayPosition(): LogPosition {
    const { log } = this.#parts;
    if (!log) return this.#parts.position;
    return this.#queue.first?.written && this.#position ? this.#position : log.position;
  }

  /** Something has changed that may give space, or that somebody waits for. */
  resume(): void {
    this.#parts.callers.serve();
    this.wake();
  }

  // --- writing and syncing --------------------------------------------------------------------------------------

  /** Sees to it that queued commits are written soon: at the end of this turn. */
  schedule(): void {
    if (this.#scheduled || this.#syncing) return;
    this.#scheduled = true;
    let turns = GATHER_TURNS;
    const turn = (): void => {
      if (--turns > 0) {
        afterThis(turn);
        return;
      }
      this.#parts.breath.run(() => {
        this.#scheduled = false;
        this.#flush();
      });
    };
    afterThis(turn);
  }

  /** One group on its way: written, then synced if any of its commits asks for that. */
  #flush(): void {
    if (!this.#syncing && !this.#failure && this.#queue.length > 0) {
      if (!this.#queue.first?.written) this.#write();
      if (this.#queue.awaitsSync) {
        this.#startSync();
        return;
      }
      this.#settle();
      this.resume();
      // Commits that came while the other buffer was being written: nobody else schedules them.
      if (this.#queue.length > 0) this.schedule();
    }
    this.wake();
  }

  #startSync(): void {
    this.#syncing = true;
    ++this.counters.syncs;
    this.#parts.log?.sync().then(
      () => {
        this.#syncing = false;
        this.#settle();
        this.resume();
        if (this.#queue.length > 0) this.schedule();
      },
      (error: unknown) => {
        this.#syncing = false;
        this.fail(error);
        this.wake();
      },
    );
  }

  /** Writes the filling buffer as one group. A failure takes its commits back. */
  #write(): void {
    const { log } = this.#parts;
    const buffer = this.#queue.filling;
    invariant(this.#queue.otherIsFree, 'the other buffer is free when one is written');
    const bytes = buffer.at - buffer.base - GROUP_HEADER_SIZE;
    this.#position = log?.position;
    let end = 0;
    try {
      if (log) end = log.write(buffer.base, bytes, true);
    } catch (error) {
      this.#takeBack(error);
      return;
    }
    ++this.counters.groups;
    this.#queue.markWritten(end);
    this.#parts.logged(bytes);
  }

  /** Writes a commit too large for a log buffer, group by group, as `pieces` packs it. A failure takes it back. */
  writeLarge(commit: Commit, pieces: (write: (payload: number, last: boolean) => void) => void): void {
    const { log } = this.#parts;
    const { buffer } = commit;
    let bytes = 0;
    this.#position = log?.position;
    try {
      pieces((payload, last) => {
        if (log) commit.end = log.write(buffer.base, payload, last);
        ++this.counters.groups;
        bytes += payload;
      });
    } catch (error) {
      --this.#sequence;
      this.#parts.conflicts.takeBack(1);
      log?.takeBack(error);
      throw this.#refusal(error);
    }
    commit.written = true;
    this.#queue.push(commit);
    this.#queue.swap();
    // Only now: a checkpoint begun between two groups of this commit would make recovery start inside it.
    this.#parts.logged(bytes);
  }

  #takeBack(cause: unknown): void {
    const refused = this.#queue.takeBack();
    this.#sequence -= refused.length;
    this.#parts.conflicts.takeBack(refused.length);
    const error = this.#refusal(cause);
    for (const commit of refused) commit.done(error);
  }

  /** What a commit is told whose group could not be written. */
  #refusal(cause: unknown): AegisError {
    const log = this.#parts.log?.failure;
    if (!log) return cause instanceof AegisError ? cause : causedBy('IO_ERROR', 'the log', cause);
    // The log could not take the group back either, so recovery may find it whole.
    this.fail(log);
    return this.#unknown(cause);
  }

  /** Applies, in order, every commit that is due, and answers it. */
  #settle(): void {
    const { log, applier } = this.#parts;
    for (let commit = this.#queue.first; commit?.written; commit = this.#queue.first) {
      if (commit.sync && log && log.durable < commit.end) break;
      const current = commit;
      try {
        recordsOf(current, this.maxPayload, (from, end) => {
          current.deleted += applier.apply(from, end);
        });
      } catch (error) {
        this.#failReads(error);
        return;
      }
      this.#applied = commit.sequence;
      this.#queue.shift();
      if (!commit.sync) this.#asynchronous.answered(commit);
      ++this.counters.commits;
      commit.done(undefined);
    }
    if (this.#queue.length === 0) this.#parts.conflicts.allApplied();
  }

  /** Resolves when every commit queued by now is applied or refused: what conflicts with one can be tried again. */
  async caughtUp(): Promise<void> {
    const goal = this.#sequence;
    while (this.#queue.length > 0 && this.#applied < goal) await this.#woken();
  }

  /** Resolves when nothing is queued and nobody waits. */
  async drained(): Promise<void> {
    this.resume();
    this.schedule();
    while (this.#isBusy) await this.#woken();
  }

  get #isBusy(): boolean {
    return this.#queue.length > 0 || this.#parts.callers.waiting() > 0 || this.#syncing;
  }

  /** No timer is left. */
  stop(): void {
    this.#asynchronous.stop();
  }

  /** Resolves when something was applied, refused or synced. */
  #woken(): Promise<void> {
    return new Promise((resolve) => this.#sleepers.push(resolve));
  }

  /** Somebody has left the queue of commits, or of those who wait for space: whoever waits for that looks again. */
  wake(): void {
    for (const resolve of this.#sleepers.splice(0)) resolve();
  }

  // --- blocking -------------------------------------------------------------------------------------------------

  /** Writes everything queued, syncs it as asked and applies it, without yielding. Throws when the store fails. */
  flushBlocking(): void {
    for (let round = 0; this.#queue.length > 0; ++round) {
      invariant(round < 8, 'a blocking flush ends');
      if (!this.#queue.first?.written) this.#write();
      if (this.#failure) throw this.#failure;
      if (this.#queue.awaitsSync) this.#syncBlocking();
      this.#settle();
    }
  }

  #syncBlocking(): void {
    try {
      ++this.counters.syncs;
      this.#parts.log?.syncSync();
    } catch (error) {
      this.fail(error);
      throw this.#unknown(error);
    }
  }

  // --- failing --------------------------------------------------------------------------------------------------

  /** Moves the store to FAILED: waiting commits may or may not survive, later ones are refused. */
  fail(cause: unknown): void {
    if (this.#failure) return;
    this.#failure = causedBy('STORE_FAILED', 'the store failed and must be reopened', cause);
    this.stop();
    const unknown = this.#unknown(cause);
    for (const commit of this.#queue.clear()) commit.done(commit.written ? unknown : this.#failure);
    this.resume();
  }

  #unknown(cause: unknown): AegisError {
    return causedBy('COMMIT_UNKNOWN', 'the commit may or may not survive', cause);
  }

  /** An apply stopped halfway: the tree in memory is no state of the store. */
  #failReads(cause: unknown): void {
    this.#unreadable = causedBy('STORE_FAILED', 'a commit could not be applied; reopen the store', cause);
    this.fail(cause);
  }
}
