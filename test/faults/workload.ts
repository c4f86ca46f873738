/*
 * The stories that are told: the whole one, which has everything, and a quick one of a quarter of its calls. The pool is so
 * small that evictions write, values are so large that a commit needs several groups and the log several segments.
 */
import type { StorageConfig } from '../../src/config/config.ts';
import type { Kind, Sizes, Story } from './story.ts';

const SMALL: Partial<StorageConfig> = {
  pageSize: 4096,
  bufferPoolSize: '64KB',
  checkpointWalSize: '512KB',
  walEnabled: true,
};

/** Every way to commit. */
const EVERYTHING: readonly (readonly [Kind, Sizes])[] = [
  ['put', [100]],
  ['putSync', [50]],
  ['batch', [40, 3000, -1]],
  ['batchSync', [700, -1, 20]],
  ['snapshot', [30, 2500]],
  ['serializable', [900, 10]],
  ['commitSync', [60, 1200]],
  ['transaction', [80, -1]],
  ['put', [-1]],
  ['putSync', [-1]],
  ['relaxed', [90, 90]],
];

/** The quick story: two lives, each kind of call at least once. */
export async function tellQuick(story: Story): Promise<void> {
  await story.live(SMALL, 'die', async () => {
    for (const [kind, sizes] of EVERYTHING.slice(0, -2)) await story.commit(kind, sizes);
    await beside(story, [9000, 30]);
  });
  await story.live({ ...SMALL, syncOnCommit: false, walFlushInterval: 20 }, 'close', async () => {
    await story.commit('put', [30]);
    await story.rest();
    await story.commit('commitSync', [25, -1]);
  });
}

/** The whole story. */
export async function tellWhole(story: Story): Promise<void> {
  await story.live(SMALL, 'close', async () => {
    for (const [kind, sizes] of EVERYTHING) await story.commit(kind, sizes);
    await beside(story, [60_000, 30]);
    await story.commit('commitSync', [70_000, 30]);
    await story.step('verify', () => story.engine.verify());
    await story.step('stats', () => story.engine.stats());
  });
  await story.live({ ...SMALL, compression: 'lz4' }, 'die', () => longLog(story));
  await story.live(SMALL, 'die', () => afterRecovery(story));
  await story.live({ ...SMALL, readOnly: true }, 'close', () => readingOnly(story));
  await story.live({ ...SMALL, syncOnCommit: false, walFlushInterval: 20 }, 'die', () => relaxed(story));
  await story.live({ ...SMALL, walEnabled: false }, 'close', () => withoutLog(story));
  await story.live(SMALL, 'close', () => afterRecovery(story));
}

/** Commits that share a group, beside readers and a checkpoint. */
async function beside(story: Story, sizes: Sizes): Promise<void> {
  const before = story.history.visible();
  const snapshot = await story.step('snapshot', () => story.engine.snapshot());
  const scan = await story.step('scan', () => story.engine.scan({ reverse: true }));
  await story.together([
    ['put', [45]],
    ['batch', sizes],
    ['snapshot', [2000]],
    ['relaxed', [35, -1]],
    ['durable', [25]],
  ]);
  await story.step('scan', () => scan?.nextMany(2));
  await story.checkpoint();
  if (snapshot) {
    await story.observeAs(snapshot, before);
    await story.step('count', () => snapshot.count({ prefix: 'k1' }));
    snapshot.close();
  }
  scan?.close();
  await story.observe();
}

/** Segments roll, and checkpoints start by themselves. */
async function longLog(story: Story): Promise<void> {
  for (let i = 0; i < 7; i++) {
    await story.commit(i % 3 === 0 ? 'batchSync' : 'batch', [100_000 - i * 1000, 500]);
  }
  await story.together([
    ['put', [40_000]],
    ['put', [60_000]],
    ['transaction', [9000, 35]],
  ]);
  await story.observe();
  const checkpoint = story.step('checkpoint', () => story.engine.checkpoint());
  await story.commit('put', [15]);
  await checkpoint;
  await story.commit('snapshot', [15, 5000]);
}

async function afterRecovery(story: Story): Promise<void> {
  await story.commit('put', [-1]);
  await story.commit('serializable', [33, 5000, -1]);
  await story.step('keys', () => [...story.engine.scan({ gt: 'k1' }).keys()]);
  await story.step('getMany', () => story.engine.getMany(['k1', 'k2', 'k3']));
  await story.checkpoint();
  await story.commit('putSync', [7000]);
}

async function readingOnly(story: Story): Promise<void> {
  await story.step('count', () => story.engine.count());
  await story.step('verify', () => story.engine.verify());
  const snapshot = await story.step('snapshot', () => story.engine.snapshot());
  await story.step('values', () => [...(snapshot?.scan({ limit: 4 }).values() ?? [])]);
}

async function relaxed(story: Story): Promise<void> {
  await story.commit('put', [200]);
  await story.commit('batchSync', [2000, -1]);
  await story.rest();
  await story.together([
    ['put', [65]],
    ['durable', [21, 4000]],
    ['put', [35]],
  ]);
  await story.commit('snapshot', [75]);
  await story.rest();
  await story.commit('put', [300]);
  await story.observe();
}

async function withoutLog(story: Story): Promise<void> {
  await story.commit('batch', [55, 50_000]);
  await story.commit('putSync', [30]);
  await story.checkpoint();
  await story.commit('snapshot', [30_000, 44, -1]);
  await story.observe();
}
