/*
 * A backend over bytes that are lent, not copied: a file is copied when it is first written to. So a harness can open
 * the same store a million times, each time with something else wrong. It counts what is asked of it, so that a run
 * has a budget of work that no clock is needed for, and its disk is small, so that no file can ask for all memory.
 *
 * 1. The lent bytes are never changed.
 * 2. Only `data` and log files are ever made, written or removed; anything else is remembered in `strays`.
 * 3. When the budget is spent every call throws `OutOfFuel`, which is no error of ours and so passes every catch.
 */
import type { BackendFile, BackendHost, Lock, StorageBackend } from '../../src/backend/backend.ts';
import { AegisError } from '../../src/base/errors.ts';

const OWN_NAME = /^(data|log-[1-9]\d{0,8})$/;
/** Bytes that any file may have. */
const DISK_SIZE = 16 * 2 ** 20;
const POOLED_SIZE = 2 ** 20;

/** Buffers of files that are gone: making them afresh would cost more than the run. */
const pool: Uint8Array[] = [];

/** The budget is spent: something works without end. */
export class OutOfFuel extends Error {}

const host: BackendHost = {
  now: () => 0,
  random: (target) => void target.fill(7),
  later: (_ms, run) => {
    const handle = setImmediate(run);
    return () => clearImmediate(handle);
  },
};

interface Content {
  bytes: Uint8Array;
  size: number;
  isLent: boolean;
}

export class LentBackend implements StorageBackend {
  readonly name = 'lent';
  readonly host = host;
  /** Names that are none of a store's, which something was done to. */
  readonly strays: string[] = [];
  /** Calls and bytes asked for. */
  calls = 0;
  bytesRead = 0;
  bytesWritten = 0;
  readonly #files = new Map<string, Content>();
  readonly #fuel: number;
  #lock: 'exclusive' | number = 0;

  /** `fuel`: bytes that may be moved; a call costs 512 of them. */
  constructor(files: ReadonlyMap<string, Uint8Array>, fuel = Number.POSITIVE_INFINITY) {
    for (const [name, bytes] of files) this.#files.set(name, { bytes, size: bytes.length, isLent: true });
    this.#fuel = fuel;
  }

  /** Bytes moved and calls made, as they are held against the budget. */
  get spent(): number {
    return this.calls * 512 + this.bytesRead + this.bytesWritten;
  }

  /** Bytes of all files. */
  get size(): number {
    return [...this.#files.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Gives the buffers back: the backend must not be used any more. */
  end(): void {
    for (const { bytes, isLent } of this.#files.values()) if (!isLent) give(bytes);
    this.#files.clear();
  }

  /** A file as it is now. */
  bytesOf(name: string): Uint8Array | undefined {
    const content = this.#files.get(name);
    return content?.bytes.subarray(0, content.size);
  }

  burn(bytes: number): void {
    this.calls++;
    if (this.spent + bytes > this.#fuel)
      throw new OutOfFuel(`${this.spent} bytes moved in ${this.calls} calls`);
  }

  touch(name: string): void {
    if (!OWN_NAME.test(name)) this.strays.push(name);
  }

  open(name: string, options: { create: boolean; readOnly?: boolean }): BackendFile {
    this.burn(0);
    let content = this.#files.get(name);
    if (content === undefined) {
      if (!options.create) throw new AegisError('NOT_FOUND', `there is no file ${name}`, { file: name });
      this.touch(name);
      content = { bytes: new Uint8Array(0), size: 0, isLent: true };
      this.#files.set(name, content);
    }
    return new LentFile(this, name, content, options.readOnly ?? false);
  }

  list(): string[] {
    this.burn(0);
    return [...this.#files.keys()];
  }

  remove(name: string): void {
    this.burn(0);
    this.touch(name);
    this.#files.delete(name);
  }

  syncDirectory(): void {
    this.burn(0);
  }

  lock(mode: 'exclusive' | 'shared'): Lock {
    if (this.#lock === 'exclusive' || (mode === 'exclusive' && this.#lock > 0)) {
      throw new AegisError('LOCKED', 'the lock was not given back');
    }
    this.#lock = mode === 'exclusive' ? mode : this.#lock + 1;
    let held = true;
    return {
      release: () => {
        if (!held) return;
        held = false;
        this.#lock = this.#lock === 'exclusive' ? 0 : this.#lock - 1;
      },
    };
  }

  /** Whether nobody holds the lock any more. */
  get isFree(): boolean {
    return this.#lock === 0;
  }
}

class LentFile implements BackendFile {
  readonly #backend: LentBackend;
  readonly #name: string;
  readonly #content: Content;
  readonly #readOnly: boolean;

  constructor(backend: LentBackend, name: string, content: Content, readOnly: boolean) {
    this.#backend = backend;
    this.#name = name;
    this.#content = content;
    this.#readOnly = readOnly;
  }

  size(): number {
    return this.#content.size;
  }

  read(target: Uint8Array, position: number): number {
    const content = this.#content;
    const length = Math.max(0, Math.min(target.length, content.size - position));
    this.#backend.burn(length);
    this.#backend.bytesRead += length;
    if (length > 0) target.set(content.bytes.subarray(position, position + length));
    return length;
  }

  write(parts: readonly Uint8Array[], position: number): void {
    let length = 0;
    for (const part of parts) length += part.length;
    this.#change(length);
    const content = this.#content;
    if (!Number.isSafeInteger(position) || position + length > DISK_SIZE) {
      throw new AegisError('OUT_OF_SPACE', `${this.#name} is larger than the disk`, { file: this.#name });
    }
    this.#own(position + length);
    if (position > content.size) content.bytes.fill(0, content.size, position);
    let at = position;
    for (const part of parts) {
      content.bytes.set(part, at);
      at += part.length;
    }
    content.size = Math.max(content.size, at);
  }

  async sync(): Promise<void> {
    this.#backend.burn(0);
  }

  syncSync(): void {
    this.#backend.burn(0);
  }

  truncate(size: number): void {
    this.#change(0);
    this.#own(size);
    const content = this.#content;
    if (size > content.size) content.bytes.fill(0, content.size, size);
    content.size = size;
  }

  close(): void {}

  #change(length: number): void {
    if (this.#readOnly) throw new Error(`${this.#name} is written, but was opened for reading`);
    this.#backend.touch(this.#name);
    this.#backend.burn(length);
    this.#backend.bytesWritten += length;
  }

  /** Makes the bytes the file's own, with room for a size; what lies behind the file's end may be anything. */
  #own(size: number): void {
    const content = this.#content;
    if (!content.isLent && size <= content.bytes.length) return;
    const wanted = Math.max(content.size, size);
    const bytes =
      wanted <= POOLED_SIZE ? (pool.pop() ?? new Uint8Array(POOLED_SIZE)) : new Uint8Array(2 * wanted);
    bytes.set(content.bytes.subarray(0, content.size));
    if (!content.isLent) give(content.bytes);
    content.bytes = bytes;
    content.isLent = false;
  }
}

function give(bytes: Uint8Array): void {
  if (bytes.length === POOLED_SIZE && pool.length < 64) pool.push(bytes);
}
