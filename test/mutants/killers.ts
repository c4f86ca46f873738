/* The tests that find mutants out, in the sizes that take a second or a few. */
import type { Killer } from './mutant.ts';

/** The log alone, through power cuts, lies and full disks. */
export function logCrashes(rounds: number): Killer {
  return { file: 'wal/crash.test.ts', test: /./, env: { ROUNDS: String(rounds) } };
}

/** The seed that finds a mutant soonest, where the first one takes long. */
function beginningWith(seed: number | undefined): { SEED?: string } {
  return seed === undefined ? {} : { SEED: String(seed) };
}

/** The whole engine beside a model, in one of its settings. */
export function model(setting: string, rounds = 1): Killer {
  return { file: 'model/engine.test.ts', test: /./, env: { MODEL: `^${setting}$`, ROUNDS: String(rounds) } };
}

export function scan(test: RegExp): Killer {
  return { file: 'wal/scan.test.ts', test };
}

export function scanStale(test: RegExp): Killer {
  return { file: 'wal/scan-stale.test.ts', test };
}

export function scanTail(test: RegExp): Killer {
  return { file: 'wal/scan-tail.test.ts', test };
}

export function segments(test: RegExp): Killer {
  return { file: 'wal/segments.test.ts', test };
}

export function segmentsFailure(test: RegExp): Killer {
  return { file: 'wal/segments-failure.test.ts', test };
}

export function segmentsSpace(test: RegExp): Killer {
  return { file: 'wal/segments-space.test.ts', test };
}

export function givingBack(test: RegExp): Killer {
  return { file: 'wal/giving-back.test.ts', test };
}

export function wrongAnswers(test: RegExp): Killer {
  return { file: 'wal/wrong-answers.test.ts', test };
}

/** Whole stores that give their log files back. */
export function logFiles(test: RegExp): Killer {
  return { file: 'engine/log-files.test.ts', test };
}

export function logFilesCrash(test: RegExp): Killer {
  return { file: 'engine/log-files-crash.test.ts', test };
}

export function largeCommits(test: RegExp): Killer {
  return { file: 'engine/large-commits.test.ts', test };
}

export function groupCommit(test: RegExp): Killer {
  return { file: 'model/group-commit.test.ts', test };
}

export function faults(test: RegExp): Killer {
  return { file: 'engine/faults.test.ts', test };
}

export function applying(test: RegExp): Killer {
  return { file: 'damage/applying.test.ts', test };
}

export function directedDamage(test: RegExp): Killer {
  return { file: 'engine/damage-directed.test.ts', test };
}

export function planted(test: RegExp): Killer {
  return { file: 'maintenance/verify-damage.test.ts', test };
}

export function block(test: RegExp): Killer {
  return { file: 'core/block.test.ts', test };
}

export function payload(test: RegExp): Killer {
  return { file: 'core/payload.test.ts', test };
}

/** A store through many lives on a disk that lies, in one of its ways of life. */
export function lives(way: RegExp, rounds = 3, seed?: number): Killer {
  return { file: 'engine/lives.test.ts', test: way, env: { ROUNDS: String(rounds), ...beginningWith(seed) } };
}

export function conflicts(test: RegExp): Killer {
  return { file: 'txn/conflicts.test.ts', test };
}

export function checkpoint(test: RegExp): Killer {
  return { file: 'maintenance/checkpoint.test.ts', test };
}

export function hollowSpace(test: RegExp): Killer {
  return { file: 'engine/hollow-space.test.ts', test };
}

export function savepoints(test: RegExp): Killer {
  return { file: 'txn/savepoints.test.ts', test };
}

export function savepointsCommit(test: RegExp): Killer {
  return { file: 'txn/savepoints-commit.test.ts', test };
}

export function ranges(test: RegExp): Killer {
  return { file: 'txn/ranges.test.ts', test };
}

export function hosted(test: RegExp): Killer {
  return { file: 'core/hosted.test.ts', test };
}

export function storeCodecs(test: RegExp): Killer {
  return { file: 'codec/stores.test.ts', test };
}

/** Steps of repacking trees, beside a model. */
export function repacking(test: RegExp): Killer {
  return { file: 'core/repack.test.ts', test };
}

export function compaction(test: RegExp): Killer {
  return { file: 'maintenance/compact.test.ts', test };
}

export function compactionObstacles(test: RegExp): Killer {
  return { file: 'maintenance/compact-obstacles.test.ts', test };
}

/** Compaction while others read, write, and take the space it gives back. */
export function compactionBeside(test: RegExp): Killer {
  return { file: 'maintenance/compact-beside.test.ts', test };
}

/** Compaction that the power cuts off. */
export function compactionCut(test: RegExp): Killer {
  return { file: 'maintenance/compact-crash.test.ts', test };
}

export function userBlock(test: RegExp): Killer {
  return { file: 'codec/block.test.ts', test };
}

export function storedBlocks(test: RegExp): Killer {
  return { file: 'codec/stored-blocks.test.ts', test };
}

/** What salvage copies and what it lists, case by case. */
export function salvaging(test: RegExp): Killer {
  return { file: 'maintenance/salvage-directed.test.ts', test };
}

/** What becomes of the target, and of a damaged log. */
export function salvagingTarget(test: RegExp): Killer {
  return { file: 'maintenance/salvage-target.test.ts', test };
}

/** Scans that meet what they cannot read, and finalizers after a trap. */
export function scanErrors(test: RegExp): Killer {
  return { file: 'txn/scan-errors.test.ts', test };
}
