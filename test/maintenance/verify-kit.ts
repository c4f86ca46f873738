/* A store that lives: it is written to, read and checkpointed at random, and verified at any time. */
import { expect } from 'vitest';
import { bytes as debug } from '../../build/wasm/debug.js';
import { resolveConfig, type StorageConfig } from '../../src/config/config.ts';
import { openEngine, type StorageEngine } from '../../src/engine/engine.ts';
import type { Transaction } from '../../src/txn/transaction.ts';
import type { Random } from '../support/codec-data.ts';
import { keyMaker, valueMaker } from '../support/core-model.ts';

const PAGE_SIZES = [4096, 4096, 4096, 8192, 65_536];

/** A store at random: configuration, content, everything that can be open at once. */
export class Life {
  readonly #random: Random;
  readonly #config: Partial<StorageConfig>;
  readonly #debug: boolean;
  readonly #key: () => Uint8Array;
  readonly #value: (keyBytes: number) => Uint8Array;
  readonly #keys: Uint8Array[] = [];
  #snapshots: { close(): void }[] = [];
  #transactions: Transaction[] = [];
  #work: Promise<unknown>[] = [];
  store!: StorageEngine;

  constructor(random: Random, backend: Partial<StorageConfig>, debug = false) {
    this.#random = random;
    this.#debug = debug;
    const pageSize = PAGE_SIZES[random(PAGE_SIZES.length)]!;
    const frames = random(2) === 0 ? 16 : 16 + random(200);
    this.#config = {
      ...backend,
      pageSize,
      bufferPoolSize: frames * pageSize,
      compression: random(2) === 0 ? 'lz4' : 'none',
      walEnabled: random(3) > 0,
      syncOnCommit: random(2) === 0,
      checkpointWalSize: '512KB',
    };
    this.#key = keyMaker(random, pageSize / 8);
    this.#value = valueMaker(random, pageSize);
  }

  async open(change: Partial<StorageConfig> = {}): Promise<void> {
    this.store = await openEngine(
      resolveConfig({ ...this.#config, ...change }),
      this.#debug ? debug : undefined,
    );
  }

  #anyKey(): Uint8Array {
    if (this.#keys.length === 0 || this.#random(2) === 0) {
      this.#keys.push(this.#key());
      return this.#keys.at(-1)!;
    }
    return this.#keys[this.#random(this.#keys.length)]!;
  }

  /** Anything a program may do. */
  step(): void {
    const { store } = this;
    const random = this.#random;
    const key = this.#anyKey();
    const shape = random(100);
    if (shape < 45) store.putSync(key, this.#value(key.length));
    else if (shape < 65) store.deleteSync(key);
    else if (shape < 70) this.#later(store.put(key, this.#value(key.length)));
    else if (shape < 75) {
      const keys = Array.from({ length: 1 + random(60) }, () => this.#anyKey());
      store.batchSync(keys.map((key) => ({ type: 'put', key, value: this.#value(key.length) })));
    } else if (shape < 80) this.#open();
    else if (shape < 88) this.#close();
    else if (shape < 97) this.#write();
    else if (shape < 98) this.#later(store.checkpoint());
    else store.get(key);
  }

  #later(promise: Promise<unknown>): void {
    this.#work.push(promise);
  }

  #open(): void {
    const { store } = this;
    const shape = this.#random(3);
    if (shape === 0) this.#snapshots.push(store.snapshot());
    else if (shape === 1) {
      const scan = store.scan();
      scan.next();
      this.#snapshots.push(scan);
    } else {
      this.#transactions.push(
        store.beginTransaction({ isolation: this.#random(2) === 0 ? 'snapshot' : 'serializable' }),
      );
    }
  }

  #close(): void {
    if (this.#random(2) === 0) {
      this.#snapshots.splice(this.#random(this.#snapshots.length), 1)[0]?.close();
      return;
    }
    const tx = this.#transactions.splice(this.#random(this.#transactions.length), 1)[0];
    if (!tx) return;
    if (this.#random(2) === 0) tx.abort();
    else this.#later(tx.commit().catch((error: { code?: string }) => expect(error.code).toBe('CONFLICT')));
  }

  /** Fills a transaction's own tree, with a scan held open in it. */
  #write(): void {
    const tx = this.#transactions[this.#random(this.#transactions.length)];
    if (!tx) return;
    for (let i = this.#random(80); i > 0; --i) {
      const key = this.#anyKey();
      if (this.#random(5) === 0) tx.delete(key);
      else tx.put(key, this.#value(key.length));
    }
    if (this.#random(3) > 0) return;
    const scan = tx.scan();
    scan.next();
    this.#snapshots.push(scan);
  }

  async settle(): Promise<void> {
    const work = this.#work;
    this.#work = [];
    await Promise.all(work);
  }

  async close(): Promise<void> {
    await this.settle();
    for (const snapshot of this.#snapshots) snapshot.close();
    for (const tx of this.#transactions) tx.abort();
    this.#snapshots = [];
    this.#transactions = [];
    await this.store.close();
  }
}
