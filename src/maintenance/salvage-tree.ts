/**
 * The walk of salvage: the records of a tree in key order, past damage. A page that cannot be read costs the keys that
 * its parent gives it, and a long value that cannot be read its own key, and both exactly: a page is whole or it is lost.
 *
 * Invariants
 *   1. Every key of the tree is handed out or in a range that is lost, and none is both.
 *   2. A page whose keys lie outside the bounds of its parent, or that has another kind or level, is lost.
 */
import { BOUND_AREA, KEY_AREA, OK, PAGE_INNER, PAGE_LEAF, VALUE_OVERFLOW } from '../../assembly/layout.ts';
import { NO_BOUND } from '../core/wasm.ts';
import type { VerifyProblem } from './findings.ts';
import type { LostRange, LostRanges } from './lost-ranges.ts';
import type { SalvageSource } from './salvage-source.ts';

/** A record as the checkpoint has it. */
export interface Salvaged {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A page that is lost, while pages below it may be there. */
export interface Hole {
  readonly tree: number;
  readonly page: number;
  /** What of the tree is lost, this range among it. */
  readonly lost: LostRanges;
  readonly range: LostRange;
}

/** What a parent says of a page. */
interface Expected {
  readonly page: number;
  /** Undefined: any, of a root. */
  readonly level: number | undefined;
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
}

/** A record of a leaf; a long value is still to be read. */
interface Cell {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly first: number;
  readonly length: number;
}

/** Reads a tree by its id and root; `lost` takes what cannot be read, `holes` the inner pages among it. */
export function* salvageTree(
  source: SalvageSource,
  tree: number,
  root: number,
  lost: LostRanges,
  holes: Hole[],
): Generator<Salvaged> {
  const { x } = source.pager.core;
  const left: Expected[] = [{ page: root, level: undefined, from: undefined, to: undefined }];
  for (let next = left.pop(); next; next = left.pop()) {
    const { page, level, from, to } = next;
    const address = openNode(source, next);
    if (typeof address !== 'number') {
      const upper = { key: to, inclusive: to === undefined };
      const range = lost.add({ lower: { key: from, inclusive: true }, upper }, address);
      if (level !== 0) holes.push({ tree, page, lost, range });
      continue;
    }
    const shape = x.inspectShape(address);
    const own = (shape >> 8) & 0xff;
    if (own === 0) {
      yield* recordsOf(source, cellsOf(source, address), lost);
      continue;
    }
    const slots = shape >>> 16;
    const bounds = Array.from({ length: slots }, (_, slot) =>
      slot === 0 ? from : keyAt(source, address, slot),
    );
    // The first child comes out first.
    for (let slot = slots - 1; slot >= 0; --slot) {
      const child = x.inspectChild(address, slot);
      left.push({ page: child, level: own - 1, from: bounds[slot], to: bounds[slot + 1] ?? to });
    }
  }
}

/** A tree page that is what its parent expects, or what is wrong with it. */
function openNode(source: SalvageSource, { page, level, from, to }: Expected): number | VerifyProblem {
  const { core } = source.pager;
  const { x } = core;
  const address = source.open(page);
  if (typeof address !== 'number') return address;
  const shape = x.inspectShape(address);
  const own = (shape >> 8) & 0xff;
  const fits =
    (shape & 0xff) === (own === 0 ? PAGE_LEAF : PAGE_INNER) && (level === undefined || own === level);
  if (from) core.u8.set(from, KEY_AREA);
  if (to) core.u8.set(to, BOUND_AREA);
  if (fits && x.inspectFences(address, from?.length ?? NO_BOUND, to?.length ?? NO_BOUND) === OK)
    return address;
  return source.misfit(page, 'is not the page that its tree has there');
}

function keyAt({ pager }: SalvageSource, address: number, slot: number): Uint8Array {
  const { core } = pager;
  const { x } = core;
  const at = x.inspectKey(address, slot);
  return core.u8.slice(at, at + x.inspectKeyBytes(address, slot));
}

/** The records of a leaf, taken out before another page is brought in. */
export function cellsOf(source: SalvageSource, address: number): Cell[] {
  const { core } = source.pager;
  const { x } = core;
  return Array.from({ length: x.inspectShape(address) >>> 16 }, (_, slot) => {
    const key = keyAt(source, address, slot);
    x.inspectValue(address, slot);
    const at = x.valueAddress();
    const length = x.valueLength();
    const isLong = (x.valueFlags() & VALUE_OVERFLOW) !== 0;
    return { key, length, first: isLong ? at : 0, value: isLong ? NOTHING : core.u8.slice(at, at + length) };
  });
}

const NOTHING = new Uint8Array(0);

/** Records with their long values. */
export function* recordsOf(
  source: SalvageSource,
  cells: readonly Cell[],
  lost: LostRanges,
): Generator<Salvaged> {
  for (const { key, value, first, length } of cells) {
    const whole = first === 0 ? value : longValue(source, first, length);
    const bound = { key, inclusive: true };
    if (whole instanceof Uint8Array) yield { key, value: whole };
    else lost.add({ lower: bound, upper: bound }, whole);
  }
}

/** A long value, or why it cannot be read. No more memory is taken than pages were read. */
function longValue(source: SalvageSource, first: number, length: number): Uint8Array | VerifyProblem {
  const { core } = source.pager;
  const { x } = core;
  const pieces: Uint8Array[] = [];
  let page = first;
  for (let left = length; left > 0; ) {
    const address = source.open(page);
    if (typeof address !== 'number') return address;
    if (x.inspectOverflowPage(address, left) !== OK)
      return source.misfit(page, 'does not go on with a long value');
    const at = x.valueAddress();
    pieces.push(core.u8.slice(at, at + x.valueLength()));
    left -= x.valueLength();
    page = x.overflowNext();
  }
  const value = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    value.set(piece, at);
    at += piece.length;
  }
  return value;
}
