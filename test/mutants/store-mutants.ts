/* Mutants of checkpoint and recovery: what is written, synced and released in which order. */
import { checkpoint, faults, hollowSpace, lives, logFilesCrash, model } from './killers.ts';
import type { Mutant } from './mutant.ts';

const CHECKPOINT = 'src/maintenance/checkpoint.ts';
const CHUNKS = 'src/maintenance/chunks.ts';
const RECOVERY = 'src/maintenance/recovery.ts';
const DIRECTORY = 'src/store/directory.ts';

const SLOTS = `for (const slot of [1 - this.#slot, this.#slot]) {
        this.checkFence();
        writeSuperblock(pager.core, blocks.file, slot, superblock);
        yield 'sync';
      }`;
const RELEASE = `      const before = this.#durable;
      this.#durable = snapshot;
      pager.versions.setDurable(snapshot);
      pager.versions.release(snapshot);
      // Without a change in between both are the same epoch and the same node.
      if (before !== snapshot) pager.versions.releaseDurable(before);`;
export const storeMutants: readonly Mutant[] = [
  {
    name: 'M4 the durable checkpoint keeps no extents',
    file: CHECKPOINT,
    edits: [
      [
        RELEASE,
        `pager.versions.release(snapshot);
        if (this.#durable.durable) pager.versions.releaseDurable(this.#durable);`,
      ],
    ],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'M6 a checkpoint releases before its superblock is written',
    file: CHECKPOINT,
    edits: [
      [SLOTS, ''],
      [`      log?.release(lsn);\n`, `      log?.release(lsn);\n${SLOTS}\n`],
    ],
    killer: checkpoint(/whichever slot/),
  },
  {
    name: 'M6 a checkpoint releases before the first slot is synced',
    file: CHECKPOINT,
    edits: [
      [SLOTS, 'writeSuperblock(pager.core, blocks.file, 1 - this.#slot, superblock);'],
      [
        `      log?.release(lsn);\n`,
        `      log?.release(lsn);
        yield 'sync';
        writeSuperblock(pager.core, blocks.file, this.#slot, superblock);
        yield 'sync';\n`,
      ],
    ],
    killer: checkpoint(/whichever slot/),
  },
  {
    name: 'M6 a checkpoint releases when one slot is synced',
    file: CHECKPOINT,
    edits: [
      [SLOTS, SLOTS.replace('[1 - this.#slot, this.#slot]', '[1 - this.#slot]')],
      [
        `      log?.release(lsn);\n`,
        `      log?.release(lsn);
        writeSuperblock(pager.core, blocks.file, this.#slot, superblock);
        yield 'sync';\n`,
      ],
    ],
    killer: checkpoint(/whichever slot/),
  },
  {
    name: 'M6 a checkpoint writes one slot only',
    file: CHECKPOINT,
    edits: [['[1 - this.#slot, this.#slot]', '[1 - this.#slot]']],
    killer: checkpoint(/whichever slot/),
  },
  {
    name: 'M7 the superblock is written before the data is synced',
    file: CHECKPOINT,
    edits: [["unsure = true;\n      yield 'sync';", 'unsure = true;']],
    killer: checkpoint(/whichever slot/),
  },
  {
    name: 'sync: the first slot is not synced before the second is written',
    file: CHECKPOINT,
    edits: [
      [
        "slot, superblock);\n        yield 'sync';",
        "slot, superblock);\n        if (slot === this.#slot) yield 'sync';",
      ],
    ],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'sync: the second slot is not synced before extents are released',
    file: CHECKPOINT,
    edits: [
      [
        "slot, superblock);\n        yield 'sync';",
        "slot, superblock);\n        if (slot !== this.#slot) yield 'sync';",
      ],
    ],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'sync: the syncs of a checkpoint by promise are left out',
    file: CHECKPOINT,
    edits: [["if (step.value === 'sync') await this.#file.sync();\n        else await", 'await']],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'sync: the syncs of a blocking checkpoint are left out',
    file: CHECKPOINT,
    edits: [["if (step.value === 'sync') this.#file.syncSync();\n      }", '}']],
    killer: lives(/: blocking/, 1, 3),
  },
  {
    name: 'sync: a blocking checkpoint takes over one by promise and leaves out the sync that was under way',
    file: CHECKPOINT,
    edits: [["if (run.waiting === 'sync') this.#file.syncSync();", '']],
    killer: lives(/: blocking/, 1, 3),
  },
  {
    name: 'M16 the log is replayed from its end, not from the first commit that was not applied',
    file: 'src/txn/commit.ts',
    edits: [
      [
        'return this.#queue.first?.written && this.#position ? this.#position : log.position;',
        'return log.position;',
      ],
    ],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'M17 the directory of a checkpoint is made of live entries',
    file: CHUNKS,
    edits: [['const old = versions.find(page, epoch);', 'const old = undefined;']],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'M10 pages that came after the snapshot are in its directory',
    file: CHUNKS,
    edits: [
      [
        'return directory.from(page) <= epoch ? directory.place(page) : NOWHERE;',
        'return directory.place(page);',
      ],
    ],
    killer: model('power cuts', 2),
  },
  {
    name: 'M18 the set of changed chunks is cleared when a checkpoint ends',
    file: DIRECTORY,
    edits: [
      [
        'this.#taken = this.#changed;\n    this.#changed = new Set();',
        'this.#taken = new Set(this.#changed);',
      ],
      ['if (failed && this.#taken)', 'if (!failed) this.#changed.clear();\n    if (failed && this.#taken)'],
    ],
    killer: model('power cuts', 2),
  },
  {
    name: 'M19 a checkpoint that failed forgets what had changed',
    file: DIRECTORY,
    edits: [['if (failed && this.#taken) for (const chunk of this.#taken) this.#changed.add(chunk);', '']],
    killer: checkpoint(/one that failed has written/),
  },
  {
    name: 'checkpoint: it does not learn of places that old versions get meanwhile',
    file: DIRECTORY,
    edits: [
      ['this.#taken?.add(Math.floor(page / this.fanout));', ''],
      ['this.#taken?.add(index);', ''],
    ],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'checkpoint: chunks of the directory are written over before both slots are durable',
    file: CHECKPOINT,
    edits: [
      ['      for (const place of retired) blocks.extents.free(place.start, place.sectors);\n', ''],
      [
        "unsure = true;\n      yield 'sync';",
        "unsure = true;\n      for (const place of retired) blocks.extents.free(place.start, place.sectors);\n      yield 'sync';",
      ],
    ],
    killer: checkpoint(/whichever slot/),
  },
  {
    name: 'checkpoint: the log is released before both slots are durable',
    file: CHECKPOINT,
    edits: [
      ['      log?.release(lsn);\n', ''],
      [
        "unsure = true;\n      yield 'sync';",
        "unsure = true;\n      log?.release(lsn);\n      yield 'sync';",
      ],
    ],
    killer: lives(/: long logs/, 2),
  },
  {
    name: 'checkpoint: it claims commits that were applied after its snapshot',
    file: CHECKPOINT,
    edits: [['        ...descriptor,\n', '        ...descriptor,\n        sequence: pipeline.applied,\n']],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'M34 the mark of a superblock says what is written, not what is durable',
    file: CHECKPOINT,
    edits: [['mark: log ? log.durable : lsn,', 'mark: log ? log.end : lsn,']],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'checkpoint: a failed sync of it is no failure of the store',
    file: CHECKPOINT,
    edits: [['unsure = true;', '']],
    killer: faults(/a checkpoint whose sync fails/),
  },
  {
    name: 'M37 the slots are not written again when a store is opened',
    file: RECOVERY,
    edits: [
      [
        'current = await renewSlots(parts.core, data, found, fence, scan?.usedSize);',
        'current = { ...superblock, fence };',
      ],
    ],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'space that no checkpoint names is filled on when a store is opened',
    file: RECOVERY,
    edits: [['parts.pager.blocks.cutTail();', '']],
    killer: hollowSpace(/sync of data/),
  },
  {
    name: 'log files that are to be filled anew are missed when they are empty',
    file: RECOVERY,
    edits: [['Math.min(logSize, found.superblock.logSize)', 'found.superblock.logSize']],
    killer: hollowSpace(/is not missed/),
  },
  {
    name: 'M38 the other slot is written first when a store is opened',
    file: RECOVERY,
    edits: [['[found.slot, found.superblock],', '[1 - found.slot, found.superblock],']],
    killer: lives(/: short lives/, 4),
  },
  {
    name: 'M38 of two slots alike the one written first is written first again',
    file: 'src/maintenance/find-store.ts',
    edits: [['return one.fence > other.fence;', 'return false;']],
    // Few seeds see it: a sync must fail between the two slots, and the one written first be torn.
    killer: lives(/: short lives/, 4, 6),
  },
  {
    name: 'sync: the slots that are written again are not synced',
    file: RECOVERY,
    edits: [['slot, superblock);\n    await file.sync();', 'slot, superblock);']],
    killer: lives(/: promises/),
  },
  {
    name: 'sync: a new store is not synced before its file grows',
    file: 'src/maintenance/creation.ts',
    edits: [
      [
        'writeSuperblock(core, file, LAST_SLOT, { ...superblock, generation: 0 });\n  await file.sync();',
        'writeSuperblock(core, file, LAST_SLOT, { ...superblock, generation: 0 });',
      ],
    ],
    killer: lives(/: short lives/, 4),
  },
  {
    name: "sync: a new store's name is not synced",
    file: 'src/maintenance/creation.ts',
    edits: [['await backend.syncDirectory();', '']],
    killer: lives(/: (promises|no log)/),
  },
  {
    name: 'opening: the older superblock is taken',
    file: 'src/maintenance/find-store.ts',
    edits: [['return one.generation > other.generation;', 'return one.generation < other.generation;']],
    killer: lives(/: short lives/, 4),
  },
  {
    name: 'opening: the files of a log that is off are removed before a checkpoint holds them',
    file: 'src/engine/engine-core.ts',
    edits: [['if (created || staleLog.length > 0) await', 'if (created) await']],
    killer: logFilesCrash(/that is turned off/),
  },
];
