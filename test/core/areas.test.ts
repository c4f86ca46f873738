/*
 * Claims on areas: in the debug build nobody uses an area that is claimed, and whoever waits claims what it will need
 * again.
 */
import { describe, expect, test } from 'vitest';
import {
  AREA_BOUND,
  AREA_FENCES,
  AREA_INPUT,
  AREA_KEY,
  AREA_OUT,
  AREA_PAGE,
  AREA_STAGING,
  AREAS_ALL,
  BLOCK_CHUNK,
  CODEC_NONE,
  EXHAUSTED,
  INPUT_AREA,
  LOG_AREA,
  OK,
  OUT_AREA,
  OUT_AREA_SIZE,
  STAGING_AREA,
} from '../../assembly/layout.ts';
import { bytes as debug } from '../../build/wasm/debug.js';
import { runtimeHost } from '../../src/backend/host.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { Codec } from '../../src/codec/codec.ts';
import { lz4Wasm } from '../../src/codec/lz4-wasm.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { claimingAreas, LATEST } from '../../src/core/wasm.ts';
import { openStore } from '../../src/maintenance/open-store.ts';
import { PrivateTree } from '../../src/store/private-tree.ts';
import { CoreDriver } from '../support/core-driver.ts';
import { bytesOf } from '../support/core-model.ts';

/** A tree of several leaves. */
function planted(module: { module?: Uint8Array<ArrayBuffer> } = { module: debug }) {
  const driver = new CoreDriver({ ...module, pageSize: 4096, frames: 100 });
  const root = driver.create();
  for (let n = 0; n < 300; ++n) driver.put(root, bytesOf(`key ${1000 + n}`), bytesOf('value '.repeat(10)));
  return { driver, root, x: driver.x };
}

type Planted = ReturnType<typeof planted>;

const users: readonly [name: string, areas: number, call: (own: Planted) => unknown][] = [
  ['treeGet', AREA_KEY | AREA_OUT, ({ x, root }) => x.treeGet(root, LATEST, 4)],
  ['treeProbe', AREA_KEY, ({ x, root }) => x.treeProbe(root, LATEST, 4)],
  ['treeGetGroup', AREA_INPUT | AREA_OUT, ({ x, root }) => x.treeGetGroup(root, LATEST, 0)],
  ['treePut', AREA_KEY | AREA_INPUT, ({ x, root }) => x.treePut(root, 4, INPUT_AREA, 4)],
  ['treePutOverflow', AREA_KEY, ({ x, root }) => x.treePutOverflow(root, 4, 4)],
  ['treePutDropped', AREA_KEY, ({ x, root }) => x.treePutDropped(root, 4, 9, 9)],
  ['treePutTombstone', AREA_KEY, ({ x, root }) => x.treePutTombstone(root, 4)],
  ['treeDelete', AREA_KEY, ({ x, root }) => x.treeDelete(root, 4)],
  ['treeRange', AREA_KEY | AREA_BOUND | AREA_OUT, ({ x, root }) => x.treeRange(root, LATEST, 1, 1, 0, 9)],
  ['treePeer', AREA_KEY | AREA_OUT, ({ x, root }) => x.treePeer(root, 1, 0)],
  ['treeRepack', AREA_KEY | AREA_OUT, ({ x, root }) => x.treeRepack(root, 1, 0, 0)],
  ['overflowAppend', AREA_INPUT, ({ x }) => x.overflowAppend(INPUT_AREA + 8, 0)],
  ['overflowPage that misses', AREA_FENCES, ({ x }) => x.overflowPage(77, LATEST, 9)],
  [
    'inspectFences',
    AREA_KEY | AREA_BOUND,
    ({ x, root }) => x.inspectFences(x.frameAddress(x.frameNewest(root)), 1, 1),
  ],
  [
    'blockSealPage',
    AREA_STAGING,
    ({ x, root }) => x.blockSealPage(x.frameNewest(root), CODEC_NONE, STAGING_AREA),
  ],
  [
    'blockSeal',
    AREA_STAGING,
    ({ x }) => x.blockSeal(BLOCK_CHUNK, 1, 0, INPUT_AREA, 64, CODEC_NONE, STAGING_AREA),
  ],
  ['pageLoad', AREA_STAGING, ({ x, root }) => x.pageLoad(STAGING_AREA, 512, root, 0, 0, 0, false)],
  ['inspectBlock', AREA_STAGING, ({ x, root }) => x.inspectBlock(512, root, 0, 0)],
  ['pagePayload', AREA_PAGE, ({ x, root }) => x.pagePayload(x.frameNewest(root))],
];

/** What was thrown, if anything was. */
function reasonOf(call: () => unknown): string {
  try {
    call();
    return '';
  } catch (error) {
    return String(error);
  }
}

const claimed = /an area is not used while it is claimed/;

describe('debug', () => {
  test.each(users)('areas: %s asks for what it uses, and for nothing else', (_, areas, call) => {
    for (let area = 1; area <= AREAS_ALL; area *= 2) {
      const own = planted();
      own.x.areasClaim(area);
      // Called with what makes no sense, some refuse it afterwards.
      const refusal = reasonOf(() => call(own));
      if (areas & area) expect(refusal, `area ${area}`).toMatch(claimed);
      else expect(refusal, `area ${area}`).not.toMatch(claimed);
    }
  });

  test('areas: what is claimed already is not released by the one who claims it again', () => {
    const { driver, x, root } = planted();
    const use = (): number => x.treeProbe(root, LATEST, 1);
    claimingAreas(driver.core, AREA_KEY, () => {
      claimingAreas(driver.core, AREA_KEY | AREA_OUT, () => expect(use).toThrow(claimed));
      expect(use).toThrow(claimed);
      expect(x.areasClaim(AREA_OUT)).toBe(AREA_OUT);
      x.areasRelease(AREA_OUT);
    });
    expect(use).not.toThrow();
    expect(() => x.areasRelease(AREA_OUT)).toThrow(/only what is claimed/);
    expect(() => x.areasClaim(AREAS_ALL + 1)).toThrow(/one of those there are/);
    const fails = (): never => {
      throw new Error('no space');
    };
    expect(() => claimingAreas(driver.core, AREAS_ALL, fails)).toThrow('no space');
    expect(use).not.toThrow();
  });

  test('areas: a codec that reads the store from within is found out, whatever page it is asked for', async () => {
    const backend = new MemoryBackend();
    let within: (() => void) | undefined;
    let asked = 0;
    const codec: Codec = {
      compress: (source, target) => lz4Wasm.compress(source, target),
      decompress: (source, target) => {
        ++asked;
        within?.();
        return lz4Wasm.decompress(source, target);
      },
    };
    const config = resolveConfig({
      backend,
      pageSize: 4096,
      bufferPoolSize: '64KB',
      walEnabled: false,
      compression: 'lz4',
      codecs: { lz4: codec },
    });
    // Without the machine, and so without its way out: nobody is refused.
    const store = await openStore({ backend, host: runtimeHost, config, module: debug });
    const { trees, catalog } = store;
    const { root } = catalog.find('') as { root: number };
    const keys = Array.from({ length: 1200 }, (_, n) => bytesOf(`key ${1000 + n}`));
    for (const key of keys) trees.put(root, key, bytesOf('value '.repeat(20)));
    // In memory, so that it misses nothing itself.
    const own = new PrivateTree(trees);
    own.put(bytesOf('own'), bytesOf('key'));
    within = () => own.has(trees.setKey('own'));
    const read = (): void => {
      for (const key of keys) trees.get(root, LATEST, trees.setKey(key));
    };
    // What a codec throws makes its page damaged.
    const cause = expect.objectContaining({ message: expect.stringMatching(claimed) });
    expect(read).toThrow(expect.objectContaining({ code: 'CORRUPTION', cause }));
    expect(asked).toBeGreaterThan(0);
  });

  test('areas: a walk whose visitor reads is found out', async () => {
    const backend = new MemoryBackend();
    const config = resolveConfig({ backend, pageSize: 4096 });
    const { trees, catalog } = await openStore({ backend, host: runtimeHost, config, module: debug });
    const { root } = catalog.find('') as { root: number };
    const own = new PrivateTree(trees);
    for (const key of ['a', 'b', 'c']) own.put(bytesOf(key), bytesOf(key));
    const walk = (visit: () => unknown): void => own.walk(() => visit() === undefined);
    expect(() => walk(() => void trees.get(root, LATEST, trees.setKey('a')))).toThrow(claimed);
    expect(() => walk(() => void trees.has(root, LATEST, trees.setKey('a')))).not.toThrow();
    expect(trees.getString(own.root, LATEST, trees.setKey('b'))).toBe('b');
  });
});

test('areas: the release build holds nothing', () => {
  const own = planted({});
  expect(own.x.areasClaim(AREAS_ALL)).toBe(0);
  expect(() => own.x.areasRelease(AREAS_ALL)).not.toThrow();
  for (const [name, , call] of users.slice(0, 3)) expect(() => call(own), name).not.toThrow();
});

describe.each([
  { name: 'release', module: {} },
  { name: 'debug', module: { module: debug } },
])('$name', ({ module }) => {
  test('areas: recent, and chains that are set aside, leave the answers of a walk alone', () => {
    const { driver, x } = planted(module);
    const { u8 } = driver.core;
    const recent = driver.create(true);
    const root = driver.create();
    u8.fill(0xa5, OUT_AREA, OUT_AREA + OUT_AREA_SIZE);
    u8.set(bytesOf('key'), LOG_AREA);
    expect(driver.serve(() => x.recentAdd(recent, LOG_AREA, 3, 123_456))).toBe(OK);
    expect(driver.serve(() => x.recentSince(recent, LOG_AREA, 3, 123_455))).toBe(OK);
    expect(x.valueLength()).toBe(1);
    expect(driver.serve(() => x.treePutDropped(root, 3, 99, 1234))).toBe(OK);
    expect(u8.subarray(OUT_AREA, OUT_AREA + OUT_AREA_SIZE).every((byte) => byte === 0xa5)).toBe(true);
    expect(x.treeProbe(root, LATEST, 3)).toBe(OK);
    expect([x.valueAddress(), x.valueLength()]).toEqual([99, 1234]);
  });

  test('areas: a step of repacking that cannot begin leaves no neighbour of an earlier one', () => {
    const { x, root } = planted(module);
    expect(x.treePeer(root, 0, 0)).toBe(OK);
    expect(x.peerNext()).toBeGreaterThan(0);
    // New roots take frames, and nobody frees any.
    for (let n = 0; n < 200; ++n) x.treeCreate(600_000 + n);
    expect(x.treeRepack(root, 0, 0, 0)).toBe(EXHAUSTED);
    expect(x.peerNext()).toBe(-1);
  });
});
