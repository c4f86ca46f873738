/** The door to lz4-wasm: instances of it are made here and nowhere else. */
import { instantiate } from '../../build/wasm/lz4.js';
import { withoutWasm } from './wasm.ts';

/** What of the package is used. A sized block is four bytes of size, then one LZ4 block. */
export interface Lz4Instance {
  compress(bytes: Uint8Array): Uint8Array;
  decompress(sized: Uint8Array): Uint8Array;
}

/** A fresh instance with a memory of its own. */
export function createLz4(): Lz4Instance {
  try {
    return instantiate();
  } catch (cause) {
    throw withoutWasm(cause);
  }
}

/** Whether an error says that an instance is not to be used again. */
export function isTrap(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError;
}
