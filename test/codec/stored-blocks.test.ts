/*
 * Users' blocks in a store: kept, found, removed, never under the same id again, and checked by verification.
 */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import type { Codec } from '../../src/codec/codec.ts';
import { BLOCK_TYPES } from '../../src/codec/user-block.ts';
import { loadZstd } from '../../src/codec/zstd.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { Block } from '../../src/engine/block.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { openEngineCore } from '../../src/engine/open.ts';
import { Tree } from '../../src/engine/tree.ts';
import { blockIdOf, blockKey } from '../../src/store/block-id.ts';
import { BLOCKS_NAME } from '../../src/store/tree-name.ts';
import { kinds, randomFrom } from '../support/codec-data.ts';
import { same } from '../support/lz4-guarded.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';

const compressions = ['none', 'lz4', 'zstd'] as const;

/** Blocks of every type and codec, empty, small and in many overflow pages. */
function someBlocks(): Block[] {
  const random = randomFrom(seed);
  return [0, 1, 700, 4096, 300_000].flatMap((size, n) =>
    compressions.map((compression, m) =>
      new Block(kinds[m === 0 ? 'random' : 'documents'](size, random), {
        type: BLOCK_TYPES[(n + m) % BLOCK_TYPES.length],
      }).withCompression(compression),
    ),
  );
}

function isSame(read: Block | undefined, block: Block): boolean {
  return (
    read !== undefined &&
    same(read.data, block.data) &&
    read.type === block.type &&
    read.compression === block.compression &&
    read.header.checksum === block.header.checksum
  );
}

test('blocks: what is written is read, before and after opening again, and apart from records and trees', async () => {
  const backend = new SimulatedBackend();
  const blocks = someBlocks();
  const engine = await openSmall(backend);
  await engine.put('key', 'value');
  const ids: number[] = [];
  for (const block of blocks) ids.push(await engine.writeBlock(block));
  expect(ids).toEqual(blocks.map((_, n) => n + 1));
  expect(ids.filter((id, n) => !isSame(engine.readBlock(id), blocks[n]!))).toEqual([]);
  expect([engine.count(), engine.trees()]).toEqual([1, []]);
  expect((await engine.verify()).problems).toEqual([]);
  await engine.close();
  for (const readOnly of [true, false]) {
    const again = await openSmall(backend, { readOnly });
    expect(ids.filter((id, n) => !isSame(again.readBlock(id), blocks[n]!))).toEqual([]);
    expect((await again.verify()).problems).toEqual([]);
    if (readOnly) {
      await expect(again.writeBlock(blocks[0]!)).rejects.toMatchObject({ code: 'READ_ONLY' });
      await expect(again.deleteBlock(1)).rejects.toMatchObject({ code: 'READ_ONLY' });
    }
    await again.close();
  }
});

test('blocks: deleting an id that was never given out uses no ids up, then or after a crash', async () => {
  const backend = new SimulatedBackend();
  const engine = await openSmall(backend);
  const block = new Block(new Uint8Array(10));
  const ids = [await engine.writeBlock(block)];
  for (const id of [1_000_000, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]) {
    expect(await engine.deleteBlock(id)).toBe(false);
    ids.push(await engine.writeBlock(block));
  }
  const again = await openSmall(backend.kill());
  ids.push(await again.writeBlock(block));
  expect(ids).toEqual([1, 2, 3, 4, 5]);
  await again.close();
});

test('blocks: one that was never written is undefined, removing it is false', async () => {
  const engine = await openSmall(new SimulatedBackend());
  expect([engine.readBlock(1), engine.readBlock(Number.MAX_SAFE_INTEGER)]).toEqual([undefined, undefined]);
  expect(await engine.deleteBlock(7)).toBe(false);
  const id = await engine.writeBlock(new Block(new Uint8Array(10)));
  expect(await engine.deleteBlock(id)).toBe(true);
  expect(await engine.deleteBlock(id)).toBe(false);
  expect(engine.readBlock(id)).toBeUndefined();
  await engine.close();
});

test('blocks: bad ids, things that are no block, and a closed engine are refused', async () => {
  const engine = await openSmall(new SimulatedBackend());
  const refusal = { code: 'INVALID_ARGUMENT' };
  for (const id of [1.5, Number.NaN, 2 ** 53, '1', undefined, null, 1n, {}]) {
    expect(() => engine.readBlock(id as never), String(id)).toThrow(expect.objectContaining(refusal));
    await expect(engine.deleteBlock(id as never), String(id)).rejects.toMatchObject(refusal);
  }
  for (const block of [undefined, new Uint8Array(3), { data: new Uint8Array(3) }, 'block'])
    await expect(engine.writeBlock(block as never)).rejects.toMatchObject(refusal);
  await engine.close();
  expect(() => engine.readBlock(1)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  await expect(engine.deleteBlock(1)).rejects.toMatchObject({ code: 'CLOSED' });
  await expect(engine.writeBlock(new Block(new Uint8Array(1)))).rejects.toMatchObject({ code: 'CLOSED' });
});

test('blocks: ids come back after neither removal, nor opening again, nor a power cut', async () => {
  let backend = new SimulatedBackend();
  const used = new Set<number>();
  const block = new Block(kinds.documents(2000, randomFrom(seed))).withCompression('lz4');
  for (let life = 0; life < 6; life++) {
    const engine = await openSmall(backend);
    const ids: number[] = [];
    for (let n = 0; n < 5; n++) ids.push(await engine.writeBlock(block));
    // One in pieces that fill more than a group of the log, and bring a checkpoint.
    if (life !== 1) ids.push(await engine.writeBlock(new Block(kinds.random(700_000, randomFrom(life)))));
    for (const id of ids) expect(used.has(id), `life ${life}: id ${id}`).toBe(false);
    for (const id of ids) used.add(id);
    if (life % 3 === 0) await engine.checkpoint();
    for (const id of ids) if (life !== 4 || id !== ids[2]) expect(await engine.deleteBlock(id)).toBe(true);
    if (life % 2 === 0) {
      await engine.close();
    } else {
      const after = backend.crash();
      await engine.close();
      backend = after;
    }
  }
  const engine = await openSmall(backend);
  const kept = [...used].filter((id) => engine.readBlock(id) !== undefined);
  expect(kept.length).toBe(1);
  expect(isSame(engine.readBlock(kept[0]!), block)).toBe(true);
  await engine.close();
});

test('blocks: one that was answered survives a power cut', async () => {
  const backend = new SimulatedBackend();
  const engine = await openSmall(backend, { compression: 'lz4' });
  const blocks = someBlocks();
  const ids = await Promise.all(blocks.map((block) => engine.writeBlock(block)));
  const again = await openSmall(backend.crash());
  expect(ids.filter((id, n) => !isSame(again.readBlock(id), blocks[n]!))).toEqual([]);
  expect((await again.verify()).problems).toEqual([]);
  await again.close();
  await engine.close();
});

test('blocks: a zstd block in an lz4 store is in the superblock of the next checkpoint', async () => {
  const backend = new SimulatedBackend();
  const bits = () => new DataView(backend.files().get('data')!.buffer).getUint32(76, true);
  const engine = await openSmall(backend, { compression: 'lz4' });
  await engine.checkpoint();
  expect(bits() & 4).toBe(0);
  await engine.writeBlock(new Block(new Uint8Array(3000)).withCompression('zstd'));
  await engine.checkpoint();
  expect(bits() & 4).toBe(4);
  await engine.close();
});

test('blocks: codecs from outside make and read them', async () => {
  const zstd = await loadZstd();
  let calls = 0;
  const own: Codec = {
    compress: (source, target, level) => {
      calls++;
      return zstd.compress(source, target, level);
    },
    decompress: (source, target) => {
      calls += 100;
      return zstd.decompress(source, target);
    },
  };
  const engine = await openSmall(new SimulatedBackend(), { compression: 'none', codecs: { zstd: own } });
  const block = new Block(kinds.documents(5000, randomFrom(seed))).withCompression('zstd', 9);
  const id = await engine.writeBlock(block);
  expect(calls % 100).toBe(1);
  const before = calls;
  expect(same(engine.readBlock(id)!.data, block.data)).toBe(true);
  expect(calls).toBe(before + 100);
  await engine.close();
});

test('blocks: verification names those that are not what was written, and ids nobody gave out', async () => {
  const engineCore = await openEngineCore(resolveConfig({ backend: new SimulatedBackend(), pageSize: 4096 }));
  const engine = new StorageEngine(engineCore);
  const tree = new Tree(engineCore, BLOCKS_NAME);
  const bytes = new Block(kinds.documents(900, randomFrom(seed))).withCompression('lz4').serialize();
  const id = await engine.writeBlock(Block.deserialize(bytes));
  const bad = bytes.slice();
  bad[40]! ^= 1;
  await tree.put(blockKey(id), bad);
  await tree.put(blockKey(3), bytes);
  expect(() => engine.readBlock(id)).toThrow(
    expect.objectContaining({ code: 'CORRUPTION', message: expect.stringContaining(`block ${id}:`) }),
  );
  expect((await engine.verify()).problems.map(({ message }) => message)).toEqual([
    `block ${id}: a block: the checksum does not hold`,
  ]);
  await tree.put(new Uint8Array(3), bytes);
  expect((await engine.verify()).problems.map(({ message }) => message)).toEqual([
    'a block has the id undefined, which was never given out',
    `block ${id}: a block: the checksum does not hold`,
  ]);
  await engine.close();
});

test('blocks: keys are in the order of ids, up to the largest', () => {
  const ids = [1, 255, 256, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER];
  expect(ids.map((id) => blockIdOf(blockKey(id)))).toEqual(ids);
  const keys = ids.map(blockKey);
  expect([...keys].sort((a, b) => Buffer.compare(a, b))).toEqual(keys);
  expect([new Uint8Array(8), new Uint8Array(7), new Uint8Array(8).fill(255)].map(blockIdOf)).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test('blocks: no power cut takes one that was answered, shows half of one or brings one back', async () => {
  const backend = new SimulatedBackend({ seed });
  const random = randomFrom(seed);
  /** What was answered: the block of an id, or that it was removed. */
  const known = new Map<number, Block | undefined>();
  let onItsWay: Block | number | undefined;
  const states: { disk: SimulatedBackend; known: typeof known; onItsWay: typeof onItsWay }[] = [];
  const calls: Record<string, number> = {};
  backend.plan = ({ operation }) => {
    calls[operation] = (calls[operation] ?? 0) + 1;
    if (['write', 'sync', 'truncate'].includes(operation) && random(long ? 1 : 3) === 0) {
      states.push({ disk: backend.crash(), known: new Map(known), onItsWay });
    }
    return undefined;
  };
  const engine = await openSmall(backend, { compression: 'zstd' });
  for (let n = 0; n < 40; n++) {
    const ids = [...known.keys()].filter((id) => known.get(id) !== undefined);
    if (n % 8 === 5) await engine.checkpoint();
    if (n % 3 === 2 && ids.length > 0) {
      const id = ids[random(ids.length)]!;
      onItsWay = id;
      expect(await engine.deleteBlock(id)).toBe(true);
      known.set(id, undefined);
    } else {
      const size = n % 7 === 6 ? 60_000 : random(3000);
      const block = new Block(kinds.documents(size, random)).withCompression(compressions[n % 3]!);
      onItsWay = block;
      known.set(await engine.writeBlock(block), block);
    }
    onItsWay = undefined;
  }
  backend.plan = () => undefined;
  await engine.close();
  const wrong: string[] = [];
  for (const [at, state] of states.entries()) {
    const again = await openSmall(state.disk, { compression: 'lz4' });
    for (let id = 1; id <= 45; id++) {
      const read = again.readBlock(id);
      const block = state.known.get(id);
      const isBusy = state.onItsWay === id;
      const mayBeNew =
        !state.known.has(id) && state.onItsWay instanceof Block && isSame(read, state.onItsWay);
      const isRight =
        read === undefined
          ? block === undefined || isBusy
          : mayBeNew || (block !== undefined && isSame(read, block));
      if (!isRight) wrong.push(`state ${at}: block ${id}`);
    }
    const fresh = await again.writeBlock(new Block(new Uint8Array(3)));
    if (state.known.has(fresh)) wrong.push(`state ${at}: id ${fresh} again`);
    if (at % 10 === 0 && !(await again.verify()).ok) wrong.push(`state ${at}: not whole`);
    await again.close();
  }
  expect(wrong).toEqual([]);
  expect(states.length).toBeGreaterThan(30);
  report(
    'power cuts, user blocks',
    { 'crash states': states.length, lost: 0, partial: 0, 'ids used again': 0 },
    'npx vitest run test/codec/stored-blocks.test.ts',
  );
}, 600_000);
