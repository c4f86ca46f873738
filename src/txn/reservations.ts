/**
 * Space reservations. A commit asks once for space: in the log buffer, in the log, and below the log's limit. It
 * waits in a queue, first come first served, until all of that is there. Then it is admitted in the same turn:
 * validated, packed and given its sequence, once.
 *
 * The size of a commit says what it needs, so nothing is packed or validated while it waits. Only the first in the
 * queue asks for space; the others cost nothing until it is their turn.
 *
 * Invariants
 *   1. Requests are admitted or refused in the order of their arrival; a blocking one serves those before it first.
 *   2. While a request waits, something is under way that will call `serve`: a flush, a checkpoint, the making of a
 *      log file, or the sorting of the operations it will write.
 *   3. One failure refuses one request: the first in the queue. After the store has failed all are refused.
 *   4. However a request leaves the queue, the next one is served, and what is queued in the log buffer is written.
 */
import { GROUP_HEADER_SIZE, PART_HEADER_SIZE } from '../../assembly/layout.ts';
import { AegisError } from '../base/errors.ts';
import type { Log } from '../wal/log.ts';
import type { CommitPipeline } from './commit.ts';

/** A commit that is to be admitted. */
export interface Request {
  /** Most bytes of its records, with all that packing adds. */
  readonly bytes: number;
  /** Nothing else may be queued when it is admitted: it is too large for a log buffer, or changes what names mean. */
  readonly exclusive: boolean;
  /**
   * Whether it is known what it asks for, which nobody may ask before; without it, it is. `now`: it has to be. While it is
   * not, whoever prepares it will call `serve`. What it throws refuses it.
   */
  ready?(now: boolean): boolean;
  /** Validates, packs and queues it; there is space. What it throws refuses it. */
  admit(): void;
}

/** A request that waits. */
interface Ticket {
  readonly request: Request;
  readonly refuse: (error: unknown) => void;
  next: Ticket | undefined;
  /** It has left the queue. */
  left: boolean;
  /** A log file is being made for it. */
  awaitsFile: boolean;
  /** The disk had no space for a log file: everything queued is applied before it asks again. */
  isShort: boolean;
  /** Then a checkpoint was run for it; it is run once. */
  freed: boolean;
}

/** The limit of the log's length, and the checkpoints that keep it. */
export interface LogLimit {
  /** Writers must wait for a checkpoint. */
  readonly isExceeded: boolean;
  /** Starts a checkpoint if none runs. Throws when the last one failed: waiting for another might be for ever. */
  shorten(): void;
  /** Runs a checkpoint to its end without yielding. Throws when it fails. */
  shortenNow(): void;
  /** A checkpoint that may free log files; undefined: there is nothing to be gained. */
  free(): Promise<unknown> | undefined;
  /** As `free`, blocking; false: nothing was gained. */
  freeNow(): boolean;
}

/** What reservations are made of. */
export interface ReservationParts {
  readonly pipeline: CommitPipeline;
  readonly log: Log | undefined;
  readonly limit: LogLimit;
}

export class Reservations {
  readonly #parts: ReservationParts;
  #head: Ticket | undefined;
  #tail: Ticket | undefined;
  #length = 0;
  #serving = false;

  constructor(parts: ReservationParts) {
    this.#parts = parts;
  }

  /** Requests that wait. */
  get length(): number {
    return this.#length;
  }

  /** Admits a request if nobody waits and there is space for it now; throws when it is refused. */
  admitNow(request: Request): boolean {
    const { pipeline } = this.#parts;
    if (pipeline.failure) throw pipeline.failure;
    if (this.#length > 0 || request.ready?.(false) === false) return false;
    if (this.#mustFlush(request) || this.#parts.limit.isExceeded) return false;
    // An error is not lost: the caller waits then, asks again, and gets it.
    const file = this.#prepare(request);
    file?.catch(() => undefined);
    if (file) return false;
    request.admit();
    pipeline.schedule();
    return true;
  }

  /** Puts a request behind those that wait; `refuse` hears if it is refused. */
  wait(request: Request, refuse: (error: unknown) => void): void {
    const ticket: Ticket = {
      request,
      refuse,
      next: undefined,
      left: false,
      awaitsFile: false,
      isShort: false,
      freed: false,
    };
    if (this.#tail) this.#tail.next = ticket;
    else this.#head = ticket;
    this.#tail = ticket;
    if (++this.#length === 1) this.serve();
  }

  /** Something has changed that may give space: admits whom it can. */
  serve(): void {
    if (this.#serving || this.#length === 0) return;
    this.#serve(() => {
      while (this.#head && this.#next(this.#head)) {
        // `#next` has moved the head on.
      }
    });
  }

  /** Admits a request, blocking: those that wait come first. Throws when it is refused. */
  admitBlocking(request: Request): void {
    this.#serve(() => {
      while (this.#head) this.#force(this.#head);
      this.#makeSpace(request);
      // Applying commits to make space may have failed the store. Nothing is logged after that.
      if (this.#parts.pipeline.failure) throw this.#parts.pipeline.failure;
      request.admit();
    });
  }

  #serve(work: () => void): void {
    this.#serving = true;
    try {
      work();
    } finally {
      this.#serving = false;
      const { pipeline } = this.#parts;
      // Queued commits make space when they are written and applied; nobody else schedules those that are not
      // written.
      if (pipeline.queue.length > 0) pipeline.schedule();
      pipeline.wake();
    }
  }

  /** Serves the first of the queue; false: it has to wait on. */
  #next(ticket: Ticket): boolean {
    try {
      if (!this.#parts.pipeline.failure && !this.#isOpen(ticket)) return false;
    } catch (error) {
      this.#refuse(ticket, error);
      return true;
    }
    this.#admit(ticket);
    return true;
  }

  /** Admits a ticket that has space; refuses it when the store has failed, or its own commit does. */
  #admit(ticket: Ticket): void {
    this.#leave(ticket);
    try {
      if (this.#parts.pipeline.failure) throw this.#parts.pipeline.failure;
      ticket.request.admit();
    } catch (error) {
      ticket.refuse(error);
    }
  }

  #leave(ticket: Ticket): void {
    this.#head = ticket.next;
    if (!this.#head) this.#tail = undefined;
    ticket.left = true;
    --this.#length;
  }

  /** Whether there is space for a ticket; if not, sees to it that there will be. */
  #isOpen(ticket: Ticket): boolean {
    const { limit, pipeline } = this.#parts;
    if (ticket.request.ready?.(false) === false) return false;
    if (this.#mustFlush(ticket.request) || (ticket.isShort && pipeline.queue.length > 0)) return false;
    if (limit.isExceeded) {
      // While commits are queued a checkpoint frees no log, and one would be begun after the other.
      if (pipeline.queue.length === 0) limit.shorten();
      return false;
    }
    if (ticket.awaitsFile) return false;
    const file = this.#prepare(ticket.request);
    if (!file) return true;
    ticket.awaitsFile = true;
    const settled = (error?: unknown): void => {
      ticket.awaitsFile = false;
      if (error !== undefined) this.#noFile(ticket, error);
      // Not `serve` alone: when the last ticket is refused, `close` can go on.
      this.#parts.pipeline.resume();
    };
    file.then(() => settled(), settled);
    return false;
  }

  /** A log file could not be made for a ticket. */
  #noFile(ticket: Ticket, error: unknown): void {
    const { pipeline, log, limit } = this.#parts;
    // A sync failed while the file was made: the whole store has failed, not the log alone.
    if (log?.failure) pipeline.fail(log.failure);
    if (ticket.left) return;
    // No space for a file: apply what is queued, then make a checkpoint, which frees log files.
    ticket.isShort = isOutOfSpace(error);
    if (ticket.isShort && pipeline.queue.length > 0) return;
    const freed = ticket.isShort && !ticket.freed ? limit.free() : undefined;
    if (!freed) {
      this.#refuse(ticket, error);
      return;
    }
    ticket.freed = true;
    ticket.awaitsFile = true;
    const settled = (): void => {
      ticket.awaitsFile = false;
      pipeline.resume();
    };
    freed.then(settled, (cause: unknown) => {
      if (!ticket.left) this.#refuse(ticket, cause);
      settled();
    });
  }

  #refuse(ticket: Ticket, error: unknown): void {
    this.#leave(ticket);
    ticket.refuse(error);
  }

  /** Serves the first of the queue without waiting for anything. */
  #force(ticket: Ticket): void {
    try {
      if (!this.#parts.pipeline.failure) this.#makeSpace(ticket.request);
    } catch (error) {
      // The backend cannot do it synchronously. The blocking caller gets that error, not the ticket that waits.
      if (error instanceof AegisError && error.code === 'UNSUPPORTED') throw error;
      this.#refuse(ticket, error);
      return;
    }
    this.#admit(ticket);
  }

  /** Makes space for a request at once. */
  #makeSpace(request: Request): void {
    const { pipeline, log, limit } = this.#parts;
    if (pipeline.failure) throw pipeline.failure;
    request.ready?.(true);
    if (this.#mustFlush(request) || limit.isExceeded) pipeline.flushBlocking();
    if (limit.isExceeded) limit.shortenNow();
    if (!log) return;
    try {
      this.#prepareSync(log, request);
    } catch (error) {
      if (!isOutOfSpace(error)) throw error;
      pipeline.flushBlocking();
      if (!limit.freeNow()) throw error;
      this.#prepareSync(log, request);
    }
  }

  /** Whether what is queued has to be written and applied first. */
  #mustFlush({ bytes, exclusive }: Request): boolean {
    const { pipeline } = this.#parts;
    const { queue, maxPayload } = pipeline;
    if (exclusive) return queue.length > 0;
    const { at, base } = queue.filling;
    return queue.isBarred || at + PART_HEADER_SIZE + bytes > base + GROUP_HEADER_SIZE + maxPayload - 8;
  }

  #prepare(request: Request): Promise<void> | undefined {
    const { log, pipeline } = this.#parts;
    if (!log) return undefined;
    try {
      return log.prepare(...this.#logNeed(request));
    } catch (error) {
      if (log.failure) pipeline.fail(log.failure);
      throw error;
    }
  }

  #prepareSync(log: Log, request: Request): void {
    try {
      log.prepareSync(...this.#logNeed(request));
    } finally {
      if (log.failure) this.#parts.pipeline.fail(log.failure);
    }
  }

  /** Bytes and commits that are to be written with a request: those in the filling buffer, and its own. */
  #logNeed({ bytes }: Request): [bytes: number, commits: number] {
    const { queue } = this.#parts.pipeline;
    const { at, base } = queue.filling;
    return [at - base + PART_HEADER_SIZE + bytes, queue.unwritten + 1];
  }
}

function isOutOfSpace(error: unknown): boolean {
  return error instanceof AegisError && error.code === 'OUT_OF_SPACE';
}
