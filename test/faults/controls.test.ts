/*
 * Controls: the judges of these tests see what is wrong when it is. A disk whose syncs do nothing loses what was
 * acknowledged, a history that says something else is not believed, a promise nobody settles is a hang.
 */
import { expect, test } from 'vitest';
import { AegisError } from '../../src/base/errors.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { judgeAll } from './judge.ts';
import { Place, settleOn } from './place.ts';
import { Story } from './story.ts';
import { tellQuick } from './workload.ts';

const CONFIG: Partial<StorageConfig> = { pageSize: 4096, bufferPoolSize: '64KB', walEnabled: true };

/** A story that has ended well. */
async function told(): Promise<Story> {
  const story = new Story(new Place(1));
  await tellQuick(story);
  return story;
}

test.each(['log-', 'data'])('controls: a disk on which syncs of %s do nothing is found out', async (file) => {
  const story = new Story(new Place(1));
  story.place.backend.plan = (call) =>
    /sync/i.test(call.operation) && call.file.startsWith(file) ? { lost: true } : undefined;
  // Closing would write a checkpoint, which needs no log.
  await story.live(CONFIG, 'die', async () => {
    for (let i = 0; i < 5; i++) await story.commit('put', [500]);
    await story.checkpoint();
    await story.commit('batch', [500, 3000]);
  });
  await expect(judgeAll(story.place.backend, story.history)).rejects.toThrow('after a power cut');
});

test('controls: a refused commit that is there, and an acknowledged one that is not, are found out', async () => {
  const refused = await told();
  refused.history.commits.at(-1)!.outcome = 'refused';
  await expect(judgeAll(refused.place.backend, refused.history)).rejects.toThrow('after the death');
  const lost = await told();
  lost.history.begin(new Map([['k1', 10]])).outcome = 'kept';
  lost.history.survives(lost.history.commits.length, true);
  await expect(judgeAll(lost.place.backend, lost.history)).rejects.toThrow('after the death');
});

test('controls: a promise that nothing settles is a hang', async () => {
  const { backend } = new Place(1);
  await expect(settleOn(backend, new Promise(() => undefined))).rejects.toThrow('hangs');
});

test('controls: a store that goes on after a failed sync, or ends without one, is found out', async () => {
  const goesOn = new Story(new Place(1, { index: 1, errno: 'EIO', span: 'once', torn: false }));
  const life = goesOn.live(CONFIG, 'close', async () => {
    // As if the engine had been asked for a sync that failed, and had said nothing.
    goesOn.place.failed.push({ number: 1, operation: 'sync', file: 'log-1', position: 0, length: 0 });
  });
  await expect(life).rejects.toThrow('a put goes on');
  const ends = new Story(new Place(1));
  const strange = ends.live(CONFIG, 'close', async () => {
    await ends.step('put', () => Promise.reject(new AegisError('IO_ERROR', 'for no reason')));
  });
  await expect(strange).rejects.toThrow('fails though no call did');
});
