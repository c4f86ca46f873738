/* What is left of a dropped chain when freeing it fails for another reason than damage: nothing that the next change meets. */
import { expect, test } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import { OverflowPages } from '../../src/store/overflow-pages.ts';
import type { Pager } from '../../src/store/pager.ts';

test('chains: a full disk while one is freed is told, and the core forgets the chain', () => {
  let forgotten = 0;
  const pager = {
    core: { x: { chainDropped: () => 7, chainRest: () => 2, chainForget: () => void ++forgotten } },
    run: () => {
      throw new AegisError('OUT_OF_SPACE', 'the disk is full');
    },
  };
  const chains = new OverflowPages(pager as unknown as Pager);
  expect(() => chains.freeDropped()).toThrow('the disk is full');
  expect([forgotten, chains.stuck.length]).toEqual([1, 0]);
});
