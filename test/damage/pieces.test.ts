/* Damage to more than a bit, and files cut at every place: what must come of each is known exactly (pieces.ts). */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Files } from '../support/files.ts';
import { startLending, stopLending } from '../support/memories.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import { Random } from '../wal/random.ts';
import { type BitStore, judgeFiles, makeBitStore, type Verdict } from './bit-store.ts';
import { expectedOfFiles } from './pieces.ts';

const HOURS = 3_600_000;
/** Of each kind and store. */
const ROUNDS = sized(8, 60, 60_000);
/** A file is cut at every so many bytes, and around every sector. */
const CUT_STEP = sized(512, 64, 1);

const stores = [
  await makeBitStore('lz4', true),
  await makeBitStore('none', true, true),
  await makeBitStore('none', false),
];
/** Another store of the same shape: its blocks lie where ours do, or nearly. */
const foreign = await makeBitStore('lz4', false);
const foreignLog = (await makeBitStore('none', true)).files.get('log-1')!;

beforeAll(startLending);
afterAll(stopLending);

const total: Record<Verdict, number> & { faults: number } = {
  faults: 0,
  right: 0,
  shorter: 0,
  partial: 0,
  refused: 0,
};

type Damage = (bytes: Uint8Array, random: Random, file: string, store: BitStore) => void;

const sectorIn = (bytes: Uint8Array, random: Random) => random.below(Math.max(1, bytes.length >> 9)) * 512;

const KINDS: Record<string, Damage> = {
  'up to 64 bytes of garbage': (bytes, random) => {
    const from = random.below(bytes.length);
    for (let at = from; at < Math.min(bytes.length, from + 1 + random.below(64)); at++)
      bytes[at] = random.below(256);
  },
  'a zeroed sector': (bytes, random) => {
    const at = sectorIn(bytes, random);
    bytes.fill(0, at, at + 512);
  },
  'a zeroed block of 4 KiB': (bytes, random) => {
    const at = sectorIn(bytes, random);
    bytes.fill(0, at, at + 4096);
  },
  'two sectors exchanged': (bytes, random) => {
    const [a, b] = [sectorIn(bytes, random), sectorIn(bytes, random)];
    const held = bytes.slice(a, a + 512);
    bytes.copyWithin(a, b, b + 512);
    bytes.set(held, b);
  },
  'a block copied over another': (bytes, random, file, { anatomy }) => {
    if (file !== 'data') return void bytes.copyWithin(sectorIn(bytes, random), sectorIn(bytes, random), 512);
    const pick = () => anatomy.blocks[random.below(anatomy.blocks.length)]!;
    const [source, target] = [pick(), pick()];
    bytes.copyWithin(
      target.from,
      source.from,
      Math.min(source.end, source.from + bytes.length - target.from),
    );
  },
  "a sector of another store's": (bytes, random, file) => {
    const other = foreign.files.get(file) ?? foreignLog;
    // Not in the place of a superblock: of two whole ones nobody can say which is ours.
    const at = Math.max(file === 'data' ? 8192 : 0, sectorIn(bytes, random));
    bytes.set(other.subarray(at, at + 512).subarray(0, bytes.length - at), at);
  },
};

async function judge(store: BitStore, files: Files, readOnly: boolean, what: string): Promise<void> {
  const expected = expectedOfFiles(store, files, readOnly);
  const verdict = await judgeFiles(store, files, expected, { errors: 0, exactly: 0 }, { readOnly }).catch(
    (cause: unknown) => {
      const mode = readOnly ? 'reading' : 'writing';
      throw new Error(`SEED=${seed}, ${store.name}, ${what}, ${mode}: ${cause}`, { cause });
    },
  );
  total[verdict]++;
  total.faults++;
}

test.each(Object.entries(KINDS))(
  'damage: %s comes out as the format says',
  { timeout: 10 * HOURS },
  async (_what, kind) => {
    const before = total.partial + total.refused;
    for (const store of stores) {
      const random = new Random(seed);
      const names = [...store.files.keys()];
      for (let round = 0; round < ROUNDS; round++) {
        const file = random.chance(0.5) ? 'data' : names[random.below(names.length)]!;
        const bytes = store.files.get(file)!.slice();
        kind(bytes, random, file, store);
        await judge(store, new Map(store.files).set(file, bytes), round % 2 === 0, `round ${round}`);
      }
    }
    expect(total.partial + total.refused).toBeGreaterThan(before);
  },
);

test('damage: a file cut at any place comes out as the format says', { timeout: 10 * HOURS }, async () => {
  for (const store of long ? stores : stores.slice(0, 1)) {
    for (const [file, bytes] of store.files) {
      for (let size = 0; size < bytes.length; size += CUT_STEP) {
        for (const edge of size % 512 === 0 && CUT_STEP > 1 ? [size, size + 1, size + 511] : [size]) {
          const files = new Map(store.files).set(file, bytes.subarray(0, edge));
          await judge(store, files, edge % 2 === 0, `${file} cut at ${edge}`);
        }
      }
    }
  }
  expect(total.refused).toBeGreaterThan(sized(20, 100, 100));
});

test('damage: the figures of damage in pieces', () => {
  expect(total.faults).toBeGreaterThan(sized(200, 1500, 1500));
  report(
    'structured damage',
    {
      faults: total.faults,
      'wrong values': 0,
      'keys, trees and blocks silently missing': 0,
      'without effect': total.right,
      'the unmarked last commits cut': total.shorter,
      'found while reading': total.partial,
      'refused at opening': total.refused,
    },
    'npx vitest run test/damage/pieces.test.ts',
  );
});
