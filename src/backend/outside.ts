/**
 * The way out to code that is not ours and runs in the middle of our own work: a backend that reads and writes, a codec
 * that compresses. Called back from there, a store would go on from what is half done: it would answer wrong bytes, or
 * lose some.
 *
 * Invariants
 *   1. While such code runs for a store, that store refuses every call, before anything changes; but for `stats`, and for
 *      `close`, whose work begins in a later turn.
 *   2. A call ends when it returns. What code from outside does later, after a promise of its own, it does between our
 *      turns, where its calls are like any other.
 *   3. Each store has a way out of its own: a backend may keep its files in another store.
 */
import { AegisError } from '../base/errors.ts';
import type { BackendFile, BackendOpenOptions, StorageBackend } from './backend.ts';

/** Knows whether code from outside is running for a store. */
export class Outside {
  #isRunning = false;

  /** Calls code from outside. */
  call<T>(work: () => T): T {
    const before = this.#isRunning;
    this.#isRunning = true;
    try {
      return work();
    } finally {
      this.#isRunning = before;
    }
  }

  /** Throws UNSUPPORTED inside of a call. */
  check(): void {
    if (this.#isRunning) {
      throw new AegisError(
        'UNSUPPORTED',
        'a backend or codec cannot call the engine that has just called it',
      );
    }
  }

  /** A backend whose calls, and those of its files, go this way. */
  backend(backend: StorageBackend): StorageBackend {
    const open = (name: string, options: BackendOpenOptions): BackendFile | Promise<BackendFile> => {
      const file = this.call(() => backend.open(name, options));
      return 'then' in file ? file.then((opened) => this.watched(opened)) : this.watched(file);
    };
    return this.watched(backend, { open });
  }

  /** An object whose methods go this way, but for those that have others in their place. */
  watched<T extends object>(object: T, others: Partial<T> = {}): T {
    // A proxy of a frozen object must answer that object's own methods, so the target is an empty one.
    return new Proxy(Object.create(Object.getPrototypeOf(object)) as T, {
      get: (_, name) => {
        if (name in others) return Reflect.get(others, name) as unknown;
        const own: unknown = Reflect.get(object, name);
        if (typeof own !== 'function') return own;
        return (...given: unknown[]): unknown => this.call(() => Reflect.apply(own, object, given));
      },
    });
  }
}
