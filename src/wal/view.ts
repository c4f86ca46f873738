/**
 * Log files seen through one of the core's log buffers, which is as large as the largest group: one read brings in
 * many small groups. The bytes stay until the next call.
 */
import { LOG_BUFFER_SIZE } from '../../assembly/layout.ts';
import type { LogCore } from './log.ts';
import type { Segment } from './segment.ts';

/** A piece of one file in memory. */
export class LogView {
  readonly #core: LogCore;
  readonly #address: number;
  #segment: Segment | undefined;
  #offset = 0;
  #length = 0;

  constructor(core: LogCore, address: number) {
    this.#core = core;
    this.#address = address;
  }

  /** Brings in what the file has at an offset, up to a length; answers how many bytes lie at `address`. */
  read(segment: Segment, offset: number, length: number): number {
    this.#segment = undefined;
    this.#offset = offset;
    this.#length = segment.file.read(this.#core.u8.subarray(this.#address, this.#address + length), offset);
    this.#segment = segment;
    return this.#length;
  }

  /** Forgets the last read: the next one asks the device. */
  forget(): void {
    this.#segment = undefined;
  }

  /** Where the last read lies. */
  get address(): number {
    return this.#address;
  }

  /** Address of so many bytes at an offset; 0 when the file ends before. */
  find(segment: Segment, offset: number, length: number): number {
    if (!this.#holds(segment, offset, length)) this.read(segment, offset, LOG_BUFFER_SIZE);
    return this.#holds(segment, offset, length) ? this.#address + (offset - this.#offset) : 0;
  }

  #holds(segment: Segment, offset: number, length: number): boolean {
    return (
      segment === this.#segment && offset >= this.#offset && offset + length <= this.#offset + this.#length
    );
  }
}
