/*
 * Power cuts in the middle of a compaction: at every call that the compaction makes, what a cut may leave is opened
 * again, and once more after a cut in the middle of that recovery. What was acknowledged before is there, and no more
 * than what had been asked for; nothing of a record is lost to a move.
 */
import { afterAll, expect, test } from 'vitest';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { randomFrom } from '../support/codec-data.ts';
import { report } from '../support/report.ts';
import { long, seed } from '../support/seed.ts';
import {
  type Content,
  deleteAll,
  expectContent,
  openQuick,
  putAll,
  records,
  shuffled,
} from './compact-kit.ts';

/** The content after each commit, and how many of them are acknowledged. */
interface Story {
  readonly states: Content[];
  acknowledged: number;
}

const counts = { states: 0, 'inside a recovery': 0, compactions: 0 };

/** Opens what a cut left; answers which of the states it holds. */
async function stateOf(backend: SimulatedBackend, story: Story, least: number): Promise<number> {
  const engine = await openQuick(backend, { bufferPoolSize: '64KB' });
  const { sequence } = engine.stats();
  const at = story.states.findIndex((content) => content.size === engine.count());
  // Every commit changes the number of records.
  expect(at, `a state of ${engine.count()} records`).toBeGreaterThanOrEqual(least);
  await expectContent(engine, story.states[at]!);
  expect(sequence).toBeGreaterThan(0);
  await engine.close();
  return at;
}

/** Some calls of a recovery are the last ones. */
async function cutAgain(left: SimulatedBackend, story: Story, least: number, at: number): Promise<void> {
  let again: SimulatedBackend | undefined;
  const from = left.calls.length;
  left.onCall = (call) => {
    if (call.number === from + at) again = left.crash();
  };
  await stateOf(left, story, least);
  if (!again) return;
  counts['inside a recovery']++;
  await stateOf(again, story, least);
}

test.each([
  { what: 'a tree to repack', keep: (i: number) => i % 6 === 0, beside: false },
  { what: 'pages to move', keep: (i: number) => i > 1100, beside: false },
  { what: 'commits beside it', keep: (i: number) => i % 5 === 0 || i > 1100, beside: true },
])('compact: no power cut takes anything, with $what', async ({ keep, beside }) => {
  const random = randomFrom(seed);
  for (let round = 0; round < (long ? 25 : 1); round++) {
    const backend = new SimulatedBackend({ seed: seed + round, delay: 2 });
    const engine = await openQuick(backend, { bufferPoolSize: '64KB' });
    const content = records(1300, random);
    await putAll(engine, shuffled([...content], random));
    await engine.checkpoint();
    const gone = [...content.keys()].filter((_key, i) => !keep(i));
    await deleteAll(engine, gone);
    for (const key of gone) content.delete(key);
    const story: Story = { states: [new Map(content)], acknowledged: 0 };
    const cuts: { left: SimulatedBackend; least: number }[] = [];
    const often = 2;
    let calls = 0;
    backend.onCall = ({ operation }) => {
      if (operation === 'read' || random(often) > 0) return;
      calls++;
      cuts.push({ left: backend.crash(), least: story.acknowledged });
    };
    let done: unknown;
    const compaction = engine.compact().then((report) => {
      done = report;
    });
    for (let i = 0; beside && done === undefined && i < 60; i++) {
      const next = new Map(story.states.at(-1));
      const key = `beside ${i}`;
      next.set(key, `${i} `.repeat(1 + random(900)));
      story.states.push(next);
      await engine.put(key, next.get(key)!);
      story.acknowledged = story.states.length - 1;
    }
    await compaction;
    backend.onCall = undefined;
    expect(done).toMatchObject({ pagesDamaged: 0, bytesHeld: 0 });
    expect((done as { bytesAfter: number; bytesBefore: number }).bytesAfter).toBeLessThan(
      (done as { bytesBefore: number }).bytesBefore * 0.7,
    );
    counts.compactions++;
    cuts.push({ left: backend.crash(), least: story.acknowledged });
    for (const [i, { left, least }] of cuts.entries()) {
      counts.states++;
      if (i % 3 === 0) await cutAgain(left, story, least, 1 + random(40));
      else await stateOf(left, story, least);
    }
    expect(calls).toBeGreaterThan(3);
    await engine.close();
  }
});

afterAll(() => {
  report(
    'compaction, cut off',
    { ...counts, lost: 0 },
    'npx vitest run test/maintenance/compact-crash.test.ts',
  );
});
