/* What is left of a dropped chain when freeing it fails for another reason than damage: nothing that the next change meets. */
import { expect, test } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import { OverflowPages } from '../../src/store/overflow-pages.ts';
import type { Pager } from '../../src/store/pager.ts';

test('overflow pages: a full disk while one is freed is told, and the core forgets the chain', () => {
  let forgotten = 0;
  const pager = {
    core: { x: { overflowDropped: () => 7, overflowRest: () => 2, overflowForget: () => void ++forgotten } },
    run: () => {
      throw new AegisError('OUT_OF_SPACE', 'the disk is full');
    },
  };
  const overflow = new OverflowPages(pager as unknown as Pager);
  expect(() => overflow.freeDropped()).toThrow('the disk is full');
  expect([forgotten, overflow.stuck.length]).toEqual([1, 0]);
});
