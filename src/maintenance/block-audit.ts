/**
 * The part of verification that looks at users' blocks: every one that a snapshot sees is read, checked and
 * decompressed. What keeps a block from being read at all the walk over the trees has found already.
 */

import { AegisError } from '../base/errors.ts';
import type { GivenCodecs } from '../codec/user-block.ts';
import { checkBlock, decodeBlock } from '../codec/user-block.ts';
import { blockIdOf } from '../store/block-id.ts';
import { EVERYTHING } from '../store/range.ts';
import { RangeReader } from '../store/range-reader.ts';
import type { Trees } from '../store/trees.ts';
import type { Findings } from './findings.ts';

/** Where the blocks of a snapshot are. */
export interface BlocksSeen {
  readonly trees: Trees;
  /** Root of the tree of blocks; 0: there is none. */
  readonly root: number;
  readonly epoch: number;
  /** Ids from here on were never given out. */
  readonly nextBlock: number;
  readonly codecs: GivenCodecs;
}

/** Bytes checked in one go, and what a block without any counts for. */
const SLICE_BYTES = 262_144;
const BLOCK_COST = 4096;

/** Checks every block; pauses after some, since a pause may cost more than a block. */
export function* auditBlocks(
  { trees, root, epoch, nextBlock, codecs }: BlocksSeen,
  findings: Findings,
): Generator<void> {
  if (root === 0) return;
  const reader = new RangeReader(trees, root, epoch, EVERYTHING);
  let left = SLICE_BYTES;
  for (;;) {
    let key: Uint8Array;
    let value: Uint8Array;
    try {
      if (!reader.advance(Number.POSITIVE_INFINITY, false)) return;
      key = reader.key();
      value = reader.value();
    } catch (error) {
      if (error instanceof AegisError && (error.code === 'CORRUPTION' || error.code === 'IO_ERROR')) return;
      throw error;
    }
    const id = blockIdOf(key);
    if (id === undefined || id >= nextBlock)
      findings.add(`a block has the id ${id}, which was never given out`);
    try {
      decodeBlock(value, checkBlock(value), codecs);
    } catch (error) {
      if (!(error instanceof AegisError)) throw error;
      if (error.code === 'CORRUPTION') findings.add(`block ${id}: ${error.message}`);
      // A codec that this runtime has not loaded: the block is whole as far as its checksum says.
      else if (error.code !== 'UNSUPPORTED') throw error;
    }
    left -= value.length + BLOCK_COST;
    if (left > 0) continue;
    left = SLICE_BYTES;
    yield;
  }
}
