/* Salvage: a sound store, and then every block of its file damaged once, by rot or by a sector that cannot be read. */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { salvage } from '../../src/index.ts';
import { blockSectors, changed, judge, KIT_CONFIG, newPlace, writeStory } from './salvage-kit.ts';

const config = { ...KIT_CONFIG } as const;

/** The store with a sector that cannot be read. */
function unreadable(files: ReadonlyMap<string, Uint8Array>, name: string, at: number): SimulatedBackend {
  const backend = new SimulatedBackend({ seed: 3, files });
  backend.plan = ({ operation, file, position, length }) =>
    operation === 'read' && file === name && position <= at && at < position + length
      ? { errno: 'EIO' }
      : undefined;
  return backend;
}

test('salvage: a sound store is copied whole, with its log, and nothing is lost', async () => {
  const story = await writeStory();
  const backend = new SimulatedBackend({ seed: 3, files: story.files });
  const target = newPlace();
  const report = await salvage({ ...config, backend }, target);
  expect(report.lost).toEqual([]);
  const { lost } = await judge(story, report, target, 'sound');
  expect(lost).toBe(0);
  for (const [name, content] of backend.files())
    expect(Buffer.compare(content, story.files.get(name) as Uint8Array)).toBe(0);
  expect(backend.calls.some(({ operation }) => /write|sync|truncate|remove/.test(operation))).toBe(false);
});

test.each(['none', 'zstd'] as const)(
  'salvage: %s: any block is damaged: each record is in the new store or listed as lost',
  async (compression) => {
    const story = await writeStory({ compression });
    let [damaged, lost, copied] = [0, 0, 0];
    const sectors = blockSectors(story.files.get('data') as Uint8Array);
    for (const [i, at] of sectors.entries()) {
      const backend =
        i % 2 === 0 ? changed(story.files, 'data', at + 100) : unreadable(story.files, 'data', at + 100);
      const target = newPlace();
      const report = await salvage({ ...config, compression, backend }, target);
      const count = await judge(story, report, target, `block at ${at}`);
      damaged += Number(report.lost.length > 0);
      lost += count.lost;
      copied += count.copied;
      for (const loss of report.lost) {
        expect([loss.file, typeof loss.offset], `${at}`).toEqual(['data', 'number']);
        if (i % 2 === 1) expect(loss.errno).toBe('EIO');
      }
    }
    expect(damaged).toBeGreaterThan(10);
    expect(lost).toBeGreaterThan(damaged / 2);
    expect(copied).toBeGreaterThan(sectors.length * 40);
  },
);
