/*
 * Our LZ4 blocks and those of the `lz4` tool, each read by the other: a minimal frame around our blocks, and the blocks
 * taken out of the tool's frames. Without the tool there is nobody to ask, and the test says so.
 */
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { startCodecs } from '../support/codec-core.ts';
import { kindNames, kinds, randomFrom } from '../support/codec-data.ts';
import { compressGuarded, decompressGuarded, same } from '../support/lz4-guarded.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';

const BLOCKS = long ? 100_000 : 1500;
/** Blocks of one frame: starting the tool takes longer than all it does. */
const FRAME = 500;
const BLOCK_SIZE_MAX = 65_536;
/** Magic, then: version 1, blocks that stand alone, no checksums; blocks of up to 64 KiB; the header's checksum. */
const HEADER = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82);
const STORED = 0x80000000;

const hasTool = spawnSync('lz4', ['--version']).status === 0;
const [core] = startCodecs();

function lz4(input: Uint8Array, ...flags: string[]): Uint8Array {
  const { status, stdout, stderr } = spawnSync('lz4', [...flags, '-c'], { input, maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`lz4 ${flags.join(' ')}: ${stderr}`);
  return stdout;
}

/** Pages of every kind of content. */
function pagesFrom(first: number, count: number): Uint8Array[] {
  const random = randomFrom(seed * 1000 + first);
  return Array.from({ length: count }, () =>
    kinds[kindNames[random(kindNames.length)]!](1 + random(9000), random),
  );
}

function word(value: number): Uint8Array {
  return Uint8Array.of(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
}

/** The blocks of a frame that was made with `-BI` and no checksums but the header's. */
function blocksOf(frame: Uint8Array): { bytes: Uint8Array; isStored: boolean }[] {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  expect(view.getUint32(0, true)).toBe(0x184d2204);
  const blocks: { bytes: Uint8Array; isStored: boolean }[] = [];
  for (let at = HEADER.length; ; ) {
    const size = view.getUint32(at, true);
    if (size === 0) return blocks;
    at += 4;
    const length = size & ~STORED;
    blocks.push({ bytes: frame.slice(at, at + length), isStored: (size & STORED) !== 0 });
    at += length;
  }
}

test.skipIf(!hasTool)(
  'lz4: the lz4 tool reads our blocks, and we read those it writes',
  { timeout: 3_600_000 },
  () => {
    let [written, read] = [0, 0];
    for (let first = 0; first < BLOCKS; first += FRAME) {
      const pages = pagesFrom(first, FRAME);
      const parts: Uint8Array[] = [HEADER];
      for (const page of pages) {
        const block = compressGuarded(core!, page, page.length * 2 + 64)!;
        parts.push(word(block.length), block);
        written++;
      }
      const content = Buffer.concat(pages);
      expect(
        same(lz4(Buffer.concat([...parts, word(0)]), '-d'), content),
        `SEED=${seed}, from ${first}`,
      ).toBe(true);
      // The tool cuts what it is given into blocks of 64 KiB.
      let at = 0;
      for (const { bytes, isStored } of blocksOf(
        lz4(content, '-B4', '-BI', '--no-frame-crc', first % 1000 === 0 ? '-9' : '-1'),
      )) {
        const size = Math.min(BLOCK_SIZE_MAX, content.length - at);
        const page = isStored ? bytes : decompressGuarded(core!, bytes, size);
        expect(
          page && same(page, content.subarray(at, at + size)),
          `SEED=${seed}, from ${first}, at ${at}`,
        ).toBe(true);
        at += size;
        read++;
      }
      expect(at).toBe(content.length);
    }
    report(
      'compression frames, with the lz4 tool',
      { 'our blocks read by it': written, 'its blocks read by us': read, differences: 0 },
      'npx vitest run test/damage/lz4-tool.test.ts',
    );
  },
);
