/*
 * What is done with every hostile store: open it, read all of it, verify it, write to it, and close it. Whatever the
 * bytes are, each call ends, and with a documented error if with one at all; never with a trap, a broken rule of our
 * own, or more work and memory than the files are worth.
 */
import { bytes as debug } from '../../build/wasm/debug.js';
import { AegisError, type AegisErrorCode } from '../../src/base/errors.ts';
import { openEngine, type StorageEngine } from '../../src/engine/engine.ts';
import { Block } from '../../src/index.ts';
import type { Files } from '../support/files.ts';
import { reclaimMemories } from '../support/memories.ts';
import { configFor, HOSTILE_SEGMENT_SIZE, type HostileSeed } from './hostile-stores.ts';
import { LentBackend } from './lent-backend.ts';

/** What any call on such a store may answer; `NOT_A_STORE` and the like at opening only. */
const CODES: readonly AegisErrorCode[] = [
  'CORRUPTION',
  'OUT_OF_SPACE',
  'TOO_LARGE',
  'COMMIT_UNKNOWN',
  'STORE_FAILED',
];
const OPENING_CODES: readonly AegisErrorCode[] = [
  ...CODES,
  'NOT_A_STORE',
  'UNSUPPORTED_VERSION',
  'NOT_FOUND',
];

/** Records that a scan may show: far more than fit in any of the files. */
const RECORDS_MAX = 50_000;

const TREES = ['notes', 'gone', 'late'];

export type Outcome = 'refused' | 'damaged' | 'sound';

export interface RunOptions {
  readonly readOnly: boolean;
  readonly debug: boolean;
}

/** Throws for anything that must not be. */
export async function runHostile(
  { shape, keys }: HostileSeed,
  files: Files,
  { readOnly, debug: checked }: RunOptions,
): Promise<Outcome> {
  let size = 0;
  for (const bytes of files.values()) size += bytes.length;
  // A page is read a few times by each of some twenty calls; a call costs 512 bytes of fuel.
  const backend = new LentBackend(files, 200 * size + 2 ** 24);
  const config = configFor(shape, { backend: backend as never, readOnly });
  let damaged = false;
  let failedStore = false;
  /** An error that is allowed; others are thrown on. */
  const allow = (error: unknown, codes = CODES): void => {
    if (!(error instanceof AegisError) || !codes.includes(error.code)) throw error;
    if (error.message.includes('internal rule')) throw error;
    damaged = true;
    // A page that the directory does not have, found missing when a commit was applied: the store fails as documented.
    if (error.code === 'STORE_FAILED') failedStore = true;
  };
  let engine: StorageEngine;
  try {
    engine = await openEngine(config, checked ? debug : undefined, HOSTILE_SEGMENT_SIZE);
  } catch (error) {
    allow(error, OPENING_CODES);
    if (!backend.isFree) throw new Error('the lock is held after a refusal');
    reclaimMemories();
    backend.end();
    return 'refused';
  }
  let failed = true;
  try {
    const attempt = async (work: () => unknown): Promise<void> => {
      try {
        await work();
      } catch (error) {
        allow(error);
      }
    };
    for (const reverse of [false, true]) await attempt(() => scanAll(engine, reverse));
    for (const key of keys.slice(0, 12)) await attempt(() => engine.get(key));
    await attempt(() => engine.getMany([...keys.slice(0, 20), 'absent']));
    await attempt(() => engine.count());
    await attempt(() => {
      for (const name of engine.trees()) {
        scanAll(engine.tree(name), false);
        scanAll(engine.tree(name), true);
      }
    });
    for (const name of TREES) await attempt(() => engine.tree(name).get('note 5'));
    for (let id = 1; id < 5; id++) await attempt(() => engine.readBlock(id));
    await attempt(async () => {
      damaged ||= !(await engine.verify()).ok;
    });
    if (!readOnly) {
      const value = (length: number) => new Uint8Array(length).fill(66);
      for (const [i, key] of [keys[0] ?? 'a', keys.at(-1) ?? 'b', 'new', 'zz'].entries()) {
        await attempt(() => engine.put(key, value(i * 50)));
      }
      await attempt(() => engine.put(keys[1] ?? 'c', value(shape.pageSize * 2)));
      await attempt(() => engine.delete(keys[5] ?? 'd'));
      for (const key of keys.slice(6, 8)) await attempt(() => engine.delete(key));
      await attempt(() =>
        engine.batch(keys.slice(8, 24).map((key) => ({ type: 'put', key, value: value(30) }))),
      );
      await attempt(() =>
        engine.transaction((tx) => {
          tx.put('in a transaction', value(10));
          tx.get(keys[3] ?? 'e');
        }),
      );
      await attempt(() => engine.tree('notes').put('new', value(40)));
      await attempt(() => engine.tree('made').put('new', value(40)));
      await attempt(() => engine.writeBlock(new Block(value(40))));
      await attempt(() => engine.deleteBlock(2));
      await attempt(() => engine.dropTree('small'));
      await attempt(() => engine.checkpoint());
      if (shape.trees) await attempt(() => engine.compact());
    }
    await engine.close().catch((error: unknown) => allow(error));
    failed = false;
  } finally {
    if (failed) await engine.close().catch(() => undefined);
    const isOver = !failed && !failedStore;
    reclaimMemories(isOver);
    if (isOver) backend.end();
  }
  if (!backend.isFree) throw new Error('the lock is held after closing');
  if (backend.strays.length > 0) throw new Error(`files of no store were touched: ${backend.strays}`);
  return damaged ? 'damaged' : 'sound';
}

function scanAll(engine: Pick<StorageEngine, 'scan'>, reverse: boolean): void {
  const scan = engine.scan({ reverse });
  try {
    for (let records = 0; ; ) {
      const some = scan.nextMany(500);
      if (some.length === 0) return;
      records += some.length;
      if (records > RECORDS_MAX) throw new Error('a scan that does not end');
    }
  } finally {
    scan.close();
  }
}
