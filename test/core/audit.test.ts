/*
 * The core's own auditors, seen to find what is wrong: every rule for a page in memory and for the table of frames is
 * broken once, by hand, and must be named. Beside them the refusals that no host of ours provokes.
 */
import { describe, expect, test } from 'vitest';
import {
  DAMAGE_IDENTITY,
  DAMAGE_KIND,
  DAMAGE_ORDER,
  DAMAGE_REFERENCE,
  DAMAGE_SIZE,
  DAMAGED,
  OK,
  STATE_AREA,
  VALUE_OVERFLOW,
} from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import { createCore } from '../../src/core/wasm.ts';
import { CoreDriver } from '../support/core-driver.ts';
import { bytesOf } from '../support/core-model.ts';
import { brokenFrameRule } from '../support/frame-audit.ts';

// Fields of a page, and of its slots behind the header (assembly/page/page.ts).
const [EPOCH, COUNT, HEAP, GARBAGE, NEXT, USED, HEADER] = [8, 16, 20, 24, 28, 32, 40];
const slotAt = (index: number) => HEADER + 8 * index;
// Fields of the frame table (assembly/pool/frames.ts, assembly/memory/memory.ts).
const [YOUNGER, FLAGS, ENTRY] = [4, 12, 32];
const state = (offset: number) => (STATE_AREA + offset) / 4;

function makeDriver(): CoreDriver {
  return new CoreDriver({ pageSize: 4096, frames: 40, module: debug });
}

/** A page in memory, to be spoilt. */
interface Patient {
  readonly view: DataView;
  /** Address of a slot's cell in the page. */
  cell(index: number): number;
}

/** A leaf with a chained value and short ones, an inner page above others, and an overflow page. */
function makePages() {
  const driver = makeDriver();
  const root = driver.create();
  driver.put(root, bytesOf('prefix a'), new Uint8Array(5000));
  for (let n = 0; n < 400; n++) driver.put(root, bytesOf(`prefix b${n}`), new Uint8Array(20));
  const { u32, u8 } = driver.core;
  const inner = driver.x.frameNewest(root);
  const first = driver.x.frameAddress(inner);
  const view = new DataView(u8.buffer);
  const leafPage = u32[(first + view.getUint16(first + slotAt(0) + 4, true)) / 4]!;
  const leaf = driver.x.frameNewest(leafPage);
  const base = driver.x.frameAddress(leaf);
  const cell = base + view.getUint16(base + slotAt(0) + 4, true);
  const overflow = driver.x.frameNewest(view.getUint32(cell + 4 + 'prefix a'.length, true));
  return { driver, frames: { leaf, inner, overflow } };
}

type Kind = 'leaf' | 'inner' | 'overflow';

const faults: readonly [what: string, kind: Kind, fault: number, spoil: (page: Patient) => void][] = [
  ['another number', 'leaf', DAMAGE_IDENTITY, ({ view }) => view.setUint32(0, 0x1234, true)],
  ['an epoch yet to come', 'leaf', DAMAGE_IDENTITY, ({ view }) => view.setUint32(EPOCH + 4, 1, true)],
  ['a level above a leaf', 'leaf', DAMAGE_KIND, ({ view }) => view.setUint8(5, 1)],
  ['no kind', 'leaf', DAMAGE_KIND, ({ view }) => view.setUint8(4, 0)],
  ['an inner page at the bottom', 'inner', DAMAGE_KIND, ({ view }) => view.setUint8(5, 0)],
  ['an overflow page with a level', 'overflow', DAMAGE_KIND, ({ view }) => view.setUint8(5, 1)],
  ['more slots than fit', 'leaf', DAMAGE_SIZE, ({ view }) => view.setUint32(COUNT, 9000, true)],
  ['a heap behind the page', 'leaf', DAMAGE_SIZE, ({ view }) => view.setUint32(HEAP, 4097, true)],
  ['a heap among the slots', 'leaf', DAMAGE_SIZE, ({ view }) => view.setUint32(HEAP, HEADER + 8, true)],
  ['no child', 'inner', DAMAGE_SIZE, ({ view }) => view.setUint32(COUNT, 0, true)],
  ['a cell before the heap', 'leaf', DAMAGE_SIZE, ({ view }) => view.setUint16(slotAt(1) + 4, 50, true)],
  ['a key beyond the page', 'leaf', DAMAGE_SIZE, ({ view }) => view.setUint16(slotAt(1) + 6, 4096, true)],
  [
    'a key too long',
    'leaf',
    DAMAGE_SIZE,
    ({ view, cell }) => {
      // Of the cells, the one that lies first has space for a long key behind it.
      const count = view.getUint32(COUNT, true);
      let lowest = 0;
      for (let i = 1; i < count; i++) if (cell(i) < cell(lowest)) lowest = i;
      view.setUint16(slotAt(lowest) + 6, 513, true);
    },
  ],
  [
    'a second child without a key',
    'inner',
    DAMAGE_ORDER,
    ({ view }) => view.setUint16(slotAt(1) + 6, 0, true),
  ],
  ['a child of number 0', 'inner', DAMAGE_REFERENCE, ({ view, cell }) => view.setUint32(cell(1), 0, true)],
  [
    'a tombstone of a shared page',
    'leaf',
    DAMAGE_SIZE,
    ({ view, cell }) => view.setUint32(cell(1), 0x80000000, true),
  ],
  [
    'a value beyond the page',
    'leaf',
    DAMAGE_SIZE,
    ({ view, cell }) => {
      const count = view.getUint32(COUNT, true);
      let highest = 0;
      for (let i = 1; i < count; i++) if (cell(i) > cell(highest)) highest = i;
      view.setUint32(cell(highest), highest === 0 ? 900 : 600, true);
    },
  ],
  [
    'a chain of number 0',
    'leaf',
    DAMAGE_REFERENCE,
    ({ view, cell }) => view.setUint32(cell(0) + 12, 0, true),
  ],
  [
    'two cells in one place',
    'leaf',
    DAMAGE_SIZE,
    ({ view, cell }) => view.setUint16(slotAt(1) + 4, cell(2), true),
  ],
  ['bytes nobody counts', 'leaf', DAMAGE_SIZE, ({ view }) => view.setUint32(GARBAGE, 4000, true)],
  ['keys out of order', 'leaf', DAMAGE_ORDER, ({ view, cell }) => view.setUint8(cell(2) + 4 + 7, 0x41)],
  ['a prefix not all have', 'leaf', DAMAGE_ORDER, ({ view }) => view.setUint16(6, 8, true)],
  ['a head of other bytes', 'leaf', DAMAGE_ORDER, ({ view }) => view.setUint32(slotAt(1), 1, true)],
  [
    'more bytes than it has space for',
    'overflow',
    DAMAGE_SIZE,
    ({ view }) => view.setUint32(USED, 5000, true),
  ],
  [
    'a next page that cannot be',
    'overflow',
    DAMAGE_REFERENCE,
    ({ view }) => view.setUint32(NEXT, 0x7fffffff, true),
  ],
];

describe('audit', () => {
  test.each(faults)('audit: a page with %s is found out (%s)', (_what, kind, fault, spoil) => {
    const { driver, frames } = makePages();
    const address = driver.x.frameAddress(frames[kind]);
    const number = driver.x.frameNumber(frames[kind]);
    expect(driver.x.inspectPage(address, number)).toBe(OK);
    const view = new DataView(driver.core.u8.buffer, address, 4096);
    spoil({ view, cell: (index) => view.getUint16(slotAt(index) + 4, true) });
    expect(driver.x.inspectPage(address, number)).toBe(DAMAGED);
    expect([driver.x.damage(), driver.x.damagePage()]).toEqual([fault, number]);
  });

  test('audit: every rule of the frame table is seen to be broken', () => {
    const { driver, frames } = makePages();
    const { u32 } = driver.core;
    const { x } = driver;
    expect(brokenFrameRule(driver.core)).toBe(0);
    expect(driver.fillOf(frames.leaf)).toBeGreaterThan(100);
    const table = u32[state(16)]!;
    const entry = (frame: number, field: number) => (table + frame * ENTRY + field) / 4;
    const [free, hand, tail, freeCount, dirty] = [28, 44, 40, 32, 48].map(state) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const broken: [rule: number, word: number, value: number][] = [
      [1, entry(u32[free]!, FLAGS), 1],
      [2, entry(frames.leaf, FLAGS), 0],
      [2, entry(frames.leaf, YOUNGER), 99],
      [2, tail, 0],
      [3, x.frameAddress(frames.leaf) / 4, 0x123456],
      [4, freeCount, u32[freeCount]! + 1],
      [5, hand, u32[free]!],
      [6, dirty, u32[dirty]! + 1],
    ];
    for (const [rule, word, value] of broken) {
      const before = u32[word]!;
      u32[word] = value;
      expect(brokenFrameRule(driver.core)).toBe(rule);
      u32[word] = before;
    }
    expect(brokenFrameRule(driver.core)).toBe(0);
  });

  test('memory: a page size that cannot be, and a pool beyond the memory, are refused', () => {
    expect(() => createCore({ pageSize: 5000, frames: 1, storeId: [1, 2] })).toThrow(
      'the pool fits its memory',
    );
    const { x } = createCore({ pageSize: 4096, frames: 16, storeId: [1, 2] });
    expect(x.memoryInit(32, 5000, 1, 2)).toBe(DAMAGED);
    expect(x.memoryInit(5000, 5000, 1, 2)).toBe(DAMAGED);
    expect(x.memoryInit(100, 32, 1, 2)).toBe(OK);
    expect(x.memoryInit(32, 32, 1, 2)).toBe(OK);
  });

  test('frames: an empty pool has no victims, and no more numbers are taken than there is space for', () => {
    const { x } = makeDriver();
    expect(x.framesReclaim(1000, 8)).toBe(0);
    let taken = 0;
    while (x.numberPush(taken + 1, false)) ++taken;
    expect([x.numberCount(false), taken > 20]).toEqual([taken, true]);
  });
});

test('inspection: the value of a slot is told with its length, or with the first page of its chain', () => {
  const { driver, frames } = makePages();
  const { x } = driver;
  const leaf = x.frameAddress(frames.leaf);
  x.inspectValue(leaf, 0);
  expect([x.valueFlags(), x.valueLength(), x.valueAddress()]).toEqual([
    VALUE_OVERFLOW,
    5000,
    x.frameNumber(frames.overflow),
  ]);
  x.inspectValue(leaf, 1);
  const keyEnd = x.inspectKey(leaf, 1) + x.inspectKeyBytes(leaf, 1);
  expect([x.valueFlags(), x.valueLength(), x.valueAddress()]).toEqual([0, 20, keyEnd]);
});
