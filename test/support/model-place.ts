/*
 * Where a model test keeps its store, and how time passes there: in memory, where the test moves the clock and can cut
 * the power, or in a folder, where time is the machine's. Either can be lost at any moment and found again.
 */
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { bytes as debugBytes } from '../../build/wasm/debug.js';
import type { StorageConfig } from '../../src/config/config.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { openEngine, type StorageEngine } from '../../src/engine/engine.ts';
import type { Random } from './codec-data.ts';
import { temporaryFolder } from './place.ts';
import { SteeredBackend, settleTurn } from './steered-backend.ts';

/** What a crash takes: what only the process knew, or also what no sync had covered. */
export type Crash = 'process' | 'power';

export interface ModelPlace {
  readonly crashes: readonly Crash[];
  open(config: Partial<StorageConfig>, debug: boolean): Promise<StorageEngine>;
  /** Waits for a promise, as long as that takes. */
  settle<T>(promise: Promise<T>): Promise<T>;
  /** Lets a little time pass. */
  tick(): Promise<void>;
  /** The place as the next process finds it; the engine that has it open is lost. */
  crash(kind: Crash): ModelPlace;
}

function open(config: Partial<StorageConfig>, debug: boolean): Promise<StorageEngine> {
  return openEngine(resolveConfig(config), debug ? debugBytes : undefined);
}

export class MemoryPlace implements ModelPlace {
  readonly crashes: readonly Crash[];
  readonly #random: Random;
  readonly #backend: SteeredBackend;

  constructor(random: Random, withPower: boolean, backend = new SteeredBackend(random, withPower)) {
    this.#random = random;
    this.crashes = withPower ? ['process', 'power'] : ['process'];
    this.#backend = backend;
    backend.steering = { syncDelay: () => random(5) };
  }

  open(config: Partial<StorageConfig>, debug: boolean): Promise<StorageEngine> {
    return this.settle(open({ ...config, backend: this.#backend }, debug));
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.#backend.clock.settle(promise);
  }

  async tick(): Promise<void> {
    this.#backend.clock.step();
    await settleTurn();
  }

  crash(kind: Crash): ModelPlace {
    const left = kind === 'power' ? this.#backend.cut(this.#random) : this.#backend.copy();
    const withPower = this.crashes.includes('power');
    return new MemoryPlace(this.#random, withPower, new SteeredBackend(this.#random, withPower, left));
  }
}

export class LocalPlace implements ModelPlace {
  readonly crashes: readonly Crash[] = ['process'];
  readonly #folder: string;
  #opened: Promise<StorageEngine> | undefined;

  constructor(folder = temporaryFolder()) {
    this.#folder = folder;
  }

  open(config: Partial<StorageConfig>, debug: boolean): Promise<StorageEngine> {
    this.#opened = open({ ...config, backend: 'local', dataDirectory: this.#folder }, debug);
    return this.#opened;
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return promise;
  }

  tick(): Promise<void> {
    return settleTurn();
  }

  crash(): ModelPlace {
    const left = temporaryFolder();
    for (const name of readdirSync(this.#folder)) {
      if (name !== 'lock') cpSync(join(this.#folder, name), join(left, name));
    }
    // Whatever the lost engine still does, it does in a folder that nobody opens again.
    this.#opened?.then((engine) => engine.close()).catch(() => undefined);
    return new LocalPlace(left);
  }
}
