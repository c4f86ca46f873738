/**
 * What a verification walks: every tree that an epoch of a store sees, the engine's own among them, and users' blocks.
 */
import type { GivenCodecs } from '../codec/user-block.ts';
import { BLOCKS_NAME } from '../store/tree-name.ts';
import type { OpenedStore } from './opened-store.ts';
import type { VerifyParts } from './verify.ts';

/** The parts of a verification that say what is walked. */
export type VisibleState = Pick<VerifyParts, 'pager' | 'roots' | 'fallback' | 'blocks' | 'epoch'>;

/** What an epoch sees, which must be held; `codecs` are those that were given for users' blocks. */
export function visibleAt(
  { pager, trees, catalog }: Pick<OpenedStore, 'pager' | 'trees' | 'catalog'>,
  epoch: number,
  codecs: GivenCodecs,
): VisibleState {
  const view = catalog.view(epoch);
  return {
    pager,
    roots: () => catalog.rootsAt(view),
    fallback: catalog.ownRoots(view),
    blocks: () => ({
      trees,
      root: catalog.findAt(BLOCKS_NAME, view)?.root ?? 0,
      epoch,
      nextBlock: catalog.blockIds.next,
      codecs,
    }),
    epoch,
  };
}
