// A backend of your own: here arrays of bytes. The suite that ours pass says whether it keeps the contract.
import {
  AegisError,
  type BackendFile,
  type BackendOpenOptions,
  type LockMode,
  type StorageBackend,
  StorageEngine,
} from 'aegis-storage';
import { runBackendSuite } from 'aegis-storage/testing';

const CHUNK = 4096;

/** What is in a file; handles come and go. What was never written is no array, and reads as zeros. */
class Content {
  size = 0;
  readonly #chunks = new Map<number, Uint8Array>();

  /** Calls with the array of each chunk that some bytes of the file lie in. */
  each(
    from: number,
    length: number,
    visit: (chunk: Uint8Array | undefined, at: number, done: number) => number,
  ): void {
    for (let done = 0; done < length; ) {
      const index = Math.floor((from + done) / CHUNK);
      done += visit(this.#chunks.get(index), (from + done) % CHUNK, done);
    }
  }

  read(target: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(target.length, this.size - position));
    this.each(position, length, (chunk, at, done) => {
      const part = target.subarray(done, Math.min(length, done + CHUNK - at));
      if (chunk === undefined) part.fill(0);
      else part.set(chunk.subarray(at, at + part.length));
      return part.length;
    });
    return length;
  }

  write(source: Uint8Array, position: number): void {
    this.each(position, source.length, (chunk, at, done) => {
      const part = source.subarray(done, done + CHUNK - at);
      const target = chunk ?? new Uint8Array(CHUNK);
      target.set(part, at);
      this.#chunks.set(Math.floor((position + done) / CHUNK), target);
      return part.length;
    });
    if (source.length > 0) this.size = Math.max(this.size, position + source.length);
  }

  truncate(size: number): void {
    for (const [index, chunk] of this.#chunks) {
      if (index * CHUNK >= size) this.#chunks.delete(index);
      else chunk.fill(0, Math.min(CHUNK, size - index * CHUNK));
    }
    this.size = size;
  }
}

class ArrayFile implements BackendFile {
  readonly #content: Content;
  readonly #readOnly: boolean;
  #closed = false;

  constructor(content: Content, readOnly: boolean) {
    this.#content = content;
    this.#readOnly = readOnly;
  }

  #check(position: number, writes: boolean): void {
    if (this.#closed) throw new AegisError('CLOSED', 'the file is closed');
    if (!Number.isSafeInteger(position) || position < 0)
      throw new AegisError('INVALID_ARGUMENT', 'no position');
    if (writes && this.#readOnly) throw new AegisError('READ_ONLY', 'the file is open for reading');
  }

  size(): number {
    this.#check(0, false);
    return this.#content.size;
  }

  read(target: Uint8Array, position: number): number {
    this.#check(position, false);
    return this.#content.read(target, position);
  }

  write(parts: readonly Uint8Array[], position: number): void {
    this.#check(position, true);
    for (const part of parts) {
      this.#content.write(part, position);
      position += part.length;
    }
  }

  async sync(): Promise<void> {
    this.syncSync();
  }

  syncSync(): void {
    this.#check(0, false); // memory has no stable storage to sync to
  }

  truncate(size: number): void {
    this.#check(size, true);
    this.#content.truncate(size);
  }

  close(): void {
    this.#closed = true;
  }
}

class ArrayBackend implements StorageBackend {
  readonly name = 'array';
  readonly #files = new Map<string, Content>();
  #readers = 0;
  #writer = false;

  #named(file: string): string {
    if (/^(?!lock|(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9-])?$/.test(file))
      return file;
    throw new AegisError('INVALID_ARGUMENT', `${file} is no file name`);
  }

  open(file: string, { create, readOnly = false }: BackendOpenOptions): BackendFile {
    const content = this.#files.get(this.#named(file)) ?? (create ? new Content() : undefined);
    if (content === undefined) throw new AegisError('NOT_FOUND', `there is no ${file}`);
    this.#files.set(file, content);
    return new ArrayFile(content, readOnly);
  }

  list(): string[] {
    return [...this.#files.keys()];
  }

  remove(file: string): void {
    this.#files.delete(this.#named(file));
  }

  syncDirectory(): void {}

  lock(mode: LockMode) {
    if (this.#writer || (mode === 'exclusive' && this.#readers > 0))
      throw new AegisError('LOCKED', 'it is in use');
    if (mode === 'exclusive') this.#writer = true;
    else this.#readers++;
    let held = true;
    return {
      release: () => {
        if (held && mode === 'exclusive') this.#writer = false;
        else if (held) this.#readers--;
        held = false;
      },
    };
  }
}

const { passed } = await runBackendSuite(() => new ArrayBackend());
console.log('the suite passes, more than 20 cases:', passed.length > 20);

const backend = new ArrayBackend();
const engine = await StorageEngine.open({ backend, walEnabled: true });
await engine.put('key', 'value');
await engine.close();
const again = await StorageEngine.open({ backend });
console.log('key:', again.getString('key'), 'files:', backend.list().join(' '));
await again.close();

/* Output:
the suite passes, more than 20 cases: true
key: value files: data
*/
