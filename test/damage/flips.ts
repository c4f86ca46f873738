/*
 * One bit flipped in a whole store, and what must come of it, worked out from the format alone (anatomy.ts):
 *
 *   a superblock slot   everything is there; a reader's verification names the slot, a writer has mended it and says so
 *   a live block        a piece of the directory: refused; a page: all else can be read, and nothing of the page
 *   its padding         everything is there; verification names the extent, unless the log moves the page elsewhere
 *   the log             exactly as Anatomy.logOutcome says
 *   anything else       nothing at all
 */

import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BitStore, Expected, Named, Verdict } from './bit-store.ts';
import { judgeFiles } from './bit-store.ts';

export interface Bit {
  readonly file: string;
  readonly at: number;
  readonly mask: number;
}

export function expectedOfBit(store: BitStore, { file, at }: Bit, readOnly: boolean): Expected {
  const { anatomy, states, lastSequence } = store;
  const content = states.get(lastSequence)!;
  const harmless = { refused: 'never', content, unread: 'never', alarm: 'never', at: undefined } as const;
  if (file !== 'data') {
    const outcome = anatomy.logOutcome((name, from, to) => name === file && at >= from && at < to);
    if (outcome === 'CORRUPTION') {
      const group = [...anatomy.groups].find(
        (one) => one.file === file && at >= one.offset && at < one.offset + one.length,
      );
      return { ...harmless, refused: 'must', at: group ? { file, offset: group.offset } : 'somewhere' };
    }
    return { ...harmless, content: states.get(outcome.sequence)! };
  }
  if (at < 8192) {
    if (at % 4096 >= SECTOR_SIZE) return harmless;
    return { ...harmless, slotDamaged: true, alarm: readOnly ? 'must' : 'never' };
  }
  const block = anatomy.blockAt(at);
  if (block === undefined) return harmless;
  if (at >= block.to) return { ...harmless, alarm: readOnly && states.size === 1 ? 'must' : 'may' };
  const place = { file, offset: block.from, page: block.page };
  if (block.page === undefined) return { ...harmless, refused: 'must', at: place };
  return { refused: 'may', content, unread: 'may', alarm: 'must', at: place };
}

/** Judges one flip; the bytes are as before when it returns. */
export async function judgeBit(store: BitStore, bit: Bit, readOnly: boolean, named: Named): Promise<Verdict> {
  const { file, at, mask } = bit;
  const bytes = store.files.get(file)!;
  bytes[at]! ^= mask;
  try {
    return await judgeFiles(store, store.files, expectedOfBit(store, bit, readOnly), named, { readOnly });
  } finally {
    bytes[at]! ^= mask;
  }
}
