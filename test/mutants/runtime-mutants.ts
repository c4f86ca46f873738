/* Mutants of what lies between the store and the program's runtime: callbacks, clocks, turns, permissions. */
import type { Killer, Mutant } from './mutant.ts';

const HOST = 'src/backend/host.ts';
const PROGRESS = 'src/maintenance/progress.ts';

function progress(test: RegExp): Killer {
  return { file: 'engine/progress.test.ts', test };
}

function fakeClocks(test: RegExp): Killer {
  return { file: 'engine/fake-clocks.test.ts', test };
}

function reEntry(test: RegExp): Killer {
  return { file: 'engine/re-entry.test.ts', test };
}

function areas(test: RegExp): Killer {
  return { file: 'core/areas.test.ts', test };
}

function growth(test: RegExp): Killer {
  return { file: 'core/growth.test.ts', test };
}

export const runtimeMutants: readonly Mutant[] = [
  {
    name: 'pool: it evicts instead of growing',
    file: 'src/store/pager.ts',
    edits: [['while (x.freeCount() < wanted && this.core.grow());', '']],
    killer: growth(/evicts nothing/),
  },
  {
    name: 'pool: it takes in one frame more than the memory holds',
    file: 'assembly/memory/memory.ts',
    edits: [
      [
        '(((end - begin) >> (pageShift as u64)) as u32);',
        '(((end - begin) >> (pageShift as u64)) as u32) + 1;',
      ],
    ],
    killer: growth(/no further than the memory/),
  },
  {
    name: 'pool: a machine that refuses memory ends the store',
    file: 'src/core/wasm.ts',
    edits: [['      this.framesMax = this.frames;\n      return false;', '      throw new RangeError();']],
    killer: growth(/refuses memory/),
  },
  {
    name: 'pool: all of it is made at once',
    file: 'src/core/wasm.ts',
    edits: [['const first = Math.min(frames, FIRST_FRAMES);', 'const first = frames;']],
    killer: growth(/costs the memory/),
  },
  {
    name: 'areas: whoever waits for a page claims nothing',
    file: 'src/store/pager.ts',
    edits: [['claimingAreas(this.core, AREAS_OF_CALL,', 'claimingAreas(this.core, 0,']],
    killer: areas(/whatever page/),
  },
  {
    name: 'areas: a walk does not claim what it walks over',
    file: 'src/store/private-tree.ts',
    edits: [['claimingAreas(this.#trees.pager.core, AREA_OUT,', 'claimingAreas(this.#trees.pager.core, 0,']],
    killer: areas(/visitor reads/),
  },
  {
    name: 'areas: what is claimed is not released when the work fails',
    file: 'src/core/wasm.ts',
    edits: [
      [
        '  try {\n    return work();\n  } finally {\n    x.areasRelease(claimed);\n  }',
        '  const answer = work();\n  x.areasRelease(claimed);\n  return answer;',
      ],
    ],
    killer: areas(/claimed already/),
  },
  {
    name: 're-entry: a store answers from the middle of its own work',
    file: 'src/backend/outside.ts',
    edits: [['if (this.#isRunning) {', 'if (this.#isRunning && false) {']],
    killer: reEntry(/a backend that calls/),
  },
  {
    name: 're-entry: only the backend is watched, not its files',
    file: 'src/backend/outside.ts',
    edits: [[': this.watched(file);', ': file;']],
    killer: reEntry(/a backend that calls/),
  },
  {
    name: 're-entry: codecs that were given are not watched',
    file: 'src/engine/open.ts',
    edits: [['lz4: lz4 && outside.watched(lz4)', 'lz4']],
    killer: reEntry(/codec of .?lz4.? that calls/),
  },
  {
    name: 're-entry: a snapshot ends in the middle of the work',
    file: 'src/txn/snapshot-handle.ts',
    edits: [['    this.#owner.check();\n', '']],
    killer: reEntry(/a backend that calls/),
  },
  {
    name: 're-entry: the copy of a store goes to a backend that nobody watches',
    file: 'src/engine/whole-store.ts',
    edits: [['engineCore.outside.backend(place)', 'place']],
    killer: reEntry(/a copy goes to/),
  },
  {
    name: 're-entry: one way out for all stores',
    file: 'src/engine/open.ts',
    edits: [
      ['  const outside = new Outside();\n', ''],
      ['/** Opens a store;', 'const outside = new Outside();\n\n/** Opens a store;'],
    ],
    killer: reEntry(/in another store/),
  },
  {
    name: 're-entry: keys are looked up in their list between two groups',
    file: 'src/store/trees.ts',
    edits: [['return Array.prototype.slice.call(keys) as Bytes[];', 'return keys;']],
    killer: reEntry(/keys that a list/),
  },
  {
    name: 'codecs: one from outside is given the memory of the store',
    file: 'src/codec/store-codecs.ts',
    edits: [['apart(codec)', 'codec']],
    killer: reEntry(/all memory it can reach/),
  },
  {
    name: 'codecs: memory that was transferred away is given again',
    file: 'src/codec/codec.ts',
    edits: [['if (sources.length < source.length)', 'if (sources.length === 0 && source.length > 4096)']],
    killer: reEntry(/transfers it away/),
  },
  {
    name: 'progress: what a callback throws is passed on',
    file: PROGRESS,
    edits: [["    // The program's own affair.", "    throw new Error('the program failed');"]],
    killer: progress(/that throws/),
  },
  {
    name: 'progress: a callback is called inside the step that has something to tell',
    file: PROGRESS,
    edits: [
      ['      afterThis(() => {', '      void (() => {'],
      ['      });\n    }\n    untold', '      })();\n    }\n    untold'],
    ],
    killer: progress(/told when the call/),
  },
  {
    name: 'clocks: the timers of the moment are taken, not those of the start',
    file: HOST,
    edits: [
      [
        'return new Promise((resolve) => void setTimeout(',
        'return new Promise((resolve) => void globalThis.setTimeout(',
      ],
    ],
    killer: fakeClocks(/in memory,/),
  },
  {
    name: 'clocks: the microtasks of the moment are taken, not those of the start',
    file: HOST,
    edits: [['  queueMicrotask(run);', '  globalThis.queueMicrotask(run);']],
    killer: fakeClocks(/in memory,/),
  },
  {
    name: 'turns: work goes on in the same turn for ever',
    file: 'src/backend/breath.ts',
    edits: [
      ['if (since !== undefined) return now - since > SPELL;', 'if (since !== undefined) return false;'],
    ],
    killer: { file: 'engine/turns.test.ts', test: /lets timers run: put$/ },
  },
  {
    name: 'lock: what goes wrong once it is held keeps it',
    file: 'src/backend/lock.ts',
    edits: [['    // Whatever failed: release the lock, since nobody else would.\n    free();', '']],
    killer: { file: 'backend/local.test.ts', test: /gives it back/ },
  },
  {
    name: 'errors: the number that a system error ends with is not read',
    file: 'src/backend/errno.ts',
    edits: [['exec(String(message)) ?? []', "exec('') ?? []"]],
    killer: { file: 'backend/errno.test.ts', test: /at the end/ },
  },
  {
    name: 'turns: a scan that is awaited goes on in the turn that it began in',
    file: 'src/txn/scan.ts',
    edits: [['        await this.#source.rest();\n', '']],
    killer: { file: 'engine/turns.test.ts', test: /records of a scan of an engine/ },
  },
];
