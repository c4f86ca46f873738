/**
 * A file with unreadable sectors, read for what is left of it: zeros stand for what cannot be read. Only for bytes that
 * carry checksums of their own (superblocks, the log): there zeros are never taken for what was written.
 */
import { UNIT_SIZE } from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../backend/backend.ts';
import { AegisError } from '../errors.ts';
import { isDamage } from '../store/beside-damage.ts';

/** Hears of a sector that cannot be read. */
type GapHeard = (error: AegisError) => void;

/** A backend's files, opened for reading what is left of them. */
export function withGaps(
  backend: Pick<StorageBackend, 'list' | 'open'>,
  heard: GapHeard,
): Pick<StorageBackend, 'list' | 'open'> {
  return {
    list: () => backend.list(),
    open: async (file, options) => new GapFile(await backend.open(file, options), file, heard),
  };
}

/** The file; only reading has gaps. */
export class GapFile implements BackendFile {
  readonly #file: BackendFile;
  readonly #name: string;
  readonly #heard: GapHeard;

  constructor(file: BackendFile, name: string, heard: GapHeard) {
    this.#file = file;
    this.#name = name;
    this.#heard = heard;
  }

  size(): number {
    return this.#file.size();
  }

  read(target: Uint8Array, position: number): number {
    try {
      return this.#file.read(target, position);
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    const count = Math.max(0, Math.min(target.length, this.size() - position));
    for (let at = 0; at < count; ) {
      const length = Math.min(UNIT_SIZE - ((position + at) % UNIT_SIZE), count - at);
      this.#readSector(target.subarray(at, at + length), position + at);
      at += length;
    }
    return count;
  }

  #readSector(target: Uint8Array, position: number): void {
    let had = 0;
    try {
      had = this.#file.read(target, position);
    } catch (error) {
      if (!isDamage(error)) throw error;
      const { code, message } = error;
      this.#heard(new AegisError(code, message, { ...error, file: this.#name, offset: position }));
    }
    target.fill(0, had);
  }

  write(parts: readonly Uint8Array[], position: number): void {
    this.#file.write(parts, position);
  }

  writeAsync(parts: readonly Uint8Array[], position: number): Promise<void> {
    return this.#file.writeAsync(parts, position);
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  syncSync(): void {
    this.#file.syncSync();
  }

  truncate(size: number): void {
    this.#file.truncate(size);
  }

  close(): void {
    this.#file.close();
  }
}
