/**
 * The door to zstd-codec: its WebAssembly starts here and nowhere else, from a file that `aegis-storage/zstd` has
 * brought, or that is loaded when zstd is needed.
 */
import type { ZstdFile, ZstdSimple } from './zstd-file.ts';
import { importZstdFile, readZstdFile } from './zstd-file.ts';

export type { ZstdSimple } from './zstd-file.ts';

let file: ZstdFile | undefined;

/** Takes the file that somebody imported. */
export function provideZstd(imported: ZstdFile): void {
  file = imported;
}

/** Loads the file, in every runtime where it is in reach. */
export async function importZstd(): Promise<void> {
  file ??= await importZstdFile();
}

/** Loads the file at once, by modules of the runtime; false where there is no way to. */
export function readZstd(moduleOf: (name: string) => unknown): boolean {
  file ??= readZstdFile(moduleOf);
  return file !== undefined;
}

/** Starts the package from the file that was loaded. */
export function startZstd(): ZstdSimple {
  return (file as ZstdFile).open();
}
