/* A scan lets its snapshot go with its last record, whichever way that is taken; values are read before that. */
import { expect, onTestFinished, test } from 'vitest';
import { type Scan, StorageEngine } from '../../src/index.ts';

const LONG = 'x'.repeat(50_000);
const RECORDS = 5;

async function filled(): Promise<StorageEngine> {
  const engine = await StorageEngine.open();
  onTestFinished(() => engine.close());
  for (let n = 0; n < RECORDS; ++n) await engine.put(`k${n}`, n % 2 === 0 ? LONG : 'short');
  return engine;
}

const takers: Record<string, (scan: Scan) => unknown> = {
  'next, as often as there are records': (scan) => Array.from({ length: RECORDS }, () => scan.next()),
  'nextMany of all': (scan) => scan.nextMany(RECORDS),
  'nextMany in two parts': (scan) => [scan.nextMany(2), scan.nextMany(RECORDS - 2)],
  'a loop': (scan) => [...scan],
  'a loop that breaks': (scan) => {
    for (const _ of scan) break;
  },
  keys: (scan) => [...scan.keys()],
  values: (scan) => [...scan.values()],
  'keys, as often as there are records': (scan) => {
    const keys = scan.keys();
    for (let n = 0; n < RECORDS; ++n) keys.next();
  },
  'values, as often as there are records': (scan) => {
    const values = scan.values();
    for (let n = 0; n < RECORDS; ++n) values.next();
  },
  'keys that end before they begin': (scan) => scan.keys().return?.(),
  'values that end before they begin': (scan) => scan.values().return?.(),
  return: (scan) => scan.return(),
};

test.each(Object.keys(takers))('scan: closed by %s', async (name) => {
  const engine = await filled();
  const take = takers[name] as (scan: Scan) => unknown;
  const tx = engine.beginTransaction();
  tx.put('k1', 'own');
  tx.delete('k3');
  tx.put('k31', LONG);
  const snapshot = engine.snapshot();
  const before = engine.stats().versions.openSnapshots;
  for (const reverse of [false, true]) {
    take(engine.scan({ reverse }));
    take(engine.scan({ reverse, limit: RECORDS }));
    take(snapshot.scan({ reverse }));
    take(tx.scan({ reverse }));
    take(tx.scan({ reverse, limit: RECORDS }));
    take(engine.scan({ reverse, limit: 0 }));
    expect(engine.stats().versions.openSnapshots, `reverse: ${reverse}`).toBe(before);
  }
  tx.abort();
  snapshot.close();
});

test('scan: one that is at its limit or empty is closed before it is read', async () => {
  const engine = await filled();
  engine.scan({ limit: 0 });
  expect(engine.stats().versions.openSnapshots).toBe(0);
  expect(engine.scan({ gt: 'k9' }).nextMany(1)).toEqual([]);
  expect(engine.stats().versions.openSnapshots).toBe(0);
});

test('scan: the value of the last record is whole, long or short', async () => {
  const engine = await filled();
  for (const limit of [1, 3, RECORDS]) {
    const entries = engine.scan({ limit }).nextMany(limit);
    expect(entries.at(-1)?.[1].length).toBe(LONG.length);
    expect([...engine.scan({ limit }).values()].at(-1)?.length).toBe(LONG.length);
  }
  const scan = engine.scan({ limit: 1 });
  expect(scan.next().value[1].length).toBe(LONG.length);
  expect(scan.next().done).toBe(true);
  expect(scan.nextMany(1)).toEqual([]);
});

test('scan: a great many pages of records leave no snapshot', async () => {
  const engine = await filled();
  for (let i = 0; i < 20_000; ++i) engine.scan({ limit: 2 }).nextMany(2);
  expect(engine.stats().versions.openSnapshots).toBe(0);
});

test('scan: keys and values have what iterators have in common', async () => {
  const engine = await filled();
  const keys = engine.scan().keys();
  expect(keys[Symbol.iterator]()).toBe(keys);
  const shared = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
  expect(Object.getPrototypeOf(keys)).toBe(shared);
});
