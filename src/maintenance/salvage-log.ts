/**
 * The log of a damaged store, applied to the new one: every commit behind the checkpoint that is whole, in order. What a
 * commit says of a key holds whatever became of the page that the key was in, so the key is lost no more.
 *
 * Invariants
 *   1. A commit is applied whole or not at all: nothing of it is before its last part was read.
 *   2. A record for a tree whose name is not known is passed over: all of that tree is listed as lost.
 */
import {
  LOG_AREA,
  PART_HEADER_SIZE,
  PART_LAST,
  RECORD_DROP,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  RECORD_PUT_LONG,
  RECORD_TREE,
  RECORD_VALUE,
} from '../../assembly/layout.ts';
import type { Core } from '../core/wasm.ts';
import type { LogScan } from '../wal/scan.ts';
import type { OpenedStore } from './opened-store.ts';

/** Hears what the log says, before it is applied. */
export interface LogHeard {
  /** A tree is made, if it is not there. */
  made(id: number, name: Uint8Array): void;
  /** A tree is dropped, if it is there. */
  dropped(id: number): void;
  /** A key of a tree that is known gets a value, or goes. */
  settled(id: number, key: Uint8Array): void;
  /** A key of a tree that is not known gets a value. */
  passedOver(key: Uint8Array): void;
}

/** What a log is applied with. */
export interface LogParts {
  readonly scan: LogScan;
  /** The core that the log is read with. */
  readonly from: Core;
  /** The last commit that the checkpoint holds. */
  readonly after: number;
  /** The new store. */
  readonly target: OpenedStore;
  readonly heard: LogHeard;
  /** Hears of each commit that was applied. */
  readonly applied: (sequence: number) => void;
  /** Lets other work run when it is due. */
  readonly rest: () => Promise<void>;
}

/** Applies the commits after one to a new store. Throws what a second read of the log throws. */
export async function applyLog(parts: LogParts): Promise<void> {
  const { scan, from, after, target, heard, applied, rest } = parts;
  const { x } = from;
  await markIdsUsed(parts);
  let commit: Uint8Array[] = [];
  for (const { address, length } of scan.groups()) {
    for (let at = address; at < address + length; ) {
      const records = at + PART_HEADER_SIZE;
      const sequence = x.partSequence(at);
      if (sequence > after) commit.push(from.u8.slice(records, x.recordsEnd(records, x.partRecords(at))));
      if (x.partFlags(at) & PART_LAST) {
        for (const part of commit) applyPart(part, target, heard);
        if (commit.length > 0) applied(sequence);
        commit = [];
      }
      at = records + x.partBytes(at);
    }
    await rest();
  }
}

/** Ids of trees that the log makes are taken: the new store may need some for itself. */
async function markIdsUsed({ scan, from: { x }, target: { catalog }, rest }: LogParts): Promise<void> {
  for (const { address, length } of scan.groups()) {
    for (let at = address; at < address + length; at += PART_HEADER_SIZE + x.partBytes(at)) {
      const records = at + PART_HEADER_SIZE;
      const end = x.recordsEnd(records, x.partRecords(at));
      for (let record = records; record < end; record = x.recordEnd(record)) {
        if (x.recordKind(record) === RECORD_TREE) catalog.markIdUsed(x.recordTree(record));
      }
    }
    await rest();
  }
}

function applyPart(part: Uint8Array, { core, applier, catalog }: OpenedStore, heard: LogHeard): void {
  const { x } = core;
  core.u8.set(part, LOG_AREA);
  for (let at = LOG_AREA; at < LOG_AREA + part.length; ) {
    const next = x.recordEnd(at);
    const id = x.recordTree(at);
    const kind = x.recordKind(at);
    const key = core.u8.slice(at + RECORD_HEADER_SIZE, at + RECORD_HEADER_SIZE + x.recordKeyBytes(at));
    if (kind === RECORD_TREE) heard.made(id, key);
    else if (kind === RECORD_DROP) heard.dropped(id);
    else if (catalog.isMade(id)) {
      if (kind !== RECORD_VALUE) heard.settled(id, key);
    } else if (kind === RECORD_PUT || kind === RECORD_PUT_LONG) {
      heard.passedOver(key);
    }
    if (kind >= RECORD_TREE || catalog.isMade(id)) applier.apply(at, next);
    at = next;
  }
}
