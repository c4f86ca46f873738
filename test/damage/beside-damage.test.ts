/* What goes on beside a page that cannot be read: a commit is refused before it is durable, or it is applied. */
import { expect, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { Plant } from '../support/plant.ts';
import { rejected } from '../support/refused.ts';

test('damage: deletes go on beside a leaf that cannot be read, and so does their replay', async () => {
  const backend = new MemoryBackend();
  const config = { backend, walEnabled: true, pageSize: 4096, compression: 'none' } as const;
  const first = await StorageEngine.open(config);
  for (let i = 0; i < 300; i++) await first.put(`key ${String(i).padStart(4, '0')}`, `value ${i} `.repeat(8));
  await first.close();
  const plant = new Plant(backend);
  const leaves = plant.nodes().filter(({ level }) => level === 0);
  const keysOf = (leaf: number) =>
    plant.tree(leaves[leaf]!.page).cells.map(({ key }) => Buffer.from(key).toString());
  // The third leaf is hit; the second, when it is nearly empty, would be merged with it.
  const { start } = plant.place(leaves[2]!.page);
  plant.overwrite(start * 512 + 200, new Uint8Array([1, 2, 3]));
  const engine = await StorageEngine.open(config);
  const [lost, beside] = [keysOf(2), keysOf(1)];
  await rejected('CORRUPTION', () => engine.delete(lost[0]!));
  for (const key of beside) expect(await engine.delete(key)).toBe(true);
  for (const key of beside) expect(engine.has(key)).toBe(false);
  expect(engine.has(keysOf(0)[0]!)).toBe(true);
  await engine.put('more', 'goes on');
  // The same from the log, as after a crash.
  const again = await StorageEngine.open({ ...config, backend: backend.copy() });
  for (const key of beside) expect(again.has(key)).toBe(false);
  expect(again.getString('more')).toBe('goes on');
  await again.close();
  await engine.close();
});
