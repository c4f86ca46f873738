/**
 * The walk of verification: every page of a tree as one epoch sees it, from the root down, each held against what its
 * parent says of it. Overflow chains are followed from their leaf cells.
 *
 * The way down is kept in a list, not in calls: files may be hostile. Depth first, so that memory holds one way from
 * the root to a leaf, not the bounds of every leaf. No page is entered twice, so the walk ends after at most as many
 * pages as there are numbers.
 *
 * What is wrong with one page hides nothing beside it: its siblings are walked, and so is what lies below it while
 * its children can be told. Below a page with impossible keys no bounds are expected, below one with the wrong level
 * its own level counts: one fault is one problem.
 *
 * Invariants
 *   1. A child's level is its parent's less one; leaves have level 0; chains hold overflow pages only.
 *   2. The keys below a child lie in [its separator, the next one); a separator is above the lower bound of its page.
 *   3. Every page is referred to once: by a parent, a chain page, or as a root.
 *   4. A chain has exactly as many bytes as the leaf cell says.
 *   5. The tree's own search finds as many records between two bounds as the walk has met there.
 */
import { BOUND_AREA, KEY_AREA, MISS, OK, PAGE_LEAF, PAGE_OVERFLOW } from '../../assembly/layout.ts';
import { NO_BOUND } from '../core/wasm.ts';
import { NumberSet } from '../store/numbers.ts';
import type { Pager } from '../store/pager.ts';
import { RANGE_COUNT_ONLY, RANGE_START_INCLUSIVE } from '../store/range.ts';
import type { Findings } from './findings.ts';
import { Inspector, visibleVersion } from './inspector.ts';

/** No tree is deeper: the core refuses higher levels. */
const DEPTH_MAX = 64;
/** Numbers looked at in one go. */
const SLICE_NUMBERS = 16_384;

type Fence = Uint8Array | undefined;

/** What a parent says of a page. */
interface Expected {
  readonly page: number;
  /** Undefined: any, for a root. */
  readonly level: number | undefined;
  readonly low: Fence;
  readonly high: Fence;
  readonly referrer: string;
}

/** An inner page on the way down. */
interface Step extends Expected {
  readonly level: number;
  readonly children: readonly number[];
  /** Lower bound of each child. */
  readonly bounds: readonly Fence[];
  next: number;
  /** Records met below. */
  records: number;
  /** Problems known when it was entered. */
  readonly problems: number;
}

interface OverflowChain {
  readonly first: number;
  readonly length: number;
}

export class TreeWalk {
  readonly #pager: Pager;
  readonly #epoch: number;
  readonly #findings: Findings;
  readonly #inspector: Inspector;
  /** Page numbers reached. */
  readonly #reached = new NumberSet();
  /** Numbers from here on belong to no page that the epoch sees. */
  readonly #nextPage: number;
  /** Pages checked in one go. */
  readonly #slice: number;
  /** Pages reached. */
  pages = 0;
  records = 0;
  /** Pages whose references could not be followed. */
  #broken = 0;

  constructor(pager: Pager, epoch: number, findings: Findings, slice: number) {
    this.#pager = pager;
    this.#epoch = epoch;
    this.#findings = findings;
    this.#slice = slice;
    this.#inspector = new Inspector(pager, epoch, findings);
    this.#nextPage = pager.nextPage;
  }

  /** Walks a tree; other work may run at every `yield`. */
  *walk(root: number): Generator<void> {
    const way: Step[] = [];
    const expected = {
      page: root,
      level: undefined,
      low: undefined,
      high: undefined,
      referrer: 'the list of roots',
    };
    this.records += yield* this.#enter(expected, way, root);
    for (let top = way.at(-1); top; top = way.at(-1)) {
      const index = top.next++;
      const child = top.children[index];
      if (child !== undefined) {
        const low = top.bounds[index];
        const high = top.bounds[index + 1] ?? top.high;
        const below = { page: child, level: top.level - 1, low, high, referrer: `page ${top.page}` };
        top.records += yield* this.#enter(below, way, root);
        continue;
      }
      way.pop();
      if (top.level === 1) this.#count(root, top, top.records, top.problems);
      const above = way.at(-1);
      if (above) above.records += top.records;
      else this.records += top.records;
    }
  }

  /** Reports every page that the epoch sees and no walk has reached. */
  *unreached(): Generator<void> {
    let lost = 0;
    for (const { from, to } of this.#pager.freeNumbers.outside(this.#nextPage)) {
      for (let page = from; page < to; ++page) {
        if (page % SLICE_NUMBERS === 0) yield;
        if (this.#reached.has(page)) continue;
        this.#pager.drain();
        if (!visibleVersion(this.#pager, page, this.#epoch)) continue;
        ++lost;
        // Pages below damage look like leaked ones, so they are reported together.
        if (this.#broken === 0)
          this.#findings.add(`page ${page} is in use, but nothing refers to it`, { page });
      }
    }
    if (this.#broken > 0 && lost > 0) {
      this.#findings.add(`${lost} pages were not reached: they lie below damage, or nothing refers to them`);
    }
  }

  /** Checks a page and puts it on the way down if it has children; answers its records if it has none. */
  *#enter(expected: Expected, way: Step[], root: number): Generator<void, number> {
    const { page, level, referrer } = expected;
    if (!this.#reach(page, referrer)) return 0;
    if (this.#sliceEnds()) yield;
    const problems = this.#findings.count;
    const { x } = this.#pager.core;
    const address = this.#inspector.open(page, referrer);
    if (address === 0) return this.#lose();
    const shape = x.inspectShape(address);
    const kind = shape & 0xff;
    const own = (shape >> 8) & 0xff;
    if (kind === PAGE_OVERFLOW) {
      this.#inspector.report(`page ${page} is an overflow page, but ${referrer} has it in a tree`);
      return this.#lose();
    }
    if (level !== undefined && own !== level) {
      this.#inspector.report(`page ${page} has level ${own}, but ${referrer} expects ${level}`);
    }
    const fits = this.#fits(address, expected);
    const slots = shape >>> 16;
    if (kind === PAGE_LEAF) {
      for (const chain of this.#overflowChains(address, slots)) yield* this.#follow(chain, page);
      if (way.length === 0) this.#count(root, expected, slots, problems);
      return slots;
    }
    if (way.length === DEPTH_MAX) {
      this.#inspector.report(`page ${page} lies deeper than any tree is`);
      return this.#lose();
    }
    const [low, high] = fits ? [expected.low, expected.high] : [undefined, undefined];
    const children = Array.from({ length: slots }, (_, slot) => x.inspectChild(address, slot));
    const bounds = children.map((_, slot) => (slot === 0 ? low : this.#key(address, slot)));
    way.push({ page, level: own, low, high, referrer, children, bounds, next: 0, records: 0, problems });
    return 0;
  }

  #fits(address: number, { page, low, high, referrer }: Expected): boolean {
    const { core } = this.#pager;
    const { x } = core;
    if (low) core.u8.set(low, KEY_AREA);
    if (high) core.u8.set(high, BOUND_AREA);
    if (x.inspectFences(address, low?.length ?? NO_BOUND, high?.length ?? NO_BOUND) === OK) return true;
    this.#inspector.report(`page ${page} has keys outside the bounds that ${referrer} gives it`);
    return false;
  }

  #key(address: number, slot: number): Uint8Array {
    const { core } = this.#pager;
    const { x } = core;
    const at = x.inspectKey(address, slot);
    return core.u8.slice(at, at + x.inspectKeyBytes(address, slot));
  }

  // --- overflow chains ---------------------------------------------------------------------------------------------------

  /** The chains that a leaf refers to. */
  #overflowChains(address: number, slots: number): OverflowChain[] {
    const { x } = this.#pager.core;
    const chains: OverflowChain[] = [];
    for (
      let slot = x.inspectOverflowSlot(address, 0);
      slot < slots;
      slot = x.inspectOverflowSlot(address, slot + 1)
    ) {
      chains.push({ first: x.valueAddress(), length: x.valueLength() });
    }
    return chains;
  }

  /** Checks every page of a chain. */
  *#follow({ first, length }: OverflowChain, leaf: number): Generator<void> {
    const { x } = this.#pager.core;
    let page = first;
    let referrer = `a value in page ${leaf}`;
    for (let left = length; left > 0; ) {
      if (!this.#reach(page, referrer)) return;
      if (this.#sliceEnds()) yield;
      const address = this.#inspector.open(page, referrer);
      if (address === 0 || x.inspectOverflowPage(address, left) !== OK) {
        if (address !== 0)
          this.#inspector.report(
            `page ${page} does not go on with ${referrer}, ${left} bytes before its end`,
          );
        this.#lose();
        return;
      }
      left -= x.valueLength();
      referrer = `the chain in page ${page}`;
      page = x.overflowNext();
    }
  }

  // --- counting -------------------------------------------------------------------------------------------------

  /** Notes that a page is referred to; false when it is so a second time, or cannot be. */
  #reach(page: number, referrer: string): boolean {
    if (page > 0 && page < this.#nextPage && !this.#reached.has(page)) {
      this.#reached.add(page);
      ++this.pages;
      return true;
    }
    const what =
      page > 0 && page < this.#nextPage ? 'is referred to twice, again by' : 'cannot be referred to by';
    this.#findings.add(`page ${page} ${what} ${referrer}`, { page });
    return false;
  }

  #lose(): 0 {
    ++this.#broken;
    return 0;
  }

  #sliceEnds(): boolean {
    return this.pages % this.#slice === 0;
  }

  /** Compares what was met between two bounds with what a search finds there, as far as no page is missing. */
  #count(root: number, { page, low, high }: Expected, records: number, problems: number): void {
    if (this.#findings.count > problems) return;
    const { core } = this.#pager;
    const { x } = core;
    if (low) core.u8.set(low, KEY_AREA);
    if (high) core.u8.set(high, BOUND_AREA);
    const flags = RANGE_COUNT_ONLY | RANGE_START_INCLUSIVE;
    const status = x.treeRange(
      root,
      this.#epoch,
      low?.length ?? NO_BOUND,
      high?.length ?? NO_BOUND,
      flags,
      0,
    );
    if (status === MISS) return;
    if (status === OK && x.scanCount() === records) return;
    const found = status === OK ? `${x.scanCount()} records` : 'damage';
    this.#findings.add(`a search below page ${page} finds ${found} instead of ${records} records`, { page });
  }
}
