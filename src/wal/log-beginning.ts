/**
 * Where a log goes on: behind what a scan has accepted, or in a store that has no log yet.
 */
import type { LogPosition } from './log.ts';
import type { Segment } from './segment.ts';

/** Where a log goes on; a `LogScan` says it of one that is there. */
export interface LogBeginning {
  readonly end: LogPosition;
  readonly settled: boolean;
  readonly highestFence: number;
  readonly segments: readonly Segment[];
  readonly runs: readonly { readonly segment: Segment }[];
  readonly current: Segment | undefined;
}

/** A log without files. */
export const NO_LOG_YET: LogBeginning = {
  end: { lsn: 0, link: [0, 0] },
  settled: true,
  highestFence: 0,
  segments: [],
  runs: [],
  current: undefined,
};
