/* Mutants of the log: what is written and synced when, what counts when it is read, what recovery writes again. */
import {
  largeCommits,
  lives,
  logCrashes,
  scan,
  scanStale,
  scanTail,
  segments,
  segmentsFailure,
  segmentsSpace,
  wrongAnswers,
} from './killers.ts';
import type { Mutant } from './mutant.ts';

const SEGMENTS = 'src/wal/segments.ts';
const SUPPLY = 'src/wal/segment-recycler.ts';
const SCAN = 'src/wal/scan.ts';
const CHAIN = 'src/wal/log-reader.ts';
const COMMIT = 'src/txn/commit.ts';
const CONTENT = 'src/wal/log-validator.ts';
const RECORD = 'assembly/log/record.ts';

export const logMutants: readonly Mutant[] = [
  // --- writing and syncing ---
  {
    name: 'M21 a blocking sync covers the newest segment only, not the groups on their way',
    file: SEGMENTS,
    edits: [
      [
        'for (const segment of this.#live.filter(isDirty)) {',
        'for (const segment of this.#live.slice(-1)) {',
      ],
    ],
    killer: logCrashes(20),
  },
  {
    name: 'M25 a segment is used again while its sync is under way',
    file: SUPPLY,
    edits: [['return ready && syncing === 0;', 'return ready;']],
    killer: segments(/whose sync is under way is not used again/),
  },
  {
    name: 'M34 the mark of a group says what is written, not what is durable',
    file: SEGMENTS,
    edits: [['payloadLength, lsn, this.#durable);', 'payloadLength, lsn, this.#commitEnd.lsn);']],
    killer: logCrashes(20),
  },
  {
    name: 'sync: the log is not synced, blocking',
    file: SEGMENTS,
    edits: [['try {\n        segment.file.syncSync();\n', 'try {\n']],
    killer: logCrashes(20),
  },
  {
    name: 'sync: the log is not synced, by promise',
    file: SEGMENTS,
    edits: [['await segment.file.sync();', '']],
    killer: logCrashes(20),
  },
  {
    name: 'sync: only the newest segment is synced by promise',
    file: SEGMENTS,
    edits: [['this.#live.filter(isDirty).map(', 'this.#live.slice(-1).map(']],
    killer: logCrashes(20),
  },
  {
    name: 'sync: what was written while a sync was under way counts as durable',
    file: SEGMENTS,
    edits: [['Math.max(this.#durable, goal)', 'Math.max(this.#durable, this.#commitEnd.lsn)']],
    killer: logCrashes(20),
  },
  {
    name: 'sync: a segment counts as synced with what was written while its sync was under way',
    file: SEGMENTS,
    edits: [['segment.synced = Math.max(segment.synced, writes);', 'segment.synced = segment.writes;']],
    killer: logCrashes(20),
  },
  {
    name: 'sync: the log goes on after a failed sync',
    file: 'src/wal/health.ts',
    edits: [['if (this.#failure !== undefined) throw this.#failure;', '']],
    killer: segmentsFailure(/after a failed sync nothing is durable/),
  },
  {
    name: 'sync: a new segment is used before its bytes are synced, by promise',
    file: SUPPLY,
    edits: [['await segment.file.sync();', '']],
    killer: lives(/: promises/),
  },
  {
    name: 'sync: a new segment is used before its name is synced, by promise',
    file: SUPPLY,
    edits: [['await this.#backend.syncDirectory();', '']],
    killer: lives(/: promises/),
  },
  {
    name: 'sync: a new segment is used before its bytes are synced, blocking',
    file: SUPPLY,
    edits: [['segment.file.syncSync();', '']],
    killer: logCrashes(20),
  },
  {
    name: 'sync: a new segment is used before its name is synced, blocking',
    file: SUPPLY,
    edits: [['directory = this.#backend.syncDirectory();', 'directory = undefined;']],
    killer: logCrashes(20),
  },
  {
    name: 'free space: a file counts as ready before it is filled',
    file: SUPPLY,
    edits: [['const length = Math.min(ZEROS.length, this.#size - at);', 'const length = SECTOR_SIZE;']],
    killer: logCrashes(20),
  },
  {
    name: 'release: segments behind the place to start from are given back as well',
    file: SEGMENTS,
    edits: [['index > 0 && segment.firstLsn <= lsn', 'index > 0 && segment.firstLsn >= 0']],
    killer: logCrashes(20),
  },
  {
    name: 'release: on a full disk the last segment is given back although groups in it are needed',
    file: SEGMENTS,
    edits: [['&& lsn === this.#end && this', '&& this']],
    killer: segmentsSpace(/on a full disk even the last segment/),
  },
  {
    name: 'local: a sync counts although its folder is gone',
    file: 'src/backend/local.ts',
    edits: [["if (existsSync(this.directory)) this.#mustBeTheSame('sync');", '']],
    killer: { file: 'engine/places.test.ts', test: /once the folder was/ },
  },
  {
    name: 'local: a sync counts although its file has no name',
    file: 'src/backend/local.ts',
    edits: [['if (fstatSync(descriptor).nlink > 0) return;', 'return;']],
    killer: { file: 'engine/places.test.ts', test: /once the folder was/ },
  },
  {
    name: 'close: what is gone is not missed when nothing is owed',
    file: 'src/engine/engine-core.ts',
    edits: [['else await this.store.pager.blocks.file.sync();', '']],
    killer: { file: 'engine/places.test.ts', test: /once the folder was/ },
  },
  {
    name: 'M43 a commit given up midway is not written over',
    file: SEGMENTS,
    edits: [['segment.file.write([EMPTY_SECTOR], this.#placeIn(segment) - segment.firstLsn);', '']],
    killer: logCrashes(100),
  },
  {
    name: 'a commit tried again has the fence of the one that was given up',
    file: SEGMENTS,
    edits: [['++this.#fence', 'this.#fence']],
    killer: segmentsFailure(/tried again, byte for byte/),
  },
  {
    name: 'a commit that something else than a write ends halfway stays in the log',
    file: COMMIT,
    edits: [['log?.takeBack(error);', '']],
    killer: largeCommits(/cannot be read/),
  },
  {
    name: 'a log takes back a commit that is whole',
    file: SEGMENTS,
    edits: [['if (this.#end !== this.#commitEnd.lsn) this.#takeBack(cause);', 'this.#takeBack(cause);']],
    killer: segmentsFailure(/nothing is taken back/),
  },
  {
    name: 'a segment begun by a commit given up keeps its older fence in memory',
    file: SEGMENTS,
    edits: [['if (segment.firstLsn === lsn) segment.begin({', 'if (Number.isNaN(lsn)) segment.begin({']],
    killer: segmentsFailure(/an audit after one was given up/),
  },
  {
    name: 'sync: what was written over a commit given up is not synced',
    file: SEGMENTS,
    edits: [['segment.file.syncSync();\n    } catch {', '} catch {']],
    killer: segmentsFailure(/wherever the write stops/),
  },
  {
    name: 'free space: after a commit given up the log goes on behind it',
    file: SEGMENTS,
    edits: [['this.#end = lsn;\n    this.#reserved', 'this.#reserved']],
    killer: logCrashes(20),
  },
  // --- what counts ---
  {
    name: 'M31 groups are not linked',
    file: RECORD,
    edits: [['return load<u64>(address, AT_LINK) == load<u64>(LINK);', 'return true;']],
    killer: logCrashes(50),
  },
  {
    name: 'M32 the beginning of an unfinished commit is not cut',
    file: CHAIN,
    edits: [['if (this.#content.open !== undefined) return;', '']],
    killer: logCrashes(20),
  },
  {
    name: 'M33 marks are not compared with the end of the log',
    file: SCAN,
    edits: [['if (mark.lsn > end.lsn) refuse(brokenBelow(mark, reader, segments));', '']],
    killer: scan(/a rotten byte below a mark/),
  },
  {
    name: "M33 the superblock's mark is not believed",
    file: SCAN,
    edits: [['lsn: start.mark, file: undefined', 'lsn: 0, file: undefined']],
    killer: scan(/a rotten byte below a mark/),
  },
  {
    name: 'M33 marks of groups outside the chain are not looked for',
    file: SCAN,
    edits: [['recordMark(mark, x.groupMark(address), segment, begin + at);', '']],
    killer: scan(/a mark outlives the payload/),
  },
  {
    name: 'M39 a group older than the header of its segment counts',
    file: CHAIN,
    edits: [['if (fence < header.fence) return undefined;', '']],
    killer: scanStale(/is a ghost/),
  },
  {
    name: 'M43 of two groups at one place the older wins',
    file: CHAIN,
    edits: [['candidate.fence > best.fence', 'candidate.fence < best.fence']],
    killer: scanStale(/the higher fence wins/),
  },
  {
    name: 'M43 of two groups of one life at one place the one given up may win',
    file: CHAIN,
    edits: [['candidate.fence === best.fence && offset === SEGMENT_HEADER_SIZE', 'false']],
    killer: scanStale(/the one its segment begins with wins/),
  },
  {
    name: "check: a group header's checksum",
    file: RECORD,
    edits: [
      [
        'if (load<u32>(address) != GROUP_MAGIC) return DAMAGE_MAGIC;\n  if (xxh64(address, AT_SUM as u32, 0) != load<u64>(address, AT_SUM)) return DAMAGE_CHECKSUM;',
        'if (load<u32>(address) != GROUP_MAGIC) return DAMAGE_MAGIC;',
      ],
    ],
    killer: scan(/a rotten byte below a mark/),
  },
  {
    name: "check: the checksum of a group's payload",
    file: CHAIN,
    edits: [['address === 0 || !x.groupPayloadHolds(address)', 'address === 0']],
    killer: scan(/torn after any byte/),
  },
  {
    name: "check: a group's store",
    file: RECORD,
    edits: [
      [
        'if (load<u64>(address, AT_STORE_ID) != load<u64>(STORE_ID)) return DAMAGE_IDENTITY;\n  if (load<u32>(address, AT_LENGTH)',
        'if (load<u32>(address, AT_LENGTH)',
      ],
    ],
    killer: scanTail(/another store's groups/),
  },
  {
    name: "check: a group's length",
    file: RECORD,
    edits: [['if (load<u32>(address, AT_LENGTH) > PAYLOAD_MAX) return DAMAGE_SIZE;', '']],
    killer: { file: 'wal/record.test.ts', test: /./ },
  },
  {
    name: "check: a segment header's checksum",
    file: RECORD,
    edits: [
      [
        'if (load<u32>(address) != SEGMENT_MAGIC) return DAMAGE_MAGIC;\n  if (xxh64(address, AT_SUM as u32, 0) != load<u64>(address, AT_SUM)) return DAMAGE_CHECKSUM;',
        'if (load<u32>(address) != SEGMENT_MAGIC) return DAMAGE_MAGIC;',
      ],
    ],
    killer: { file: 'wal/record.test.ts', test: /./ },
  },
  {
    name: "check: a segment's store",
    file: RECORD,
    edits: [
      [
        'if (load<u64>(address, AT_STORE_ID) != load<u64>(STORE_ID)) return DAMAGE_IDENTITY;\n  if (load<u32>(address, AT_VERSION)',
        'if (load<u32>(address, AT_VERSION)',
      ],
    ],
    killer: scanTail(/another store's file keeps its name/),
  },
  {
    name: 'check: records that no writer makes',
    file: CONTENT,
    edits: [['if (damage !== DAMAGE_NONE) return', 'if (false) return']],
    killer: scan(/no writer could have made/),
  },
  {
    name: 'check: a gap between sequences',
    file: CONTENT,
    edits: [['if (!again && first !== this.#sequence + 1) return', 'if (false) return']],
    killer: scanStale(/^sequences/),
  },
  {
    name: 'check: a commit that goes on in another',
    file: CONTENT,
    edits: [['if (first !== this.#open) return', 'if (false) return']],
    killer: scanStale(/^sequences/),
  },
  {
    name: 'check: a commit that begins inside another',
    file: CONTENT,
    edits: [['if (this.#open !== undefined) return `begins', 'if (false) return `begins']],
    killer: scanStale(/^sequences/),
  },
  {
    name: 'check: a file that is cut short where the log may go on',
    file: SCAN,
    edits: [['if (cut !== undefined) {', 'if (false) {']],
    killer: scan(/a file cut short/),
  },
  {
    name: 'check: files that are gone',
    file: SCAN,
    edits: [['if (found >= size) return undefined;', 'return;']],
    killer: scan(/a file that the superblock knows of/),
  },
  {
    name: 'check: a group that changes between scan and replay',
    file: SCAN,
    edits: [['if (!holds) throw changed(segment, offset);', '']],
    killer: scanTail(/changes between scan and replay/),
  },
  {
    name: 'check: fences of groups that do not count',
    file: SCAN,
    edits: [['fence = Math.max(fence, x.groupFence(address));', '']],
    killer: scanTail(/the highest fence is found/),
  },
  // --- what recovery writes again ---
  {
    name: 'M36 the tail of the log is not written again',
    file: SCAN,
    edits: [['again(segment, offset, length, (address) => this.#isGroup(address, sum));', '']],
    killer: logCrashes(50),
  },
  {
    name: 'M36 the header of the segment the tail lies in is not written again',
    file: SCAN,
    edits: [['again(segment, 0, SEGMENT_HEADER_SIZE, (address) => this.#isHeader(address, segment));', '']],
    killer: logCrashes(100),
  },
  {
    name: 'sync: the tail written again is not synced',
    file: SCAN,
    edits: [['for (const { file } of touched) await file.sync();', '']],
    killer: logCrashes(50),
  },
  {
    name: 'a log file that was never used is not filled anew',
    file: SUPPLY,
    edits: [['if (segment.size > before) file.truncate(before);', '']],
    killer: segmentsSpace(/making failed takes no group/),
  },
  {
    name: 'M36 where the log ends nothing is written over',
    file: SCAN,
    edits: [['segment.file.write([EMPTY_SECTOR], offset);', '']],
    killer: scanTail(/does not come back with a later/),
  },
  {
    name: 'tail: what is read a second time is not looked at before it is written',
    file: SCAN,
    edits: [['if (address === 0 || !isSame(address))', 'if (address === 0)']],
    killer: wrongAnswers(/no single read/),
  },
  {
    name: 'tail: an older group at the same place is written over the one that was accepted',
    file: SCAN,
    edits: [['return isSum(linkOf(this.#core), sum);', 'return true;']],
    killer: wrongAnswers(/an older group/),
  },
  {
    name: 'tail: where the log ends is looked at once',
    file: CHAIN,
    edits: [['this.#next() ?? this.#lookAgain()', 'this.#next()']],
    killer: wrongAnswers(/no single read/),
  },
];
