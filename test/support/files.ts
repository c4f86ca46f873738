/* The files of a store as bytes: to compare them before and after, to change them, and to put them elsewhere. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryBackend } from '../../src/backend/memory.ts';

export type Files = Map<string, Uint8Array>;

/** Copies of all files of a memory backend. */
export function filesOf(backend: MemoryBackend): Files {
  const files: Files = new Map();
  for (const name of backend.list()) {
    const file = backend.open(name, { create: false, readOnly: true });
    const bytes = new Uint8Array(file.size());
    file.read(bytes, 0);
    file.close();
    files.set(name, bytes);
  }
  return files;
}

/** A memory backend with these files. */
export function backendOf(files: ReadonlyMap<string, Uint8Array>): MemoryBackend {
  const backend = new MemoryBackend();
  for (const [name, bytes] of files) {
    const file = backend.open(name, { create: true });
    file.write([bytes], 0);
    file.close();
  }
  return backend;
}

/** Whether two sets of files are the same to the byte. */
export function sameFiles(some: Files, others: Files): boolean {
  if (some.size !== others.size) return false;
  return [...some].every(([name, bytes]) => {
    const other = others.get(name);
    return other !== undefined && Buffer.compare(bytes, other) === 0;
  });
}

/** Everything about a folder that an opener could change: names, kinds, modes, times and bytes of what is in it. */
export function folderState(folder: string): unknown {
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const path = join(folder, name);
      const { mode, mtimeMs, size } = lstatSync(path);
      return {
        name,
        mode,
        mtimeMs,
        size,
        bytes: lstatSync(path).isFile() ? readFileSync(path, 'base64') : '',
      };
    });
}
