/* What one random history is like: drawn from its seed. */
import type { StorageConfig } from '../../src/config/config.ts';
import type { Random } from '../support/codec-data.ts';
import type { Level } from './history.ts';

export interface Settings {
  /** Transactions open at a time, at the most. */
  readonly slots: number;
  readonly levels: readonly Level[];
  /** Keys that hold lists, and keys that hold values of their own. */
  readonly listKeys: readonly string[];
  readonly registerKeys: readonly string[];
  /** Operations of a transaction, at the most. */
  readonly operations: number;
  readonly config: Partial<StorageConfig>;
  /** Out of 8: commits that block, commits that do not wait for a sync, single operations that block. */
  readonly blocking: number;
  readonly relaxed: number;
  /** Out of 1000 steps: how often the store is lost, or closed and opened again. */
  readonly crashes: number;
  readonly reopenings: number;
  readonly power: boolean;
  /** Milliseconds that a sync takes, at the most. */
  readonly syncDelay: number;
  /** Out of 8: how often a step is followed by a turn of the event loop. */
  readonly turns: number;
}

function keys(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(3, '0')}`);
}

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[random(choices.length)] as T;
}

export function settingsFrom(random: Random): Settings {
  const slots = pick(random, [2, 3, 4, 6, 8, 12, 16, 24, 32]);
  const logged = random(4) > 0;
  const wide = random(8) === 0;
  const lossy = logged && random(2) === 0;
  return {
    slots,
    levels: pick<readonly Level[]>(random, [
      ['snapshot'],
      ['serializable'],
      ['snapshot', 'serializable'],
      ['snapshot', 'serializable'],
    ]),
    listKeys: keys('l/', 2 + random(4 + 2 * slots)),
    registerKeys: keys('r/', wide ? 150 + random(150) : 2 + random(4 + 2 * slots)),
    operations: pick(random, [2, 3, 5, 8]),
    config: {
      walEnabled: logged,
      syncOnCommit: random(4) > 0,
      pageSize: 4096,
      bufferPoolSize: random(3) === 0 ? 16 * 4096 : '1MB',
      checkpointWalSize: pick(random, ['512KB', '512KB', '16MB']),
      compression: 'none',
    },
    blocking: pick(random, [0, 1, 2, 4]),
    relaxed: pick(random, [0, 0, 1, 4]),
    crashes: lossy ? 3 + random(6) : 0,
    reopenings: random(2),
    power: lossy && random(3) > 0,
    syncDelay: pick(random, [2, 5, 20]),
    turns: 1 + random(7),
  };
}
