/**
 * Clock, randomness and timers of the runtime, for every backend that brings none of its own. This is the one module
 * of the engine that may touch them; it uses only what every runtime has under a global name.
 *
 * 1. Clock and timers are those that were there when this module was loaded. A test runner that puts clocks of its own
 *    in their place afterwards, which stand still, stops the program's timers and not the engine's.
 */
import type { BackendHost, StorageBackend } from './backend.ts';

// The most that one call of `getRandomValues` may fill.
const RANDOM_PIECE_SIZE = 65_536;

const { setTimeout, clearTimeout, setImmediate, queueMicrotask } = globalThis as typeof globalThis & {
  setImmediate?: (run: () => void) => unknown;
};
const { timeOrigin } = performance;
const sinceOrigin = performance.now.bind(performance);

/** The runtime's own host. Its clock counts from 1970, never backwards, and is read by nothing but reports. */
export const runtimeHost: BackendHost = Object.freeze({
  now: () => timeOrigin + sinceOrigin(),

  random(target: Uint8Array): void {
    for (let begin = 0; begin < target.length; begin += RANDOM_PIECE_SIZE) {
      const piece = new Uint8Array(Math.min(RANDOM_PIECE_SIZE, target.length - begin));
      target.set(crypto.getRandomValues(piece), begin);
    }
  },

  later(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, ms);
    // Browsers answer a number, which keeps nothing alive anyway.
    if (typeof timer === 'object') timer.unref?.();
    return () => clearTimeout(timer);
  },
});

/** What a backend brings, else the runtime's own. */
export function hostOf(backend: StorageBackend): BackendHost {
  return backend.host ?? runtimeHost;
}

/** Number of this process where the runtime has processes. */
export function runtimeProcessId(): number | undefined {
  const { process } = globalThis as { process?: { pid?: number } };
  return process?.pid;
}

/** Lets other work run: resolves in a later turn of the event loop, and keeps the process alive until then. */
export function pauseOf(backend: StorageBackend): () => Promise<void> {
  const { host } = backend;
  if (host) return () => new Promise((resolve) => void host.later(0, resolve));
  return () => sleep(0);
}

/** Runs a function after a while, and keeps the process alive until then; answers how to cancel that. */
export function timerOf(backend: StorageBackend): BackendHost['later'] {
  const { host } = backend;
  if (host) return (ms, run) => host.later(ms, run);
  return (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  };
}

/** Resolves after a while in milliseconds, and keeps the process alive until then. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

/** Runs a function in a later turn of the event loop, as soon as timers and input have had theirs. */
export function inNextTurn(run: () => void): void {
  if (setImmediate) setImmediate(run);
  else setTimeout(run, 0);
}

/** Runs a function when what runs now has returned, before anything else of the event loop. */
export function afterThis(run: () => void): void {
  queueMicrotask(run);
}

/** A module of Node's, in runtimes that have those and hand one out between two statements. */
export function runtimeModule(name: string): unknown {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } };
  return process?.getBuiltinModule?.(name);
}
