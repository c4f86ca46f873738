/*
 * Verification beside writers: it finds nothing in a sound log, whatever commits and checkpoints do meanwhile, and says
 * what it cannot read.
 */
import { expect, onTestFinished, test } from 'vitest';
import { SECTOR_SIZE } from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';
import { differences, randomOf, WriteLoad } from '../support/write-load.ts';
import { contentOf, newCore, overwrite } from '../wal/log-kit.ts';
import { makeGround, open, SMALL } from './verify-log-kit.ts';

test('verify: what lies beyond the durable end of the log is nobody’s business', async () => {
  const ground = await makeGround();
  const { backend, engine, groups } = ground;
  const last = groups.at(-1)!;
  const space = contentOf(backend, last.file).length - last.offset - last.length;
  overwrite(backend, last.file, last.offset + last.length, new Uint8Array(space).fill(0xa5));
  expect((await engine.verify()).problems).toEqual([]);
  for (let i = 0; i < 20; ++i) await engine.put(`more ${i}`, 'm'.repeat(900));
  expect((await engine.verify()).problems).toEqual([]);
});

test('verify: a read of the log that the device refuses is a finding', async () => {
  const backend = new SimulatedBackend({ seed });
  const engine = await open(backend);
  for (let i = 0; i < 20; ++i) await engine.put(`key ${i}`, 'v'.repeat(900));
  for (const operation of ['read', 'size', 'list'] as const) {
    backend.plan = (call) =>
      call.operation === operation && call.file !== 'data' ? { errno: 'EIO' } : undefined;
    const { problems } = await engine.verify();
    expect(problems[0]).toMatchObject({ errno: 'EIO' });
  }
  backend.plan = () => undefined;
  expect((await engine.verify()).problems).toEqual([]);
});

test('verify: of a store open for reading the log is read again', async () => {
  const { backend } = await makeGround();
  const place = backend.copy();
  const reader = await open(place, { readOnly: true });
  expect((await reader.verify()).problems).toEqual([]);
  const core = newCore();
  const view = new DataView(contentOf(place, 'data').buffer);
  core.x.groupConfigure(view.getUint32(8, true), view.getUint32(12, true), 0);
  const logs = place.list().filter((name) => name.startsWith('log-'));
  let found = 0;
  for (const name of logs) {
    const bytes = contentOf(place, name);
    for (let at = SECTOR_SIZE; at < bytes.length; at += long ? SECTOR_SIZE : 4 * SECTOR_SIZE) {
      overwrite(place, name, at + 40, Uint8Array.of(bytes[at + 40]! ^ 1));
      const { problems } = await reader.verify();
      overwrite(place, name, at + 40, bytes.subarray(at + 40, at + 41));
      if (problems.length === 0) continue;
      ++found;
      expect(problems).toHaveLength(1);
      expect(problems[0]!.message).toMatch(/the log|log-\d+/);
    }
  }
  expect(found).toBeGreaterThan(10);
  expect((await reader.verify()).problems).toEqual([]);
});

test('verify: finds nothing while commits, checkpoints and files used again go on', {
  timeout: 3_600_000,
}, async () => {
  const backend = new MemoryBackend();
  const engine = await open(backend, { bufferPoolSize: '256KB' });
  const load = new WriteLoad(engine, { seed, keys: 400, longest: 60_000 });
  const random = randomOf(seed);
  load.start();
  let running = true;
  const maintenance = async (): Promise<void> => {
    while (running) {
      if (random(2) === 0) await engine.checkpoint();
      engine.putSync('blocking', `${random(1000)}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const working = maintenance();
  const least = long ? 300 : 25;
  let rounds = 0;
  for (; rounds < least || engine.stats().checkpoints < least; ++rounds) {
    const both = await Promise.all([engine.verify(), engine.verify()]);
    expect(both.flatMap(({ problems }) => problems)).toEqual([]);
    // A small store is walked in one turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  running = false;
  await Promise.all([working, load.stop()]);
  expect((await engine.verify()).problems).toEqual([]);
  const { checkpoints } = engine.stats();
  expect(checkpoints).toBeGreaterThanOrEqual(least);
  expect(load.commits).toBeGreaterThan(rounds);
  const figures = { verifications: 2 * rounds, 'false alarms': 0, commits: load.commits, checkpoints };
  report('verify, a log that is written', figures, 'npx vitest run test/maintenance/verify-live-log.test.ts');
});

test('verify: a commit of many groups is walked in pieces, by two at once', async () => {
  const backend = new MemoryBackend();
  const engine = await StorageEngine.open({ ...SMALL, backend, checkpointWalSize: '64MB' });
  onTestFinished(() => engine.close());
  await engine.put('long', new Uint8Array(5_000_000).fill(1));
  await engine.put('short', 'value');
  await engine.put('longer', new Uint8Array(3_000_001).fill(2));
  const both = await Promise.all([engine.verify(), engine.verify()]);
  expect(both.flatMap(({ problems }) => problems)).toEqual([]);
  expect(engine.stats().log.sinceCheckpoint).toBeGreaterThan(8_000_000);
  expect(
    differences(
      await open(backend.copy()),
      new Map([...engine.scan()].map(([key, value]) => [new TextDecoder().decode(key), value])),
    ),
  ).toEqual([]);
});
