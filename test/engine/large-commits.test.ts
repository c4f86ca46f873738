/*
 * Commits larger than the log buffer, which are written in several groups: between the groups nothing else may begin
 * that takes them for whole, and those who wait behind them must get their turn.
 */
import { expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { type StorageConfig, StorageEngine } from '../../src/index.ts';

const PARTS = 6;
const PART = 'x'.repeat(256 * 1024); // six of them outgrow the 1 MiB of a group

async function open(config: Partial<StorageConfig>): Promise<StorageEngine> {
  const engine = await StorageEngine.open({ walEnabled: true, ...config });
  onTestFinished(() => engine.close());
  return engine;
}

async function commit(engine: StorageEngine, name: string, value: string): Promise<void> {
  await engine.transaction((tx) => {
    for (let part = 0; part < PARTS; ++part) tx.put(`${name}/${part}`, value);
  });
}

test('commit: a checkpoint that comes due within a large one does not begin within it', async () => {
  const backend = new MemoryBackend();
  const engine = await open({ backend, checkpointWalSize: '512KB' });
  for (let round = 1; round <= 3; ++round) {
    const { checkpoints } = engine.stats();
    await commit(engine, `round ${round}`, PART);
    await expect.poll(() => engine.stats().checkpoints).toBeGreaterThan(checkpoints);
    const left = await open({ backend: backend.copy() });
    expect(left.count()).toBe(round * PARTS);
    expect(left.getString(`round ${round}/${PARTS - 1}`)).toBe(PART);
  }
});

test('commit: small ones behind a large one are answered, synced or not', async () => {
  for (const syncOnCommit of [true, false]) {
    const engine = await open({ syncOnCommit });
    const commits = Array.from({ length: 8 }, (_, n) =>
      commit(engine, `commit ${n}`, n % 4 === 0 ? PART : 'small'),
    );
    let answered = 0;
    for (const promise of commits) void promise.then(() => ++answered);
    await expect.poll(() => answered).toBe(commits.length);
    expect(engine.count()).toBe(8 * PARTS);
  }
});
