/* Every bit of whole stores, flipped one at a time. What must come of each flip is known exactly: see flips.ts. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startLending, stopLending } from '../support/memories.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import { Random } from '../wal/random.ts';
import { BIT_STORE_BYTES, type BitStore, makeBitStore, type Verdict } from './bit-store.ts';
import { type Bit, judgeBit } from './flips.ts';

/**
 * Of each store, beside every bit of some headers; in the quick size one bit of each of their bytes. The long size flips
 * every bit of the first store, and one bit of each byte of the others, drawn by the seed.
 */
const RANDOM_FLIPS = sized(60, 500, 500);
const FLIPS_MIN = sized(700, 6000, (8 + 3) * BIT_STORE_BYTES);
const HOURS = 3_600_000;

const stores = await Promise.all([
  makeBitStore('lz4', true),
  makeBitStore('none', true, true),
  makeBitStore('none', false),
  makeBitStore('lz4', false),
  makeBitStore('zstd', false),
]);

beforeAll(startLending);
afterAll(stopLending);

const total = { flips: 0, right: 0, shorter: 0, partial: 0, refused: 0, errors: 0, exactly: 0 };

function* everyBit({ files }: BitStore): Generator<Bit> {
  for (const [file, bytes] of files) {
    for (let bit = 0; bit < bytes.length * 8; bit++) yield { file, at: bit >> 3, mask: 1 << (bit & 7) };
  }
}

/** Bits of both superblocks and of a header of every kind. */
function* bitsOfHeaders({ anatomy }: BitStore): Generator<Bit> {
  const places: [file: string, from: number, to: number][] = [];
  for (const slot of [0, 4096]) places.push(['data', slot, slot + 144], ['data', slot + 504, slot + 512]);
  const chunk = anatomy.blocks.find(({ page }) => page === undefined)!;
  const page = anatomy.blocks.find((block) => block.page !== undefined)!;
  for (const { from } of [chunk, page]) places.push(['data', from, from + 64]);
  for (const { file, offset } of anatomy.groups.slice(-2)) places.push([file, offset, offset + 64]);
  places.push([anatomy.groups[0]!.file, 0, 64]);
  for (const [file, from, to] of places) {
    // A step of nine: each byte once, and each bit of the byte in turn.
    for (let bit = from * 8; bit < to * 8; bit += sized(9, 1, 1))
      yield { file, at: bit >> 3, mask: 1 << (bit & 7) };
  }
}

function* bitsAtRandom({ files }: BitStore, count: number): Generator<Bit> {
  const random = new Random(seed);
  const all = [...files].flatMap(([file, bytes]) => [...bytes.keys()].map((at) => ({ file, at })));
  for (let left = count; left > 0; left--) {
    yield { ...all[random.below(all.length)]!, mask: 1 << random.below(8) };
  }
}

/** One bit of every byte. */
function* bitOfEachByte({ files }: BitStore): Generator<Bit> {
  const random = new Random(seed);
  for (const [file, bytes] of files)
    for (const at of bytes.keys()) yield { file, at, mask: 1 << random.below(8) };
}

/** One bit of some bytes of the page with the names of trees: damage there must not look like no trees. */
function* bitsOfCatalog({ anatomy }: BitStore): Generator<Bit> {
  const { from, to } = anatomy.blocks.find(({ page }) => page === anatomy.catalogRoot)!;
  for (let at = from; at < to; at += sized(30, 5, 5)) yield { file: 'data', at, mask: 1 << (at & 7) };
}

function* bitsOf(store: BitStore): Generator<Bit> {
  if (long) return yield* store === stores[0] ? everyBit(store) : bitOfEachByte(store);
  if (store === stores[0]) yield* bitsOfHeaders(store);
  if (store.states.size === 1) yield* bitsOfCatalog(store);
  yield* bitsAtRandom(store, RANDOM_FLIPS);
}

test.each(stores)(
  'damage: every flipped bit comes out as the format says ($name)',
  { timeout: 10 * HOURS },
  async (store) => {
    expect(store.files.get('data')!.length).toBeGreaterThanOrEqual(BIT_STORE_BYTES);
    const tally: Record<Verdict, number> = { right: 0, shorter: 0, partial: 0, refused: 0 };
    const named = { errors: 0, exactly: 0 };
    let flips = 0;
    for (const bit of bitsOf(store)) {
      // Each byte is seen by a reader and by a writer.
      const readOnly = ((bit.mask & 0x55) === 0) === (bit.at % 2 === 0);
      const verdict = await judgeBit(store, bit, readOnly, named).catch((cause: unknown) => {
        const what = `${store.name}: ${bit.file} at ${bit.at}, mask ${bit.mask}, ${readOnly ? 'reading' : 'writing'}`;
        throw new Error(`SEED=${seed}, ${what}: ${cause}`, { cause });
      });
      tally[verdict]++;
      flips++;
    }
    expect(tally.partial).toBeGreaterThan(flips / 20);
    // What is named is the very place that was hit; damage to a segment's header alone shows where the log breaks off.
    expect(named.exactly).toBe(named.errors);
    total.flips += flips;
    for (const verdict of ['right', 'shorter', 'partial', 'refused'] as const)
      total[verdict] += tally[verdict];
    total.errors += named.errors;
    total.exactly += named.exactly;
  },
);

test('damage: the figures of the flipped bits', () => {
  expect(total.flips).toBeGreaterThanOrEqual(FLIPS_MIN);
  expect(total.refused).toBeGreaterThan(FLIPS_MIN / 50);
  report(
    'single bit flips',
    {
      'bits flipped': total.flips,
      'wrong values': 0,
      'keys, trees and blocks silently missing': 0,
      'process deaths': 0,
      'without effect': total.right,
      'the unmarked last commit cut': total.shorter,
      'found while reading': total.partial,
      'refused at opening': total.refused,
    },
    'npx vitest run test/damage/bits.test.ts',
  );
});
