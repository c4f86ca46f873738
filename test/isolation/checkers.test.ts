/* The checkers on histories with known answers: written by hand, and small ones on which every order can be tried. */
import { describe, expect, test } from 'vitest';
import { randomFrom } from '../support/codec-data.ts';
import { long, seed } from '../support/seed.ts';
import type { Epoch, History, Level, Operation, Recorded, Violation } from './history.ts';
import { type Anomaly, checkListAppend, type ListTransaction, type Move } from './list-append.ts';
import { serialOrderExists } from './serial-order.ts';
import { checkWhiteBox } from './white-box.ts';

// --- lists ----------------------------------------------------------------------------------------------------------

const r = (key: string, ...list: number[]): Move => ({ kind: 'read', key, list });
const a = (key: string, element: number): Move => ({ kind: 'append', key, element });

interface Given {
  readonly moves: readonly Move[];
  readonly level?: Level;
  readonly status?: ListTransaction['status'];
  readonly began?: number;
  readonly answered?: number;
}

function judged(given: readonly Given[], level: Level) {
  return checkListAppend(
    given.map((one, index) => ({ id: index + 1, level, status: 'committed', began: 0, answered: 0, ...one })),
  );
}

/** Anomalies in lists: what is found, and which levels allow it. */
const listCases: [name: string, given: Given[], found: Anomaly[], allowedBy: Level[]][] = [
  ['nothing', [], [], ['snapshot', 'serializable']],
  [
    'a serial history',
    [{ moves: [a('x', 1)] }, { moves: [r('x', 1), a('x', 2)] }, { moves: [r('x', 1, 2)] }],
    [],
    ['snapshot', 'serializable'],
  ],
  ['own appends are read', [{ moves: [r('x'), a('x', 1), r('x', 1)] }], [], ['snapshot', 'serializable']],
  ['own appends are missed', [{ moves: [a('x', 1), r('x')] }], ['internal'], []],
  ['a second read differs', [{ moves: [r('x'), r('x', 1)] }, { moves: [a('x', 1)] }], ['internal'], []],
  [
    'G0',
    [
      { moves: [a('x', 1), a('y', 2)] },
      { moves: [a('x', 3), a('y', 4)] },
      { moves: [r('x', 1, 3), r('y', 4, 2)] },
    ],
    ['G0', 'G1c'],
    [],
  ],
  ['G1a', [{ moves: [a('x', 1)], status: 'failed' }, { moves: [r('x', 1)] }], ['G1a'], []],
  [
    'G1b',
    [{ moves: [a('x', 1), a('x', 2)] }, { moves: [r('x', 1)] }, { moves: [r('x', 1, 2)] }],
    ['G1b', 'G-single'],
    [],
  ],
  ['G1c', [{ moves: [a('x', 1), r('y', 2)] }, { moves: [a('y', 2), r('x', 1)] }], ['G1c'], []],
  [
    'G-single',
    [{ moves: [r('x'), r('y', 2)] }, { moves: [a('x', 1), a('y', 2)] }, { moves: [r('x', 1)] }],
    ['G-single'],
    [],
  ],
  [
    'lost update',
    [{ moves: [r('x'), a('x', 1)] }, { moves: [r('x'), a('x', 2)] }, { moves: [r('x', 1, 2)] }],
    ['G-single'],
    [],
  ],
  [
    'an update that is gone',
    [
      { moves: [r('x'), a('x', 1)], began: 1, answered: 2 },
      { moves: [r('x'), a('x', 2)], began: 1, answered: 3 },
      { moves: [r('x', 2)], began: 4, answered: 5 },
    ],
    ['lost'],
    [],
  ],
  [
    'incompatible orders',
    [{ moves: [a('x', 1)] }, { moves: [a('x', 2)] }, { moves: [r('x', 1, 2)] }, { moves: [r('x', 2)] }],
    ['incompatible order'],
    [],
  ],
  ['a duplicate', [{ moves: [a('x', 1)] }, { moves: [r('x', 1, 1)] }], ['duplicate'], []],
  ['garbage', [{ moves: [r('x', 9)] }], ['garbage'], []],
  [
    'write skew (G2-item)',
    [
      { moves: [r('x'), r('y'), a('x', 1)] },
      { moves: [r('x'), r('y'), a('y', 2)] },
      { moves: [r('x', 1), r('y', 2)] },
    ],
    ['G2'],
    ['snapshot'],
  ],
  [
    'long fork',
    [
      { moves: [a('x', 1)] },
      { moves: [a('y', 2)] },
      { moves: [r('x', 1), r('y')] },
      { moves: [r('x'), r('y', 2)] },
    ],
    ['G-nonadjacent'],
    [],
  ],
  [
    'the read-only anomaly',
    [
      { moves: [r('y'), a('y', 1)] },
      { moves: [r('x'), r('y'), a('x', 2)] },
      { moves: [r('x'), r('y', 1)] },
      { moves: [r('x', 2)] },
    ],
    ['G2'],
    ['snapshot'],
  ],
  [
    'a snapshot older than an answer',
    [
      { moves: [a('x', 1)], began: 1, answered: 2 },
      { moves: [r('x')], began: 3, answered: 4 },
      { moves: [r('x', 1)], began: 5, answered: 6 },
    ],
    ['real time'],
    [],
  ],
  [
    'a read while the commit is on its way',
    [
      { moves: [a('x', 1)], began: 1, answered: 4 },
      { moves: [r('x')], began: 3, answered: 5 },
      { moves: [r('x', 1)], began: 6, answered: 7 },
    ],
    [],
    ['snapshot', 'serializable'],
  ],
  [
    'an unknown commit that came to be',
    [{ moves: [a('x', 1)], status: 'unknown' }, { moves: [r('x', 1)] }],
    [],
    ['snapshot', 'serializable'],
  ],
];

describe.each(['snapshot', 'serializable'] as const)('black box, %s', (level) => {
  test.each(listCases)('isolation: the list checker judges %s', (_, given, found, allowedBy) => {
    const verdict = judged(given, level);
    for (const anomaly of found) {
      // The cycles of a smaller anomaly hide those that are made of the same transactions.
      if (found.indexOf(anomaly) === 0) expect([...verdict.anomalies]).toContain(anomaly);
    }
    if (found.length === 0) expect([...verdict.anomalies]).toEqual([]);
    expect(verdict.violations.length === 0).toBe(allowedBy.includes(level));
  });
});

test('isolation: the list checker holds each transaction of a mixed history to its own level', () => {
  const skew = (first: Level, second: Level) =>
    judged(
      [
        { moves: [r('x'), r('y'), a('x', 1)], level: first },
        { moves: [r('x'), r('y'), a('y', 2)], level: second },
        { moves: [r('x', 1), r('y', 2)] },
      ],
      'serializable',
    ).violations.length;
  expect(skew('serializable', 'serializable')).toBeGreaterThan(0);
  expect([
    skew('snapshot', 'serializable'),
    skew('serializable', 'snapshot'),
    skew('snapshot', 'snapshot'),
  ]).toEqual([0, 0, 0]);
});

test('isolation: the list checker agrees with the trial of every order on small histories', () => {
  const rounds = long ? 20_000 : 2000;
  const random = randomFrom(seed);
  const counts = { serial: 0, not: 0 };
  for (let round = 0; round < rounds; ++round) {
    const transactions = smallHistory(random);
    const verdict = checkListAppend(transactions);
    const expected = serialOrderExists(transactions);
    ++counts[expected ? 'serial' : 'not'];
    expect(
      verdict.violations.length === 0,
      `SEED=${seed} round ${round}: ${JSON.stringify(transactions)}`,
    ).toBe(expected);
  }
  expect(Math.min(counts.serial, counts.not)).toBeGreaterThan(rounds / 20);
});

/** Up to five transactions, each on a state that may be a little old, and a reader of everything at the end. */
function smallHistory(random: (limit: number) => number): ListTransaction[] {
  const keys = ['x', 'y', 'z'].slice(0, 2 + random(2));
  const states: Map<string, number[]>[] = [new Map()];
  const transactions: ListTransaction[] = [];
  let element = 0;
  for (let id = 1 + random(4); id >= 0; --id) {
    const latest = states[states.length - 1] as Map<string, number[]>;
    const seen = states[Math.max(0, states.length - 1 - (random(2) === 0 ? 0 : random(3)))] as Map<
      string,
      number[]
    >;
    const next = new Map([...latest].map(([key, list]) => [key, [...list]]));
    const own = new Map<string, number[]>();
    const moves: Move[] = [];
    for (let left = random(3); left >= 0; --left) {
      const key = keys[random(keys.length)] as string;
      if (random(2) === 0) {
        moves.push({ kind: 'read', key, list: [...(seen.get(key) ?? []), ...(own.get(key) ?? [])] });
      } else {
        moves.push({ kind: 'append', key, element: ++element });
        own.set(key, [...(own.get(key) ?? []), element]);
        next.set(key, [...(next.get(key) ?? []), element]);
      }
    }
    states.push(next);
    transactions.push({ id, level: 'serializable', status: 'committed', moves, began: 0, answered: 0 });
  }
  const last = states[states.length - 1] as Map<string, number[]>;
  const moves: Move[] = keys.map((key) => ({ kind: 'read', key, list: last.get(key) ?? [] }));
  // A reader at the end gives every append its place.
  transactions.push({ id: 99, level: 'serializable', status: 'committed', moves, began: 0, answered: 0 });
  return transactions;
}

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
