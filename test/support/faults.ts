/*
 * A memory backend whose calls fail on demand: from some call on, as when the process dies there, or once, as when a
 * device refuses. A write that fails may have left a part of its bytes. Disks can be given a size, too.
 */
import type {
  BackendFile,
  BackendHost,
  BackendOpenOptions,
  Lock,
  StorageBackend,
} from '../../src/backend/backend.ts';
import type { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { Random } from '../wal/random.ts';
import { backendOf, type Files, filesOf } from './files.ts';
import { seed } from './seed.ts';

/** What a call did to which file. */
export interface Call {
  readonly number: number;
  readonly operation:
    | 'list'
    | 'open'
    | 'remove'
    | 'syncDirectory'
    | 'size'
    | 'read'
    | 'write'
    | 'sync'
    | 'truncate';
  readonly file: string;
  /** Bytes it moves. */
  readonly length: number;
}

export type Errno = 'EIO' | 'ENOSPC' | 'dead';

/** Decides a call: undefined lets it be. */
export type Plan = (call: Call) => { readonly errno: Errno; readonly torn?: boolean } | undefined;

const BLOCK = 4096; // bytes that a disk hands out at once

const random = new Random(seed);

/** Timers that do not wait: tests of faults need no clock. */
const host: BackendHost = {
  now: () => 0,
  random: (target) => {
    for (let at = 0; at < target.length; at++) target[at] = random.below(256);
  },
  later: (_ms, run) => {
    const handle = setImmediate(run);
    return () => clearImmediate(handle);
  },
};

export class FaultyBackend implements StorageBackend {
  readonly name = 'memory';
  readonly host = host;
  readonly calls: Call[] = [];
  /** Whether any call was made to fail. */
  hasFailed = false;
  plan: Plan = () => undefined;
  /** Bytes the disk has. */
  capacity = Number.POSITIVE_INFINITY;
  readonly #below: MemoryBackend;
  /** Blocks of each file that the disk has given out. */
  readonly #blocks = new Map<string, Set<number>>();

  constructor(files: Files = new Map()) {
    this.#below = backendOf(files);
    for (const [file, bytes] of files) this.take(file, 0, bytes.length);
  }

  /** The files as they are now. */
  get files(): Files {
    return filesOf(this.#below);
  }

  open(file: string, options: BackendOpenOptions): BackendFile {
    this.decide('open', file);
    return new FaultyFile(this, file, this.#below.open(file, options));
  }

  list(): string[] {
    this.decide('list', '');
    return this.#below.list();
  }

  remove(file: string): void {
    this.decide('remove', file);
    this.#blocks.delete(file);
    this.#below.remove(file);
  }

  syncDirectory(): void {
    this.decide('syncDirectory', '');
  }

  lock(mode: 'exclusive' | 'shared'): Lock {
    return this.#below.lock(mode);
  }

  /** Notes a call and throws if the plan says so; `tear` does a part of it first. */
  decide(operation: Call['operation'], file: string, length = 0, tear?: () => void): void {
    const call = { number: this.calls.length + 1, operation, file, length };
    this.calls.push(call);
    const verdict = this.plan(call);
    if (verdict === undefined) return;
    this.hasFailed = true;
    if (verdict.torn) tear?.();
    throw failure(verdict.errno, operation, file);
  }

  /** Takes the blocks of a range from the disk; false when it has not so many left. */
  take(file: string, position: number, length: number): boolean {
    const blocks = this.#blocks.get(file) ?? new Set();
    this.#blocks.set(file, blocks);
    let used = 0;
    for (const { size } of this.#blocks.values()) used += size * BLOCK;
    for (let block = Math.floor(position / BLOCK); block * BLOCK < position + length; block++) {
      if (blocks.has(block)) continue;
      used += BLOCK;
      if (used > this.capacity) return false;
      blocks.add(block);
    }
    return true;
  }

  /** Gives blocks behind a size back. */
  give(file: string, size: number): void {
    const blocks = this.#blocks.get(file);
    for (const block of blocks ?? []) if (block * BLOCK >= size) blocks?.delete(block);
  }
}

class FaultyFile implements BackendFile {
  readonly #backend: FaultyBackend;
  readonly #name: string;
  readonly #below: BackendFile;

  constructor(backend: FaultyBackend, name: string, below: BackendFile) {
    this.#backend = backend;
    this.#name = name;
    this.#below = below;
  }

  size(): number {
    this.#backend.decide('size', this.#name);
    return this.#below.size();
  }

  read(target: Uint8Array, position: number): number {
    this.#backend.decide('read', this.#name, target.length);
    return this.#below.read(target, position);
  }

  write(parts: readonly Uint8Array[], position: number): void {
    const bytes = new Uint8Array(Buffer.concat(parts));
    // Any length: neither a sector nor a group is sacred to a full disk.
    const torn = bytes.subarray(0, Math.floor(bytes.length * 0.6));
    this.#backend.decide('write', this.#name, bytes.length, () => this.#below.write([torn], position));
    if (!this.#backend.take(this.#name, position, bytes.length)) {
      this.#below.write([torn], position);
      throw failure('ENOSPC', 'write', this.#name);
    }
    this.#below.write([bytes], position);
  }

  async sync(): Promise<void> {
    this.#backend.decide('sync', this.#name);
    await new Promise((resolve) => setImmediate(resolve));
  }

  syncSync(): void {
    this.#backend.decide('sync', this.#name);
  }

  truncate(size: number): void {
    this.#backend.decide('truncate', this.#name);
    this.#below.truncate(size);
    this.#backend.give(this.#name, size);
  }

  close(): void {
    this.#below.close();
  }
}

function failure(errno: Errno, operation: string, file: string): AegisError {
  const code = errno === 'ENOSPC' && operation !== 'sync' ? 'OUT_OF_SPACE' : 'IO_ERROR';
  return new AegisError(code, `${operation} of ${file} failed: ${errno}`, { file, operation, errno });
}

/** From a call on nothing works, as if the process had died there. */
export function deadFrom(number: number, torn = false): Plan {
  return (call) =>
    call.number < number ? undefined : { errno: 'dead', torn: torn && call.number === number };
}
