/*
 * Own deletions in a transaction are stepped over: what a scan walked once, no later one walks again, and each shows
 * what a model shows, whatever is put, deleted or taken back in between, forwards and backwards, also by scans that
 * were made before and read on afterwards.
 */
import { expect, onTestFinished, test } from 'vitest';
import { type IsolationLevel, type RangeOptions, StorageEngine, type Transaction } from '../../src/index.ts';
import { compare, Gaps } from '../../src/txn/gaps.ts';
import { randomFrom } from '../support/codec-data.ts';
import { seed, sized } from '../support/seed.ts';

const KEYS = 400;
const key = (n: number): string => `k${String(n).padStart(5, '0')}`;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

async function filled(count: number): Promise<StorageEngine> {
  const engine = await StorageEngine.open();
  onTestFinished(() => engine.close());
  await engine.batch(
    Array.from({ length: count }, (_, n) => ({ type: 'put' as const, key: key(n), value: 'v' })),
  );
  return engine;
}

/** The keys of a range in a model. */
function expected(model: ReadonlySet<string>, options: RangeOptions): string[] {
  const { gt, gte, lt, lte, reverse, limit } = options as Record<string, string> & RangeOptions;
  const keys = [...model]
    .sort()
    .filter(
      (one) =>
        (gt === undefined || one > gt) &&
        (gte === undefined || one >= gte) &&
        (lt === undefined || one < lt) &&
        (lte === undefined || one <= lte),
    );
  if (reverse) keys.reverse();
  return keys.slice(0, limit);
}

test.each(['snapshot', 'serializable'] as const)(
  'own deletions: scans show what a model shows, %s',
  async (isolation) => {
    const below = randomFrom(seed);
    for (let round = 0; round < sized(2, 12, 200); ++round) {
      const engine = await filled(KEYS);
      const tx = engine.beginTransaction({ isolation });
      let model = new Set(Array.from({ length: KEYS }, (_, n) => key(n)));
      let point: { savepoint: ReturnType<Transaction['savepoint']>; model: Set<string> } | undefined;
      let open: { scan: Iterator<Uint8Array>; left: string[] } | undefined;
      const options = (): RangeOptions => ({
        ...(below(2) === 0 ? {} : { [below(2) === 0 ? 'gt' : 'gte']: key(below(KEYS)) }),
        ...(below(2) === 0 ? {} : { [below(2) === 0 ? 'lt' : 'lte']: key(below(KEYS)) }),
        ...(below(2) === 0 ? {} : { limit: below(30) }),
        reverse: below(2) === 0,
      });
      for (let step = 0; step < 400; ++step) {
        const what = below(20);
        if (what < 6) {
          const from = below(KEYS);
          for (let n = from; n < from + 1 + below(20); ++n) {
            tx.delete(key(n));
            model.delete(key(n));
          }
        } else if (what < 8) {
          const one = key(below(KEYS));
          tx.put(one, 'own');
          model.add(one);
        } else if (what < 9) {
          const range = options();
          tx.deleteRange(range);
          for (const one of expected(model, range)) model.delete(one);
        } else if (what < 10) {
          point = { savepoint: tx.savepoint(), model: new Set(model) };
        } else if (what < 11 && point) {
          tx.rollbackTo(point.savepoint);
          model = new Set(point.model);
        } else if (what < 13) {
          const range = options();
          open = { scan: tx.scan(range).keys(), left: expected(model, range) };
        } else if (what < 15 && open) {
          for (let n = below(40); n > 0; --n) {
            const next = open.scan.next();
            expect(next.done ? undefined : text(next.value), `round ${round}, step ${step}`).toBe(
              open.left.shift(),
            );
          }
        } else {
          const range = options();
          const found = [...tx.scan(range).keys()].map(text);
          expect(found, `round ${round}, step ${step}: ${JSON.stringify(range)}`).toEqual(
            expected(model, range),
          );
        }
      }
      await tx.commit();
      expect([...engine.scan().keys()].map(text)).toEqual([...model].sort());
    }
  },
);

/** Processor time of one pop, in microseconds. */
async function popping(count: number, isolation: IsolationLevel, reverse: boolean): Promise<number> {
  const engine = await filled(count);
  const tx = engine.beginTransaction({ isolation });
  const began = process.cpuUsage();
  let popped = 0;
  for (; ; ++popped) {
    const [first] = tx.scan({ prefix: 'k', limit: 1, reverse }).nextMany(1);
    if (!first) break;
    tx.delete(first[0]);
  }
  const { user, system } = process.cpuUsage(began);
  expect(popped).toBe(count);
  return (user + system) / count;
}

async function best(run: () => Promise<number>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 4; ++i) least = Math.min(least, await run());
  return least;
}

test.each([
  ['snapshot', false],
  ['serializable', false],
  ['snapshot', true],
] as const)(
  'own deletions: a pop costs the same however many came before, %s, reverse %s',
  async (isolation, reverse) => {
    await popping(500, isolation, reverse);
    const few = await best(() => popping(500, isolation, reverse));
    const many = await best(() => popping(4000, isolation, reverse));
    // Walking over them again would make it eight times as much.
    expect(many / Math.max(few, 5)).toBeLessThan(3);
  },
);

test('own deletions: the first key behind a deleted range is found at once', async () => {
  const engine = await filled(20_000);
  await engine.put('z', 'end');
  const tx = engine.beginTransaction();
  tx.deleteRange({ prefix: 'k' });
  const began = process.cpuUsage();
  for (let i = 0; i < 200; ++i) expect(text(tx.scan({ limit: 1 }).nextMany(1)[0]![0])).toBe('z');
  const { user, system } = process.cpuUsage(began);
  expect((user + system) / 200, 'microseconds').toBeLessThan(2000);
  tx.abort();
});

test('gaps: they join, are split by a put, and are forgotten when there are too many', () => {
  const gaps = new Gaps();
  const at = (n: number, behind = false) => ({ key: new TextEncoder().encode(key(n)), behind });
  gaps.add(at(10), at(20), 3);
  expect(gaps.count, 'a short run is not worth one').toBe(0);
  gaps.add(at(10), at(20), 10);
  gaps.add(at(20), at(21), 1);
  gaps.add(at(30), at(40), 10);
  expect(gaps.count).toBe(2);
  expect(compare(gaps.past(at(10), false), at(21))).toBe(0);
  expect(compare(gaps.past(at(21), true), at(10))).toBe(0);
  expect(compare(gaps.past(at(25), false), at(25))).toBe(0);
  gaps.add(at(15), at(35), 1);
  expect(gaps.count).toBe(1);
  gaps.put(at(25).key);
  expect(gaps.count).toBe(2);
  expect(compare(gaps.past(at(10), false), at(25))).toBe(0);
  expect(compare(gaps.past(at(25, true), false), at(40))).toBe(0);
  for (let n = 0; n < 2000; ++n) gaps.add(at(100 + 2 * n), at(101 + 2 * n), 10);
  expect(gaps.count).toBeLessThanOrEqual(1024);
});
