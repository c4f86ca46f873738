/*
 * Salvage at random: a few damages at once, anywhere in the files, as rot or as sectors that cannot be read; then the
 * new store is held against what was written.
 */
import { expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { AegisError } from '../../src/base/errors.ts';
import { salvage } from '../../src/index.ts';
import type { Random } from '../support/codec-data.ts';
import { randomFrom } from '../support/codec-data.ts';
import { report as figures } from '../support/report.ts';
import { seed, sized } from '../support/seed.ts';
import { blockSectors, judge, KIT_CONFIG, newPlace, one, type Story, writeStory } from './salvage-kit.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? sized(10, 40, 2000));

/** Damages some places; what is unreadable is answered with EIO, whatever else is asked for with it. */
function damage(story: Story, random: Random): { backend: SimulatedBackend; log: boolean; what: string } {
  const files = new Map([...story.files].map(([name, content]) => [name, content.slice()]));
  const data = files.get('data') as Uint8Array;
  const logs = [...files.keys()].filter((name) => name.startsWith('log-'));
  const gaps: [file: string, at: number][] = [];
  const what: string[] = [];
  const count = 1 + random(4);
  for (let i = 0; i < count; ++i) {
    const isLog = random(5) === 0;
    const file = isLog ? one(random, logs) : 'data';
    const content = files.get(file) as Uint8Array;
    const isSuper = !isLog && random(12) === 0;
    const at = isSuper
      ? 4096 * random(2) + random(512)
      : isLog
        ? random(Math.min(content.length, 16_384))
        : one(random, blockSectors(data)) + random(700);
    what.push(`${file} ${at}`);
    if (random(3) === 0) gaps.push([file, at]);
    else if (at < content.length) content[at] = (content[at] as number) ^ (1 << random(8));
  }
  const backend = new SimulatedBackend({ seed: 3, files });
  backend.plan = ({ operation, file, position, length }) =>
    operation === 'read' &&
    gaps.some(([name, at]) => name === file && position <= at && at < position + length)
      ? { errno: 'EIO' }
      : undefined;
  return { backend, log: what.some((name) => name.startsWith('log-')), what: what.join(', ') };
}

/** The full size takes minutes. */
const FULL = { timeout: 3_600_000 };

test('salvage: whatever is damaged, what is copied and what is listed are all there was', FULL, async () => {
  const stories = [await writeStory(), await writeStory({ compression: 'lz4' })];
  const counts = { rounds: 0, copied: 0, lost: 0, refused: 0, 'wrong values': 0 };
  for (let round = 0; round < ROUNDS; ++round) {
    const random = randomFrom(seed * 100_000 + round);
    const story = one(random, stories);
    const { backend, log, what } = damage(story, random);
    const hint = `SEED=${seed} round ${round} (${what})`;
    const target = newPlace();
    let report: Awaited<ReturnType<typeof salvage>>;
    try {
      report = await salvage({ ...KIT_CONFIG, backend }, target);
    } catch (error) {
      // Both superblocks.
      if (!(error instanceof AegisError)) throw error;
      expect(error.message, hint).toMatch(/^nothing can be salvaged/);
      expect(target.list(), hint).toEqual([]);
      ++counts.refused;
      continue;
    }
    const { copied, lost } = await judge(story, report, target, hint, log);
    ++counts.rounds;
    counts.copied += copied;
    counts.lost += lost;
  }
  expect(counts.lost).toBeGreaterThan(ROUNDS);
  expect(counts.copied).toBeGreaterThan(ROUNDS * 20);
  figures('salvage of damaged stores', counts, 'npx vitest run test/maintenance/salvage-random');
});
