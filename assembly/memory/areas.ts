/*
 * Claims on the fixed areas of memory through which keys, bounds, values, blocks and answers pass between the host and
 * the core. What lies there must last while the call that it belongs to waits: for a page to be loaded, for a codec, or
 * for what the visitor of a walk does with each record. For that time the host claims the areas, and any use of a
 * claimed area fails an assertion. A call that ends leaves no claim, however it ends.
 *
 * This is for the debug build only: in the release build nothing is claimed and nothing is checked.
 *
 * Invariants
 *   1. Whoever claims an area does not use it before releasing it.
 *   2. Areas that the host fills are checked by the call that reads them: the host made it right after filling them.
 */
import { AREAS_ALL, AREA_INPUT, AREA_KEY, INPUT_AREA, INPUT_AREA_SIZE, KEY_AREA } from '../layout';
import { DEBUG, CLAIMED_AREAS } from './memory';

/** Claims areas; answers those that were not claimed before: the caller must release them. */
export function areasClaim(areas: u32): u32 {
  if (!DEBUG) return 0;
  assert((areas & ~(AREAS_ALL as u32)) == 0, 'a claimed area is one of those there are');
  const before = load<u32>(CLAIMED_AREAS);
  store<u32>(CLAIMED_AREAS, before | areas);
  return areas & ~before;
}

/** Releases areas. */
export function areasRelease(areas: u32): void {
  if (!DEBUG) return;
  const before = load<u32>(CLAIMED_AREAS);
  assert((before & areas) == areas, 'only what is claimed is released');
  store<u32>(CLAIMED_AREAS, before & ~areas);
}

/** Asserts that areas that are about to be used are not claimed. */
export function areasUse(areas: u32): void {
  if (DEBUG) assert((load<u32>(CLAIMED_AREAS) & areas) == 0, 'an area is not used while it is claimed');
}

/** As areasUse() for the one that an address given by the host lies in. */
export function areasUseAt(address: usize): void {
  if (DEBUG) {
    if (address == (KEY_AREA as usize)) areasUse(AREA_KEY);
    if (address - (INPUT_AREA as usize) < (INPUT_AREA_SIZE as usize)) areasUse(AREA_INPUT);
  }
}
