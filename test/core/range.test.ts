import { describe, expect, test } from 'vitest';
import { bytes as debug } from '../../build/wasm/debug.js';
import { CoreDriver, KEYS_ONLY, REVERSE, START_INCLUSIVE } from '../support/core-driver.ts';
import { bytesOf, checkCount, checkRange, Model } from '../support/core-model.ts';

const rows = [
  { name: 'release', module: {} },
  { name: 'debug', module: { module: debug } },
];

/** A tree of a few leaves; between any two keys there is space for a bound. The first key may be empty. */
function makeTree(module: { module?: Uint8Array<ArrayBuffer> }, frames: number, withEmptyKey: boolean) {
  const driver = new CoreDriver({ ...module, pageSize: 4096, frames });
  const root = driver.create();
  const model = new Model();
  const keys = ['b', 'bb', 'd', 'dd\0', 'f', 'h', 'hhhhhhh', 'j', 'l', 'n'];
  for (const key of withEmptyKey ? ['', ...keys] : keys) {
    const value = new Uint8Array(900).fill(key.length);
    driver.put(root, bytesOf(key), value);
    model.set(key, value);
  }
  return { driver, root, model };
}

describe.each(rows)('$name', ({ module }) => {
  test.each([
    { frames: 40, withEmptyKey: false },
    { frames: 40, withEmptyKey: true },
  ])(
    'range: every pair of bounds with every flag agrees with the model (empty key: $withEmptyKey)',
    (row) => {
      const { driver, root, model } = makeTree(module, row.frames, row.withEmptyKey);
      expect(driver.pagesUsed()).toBeGreaterThan(3);
      const between = [
        'a',
        'bc',
        'c',
        'dd',
        'dd\0\0',
        'e',
        'g',
        'hhhhhhg',
        'i',
        'k',
        'm',
        'o',
        '\xff\xff\xff\xff\xff',
      ];
      const bounds = [undefined, '', ...model.keys.slice(row.withEmptyKey ? 1 : 0), ...between];
      for (const from of bounds) {
        for (const to of bounds) {
          const [start, end] = [from, to].map((bound) => (bound === undefined ? undefined : bytesOf(bound)));
          for (let flags = 0; flags < 8; flags++) {
            checkCount(driver, root, model, { start, end, flags });
            const limit = [100, 1, 3][(flags + bounds.indexOf(to)) % 3]!;
            const keysOnly = bounds.indexOf(from) % 2 === 0 ? KEYS_ONLY : 0;
            checkRange(driver, root, model, { start, end, flags: flags | keysOnly, limit });
          }
        }
      }
    },
  );

  test('range: an empty tree has empty ranges', () => {
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 40 });
    const root = driver.create();
    expect(driver.count(root, undefined, undefined, 0)).toBe(0);
    for (let flags = 0; flags < 16; flags++) {
      checkRange(driver, root, new Model(), { flags, limit: 10 });
      checkRange(driver, root, new Model(), { start: bytesOf('a'), end: bytesOf('b'), flags, limit: 10 });
      checkCount(driver, root, new Model(), { flags: flags & 7 });
    }
  });

  test('range: a call that finds its limit says that there is more only if there is', () => {
    const { driver, root, model } = makeTree(module, 40, false);
    for (const flags of [0, REVERSE]) {
      const all = driver.rangePart(root, undefined, undefined, flags, model.keys.length);
      expect(all).toMatchObject({ done: true });
      expect(all.entries.length).toBe(model.keys.length);
      const less = driver.rangePart(root, undefined, undefined, flags, model.keys.length - 1);
      expect(less).toMatchObject({ done: false });
    }
    expect(driver.rangePart(root, bytesOf('f'), bytesOf('f'), START_INCLUSIVE, 0).done).toBe(true);
    expect(driver.rangePart(root, bytesOf('f'), bytesOf('g'), START_INCLUSIVE, 0).done).toBe(false);
  });

  test('range: a call ends where the output area is full, and goes on from there', () => {
    const driver = new CoreDriver({ ...module, pageSize: 65536, frames: 200 });
    const root = driver.create();
    const model = new Model();
    for (let i = 0; i < 100; i++) {
      const key = String.fromCharCode(i);
      const value = new Uint8Array(14_000 + i).fill(i);
      driver.put(root, bytesOf(key), value);
      model.set(key, value);
    }
    const first = driver.rangePart(root, undefined, undefined, 0, 1000);
    expect(first.done).toBe(false);
    expect(first.entries.length).toBeGreaterThan(30);
    for (const flags of [0, REVERSE]) checkRange(driver, root, model, { flags, limit: 1000 });
  });
});
