/*
 * The ledger of areas: who may use the fixed areas through which keys, bounds, values, blocks and answers pass between
 * the host and the core. What lies there has to last while the call that it belongs to waits: for a page to be served,
 * for a codec, for what a walk's visitor does with each record. For that time the host holds the areas; whoever uses one
 * that is held asserts. A call that ends holds nothing, however it ends.
 *
 * Of the debug build only: in the release build nothing is held and nothing asked.
 *
 * Invariants
 *   1. Whoever holds an area does not use it itself before it lets it go.
 *   2. Areas that the host fills are asked for by the call that reads them: it was made right before.
 */
import { AREAS_ALL, AREA_INPUT, AREA_KEY, INPUT_AREA, INPUT_AREA_SIZE, KEY_AREA } from '../layout';
import { DEBUG, HELD } from './memory';

/** Holds areas; answers those that nobody held before: they are the caller's to let go. */
export function areasHold(areas: u32): u32 {
  if (!DEBUG) return 0;
  assert((areas & ~(AREAS_ALL as u32)) == 0, 'an area that is held is one of those there are');
  const before = load<u32>(HELD);
  store<u32>(HELD, before | areas);
  return areas & ~before;
}

/** Lets areas go. */
export function areasRelease(areas: u32): void {
  if (!DEBUG) return;
  const before = load<u32>(HELD);
  assert((before & areas) == areas, 'only what is held is let go');
  store<u32>(HELD, before & ~areas);
}

/** Asserts that nobody holds areas that are about to be used. */
export function areasUse(areas: u32): void {
  if (DEBUG) assert((load<u32>(HELD) & areas) == 0, 'an area is not used while somebody holds it');
}

/** As areasUse() for the one that an address given by the host lies in. */
export function areasUseAt(address: usize): void {
  if (DEBUG) {
    if (address == (KEY_AREA as usize)) areasUse(AREA_KEY);
    if (address - (INPUT_AREA as usize) < (INPUT_AREA_SIZE as usize)) areasUse(AREA_INPUT);
  }
}
