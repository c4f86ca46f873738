/*
 * The control of bits.test.ts: the same flips, but with every checksum made right again, as if the engine compared
 * none. Then bytes of values go by, and the judge must say so each time.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startLending, stopLending } from '../support/memories.ts';
import { seed } from '../support/seed.ts';
import { Random } from '../wal/random.ts';
import { Anatomy } from './anatomy.ts';
import { type BitStore, judgeFiles, makeBitStore } from './bit-store.ts';
import { expectedOfBit } from './flips.ts';
import { Forge } from './forge.ts';

beforeAll(startLending);
afterAll(stopLending);

test('damage: the judge of flipped bits finds them out when no checksum does', async () => {
  const made = await makeBitStore('none', false);
  const forge = new Forge(made.files);
  const store: BitStore = { ...made, files: forge.files, anatomy: new Anatomy(forge.files) };
  const chains = forge.fields.get('overflow page')!.filter(({ size, at }) => size === 1 && at % 512 === 64);
  expect(chains.length).toBeGreaterThan(5);
  const random = new Random(seed);
  for (let round = 0; round < 40; round++) {
    // A byte of a long value.
    const from = chains[random.below(chains.length)]!.at + 16;
    const at = from + random.below(store.anatomy.blockAt(from)!.to - from);
    const bit = { file: 'data', at, mask: 1 << random.below(8) };
    const expected = expectedOfBit(store, bit, true);
    const judge = (files: typeof store.files) =>
      judgeFiles(store, files, expected, { errors: 0, exactly: 0 }, { readOnly: true });
    const files = new Map([...store.files].map(([name, bytes]) => [name, bytes.slice()]));
    files.get('data')![at]! ^= bit.mask;
    expect(await judge(files)).toBe('partial');
    forge.reseal(files, [{ file: 'data', at, size: 1 }]);
    await expect(judge(files)).rejects.toThrow(/has another value|block \d+: a block: the checksum/);
  }
});
