/* An old reader keeps what it sees, and nothing that came and went after it. */
import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { StorageEngine } from '../../src/engine/engine.ts';

test('versions: one old reader keeps one version of a page, whatever else came and went', async () => {
  const backend = new MemoryBackend();
  const db = await StorageEngine.open({ backend, pageSize: 4096, bufferPoolSize: 64 * 4096 });
  const write = (round: number) => {
    const operations = Array.from({ length: 100 }, (_, i) => ({
      type: 'put' as const,
      key: `key ${i}`,
      value: `round ${round} `.repeat(40),
    }));
    return db.batch(operations);
  };
  await write(0);
  const reader = db.snapshot();
  for (let round = 1; round <= 30; round++) {
    await write(round);
    const other = db.snapshot();
    await write(100 + round);
    other.close();
    await db.checkpoint();
  }
  const { pages, versions, data } = db.stats();
  expect(versions.count).toBeLessThan(3 * pages.count);
  expect(data.usedSize).toBeLessThan(4 * pages.count * 4096);
  expect(reader.getString('key 7')).toBe('round 0 '.repeat(40));
  reader.close();
  await db.close();
});
