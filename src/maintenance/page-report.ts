/**
 * Looking at pages from outside: what one page is, and how full all of them are. It reads as verification does: every
 * block from the file, nothing becomes resident, nothing changes.
 *
 * 1. A damaged page is told as far as it can be: where it lies, and what is wrong.
 * 2. Between two pages of a census other work may run; it shows the state of its snapshot all the same.
 */
import { PAGE_INNER, PAGE_LEAF, PAGE_OVERFLOW, SECTOR_SIZE, STAGING_AREA } from '../../assembly/layout.ts';
import { DATA_FILE } from '../store/blocks.ts';
import type { Pager } from '../store/pager.ts';
import { Findings } from './findings.ts';
import { Inspector, visibleVersion } from './inspector.ts';

export type PageKind = 'leaf' | 'inner' | 'overflow';

/** What one page is. Sizes are bytes. */
export interface PageReport {
  readonly page: number;
  /** Absent when the page is too damaged to tell. */
  readonly kind?: PageKind;
  /** 0 for leaves. */
  readonly level?: number;
  /** Records of a leaf, children of an inner page. */
  readonly slots?: number;
  /** Share of its space that is taken, 0 to 1. */
  readonly fill?: number;
  /** Epoch that wrote it. */
  readonly epoch?: number;
  /** Where its block lies; absent for a page that is in memory only. */
  readonly extent?: {
    readonly file: string;
    readonly offset: number;
    readonly size: number;
    /** Checksum that the page directory expects of it, as 16 hex digits. */
    readonly checksum: string;
    /** Codec of the block. */
    readonly codec: string;
    /** The first bytes of the block as they lie in the file. */
    readonly bytes: Uint8Array;
  };
  /** Keys of a tree page, in order; an inner page's are its separators, the first of which stands for none. */
  readonly keys: readonly Uint8Array[];
  /** Pages below an inner page. */
  readonly children: readonly number[];
  /** What is wrong with it. */
  readonly problems: readonly string[];
}

/** How full the pages of a store are. */
export interface PageCensus {
  /** Pages of each kind; those that cannot be read are `damaged`. */
  readonly pages: Readonly<Record<PageKind | 'damaged', number>>;
  /** Levels above the leaves that pages have. */
  readonly height: number;
  /** Records in leaves, those of the store's own books (the list of trees) included. */
  readonly records: number;
  /** Mean share of the space of leaves that is taken, 0 to 1. */
  readonly leafFill: number;
  /** Leaves whose fill is below a tenth, below two tenths, and so on: ten numbers. */
  readonly leafFills: readonly number[];
}

const KINDS: Readonly<Record<number, PageKind>> = {
  [PAGE_LEAF]: 'leaf',
  [PAGE_INNER]: 'inner',
  [PAGE_OVERFLOW]: 'overflow',
};
const CODECS: readonly string[] = ['none', 'lz4', 'zstd'];
const PREVIEW_SIZE = 256;
const THOUSAND = 1000;

/** Looks at a page as an epoch sees it; undefined when there is no such page. */
export function reportPage(pager: Pager, page: number, epoch: number): PageReport | undefined {
  if (!isInUse(pager, page, epoch)) return undefined;
  const findings = new Findings();
  const extent = extentOf(pager, page, epoch, findings);
  const { core } = pager;
  const { x } = core;
  const address = new Inspector(pager, epoch, findings).open(page, 'you');
  const problems = findings.problems.map(({ message }) => message);
  const where = { page, ...(extent ? { extent } : {}), problems };
  if (address === 0) return { ...where, keys: [], children: [] };
  const { kind, level, slots } = shapeOf(x.inspectShape(address));
  const each = kind === 'overflow' ? 0 : slots;
  const keyAt = (slot: number) => {
    const at = x.inspectKey(address, slot);
    return core.u8.slice(at, at + x.inspectKeyBytes(address, slot));
  };
  return {
    ...where,
    kind,
    level,
    slots: each,
    fill: x.inspectFill(address) / THOUSAND,
    epoch: x.inspectEpoch(address),
    keys: Array.from({ length: each }, (_, slot) => keyAt(slot)),
    children: Array.from({ length: kind === 'inner' ? slots : 0 }, (_, slot) =>
      x.inspectChild(address, slot),
    ),
  };
}

/** Looks at all pages that an epoch sees; each step is one page number. */
export function* censusOf(pager: Pager, epoch: number): Generator<number, PageCensus> {
  const { x } = pager.core;
  const findings = new Findings();
  const inspector = new Inspector(pager, epoch, findings);
  const pages = { leaf: 0, inner: 0, overflow: 0, damaged: 0 };
  const leafFills = new Array<number>(10).fill(0);
  let [height, records, filled] = [0, 0, 0];
  // Pages from there on belong to later epochs.
  const end = pager.nextPage;
  for (let page = 1; page < end; ++page) {
    yield page;
    if (!isInUse(pager, page, epoch)) continue;
    const address = inspector.open(page, 'the census');
    if (address === 0) {
      ++pages.damaged;
      continue;
    }
    const { kind, level, slots } = shapeOf(x.inspectShape(address));
    ++pages[kind];
    if (kind === 'inner') height = Math.max(height, level);
    if (kind !== 'leaf') continue;
    const fill = x.inspectFill(address);
    filled += fill;
    records += slots;
    const tenth = Math.min(9, Math.floor(fill / 100));
    leafFills[tenth] = (leafFills[tenth] as number) + 1;
  }
  const leafFill = pages.leaf === 0 ? 0 : filled / pages.leaf / THOUSAND;
  return { pages, height, records, leafFill, leafFills };
}

function isInUse(pager: Pager, page: number, epoch: number): boolean {
  pager.drain();
  return visibleVersion(pager, page, epoch) !== undefined;
}

function shapeOf(shape: number): { kind: PageKind; level: number; slots: number } {
  return { kind: KINDS[shape & 0xff] as PageKind, level: (shape >> 8) & 0xff, slots: shape >>> 16 };
}

function extentOf(pager: Pager, page: number, epoch: number, findings: Findings): PageReport['extent'] {
  const place = visibleVersion(pager, page, epoch)?.place;
  if (place === undefined || place.sectors === 0) return undefined;
  const { core, blocks } = pager;
  const words = [place.sumHigh, place.sumLow].map((word) => (word >>> 0).toString(16).padStart(8, '0'));
  const extent = {
    file: DATA_FILE,
    offset: place.start * SECTOR_SIZE,
    size: place.sectors * SECTOR_SIZE,
    checksum: words.join(''),
  };
  try {
    const available = Math.min(blocks.read(place), PREVIEW_SIZE);
    const bytes = core.u8.slice(STAGING_AREA, STAGING_AREA + available);
    const codec = blocks.codecAt(place.start);
    return { ...extent, codec: CODECS[codec ?? -1] ?? 'unknown', bytes };
  } catch (error) {
    findings.addError(error);
    return { ...extent, codec: 'unknown', bytes: new Uint8Array(0) };
  }
}
