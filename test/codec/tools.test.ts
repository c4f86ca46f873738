/*
 * Our zstd frames and those of the `zstd` tool, each read by the other, and both implementations of LZ4. Without the
 * tool there is nobody to ask, and the test says so.
 */
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { lz4 } from '../../src/codec/lz4.ts';
import { lz4Wasm } from '../../src/codec/lz4-wasm.ts';
import { frameContentSize, loadZstd } from '../../src/codec/zstd.ts';
import { kindNames, kinds, randomFrom } from '../support/codec-data.ts';
import { same } from '../support/lz4-guarded.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';

const hasTool = spawnSync('zstd', ['--version']).status === 0;
const zstd = await loadZstd();

function tool(input: Uint8Array, ...flags: string[]): Uint8Array {
  const { status, stdout, stderr } = spawnSync('zstd', [...flags, '-q', '-c'], { input, maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`zstd ${flags.join(' ')}: ${stderr}`);
  return stdout;
}

function frameOf(data: Uint8Array, level: number): Uint8Array {
  const target = new Uint8Array(data.length + (data.length >> 7) + 100);
  return target.subarray(0, zstd.compress(data, target, level));
}

test.skipIf(!hasTool)(
  'zstd: the zstd tool reads our frames, and we read those it writes',
  { timeout: 600_000 },
  () => {
    const random = randomFrom(seed);
    // Many frames at once: starting the tool takes longer than all it does.
    const pages = Array.from({ length: long ? 100_000 : 3000 }, () =>
      kinds[kindNames[random(kindNames.length)]!](1 + random(9000), random),
    );
    for (let first = 0; first < pages.length; first += 500) {
      const some = pages.slice(first, first + 500);
      const frames = some.map((page) => frameOf(page, 1 + random(9)));
      expect(
        same(tool(Buffer.concat(frames), '-d'), Buffer.concat(some)),
        `SEED=${seed}, from ${first}`,
      ).toBe(true);
    }
    let read = 0;
    for (let round = 0; round < (long ? 300 : 10); round++) {
      const data = kinds[kindNames[round % kindNames.length]!](1 + random(1_000_000), random);
      const flags = [
        `-${1 + random(19)}`,
        `--stream-size=${data.length}`,
        round % 2 ? '--check' : '--no-check',
      ];
      const frame = tool(data, ...flags);
      expect(frameContentSize(frame)).toBe(data.length);
      const again = new Uint8Array(data.length);
      expect(zstd.decompress(frame, again), flags.join(' ')).toBe(data.length);
      expect(same(again, data)).toBe(true);
      read++;
    }
    report(
      'compression frames, with the zstd tool',
      { 'our frames read by it': pages.length, 'its frames read by us': read, differences: 0 },
      'npx vitest run test/codec/tools.test.ts',
    );
  },
);

test('lz4: our blocks and those of lz4-wasm are the same to either', { timeout: 600_000 }, () => {
  const random = randomFrom(seed);
  const count = long ? 100_000 : 3000;
  const wrong: number[] = [];
  for (let n = 0; n < count; n++) {
    const data = kinds[kindNames[random(kindNames.length)]!](1 + random(9000), random);
    const target = new Uint8Array(2 * data.length + 100);
    const again = new Uint8Array(data.length);
    for (const [writer, reader] of [
      [lz4, lz4Wasm],
      [lz4Wasm, lz4],
    ] as const) {
      const block = target.subarray(0, writer.compress(data, target));
      if (reader.decompress(block, again) !== data.length || !same(again, data)) wrong.push(n);
    }
  }
  expect(wrong, `SEED=${seed}`).toEqual([]);
  report(
    'LZ4 blocks, with lz4-wasm',
    { 'our blocks read by it': count, 'its blocks read by us': count, differences: 0 },
    'npx vitest run test/codec/tools.test.ts',
  );
});
