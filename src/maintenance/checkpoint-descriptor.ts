/**
 * The checkpoint descriptor: what a superblock records of one state of a store. It is taken in the same turn as a
 * snapshot, so that numbers, roots and the log position belong to the pages that the snapshot sees, whatever is
 * written afterwards.
 */
import type { CatalogState } from '../store/catalog.ts';
import type { Pager } from '../store/pager.ts';
import type { Superblock } from '../store/superblock.ts';
import type { LogPosition } from '../wal/log.ts';

/** The fields that belong to a snapshot. */
export type CheckpointDescriptor = Pick<
  Superblock,
  | 'epoch'
  | 'sequence'
  | 'lsn'
  | 'link'
  | 'nextPage'
  | 'chunkCount'
  | 'mainRoot'
  | 'catalogRoot'
  | 'nextTree'
  | 'nextBlock'
>;

/** What a descriptor is read from. */
export interface DescriptorParts {
  readonly pager: Pager;
  readonly pipeline: { readonly applied: number; readonly replayPosition: LogPosition };
  readonly superblock: Superblock;
  /** What is to be said of trees. */
  readonly catalog: { readonly state: CatalogState };
}

/** Describes the present state, of which a snapshot was just taken. */
export function describeCheckpoint(
  { pager, pipeline, superblock, catalog }: DescriptorParts,
  epoch: number,
): CheckpointDescriptor {
  const { nextPage, directory } = pager;
  const { lsn, link } = pipeline.replayPosition;
  const { mainRoot } = superblock;
  const { catalogRoot, nextTree, nextBlock } = catalog.state;
  return {
    epoch,
    sequence: pipeline.applied,
    lsn,
    link,
    nextPage,
    chunkCount: Math.ceil(nextPage / directory.fanout),
    mainRoot,
    catalogRoot,
    nextTree,
    nextBlock,
  };
}
