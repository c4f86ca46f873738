/* The block store by itself: what it says of places that hold no block of its own. */
import { expect, test } from 'vitest';
import { CODEC_LZ4, CODEC_NONE } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { FIRST_DATA_SECTOR } from '../../src/store/superblock.ts';
import { openBare } from '../maintenance/bare-store.ts';

test.each([
  ['lz4', CODEC_LZ4],
  ['none', CODEC_NONE],
] as const)(
  'blocks: the codec of a block is told, and of nothing that is no block (%s)',
  async (compression, codec) => {
    const store = await openBare(new MemoryBackend(), { compression });
    for (let i = 0; i < 40; i++) store.put(`key ${i}`, 'value '.repeat(10));
    store.checkpointer.runBlocking();
    const { blocks, directory } = store.pager;
    const place = directory.place(store.root);
    expect(place.start).toBeGreaterThanOrEqual(FIRST_DATA_SECTOR);
    expect(blocks.codecAt(place.start)).toBe(codec);
    // A superblock, and what lies beyond the end of the file.
    expect(blocks.codecAt(0)).toBeUndefined();
    expect(blocks.codecAt(blocks.extents.filled + 1000)).toBeUndefined();
  },
);
