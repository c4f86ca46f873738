/*
 * The commit that makes a tree may hold values that leave in pieces: every byte comes back, wherever the pieces end
 * and whatever is done between two groups of a large commit. A piece that waits for the next group must lie where
 * nobody else writes: making the tree puts a record into the catalog by the areas that every other put uses.
 */
import { expect, onTestFinished, test } from 'vitest';
import { Block, type StorageConfig, StorageEngine } from '../../src/index.ts';

const MIB = 1 << 20;

/** Bytes in which each place differs from its neighbourhood. */
function bytes(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = seed;
  for (let i = 0; i < words.length; ++i) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

function sameBytes(found: Uint8Array | undefined, expected: Uint8Array): boolean {
  return found !== undefined && Buffer.compare(found, expected) === 0;
}

async function open(config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  const engine = await StorageEngine.open(config);
  onTestFinished(() => engine.close());
  return engine;
}

test.each([4096, 8192, 16384, 32768, 65536])(
  'first values: a tree of pages of %i bytes',
  async (pageSize) => {
    const engine = await open({ pageSize });
    const value = bytes(3 * MIB);
    await engine.tree('put').put('key', value);
    engine.tree('put at once').putSync('key', value);
    const tree = engine.tree('batch');
    await tree.batch([
      { type: 'put', key: 'a', value },
      { type: 'put', tree: 'another', key: 'b', value },
    ]);
    const id = await engine.writeBlock(new Block(value, { type: 'document' }));
    for (const [name, key] of [
      ['put', 'key'],
      ['put at once', 'key'],
      ['batch', 'a'],
      ['another', 'b'],
    ] as const) {
      expect(sameBytes(engine.tree(name).get(key), value), `${name}: ${key}`).toBe(true);
    }
    expect(sameBytes(engine.readBlock(id)?.data, value), 'a block').toBe(true);
    expect((await engine.verify()).ok).toBe(true);
  },
);

test('first values: pieces end at any place, in one tree and in several', async () => {
  const engine = await open();
  const value = bytes(1.5 * MIB, 2);
  for (let before = 2300; before <= 2960; before += 60) {
    const tx = engine.beginTransaction();
    for (const name of ['one', 'two']) {
      const tree = tx.tree(`${name} ${before}`);
      tree.put('a', bytes(before >> 1));
      tree.put('b', bytes(before - (before >> 1)));
      tree.put('c', value);
      tree.put('d', 'behind it');
    }
    await tx.commit();
    for (const name of ['one', 'two']) {
      const tree = engine.tree(`${name} ${before}`);
      expect(sameBytes(tree.get('c'), value), `${name}, behind ${before} bytes`).toBe(true);
      expect(sameBytes(tree.get('a'), bytes(before >> 1))).toBe(true);
      expect(tree.getString('d')).toBe('behind it');
    }
  }
});
