/* Superblock slots that the device does not give back: one whole slot opens the store, and nothing is made in doubt. */
import { expect, test } from 'vitest';
import { StorageEngine } from '../../src/engine/engine.ts';
import { SimulatedBackend } from '../../src/testing/index.ts';
import { refused } from '../support/refused.ts';

const SLOTS = [0, 4096];
const options = { pageSize: 4096, bufferPoolSize: '256KB', walEnabled: true } as const;

/** A store with a checkpoint, and commits in the log behind it. */
async function makeStore(): Promise<SimulatedBackend> {
  const backend = new SimulatedBackend({ seed: 1 });
  const engine = await StorageEngine.open({ backend, ...options });
  await engine.put('held', 'by the checkpoint');
  await engine.checkpoint();
  await engine.put('later', 'in the log');
  return backend.kill();
}

/** From now on these sectors of the data file cannot be read; or only those reads of them fail, counted from 1. */
function spoil(backend: SimulatedBackend, positions: readonly number[], reads?: readonly number[]): void {
  let count = 0;
  backend.plan = ({ operation, file, position, length }) => {
    if (operation !== 'read' || file !== 'data') return undefined;
    if (!positions.some((at) => position < at + 512 && position + length > at)) return undefined;
    return reads === undefined || reads.includes(++count) ? { errno: 'EIO' } : undefined;
  };
}

test.each(SLOTS)('slots: a store opens when the one at %i cannot be read', async (at) => {
  for (const readOnly of [true, false]) {
    const backend = await makeStore();
    spoil(backend, [at]);
    const engine = await StorageEngine.open({ backend, ...options, readOnly });
    expect([engine.getString('held'), engine.getString('later')]).toEqual([
      'by the checkpoint',
      'in the log',
    ]);
    expect(engine.stats().data.damagedSlots).toBe(1);
    expect((await engine.verify()).ok).toBe(false);
    if (!readOnly) await engine.put('after', 'it');
    await engine.close();
    backend.plan = () => undefined;
    const again = await StorageEngine.open({ backend, ...options });
    expect((await again.verify()).problems).toEqual([]);
    expect([...again.scan().keys()].length).toBe(readOnly ? 2 : 3);
    expect(again.stats().data.damagedSlots).toBe(0);
    await again.close();
  }
});

// The first read looks for strangers' files before the lock is taken.
test.each([[[1]], [[2]], [[2, 3]]])(
  'slots: one that is read at another try is as good as any: %j',
  async (reads) => {
    const backend = await makeStore();
    spoil(backend, [0], reads);
    const engine = await StorageEngine.open({ backend, ...options });
    expect(engine.stats().data.damagedSlots).toBe(0);
    await engine.close();
  },
);

test('slots: when neither can be read the store is refused and left alone', async () => {
  const backend = await makeStore();
  const before = backend.fingerprint;
  spoil(backend, SLOTS);
  for (const readOnly of [true, false]) {
    await refused('IO_ERROR', () => StorageEngine.open({ backend, ...options, readOnly }));
  }
  expect(backend.fingerprint).toBe(before);
});

test('slots: no store is made anew where the one that cannot be read may be whole', async () => {
  const backend = await makeStore();
  // The other one says that a creation began here, as while the first checkpoint of a store is written.
  const unfinished = new SimulatedBackend({ seed: 1 });
  let begun: Uint8Array | undefined;
  unfinished.onCall = () => {
    begun ??= unfinished.files().get('data')?.slice(0, 512);
    if (begun?.length !== 512) begun = undefined;
  };
  await (await StorageEngine.open({ backend: unfinished, ...options })).close();
  const files = backend.files();
  files.get('data')!.set(begun!, 0);
  const doubtful = new SimulatedBackend({ seed: 1, files });
  const before = doubtful.fingerprint;
  spoil(doubtful, [4096]);
  await refused('IO_ERROR', () => StorageEngine.open({ backend: doubtful, ...options }));
  expect(doubtful.fingerprint).toBe(before);
  doubtful.plan = () => undefined;
  const engine = await StorageEngine.open({ backend: doubtful, ...options });
  expect(engine.getString('later')).toBe('in the log');
  await engine.close();
});
