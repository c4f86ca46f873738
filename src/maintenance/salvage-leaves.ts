/**
 * What lies below inner pages that are lost. The directory knows every page in use: those that no tree has led to are
 * the ones below the holes, so the leaves among them are found, and put in order by their keys. If every such page could
 * be read, nothing of the hole is lost; else what may be is what lies between the leaves that were found.
 *
 * It is done only where it is certain. Invariants
 *   1. A leaf is taken for a hole only if all its keys lie there, and only for a hole that shares no key with another
 *      one, of any tree.
 *   2. Nothing is found while names of trees are lost, or below a page that a durable change was lost for (spoil.ts).
 *   3. Leaves that overlap are believed neither: then all of the hole is lost.
 */
import { PAGE_LEAF } from '../../assembly/layout.ts';
import type { Bound } from '../store/range.ts';
import { compareKeys } from '../store/range.ts';
import { isSpoiltPage } from '../store/spoil.ts';
import type { LostRange } from './lost-ranges.ts';
import { areApart, isWithin } from './lost-ranges.ts';
import type { SalvageSource } from './salvage-source.ts';
import type { Hole, Salvaged } from './salvage-tree.ts';
import { cellsOf, recordsOf } from './salvage-tree.ts';

/** A leaf that no page refers to. */
interface Leaf {
  readonly page: number;
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/** Records below holes, with the hole; what is lost of them becomes what may still be. */
export async function* findLeaves(
  source: SalvageSource,
  holes: readonly Hole[],
  rest: () => Promise<void>,
): AsyncGenerator<Salvaged & { readonly hole: Hole }> {
  const certain = holes.filter((hole) => isCertain(source, hole, holes));
  if (certain.length === 0) return;
  const { leaves, all } = await strayLeaves(source, rest);
  for (const hole of certain) {
    const { lost, range } = hole;
    const own = leaves.filter(({ first, last }) => isWithin(first, range) && isWithin(last, range));
    if (own.length === 0 || !areInOrder(own)) continue;
    lost.replace(range, all ? [] : gapsOf(own, range));
    for (const { page } of own) {
      const address = source.open(page);
      if (typeof address !== 'number') {
        // The leaf could be read a moment ago; now its range is lost.
        const [leaf] = own.filter((one) => one.page === page) as [Leaf];
        lost.add({ lower: from(leaf.first), upper: from(leaf.last) }, address);
        continue;
      }
      for (const record of recordsOf(source, cellsOf(source, address), lost)) yield { ...record, hole };
    }
  }
}

function isCertain({ pager }: SalvageSource, hole: Hole, holes: readonly Hole[]): boolean {
  if (isSpoiltPage(pager, hole.page)) return false;
  return holes.every((other) => other === hole || areApart(other.range, hole.range));
}

/** Leaves that nothing refers to, by their keys; `all`: every page that nothing refers to could be read. */
async function strayLeaves(
  source: SalvageSource,
  rest: () => Promise<void>,
): Promise<{ leaves: Leaf[]; all: boolean }> {
  const { directory, core } = source.pager;
  const leaves: Leaf[] = [];
  let all = source.knowsAllPlaces;
  const pages: number[] = [];
  directory.eachPlaced((page) => {
    if (!source.entered.has(page)) pages.push(page);
  });
  for (const page of pages) {
    await rest();
    const address = source.read(page);
    if (typeof address !== 'number') {
      all = false;
      continue;
    }
    if ((core.x.inspectShape(address) & 0xff) !== PAGE_LEAF) continue;
    const cells = cellsOf(source, address);
    const [first, last] = [cells[0], cells.at(-1)];
    if (first && last) leaves.push({ page, first: first.key, last: last.key });
  }
  return { leaves: leaves.sort((a, b) => compareKeys(a.first, b.first)), all };
}

function areInOrder(leaves: readonly Leaf[]): boolean {
  return leaves.every(({ first }, i) => i === 0 || compareKeys((leaves[i - 1] as Leaf).last, first) < 0);
}

/** What lies between leaves, and before and behind them. */
function gapsOf(leaves: readonly Leaf[], range: LostRange): LostRange[] {
  const lowers = [range.lower, ...leaves.map(({ last }) => beside(last))];
  const uppers = [...leaves.map(({ first }) => beside(first)), range.upper];
  return lowers.map((lower, i) => ({ ...range, lower, upper: uppers[i] as Bound }));
}

function beside(key: Uint8Array): Bound {
  return { key, inclusive: false };
}

function from(key: Uint8Array): Bound {
  return { key, inclusive: true };
}
