/**
 * A core of its own for work that belongs to no store: blocks are encoded and read without one. It is made when it is
 * first needed, has some megabytes, and is given up when it traps.
 *
 * Two windows of its memory are lent to one call at a time; nothing here runs while another call does.
 */
import { LOG_AREA, LOG_BUFFER_SIZE, PAGE_SIZE_MIN } from '../../assembly/layout.ts';
import type { Core } from '../core/wasm.ts';
import { createCore, guardTrap } from '../core/wasm.ts';

/** Addresses of the windows. */
export const WINDOW_IN = LOG_AREA;
export const WINDOW_OUT = LOG_AREA + LOG_BUFFER_SIZE;
/** Bytes of each. */
export const WINDOW_SIZE = LOG_BUFFER_SIZE;

let core: Core | undefined;

/** Does something with the core. Throws STORE_FAILED when it traps, which nothing but a defect makes it do. */
export function withScratch<T>(work: (core: Core) => T): T {
  core ??= createCore({ pageSize: PAGE_SIZE_MIN, frames: 16, storeId: [0, 0] });
  try {
    return work(core);
  } catch (error) {
    const mended = guardTrap(error);
    if (mended !== error) core = undefined;
    throw mended;
  }
}
