/**
 * Users' blocks as the command line sees them: in the order of their ids, each with what its header says.
 */
import { checkBlock } from '../codec/user-block.ts';
import { AegisError } from '../errors.ts';
import type { BlockHeader } from '../index.ts';
import type { Machine } from '../machine.ts';
import { blockIdOf } from '../store/block-id.ts';
import { BLOCKS_NAME } from '../store/tree-name.ts';
import { Tree } from '../tree.ts';

/** A block that is there; `problem` instead of a header when it is damaged. */
export type ListedBlock =
  | { readonly id: number; readonly header: BlockHeader }
  | { readonly id: number; readonly problem: string };

/** How many blocks a store holds. */
export function countBlocks(machine: Machine): number {
  return new Tree(machine, BLOCKS_NAME).count();
}

/** All blocks, each checked but not decompressed. */
export function* listBlocks(machine: Machine): Generator<ListedBlock> {
  for (const [key, bytes] of new Tree(machine, BLOCKS_NAME).scan()) {
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
