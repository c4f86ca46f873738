/**
 * A disk that loses power. Every file has the bytes programs see (the system's cache) and the bytes on the device;
 * between two syncs any sector may reach the device at any time, in any of the states it went through.
 *
 * `cut` answers what a power cut leaves: for each sector the device's bytes or any state written since; for a new
 * file perhaps nothing; for a longer one perhaps its old size; a removed file may be back. `kill` answers what the death of the process leaves:
 * all that was written, and the device as it was. A sync that fails lies as Linux does: some sectors reached the
 * device, the others are forgotten, and the cache goes on showing them as if they had. Space that was new then is hollow
 * from now on, as on ext4: the system calls it written, the device does not, and every later write to it is lost,
 * until the file is cut there or the cache forgets.
 */
import type { BackendFile, Lock, StorageBackend } from '../../src/backend/backend.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { Random } from './random.ts';

const SECTOR = 512;

class DiskFile {
  seen = new Uint8Array(0);
  device = new Uint8Array(0);
  /** States of a sector that the device does not have for certain, oldest first. */
  pending = new Map<number, Uint8Array[]>();
  inDirectory = false;
  /** Sectors that no write brings to the device. */
  hollow = new Set<number>();

  write(parts: readonly Uint8Array[], position: number): void {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (position + length > this.seen.length) this.seen = resized(this.seen, position + length);
    let at = position;
    for (const part of parts) {
      this.seen.set(part, at);
      at += part.length;
    }
    for (let sector = Math.floor(position / SECTOR); sector * SECTOR < position + length; sector++) {
      const states = this.pending.get(sector) ?? [];
      states.push(this.seen.slice(sector * SECTOR, (sector + 1) * SECTOR));
      this.pending.set(sector, states);
    }
  }

  /** What a sync that begins now will have brought to the device when it is done. */
  beginSync(): () => void {
    const size = this.seen.length;
    const begun = new Map([...this.pending].map(([sector, states]) => [sector, states.at(-1)!]));
    return () => {
      if (size > this.device.length) this.device = resized(this.device, size);
      for (const [sector, state] of begun) {
        const states = this.pending.get(sector) ?? [];
        const index = states.indexOf(state);
        if (index < 0) continue; // a sync that began later was done before
        if (!this.hollow.has(sector)) {
          this.device.set(
            state.subarray(0, Math.max(0, this.device.length - sector * SECTOR)),
            sector * SECTOR,
          );
        }
        if (index === states.length - 1) this.pending.delete(sector);
        else this.pending.set(sector, states.slice(index + 1));
      }
    };
  }

  /** The sync fails: each sector is on the device or forgotten. */
  failSync(random: Random): void {
    const old = this.device.length;
    this.device = resized(this.device, this.seen.length);
    for (const [sector, states] of this.pending) {
      if (this.hollow.has(sector)) continue;
      if (random.chance(0.5)) this.device.set(states.at(-1)!, sector * SECTOR);
      else if (sector * SECTOR >= old) this.hollow.add(sector);
    }
    this.pending.clear();
  }

  truncate(size: number): void {
    this.seen = resized(this.seen, size);
    for (const sector of this.hollow) if (sector * SECTOR >= size) this.hollow.delete(sector);
  }

  /** What a power cut leaves of it. */
  cut(random: Random): DiskFile {
    const left = new DiskFile();
    const size = random.chance(0.5) ? this.seen.length : this.device.length;
    left.device = resized(this.device, size);
    for (const [sector, states] of this.pending) {
      const state = [undefined, ...states][random.below(states.length + 1)];
      if (state !== undefined && !this.hollow.has(sector) && sector * SECTOR < size) {
        left.device.set(state.subarray(0, size - sector * SECTOR), sector * SECTOR);
      }
    }
    left.seen = left.device.slice();
    left.inDirectory = true;
    return left;
  }

  copy(): DiskFile {
    const copy = new DiskFile();
    copy.seen = this.seen.slice();
    copy.device = this.device.slice();
    copy.pending = new Map([...this.pending].map(([sector, states]) => [sector, [...states]]));
    copy.inDirectory = this.inDirectory;
    copy.hollow = new Set(this.hollow);
    return copy;
  }
}

function resized(bytes: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(size);
  result.set(bytes.subarray(0, size));
  return result;
}

/** What happened to a file, for tests that ask. */
export interface DiskEvent {
  readonly operation: 'write' | 'sync' | 'syncSync' | 'syncDirectory' | 'truncate' | 'remove' | 'open';
  readonly file: string;
  readonly position?: number;
  readonly length?: number;
}

/** A backend over such files. */
export class CrashDisk implements StorageBackend {
  readonly name = 'crash';
  readonly files = new Map<string, DiskFile>();
  /** Files whose removal is not on the device. */
  readonly #removed = new Map<string, DiskFile>();
  readonly events: DiskEvent[] = [];
  /** Answers how many bytes of a write get through before it fails; undefined: all. */
  onWrite: ((file: string, position: number, length: number) => number | undefined) | undefined;
  /** Answers whether a sync fails. */
  onSync: ((file: string) => boolean) | undefined;
  /** Syncs wait for `finishSync`. */
  manual = false;
  readonly #random: Random;
  #waiting: { file: string; done: () => void; fail: () => void }[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Finishes one of the syncs under way. */
  finishSync(fails = false): void {
    const [sync] = this.#waiting.splice(this.#random.below(this.#waiting.length), 1);
    if (fails) sync?.fail();
    else sync?.done();
  }

  open(name: string, { create }: { create: boolean }): BackendFile {
    let file = this.files.get(name);
    if (file === undefined) {
      if (!create) throw new AegisError('NOT_FOUND', `there is no file ${name}`, { file: name });
      file = new DiskFile();
      this.files.set(name, file);
      this.events.push({ operation: 'open', file: name });
    }
    return this.#handle(name, file);
  }

  #handle(name: string, file: DiskFile): BackendFile {
    const failed = (operation: string) =>
      new AegisError('IO_ERROR', `${operation} of ${name} failed`, { file: name, operation, errno: 'EIO' });
    return {
      size: () => file.seen.length,
      read: (target, position) => {
        const bytes = file.seen.subarray(position, position + target.length);
        target.set(bytes);
        return bytes.length;
      },
      write: (parts, position) => {
        const length = parts.reduce((sum, part) => sum + part.length, 0);
        this.events.push({ operation: 'write', file: name, position, length });
        const through = this.onWrite?.(name, position, length);
        if (through === undefined) return file.write(parts, position);
        const joined = resized(new Uint8Array(0), length);
        let at = 0;
        for (const part of parts) {
          joined.set(part, at);
          at += part.length;
        }
        if (through > 0) file.write([joined.subarray(0, through)], position);
        throw new AegisError('OUT_OF_SPACE', 'no space left', {
          file: name,
          operation: 'write',
          errno: 'ENOSPC',
        });
      },
      sync: () => {
        this.events.push({ operation: 'sync', file: name });
        const finish = file.beginSync();
        return new Promise<void>((resolve, reject) => {
          const done = (): void => {
            finish();
            resolve();
          };
          const fail = (): void => {
            file.failSync(this.#random);
            reject(failed('sync'));
          };
          if (this.onSync?.(name)) fail();
          else if (this.manual) this.#waiting.push({ file: name, done, fail });
          else done();
        });
      },
      syncSync: () => {
        this.events.push({ operation: 'syncSync', file: name });
        if (this.onSync?.(name)) {
          file.failSync(this.#random);
          throw failed('sync');
        }
        file.beginSync()();
      },
      truncate: (size) => {
        this.events.push({ operation: 'truncate', file: name });
        file.truncate(size);
      },
      close: () => undefined,
    };
  }

  list(): string[] {
    return [...this.files.keys()];
  }

  remove(name: string): void {
    this.events.push({ operation: 'remove', file: name });
    const file = this.files.get(name);
    if (file?.inDirectory) this.#removed.set(name, file);
    this.files.delete(name);
  }

  syncDirectory(): void {
    this.events.push({ operation: 'syncDirectory', file: '' });
    if (this.onSync?.(''))
      throw new AegisError('IO_ERROR', 'sync failed', { operation: 'sync', errno: 'EIO' });
    for (const file of this.files.values()) file.inDirectory = true;
    this.#removed.clear();
  }

  lock(): Lock {
    return { release: () => undefined };
  }

  /** What a power cut now leaves. */
  cut(random: Random): CrashDisk {
    const disk = new CrashDisk(random);
    for (const [name, file] of this.files) {
      if (file.inDirectory || !random.chance(0.5)) disk.files.set(name, file.cut(random));
    }
    for (const [name, file] of this.#removed) {
      if (!disk.files.has(name) && random.chance(0.5)) disk.files.set(name, file.cut(random));
    }
    return disk;
  }

  /** What the death of the process now leaves; `forgetful`: the cache gave up what it thinks is on the device. */
  kill(random: Random, forgetful = false): CrashDisk {
    const disk = new CrashDisk(random);
    for (const [name, file] of this.files) {
      const copy = file.copy();
      if (forgetful) {
        copy.hollow.clear();
        for (let at = 0; at < copy.device.length; at += SECTOR) {
          if (!copy.pending.has(at / SECTOR)) copy.seen.set(copy.device.subarray(at, at + SECTOR), at);
        }
      }
      disk.files.set(name, copy);
    }
    for (const [name, file] of this.#removed) disk.#removed.set(name, file.copy());
    return disk;
  }
}
