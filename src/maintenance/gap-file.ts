/**
 * A file with unreadable sectors, read for what is left of it: zeros stand for what cannot be read, and a file that
 * cannot be opened or measured has nothing. Only for bytes that carry checksums of their own (superblocks, the log):
 * there zeros are never taken for what was written.
 */
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendFile, StorageBackend } from '../backend/backend.ts';
import { AegisError } from '../base/errors.ts';
import { isDamage, READ_TRIES, readAgain } from '../store/beside-damage.ts';

/** Hears of a sector, or a file, that cannot be read. */
type GapHeard = (error: AegisError) => void;

/** A backend's files, opened for reading what is left of them. */
export function withGaps(
  backend: Pick<StorageBackend, 'list' | 'open'>,
  heard: GapHeard,
): Pick<StorageBackend, 'list' | 'open'> {
  return {
    list: () => backend.list(),
    open: async (name, options) => {
      for (let tries = 1; ; ++tries) {
        try {
          return new GapFile(await backend.open(name, options), name, heard);
        } catch (error) {
          if (!isDamage(error)) throw error;
          if (tries < READ_TRIES) continue;
          heard(error);
          return new GapFile(undefined, name, heard);
        }
      }
    },
  };
}

/** The file, for reading only. */
export class GapFile implements BackendFile {
  readonly write = onlyRead;
  readonly sync = onlyRead;
  readonly syncSync = onlyRead;
  readonly truncate = onlyRead;
  readonly #file: BackendFile | undefined;
  readonly #name: string;
  readonly #heard: GapHeard;

  /** `file` undefined: it could not be opened. */
  constructor(file: BackendFile | undefined, name: string, heard: GapHeard) {
    this.#file = file;
    this.#name = name;
    this.#heard = heard;
  }

  size(): number {
    try {
      return readAgain(() => this.#file?.size() ?? 0);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#heard(error);
      return 0;
    }
  }

  read(target: Uint8Array, position: number): number {
    try {
      return this.#file?.read(target, position) ?? 0;
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    const count = Math.max(0, Math.min(target.length, this.size() - position));
    for (let at = 0; at < count; ) {
      const length = Math.min(SECTOR_SIZE - ((position + at) % SECTOR_SIZE), count - at);
      this.#readSector(target.subarray(at, at + length), position + at);
      at += length;
    }
    return count;
  }

  #readSector(target: Uint8Array, position: number): void {
    let had = 0;
    try {
      had = this.#file?.read(target, position) ?? 0;
    } catch (error) {
      if (!isDamage(error)) throw error;
      const { code, message } = error;
      this.#heard(new AegisError(code, message, { ...error, file: this.#name, offset: position }));
    }
    target.fill(0, had);
  }

  close(): void {
    this.#file?.close();
  }
}

function onlyRead(): never {
  throw new AegisError('STORE_FAILED', 'internal rule broken: a file with gaps is only read');
}
