/**
 * Users' blocks as the command line sees them: in the order of their ids, each with what its header says.
 */

import { AegisError } from '../base/errors.ts';
import { checkBlock } from '../codec/user-block.ts';
import type { EngineCore } from '../engine/engine-core.ts';
import { Tree } from '../engine/tree.ts';
import type { BlockHeader } from '../index.ts';
import { blockIdOf } from '../store/block-id.ts';
import { BLOCKS_NAME } from '../store/tree-name.ts';

/** A block that is there; `problem` instead of a header when it is damaged. */
export type ListedBlock =
  | { readonly id: number; readonly header: BlockHeader }
  | { readonly id: number; readonly problem: string };

/** How many blocks a store holds. */
export function countBlocks(engineCore: EngineCore): number {
  return new Tree(engineCore, BLOCKS_NAME).count();
}

/** All blocks, each checked but not decompressed. */
export function* listBlocks(engineCore: EngineCore): Generator<ListedBlock> {
  for (const [key, bytes] of new Tree(engineCore, BLOCKS_NAME).scan()) {
    const id = blockIdOf(key);
    if (id === undefined) continue; // verify tells of it
    try {
      yield { id, header: checkBlock(bytes) };
    } catch (error) {
      if (!(error instanceof AegisError) || error.code !== 'CORRUPTION') throw error;
      yield { id, problem: error.message };
    }
  }
}
