/**
 * The door for bytes that go out: short values and records of scans are cut here, from memory that several of them
 * share, since an ArrayBuffer for each would cost more than the lookup. Longer ones have memory of their own.
 *
 * Invariants
 *   1. What lies in shared memory is for those it was handed to: the engine decides nothing by it.
 *   2. A slab has at most SLAB_BYTES: what is kept of it keeps no more than that besides its own bytes.
 *   3. A slab is pinned: the runtime refuses to transfer it, or copies it. Where memory cannot be pinned (browsers)
 *      nothing is shared, so that who transfers one result takes no other one away.
 *   4. A slab that went away all the same is replaced.
 */
import { runtimePin } from '../backend/host-memory.ts';
import { AegisError } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import type { Core } from '../core/wasm.ts';

/** Most bytes of memory that several results share. */
export const SLAB_BYTES = 8192;

const pin = runtimePin();

/** Whether results may share memory here. */
export const canShare = pin !== undefined;

/** New memory for a result. Throws TOO_LARGE. */
export function newBytes(length: number): OwnBytes {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new AegisError('TOO_LARGE', `this machine refuses memory for ${length} bytes`, { cause });
  }
}

/** Memory with a copy of bytes of linear memory, for results to be cut from. */
export function pieceOf(core: Core, from: number, to: number): ArrayBuffer {
  const { buffer } = core.u8.slice(from, to);
  pin?.(buffer as ArrayBuffer);
  return buffer as ArrayBuffer;
}

/** Cuts results from slabs, one after the other. */
export class Slabs {
  readonly #core: Core;
  #words = new Int32Array(0);
  #used = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  /** A copy of bytes in linear memory (4-aligned, at most SLAB_BYTES). */
  cut(address: number, length: number): OwnBytes {
    const core = this.#core;
    if (!canShare) return core.u8.slice(address, address + length);
    const words = (length + 3) >> 2;
    // A buffer that was transferred away has no words left.
    if (this.#used + words >= this.#words.length) this.#renew();
    const source = address >> 2;
    const target = this.#used;
    const slab = this.#words;
    for (let i = 0; i < words; ++i) slab[target + i] = core.i32[source + i] as number;
    this.#used = target + words;
    return new Uint8Array(slab.buffer, target * 4, length);
  }

  #renew(): void {
    const memory = new ArrayBuffer(SLAB_BYTES);
    pin?.(memory);
    this.#words = new Int32Array(memory);
    this.#used = 0;
  }
}
