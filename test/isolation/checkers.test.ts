/* The checkers on histories with known answers: written by hand, and small ones on which every order can be tried. */
import { expect, test } from 'vitest';
import type { Epoch, History, Level, Operation, Recorded, Violation } from './history.ts';
import { checkWhiteBox } from './white-box.ts';

// --- numbers --------------------------------------------------------------------------------------------------------

const read = (key: string, value?: string): Operation => ({ kind: 'read', key, value });
const write = (key: string, value?: string): Operation => ({ kind: 'write', key, value });

let tick = 0;

function transaction(operations: Operation[], given: Partial<Recorded> = {}): Recorded {
  const began = ++tick;
  const called = ++tick;
  const answered = ++tick;
  return {
    id: began,
    kind: 'transaction',
    level: 'serializable',
    operations,
    began,
    snapshot: undefined,
    called,
    answered,
    outcome: 'committed',
    sequence: undefined,
    durable: true,
    ...given,
  };
}

function white(
  transactions: Recorded[],
  state: Record<string, string>,
  given: { sequence: number; ending?: Epoch['ending'] },
): Violation[] {
  const history: History = {
    epochs: [{ initial: new Map(), base: 0, transactions, ending: given.ending ?? 'closed' }],
    final: { state: new Map(Object.entries(state)), sequence: given.sequence },
  };
  return checkWhiteBox(history);
}

/** Two transactions that overlap: both begin, then commit one after the other. */
function overlapping(first: Operation[], second: Operation[], level: Level): Recorded[] {
  const at = tick;
  tick += 10;
  return [
    transaction(first, { level, began: at + 1, called: at + 3, answered: at + 4, sequence: 1 }),
    transaction(second, { level, began: at + 2, called: at + 5, answered: at + 6, sequence: 2 }),
  ];
}

const whiteCases: [name: string, run: () => Violation[], violated: RegExp | undefined][] = [
  [
    'a serial history',
    () =>
      white(
        [transaction([write('x', '1')]), transaction([read('x', '1'), write('x', '2')])],
        { x: '2' },
        { sequence: 2 },
      ),
    undefined,
  ],
  [
    'own writes read',
    () => white([transaction([write('x', '1'), read('x', '1'), write('x'), read('x')])], {}, { sequence: 1 }),
    undefined,
  ],
  [
    'a stale snapshot',
    () => white([transaction([write('x', '1')]), transaction([read('x')])], { x: '1' }, { sequence: 1 }),
    /no one state/,
  ],
  [
    'a snapshot told older than an answer',
    () =>
      white([transaction([write('x', '1')]), transaction([], { snapshot: 0 })], { x: '1' }, { sequence: 1 }),
    /answered before/,
  ],
  [
    'two states in one transaction',
    () =>
      white(
        [
          transaction([write('x', '1'), write('y', '1')]),
          transaction([write('x', '2'), write('y', '2')]),
          transaction([read('x', '2'), read('y', '1')]),
        ],
        { x: '2', y: '2' },
        { sequence: 2 },
      ),
    /no one state/,
  ],
  [
    'a lost update',
    () =>
      white(
        overlapping([read('x'), write('x', '1')], [read('x'), write('x', '2')], 'snapshot'),
        { x: '2' },
        { sequence: 2 },
      ),
    /first committer/,
  ],
  [
    'write skew, snapshot',
    () =>
      white(
        overlapping([read('y'), write('x', '1')], [read('x'), write('y', '2')], 'snapshot'),
        { x: '1', y: '2' },
        { sequence: 2 },
      ),
    undefined,
  ],
  [
    'write skew, serializable',
    () =>
      white(
        overlapping([read('y'), write('x', '1')], [read('x'), write('y', '2')], 'serializable'),
        { x: '1', y: '2' },
        { sequence: 2 },
      ),
    /not serializable/,
  ],
  [
    'a phantom',
    () =>
      white(
        overlapping(
          [write('x1', '1')],
          [{ kind: 'count', range: { prefix: 'x' }, count: 0 }, write('y', '2')],
          'serializable',
        ),
        { x1: '1', y: '2' },
        { sequence: 2 },
      ),
    /not serializable/,
  ],
  [
    'a phantom beyond what was read of a scan',
    () =>
      white(
        overlapping(
          [write('x9', '1')],
          [{ kind: 'scan', range: { prefix: 'x' }, entries: [], exhausted: false }, write('y', '2')],
          'serializable',
        ),
        { x9: '1', y: '2' },
        { sequence: 2 },
      ),
    undefined,
  ],
  [
    'a scan that misses a record',
    () =>
      white(
        [
          transaction([write('x', '1')]),
          transaction([{ kind: 'scan', range: {}, entries: [], exhausted: true }]),
        ],
        { x: '1' },
        { sequence: 1 },
      ),
    /no one state/,
  ],
  [
    'a scan in the wrong order',
    () =>
      white(
        [
          transaction([write('x', '1'), write('y', '2')]),
          transaction([
            {
              kind: 'scan',
              range: { reverse: true },
              entries: [
                ['x', '1'],
                ['y', '2'],
              ],
              exhausted: true,
            },
          ]),
        ],
        { x: '1', y: '2' },
        { sequence: 1 },
      ),
    /no one state/,
  ],
  [
    'an aborted write that is there',
    () =>
      white(
        [transaction([write('x', '1')], { outcome: 'aborted', called: 0 }), transaction([read('x', '1')])],
        {},
        { sequence: 0 },
      ),
    /no one state/,
  ],
  [
    'half a commit',
    () =>
      white(
        [transaction([write('x', '1'), write('y', '1')]), transaction([read('x', '1'), read('y')])],
        { x: '1', y: '1' },
        { sequence: 1 },
      ),
    /no one state/,
  ],
  [
    'a number left out',
    () => white([transaction([write('x', '1')], { sequence: 2 })], { x: '1' }, { sequence: 1 }),
    /should be number 1/,
  ],
  [
    'a refusal with a reason',
    () => {
      const [one, two] = overlapping([write('x', '1')], [write('x', '2')], 'snapshot');
      return white(
        [one as Recorded, { ...(two as Recorded), outcome: 'refused', sequence: undefined }],
        { x: '1' },
        { sequence: 1 },
      );
    },
    undefined,
  ],
  [
    'a refusal without a reason',
    () => white([transaction([write('x', '1')], { outcome: 'refused' })], {}, { sequence: 0 }),
    /without a reason/,
  ],
  [
    'a single operation refused',
    () =>
      white([transaction([write('x', '1')], { kind: 'single', outcome: 'refused' })], {}, { sequence: 0 }),
    /single operation/,
  ],
  [
    'an answered commit lost with the power',
    () => white([transaction([write('x', '1')])], {}, { sequence: 0, ending: 'power' }),
    /found commit 0/,
  ],
  [
    'a relaxed commit lost with the power',
    () => white([transaction([write('x', '1')], { durable: false })], {}, { sequence: 0, ending: 'power' }),
    undefined,
  ],
  [
    'a relaxed commit lost with the process',
    () => white([transaction([write('x', '1')], { durable: false })], {}, { sequence: 0, ending: 'death' }),
    /found commit 0/,
  ],
  [
    'an unanswered commit lost',
    () =>
      white(
        [transaction([write('x', '1')], { outcome: 'unknown', answered: 0 })],
        {},
        { sequence: 0, ending: 'power' },
      ),
    undefined,
  ],
  [
    'an unanswered commit found',
    () =>
      white(
        [transaction([write('x', '1')], { outcome: 'unknown', answered: 0 })],
        { x: '1' },
        { sequence: 1, ending: 'power' },
      ),
    undefined,
  ],
  [
    'a commit seen and then lost',
    () =>
      white(
        [
          transaction([write('x', '1')], { outcome: 'unknown', answered: 0 }),
          transaction([read('x', '1')], { snapshot: 1, level: 'snapshot' }),
        ],
        {},
        { sequence: 0, ending: 'power' },
      ),
    /found commit 0/,
  ],
  [
    'half a commit after a crash',
    () =>
      white([transaction([write('x', '1'), write('y', '1')])], { x: '1' }, { sequence: 1, ending: 'power' }),
    /y is undefined/,
  ],
];

test.each(whiteCases)('isolation: the replay judges %s', (_, run, violated) => {
  const found = run().map(({ what }) => what);
  if (violated === undefined) expect(found).toEqual([]);
  else expect(found.join('\n')).toMatch(violated);
});
