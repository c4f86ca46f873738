/** What the cases of the backend suite share: the place under test, and bytes to put into it. */
import type { BackendFile, BackendOpenOptions, StorageBackend } from '../backend/backend.ts';
import { expect } from './expect.ts';

/** A case: what is promised, and how to see that it is kept. */
export type PlaceCase = readonly [name: string, work: (place: Place) => Promise<void>];

/** A backend under test; remembers what was opened. */
export class Place {
  readonly backend: StorageBackend;
  readonly #files: BackendFile[] = [];

  constructor(backend: StorageBackend) {
    this.backend = backend;
  }

  async open(file: string, options: Partial<BackendOpenOptions> = {}): Promise<BackendFile> {
    const opened = await this.backend.open(file, { create: true, ...options });
    this.#files.push(opened);
    return opened;
  }

  /** A file with these bytes in it, closed. */
  async put(file: string, bytes: Uint8Array): Promise<void> {
    const opened = await this.open(file);
    opened.write([bytes], 0);
    opened.close();
  }

  async list(): Promise<string[]> {
    return [...(await this.backend.list())].sort();
  }

  closeAll(): void {
    for (const file of this.#files) file.close();
  }
}

/** Bytes in which every position within 64 KiB can be told from its neighbours. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7 + seed) & 0xff);
}

/** All bytes of a file. */
export function contentOf(file: BackendFile): Uint8Array {
  const bytes = new Uint8Array(file.size());
  expect(file.read(bytes, 0) === bytes.length, 'a read of the whole file was short');
  return bytes;
}

/** Arrays one after the other. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
