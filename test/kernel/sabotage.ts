/*
 * What a child does to its own `node:fs` before it loads the package: it listens to every sync, chooses the moment at
 * which the device begins to fail, and, for the controls, takes the protection away. Nothing here is between the
 * package and the kernel unless a control asks for it.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';

/**
 * `none`: no sync reaches the kernel. `again`: one that failed is asked once more, and the second answer counts.
 * `space`: a write that finds no space looks as if it had been done.
 */
export type Control = 'none' | 'again' | 'space';

/** From the n-th sync on of files whose names begin so, the device refuses writes. */
export interface Fault {
  readonly file: string;
  readonly nth: number;
  /** Made just before that sync; while it is there, the device fails. */
  readonly trigger: string;
  /** Count from the opening on only when the store is open. */
  readonly afterOpen: boolean;
}

type Callback = (error: NodeJS.ErrnoException | null) => void;

/** Listens to the syncs of this process. */
export class Syncs {
  /** While false, syncs are not counted towards the fault. */
  isOpen = false;
  /** Called when the first sync has failed, before the package hears of it. */
  onFailure: () => void = () => undefined;
  /** The first sync that failed. */
  failed: { readonly file: string; readonly errno: string } | undefined;
  #count = 0;
  readonly #fault: Fault | undefined;

  constructor(fault: Fault | undefined, control: Control | undefined) {
    this.#fault = fault;
    const { fdatasync, fdatasyncSync, fsyncSync } = fs;
    if (control === 'none') {
      fs.fdatasync = ((_: number, done: Callback) => void setImmediate(done, null)) as typeof fs.fdatasync;
      fs.fdatasyncSync = () => undefined;
      fs.fsyncSync = () => undefined;
    } else {
      const again = control === 'again';
      fs.fdatasync = ((descriptor: number, done: Callback) => {
        const file = this.#before(descriptor);
        fdatasync(descriptor, (error) => {
          if (error) this.#after(file, error);
          if (error && again) fdatasync(descriptor, done);
          else done(error);
        });
      }) as typeof fs.fdatasync;
      fs.fdatasyncSync = (descriptor) => this.#blocking(descriptor, fdatasyncSync, again);
      fs.fsyncSync = (descriptor) => this.#blocking(descriptor, fsyncSync, again);
    }
    if (control === 'space') hideFullDisk();
    syncBuiltinESMExports();
  }

  #blocking(descriptor: number, sync: (descriptor: number) => void, again: boolean): void {
    const file = this.#before(descriptor);
    try {
      sync(descriptor);
    } catch (error) {
      this.#after(file, error as NodeJS.ErrnoException);
      if (!again) throw error;
      sync(descriptor);
    }
  }

  #before(descriptor: number): string {
    const file = basename(fs.readlinkSync(`/proc/self/fd/${descriptor}`));
    const fault = this.#fault;
    if (fault && file.startsWith(fault.file) && (this.isOpen || !fault.afterOpen)) {
      this.#count++;
      if (this.#count === fault.nth) fs.writeFileSync(fault.trigger, '');
    }
    return file;
  }

  #after(file: string, error: NodeJS.ErrnoException): void {
    if (this.failed) return;
    this.failed = { file, errno: error.code ?? error.message };
    this.onFailure();
  }
}

function hideFullDisk(): void {
  const { writeSync, writevSync } = fs;
  const pretend = (write: () => number, size: number): number => {
    try {
      return write();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return size;
      throw error;
    }
  };
  fs.writeSync = ((descriptor: number, bytes: Uint8Array | string, ...rest: number[]) => {
    const write = writeSync as (...given: unknown[]) => number;
    return pretend(() => write(descriptor, bytes, ...rest), rest[1] ?? bytes.length);
  }) as typeof fs.writeSync;
  fs.writevSync = (descriptor, parts, position) => {
    const size = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return pretend(() => writevSync(descriptor, parts, position), size);
  };
}
