/* Commits that could not be written, on a disk that refuses one write: what follows them, and what a crash leaves. */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { StorageEngine } from '../../src/engine/engine.ts';

const config = { pageSize: 4096, walEnabled: true, syncOnCommit: true } as const;

/** Refuses the next write to the log that is longer than that. */
function refuseOne(disk: SimulatedBackend, longerThan: number): void {
  disk.plan = ({ operation, file, length }) => {
    if (operation !== 'write' || !file.startsWith('log-') || length <= longerThan) return undefined;
    disk.plan = () => undefined;
    return { errno: 'ENOSPC', torn: true };
  };
}

test.each([
  ['a small one', 100],
  ['one of several groups', 3_000_000],
])('commit: after %s that could not be written the next one takes its number', async (_what, size) => {
  const disk = new SimulatedBackend();
  const db = await StorageEngine.open({ backend: disk, ...config });
  await db.put('a', 'first');
  refuseOne(disk, 0);
  await expect(db.put('b', new Uint8Array(size))).rejects.toMatchObject({ code: 'OUT_OF_SPACE' });
  const before = db.stats().sequence;
  await db.put('c', 'third');
  expect(db.stats().sequence).toBe(before + 1);
  for (const left of [disk.crash(), disk.kill()]) {
    const found = await StorageEngine.open({ backend: left, ...config });
    expect([found.getString('a'), found.has('b'), found.getString('c')]).toEqual(['first', false, 'third']);
    await found.close();
  }
  await db.close();
});

test('commit: a relaxed one is on the disk when its interval is over', async () => {
  const disk = new SimulatedBackend({ manual: true });
  const db = await disk.run(StorageEngine.open({ backend: disk, ...config, walFlushInterval: 20 }));
  await disk.run(db.put('a', 'first'));
  const tx = db.beginTransaction();
  tx.put('b', 'relaxed');
  await tx.commit({ sync: false });
  expect(disk.isDurable('log-1')).toBe(false);
  const end = disk.clock.now + 30;
  while (disk.clock.now < end && disk.clock.step()) await disk.clock.settle();
  expect(disk.isDurable('log-1')).toBe(true);
  await disk.run(db.close());
});
