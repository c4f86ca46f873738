/**
 * Looking at the log from outside: its files, and the groups, commits and records that a recovery would find after the
 * last checkpoint. It reads what recovery reads and by the same rules, and writes nothing.
 *
 * The store must be held, for reading, and have no log that goes on: both use the core's log area.
 */
import {
  GROUP_HEADER_SIZE,
  PART_HEADER_SIZE,
  PART_LAST,
  RECORD_DELETE,
  RECORD_DROP,
  RECORD_HEADER_SIZE,
  RECORD_PUT,
  RECORD_PUT_LONG,
  RECORD_TREE,
  RECORD_VALUE,
} from '../../assembly/layout.ts';
import type { StorageBackend } from '../backend/backend.ts';
import type { Core } from '../core/wasm.ts';
import type { Superblock } from '../store/superblock.ts';
import type { LogScan } from '../wal/scan.ts';
import { scanLog } from '../wal/scan.ts';

/** A file of the log. Sizes are bytes. */
export interface SegmentReport {
  readonly file: string;
  readonly size: number;
  /** LSN of its first byte; absent when it was never used. */
  readonly firstLsn?: number;
  /** Bytes of it that a recovery would read. */
  readonly live: number;
}

/** One operation in the log. */
export interface RecordReport {
  readonly kind: string;
  readonly tree: number;
  readonly key: Uint8Array;
  /** Bytes of the value, whole or of this piece. */
  readonly valueSize: number;
}

/** A group: what was written at once. */
export interface GroupReport {
  readonly lsn: number;
  readonly size: number;
  /** Parts of commits in it; a long commit has a part in each of several groups. */
  readonly parts: readonly {
    readonly sequence: number;
    readonly records: number;
    /** Whether the commit ends here. */
    readonly ends: boolean;
  }[];
  readonly records: readonly RecordReport[];
}

/** What the log holds after the last checkpoint. */
export interface LogReport {
  readonly segments: readonly SegmentReport[];
  /** Where the last checkpoint stands, and the last commit that it holds. */
  readonly checkpointLsn: number;
  readonly checkpointSequence: number;
  /** Where the last whole commit ends, and its sequence. */
  readonly endLsn: number;
  readonly lastSequence: number;
  /** Everything below was on stable storage once, as the log itself says. */
  readonly durableLsn: number;
  readonly groups: number;
  readonly commits: number;
  readonly records: number;
  /** Bytes of the groups. */
  readonly bytes: number;
}

const KINDS: Readonly<Record<number, string>> = {
  [RECORD_PUT]: 'put',
  [RECORD_DELETE]: 'delete',
  [RECORD_PUT_LONG]: 'put (long)',
  [RECORD_VALUE]: 'value',
  [RECORD_TREE]: 'tree',
  [RECORD_DROP]: 'drop',
};

/** Reads the log; hands over each group as it goes by. @throws AegisError `CORRUPTION`, `IO_ERROR`, `UNSUPPORTED_VERSION` */
export async function reportLog(
  core: Core,
  backend: StorageBackend,
  superblock: Superblock,
  visit: (group: GroupReport) => void,
): Promise<LogReport> {
  const { lsn, link, sequence, mark, logSize, storeId } = superblock;
  const start = { lsn, link, sequence, mark, size: logSize };
  const scan = await scanLog({ core, backend, storeId, start, readOnly: true });
  try {
    let [groups, commits, records] = [0, 0, 0];
    scan.replay((address, length) => {
      const group = groupOf(core, address, length);
      ++groups;
      commits += group.parts.filter(({ ends }) => ends).length;
      records += group.records.filter(({ kind }) => kind !== KINDS[RECORD_VALUE]).length;
      visit(group);
    });
    return {
      segments: segmentsOf(scan),
      checkpointLsn: lsn,
      checkpointSequence: sequence,
      endLsn: scan.end.lsn,
      lastSequence: scan.lastSequence,
      durableLsn: scan.highestMark,
      groups,
      commits,
      records,
      bytes: scan.bytes,
    };
  } finally {
    scan.close();
  }
}

function segmentsOf(scan: LogScan): SegmentReport[] {
  return scan.segments.map((segment) => {
    const live = scan.runs
      .filter((run) => run.segment === segment)
      .reduce((sum, { from, to }) => sum + to - from, 0);
    const { name: file, size, header } = segment;
    return { file, size, ...(header === undefined ? {} : { firstLsn: header.firstLsn }), live };
  });
}

/** A group's payload is parts, one after the other; each is a header, its records, and what fills it up. */
function groupOf(core: Core, address: number, length: number): GroupReport {
  const { x } = core;
  const parts: GroupReport['parts'][number][] = [];
  const records: RecordReport[] = [];
  for (let part = address; part < address + length; part += PART_HEADER_SIZE + x.partBytes(part)) {
    const count = x.partRecords(part);
    const ends = (x.partFlags(part) & PART_LAST) !== 0;
    parts.push({ sequence: x.partSequence(part), records: count, ends });
    let at = part + PART_HEADER_SIZE;
    for (let left = count; left > 0; --left) {
      const key = core.u8.slice(at + RECORD_HEADER_SIZE, at + RECORD_HEADER_SIZE + x.recordKeyBytes(at));
      const kind = KINDS[x.recordKind(at)] ?? `kind ${x.recordKind(at)}`;
      records.push({ kind, tree: x.recordTree(at), key, valueSize: x.recordValueBytes(at) });
      at = x.recordEnd(at);
    }
  }
  const lsn = x.groupLsn(address - GROUP_HEADER_SIZE);
  return { lsn, size: x.groupLength(address - GROUP_HEADER_SIZE), parts, records };
}
