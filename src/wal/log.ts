/**
 * The log as the commit pipeline sees it: append groups, know what is on stable storage, free what a checkpoint has
 * made needless. The segment log (segments.ts) is the first implementation; one that is replicated over several
 * machines could be another, so nothing here names a file.
 *
 * Terms: a *group* is what is written at once: whole commits, or one part of a long commit. An *LSN* is a byte
 * position in the log, counted from its beginning. The *link* of a group is the checksum of the group before it. The *mark* is the
 * LSN below which everything is known to be on stable storage; it always names the end of a commit.
 *
 *   1. durable <= end; both only grow. `durable` is always the end of a whole commit.
 *   2. Space comes first: after `prepare` answered undefined, the writes it was asked for need no new file and no
 *      promise, so no commit is given up halfway for want of space.
 *   3. A commit that ends halfway, because a write throws or its writer takes it back, leaves the log as it was before,
 *      and nothing of it can be mistaken for what is written next.
 *   4. After a failed sync everything throws `STORE_FAILED`; nothing becomes durable or reusable any more.
 */
import type { AegisError } from '../base/errors.ts';

/** A 64-bit word in two halves, as it crosses to the core. */
export type Word = readonly [low: number, high: number];

/** A place in the log between two groups; what a checkpoint remembers as the start of recovery. */
export interface LogPosition {
  /** LSN after the group before this place. */
  readonly lsn: number;
  /** Checksum of the group before this place; zeros at the beginning of a log. */
  readonly link: Word;
}

/** What recovery knows of the log from the superblock. */
export interface LogStart extends LogPosition {
  /** Last commit the checkpoint holds. */
  readonly sequence: number;
  /** Everything below this LSN was on stable storage when the superblock was written. */
  readonly mark: number;
  /** Bytes that the log's files have at the least: no file goes before a superblock says that it may. */
  readonly size: number;
}

/** Where an audit begins. */
export type AuditStart = Pick<LogStart, 'lsn' | 'link' | 'sequence'>;

/** Something in the log's files that is not as it must be. */
export interface LogFault {
  readonly message: string;
  readonly file: string;
  readonly offset: number;
}

/** The part of the WebAssembly core the log needs; the memory never moves. */
export interface LogCore {
  readonly u8: Uint8Array;
  readonly x: {
    groupConfigure(storeIdLow: number, storeIdHigh: number, fence: number): void;
    groupLinkSet(low: number, high: number): void;
    groupLinkLow(): number;
    groupLinkHigh(): number;
    groupSeal(address: number, payloadLength: number, lsn: number, mark: number): number;
    groupHeaderCheck(address: number): number;
    groupFind(address: number, length: number): number;
    groupLength(address: number): number;
    groupPayloadLength(address: number): number;
    groupLsn(address: number): number;
    groupMark(address: number): number;
    groupFence(address: number): number;
    groupFollows(address: number): number;
    groupPayloadHolds(address: number): number;
    groupStructureCheck(address: number): number;
    groupAccept(address: number): void;
    groupOpen(): number;
    groupOpenSet(bytes: number): void;
    groupParts(): number;
    groupFlags(): number;
    groupFirstSequence(): number;
    groupLastSequence(): number;
    segmentSeal(firstLsn: number, size: number): number;
    segmentCheck(address: number): number;
    segmentFirstLsn(address: number): number;
    segmentSize(address: number): number;
    segmentFence(address: number): number;
  };
}

/** An append-only log of groups. */
export interface Log {
  /** Where the next group goes: what a checkpoint notes before that group is written. */
  readonly position: LogPosition;
  /** `position.lsn`. */
  readonly end: number;
  /** Everything below is on stable storage. */
  readonly durable: number;
  /** Largest payload of one group, in bytes. */
  readonly maxPayload: number;
  /** Bytes of the files the log keeps. */
  readonly diskSize: number;
  /** Names of the files that must be there. */
  readonly files: readonly string[];
  /** Why the log refuses everything, once it does. */
  readonly failure: AegisError | undefined;

  /**
   * Holds space for all that is still to be written: so many payload bytes of so many commits, in groups of any size
   * from one commit a group to `maxPayload`. Only `undefined` says that the space is in hand now, and it holds until
   * something else is written; after a promise, ask again.
   *
   * @throws AegisError `OUT_OF_SPACE`; no file and no byte is left behind.
   */
  prepare(bytes: number, commits?: number): undefined | Promise<void>;

  /** As `prepare`, blocking. @throws AegisError `UNSUPPORTED` where the backend cannot make a file at once. */
  prepareSync(bytes: number, commits?: number): void;

  /**
   * Writes the group whose payload lies GROUP_HEADER_SIZE bytes behind `address`, and answers the LSN after it: what
   * `durable` must reach before a commit in it is durable. `endsCommit`: the last part in it ends a commit. If this
   * throws, every group of the commit it belongs to is taken back, and the next group takes the first one's place.
   */
  write(address: number, payloadLength: number, endsCommit: boolean): number;

  /**
   * Takes back every group of a commit of which not all groups have been written, whatever ended it (`cause`): the next
   * group takes the place of its first one. Nothing to do when the last group written ends a commit. When it was not
   * possible the log is over, as `failure` says.
   */
  takeBack(cause: unknown): void;

  /** Resolves when every whole commit written before the call is on stable storage. */
  sync(): Promise<void>;

  /** As `sync`, blocking; also while an asynchronous one is under way. */
  syncSync(): void;

  /**
   * Decides which files stay once a checkpoint that starts there is on stable storage, and answers their bytes, which
   * its superblock has to say: what is needed after it, and as many files as were begun since the plan before.
   */
  plan(lsn: number): number;

  /** Nothing follows the next checkpoint: its plan keeps no file. Resolves when nothing else uses one. */
  retire(): Promise<void>;

  /**
   * Nothing below this LSN is needed any more: a checkpoint that starts there is on stable storage, twice. Files that
   * the last plan does not keep are removed, except for space that is reserved.
   */
  release(lsn: number): void;

  /**
   * Checks everything durable that recovery would need, from where it would begin (`start`, asked again after every
   * `yield`, where other work may run; each comes after some hundred KiB). Throws what reading throws.
   */
  audit(start: () => AuditStart, found: (fault: LogFault) => void): Generator<void>;

  /** Closes the files; idempotent. Resolves when removed files are gone. Says nothing about durability. */
  close(): Promise<void>;
}

/** The link of the core: the checksum of the last group it sealed or accepted. */
export function linkOf({ x }: LogCore): Word {
  return [x.groupLinkLow() >>> 0, x.groupLinkHigh() >>> 0];
}
