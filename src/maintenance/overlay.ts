/**
 * A file that is read and never written: what is written over it stays in memory. A read-only store replays its log
 * through one, so that everything above works as if the store could be written.
 */

import { UNIT_SIZE } from '../../assembly/layout.ts';
import type { BackendFile } from '../backend/backend.ts';

export class OverlayFile implements BackendFile {
  readonly #below: BackendFile;
  /** Units written, by number. */
  readonly #units = new Map<number, Uint8Array>();
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
    if (this.#units.size === 0) return count;
    for (let unit = Math.floor(position / UNIT_SIZE); unit * UNIT_SIZE < position + count; ++unit) {
      const bytes = this.#units.get(unit);
      if (!bytes) continue;
      const from = Math.max(position, unit * UNIT_SIZE);
      const to = Math.min(position + count, (unit + 1) * UNIT_SIZE);
      wanted.set(bytes.subarray(from - unit * UNIT_SIZE, to - unit * UNIT_SIZE), from - position);
    }
    return count;
  }

  write(parts: readonly Uint8Array[], position: number): void {
    let at = position;
    for (const part of parts) {
      for (let done = 0; done < part.length; ) {
        const unit = Math.floor(at / UNIT_SIZE);
        const offset = at % UNIT_SIZE;
        const length = Math.min(UNIT_SIZE - offset, part.length - done);
        this.#unit(unit).set(part.subarray(done, done + length), offset);
        done += length;
        at += length;
      }
    }
    this.#size = Math.max(this.#size, at);
  }

  #unit(unit: number): Uint8Array {
    let bytes = this.#units.get(unit);
    if (!bytes) {
      bytes = new Uint8Array(UNIT_SIZE);
      this.#below.read(bytes, unit * UNIT_SIZE);
      this.#units.set(unit, bytes);
    }
    return bytes;
  }

  async sync(): Promise<void> {}

  syncSync(): void {}

  truncate(size: number): void {
    for (const unit of this.#units.keys()) if (unit * UNIT_SIZE >= size) this.#units.delete(unit);
    this.#size = size;
  }

  close(): void {
    this.#units.clear();
    this.#below.close();
  }
}
