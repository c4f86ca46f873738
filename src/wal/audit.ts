/**
 * The audit of a log that is being written: everything that recovery would need and that is known to be on stable
 * storage, read again, so that rot is found before a crash needs the bytes. Writers go on: the audit reads what no
 * writer touches any more, and leaves the core's link as it found it.
 *
 *   1. Only what lies below the durable LSN of the moment it began is read; above it a tail may be taken back.
 *   2. It begins where recovery would. A checkpoint that ends meanwhile moves that place, and the files below it may be
 *      used again: then it goes on from there.
 *   3. A file is at least as long as it was filled: also one that is not in use, for recovery would miss its bytes.
 *   4. Nothing can be said behind the first damaged group: its successor is recognised by its checksum alone.
 */
import { DAMAGE_NONE, GROUP_HEADER_SIZE, SEGMENT_HEADER_SIZE, STAGING_AREA } from '../../assembly/layout.ts';
import { invariant } from '../base/errors.ts';
import { type AuditStart, type LogCore, type LogFault, linkOf, type Word } from './log.ts';
import { LogValidator } from './log-validator.ts';
import type { Segment } from './segment.ts';
import { LogView } from './view.ts';

/** The log as an audit sees it, now and later. */
export interface AuditedLog {
  readonly core: LogCore;
  /** Segments that hold what recovery needs, in the order of the log. */
  readonly live: () => readonly Segment[];
  /** Those, and others that are filled to their size. */
  readonly ready: () => readonly Segment[];
  readonly durable: () => number;
}

/** Bytes of groups checked in one go. */
const SLICE_BYTES = 262_144;

/**
 * Checks a log; `start` says where recovery would begin at any time. Other work may run at every `yield`, which comes
 * after so many bytes of groups.
 */
export function* auditLog(
  log: AuditedLog,
  start: () => AuditStart,
  found: (fault: LogFault) => void,
): Generator<void> {
  auditFiles(log, found);
  const walk = new Walk(log, start(), log.durable(), found);
  while (walk.goOn(start())) yield;
}

/** Checks that no file has become shorter. */
function auditFiles({ ready }: AuditedLog, found: (fault: LogFault) => void): void {
  for (const { name, file, size } of ready()) {
    const offset = file.size();
    if (offset >= size) continue;
    found({ message: `${name} was cut short: it ends at ${offset}, not at ${size}`, file: name, offset });
  }
}

class Walk {
  readonly #log: AuditedLog;
  readonly #goal: number;
  readonly #found: (fault: LogFault) => void;
  #lsn: number;
  #link: Word;
  #content: LogValidator;
  /** Bytes that a long value still lacks. */
  #open = 0;
  /** The segment whose header was read last. */
  #segment: Segment | undefined;

  constructor(log: AuditedLog, start: AuditStart, goal: number, found: (fault: LogFault) => void) {
    this.#log = log;
    this.#goal = goal;
    this.#found = found;
    this.#lsn = start.lsn;
    this.#link = start.link;
    this.#content = new LogValidator(log.core, start.sequence);
  }

  /** Checks some groups more; answers whether there are more still. */
  goOn(start: AuditStart): boolean {
    const { core } = this.#log;
    if (start.lsn > this.#lsn) {
      this.#lsn = start.lsn;
      this.#link = start.link;
      this.#content = new LogValidator(core, start.sequence);
      this.#open = 0;
    }
    const writers = linkOf(core);
    core.x.groupLinkSet(...this.#link);
    core.x.groupOpenSet(this.#open);
    try {
      // Other work has used the staging area since the last slice, so read anew.
      const view = new LogView(core, STAGING_AREA);
      for (let left = SLICE_BYTES; left > 0 && this.#lsn < this.#goal; ) {
        const length = this.#checkNext(view);
        if (length === 0) return false;
        left -= length;
      }
      this.#link = linkOf(core);
      this.#open = core.x.groupOpen();
      return this.#lsn < this.#goal;
    } finally {
      core.x.groupLinkSet(...writers);
    }
  }

  /** Checks the next group; answers its length, or 0 when it is damaged. */
  #checkNext(view: LogView): number {
    const { x } = this.#log.core;
    const segment = this.#log.live().findLast(({ firstLsn }) => firstLsn <= this.#lsn);
    invariant(segment !== undefined, 'what recovery needs lies in a segment in use');
    if (segment !== this.#segment) this.#checkHeader(segment, view);
    this.#segment = segment;
    const offset = Math.max(this.#lsn - segment.firstLsn, SEGMENT_HEADER_SIZE);
    const refuse = (what: string): 0 => {
      const message = `${segment.name} is damaged: the group at ${offset} ${what}; nothing behind it was checked`;
      this.#found({ message, file: segment.name, offset });
      return 0;
    };
    const header = view.find(segment, offset, GROUP_HEADER_SIZE);
    if (header === 0 || x.groupHeaderCheck(header) !== DAMAGE_NONE) return refuse('has no whole header');
    if (x.groupLsn(header) !== segment.firstLsn + offset) return refuse('belongs elsewhere in the log');
    if (!x.groupFollows(header)) return refuse('does not follow the one before it');
    if (x.groupFence(header) < segment.header!.fence) return refuse('is older than its segment');
    const length = x.groupLength(header);
    const group = view.find(segment, offset, length);
    if (group === 0 || !x.groupPayloadHolds(group)) return refuse('has not the payload it was written with');
    const refusal = this.#content.refusal(group);
    if (refusal !== undefined) return refuse(refusal);
    x.groupAccept(group);
    this.#lsn = segment.firstLsn + offset + length;
    return length;
  }

  /** Without its header a segment is not found: its groups are lost, whole as they are. */
  #checkHeader(segment: Segment, view: LogView): void {
    const { x } = this.#log.core;
    const { name: file, firstLsn, header, limit } = segment;
    const at = view.find(segment, 0, SEGMENT_HEADER_SIZE);
    const whole = at !== 0 && x.segmentCheck(at) === DAMAGE_NONE;
    const same =
      whole &&
      x.segmentFirstLsn(at) === firstLsn &&
      x.segmentFence(at) === header!.fence &&
      x.segmentSize(at) >= limit;
    if (!same)
      this.#found({ message: `${file} is damaged: its header is not what was written`, file, offset: 0 });
  }
}
