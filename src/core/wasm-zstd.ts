/**
 * The door to zstd-codec: its WebAssembly starts here and nowhere else. It is a chunk of its own that nothing imports
 * statically, and a second time a CommonJS file, for runtimes that can load one between two statements.
 */

/** What of the package is used. */
export interface ZstdSimple {
  /** Answers a frame, or null. */
  compress(bytes: Uint8Array, level?: number): Uint8Array | null;
  /** Answers what a frame holds, or null. */
  decompress(frame: Uint8Array): Uint8Array | null;
}

/** Where `requireZstd` looks from. */
export const moduleUrl: string = import.meta.url;

/** The CommonJS file as seen from the bundle, from one of its chunks, and from the sources. */
const PLACES = ['./zstd.cjs', '../zstd.cjs', '../../build/zstd.cjs'] as const;

/** Starts the package, in every runtime. */
export async function importZstd(): Promise<ZstdSimple> {
  const { open } = await import('../../build/wasm/zstd.js');
  return open();
}

/** Starts the package at once, with a loader of files that resolves from this module. */
export function requireZstd(load: (file: string) => unknown): ZstdSimple {
  let failure: unknown;
  for (const place of PLACES) {
    let found: { open(): ZstdSimple };
    try {
      found = load(place) as { open(): ZstdSimple };
    } catch (error) {
      failure ??= error;
      continue;
    }
    return found.open();
  }
  throw failure;
}
