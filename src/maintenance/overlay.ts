/**
 * A file that is read and never written: what is written over it stays in memory. A read-only store replays its log
 * through one, so that everything above works as if the store could be written.
 */

import { SECTOR_SIZE } from '../../assembly/layout.ts';
import type { BackendFile } from '../backend/backend.ts';

export class OverlayFile implements BackendFile {
  readonly #below: BackendFile;
  /** Sectors written, by number. */
  readonly #sectors = new Map<number, Uint8Array>();
  #size: number;

  constructor(below: BackendFile) {
    this.#below = below;
    this.#size = below.size();
  }

  size(): number {
    return this.#size;
  }

  read(target: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(target.length, this.#size - position));
    const wanted = target.subarray(0, count);
    const had = this.#below.read(wanted, position);
    if (had < count) wanted.fill(0, had);
    if (this.#sectors.size === 0) return count;
    for (let sector = Math.floor(position / SECTOR_SIZE); sector * SECTOR_SIZE < position + count; ++sector) {
      const bytes = this.#sectors.get(sector);
      if (!bytes) continue;
      const from = Math.max(position, sector * SECTOR_SIZE);
      const to = Math.min(position + count, (sector + 1) * SECTOR_SIZE);
      wanted.set(bytes.subarray(from - sector * SECTOR_SIZE, to - sector * SECTOR_SIZE), from - position);
    }
    return count;
  }

  write(parts: readonly Uint8Array[], position: number): void {
    let at = position;
    for (const part of parts) {
      for (let done = 0; done < part.length; ) {
        const sector = Math.floor(at / SECTOR_SIZE);
        const offset = at % SECTOR_SIZE;
        const length = Math.min(SECTOR_SIZE - offset, part.length - done);
        this.#sector(sector).set(part.subarray(done, done + length), offset);
        done += length;
        at += length;
      }
    }
    this.#size = Math.max(this.#size, at);
  }

  #sector(sector: number): Uint8Array {
    let bytes = this.#sectors.get(sector);
    if (!bytes) {
      bytes = new Uint8Array(SECTOR_SIZE);
      this.#below.read(bytes, sector * SECTOR_SIZE);
      this.#sectors.set(sector, bytes);
    }
    return bytes;
  }

  async sync(): Promise<void> {}

  syncSync(): void {}

  truncate(size: number): void {
    for (const sector of this.#sectors.keys()) if (sector * SECTOR_SIZE >= size) this.#sectors.delete(sector);
    this.#size = size;
  }

  close(): void {
    this.#sectors.clear();
    this.#below.close();
  }
}
