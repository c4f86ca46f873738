/*
 * Pages whose codec works on the host's side: two calls of the core for each, whatever the codec answers in between.
 */
import { describe, expect, test } from 'vitest';
import {
  BLOCK_CHUNK,
  BLOCK_HEADER_SIZE,
  CODEC_LZ4,
  CODEC_NONE,
  CODEC_ZSTD,
  DAMAGE_CODEC,
  DAMAGE_COMPRESSION,
  DAMAGE_SIZE,
  DAMAGED,
  ENCODED,
  INPUT_AREA,
  OK,
  STAGING_AREA,
} from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import type { Codec } from '../../src/codec/codec.ts';
import { lz4Wasm } from '../../src/codec/lz4-wasm.ts';
import { StoreCodecs } from '../../src/codec/store-codecs.ts';
import { loadZstd } from '../../src/codec/zstd.ts';
import { decodeHosted, sealHosted } from '../../src/store/hosted.ts';
import { CoreDriver } from '../support/core-driver.ts';
import { bytesOf } from '../support/core-model.ts';
import { xxh64 } from '../support/xxh64.ts';

const zstd = await loadZstd();
const builds = [
  { name: 'release', module: {} },
  { name: 'debug', module: { module: debug } },
];
const compressions = ['lz4', 'zstd'] as const;
type Compression = (typeof compressions)[number];
const numbers = { lz4: CODEC_LZ4, zstd: CODEC_ZSTD };
const sound = { lz4: lz4Wasm, zstd };

/** A leaf that compresses, in a core that is told who decodes what. */
function makeLeaf(module: { module?: Uint8Array<ArrayBuffer> }, codecs: StoreCodecs) {
  const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 40 });
  const root = driver.create();
  for (let n = 0; n < 40; n++) driver.put(root, bytesOf(`key ${n}`), bytesOf(`value value value ${n * n}`));
  driver.x.codecsSet(codecs.hosted);
  return { driver, root, frame: driver.x.frameNewest(root) };
}

function codecsWith(compression: Compression, codec: Codec): StoreCodecs {
  return new StoreCodecs({ compression, codecs: { [compression]: codec } });
}

/** Loads the block in the staging area as the newest version of the page. */
function load({ driver, root }: ReturnType<typeof makeLeaf>, codecs: StoreCodecs, length: number): number {
  const { x, core } = driver;
  x.frameDrop(x.frameNewest(root));
  const [low, high] = [x.blockSumLow(), x.blockSumHigh()];
  let status = x.pageLoad(STAGING_AREA, length, root, low, high, 0, false);
  if (status === ENCODED) status = decodeHosted(core, codecs, STAGING_AREA, root);
  else if (status === OK) return -1; // nobody on this side was asked
  if (status === OK) status = x.pageLoadDecoded(STAGING_AREA, root, 0, false);
  x.framesUnpin();
  return status;
}

describe.each(builds.flatMap((build) => compressions.map((compression) => ({ ...build, compression }))))(
  '$name, $compression',
  ({ module, compression }) => {
    const codec = numbers[compression];

    test('hosted: a page comes back as it was, in fewer sectors, and is inspected the same way', () => {
      const codecs = codecsWith(compression, sound[compression]);
      const leaf = makeLeaf(module, codecs);
      const { driver, root, frame } = leaf;
      const { x, core } = driver;
      const plain = x.blockSealPage(frame, CODEC_NONE, STAGING_AREA);
      const raw = core.u8.slice(STAGING_AREA + BLOCK_HEADER_SIZE, STAGING_AREA + plain);
      const length = sealHosted(core, codecs, frame, codec, STAGING_AREA);
      expect(length).toBeGreaterThan(0);
      expect(length).toBeLessThan(plain);
      expect(core.u8[STAGING_AREA + 5]).toBe(codec);
      const [low, high] = [x.blockSumLow(), x.blockSumHigh()];
      expect(x.inspectBlock(length, root, low, high)).toBe(ENCODED);
      expect(decodeHosted(core, codecs, STAGING_AREA, root)).toBe(OK);
      expect(x.inspectDecoded(root)).toBe(OK);
      expect(x.inspectSame(frame)).toBeTruthy();
      expect(load(leaf, codecs, length)).toBe(OK);
      expect(x.blockSealPage(x.frameNewest(root), CODEC_NONE, STAGING_AREA)).toBe(plain);
      expect(core.u8.slice(STAGING_AREA + BLOCK_HEADER_SIZE, STAGING_AREA + plain)).toEqual(raw);
    });

    const { compress } = sound[compression];
    const bad: Record<string, Codec['compress']> = {
      'says that nothing fits': () => 0,
      'answers more than there is space for': (_, target) => target.length + 1,
      'answers less than nothing': () => -7,
      'answers half a byte': () => 100.5,
      'answers no number': () => 'many' as unknown as number,
      'throws an error': () => {
        throw new Error('broken');
      },
      'throws text': () => {
        throw 'broken';
      },
      'writes nothing': () => 200,
      'writes rubbish': (_, target) => target.fill(0x11).length,
      'compresses something else': (source, target) => compress(source.slice().fill(65, 300), target),
      'writes on its source': (source, target) => compress(source.fill(65, 300), target),
      'leaves the end away': (source, target) => compress(source, target) - 1,
    };
    test.each(Object.keys(bad))('hosted: a codec that %s makes no block', (what) => {
      const codecs = codecsWith(compression, { ...sound[compression], compress: bad[what]! });
      const { driver, frame } = makeLeaf(module, codecs);
      const before = driver.x.blockSealPage(frame, CODEC_NONE, STAGING_AREA);
      const raw = driver.core.u8.slice(STAGING_AREA, STAGING_AREA + before);
      expect(sealHosted(driver.core, codecs, frame, codec, STAGING_AREA)).toBe(0);
      expect(driver.x.blockSealPage(frame, CODEC_NONE, STAGING_AREA)).toBe(before);
      expect(driver.core.u8.slice(STAGING_AREA, STAGING_AREA + before)).toEqual(raw);
    });

    const liars: Record<string, Codec['decompress']> = {
      'says that nothing fits': () => 0,
      'answers one byte less': (_, target) => target.length - 1,
      'answers one byte more': (_, target) => target.length + 1,
      'answers no number': () => undefined as unknown as number,
      'throws an error': () => {
        throw new Error('broken');
      },
      'fills in nothing': (_, target) => target.length,
    };
    test.each(Object.keys(liars))('hosted: a codec that %s loads no page', (what) => {
      const codecs = codecsWith(compression, sound[compression]);
      const leaf = makeLeaf(module, codecs);
      const length = sealHosted(leaf.driver.core, codecs, leaf.frame, codec, STAGING_AREA);
      const broken = codecsWith(compression, { ...sound[compression], decompress: liars[what]! });
      const free = leaf.driver.x.freeCount();
      expect(load(leaf, broken, length)).toBe(DAMAGED);
      expect(leaf.driver.x.damagePage()).toBe(leaf.root);
      if (what !== 'fills in nothing') expect(leaf.driver.x.damage()).toBe(DAMAGE_COMPRESSION);
      expect(leaf.driver.x.freeCount()).toBe(free + 1);
      expect(broken.failure instanceof Error).toBe(what === 'throws an error');
    });
  },
);

describe.each(builds)('$name', ({ module }) => {
  test('hosted: blocks that no codec of this side is there for, and sizes that cannot be, are damage', () => {
    const codecs = codecsWith('zstd', zstd);
    const leaf = makeLeaf(module, codecs);
    const { driver, root, frame } = leaf;
    const { x, core } = driver;
    const length = sealHosted(core, codecs, frame, CODEC_ZSTD, STAGING_AREA);
    const [low, high] = [x.blockSumLow(), x.blockSumHigh()];
    x.codecsSet(0);
    expect(x.pageLoad(STAGING_AREA, length, root, low, high, 0, false)).toBe(DAMAGED);
    expect(x.damage()).toBe(DAMAGE_CODEC);
    x.codecsSet(codecs.hosted);
    const u8 = core.u8;
    for (const { codecByte, raw, stored, fault } of [
      { codecByte: 3, raw: 600, stored: 400, fault: DAMAGE_CODEC },
      { codecByte: 34, raw: 600, stored: 400, fault: DAMAGE_CODEC },
      { codecByte: CODEC_ZSTD, raw: 400, stored: 400, fault: DAMAGE_SIZE },
      { codecByte: CODEC_ZSTD, raw: 4097, stored: 400, fault: DAMAGE_SIZE },
    ]) {
      const block = x.blockSeal(BLOCK_CHUNK, root, 0, INPUT_AREA, stored, CODEC_NONE, STAGING_AREA);
      u8[STAGING_AREA + 4] = 1;
      u8[STAGING_AREA + 5] = codecByte;
      core.u32[STAGING_AREA / 4 + 6] = raw;
      const head = u8.slice(STAGING_AREA, STAGING_AREA + 56);
      const body = u8.slice(STAGING_AREA + BLOCK_HEADER_SIZE, STAGING_AREA + BLOCK_HEADER_SIZE + stored);
      const sum = xxh64(body, xxh64(head, 0n));
      new DataView(u8.buffer).setBigUint64(STAGING_AREA + 56, sum, true);
      const [low, high] = [Number(sum & 0xffffffffn), Number(sum >> 32n)];
      const status = x.pageLoad(STAGING_AREA, block, root, low, high, 0, false);
      expect([status, x.damage()]).toEqual([DAMAGED, fault]);
    }
  });

  test('hosted: LZ4 that comes to nothing or saves no sector is refused by the core', () => {
    const codecs = codecsWith('lz4', lz4Wasm);
    const { driver, frame } = makeLeaf(module, codecs);
    const raw = driver.x.pagePayload(frame);
    expect(raw).toBeGreaterThan(512);
    expect(driver.x.payloadSame(raw)).toBeFalsy();
    driver.core.u8.fill(0, STAGING_AREA, STAGING_AREA + 4096);
    expect(driver.x.blockSealStored(frame, CODEC_LZ4, 300, STAGING_AREA)).toBe(0);
    const empty = driver.create();
    const small = driver.x.frameNewest(empty);
    expect(sealHosted(driver.core, codecs, small, CODEC_LZ4, STAGING_AREA)).toBe(0);
  });
});
