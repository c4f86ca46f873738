/**
 * `zstd-file.ts` for browsers: no bundler sees the import, so that no bundle has zstd unless `aegis-storage/zstd` is
 * imported. Where the files of the package are served as they are, it works all the same.
 */
import type { ZstdFile } from './zstd-file.ts';

/** This module; not where `URL` is called, or bundlers take what it names for a part of theirs. */
const here = import.meta.url;

/** Imports the file from beside this module. */
export function importZstdFile(): Promise<ZstdFile> {
  const { href } = new URL('../../build/zstd-codec.js', here);
  return import(/* webpackIgnore: true */ /* @vite-ignore */ href);
}

/** A browser can load nothing between two statements. */
export function readZstdFile(_moduleOf: unknown): undefined {
  return undefined;
}
