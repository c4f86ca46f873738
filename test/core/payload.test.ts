import { describe, expect, test } from 'vitest';
import {
  BLOCK_PAGE,
  CODEC_NONE,
  DAMAGE_KIND,
  DAMAGE_NONE,
  DAMAGE_ORDER,
  DAMAGE_OVERFLOW,
  DAMAGE_REFERENCE,
  DAMAGE_SIZE,
  INPUT_AREA,
  OK,
  PAGE_INNER,
  PAGE_LEAF,
  PAGE_OVERFLOW,
  PRIVATE_PAGE,
  STAGING_AREA,
} from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import { LATEST } from '../../src/core/wasm.ts';
import { CoreDriver } from '../support/core-driver.ts';

const CHAINED = 0x40000000;
const TOMBSTONE = 0x80000000;

interface Row {
  key?: string;
  word?: number;
  value?: number;
}

interface Payload {
  kind?: number;
  level?: number;
  zero?: number;
  count?: number;
  rows: Row[];
  extra?: number;
}

/** A tree page's payload, by default what a writer makes of the rows. */
function payloadOf({ kind = PAGE_LEAF, level = 0, zero = 0, count, rows, extra = 0 }: Payload): Buffer {
  const parts = rows.map(({ key = '', value = 0, word = kind === PAGE_LEAF ? value : 7 }) => {
    const record = Buffer.alloc(6 + key.length + value, 0x2e);
    record.writeUInt16LE(key.length);
    record.writeUInt32LE(word, 2);
    record.write(key, 6, 'latin1');
    if (word & CHAINED && value === 4) record.writeUInt32LE(7, 6 + key.length);
    return record;
  });
  const header = Buffer.from([kind, level, zero, 0, 0, 0, 0, 0]);
  header.writeUInt32LE(count ?? rows.length, 4);
  return Buffer.concat([header, ...parts, Buffer.alloc(extra)]);
}

function overflowOf(used: number, next: number, remaining: number, present = used): Buffer {
  const payload = Buffer.alloc(16 + present, 0x2e);
  payload.set([PAGE_OVERFLOW, 0, 0, 0]);
  payload.writeUInt32LE(used, 4);
  payload.writeUInt32LE(next, 8);
  payload.writeUInt32LE(remaining, 12);
  return payload;
}

const many = (count: number, row: (index: number) => Row) => Array.from({ length: count }, (_, i) => row(i));
const shortKey = (index: number) => String.fromCharCode(index >> 8, index & 255);
const inner = { kind: PAGE_INNER, level: 1 };

// Pages of 4096 bytes: keys up to 512 bytes, 4056 bytes of slots and cells, cells up to 1014 with their slots.
const table: [fact: string, fault: number, payload: Buffer, page?: number][] = [
  ['an empty leaf', DAMAGE_NONE, payloadOf({ rows: [] })],
  ['the empty key', DAMAGE_NONE, payloadOf({ rows: [{ key: '' }, { key: '\0' }] })],
  ['the longest key', DAMAGE_NONE, payloadOf({ rows: [{ key: 'k'.repeat(512) }] })],
  ['a longer key', DAMAGE_SIZE, payloadOf({ rows: [{ key: 'k'.repeat(513) }] })],
  ['the longest value in a leaf', DAMAGE_NONE, payloadOf({ rows: [{ key: 'k', value: 1001 }] })],
  ['a longer value', DAMAGE_SIZE, payloadOf({ rows: [{ key: 'k', value: 1002 }] })],
  ['a full page', DAMAGE_NONE, payloadOf({ rows: many(289, (i) => ({ key: shortKey(i) })) })],
  ['a page fuller than full', DAMAGE_SIZE, payloadOf({ rows: many(290, (i) => ({ key: shortKey(i) })) })],
  ['a key twice', DAMAGE_ORDER, payloadOf({ rows: [{ key: 'a' }, { key: 'a' }] })],
  ['keys out of order', DAMAGE_ORDER, payloadOf({ rows: [{ key: 'a' }, { key: 'c' }, { key: 'b' }] })],
  ['a shorter key last', DAMAGE_ORDER, payloadOf({ rows: [{ key: 'ab' }, { key: 'a' }] })],
  [
    'more records than it says',
    DAMAGE_SIZE,
    payloadOf({ rows: many(3, (i) => ({ key: `${i}` })), count: 2 }),
  ],
  ['fewer records than it says', DAMAGE_SIZE, payloadOf({ rows: [{ key: 'a' }], count: 2 })],
  ['far fewer records', DAMAGE_SIZE, payloadOf({ rows: [{ key: 'a' }], count: 0xffffffff })],
  ['bytes behind the records', DAMAGE_SIZE, payloadOf({ rows: [{ key: 'a' }], extra: 1 })],
  ['a reserved byte in use', DAMAGE_SIZE, payloadOf({ rows: [], zero: 1 })],
  ['an unknown kind', DAMAGE_KIND, payloadOf({ kind: 4, rows: [] })],
  ['no kind', DAMAGE_KIND, payloadOf({ kind: 0, rows: [] })],
  ['a leaf above the bottom', DAMAGE_KIND, payloadOf({ level: 1, rows: [] })],
  ['an inner page at the bottom', DAMAGE_KIND, payloadOf({ kind: PAGE_INNER, rows: [{}] })],
  ['the highest level', DAMAGE_NONE, payloadOf({ kind: PAGE_INNER, level: 60, rows: [{}] })],
  ['a higher level', DAMAGE_KIND, payloadOf({ kind: PAGE_INNER, level: 61, rows: [{}] })],
  ['an inner page', DAMAGE_NONE, payloadOf({ ...inner, rows: [{}, { key: 'm' }] })],
  ['an inner page without a child', DAMAGE_SIZE, payloadOf({ ...inner, rows: [] })],
  ['a first child with a key', DAMAGE_ORDER, payloadOf({ ...inner, rows: [{ key: 'a' }] })],
  ['a second child without one', DAMAGE_ORDER, payloadOf({ ...inner, rows: [{}, {}] })],
  ['a child of number 0', DAMAGE_REFERENCE, payloadOf({ ...inner, rows: [{ word: 0 }] })],
  ['a private child', DAMAGE_REFERENCE, payloadOf({ ...inner, rows: [{ word: PRIVATE_PAGE + 7 }] })],
  ['a child beyond all numbers', DAMAGE_REFERENCE, payloadOf({ ...inner, rows: [{ word: 0x80000007 }] })],
  [
    'a shared child of a private page',
    DAMAGE_REFERENCE,
    payloadOf({ ...inner, rows: [{}] }),
    PRIVATE_PAGE + 5,
  ],
  ['a chain', DAMAGE_NONE, payloadOf({ rows: [{ key: 'a', word: CHAINED + 5000, value: 4 }] })],
  ['an empty chain', DAMAGE_SIZE, payloadOf({ rows: [{ key: 'a', word: CHAINED, value: 4 }] })],
  ['a chain that is cut', DAMAGE_SIZE, payloadOf({ rows: [{ key: 'a', word: CHAINED + 9, value: 3 }] })],
  ['a tombstone in the store', DAMAGE_SIZE, payloadOf({ rows: [{ key: 'a', word: TOMBSTONE }] })],
  [
    'a private tombstone',
    DAMAGE_NONE,
    payloadOf({ rows: [{ key: 'a', word: TOMBSTONE }] }),
    PRIVATE_PAGE + 5,
  ],
  [
    'a tombstone with a length',
    DAMAGE_SIZE,
    payloadOf({ rows: [{ key: 'a', word: TOMBSTONE + 1 }] }),
    PRIVATE_PAGE + 5,
  ],
  ['an overflow page', DAMAGE_NONE, overflowOf(4056, 7, 9000)],
  ['an overflow page with too much', DAMAGE_SIZE, overflowOf(4057, 7, 9000)],
  ['an overflow page with less than it says', DAMAGE_SIZE, overflowOf(100, 7, 9000, 99)],
  ['an overflow page with more than remains', DAMAGE_SIZE, overflowOf(100, 0, 99)],
  ['an overflow page before a private one', DAMAGE_REFERENCE, overflowOf(4056, PRIVATE_PAGE + 7, 9000)],
  ['half a header', DAMAGE_SIZE, Buffer.from([PAGE_LEAF, 0, 0, 0, 0, 0, 0])],
  ['half an overflow header', DAMAGE_SIZE, overflowOf(0, 0, 0).subarray(0, 15)],
];

describe.each([
  { name: 'release', module: {} },
  { name: 'debug', module: { module: debug } },
])('$name', ({ module }) => {
  test.each(table)('payload: %s is judged for what it is', (_fact, fault, payload, page = 5) => {
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 20 });
    const { x } = driver;
    const free = x.freeCount();
    driver.core.u8.set(payload, INPUT_AREA);
    const length = x.blockSeal(BLOCK_PAGE, page, 0, INPUT_AREA, payload.length, CODEC_NONE, STAGING_AREA);
    const status = x.pageLoad(STAGING_AREA, length, page, x.blockSumLow(), x.blockSumHigh(), 0, false);
    expect(status === OK ? DAMAGE_NONE : x.damage()).toBe(fault);
    expect(x.freeCount()).toBe(status === OK ? free - 1 : free);
    if (status === OK) {
      const again = x.blockSealPage(x.frameNewest(page), CODEC_NONE, STAGING_AREA);
      expect(again).toBe(length);
      const sealed = driver.core.u8.subarray(STAGING_AREA + 64, STAGING_AREA + 64 + payload.length);
      expect(Buffer.compare(sealed, payload)).toBe(0);
    }
  });

  /** A store of hand-made pages; page 1 is the root. */
  const storeOf = (pages: Record<number, Buffer>): CoreDriver => {
    const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 40 });
    const { x, core } = driver;
    for (const [number, payload] of Object.entries(pages)) {
      core.u8.set(payload, INPUT_AREA);
      const length = x.blockSeal(
        BLOCK_PAGE,
        +number,
        0,
        INPUT_AREA,
        payload.length,
        CODEC_NONE,
        STAGING_AREA,
      );
      const bytes = core.u8.slice(STAGING_AREA, STAGING_AREA + length);
      driver.disk.set(+number, { bytes, low: x.blockSumLow(), high: x.blockSumHigh() });
      driver.taken.add(+number);
    }
    driver.adopt(driver);
    return driver;
  };
  const root = (...children: [key: string, page: number][]) =>
    payloadOf({ ...inner, rows: children.map(([key, word]) => ({ key, word })) });
  const leaf = (...keys: string[]) => payloadOf({ rows: keys.map((key) => ({ key })) });
  const bytesOf = (text: string) => Buffer.from(text, 'latin1');

  test.each<[fact: string, fault: number, child: Buffer]>([
    ['its bounds to the byte', DAMAGE_NONE, leaf('f', 'mz', 'm\xff\xff')],
    ['no key', DAMAGE_NONE, leaf()],
    ['a key below its bound', DAMAGE_ORDER, leaf('ez', 'm')],
    ['a key that is its upper bound', DAMAGE_ORDER, leaf('g', 'n')],
    ['a key above its bound', DAMAGE_ORDER, leaf('g', 'z')],
    ['another level', DAMAGE_KIND, payloadOf({ ...inner, rows: [{}, { key: 'g' }] })],
    ['a piece of a value', DAMAGE_KIND, overflowOf(10, 0, 10)],
  ])('payload: a child with %s is judged by what its parent expects', (_fact, fault, child) => {
    const reads = [
      (driver: CoreDriver) => driver.get(1, bytesOf('h')),
      (driver: CoreDriver) => driver.rangePart(1, bytesOf('h'), undefined, 0, 10),
      (driver: CoreDriver) => driver.put(1, bytesOf('h'), new Uint8Array(3)),
      (driver: CoreDriver) => driver.delete(1, bytesOf('h')),
    ];
    for (const read of reads) {
      const driver = storeOf({
        1: root(['', 2], ['f', 3], ['n', 4]),
        2: leaf('a'),
        3: child,
        4: leaf('n', 'z'),
      });
      if (fault === DAMAGE_NONE) read(driver);
      else expect(() => read(driver)).toThrow(`damage ${fault} of page 3`);
      driver.audit();
    }
  });

  test('payload: a page that is its own neighbour, or a piece of a value for one, is not merged with', () => {
    const twice = storeOf({ 1: root(['', 2], ['f', 3], ['n', 3]), 2: leaf('a'), 3: leaf('g', 'h') });
    expect(() => twice.delete(1, bytesOf('g'))).toThrow(`damage ${DAMAGE_KIND} of page 3`);
    const rows = [{ key: 'a', word: CHAINED + 10, value: 4 }, { key: 'b' }];
    const chained = storeOf({ 1: root(['', 2], ['f', 7]), 2: payloadOf({ rows }), 7: overflowOf(10, 0, 10) });
    expect(chained.get(1, bytesOf('a'))).toEqual(new Uint8Array(10).fill(0x2e));
    expect(() => chained.delete(1, bytesOf('b'))).toThrow(`damage ${DAMAGE_KIND} of page 7`);
  });

  /** Looks for one key the way many at once are looked for. */
  const getGroup = (driver: CoreDriver, key: string): void => {
    const { core, x } = driver;
    driver.must(() => {
      core.u32[INPUT_AREA / 4] = key.length;
      core.u8.set(bytesOf(key), INPUT_AREA + 4);
      return x.treeGetGroup(1, LATEST, 1);
    });
    x.framesUnpin();
  };

  test('payload: a page that is in memory for another reason is held against its place too', () => {
    const rows = [{ key: 'a', word: CHAINED + 10, value: 4 }];
    const reads = [
      (driver: CoreDriver) => driver.get(1, bytesOf('n')),
      (driver: CoreDriver) => driver.rangePart(1, bytesOf('n'), undefined, 0, 10),
      (driver: CoreDriver) => getGroup(driver, 'n'),
    ];
    for (const read of reads) {
      const piece = storeOf({ 1: root(['', 2], ['f', 7]), 2: payloadOf({ rows }), 7: overflowOf(10, 0, 10) });
      expect(piece.get(1, bytesOf('a'))).toHaveLength(10);
      expect(() => read(piece)).toThrow(`damage ${DAMAGE_KIND} of page 7`);

      const top = payloadOf({ kind: PAGE_INNER, level: 2, rows: [{ word: 5 }, { key: 'm', word: 2 }] });
      const level = storeOf({ 1: top, 5: root(['', 2], ['f', 3]), 2: leaf('a'), 3: leaf('g') });
      expect(level.get(1, bytesOf('a'))).toHaveLength(0);
      expect(() => read(level)).toThrow(`damage ${DAMAGE_KIND} of page 2`);
    }
  });

  test('payload: a neighbour of another level is not merged with', () => {
    const above = (level: number, ...words: number[]) =>
      payloadOf({
        kind: PAGE_INNER,
        level,
        rows: words.map((word, i) => ({ key: i === 0 ? '' : 'm', word })),
      });
    const driver = storeOf({ 1: above(3, 5, 6), 5: above(2, 6), 6: above(1, 2), 2: leaf('a', 'b') });
    expect(() => driver.delete(1, bytesOf('a'))).toThrow(`damage ${DAMAGE_KIND} of page 6`);
  });

  test('payload: a chain that begins with a page of the tree is damage, in memory or not', () => {
    const rows = [{ key: 'a', word: CHAINED + 10, value: 4 }];
    const pages = { 1: root(['', 2], ['f', 7]), 2: payloadOf({ rows }), 7: leaf('g') };
    expect(() => storeOf(pages).get(1, bytesOf('a'))).toThrow(`damage ${DAMAGE_KIND} of page 7`);
    const driver = storeOf(pages);
    expect(driver.get(1, bytesOf('g'))).toHaveLength(0);
    driver.x.mergesSet(false); // else the two leaves become one first
    expect(() => driver.delete(1, bytesOf('a'))).toThrow(`damage ${DAMAGE_OVERFLOW} of page 7`);
  });

  test.each<[fact: string, chain: Record<number, Buffer>]>([
    ['is longer than its record says', { 7: overflowOf(4056, 8, 5001), 8: overflowOf(945, 0, 945) }],
    ['ends early', { 7: overflowOf(4056, 0, 5000) }],
    ['goes on too long', { 7: overflowOf(4056, 8, 5000), 8: overflowOf(944, 9, 944) }],
    ['is a circle', { 7: overflowOf(4056, 7, 5000) }],
    ['has an empty piece', { 7: overflowOf(4056, 8, 5000), 8: overflowOf(0, 9, 944) }],
  ])('payload: a chain that %s is damage', (_fact, chain) => {
    const rows = [{ key: 'a', word: CHAINED + 5000, value: 4 }];
    const driver = storeOf({ 1: payloadOf({ rows }), ...chain });
    expect(() => driver.get(1, bytesOf('a'))).toThrow(`damage ${DAMAGE_OVERFLOW}`);
  });
});
