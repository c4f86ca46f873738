/**
 * Where the built zstd-codec lies: one file of the package, which nothing imports before zstd is needed. Browsers have
 * `zstd-file.browser.ts` in place of this.
 *
 * The build writes the paths that are right in the bundles.
 */

/** What of the package zstd-codec is used. */
export interface ZstdSimple {
  /** Answers a frame, or null. */
  compress(bytes: Uint8Array, level?: number): Uint8Array | null;
  /** Answers what a frame holds, or null. */
  decompress(frame: Uint8Array): Uint8Array | null;
}

/** The file, loaded. */
export interface ZstdFile {
  /** Starts the package. */
  open(): ZstdSimple;
}

/** Imports the file; a bundler follows this. */
export function importZstdFile(): Promise<ZstdFile> {
  return import('../../build/zstd-codec.js');
}

/**
 * Loads the file between two statements. It is an ES module, which not every runtime can load like that: what stands
 * before its last line, its one export, is a script. Undefined where `moduleOf` has no way to read files.
 */
export function readZstdFile(moduleOf: (name: string) => unknown): ZstdFile | undefined {
  const files = moduleOf('node:fs') as { readFileSync(file: URL, encoding: 'utf8'): string } | undefined;
  if (files === undefined) return undefined;
  const text = files.readFileSync(new URL('../../build/zstd-codec.js', import.meta.url), 'utf8');
  const script = text.slice(0, text.lastIndexOf('export '));
  return new Function(`${script}\nreturn zstdCodec;`)() as ZstdFile;
}
