/*
 * Calls in orders nobody would choose: blocking ones among many that nobody awaits, large ones in between, checkpoints
 * and a close on top. Every promise settles, every answer is kept, and nothing breaks.
 */

import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { StorageEngine } from '../../src/engine/engine.ts';
import type { StorageConfig } from '../../src/index.ts';
import { seed, sized } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';
import { Random } from '../wal/random.ts';

/** Bytes that outgrow one group of the log. */
const LARGE = 400_000;

function open(backend: MemoryBackend, config: Partial<StorageConfig> = {}): Promise<StorageEngine> {
  return openSmall(backend, { walFlushInterval: 0, ...config });
}

function settled<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('a promise hangs')), 20_000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

test('call order: a blocking call goes through behind hundreds that wait for space', async () => {
  const engine = await open(new MemoryBackend());
  const value = new Uint8Array(60_000);
  const waiting = Array.from({ length: 500 }, (_, i) => engine.put(`key ${i}`, value));
  engine.putSync('now', 'x');
  // Blocking calls come behind those before them.
  expect(engine.count()).toBe(501);
  engine.putSync('large', new Uint8Array(LARGE));
  expect(engine.get('large')?.length).toBe(LARGE);
  await settled(Promise.all(waiting));
  await engine.close();
});

test('call order: a blocking call among syncs on their way has all before it done', async () => {
  const engine = await open(new MemoryBackend());
  for (let round = 0; round < 20; round++) {
    const first = engine.put('first', `${round}`);
    await Promise.resolve();
    const second = engine.transaction((tx) => tx.put('second', `${round}`.repeat(LARGE)));
    for (let turns = round; turns > 0; turns--) await Promise.resolve();
    engine.putSync('third', `${round}`.repeat(round % 2 === 0 ? 1 : LARGE));
    expect(engine.getString('first')).toBe(`${round}`);
    await settled(Promise.all([first, second]));
    expect(engine.getString('third')).toBe(`${round}`.repeat(round % 2 === 0 ? 1 : LARGE));
  }
  await engine.close();
});

/** Makes many calls and awaits none; answers what must be there when all have settled. */
async function muddle(engine: StorageEngine, random: Random): Promise<Map<string, string>> {
  const answers: Promise<unknown>[] = [];
  const expected = new Map<string, string>();
  const tx = engine.beginTransaction();
  tx.put('tx', 'from the beginning');
  for (let n = 0; n < 60; n++) {
    // A key of its own: which of two calls comes first is the engine's affair.
    const [key, value] = [`key ${n}`, `${n}`.repeat(random.chance(0.1) ? LARGE : 1 + random.below(3000))];
    const what = random.below(8);
    if (what < 3) answers.push(engine.put(key, value));
    else if (what === 3) answers.push(engine.batch([{ type: 'put', key, value }]));
    else if (what === 4) answers.push(engine.transaction((inner) => inner.put(key, value)));
    else if (what === 5) engine.putSync(key, value);
    else if (what === 6) engine.batchSync([{ type: 'put', key, value }]);
    else {
      const inner = engine.beginTransaction({ isolation: 'serializable' });
      inner.put(key, value);
      inner.commitSync({ sync: random.chance(0.5) });
    }
    expected.set(key, value);
    if (random.chance(0.1)) answers.push(engine.checkpoint());
    if (random.chance(0.1)) answers.push(engine.verify().then(({ ok }) => expect(ok).toBe(true)));
    if (random.chance(0.1)) engine.snapshot();
    if (random.chance(0.2)) await Promise.resolve();
    if (random.chance(0.05)) await new Promise((resolve) => setImmediate(resolve));
  }
  if (random.chance(0.5)) {
    answers.push(tx.commit());
    expected.set('tx', 'from the beginning');
  }
  if (random.chance(0.5)) {
    // Whatever the close comes before is done first, or was refused.
    const results = await settled(Promise.allSettled([...answers, engine.close()]));
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      if (!(result.reason instanceof AegisError)) throw result.reason;
      expect(result.reason.code).toBe('CLOSED');
    }
    expected.delete('tx');
    return expected;
  }
  await settled(Promise.all(answers));
  await settled(engine.close());
  return expected;
}

test.each([true, false])(
  'call order: any muddle of calls settles and is kept (syncOnCommit %s)',
  async (syncOnCommit) => {
    for (let round = 0; round < sized(4, 12, 400); round++) {
      const random = new Random(seed * 1000 + round);
      const backend = new MemoryBackend();
      const walEnabled = round % 4 !== 3;
      try {
        const expected = await muddle(await open(backend, { syncOnCommit, walEnabled }), random);
        const engine = await open(backend, { walEnabled });
        for (const [key, value] of expected) expect(engine.getString(key), key).toBe(value);
        expect(await engine.verify()).toMatchObject({ ok: true });
        await engine.close();
      } catch (cause) {
        throw new Error(`SEED=${seed}, round ${round}`, { cause });
      }
    }
  },
);
