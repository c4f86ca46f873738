/**
 * Users' blocks in a store: each the value of its id in a tree of the engine's own, so that log, snapshots, checkpoints
 * and maintenance treat them like everything else.
 *
 * 1. An id is given out once in a store's life, whether its block came to be durable or not.
 * 2. A codec that a block needs is loaded before the block is written, and the next superblock says that it is needed.
 */
import { VALUE_SIZE_MAX } from '../../assembly/layout.ts';
import { AegisError, invalid } from '../base/errors.ts';
import { CODEC_NUMBERS } from '../codec/store-codecs.ts';
import { loadZstd } from '../codec/zstd.ts';
import type { BlockId } from '../store/block-id.ts';
import { blockKey, checkBlockId } from '../store/block-id.ts';
import { BLOCKS_NAME } from '../store/tree-name.ts';
import { Block, readBlock, serializedWith } from './block.ts';
import type { EngineCore } from './engine-core.ts';
import { Tree } from './tree.ts';

/** Writes a block; answers its id once it is durable as configured. */
export async function writeStored(engineCore: EngineCore, block: Block): Promise<BlockId> {
  if (!(block instanceof Block)) throw invalid('writeBlock', block, 'a Block');
  const { codecs } = engineCore;
  if (block.compression === 'zstd' && codecs.zstd === undefined) await loadZstd();
  const bytes = serializedWith(block, codecs);
  if (bytes.length > VALUE_SIZE_MAX) {
    throw new AegisError(
      'TOO_LARGE',
      `writeBlock: ${bytes.length} bytes, at most ${VALUE_SIZE_MAX} fit a store`,
    );
  }
  const { store } = engineCore.writable();
  store.pager.blocks.codecs.noteUsed(CODEC_NUMBERS[block.compression]);
  const id = store.catalog.blockIds.take();
  await new Tree(engineCore, BLOCKS_NAME).put(blockKey(id), bytes);
  return id;
}

/** Reads a block; undefined: there is none. */
export function readStored(engineCore: EngineCore, id: BlockId): Block | undefined {
  const bytes = new Tree(engineCore, BLOCKS_NAME).get(blockKey(checkBlockId('readBlock', id)));
  if (bytes === undefined) return undefined;
  try {
    return readBlock(bytes, engineCore.codecs);
  } catch (error) {
    if (!(error instanceof AegisError) || error.code !== 'CORRUPTION') throw error;
    throw new AegisError('CORRUPTION', `block ${id}: ${error.message}`, { cause: error });
  }
}

/** Removes a block; answers whether it was there. */
export function deleteStored(engineCore: EngineCore, id: BlockId): Promise<boolean> {
  return new Tree(engineCore, BLOCKS_NAME).delete(blockKey(checkBlockId('deleteBlock', id)));
}
