/* A store of three levels, its files with damage that a test chooses, and what salvage makes of them. */
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { salvage } from '../../src/index.ts';
import { backendOf, filesOf } from '../support/files.ts';
import { Plant } from '../support/plant.ts';
import { judge, KIT_CONFIG, longKey, newPlace, type Story, Writer } from './salvage-kit.ts';

type Files = ReadonlyMap<string, Uint8Array>;

/** A store whose tree has three levels, closed or cut off from its power. */
export async function tall(log = false, records = 1000): Promise<Story> {
  const writer = await Writer.open();
  for (let first = 0; first < records; first += 100) {
    const records = Array.from(
      { length: 100 },
      (_, i) => [longKey(first + i), `value ${first + i}`] as const,
    );
    await writer.batch('', records);
  }
  await writer.put('', 'zz', 'x'.repeat(9000));
  await writer.engine.checkpoint();
  if (!log) return writer.end();
  await writer.put('', longKey(5), 'newer');
  await writer.delete('', longKey(6));
  await writer.put('', longKey(6.5), 'new');
  return writer.end();
}

/** The files with damage that `plan` says, and the plant that it was done with. */
export function spoiled(
  files: Files,
  plan: (plant: Plant, hit: (page: number) => void) => void,
): SimulatedBackend {
  const memory = backendOf(files);
  const plant = new Plant(memory);
  plan(plant, (page) => plant.overwrite(plant.place(page).start * 512 + 90, new Uint8Array([1, 2, 3, 4, 5])));
  return new SimulatedBackend({ seed: 3, files: filesOf(memory) });
}

export async function salvaged(story: Story, backend: SimulatedBackend, hint: string) {
  const target = newPlace();
  const report = await salvage({ ...KIT_CONFIG, backend }, target);
  await judge(story, report, target, hint);
  return report;
}
