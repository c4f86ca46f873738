/* Mutants of giving log files back: what goes when, what stays, and what an opening reads of it. */
import { givingBack, logFiles, logFilesCrash, segmentsSpace, wrongAnswers } from './killers.ts';
import type { Mutant } from './mutant.ts';

const SEGMENTS = 'src/wal/segments.ts';
const SUPPLY = 'src/wal/segment-recycler.ts';
const SCAN = 'src/wal/scan.ts';
const CHECKPOINT = 'src/maintenance/checkpoint.ts';
const MACHINE = 'src/engine/engine-core.ts';

export const logFileMutants: readonly Mutant[] = [
  {
    name: 'give back: the superblock goes on saying what the log had',
    file: CHECKPOINT,
    edits: [
      ['logSize: log?.plan(lsn) ?? 0,', 'logSize: Math.max(log?.plan(lsn) ?? 0, this.#superblock.logSize),'],
    ],
    killer: logFiles(/close leaves no file/),
  },
  {
    name: 'give back: files go before the superblock that says so is synced',
    file: CHECKPOINT,
    edits: [['slot, superblock);\n', 'slot, superblock);\n        log?.release(lsn);\n']],
    killer: logFilesCrash(/a power cut at any call/),
  },
  {
    name: 'give back: nothing goes after a burst',
    file: SUPPLY,
    edits: [
      [
        'this.#free.push(segment);\n      else this.#drop(segment);',
        'this.#free.push(segment);\n      else this.#free.push(segment);',
      ],
    ],
    killer: givingBack(/a burst is given back/),
  },
  {
    name: 'give back: as many files stay as a burst took',
    file: SEGMENTS,
    edits: [['if (this.#begun <= SPARE_MAX) this.#spare', 'this.#spare']],
    killer: givingBack(/a burst is given back/),
  },
  {
    name: 'give back: fewer bytes stay than the superblock says',
    file: SUPPLY,
    edits: [['wanted > 0 || left > 0 ||', 'wanted > 0 ||']],
    killer: givingBack(/of several sizes/),
  },
  {
    name: 'give back: a file goes that a sync holds',
    file: SUPPLY,
    edits: [[' || segment.syncing > 0)', ')']],
    killer: givingBack(/is kept while a sync/),
  },
  {
    name: 'give back: what was reserved for a commit goes',
    file: SEGMENTS,
    edits: [['Math.max(this.#spare, this.#reserved)', 'this.#spare']],
    killer: segmentsSpace(/however it is grouped/),
  },
  {
    name: 'give back: on a full disk the last segment goes while a sync holds it',
    file: SEGMENTS,
    edits: [['&& syncing === 0);', ');']],
    killer: segmentsSpace(/the last segment is kept while a sync/),
  },
  {
    name: 'give back: a file that was made longer and not synced counts as filled',
    file: SUPPLY,
    edits: [['const { file, limit: before } = segment;', 'const { file, size: before } = segment;']],
    killer: givingBack(/filled beyond what was used/),
  },
  {
    name: 'give back: another writer may have the fence of files that are gone',
    file: 'src/maintenance/recovery.ts',
    edits: [['+ FENCE_STEP + random', '+ 1 + random']],
    killer: logFilesCrash(/fence is above all/),
  },
  {
    name: 'give back: a log goes on when its fences are used up',
    file: SEGMENTS,
    edits: [
      ['if (this.#fence === this.#fenceEnd) this.#health.fail(', 'if (this.#end < 0) this.#health.fail('],
    ],
    killer: wrongAnswers(/no fence left/),
  },
  {
    name: 'opening: segments below the checkpoint are read whole',
    file: SCAN,
    edits: [['[Math.max(0, start - firstLsn), limit]', '[0, limit]']],
    killer: givingBack(/one sector is read/),
  },
  {
    name: 'opening: files that were never used are read whole',
    file: SUPPLY,
    edits: [['at === 0 ? [BLANK_SECTOR] : []', 'at < 0 ? [BLANK_SECTOR] : []']],
    killer: givingBack(/one sector is read/),
  },
  {
    name: 'opening: a segment whose header is gone is not read',
    file: SCAN,
    edits: [['if (segment.blank) continue;', 'if (segment.header === undefined) continue;']],
    killer: givingBack(/behind a header that is gone/),
  },
  {
    name: 'close: the log keeps its files',
    file: MACHINE,
    edits: [['await this.store.log?.retire();', '']],
    killer: logFiles(/close leaves no file/),
  },
  {
    name: 'close: no checkpoint is made for the sake of the log’s files alone',
    file: MACHINE,
    edits: [['isBehind || hasFiles ||', 'isBehind ||']],
    killer: logFiles(/close leaves no file/),
  },
  {
    name: 'close: the lock is given back before the log’s files are gone',
    file: MACHINE,
    edits: [['await this.store.log?.close();', 'void this.store.log?.close();']],
    killer: logFiles(/where that takes time/),
  },
  {
    name: 'close: a commit that came late is left to itself',
    file: MACHINE,
    edits: [
      [
        '// Once more: a transaction may have been committed in between.\n    await this.pipeline.drained();',
        '',
      ],
    ],
    killer: { file: 'defects/after-failure.test.ts', test: /comes while a store is closed/ },
  },
  {
    name: 'log files: a new one has the number behind the highest there is',
    file: 'src/wal/segment-recycler.ts',
    edits: [
      ['this.#taken.add(segment.number);', 'this.#lastNumber = Math.max(this.#lastNumber, segment.number);'],
    ],
    killer: logFiles(/odd names/),
  },
  {
    name: "log files: with the log off another store's go as well",
    file: 'src/maintenance/recovery.ts',
    edits: [['(foreign ? [] : [name])', '(foreign ? [name] : [name])']],
    killer: logFiles(/odd names/),
  },
];
