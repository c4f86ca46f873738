/**
 * The inspector: finds the version of a page that an epoch sees and checks it wherever it lies, in its block, in a
 * frame, or in both. Blocks are read into the staging area and built in a spare place: nothing becomes resident and
 * nothing is evicted, so that a walk over the whole store leaves the pool as it was.
 *
 * Invariants
 *   1. A block is read from the file even when its page is in a frame: what is wrong on the disk shows now.
 *   2. A page in a frame and its block say the same, or one of them is damage.
 *   3. A version lies in an extent, in a frame, or in both; a page that an epoch does not see lies nowhere for it.
 */
import { ENCODED, OK, SECTOR_SIZE } from '../../assembly/layout.ts';
import { DATA_FILE } from '../store/blocks.ts';
import type { Place } from '../store/directory.ts';
import { isSpoilt } from '../store/directory.ts';
import type { Pager } from '../store/pager.ts';
import type { Findings, Whereabouts } from './findings.ts';

/** Where the version of a page lies that an epoch sees. */
export interface VisibleVersion {
  /** Its extent; `sectors` 0: none. */
  readonly place: Place;
  /** Epoch it began with; 0: at or before the last checkpoint of an earlier opening. */
  readonly from: number;
  /** Its frame; 0: none. */
  readonly frame: number;
}

/** Where an epoch sees a page; undefined when the page did not exist then. Events must have been drained. */
export function visibleVersion(pager: Pager, page: number, epoch: number): VisibleVersion | undefined {
  const { x } = pager.core;
  const { directory } = pager;
  const old = pager.versions.find(page, epoch);
  if (old) return { place: old.place, from: old.from, frame: x.oldFrame(page, epoch) };
  const frame = x.frameNewest(page);
  const place = directory.place(page);
  if (frame === 0 && place.sectors === 0) return undefined;
  const from = frame === 0 ? directory.from(page) : x.frameFrom(frame);
  return from <= epoch ? { place, from, frame } : undefined;
}

export class Inspector {
  readonly #pager: Pager;
  readonly #epoch: number;
  readonly #findings: Findings;
  /** Where the page opened last lies, for what is found in it. */
  where: Whereabouts = {};

  constructor(pager: Pager, epoch: number, findings: Findings) {
    this.#pager = pager;
    this.#epoch = epoch;
    this.#findings = findings;
  }

  /**
   * Checks a page that `referrer` names, and answers the address of sound bytes of it, good until the next call; 0
   * when there are none. A damaged block does not hide what lies below while a frame holds the page.
   */
  open(page: number, referrer: string): number {
    const pager = this.#pager;
    const { x } = pager.core;
    pager.drain();
    this.where = { page };
    const version = visibleVersion(pager, page, this.#epoch);
    if (!version) {
      this.#findings.add(`page ${page} does not exist, but ${referrer} refers to it`, { page });
      return 0;
    }
    const { place, frame } = version;
    if (place.sectors > 0) this.where = { page, file: DATA_FILE, offset: place.start * SECTOR_SIZE };
    else if (frame === 0) this.#findings.add(`page ${page} lies neither in memory nor in the file`, { page });
    const whole = place.sectors > 0 && this.#openBlock(page, version);
    if (frame === 0) return whole ? x.inspectBuilt() : 0;
    const address = x.frameAddress(frame);
    if (x.inspectPage(address, page) !== OK) {
      this.#findings.add(`page ${page} in memory: ${pager.blocks.fault}`, { page });
      return whole ? x.inspectBuilt() : 0;
    }
    if (whole && !x.inspectSame(frame)) {
      this.#findings.add(`page ${page} is in memory not what its block says`, this.where);
    }
    return address;
  }

  /** Reports what the core just found wrong with the page opened last. */
  fault(): void {
    const { page, offset } = this.where;
    const at = offset === undefined ? 'in memory' : `file ${DATA_FILE}, offset ${offset}`;
    this.#findings.add(`page ${page}: ${this.#pager.blocks.fault} (${at})`, this.where);
  }

  /** Reports something else about the page opened last. */
  report(message: string): void {
    this.#findings.add(message, this.where);
  }

  /** Reads a page's block, whatever the pool holds; whether it is sound and the version it should be. */
  #openBlock(page: number, { place, from }: VisibleVersion): boolean {
    const { core, blocks } = this.#pager;
    if (place.sectors > blocks.pageSectors) {
      this.report(`page ${page} has an extent longer than a page can be`);
      return false;
    }
    if (isSpoilt(place)) {
      this.#findings.addError(blocks.spoilt(place, page));
      return false;
    }
    let available: number;
    try {
      available = blocks.read(place, page);
    } catch (error) {
      this.#findings.addError(error);
      return false;
    }
    let status = core.x.inspectBlock(available, page, place.sumLow, place.sumHigh);
    if (status === ENCODED) {
      status = blocks.decode(page);
      if (status === OK) status = core.x.inspectDecoded(page);
    }
    if (status !== OK) {
      this.fault();
      return false;
    }
    if (!core.x.blockPadded(available)) {
      this.report(`page ${page}: its extent holds more than its block`);
    }
    const epoch = core.x.inspectEpoch(core.x.inspectBuilt());
    if (from === 0 ? epoch <= this.#epoch : epoch === from) return true;
    this.report(`page ${page}: its block is of epoch ${epoch}, not of the version that is meant`);
    return false;
  }
}
