/*
 * What must come of damage to more than a bit, by comparing the damaged files with the whole ones: as flips.ts has it
 * for a bit, with all that was hit taken together. Log files keep their names here; what becomes of lost and exchanged
 * ones is in test/engine/damage-directed.test.ts.
 */
import { GROUP_HEADER_SIZE, SECTOR_SIZE } from '../../assembly/layout.ts';
import type { Files } from '../support/files.ts';
import type { BitStore, Expected } from './bit-store.ts';
import { fastXxh64 } from './fast-xxh64.ts';
import { viewOf } from './forge.ts';

const SLOTS = [0, 4096];
/** Codes that opening may answer when no superblock is left. */
const STRANGE = ['NOT_A_STORE', 'UNSUPPORTED_VERSION', 'NOT_FOUND'];

export function expectedOfFiles(store: BitStore, files: Files, readOnly: boolean): Expected {
  const { anatomy, states } = store;
  const isHit = (file: string, from: number, to: number): boolean => {
    const [whole, now] = [store.files.get(file)!, files.get(file)!];
    return Buffer.compare(whole.subarray(from, to), now.subarray(from, to)) !== 0;
  };
  const slots = SLOTS.filter((slot) => isHit('data', slot, slot + SECTOR_SIZE)).length;
  const hit = anatomy.blocks.filter(({ from, to }) => isHit('data', from, to));
  const padding = anatomy.blocks.some(({ to, end }) => isHit('data', to, end));
  const isShort = (file: string, place: number) => files.get(file)!.length < place;
  const outcome = anatomy.logOutcome(isHit, movedMark(store, files), isShort);
  const isLost = outcome === 'CORRUPTION' || isCut(store, files, outcome.end);
  const content = states.get(outcome === 'CORRUPTION' ? store.lastSequence : outcome.sequence)!;
  const pages = hit.some(({ page }) => page !== undefined);
  const refused = slots === 2 || isLost || hit.some(({ page }) => page === undefined);
  const anything = slots > 0 || hit.length > 0 || padding || isLost;
  return {
    refused: refused ? 'must' : pages ? 'may' : 'never',
    content,
    unread: pages ? 'may' : 'never',
    alarm: pages || (slots > 0 && readOnly) ? 'must' : padding ? 'may' : 'never',
    at: anything ? 'somewhere' : undefined,
    slotDamaged: slots === 1,
    codes: slots === 2 ? STRANGE : [],
  };
}

/** The highest mark of a whole group header, wherever it lies now. */
function movedMark({ files, anatomy }: BitStore, now: Files): number {
  const key = (bytes: Uint8Array, at: number) =>
    Buffer.from(bytes.subarray(at, at + GROUP_HEADER_SIZE)).toString('latin1');
  const marks = new Map<string, number>();
  for (const { file, offset, mark } of [...anatomy.groups, ...anatomy.stale]) {
    marks.set(key(files.get(file)!, offset), mark);
  }
  let highest = 0;
  for (const [file, bytes] of now) {
    if (file === 'data') continue;
    for (let at = 0; at + GROUP_HEADER_SIZE <= bytes.length; at += SECTOR_SIZE) {
      highest = Math.max(highest, marks.get(key(bytes, at)) ?? 0);
    }
  }
  return highest;
}

/** Whether files are shorter than the superblock or a header knows, so that something behind the end may be lost. */
function isCut({ anatomy, files }: BitStore, now: Files, end: number): boolean {
  let bytes = 0;
  for (const [file, content] of now)
    if (file !== 'data' && !isForeign(content, files)) bytes += content.length;
  if (bytes < anatomy.logSize) return true;
  return anatomy.segments.some(({ file, firstLsn, size }) => {
    const whole = now.get(file)!;
    if (whole.length >= size || whole.length < GROUP_HEADER_SIZE) return false;
    if (Buffer.compare(whole.subarray(0, 64), files.get(file)!.subarray(0, 64)) !== 0) return false;
    return firstLsn <= end && end < firstLsn + size;
  });
}

/** Whether a log file has a whole header of another store: it is left alone, and not counted. */
function isForeign(bytes: Uint8Array, files: Files): boolean {
  if (bytes.length < 64 || Buffer.from(bytes.subarray(0, 4)).toString() !== 'ASEG') return false;
  const view = viewOf(bytes);
  if (fastXxh64(bytes.subarray(0, 56), 0n) !== view.getBigUint64(56, true)) return false;
  return view.getBigUint64(8, true) !== viewOf(files.get('data')!).getBigUint64(8, true);
}
