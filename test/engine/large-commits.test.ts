/*
 * Commits larger than the log buffer, which are written in several groups: between the groups nothing else may begin
 * that takes them for whole, and those who wait behind them must get their turn.
 */
import { expect, onTestFinished, test } from 'vitest';
import { MemoryBackend } from '../../src/backend/memory.ts';
import { SimulatedBackend } from '../../src/backend/simulated.ts';
import { type StorageConfig, StorageEngine, type Transaction } from '../../src/index.ts';

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

/** A store whose pool is smaller than a transaction of `fill`: its pages are read back while it is packed. */
async function openSmall(disk: SimulatedBackend): Promise<StorageEngine> {
  return open({ backend: disk, pageSize: 4096, bufferPoolSize: '64KB', compression: 'none' });
}

const KEYS = 1500;

function fill(tx: Transaction): void {
  for (let key = 0; key < KEYS; ++key) tx.put(`large ${String(key).padStart(4, '0')}`, 'v'.repeat(900));
}

test('commit: a large one whose pages cannot be read between two groups is taken back, and can be tried again', async () => {
  for (const again of [false, true]) {
    const disk = new SimulatedBackend({ seed: 5 });
    const engine = await openSmall(disk);
    await engine.put('first', '1');
    const tx = engine.beginTransaction();
    fill(tx);
    let groups = 0;
    let struck = 0;
    disk.plan = ({ operation, file, length }) => {
      if (operation === 'write' && file.startsWith('log-') && length > 300_000) ++groups;
      if (operation !== 'read' || file !== 'data' || groups !== 1 || struck > 0) return undefined;
      ++struck;
      return { errno: 'EIO' };
    };
    await expect(tx.commit()).rejects.toMatchObject({ code: 'IO_ERROR' });
    expect([groups, struck]).toEqual([1, 1]);
    disk.plan = () => undefined;
    if (again) await engine.transaction(fill);
    await engine.put('second', '2');
    const left = await openSmall(disk.crash(() => true));
    expect([left.getString('first'), left.getString('second')]).toEqual(['1', '2']);
    expect(left.count({ prefix: 'large' })).toBe(again ? KEYS : 0);
    expect((await left.verify()).ok).toBe(true);
  }
});

test('commit: a large one that cannot be taken back either is told so, and ends the store', async () => {
  const disk = new SimulatedBackend({ seed: 5 });
  const engine = await openSmall(disk);
  await engine.put('first', '1');
  const tx = engine.beginTransaction();
  fill(tx);
  let groups = 0;
  disk.plan = ({ operation, file, length }) => {
    if (operation === 'write' && file.startsWith('log-') && length > 300_000) ++groups;
    const struck = operation === 'read' ? file === 'data' : file.startsWith('log-') && length === 512;
    return groups === 1 && struck ? { errno: 'EIO' } : undefined;
  };
  await expect(tx.commit()).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' });
  disk.plan = () => undefined;
  await expect(engine.put('second', '2')).rejects.toMatchObject({ code: 'STORE_FAILED' });
  const left = await openSmall(disk.crash(() => true));
  expect([left.getString('first'), left.count()]).toEqual(['1', 1]);
});
