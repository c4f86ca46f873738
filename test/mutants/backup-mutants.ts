/* Mutants of what reads a whole store beside its writers: the backup, and the audit of the log. */
import type { Killer, Mutant } from './mutant.ts';

const BACKUP = 'src/maintenance/backup.ts';
const WHOLE = 'src/engine/whole-store.ts';
const AUDIT = 'src/wal/audit.ts';

const load: Killer = { file: 'maintenance/backup.test.ts', test: /under full write load/ };
const target = (test: RegExp): Killer => ({ file: 'maintenance/backup-target.test.ts', test });
const crash = (test: RegExp): Killer => ({ file: 'maintenance/backup-crash.test.ts', test });
const log = (test: RegExp): Killer => ({ file: 'maintenance/verify-log.test.ts', test });
const liveLog = (test: RegExp): Killer => ({ file: 'maintenance/verify-live-log.test.ts', test });

export const backupMutants: readonly Mutant[] = [
  {
    name: 'backup: the superblock is written before the pages of the copy are synced',
    file: BACKUP,
    edits: [['await this.#aimed(() => this.#file.sync());\n    for', 'for']],
    killer: crash(/power cut at every moment/),
  },
  {
    name: 'backup: one slot of the copy is never written',
    file: BACKUP,
    edits: [['for (const slot of [1 - LAST_SLOT, LAST_SLOT])', 'for (const slot of [LAST_SLOT])']],
    killer: load,
  },
  {
    name: 'backup: a block is copied without a look at its checksum',
    file: 'src/store/blocks.ts',
    edits: [
      [
        'if (x.blockVerify(STAGING_AREA, available, BLOCK_PAGE, page, 0, sumLow, sumHigh) !== OK) {',
        'if (sumLow === sumHigh && x.blockVerify(0, 0, 0, 0, 0, 0, 0) === OK) {',
      ],
    ],
    killer: target(/damage in any page of the source/),
  },
  {
    name: 'backup: its snapshot is not held while pages are copied',
    file: WHOLE,
    edits: [
      [
        'take: () => handles.take(),',
        `take: () => {
      const handle = handles.take();
      handle.close();
      return handle;
    },`,
      ],
    ],
    killer: load,
  },
  {
    name: 'backup: pages are copied as they are now, not as the snapshot sees them',
    file: BACKUP,
    edits: [['visibleVersion(pager, page, epoch)', 'visibleVersion(pager, page, 2 ** 52)']],
    killer: load,
  },
  {
    name: 'backup: it claims commits that came after its snapshot',
    file: BACKUP,
    edits: [
      ['      ...descriptor,\n', '      ...descriptor,\n      sequence: this.#parts.pipeline.applied,\n'],
    ],
    killer: load,
  },
  {
    name: 'backup: what failed stays where it is',
    file: BACKUP,
    edits: [
      ['      await takeBackCreation(this.#file, this.#finishing ? this.#unfinished : undefined);\n', ''],
    ],
    killer: target(/a target without space/),
  },
  {
    name: 'backup: a copy that is taken back loses its pages before its superblock',
    file: 'src/maintenance/creation.ts',
    edits: [
      [
        '    if (unfinished) {',
        '    file.truncate(SECTOR_SIZE);\n    await file.sync();\n    if (unfinished) {',
      ],
    ],
    killer: crash(/an I.O error at every call/),
  },
  {
    name: 'backup: the copy is not looked at',
    file: BACKUP,
    edits: [['if (report.ok && report.pages === pages) return report;', 'return report;']],
    killer: target(/damage that only its meaning/),
  },
  {
    name: 'backup: a store at the target is written over',
    file: BACKUP,
    edits: [
      ['if (findStore(file, names, targetConfig)) {', 'if (findStore(file, names, targetConfig) === null) {'],
    ],
    killer: target(/a place with a store/),
  },
  {
    name: 'verify: the log is not read',
    file: 'src/maintenance/verify.ts',
    edits: [['if (!log) return;', 'return;']],
    killer: log(/in a live log/),
  },
  {
    name: 'audit: the log is read beyond what is durable',
    file: AUDIT,
    edits: [['new Walk(log, start(), log.durable(), found)', 'new Walk(log, start(), 2 ** 52, found)']],
    killer: liveLog(/beyond the durable end/),
  },
  {
    name: 'audit: a checkpoint that ends meanwhile does not move it',
    file: AUDIT,
    edits: [['if (start.lsn > this.#lsn) {', 'if (start.lsn < 0) {']],
    killer: liveLog(/finds nothing while commits/),
  },
  {
    name: "audit: the writers' link is lost",
    file: AUDIT,
    edits: [['core.x.groupLinkSet(...writers);', '']],
    killer: liveLog(/finds nothing while commits/),
  },
  {
    name: 'audit: that a long value goes on is forgotten between two pieces of work',
    file: AUDIT,
    edits: [['core.x.groupOpenSet(this.#open);', '']],
    killer: liveLog(/a commit of many groups/),
  },
];
