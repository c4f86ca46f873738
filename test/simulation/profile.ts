/* What a simulated program does, and how often. */

import type { SimulatedRandom } from '../../src/backend/simulated-clock.ts';
import type { StorageConfig } from '../../src/config/config.ts';

export type ProfileName = 'mixed' | 'blocking' | 'large' | 'failed-sync' | 'modes' | 'zstd' | 'compaction';

/** How often something is done, as one in so many moves; 0: never. */
export interface Profile {
  /** Moves in one life of the store. */
  readonly moves: number;
  /** Lives of one store. */
  readonly lives: number;
  /** Only blocking calls, and nothing else runs between them. */
  readonly blocking: boolean;
  /** One in so many commits is larger than a group of the log. */
  readonly large: number;
  /** One in so many lives meets a sync that fails. */
  readonly failedSync: number;
  /** One in so many lives runs without the log, and with other commits that are not synced at once. */
  readonly withoutLog: number;
  readonly relaxed: number;
  /** One in so many lives writes its pages with zstd. */
  readonly zstd: number;
  /** One in so many moves compacts the store, often after deletes of most of it. */
  readonly compaction: number;
  /** One in so many moves drops a tree. */
  readonly drops: number;
  /** One in so many moves writes or deletes a block. */
  readonly blocks: number;
  /** Crash states drawn after each call of the backend. */
  readonly draws: number;
}

const MIXED: Profile = {
  moves: 60,
  lives: 6,
  blocking: false,
  large: 0,
  failedSync: 0,
  withoutLog: 0,
  relaxed: 4,
  zstd: 0,
  compaction: 0,
  drops: 20,
  blocks: 10,
  draws: 2,
};

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  mixed: MIXED,
  // Trees are dropped, and blocks written, by promise only.
  blocking: { ...MIXED, blocking: true, drops: 0, blocks: 0 },
  large: { ...MIXED, moves: 25, lives: 3, large: 6, draws: 1 },
  'failed-sync': { ...MIXED, moves: 40, failedSync: 1 },
  modes: { ...MIXED, moves: 40, withoutLog: 2, relaxed: 2, zstd: 3 },
  zstd: { ...MIXED, moves: 40, zstd: 2 },
  compaction: { ...MIXED, moves: 25, lives: 3, withoutLog: 4, compaction: 9, draws: 1 },
};

export function isProfile(name: string): name is ProfileName {
  return Object.hasOwn(PROFILES, name);
}

/** Settings of one life: the smallest pool and log there are, so that everything happens often. */
export function configFor(profile: Profile, random: SimulatedRandom): Partial<StorageConfig> {
  return {
    pageSize: 4096,
    bufferPoolSize: 16 * 4096,
    checkpointWalSize: 512 * 1024,
    walFlushInterval: FLUSH_INTERVAL,
    compression: profile.zstd > 0 && random.oneIn(profile.zstd) ? 'zstd' : random.oneIn(2) ? 'lz4' : 'none',
    walEnabled: !(profile.withoutLog > 0 && random.oneIn(profile.withoutLog)),
    syncOnCommit: !(profile.relaxed > 0 && random.oneIn(profile.relaxed)),
  };
}

/** Milliseconds; a commit that was not synced at once is durable this long and `SLACK` after it was answered. */
export const FLUSH_INTERVAL = 20;

/** The timer's sync may wait for another one, and each for two segments. */
export const SLACK = 40;
