/* The list checker, tested on histories with known results, and against a search through every order. */
import { describe, expect, test } from 'vitest';
import { randomFrom } from '../support/codec-data.ts';
import { long, seed } from '../support/seed.ts';
import type { Level } from './history.ts';
import { type Anomaly, checkListAppend, type ListTransaction, type Move } from './list-append.ts';
import { serialOrderExists } from './serial-order.ts';

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
