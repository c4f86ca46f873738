/*
 * Space that the system calls written and the device does not: after a failed sync, ext4 loses every later write to a
 * place whose first write was lost, and its next syncs say nothing of it (test/wal/crash-disk.ts does the same). An
 * opening after that must not put anything there.
 */

import { expect, test } from 'vitest';
import type { StorageEngine } from '../../src/engine/engine.ts';
import { refused } from '../support/refused.ts';
import { seed, sized } from '../support/seed.ts';
import { openSmall } from '../support/small-store.ts';
import { CrashDisk } from '../wal/crash-disk.ts';
import { Random } from '../wal/random.ts';

const ROUNDS = sized(8, 24, 300);

function open(backend: CrashDisk): Promise<StorageEngine> {
  return openSmall(backend, { compression: 'none' });
}

async function fill(engine: StorageEngine, name: string): Promise<void> {
  for (let i = 0; i < 60; i++) await engine.put(`${name} ${i}`, `${name} ${i} `.repeat(200));
}

test.each(['data', 'log-'])(
  'hollow space: nothing is put where the first write was lost, sync of %s',
  async (file) => {
    for (let round = 0; round < ROUNDS; round++) {
      const random = new Random(seed * 1000 + round);
      const disk = new CrashDisk(random);
      const engine = await open(disk);
      await fill(engine, 'first');
      await engine.checkpoint();
      // The file grows, and then no sync of it succeeds.
      disk.onSync = (name) => name.startsWith(file);
      let written = 0;
      await refused(['STORE_FAILED', 'COMMIT_UNKNOWN'], async () => {
        for (; ; written++) await engine.put(`second ${written}`, 'x'.repeat(3000 + 40 * round));
      });
      await engine.close();
      // The process dies, the cache stays.
      disk.onSync = undefined;
      const lying = disk.kill(random);
      const again = await open(lying);
      await fill(again, 'third');
      await again.checkpoint();
      await fill(again, 'fourth');
      // The power fails.
      const after = await open(lying.cut(random));
      const where = `SEED=${seed}, round ${round}`;
      for (const name of ['first', 'third', 'fourth']) {
        expect(after.count({ prefix: `${name} ` }), `${name}, ${where}`).toBe(60);
      }
      expect(after.count({ prefix: 'second ' }), where).toBeGreaterThanOrEqual(written);
      expect(await after.verify(), where).toMatchObject({ ok: true });
      await after.close();
      await again.close();
    }
  },
);

test('hollow space: a log file that is to be filled anew, and is empty when the power fails, is not missed', async () => {
  const random = new Random(seed);
  const disk = new CrashDisk(random);
  const engine = await open(disk);
  for (const name of ['first', 'second', 'third', 'fourth']) await fill(engine, name);
  await engine.checkpoint();
  let emptied = 0;
  for (const name of disk.list().filter((one) => one.startsWith('log-'))) {
    const left = disk.kill(random);
    const file = left.open(name, { create: false });
    // As if it had never been used.
    file.write([new Uint8Array(512)], 0);
    file.syncSync();
    const found = await open(left).catch(() => undefined);
    if (found === undefined) continue;
    emptied++;
    // It was about to be filled, and the power fails.
    file.truncate(0);
    file.syncSync();
    const after = await open(left.kill(random));
    expect(after.count(), name).toBe(240);
    await after.close();
  }
  await engine.close();
  expect(emptied).toBeGreaterThan(0);
});
