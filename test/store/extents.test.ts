/* The free space of the data file, against a plain list of who owns which unit. */
import { expect, test } from 'vitest';
import { Extents } from '../../src/store/extents.ts';
import { seed } from '../support/seed.ts';
import { Random } from '../wal/random.ts';

const FIRST = 16;
/** Units of one piece of the bitmap, which no extent lies across. */
const PIECE = 65_536;

/** Extents with holes of many lengths, around the edge of a piece. */
function makeHoles(random: Random): Extents {
  const extents = new Extents(FIRST);
  let unit = PIECE - 400;
  while (unit < PIECE + 400) {
    const length = 1 + random.below(12);
    if (random.chance(0.5)) expect(extents.claim(unit, length)).toBe(true);
    unit += length;
  }
  expect(extents.claim(unit, 1)).toBe(true);
  // Nothing is free before them.
  expect(extents.claim(FIRST, PIECE - 400 - FIRST)).toBe(true);
  return extents;
}

test('extents: so many blocks as there are places for fit in the holes, whatever their sizes', () => {
  const random = new Random(seed);
  for (let round = 0; round < 300; round++) {
    const extents = makeHoles(random);
    const units = 1 + random.below(9);
    const places = extents.places(units, Number.POSITIVE_INFINITY);
    expect(extents.places(units, 5)).toBe(Math.min(places, 5));
    const { end } = extents;
    for (let block = 0; block < places; block++) extents.allocate(1 + random.below(units));
    expect(extents.end).toBe(end);
  }
});

test('extents: no hole is left when all places of one unit are taken', () => {
  const extents = makeHoles(new Random(seed));
  const { end, holeUnits } = extents;
  expect(extents.places(1, Number.POSITIVE_INFINITY)).toBe(holeUnits);
  for (let unit = 0; unit < holeUnits; unit++) extents.allocate(1);
  expect([extents.end, extents.holeUnits, extents.places(1, 1)]).toEqual([end, 0, 0]);
  expect(extents.allocate(1)).toBe(end);
});

test('extents: a unit is owned once, and given back once', () => {
  const extents = new Extents(FIRST);
  const start = extents.allocate(5);
  expect(start).toBe(FIRST);
  expect(extents.claim(start + 4, 2)).toBe(false);
  expect(extents.claim(FIRST - 1, 1)).toBe(false);
  extents.free(start, 5);
  expect(extents.end).toBe(FIRST);
  expect(() => extents.free(start, 1)).toThrow('owned unit');
});

test('extents: the file ends at 2 TiB, and nobody owns what lies behind the bitmap', () => {
  const extents = new Extents(FIRST);
  expect(() => extents.allocate(2 ** 32)).toThrow('2 TiB');
  expect([extents.end, extents.used, extents.owns(2 ** 31, 1)]).toEqual([FIRST, 0, false]);
});

test('extents: a full file is asked for places again and again in no time', () => {
  const extents = new Extents(FIRST);
  const units = 2 ** 21;
  for (let unit = FIRST; unit < units; unit += 64) extents.claim(unit, 60);
  expect(extents.places(17, 1)).toBe(0);
  const began = process.cpuUsage();
  for (let call = 0; call < 500; call++) expect(extents.places(17, 100)).toBe(0);
  const { user, system } = process.cpuUsage(began);
  // Bit by bit it is a thousand million steps.
  expect(user + system, 'microseconds').toBeLessThan(500_000);
  // What is given back is found, with the four free units on either side.
  extents.free(FIRST + 64, 60);
  expect(extents.places(17, 100)).toBe(4);
});
