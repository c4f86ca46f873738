/**
 * Files in memory: the backend of tests, caches and browsers. The files belong to the `MemoryBackend`, not to their
 * handles, so a store closed and opened again over the same object is still there.
 *
 * 1. A file is a set of zero-filled chunks; a chunk never written to is absent and reads as zeros. So growing costs
 *    what is written, never a copy of what was there, and a hole costs nothing.
 * 2. Bytes at or beyond the size are zero in every chunk, so extending a file never shows what a cut took away.
 * 3. A write takes all its chunks before it changes a byte: it happens whole or not at all.
 * 4. A removed file lives on for the handles that have it open, as on a disk.
 */
import { AegisError } from '../base/errors.ts';
import type { BackendFile, BackendOpenOptions, Lock, LockMode, StorageBackend } from './backend.ts';
import { checkFileName, checkPosition } from './file-name.ts';
import { runtimeProcessId } from './host.ts';

const CHUNK_SIZE = 65_536; // bytes

/** What a file holds, whoever has it open. */
class Content {
  size = 0;
  readonly #chunks = new Map<number, Uint8Array>();

  read(target: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(target.length, this.size - position));
    for (let done = 0; done < length; ) {
      const begin = (position + done) % CHUNK_SIZE;
      const count = Math.min(CHUNK_SIZE - begin, length - done);
      const chunk = this.#chunks.get(Math.floor((position + done) / CHUNK_SIZE));
      if (chunk === undefined) target.fill(0, done, done + count);
      else target.set(chunk.subarray(begin, begin + count), done);
      done += count;
    }
    return length;
  }

  /** Makes the chunks of a range that are absent. */
  reserve(position: number, length: number): void {
    if (length === 0) return;
    const last = Math.floor((position + length - 1) / CHUNK_SIZE);
    for (let index = Math.floor(position / CHUNK_SIZE); index <= last; index++) {
      if (!this.#chunks.has(index)) this.#chunks.set(index, new Uint8Array(CHUNK_SIZE));
    }
  }

  /** Puts bytes into chunks that are there. */
  write(source: Uint8Array, position: number): void {
    for (let done = 0; done < source.length; ) {
      const begin = (position + done) % CHUNK_SIZE;
      const count = Math.min(CHUNK_SIZE - begin, source.length - done);
      const chunk = this.#chunks.get(Math.floor((position + done) / CHUNK_SIZE));
      chunk!.set(source.subarray(done, done + count), begin);
      done += count;
    }
    if (source.length > 0) this.size = Math.max(this.size, position + source.length);
  }

  truncate(size: number): void {
    if (size < this.size) {
      const kept = Math.ceil(size / CHUNK_SIZE);
      for (const index of this.#chunks.keys()) if (index >= kept) this.#chunks.delete(index);
      if (size % CHUNK_SIZE !== 0) this.#chunks.get(kept - 1)?.fill(0, size % CHUNK_SIZE);
    }
    this.size = size;
  }

  copy(): Content {
    const copy = new Content();
    copy.size = this.size;
    for (const [index, chunk] of this.#chunks) copy.#chunks.set(index, chunk.slice());
    return copy;
  }
}

class MemoryFile implements BackendFile {
  readonly #name: string;
  readonly #content: Content;
  readonly #readOnly: boolean;
  #open = true;

  constructor(name: string, content: Content, readOnly: boolean) {
    this.#name = name;
    this.#content = content;
    this.#readOnly = readOnly;
  }

  size(): number {
    this.#mustBeOpen();
    return this.#content.size;
  }

  read(target: Uint8Array, position: number): number {
    this.#mustBeOpen();
    checkPosition(position);
    return this.#content.read(target, position);
  }

  write(parts: readonly Uint8Array[], position: number): void {
    this.#mustBeWritable();
    checkPosition(position);
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    checkPosition(position + length);
    this.#orOutOfSpace('write', () => this.#content.reserve(position, length));
    let at = position;
    for (const part of parts) {
      this.#content.write(part, at);
      at += part.length;
    }
  }

  async sync(): Promise<void> {
    this.#mustBeOpen();
  }

  syncSync(): void {
    this.#mustBeOpen();
  }

  truncate(size: number): void {
    this.#mustBeWritable();
    checkPosition(size);
    this.#content.truncate(size);
  }

  close(): void {
    this.#open = false;
  }

  #mustBeOpen(): void {
    if (!this.#open) throw new AegisError('CLOSED', `file ${this.#name} was closed`, { file: this.#name });
  }

  #mustBeWritable(): void {
    this.#mustBeOpen();
    if (!this.#readOnly) return;
    throw new AegisError('READ_ONLY', `file ${this.#name} was opened for reading`, { file: this.#name });
  }

  #orOutOfSpace(operation: string, work: () => void): void {
    try {
      work();
    } catch (cause) {
      // The machine refuses the array buffer, or a map is full.
      if (!(cause instanceof RangeError)) throw cause;
      const message = `${operation} of ${this.#name} failed: no memory left`;
      throw new AegisError('OUT_OF_SPACE', message, { cause, file: this.#name, operation });
    }
  }
}

/**
 * Keeps files in memory for as long as the object lives. Hand the same object to a second `StorageEngine.open` to
 * find the store again; while the first one is open it answers `LOCKED`.
 */
export class MemoryBackend implements StorageBackend {
  readonly name = 'memory';
  readonly #files = new Map<string, Content>();
  #readers = 0;
  #writer = false;

  /** Opens a file. */
  open(file: string, options: BackendOpenOptions): BackendFile {
    checkFileName(file);
    let content = this.#files.get(file);
    if (content === undefined) {
      if (!options.create) throw new AegisError('NOT_FOUND', `there is no file ${file}`, { file });
      content = new Content();
      this.#files.set(file, content);
    }
    return new MemoryFile(file, content, options.readOnly ?? false);
  }

  /** Names of all files. */
  list(): string[] {
    return [...this.#files.keys()];
  }

  /** Removes a file; an absent one is no error. */
  remove(file: string): void {
    checkFileName(file);
    this.#files.delete(file);
  }

  /** Does nothing: there is no stable storage to reach. */
  syncDirectory(): void {}

  /** Takes the object for one writer or for readers. */
  lock(mode: LockMode): Lock {
    if (mode === 'shared' && !this.#files.has('data')) {
      throw new AegisError('NOT_FOUND', 'there is no store in this MemoryBackend', { file: 'data' });
    }
    if (this.#writer || (mode === 'exclusive' && this.#readers > 0)) {
      const pid = runtimeProcessId();
      const holder = pid === undefined ? '' : `, process ${pid}`;
      throw new AegisError('LOCKED', `this MemoryBackend is already open in this program${holder}`, {
        ...(pid === undefined ? {} : { pid }),
      });
    }
    if (mode === 'exclusive') this.#writer = true;
    else this.#readers++;
    let held = true;
    return {
      release: () => {
        if (!held) return;
        held = false;
        if (mode === 'exclusive') this.#writer = false;
        else this.#readers--;
      },
    };
  }

  /** A backend of its own with the same bytes and no lock: what another process would find if this one died now. */
  copy(): MemoryBackend {
    const copy = new MemoryBackend();
    for (const [name, content] of this.#files) copy.#files.set(name, content.copy());
    return copy;
  }
}
