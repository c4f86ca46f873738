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
];
