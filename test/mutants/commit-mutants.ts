/* Mutants of commits and versions: what is applied, seen and answered when, and which transactions may commit. */
import { checkpoint, conflicts, directedDamage, groupCommit, model } from './killers.ts';
import type { Mutant } from './mutant.ts';

const COMMIT = 'src/txn/commit.ts';
const ADMISSION = 'src/txn/admission.ts';
const TRANSACTION = 'src/txn/transaction.ts';
const SPACE = 'src/txn/transaction-space.ts';
const VERSIONS = 'src/store/versions.ts';
const PAGER = 'src/store/pager.ts';
const CORE_VERSIONS = 'assembly/pool/versions.ts';

const AFTER_SYNC = `        this.#syncing = false;
        this.#settle();
`;

export const commitMutants: readonly Mutant[] = [
  // --- versions ---
  {
    name: 'M1 bytes are changed in place although a snapshot sees them',
    file: CORE_VERSIONS,
    edits: [['if (dirty && from > reader) return;', 'if (dirty) return;']],
    killer: model('few keys'),
  },
  {
    name: 'M2 a page of the epoch of the newest snapshot is changed in place',
    file: CORE_VERSIONS,
    edits: [['if (dirty && from > reader) return;', 'if (dirty && from >= reader) return;']],
    killer: model('few keys'),
  },
  {
    name: 'M3 the last bytes of a page that is freed are not set aside',
    file: CORE_VERSIONS,
    edits: [['if (dirty && from <= readerEpoch(number)) {', 'if (dirty && from < 0) {']],
    killer: model('smallest pool'),
  },
  {
    name: "M5 the extent of a page that changes is free at once, although the durable checkpoint's",
    file: VERSIONS,
    edits: [
      [
        'if (!node || from >= to || node.epoch < from) {',
        'if (!node || from >= to || node.epoch < from || !this.#hasReader) {',
      ],
    ],
    killer: model('power cuts'),
  },
  {
    name: 'M8 a version dies with the newest snapshot that sees it',
    file: VERSIONS,
    edits: [['while (heap && (!older || heap.from > older.epoch)) {', 'while (heap) {']],
    killer: model('few keys'),
  },
  {
    name: 'M9 versions are collected in the order of their age',
    file: VERSIONS,
    edits: [['while (heap && (!older || heap.from > older.epoch)) {', 'while (heap && !older) {']],
    killer: { file: 'engine/old-reader.test.ts', test: /./ },
  },
  {
    name: 'M12 a frame counts as clean before its block is written',
    file: 'src/store/blocks.ts',
    edits: [
      [
        '      this.#writeStaged(pending.map((item) => item.place));\n      for (const { frame, place } of pending) written(frame, place);',
        '      for (const { frame, place } of pending) written(frame, place);\n      this.#writeStaged(pending.map((item) => item.place));',
      ],
    ],
    killer: checkpoint(/one that failed has written/),
  },
  {
    name: 'versions: an old reader is given the newest place of a page',
    file: PAGER,
    edits: [
      [
        'const old = epoch === LATEST ? undefined : this.#versionsOf(page).find(page, epoch);',
        'const old = undefined;',
      ],
    ],
    killer: model('smallest pool'),
  },
  {
    name: 'versions: the core does not learn of a new reader',
    file: VERSIONS,
    edits: [['++node.readers;\n    this.#publish();', '++node.readers;']],
    killer: model('few keys'),
  },
  // --- commits ---
  {
    name: 'M20 a commit is logged without space to apply it',
    file: ADMISSION,
    edits: [['this.#ensure(size, tracked);', '']],
    killer: { file: 'engine/full-disk.test.ts', test: /./ },
  },
  {
    name: 'M20 a large commit is logged without space to apply it',
    file: ADMISSION,
    edits: [['this.#ensure(load, tracked);', '']],
    killer: { file: 'txn/private-space.test.ts', test: /a large commit into/ },
  },
  {
    name: 'M22 a group that a blocking commit has applied is applied again when its sync ends',
    file: COMMIT,
    edits: [
      [
        '    this.#syncing = true;\n',
        '    this.#syncing = true;\n    const due = [...this.#queue].filter((commit) => commit.written);\n',
      ],
      [
        AFTER_SYNC,
        `${AFTER_SYNC}        for (const commit of due) recordsOf(commit, this.maxPayload, (from, end) => void this.#parts.applier.apply(from, end));\n`,
      ],
    ],
    killer: model('few keys'),
  },
  {
    name: 'M23 a relaxed commit overtakes a durable one before it',
    file: COMMIT,
    edits: [
      [
        'if (this.#queue.awaitsSync) {\n        this.#startSync();',
        `if (this.#queue.awaitsSync) {
          for (const commit of this.#queue) {
            if (commit.sync) continue;
            recordsOf(commit, this.maxPayload, (from, end) => void this.#parts.applier.apply(from, end));
          }
          this.#startSync();`,
      ],
    ],
    killer: groupCommit(/a relaxed commit behind a durable one/),
  },
  {
    name: 'M41 commits are answered before the log is synced',
    file: ADMISSION,
    edits: [['sync: how.sync && log !== undefined,', 'sync: false,']],
    killer: model('power cuts'),
  },
  {
    name: 'commit: it is visible before the log is synced',
    file: COMMIT,
    edits: [
      [
        'if (this.#queue.awaitsSync) {\n        this.#startSync();',
        `if (this.#queue.awaitsSync) {
          for (const commit of this.#queue) {
            recordsOf(commit, this.maxPayload, (from, end) => void this.#parts.applier.apply(from, end));
          }
          this.#startSync();`,
      ],
    ],
    killer: groupCommit(/64 callers/),
  },
  {
    name: 'commit: when the sync fails those that wait are told that all is well',
    file: COMMIT,
    edits: [['commit.done(commit.written ? unknown : this.#failure)', 'commit.done(undefined)']],
    killer: groupCommit(/when a sync fails/),
  },
  {
    name: 'commit: the sequences of a group that could not be written are not given back',
    file: COMMIT,
    edits: [['this.#sequence -= refused.length;', '']],
    killer: { file: 'engine/refused-commits.test.ts', test: /a small one/ },
  },
  {
    name: 'commit: a large one that could not be written keeps its sequence',
    file: COMMIT,
    edits: [['--this.#sequence;', '']],
    killer: { file: 'engine/refused-commits.test.ts', test: /one of several/ },
  },
  {
    name: 'sync: relaxed commits are not synced within the interval',
    file: 'src/txn/asynchronous-commits.ts',
    edits: [
      ['if (log) this.#cancelTimer ??= host.later(flushInterval, () => void this.#sync(log));', 'void host;'],
    ],
    killer: { file: 'engine/refused-commits.test.ts', test: /a relaxed one/ },
  },
  {
    name: 'commit: its leaves are not read before it is logged',
    file: ADMISSION,
    edits: [['if (!trees.pager.allResident) applier.touch(from, to);', '']],
    killer: directedDamage(/beside a page that cannot be read/),
  },
  // --- validation ---
  {
    name: 'M42 the first committer does not win',
    file: TRANSACTION,
    edits: [
      [
        'if (!conflicts.keyChanged(tree, key, keyLength, timestamp)) return true;',
        'if (keyLength >= 0) return true;',
      ],
    ],
    killer: conflicts(/begins|validated/),
  },
  {
    name: 'M26 commits that are queued are not validated against',
    file: ADMISSION,
    edits: [
      [
        'if (tracked) this.#trackNext((track) => track(from, to));\n    const commit = this.#commit(buffer, how, { from, to, load: size, done, tracked, writes: undefined });',
        `const commit = this.#commit(buffer, how, { from, to, load: size, writes: undefined, tracked: true, done: (error) => {
          if (tracked) this.#track(commit);
          done(error);
        } });`,
      ],
    ],
    killer: conflicts(/what is queued is validated/),
  },
  {
    name: 'M27 whether a commit is noted is decided when it is queued',
    file: ADMISSION,
    edits: [
      ['for (const commit of this.#parts.pipeline.queue) if (!commit.tracked) this.#track(commit);', ''],
    ],
    killer: conflicts(/when a transaction begins/),
  },
  {
    name: 'M27 notes are dropped while a queued commit may still need them',
    file: 'src/txn/conflicts.ts',
    edits: [['let oldest = this.#applied() + this.#takenBack;', 'let oldest = Number.POSITIVE_INFINITY;']],
    killer: conflicts(/a note outlives/),
  },
  {
    name: 'M28 ranges that were read are not validated',
    file: 'src/txn/read-set.ts',
    edits: [
      ['return this.#ranges.some((range) => conflicts.rangeChanged(range, timestamp));', 'return false;'],
    ],
    killer: conflicts(/notes a scan/),
  },
  {
    name: 'M28 a counted range is not noted',
    file: SPACE,
    edits: [['if (id !== NO_TREE) holdings.reads?.addRange(id, range.lower, range.upper);', '']],
    killer: conflicts(/notes a count/),
  },
  {
    name: 'M28 a scanned range is noted as far as its first records only',
    file: SPACE,
    edits: [['read ??= reads.addRange', 'if (read) return;\n      read = reads.addRange']],
    killer: conflicts(/a long scan/),
  },
  {
    name: 'M29 keys that were not there are not noted',
    file: SPACE,
    edits: [
      [
        '    this.#readKey(key);\n    return value as OwnBytes | undefined;',
        '    if (value) this.#readKey(key);\n    return value as OwnBytes | undefined;',
      ],
    ],
    killer: conflicts(/notes a key that is not there/),
  },
  {
    name: 'M29 keys that were only asked for are not noted',
    file: SPACE,
    edits: [['    this.#readKey(key);\n    return found === true;', '    return found === true;']],
    killer: conflicts(/notes whether/),
  },
  {
    name: 'validation: a key of the notes is compared with the wrong sequence',
    file: 'assembly/tree/operations.ts',
    edits: [
      [
        'load<f64>(load<u32>(VALUE_ADDRESS)) > sequence;',
        'load<f64>(load<u32>(VALUE_ADDRESS)) > sequence + 1;',
      ],
    ],
    killer: conflicts(/validated|begins/),
  },
];
