/**
 * The one door to WebAssembly: makes an instance with a memory of its own, proves that it was built from the same
 * layout as this code, and names its exports and their types. Nothing else touches the `WebAssembly` object.
 *
 * The memory begins small and becomes longer while the pool fills (`grow`): an open store costs what it uses, and
 * runtimes count a memory's bytes when they decide to collect garbage. Every growth makes new views, and whoever kept
 * an old one would read nothing from then on: so a view is asked for where it is used (`core.u8`), never kept. Results
 * that are addresses or checksums are made unsigned here and nowhere else.
 *
 * A trap means that our own code broke a rule: `guardTrap` turns it into STORE_FAILED, and the store that owns the
 * instance must not use it again.
 */

import * as layout from '../../assembly/layout.ts';
import { bytes as release } from '../../build/wasm/release.js';
import { AegisError } from '../base/errors.ts';
import type { OwnBytes } from '../base/lib-types.ts';
import { CONSTANTS } from './constants.ts';
import type { CoreExports } from './wasm-exports.ts';

export type { CoreExports } from './wasm-exports.ts';

/** An instance of the core with the views on its memory, which are others after every growth. */
export interface Core {
  readonly x: CoreExports;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  /** Frames of the pool now, and at the most, the core's own working frames included. */
  readonly frames: number;
  readonly framesMax: number;
  readonly pageSize: number;
  /** Adds frames to the pool; false when it has all, or the machine refuses the memory: then it stays as it is. */
  grow(): boolean;
}

/** What an instance is made for. */
export interface CoreOptions {
  /** Bytes of a page: a power of two from PAGE_SIZE_MIN to PAGE_SIZE_MAX. */
  pageSize: number;
  /** Page frames of the pool. */
  frames: number;
  /** Identity that every block and log group carries: two random 32-bit words. */
  storeId: readonly [low: number, high: number];
  /** The module to use; tests run the debug build, which checks more. */
  module?: OwnBytes;
}

/** Epoch of a reader of the latest state. */
export const LATEST = 2 ** 53;

/** "No bound" where a key length is expected; crosses the door as -1. */
export const NO_BOUND = -1;

/**
 * Frames beyond what the user asked for: an operation in the smallest pool pins its way down the tree and sets old
 * versions aside at the same time.
 */
const WORKING_FRAMES = 16;

/** Frames that are there from the start. */
const FIRST_FRAMES = 64;

const WASM_PAGE = 65536; // bytes
const WASM_PAGES_MAX = 65536;

/** Exports that answer addresses or 32-bit words that use the top bit. Bundles for browsers give them other names. */
const UNSIGNED = {
  frameAddress: true,
  valueAddress: true,
  inspectKey: true,
  applyAt: true,
  blockSumLow: true,
  blockSumHigh: true,
  missPage: true,
  groupLinkLow: true,
  groupLinkHigh: true,
};

/** Modules by their bytes: compiling takes longer than everything else an instance needs. */
const compiled = new WeakMap<Uint8Array, WebAssembly.Module>();
/** Those whose constants have been compared with ours: every instance of a module has the same. */
const compared = new WeakSet<WebAssembly.Module>();

function compile(bytes: OwnBytes): WebAssembly.Module {
  let module = compiled.get(bytes);
  if (module === undefined) {
    try {
      module = new WebAssembly.Module(bytes);
    } catch (cause) {
      throw withoutWasm(cause);
    }
    compiled.set(bytes, module);
  }
  return module;
}

/** The error where there is no WebAssembly (`node --jitless`), or where a page's security policy forbids it. */
export function withoutWasm(cause: unknown): AegisError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `this runtime cannot run WebAssembly, or may not: ${reason}`;
  return new AegisError('UNSUPPORTED', message, { cause });
}

/** Pages of linear memory that hold the tables of a pool and the first of its frames. */
function memoryPages(pageSize: number, frames: number, first: number): number {
  const tables = (frames + 1) * layout.FRAME_OVERHEAD;
  return Math.ceil((layout.FRAME_AREA + tables + (first + 3) * pageSize + 4096) / WASM_PAGE);
}

/** Makes an instance. Throws TOO_LARGE when the machine or WebAssembly cannot give the memory. */
export function createCore(options: CoreOptions): Core {
  const { pageSize } = options;
  const frames = options.frames + WORKING_FRAMES;
  const first = Math.min(frames, FIRST_FRAMES);
  const maximum = memoryPages(pageSize, frames, frames);
  if (maximum > WASM_PAGES_MAX)
    throw new AegisError('TOO_LARGE', 'bufferPoolSize: must stay below 4 GB with its tables');
  const module = compile(options.module ?? release);
  let memory: WebAssembly.Memory;
  try {
    memory = new WebAssembly.Memory({ initial: memoryPages(pageSize, frames, first), maximum });
  } catch (cause) {
    throw new AegisError('TOO_LARGE', `bufferPoolSize: this machine refuses ${maximum * WASM_PAGE} bytes`, {
      cause,
    });
  }
  const imports = {
    env: { memory, abort: abort(memory) },
    memory: { pageSize, pageShift: Math.log2(pageSize) },
  };
  const instance = instantiate(module, imports);
  const exports = instance.exports as Record<string, unknown>;
  if (!compared.has(module)) checkLayout(exports);
  compared.add(module);
  const x: Record<string, unknown> = { ...exports };
  for (const name of Object.keys(UNSIGNED)) {
    const raw = exports[name] as (...values: number[]) => number;
    x[name] = (...values: number[]): number => raw(...values) >>> 0;
  }
  const core = new GrowingCore(x as unknown as CoreExports, memory, pageSize, first, frames);
  const status = core.x.memoryInit(frames, first, options.storeId[0], options.storeId[1]);
  if (status !== layout.OK)
    throw new AegisError('STORE_FAILED', 'internal rule broken: the pool fits its memory');
  return core;
}

class GrowingCore implements Core {
  readonly x: CoreExports;
  readonly pageSize: number;
  frames: number;
  framesMax: number;
  u8!: Uint8Array;
  u32!: Uint32Array;
  i32!: Int32Array;
  f64!: Float64Array;
  readonly #memory: WebAssembly.Memory;

  constructor(x: CoreExports, memory: WebAssembly.Memory, pageSize: number, first: number, most: number) {
    this.x = x;
    this.#memory = memory;
    this.pageSize = pageSize;
    this.frames = first;
    this.framesMax = most;
    this.#view();
  }

  grow(): boolean {
    if (this.frames === this.framesMax) return false;
    const growth = this.x.framesGrowth();
    const pages = memoryPages(this.pageSize, this.framesMax, this.frames + growth);
    try {
      this.#memory.grow(Math.max(0, pages - this.#memory.buffer.byteLength / WASM_PAGE));
    } catch {
      // A smaller pool than was asked for does as well, only slower.
      this.framesMax = this.frames;
      return false;
    }
    this.#view();
    this.frames += this.x.framesAdd(growth);
    return true;
  }

  #view(): void {
    const { buffer } = this.#memory;
    this.u8 = new Uint8Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f64 = new Float64Array(buffer);
  }
}

function instantiate(module: WebAssembly.Module, imports: WebAssembly.Imports): WebAssembly.Instance {
  try {
    return new WebAssembly.Instance(module, imports);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw withoutWasm(cause);
    throw new AegisError('TOO_LARGE', 'this machine refuses the memory for another instance of the core', {
      cause,
    });
  }
}

/** Compares every shared constant with the module's own: a stale or foreign module is refused. */
function checkLayout(exports: Record<string, unknown>): void {
  for (const [name, value] of CONSTANTS) {
    const own = exports[name];
    if (!(own instanceof WebAssembly.Global) || own.value !== value) {
      throw new AegisError('STORE_FAILED', `layout mismatch: ${name}`);
    }
  }
}

/**
 * Does work that must leave areas of memory alone (AREA_* of the layout); the debug build asserts that it does. What
 * was claimed before stays claimed.
 */
export function claimingAreas<T>({ x }: Core, areas: number, work: () => T): T {
  const claimed = x.areasClaim(areas);
  try {
    return work();
  } finally {
    x.areasRelease(claimed);
  }
}

/** A failed assertion of the core: its message and place, read from AssemblyScript's string layout. */
function abort(
  memory: WebAssembly.Memory,
): (message: number, file: number, line: number, column: number) => never {
  const text = (at: number): string => {
    if (at === 0) return '';
    const length = new Uint32Array(memory.buffer, at - 4, 1)[0] ?? 0;
    return String.fromCharCode(...new Uint16Array(memory.buffer, at, Math.min(length >> 1, 500)));
  };
  return (message, file, line, column) => {
    throw new AegisError(
      'STORE_FAILED',
      `internal rule broken: ${text(message)} (${text(file)}:${line}:${column})`,
    );
  };
}

/** What runtimes say when there is no memory for an array or a text. */
const NO_MEMORY = /allocation|out of memory|array length|array buffer|string length|string longer/i;

/** Turns a WebAssembly trap into STORE_FAILED, and memory that was refused into TOO_LARGE; others stay as they are. */
export function guardTrap(error: unknown): unknown {
  // Without WebAssembly nothing traps.
  if (typeof WebAssembly === 'object' && error instanceof WebAssembly.RuntimeError) {
    return new AegisError('STORE_FAILED', `internal rule broken: ${error.message}`, { cause: error });
  }
  if (error instanceof RangeError && NO_MEMORY.test(error.message)) {
    return new AegisError('TOO_LARGE', `this machine refuses the memory: ${error.message}`, { cause: error });
  }
  return error;
}
