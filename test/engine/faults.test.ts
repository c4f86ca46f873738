/*
 * Devices that refuse: every call to the backend fails once, or from then on, with an I/O error or for want of space.
 * A caller is told with a documented code; what was answered is there, now and after opening again; what was refused
 * is not; and where the store lives on, it works again as soon as the device does.
 */
import { describe, expect, test } from 'vitest';
import type { StorageConfig } from '../../src/config.ts';
import { StorageEngine } from '../../src/engine.ts';
import { AegisError } from '../../src/errors.ts';
import { type Errno, FaultyBackend, type Plan } from '../support/faults.ts';
import { backendOf, type Files, filesOf } from '../support/files.ts';
import { refused, rejected } from '../support/refused.ts';
import { long, seed } from '../support/seed.ts';

const CODES = ['OUT_OF_SPACE', 'IO_ERROR', 'STORE_FAILED', 'COMMIT_UNKNOWN'];
const HANG = 10_000; // ms

type Outcome = 'acknowledged' | 'refused' | 'unknown';

async function open(
  backend: FaultyBackend | ReturnType<typeof backendOf>,
  config: Partial<StorageConfig> = {},
) {
  return StorageEngine.open({
    backend,
    walEnabled: true,
    pageSize: 4096,
    bufferPoolSize: '64KB',
    checkpointWalSize: '512KB',
    ...config,
  });
}

function withoutHang<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} hangs`)), HANG);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Steps of a program that writes in every way there is; step n leaves two keys that say so. */
class Program {
  readonly outcomes = new Map<number, Outcome>();
  readonly #engine: StorageEngine;

  constructor(engine: StorageEngine) {
    this.#engine = engine;
  }

  async run(): Promise<void> {
    for (let n = 1; n <= 26; n++) await this.#step(n, () => this.#write(n));
    // Several at once share a sync, or its failure.
    await Promise.all([27, 28, 29, 30].map((n) => this.#step(n, () => this.#write(n))));
    await this.#step(0, () => this.#engine.checkpoint());
    for (let n = 31; n <= 36; n++) await this.#step(n, () => this.#write(n));
  }

  async #step(n: number, work: () => unknown): Promise<void> {
    let outcome: Outcome = 'acknowledged';
    try {
      await withoutHang(`step ${n}`, Promise.resolve().then(work));
    } catch (error) {
      if (!(error instanceof AegisError)) throw error;
      expect(CODES, error.message).toContain(error.code);
      outcome = error.code === 'COMMIT_UNKNOWN' ? 'unknown' : 'refused';
    }
    if (n > 0) this.outcomes.set(n, outcome);
    if (n > 0) this.#checkVisible(n, outcome);
  }

  #write(n: number): unknown {
    const value = n % 9 === 4 ? `${n}`.repeat(60_000) : n % 4 === 1 ? `${n}`.repeat(2000) : `${n}`;
    const operations = ['a', 'b'].map((key) => ({ type: 'put', key: `${key} ${n}`, value }) as const);
    if (n % 4 === 0) return this.#engine.batchSync(operations);
    if (n % 4 === 1) return this.#engine.batch(operations);
    const tx = this.#engine.beginTransaction({ isolation: n % 4 === 2 ? 'serializable' : 'snapshot' });
    for (const { key, value } of operations) tx.put(key, value);
    return n % 8 === 2 ? tx.commitSync() : tx.commit();
  }

  /** What was answered is seen at once, what was refused never; reading may be refused as well. */
  #checkVisible(n: number, outcome: Outcome): void {
    if (outcome === 'unknown') return;
    for (const key of ['a', 'b']) {
      try {
        expect(this.#engine.has(`${key} ${n}`), `step ${n} was ${outcome}`).toBe(outcome === 'acknowledged');
      } catch (error) {
        if (!(error instanceof AegisError)) throw error;
        expect(['IO_ERROR', 'OUT_OF_SPACE', 'STORE_FAILED']).toContain(error.code);
      }
    }
  }
}

/** Opens what a program left as another process would; every step is there or not, as it was told. */
async function checkLeft(files: Files, outcomes: ReadonlyMap<number, Outcome>, base: number): Promise<void> {
  const engine = await open(backendOf(files));
  for (const [n, outcome] of outcomes) {
    const found = ['a', 'b'].map((key) => engine.has(`${key} ${n}`));
    expect(found[0], `step ${n} is half there`).toBe(found[1]);
    if (outcome !== 'unknown') expect(found[0], `step ${n} was ${outcome}`).toBe(outcome === 'acknowledged');
  }
  expect(engine.count({ prefix: 'base' })).toBe(base);
  expect(await engine.verify()).toMatchObject({ ok: true });
  await engine.close();
}

/** A store that died with something in its log. */
async function makeBase(): Promise<Files> {
  const backend = new FaultyBackend();
  const engine = await open(backend);
  for (let i = 0; i < 60; i++) {
    await engine.put(`base ${i}`, `${i}`.repeat(30));
    if (i === 30) await engine.checkpoint();
  }
  const { files } = backend;
  await engine.close();
  return files;
}

const base = await makeBase();

const KINDS: { how: string; errno: Errno; torn: boolean; once: boolean }[] = [];
for (const errno of ['EIO', 'ENOSPC'] as const) {
  for (const torn of [false, true]) {
    for (const once of [true, false]) {
      KINDS.push({
        how: `${errno} ${once ? 'once' : 'for ever'}${torn ? ', half written' : ''}`,
        errno,
        torn,
        once,
      });
    }
  }
}

/** ENOSPC comes from what takes space; reads, sizes and listings know no such thing. */
function planFor({ errno, torn, once }: (typeof KINDS)[number], number: number): Plan {
  return (call) => {
    if (once ? call.number !== number : call.number < number) return undefined;
    if (errno === 'ENOSPC' && !['write', 'open', 'sync', 'syncDirectory'].includes(call.operation))
      return undefined;
    return { errno, torn };
  };
}

describe.each(KINDS)('$how', (kind) => {
  test(`faults: ${kind.how}, at any call: nothing answered is lost, nothing refused is there`, async () => {
    const tally = { acknowledged: 0, refused: 0, unknown: 0, unopened: 0 };
    const step = long ? 1 : 19;
    let number = 1 + (seed % step);
    for (; ; number += step) {
      const backend = new FaultyBackend(base);
      backend.plan = planFor(kind, number);
      const outcomes = new Map<number, Outcome>();
      try {
        await livesThrough(backend, outcomes);
        backend.plan = () => undefined;
        await checkLeft(backend.files, outcomes, 60);
      } catch (cause) {
        const call = JSON.stringify(backend.calls[number - 1]);
        throw new Error(`SEED=${seed}, fault at ${call}`, { cause });
      }
      for (const outcome of outcomes.values()) tally[outcome]++;
      if (outcomes.size === 0) tally.unopened++;
      if (backend.calls.length < number) break;
    }
    if (long) process.stdout.write(`${kind.how}: ${number} calls, ${JSON.stringify(tally)}\n`);
    expect(number).toBeGreaterThan(200);
    if (!kind.once) expect(tally.refused).toBeGreaterThan(0);
  });
});

/** Opens, runs a program and closes, on a backend that fails somewhere. */
async function livesThrough(backend: FaultyBackend, outcomes: Map<number, Outcome>): Promise<void> {
  let engine: StorageEngine;
  try {
    engine = await withoutHang('opening', open(backend));
  } catch (error) {
    if (!(error instanceof AegisError)) throw error;
    expect(['IO_ERROR', 'OUT_OF_SPACE', 'STORE_FAILED']).toContain(error.code);
    return;
  }
  const program = new Program(engine);
  await program.run();
  for (const [n, outcome] of program.outcomes) outcomes.set(n, outcome);
  await withoutHang(
    'closing',
    engine.close().catch((error: unknown) => {
      if (!(error instanceof AegisError)) throw error;
      expect(CODES).toContain(error.code);
    }),
  );
}

test('faults: after a failed sync commits are unknown, then refused; reads go on; opening again has what was answered', async () => {
  for (const blocking of [false, true]) {
    const backend = new FaultyBackend(base);
    const engine = await open(backend);
    await engine.put('before', 'x');
    backend.plan = ({ operation, file }) =>
      operation === 'sync' && file !== 'data' ? { errno: 'EIO' } : undefined;
    const snapshot = engine.snapshot();
    if (blocking) await refused('COMMIT_UNKNOWN', () => engine.putSync('lost?', 'x'));
    else {
      const both = await Promise.allSettled([engine.put('lost?', 'x'), engine.put('lost too?', 'x')]);
      for (const result of both)
        expect(result).toMatchObject({ status: 'rejected', reason: { code: 'COMMIT_UNKNOWN' } });
    }
    // The device says that all is well now. It is not.
    backend.plan = () => undefined;
    const failed = await rejected('STORE_FAILED', () => engine.put('after', 'x'));
    expect(failed).toMatchObject({ errno: 'EIO', operation: 'sync' });
    await rejected('STORE_FAILED', () => engine.checkpoint());
    await refused('STORE_FAILED', () => engine.putSync('after', 'x'));
    await refused('STORE_FAILED', () => engine.beginTransaction());
    expect(engine.getString('before')).toBe('x');
    expect(engine.has('lost?')).toBe(false);
    expect(snapshot.count()).toBe(61);
    expect(engine.beginTransaction({ readOnly: true }).count()).toBe(61);
    await engine.close();
    const again = await open(backendOf(backend.files));
    expect(again.getString('before')).toBe('x');
    expect(again.has('after')).toBe(false);
    await again.put('after', 'x');
  }
});

test('faults: a checkpoint whose sync fails ends the store, and loses nothing', async () => {
  for (const file of ['data']) {
    for (let nth = 1; nth <= 3; nth++) {
      const backend = new FaultyBackend(base);
      const engine = await open(backend);
      await engine.checkpoint();
      for (let i = 0; i < 20; i++) await engine.put(`new ${i}`, 'x'.repeat(500));
      let syncs = 0;
      backend.plan = (call) => {
        if (call.operation !== 'sync' || call.file !== file || ++syncs !== nth) return undefined;
        return { errno: 'EIO' };
      };
      const error = await refused('STORE_FAILED', () => engine.checkpoint());
      expect(error).toMatchObject({ errno: 'EIO', operation: 'sync' });
      await rejected('STORE_FAILED', () => engine.put('after', 'x'));
      expect(engine.count({ prefix: 'new' })).toBe(20);
      await engine.close();
      const again = await open(backendOf(backend.files));
      expect(again.count({ prefix: 'new' })).toBe(20);
      expect(again.count({ prefix: 'base' })).toBe(60);
      expect(await again.verify()).toMatchObject({ ok: true });
    }
  }
});

test('faults: a blocking commit whose checkpoint meets a failed sync is told that the store has failed', async () => {
  for (let nth = 1; nth <= 3; nth++) {
    const backend = new FaultyBackend(base);
    const engine = await open(backend);
    let syncs = 0;
    backend.plan = ({ operation, file }) =>
      operation === 'sync' && file === 'data' && ++syncs >= nth ? { errno: 'EIO' } : undefined;
    const writeOn = () => {
      for (let i = 0; i < 500; i++) engine.putSync(`blocking ${i}`, 'x'.repeat(20_000));
    };
    const error = await refused('STORE_FAILED', writeOn);
    expect(error, `sync ${nth}`).toMatchObject({ errno: 'EIO', operation: 'sync' });
    await refused('STORE_FAILED', () => engine.putSync('after', 'x'));
    const seen = engine.count({ prefix: 'blocking' });
    await engine.close();
    const again = await open(backendOf(backend.files));
    expect(again.count({ prefix: 'blocking' })).toBe(seen);
    await again.close();
  }
});

test('faults: a log that no checkpoint can shorten refuses writers, and lets them in when one can', async () => {
  for (const errno of ['EIO', 'ENOSPC'] as const) {
    const backend = new FaultyBackend(base);
    const engine = await open(backend, { bufferPoolSize: '4MB' });
    await engine.put('room', 'x'.repeat(500_000));
    await engine.checkpoint();
    backend.plan = ({ operation, file }) =>
      operation === 'write' && file === 'data' ? { errno } : undefined;
    const code = errno === 'EIO' ? 'IO_ERROR' : 'OUT_OF_SPACE';
    let written = 0;
    const write = () => withoutHang('a put', engine.put(`more ${written % 10}`, 'x'.repeat(5000)));
    await refused(code, async () => {
      for (; written < 1000; written++) await write();
    });
    // It has grown to twice its limit before anybody was refused.
    expect(written).toBeGreaterThan(180);
    await refused(code, () => engine.putSync('more', 'x'));
    const several = await Promise.allSettled([write(), write(), write()]);
    for (const result of several) expect(result).toMatchObject({ status: 'rejected', reason: { code } });
    expect(engine.count({ prefix: 'more' })).toBe(10);
    backend.plan = () => undefined;
    await engine.checkpoint();
    await write();
    await engine.close();
    await checkLeft(backend.files, new Map(), 60);
  }
});

test('faults: a page that cannot be read now is read when the device can', async () => {
  const backend = backendOf(base);
  await (await open(backend)).close();
  const faulty = new FaultyBackend(filesOf(backend));
  const engine = await open(faulty);
  faulty.plan = ({ operation, file }) =>
    operation === 'read' && file === 'data' ? { errno: 'EIO' } : undefined;
  const error = await refused('IO_ERROR', () => engine.get('base 7'));
  expect(error).toMatchObject({ errno: 'EIO', operation: 'read', file: 'data' });
  await refused('IO_ERROR', () => [...engine.scan()]);
  await rejected('IO_ERROR', () => engine.put('base 7', 'new'));
  expect(await engine.verify()).toMatchObject({ ok: false });
  faulty.plan = () => undefined;
  expect(engine.getString('base 7')).toBe('7'.repeat(30));
  await engine.put('base 7', 'new');
  expect(engine.getString('base 7')).toBe('new');
  expect(await engine.verify()).toMatchObject({ ok: true });
});
