/**
 * A store reduced to its log: commits are written, synced, checkpointed and lost again, on a disk that loses power,
 * lies after a failed sync, runs full in the middle of a write. After every end of a life the log is opened as
 * recovery does it, perhaps dying in the middle of that, and what it answers is compared with what was promised:
 *
 *   - every commit that was answered as durable, or that an earlier recovery answered, is there;
 *   - what is there is a prefix of the commits in their order, each with the bytes that were last written for it:
 *     no commit that was given up, none that an earlier recovery cut, no half of one;
 *   - after the death of the process alone nothing that was written whole is missing;
 *   - a healthy disk is never called damaged.
 */

import { GROUP_HEADER_SIZE, LOG_AREA, PART_FIRST, PART_LAST } from '../../assembly/layout.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { LogCore, LogPosition, LogStart } from '../../src/wal/log.ts';
import { type LogScan, scanLog } from '../../src/wal/scan.ts';
import { FENCE_STEP, SegmentLog } from '../../src/wal/segments.ts';
import { CrashDisk } from './crash-disk.ts';
import {
  buildPayload,
  commit,
  partsAt,
  payloadLength,
  type ReplayedPart,
  replayAll,
  STORE_ID,
  settle,
  type TestPart,
  valueFor,
} from './log-kit.ts';
import type { Random } from './random.ts';

interface Written {
  readonly sequence: number;
  /** Log position before the group that holds the commit's beginning, and the LSN after its end. */
  readonly before: LogPosition;
  readonly end: number;
}

/** Counts of what a run did. */
export interface Tally {
  lives: number;
  commits: number;
  cuts: number;
  kills: number;
  failedSyncs: number;
  givenUp: number;
  takenBack: number;
  recoveriesCut: number;
  tornTails: number;
  closes: number;
}

export function newTally(): Tally {
  const zero = { lives: 0, commits: 0, cuts: 0, kills: 0, failedSyncs: 0, givenUp: 0, takenBack: 0 };
  return { ...zero, recoveriesCut: 0, tornTails: 0, closes: 0 };
}

/** One store from its birth through many lives. */
export class CrashModel {
  readonly #core: LogCore;
  readonly #random: Random;
  readonly #tally: Tally;
  readonly #segmentSize: number;
  #disk: CrashDisk;
  #superblock: LogStart & { fence: number } = {
    lsn: 0,
    link: [0, 0],
    sequence: 0,
    mark: 0,
    size: 0,
    fence: 0,
  };
  /** Bytes of every part, by sequence. */
  readonly #truth = new Map<number, Uint8Array[]>();
  #acknowledged = 0;
  #lastWritten = 0;
  #salt = 0;
  #long: Long | undefined;
  /** The last long commit that ended halfway. */
  #givenUp: readonly TestPart[] | undefined;
  /** Whether all that was written is in the cache. */
  #cacheIsWhole = true;
  /** A sync failed since the last recovery. */
  #lied = false;

  constructor(core: LogCore, random: Random, tally: Tally, segmentSize: number) {
    this.#core = core;
    this.#random = random;
    this.#tally = tally;
    this.#segmentSize = segmentSize;
    this.#disk = new CrashDisk(random);
  }

  async live(lives: number): Promise<void> {
    for (let life = 0; life < lives; life++) {
      this.#tally.lives++;
      const log = await this.#recover();
      const failed = await this.#work(log);
      this.#end(failed);
    }
    await this.#recover();
  }

  #end(failed: boolean): void {
    const random = this.#random;
    if (random.chance(0.6)) {
      this.#tally.cuts++;
      this.#disk = this.#disk.cut(random);
      this.#cacheIsWhole = false;
    } else {
      this.#tally.kills++;
      const forgetful = random.chance(0.5);
      this.#disk = this.#disk.kill(random, forgetful);
      this.#lied ||= failed;
      if (this.#lied && forgetful) this.#cacheIsWhole = false;
    }
  }

  async #recover(): Promise<SegmentLog> {
    for (;;) {
      const core = this.#core;
      const scan = await scanLog({ core, backend: this.#disk, storeId: STORE_ID, start: this.#superblock });
      this.#compare(scan);
      if (!(await this.#rewrite(scan))) continue;
      this.#acknowledged = scan.lastSequence;
      this.#lastWritten = scan.lastSequence;
      this.#cacheIsWhole = true;
      this.#lied = false;
      const fence = Math.max(scan.highestFence, this.#superblock.fence) + FENCE_STEP + this.#random.below(3);
      const mark = this.#random.chance(0.5) ? scan.end.lsn : this.#superblock.mark;
      this.#superblock = { ...this.#superblock, fence, mark };
      const segmentSize = this.#segmentSize;
      return new SegmentLog({ core, backend: this.#disk, storeId: STORE_ID, fence, segmentSize, scan });
    }
  }

  /** Writes the tail again; answers false if the machine stopped in the middle. */
  async #rewrite(scan: LogScan): Promise<boolean> {
    const random = this.#random;
    if (random.chance(0.8)) {
      await scan.rewriteTail();
      return true;
    }
    this.#tally.recoveriesCut++;
    if (random.chance(0.5)) this.#disk.onSync = () => random.chance(0.5);
    else
      this.#disk.onWrite = (_file, _position, length) =>
        random.chance(0.5) ? random.below(length) : undefined;
    let failed = false;
    await scan.rewriteTail().catch(() => {
      failed = true;
    });
    this.#end(failed);
    return false;
  }

  #compare(scan: LogScan): void {
    const where = `superblock ${JSON.stringify(this.#superblock)}, end ${scan.end.lsn}`;
    const parts = replayAll(this.#core, scan);
    if (scan.lastSequence < this.#acknowledged) {
      throw new Error(
        `commit ${this.#acknowledged} was promised, ${scan.lastSequence} is the last: ${where}`,
      );
    }
    if (scan.lastSequence > this.#lastWritten)
      throw new Error(`commit ${scan.lastSequence} was never written: ${where}`);
    if (this.#cacheIsWhole && scan.lastSequence !== this.#lastWritten) {
      throw new Error(
        `commit ${this.#lastWritten} is in the cache, ${scan.lastSequence} is the last: ${where}`,
      );
    }
    if (scan.lastSequence < this.#lastWritten) this.#tally.tornTails++;
    const found = new Map<number, Uint8Array[]>();
    for (const part of parts) {
      if (part.flags & PART_FIRST) found.set(part.sequence, []);
      found.get(part.sequence)!.push(part.body);
    }
    for (let sequence = this.#superblock.sequence + 1; sequence <= scan.lastSequence; sequence++) {
      const truth = this.#truth.get(sequence)!.map((bytes) => Buffer.from(bytes).toString('hex'));
      const answer = found.get(sequence)?.map((bytes) => Buffer.from(bytes).toString('hex'));
      if (answer?.join() !== truth.join())
        throw new Error(`commit ${sequence} is not the one written: ${where}`);
    }
  }

  /** One life of a writer; answers whether it ended with a failed sync. */
  async #work(log: SegmentLog): Promise<boolean> {
    const random = this.#random;
    const disk = this.#disk;
    const written: Written[] = [];
    const running: Promise<void>[] = [];
    let noted: LogStart | undefined;
    disk.manual = true;
    this.#long = undefined;
    const steps = random.below(60);
    for (let step = 0; step < steps; step++) {
      const what = random.below(100);
      if (what < 4 && this.#long !== undefined) this.#giveUpLong(this.#long, log);
      else if (what < 50 && this.#long !== undefined) this.#continueLong(this.#long, log, written);
      else if (what < 42 && this.#givenUp?.[0]?.sequence === this.#lastWritten + 1) this.#beginLong(log);
      else if (what < 42) this.#commitGroup(log, written);
      else if (what < 50) this.#beginLong(log);
      else if (what < 65) running.push(log.sync().catch(expectFailure));
      else if (what < 80) {
        disk.finishSync();
        await settle();
      } else if (what < 88) log.syncSync();
      else if (what < 93) noted ??= this.#noteCheckpoint(log, written);
      else if (what < 97 && noted !== undefined) {
        this.#superblock = { ...this.#superblock, ...noted, mark: log.durable, size: log.plan(noted.lsn) };
        this.#acknowledged = Math.max(this.#acknowledged, noted.sequence);
        log.release(noted.lsn);
        noted = undefined;
      } else if (what === 99) {
        this.#tally.failedSyncs++;
        await this.#failSync(log);
        return true;
      }
      this.#acknowledge(log, written);
      if (log.failure !== undefined) return true;
    }
    if (this.#long === undefined && random.chance(0.6)) await this.#close(log, written);
    return false;
  }

  /** The last checkpoint of a life holds everything, and the log gives all its files back. */
  async #close(log: SegmentLog, written: readonly Written[]): Promise<void> {
    this.#tally.closes++;
    this.#disk.manual = false;
    const retired = log.retire();
    while (this.#disk.waiting > 0) {
      this.#disk.finishSync();
      await settle();
    }
    await retired;
    log.syncSync();
    this.#acknowledge(log, written);
    const sequence = this.#lastWritten;
    this.#superblock = {
      ...this.#superblock,
      ...log.position,
      sequence,
      mark: log.durable,
      size: log.plan(log.end),
    };
    log.release(log.end);
    await log.close();
    if (this.#disk.list().length > 0) throw new Error(`files are left: ${this.#disk.list()}`);
  }

  async #failSync(log: SegmentLog): Promise<void> {
    if (this.#disk.waiting > 0) {
      this.#disk.finishSync(true);
      await settle();
    } else {
      this.#disk.onSync = () => true;
      try {
        log.syncSync();
      } catch (error) {
        expectFailure(error);
      }
    }
  }

  #acknowledge(log: SegmentLog, written: readonly Written[]): void {
    for (const { sequence, end } of written) {
      if (end <= log.durable) this.#acknowledged = Math.max(this.#acknowledged, sequence);
    }
  }

  /** A checkpoint that holds the commits up to any one written in this life. */
  #noteCheckpoint(log: SegmentLog, written: readonly Written[]): LogStart {
    const held = written.filter(({ sequence }) => sequence <= this.#superblock.sequence).length;
    const applied = held + this.#random.below(written.length - held + 1);
    const sequence = written[applied - 1]?.sequence ?? (written[0]?.sequence ?? this.#lastWritten + 1) - 1;
    const place = written[applied]?.before ?? this.#long?.before ?? log.position;
    return { ...place, sequence, mark: 0, size: 0 };
  }

  #commitGroup(log: SegmentLog, written: Written[]): void {
    const random = this.#random;
    const count = 1 + random.below(3);
    const parts = Array.from({ length: count }, (_, index) =>
      commit(
        this.#lastWritten + 1 + index,
        valueFor(++this.#salt, random.below(random.chance(0.2) ? 900 : 200)),
      ),
    );
    while (payloadLength(parts) > log.maxPayload) parts.pop();
    log.prepareSync(payloadLength(parts), parts.length);
    const before = log.position;
    const bodies = this.#write(log, parts, true);
    for (const { sequence, body } of bodies ?? []) {
      this.#truth.set(sequence, [body]);
      this.#wrote(sequence, before, log, written);
    }
  }

  /** A commit of several groups; other things happen between them. */
  #beginLong(log: SegmentLog): void {
    const groups = 2 + this.#random.below(5);
    const sequence = this.#lastWritten + 1;
    // The same commit tried again is the same bytes, group for group.
    const again = this.#givenUp?.[0]?.sequence === sequence ? this.#givenUp : undefined;
    const left = again?.slice() ?? this.#pieces(groups, sequence, log);
    log.prepareSync(payloadLength(left), left.length);
    this.#long = { left, all: left.slice(), bodies: [], before: log.position };
  }

  #pieces(groups: number, sequence: number, log: SegmentLog): TestPart[] {
    const size = log.maxPayload / (this.#random.chance(0.5) ? 2 : 6);
    return Array.from({ length: groups }, (_, index) => {
      const flags = (index === 0 ? PART_FIRST : 0) | (index === groups - 1 ? PART_LAST : 0);
      return commit(sequence, valueFor(++this.#salt, size + this.#random.below(300)), flags);
    });
  }

  /** Something other than the disk ends a commit between two of its groups. */
  #giveUpLong(long: Long, log: SegmentLog): void {
    this.#disk.onWrite = () => (this.#random.chance(0.02) ? 0 : undefined);
    log.takeBack(new Error('a page could not be read'));
    this.#disk.onWrite = undefined;
    this.#tally.takenBack++;
    if (log.failure !== undefined) this.#cacheIsWhole = false;
    this.#long = undefined;
    this.#givenUp = long.all;
  }

  #continueLong(long: Long, log: SegmentLog, written: Written[]): void {
    const part = long.left.shift()!;
    const bodies = this.#write(log, [part], long.left.length === 0);
    if (bodies === undefined) {
      this.#long = undefined;
      this.#givenUp = long.all;
    } else long.bodies.push(bodies[0]!.body);
    if (bodies === undefined || long.left.length > 0) return;
    this.#long = undefined;
    this.#truth.set(part.sequence, long.bodies);
    this.#wrote(part.sequence, long.before, log, written);
  }

  #wrote(sequence: number, before: LogPosition, log: SegmentLog, written: Written[]): void {
    this.#lastWritten = sequence;
    this.#tally.commits++;
    written.push({ sequence, before, end: log.failure === undefined ? log.end : Number.POSITIVE_INFINITY });
  }

  /** Writes a group; now and then the disk takes only a piece of it, and the commit is given up. */
  #write(log: SegmentLog, parts: readonly TestPart[], endsCommit: boolean): ReplayedPart[] | undefined {
    const random = this.#random;
    const length = buildPayload(this.#core, parts);
    const bodies = partsAt(this.#core, LOG_AREA + GROUP_HEADER_SIZE, length);
    let failures = random.chance(0.06) ? 1 + (random.chance(0.1) ? 1 : 0) : 0;
    this.#disk.onWrite = (_file, _position, size) => (failures-- > 0 ? random.below(size) : undefined);
    try {
      log.write(LOG_AREA, length, endsCommit);
      return bodies;
    } catch (error) {
      if (log.failure !== undefined) {
        expectFailure(error); // nobody knows what became of it
        this.#cacheIsWhole = false;
        return bodies;
      }
      if (!(error instanceof AegisError) || error.code !== 'OUT_OF_SPACE') throw error;
      this.#tally.givenUp++;
      return undefined;
    } finally {
      this.#disk.onWrite = undefined;
    }
  }
}

interface Long {
  readonly left: TestPart[];
  readonly all: readonly TestPart[];
  readonly bodies: Uint8Array[];
  readonly before: LogPosition;
}

function expectFailure(error: unknown): void {
  if (!(error instanceof AegisError) || error.code !== 'STORE_FAILED') throw error;
}
