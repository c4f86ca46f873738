/**
 * The commit pipeline: every change of the store goes through here, one after the other.
 *
 *   validate -> room -> sequence -> records in the log buffer -> write -> sync -> apply -> answer
 *
 * Commits are packed as log records into one half of the log buffer while the other half, already written to the
 * log, waits for its sync; then the halves change places. So many callers share one sync (group commit), and what was
 * logged is what is applied, from the same bytes. A commit too large for a half is packed piece by piece from its
 * write set, alone.
 *
 * Invariants
 *   1. Sequence order = log order = apply order; sequences have no gaps.
 *   2. A commit that asks for a sync is applied, and so visible, only when its log records are durable; one that does
 *      not is applied when it is written and everything before it has been applied.
 *   3. At most one asynchronous sync is under way. A blocking commit syncs by itself, through the log's own
 *      descriptor for that, and settles whatever that made durable; `#settle` never applies a commit twice.
 *   4. A commit that cannot be logged or for which there is no room is refused before it has a sequence; a write
 *      that fails gives the sequences of its half back.
 *   5. After a failed sync nothing is acknowledged; after a failed apply nothing is read either.
 */
import {
  GROUP_HEADER_SIZE,
  LOG_AREA,
  LOG_HALF_SIZE,
  PART_FIRST,
  PART_HEADER_SIZE,
  PART_LAST,
  UNIT_SIZE,
} from '../../assembly/layout.ts';
import type { BackendHost } from '../backend/backend.ts';
import { AegisError, invariant } from '../errors.ts';
import type { Trees } from '../store/trees.ts';
import type { Log, LogPosition } from '../wal/log.ts';
import type { Applier } from './apply.ts';
import type { Conflicts } from './conflicts.ts';
import type { Room } from './room.ts';
import type { WriteSet } from './write-set.ts';

/** What a commit became. */
export interface CommitResult {
  /** Log position after the commit; 0 while the log is off. */
  readonly lsn: number;
  /** Number of the commit, gap-free. */
  readonly sequence: number;
}

/** A half of the log buffer. */
interface Half {
  readonly base: number;
  /** Where the next part goes. */
  at: number;
  /** Commits in it that are not applied. */
  pending: number;
}

/** What a caller learns of its commit; complete when the commit is applied. */
export interface Committed {
  readonly sequence: number;
  /** Log position after it; 0: not written yet, or the log is off. */
  readonly end: number;
  /** Keys it removed. */
  readonly deleted: number;
}

/** A commit between its sequence and its answer. */
interface Commit extends Committed {
  readonly sync: boolean;
  readonly half: Half;
  /** Its records in the half; unused when it has a write set. */
  readonly from: number;
  readonly to: number;
  /** The write set of a commit too large for a half. */
  readonly writes: WriteSet | undefined;
  readonly pages: number;
  end: number;
  written: boolean;
  noted: boolean;
  deleted: number;
  done: (error: AegisError | undefined) => void;
}

/** Packs the records of a commit at an address, up to a limit; answers the end, or 0 when they do not fit. */
export type Packer = (at: number, limit: number) => number;

/** What the pipeline works with. */
export interface CommitParts {
  readonly trees: Trees;
  readonly log: Log | undefined;
  readonly applier: Applier;
  readonly conflicts: Conflicts;
  readonly room: Room;
  readonly host: BackendHost;
  /** Milliseconds within which a commit without a sync is made durable. */
  readonly flushInterval: number;
  /** Last commit the store holds. */
  readonly sequence: number;
  /** Whether writers must wait for a checkpoint (the log has outgrown its limit); throws when that is hopeless. */
  readonly held: () => boolean;
  /** Something was logged: the time to see whether a checkpoint is due. */
  readonly logged: (bytes: number) => void;
  /** Runs a checkpoint to its end without yielding, when one is due and `held`. */
  readonly unhold: () => void;
}

/** Turns of the microtask queue that a flush waits for callers who answer to the last one. */
const GATHER_TURNS = 4;

export class CommitPipeline {
  readonly #parts: CommitParts;
  readonly #halves: readonly [Half, Half];
  #filling: Half;
  #queue: Commit[] = [];
  #head = 0;
  #sequence: number;
  #applied: number;
  #scheduled = false;
  #syncing = false;
  #waiting: { attempt: () => boolean; fail: (error: unknown) => void }[] = [];
  #cancelTimer: (() => void) | undefined;
  #failure: AegisError | undefined;
  #unreadable: AegisError | undefined;
  #idle: (() => void)[] = [];
  #position: LogPosition = { lsn: 0, link: [0, 0] };
  #pendingPages = 0;
  /** Commits answered, and groups written, since the store was opened. */
  readonly counters = { commits: 0, groups: 0, syncs: 0, bytes: 0 };

  constructor(parts: CommitParts) {
    this.#parts = parts;
    this.#sequence = parts.sequence;
    this.#applied = parts.sequence;
    const half = (index: number): Half => {
      const base = LOG_AREA + index * LOG_HALF_SIZE;
      return { base, at: base + GROUP_HEADER_SIZE, pending: 0 };
    };
    this.#halves = [half(0), half(1)];
    this.#filling = this.#halves[0];
    this.notePosition();
  }

  /** Last commit that readers see. */
  get applied(): number {
    return this.#applied;
  }

  /** Commits between their sequence and their answer, and callers waiting for room. */
  get queued(): number {
    return this.#queue.length - this.#head + this.#waiting.length;
  }

  /** Why writes are refused, once they are. */
  get failure(): AegisError | undefined {
    return this.#failure;
  }

  /** Why reads are refused, once they are. */
  get unreadable(): AegisError | undefined {
    return this.#unreadable;
  }

  /** Largest payload of one group: parts and their headers. */
  get maxPayload(): number {
    return this.#parts.log ? this.#parts.log.maxPayload : LOG_HALF_SIZE - GROUP_HEADER_SIZE - UNIT_SIZE;
  }

  /** Most bytes of records that fit in a half. */
  get maxRecords(): number {
    return this.maxPayload - PART_HEADER_SIZE - 8;
  }

  /** Where the log begins that a checkpoint taken now does not hold: the first group with an unapplied commit. */
  get replayPosition(): LogPosition {
    const first = this.#queue[this.#head];
    if (this.#parts.log && (!first || !first.written)) return this.#parts.log.position;
    return this.#position;
  }

  /** Notes the place before the next group, when nothing written is unapplied. */
  notePosition(): void {
    if (this.#parts.log) this.#position = this.#parts.log.position;
  }

  // --- asking ---------------------------------------------------------------------------------------------------

  /**
   * Queues a commit that fits in a half, now: answers undefined when it has to wait for room. `operations` and
   * `bytes` are upper bounds for the estimate of pages.
   */
  queue(
    pack: Packer,
    operations: number,
    bytes: number,
    sync: boolean,
    done: Commit['done'],
  ): Commit | undefined {
    this.#check();
    const { log, room, trees } = this.#parts;
    const { x } = trees.pager.core;
    const half = this.#filling;
    const limit = half.base + GROUP_HEADER_SIZE + this.maxPayload;
    if (half.at + PART_HEADER_SIZE + bytes + 8 > limit || this.#parts.held()) return undefined;
    const from = half.at + PART_HEADER_SIZE;
    const to = pack(from, limit - 8);
    if (to === 0) return undefined;
    if (!trees.pager.allResident) this.#parts.applier.touch(from, to);
    const pages = room.pagesFor(operations, bytes);
    room.ensure(pages + this.#pendingPages);
    if (log) {
      const unwritten = to - half.base;
      if (log.prepare(unwritten, this.#unwritten() + 1) !== undefined) return undefined;
    }
    const commit: Commit = {
      sequence: ++this.#sequence,
      sync: sync && log !== undefined,
      half,
      from,
      to,
      writes: undefined,
      pages,
      end: 0,
      written: false,
      noted: false,
      deleted: 0,
      done,
    };
    half.at = x.partSeal(half.at, to, PART_FIRST | PART_LAST, commit.sequence, x.recordsCount(from, to));
    this.#enqueue(commit);
    return commit;
  }

  /** Queues a commit from a write set too large for a half: it must be alone, and is written at once. */
  queueLarge(writes: WriteSet, sync: boolean, done: Commit['done']): Commit | undefined {
    this.#check();
    if (this.#head < this.#queue.length || this.#syncing || this.#parts.held()) return undefined;
    const { log, room, trees, applier } = this.#parts;
    const { x } = trees.pager.core;
    const half = this.#filling;
    const start = half.base + GROUP_HEADER_SIZE + PART_HEADER_SIZE;
    const limit = half.base + GROUP_HEADER_SIZE + this.maxPayload - 8;
    const pages = room.pagesFor(writes.operations, writes.bytes);
    let groups = 0;
    writes.pack(start, limit, (end) => {
      ++groups;
      applier.touch(start, end);
    });
    room.ensure(pages);
    if (log && log.prepare(writes.bytes + groups * (PART_HEADER_SIZE + 8), groups) !== undefined) return undefined;
    const commit: Commit = {
      sequence: this.#sequence + 1,
      sync: sync && log !== undefined,
      half,
      from: 0,
      to: 0,
      writes,
      pages,
      end: 0,
      written: true,
      noted: false,
      deleted: 0,
      done,
    };
    this.notePosition();
    let flags = PART_FIRST;
    writes.pack(start, limit, (end, records, last) => {
      const to = x.partSeal(start - PART_HEADER_SIZE, end, flags | (last ? PART_LAST : 0), commit.sequence, records);
      flags = 0;
      if (log) commit.end = log.write(half.base, to - half.base - GROUP_HEADER_SIZE, last);
      ++this.counters.groups;
      this.#logged(to - half.base);
    });
    ++this.#sequence;
    this.#enqueue(commit);
    this.#filling = this.#other(half);
    return commit;
  }

  /** Runs `attempt` now or, in the order of the callers, as soon as there is room; it answers whether it is through. */
  submit(attempt: () => boolean, fail: (error: unknown) => void): void {
    this.#waiting.push({ attempt, fail });
    this.#pump();
    if (this.#waiting.length > 0) void this.#askForRoom();
  }

  /** Whether callers wait for room: then a new one must wait behind them. */
  get congested(): boolean {
    return this.#waiting.length > 0;
  }

  /** Sees to it that queued commits are written soon: at the end of this turn. */
  schedule(): void {
    if (this.#scheduled || this.#syncing) return;
    this.#scheduled = true;
    let turns = GATHER_TURNS;
    const turn = (): void => {
      if (--turns > 0) queueMicrotask(turn);
      else {
        this.#scheduled = false;
        this.#flush();
      }
    };
    queueMicrotask(turn);
  }

  /** Runs `attempt` until it is through, blocking; then everything queued is written, synced as asked and applied. */
  blocking(attempt: () => boolean): void {
    for (let tries = 0; this.#waiting.length > 0 || !attempt(); ++tries) {
      invariant(tries < 1000, 'a blocking commit finds room');
      this.#parts.unhold();
      this.#prepareBlocking();
      this.flushBlocking();
      this.#pump();
    }
    this.flushBlocking();
  }

  /** Writes, syncs and applies everything queued, without yielding. */
  flushBlocking(): void {
    for (let round = 0; this.#head < this.#queue.length; ++round) {
      invariant(round < 8, 'a blocking flush ends');
      const first = this.#queue[this.#head] as Commit;
      if (!first.written) this.#write();
      if (this.#failure) throw this.#failure;
      if (this.#queue.slice(this.#head).some((commit) => commit.written && commit.sync)) this.#syncBlocking();
      this.#settle();
    }
  }

  /** Resolves when nothing is queued and nobody waits. */
  async drained(): Promise<void> {
    while (this.queued > 0 || this.#syncing) {
      this.schedule();
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
  }

  /** Makes durable what was committed without a sync. */
  async syncRelaxed(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const { log } = this.#parts;
    if (!log || this.#failure || log.durable >= log.end) return;
    try {
      ++this.counters.syncs;
      await log.sync();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Notes queued commits for a transaction that begins now (conflicts.ts, invariant 1). */
  noteQueued(): void {
    for (let i = this.#head; i < this.#queue.length; ++i) {
      const commit = this.#queue[i] as Commit;
      if (!commit.noted) this.#note(commit);
    }
  }

  // --- failing --------------------------------------------------------------------------------------------------

  /** Moves the store to FAILED: waiting commits may or may not survive, later ones are refused. */
  fail(cause: unknown): void {
    if (this.#failure) return;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const evidence = cause instanceof AegisError ? { errno: cause.errno, operation: cause.operation } : {};
    const details = Object.fromEntries(Object.entries({ ...evidence, cause }).filter(([, value]) => value !== undefined));
    this.#failure = new AegisError('STORE_FAILED', `the store failed and must be reopened: ${reason}`, details);
    const unknown = new AegisError('COMMIT_UNKNOWN', `the commit may or may not survive: ${reason}`, details);
    this.#cancelTimer?.();
    const queue = this.#queue.slice(this.#head);
    this.#queue = [];
    this.#head = 0;
    for (const commit of queue) commit.done(commit.written || commit.end > 0 ? unknown : this.#failure);
    this.#pump();
    this.#wake();
  }

  /** An apply stopped halfway: the tree in memory is no state of the store. */
  #failReads(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.#unreadable = new AegisError('STORE_FAILED', `a commit could not be applied; reopen the store: ${reason}`, { cause });
    this.fail(cause);
  }

  /** Throws when the store takes no writes. */
  #check(): void {
    if (this.#failure) throw this.#failure;
  }

  // --- working --------------------------------------------------------------------------------------------------

  #enqueue(commit: Commit): void {
    ++commit.half.pending;
    this.#pendingPages += commit.pages;
    this.#queue.push(commit);
    if (this.#parts.conflicts.needed) this.#note(commit);
  }

  #note(commit: Commit): void {
    commit.noted = true;
    const { trees, conflicts } = this.#parts;
    const { x } = trees.pager.core;
    const note = (from: number, end: number): void => {
      let at = from;
      while (at < end) {
        const tree = x.recordTree(at);
        const notes = conflicts.notesFor(tree, commit.sequence);
        trees.pager.run(() => {
          const status = x.recordsNote(notes, tree, at, end, commit.sequence);
          if (x.applyAt() !== at) trees.pager.release();
          at = x.applyAt();
          return status;
        });
      }
    };
    if (commit.writes) this.#repack(commit, note);
    else note(commit.from, commit.to);
  }

  /** Packs a large commit's write set into its half again, piece by piece. */
  #repack(commit: Commit, visit: (from: number, end: number) => void): void {
    const start = commit.half.base + GROUP_HEADER_SIZE + PART_HEADER_SIZE;
    const limit = commit.half.base + GROUP_HEADER_SIZE + this.maxPayload - 8;
    commit.writes?.pack(start, limit, (end) => visit(start, end));
  }

  #other(half: Half): Half {
    return half === this.#halves[0] ? this.#halves[1] : this.#halves[0];
  }

  #unwritten(): number {
    let count = 0;
    for (let i = this.#queue.length - 1; i >= this.#head && !(this.#queue[i] as Commit).written; --i) ++count;
    return count;
  }

  /** Writes the filling half as one group. A failure takes its commits back. */
  #write(): void {
    const half = this.#filling;
    const { log } = this.#parts;
    const first = this.#queue.length - this.#unwritten();
    invariant(this.#other(half).pending === 0, 'the other half is free when one is written');
    this.notePosition();
    const bytes = half.at - half.base - GROUP_HEADER_SIZE;
    let end = 0;
    if (log) {
      try {
        end = log.write(half.base, bytes, true);
      } catch (error) {
        this.#takeBack(first, error);
        return;
      }
    }
    ++this.counters.groups;
    for (let i = first; i < this.#queue.length; ++i) {
      const commit = this.#queue[i] as Commit;
      commit.written = true;
      commit.end = end;
    }
    this.#filling = this.#other(half);
    this.#logged(bytes);
  }

  #logged(bytes: number): void {
    this.counters.bytes += bytes;
    this.#parts.logged(bytes);
  }

  #takeBack(first: number, cause: unknown): void {
    const half = this.#filling;
    const refused = this.#queue.splice(first);
    this.#sequence -= refused.length;
    half.at = half.base + GROUP_HEADER_SIZE;
    for (const commit of refused) {
      --half.pending;
      this.#pendingPages -= commit.pages;
    }
    const error = cause instanceof AegisError ? cause : new AegisError('IO_ERROR', String(cause), { cause });
    if (error.code === 'STORE_FAILED') this.fail(error);
    for (const commit of refused) commit.done(error);
  }

  /** One group on its way: written, then synced if any of its commits asks for that. */
  #flush(): void {
    if (this.#syncing || this.#failure || this.#head === this.#queue.length) return this.#wake();
    const first = this.#queue[this.#head] as Commit;
    if (!first.written) this.#write();
    if (this.#queue.slice(this.#head).some((commit) => commit.written && commit.sync)) {
      this.#startSync();
    } else {
      this.#settle();
      this.#pump();
      this.#wake();
    }
  }

  #startSync(): void {
    const { log } = this.#parts;
    if (!log) return;
    this.#syncing = true;
    ++this.counters.syncs;
    log.sync().then(
      () => {
        this.#syncing = false;
        this.#settle();
        this.#pump();
        if (this.#head < this.#queue.length) this.schedule();
        this.#wake();
      },
      (error: unknown) => {
        this.#syncing = false;
        this.fail(error);
      },
    );
  }

  #syncBlocking(): void {
    try {
      ++this.counters.syncs;
      this.#parts.log?.syncSync();
    } catch (error) {
      this.fail(error);
      throw new AegisError('COMMIT_UNKNOWN', `the commit may or may not survive: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** Applies, in order, every commit that is due, and answers it. */
  #settle(): void {
    const { log } = this.#parts;
    let relaxed = false;
    while (this.#head < this.#queue.length) {
      const commit = this.#queue[this.#head] as Commit;
      if (!commit.written || (commit.sync && log && log.durable < commit.end)) break;
      try {
        if (commit.writes) this.#repack(commit, (from, end) => void this.#parts.applier.apply(from, end));
        else commit.deleted = this.#parts.applier.apply(commit.from, commit.to);
      } catch (error) {
        this.#failReads(error);
        return;
      }
      ++this.#head;
      this.#applied = commit.sequence;
      this.#pendingPages -= commit.pages;
      if (!commit.sync) relaxed = true;
      if (--commit.half.pending === 0) commit.half.at = commit.half.base + GROUP_HEADER_SIZE;
      ++this.counters.commits;
      commit.done(undefined);
    }
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
      this.notePosition();
    }
    if (relaxed && log) this.#syncLater();
  }

  #syncLater(): void {
    if (this.#cancelTimer || this.#failure) return;
    this.#cancelTimer = this.#parts.host.later(this.#parts.flushInterval, () => {
      this.#cancelTimer = undefined;
      void this.syncRelaxed();
    });
  }

  /** Lets waiting callers try, in their order. */
  #pump(): void {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0] as { attempt: () => boolean; fail: (error: unknown) => void };
      try {
        if (!first.attempt()) return;
      } catch (error) {
        first.fail(error);
      }
      this.#waiting.shift();
      this.schedule();
    }
  }

  /** A caller has no room: what is queued must go first, or the log needs a segment made. */
  async #askForRoom(): Promise<void> {
    const { log } = this.#parts;
    if (this.#head < this.#queue.length || this.#syncing) return this.schedule();
    try {
      await log?.prepare(this.maxPayload, 1);
    } catch (error) {
      const first = this.#waiting.shift();
      first?.fail(error);
    }
    this.#pump();
    if (this.#waiting.length > 0) this.schedule();
  }

  #prepareBlocking(): void {
    if (this.#head === this.#queue.length) this.#parts.log?.prepareSync(this.maxPayload, 1);
  }

  /** Somebody's waiting for writers to go on: after a checkpoint. */
  resume(): void {
    this.#pump();
    if (this.#waiting.length > 0) void this.#askForRoom();
  }

  #wake(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}
