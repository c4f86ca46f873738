/* The free space of the data file, against a plain list of who owns which sector. */
import { expect, test } from 'vitest';
import { Extents } from '../../src/store/extents.ts';
import { seed } from '../support/seed.ts';
import { Random } from '../wal/random.ts';

const FIRST = 16;
/** Sectors of one piece of the bitmap, which no extent lies across. */
const PIECE = 65_536;

/** Extents with holes of many lengths, around the edge of a piece. */
function makeHoles(random: Random): Extents {
  const extents = new Extents(FIRST);
  let sector = PIECE - 400;
  while (sector < PIECE + 400) {
    const length = 1 + random.below(12);
    if (random.chance(0.5)) expect(extents.claim(sector, length)).toBe(true);
    sector += length;
  }
  expect(extents.claim(sector, 1)).toBe(true);
  // Nothing is free before them.
  expect(extents.claim(FIRST, PIECE - 400 - FIRST)).toBe(true);
  return extents;
}

test('extents: so many blocks as there are places for fit in the holes, whatever their sizes', () => {
  const random = new Random(seed);
  for (let round = 0; round < 300; round++) {
    const extents = makeHoles(random);
    const sectors = 1 + random.below(9);
    const places = extents.places(sectors, Number.POSITIVE_INFINITY);
    expect(extents.places(sectors, 5)).toBe(Math.min(places, 5));
    const { end } = extents;
    for (let block = 0; block < places; block++) extents.allocate(1 + random.below(sectors));
    expect(extents.end).toBe(end);
  }
});

test('extents: no hole is left when all places of one sector are taken', () => {
  const extents = makeHoles(new Random(seed));
  const { end, holeSectors } = extents;
  expect(extents.places(1, Number.POSITIVE_INFINITY)).toBe(holeSectors);
  for (let sector = 0; sector < holeSectors; sector++) extents.allocate(1);
  expect([extents.end, extents.holeSectors, extents.places(1, 1)]).toEqual([end, 0, 0]);
  expect(extents.allocate(1)).toBe(end);
});

test('extents: a sector is owned once, and given back once', () => {
  const extents = new Extents(FIRST);
  const start = extents.allocate(5);
  expect(start).toBe(FIRST);
  expect(extents.claim(start + 4, 2)).toBe(false);
  expect(extents.claim(FIRST - 1, 1)).toBe(false);
  extents.free(start, 5);
  expect(extents.end).toBe(FIRST);
  expect(() => extents.free(start, 1)).toThrow('owned sector');
});

test('extents: the file ends at 2 TiB, and nobody owns what lies behind the bitmap', () => {
  const extents = new Extents(FIRST);
  expect(() => extents.allocate(2 ** 32)).toThrow('2 TiB');
  expect(() => extents.free(2 ** 31, 1)).toThrow('owned sector');
  expect([extents.end, extents.used]).toEqual([FIRST, 0]);
});

test('extents: a full file is asked for places again and again in no time', () => {
  const extents = new Extents(FIRST);
  const sectors = 2 ** 21;
  for (let sector = FIRST; sector < sectors; sector += 64) extents.claim(sector, 60);
  expect(extents.places(17, 1)).toBe(0);
  const began = process.cpuUsage();
  for (let call = 0; call < 500; call++) expect(extents.places(17, 100)).toBe(0);
  const { user, system } = process.cpuUsage(began);
  // Bit by bit it is a thousand million steps.
  expect(user + system, 'microseconds').toBeLessThan(500_000);
  // What is given back is found, with the four free sectors on either side.
  extents.free(FIRST + 64, 60);
  expect(extents.places(17, 100)).toBe(4);
});
