/* Mutants of what lies between the store and the program's runtime: callbacks, clocks, turns, permissions. */
import type { Killer, Mutant } from './mutant.ts';

const HOST = 'src/backend/host.ts';
const PROGRESS = 'src/upkeep/progress.ts';

function progress(test: RegExp): Killer {
  return { file: 'engine/progress.test.ts', test };
}

function fakeClocks(test: RegExp): Killer {
  return { file: 'engine/fake-clocks.test.ts', test };
}

export const runtimeMutants: readonly Mutant[] = [
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
    edits: [['    // Whatever it was: nobody would ever give this lock back.\n    free();', '']],
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
