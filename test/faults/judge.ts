/*
 * The judge: opens what a story left, after the death of the process or a power cut, on a disk that fails no more, and
 * finds all that was acknowledged, nothing that was refused, and a sound store that works.
 */
import type { SimulatedBackend } from '../../src/backend/simulated.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { difference, type History } from './history.ts';
import { settleOn } from './place.ts';

/** Opens a disk and checks it against a history; at least so many commits must be there. */
async function judge(disk: SimulatedBackend, history: History, least: number): Promise<void> {
  const settle = <T>(promise: Promise<T>): Promise<T> => settleOn(disk, promise);
  const engine = await settle(
    StorageEngine.open({
      backend: disk,
      walEnabled: true,
      pageSize: 4096,
      bufferPoolSize: '128KB',
      checkpointWalSize: '512KB',
    }),
  );
  const state = history.stateOf(engine);
  if (history.find(state, least) === undefined) {
    throw new Error(`lost or half there: ${difference(state, history.visible())}`);
  }
  const report = await settle(engine.verify());
  if (!report.ok) throw new Error(`verify finds ${report.problems.map(({ message }) => message).join('; ')}`);
  await settle(engine.put('works', 'again'));
  await settle(engine.close());
}

/**
 * Checks what the ends leave that a disk can come to at this moment; answers how many were tried. `some`: the two that
 * differ most.
 */
export async function judgeAll(backend: SimulatedBackend, history: History, some = false): Promise<number> {
  const all = [
    { how: 'the death of the process', disk: backend.kill(), least: history.floor },
    { how: 'a power cut', disk: backend.crash(), least: history.cutFloor },
    {
      how: 'a power cut that leaves what is durable',
      disk: backend.crash(() => false),
      least: history.cutFloor,
    },
    { how: 'a lost cache', disk: backend.kill({ dropCache: true }), least: history.cutFloor },
  ];
  const ends = some ? all.slice(0, 2) : all;
  for (const { how, disk, least } of ends) {
    try {
      await judge(disk, history, least);
    } catch (cause) {
      throw new Error(`after ${how}`, { cause });
    }
  }
  return ends.length;
}
