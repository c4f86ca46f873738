/*
 * Mutants that the concurrent explorer must find out by itself, knowing nothing of what was taken away: those of other
 * components once more, each with another killer.
 */
import { commitMutants } from './commit-mutants.ts';
import { logMutants } from './log-mutants.ts';
import type { Killer, Mutant } from './mutant.ts';
import { spaceMutants } from './space-mutants.ts';
import { storeMutants } from './store-mutants.ts';
import { treeMutants } from './tree-mutants.ts';

/** So many programs find each of them, with the first seed. */
const explorer: Killer = {
  file: 'simulation/explorer.test.ts',
  test: /break no promise/,
  env: { EXPLORE_PROGRAMS: '400' },
};

const NAMES = [
  'reservations: a blocking request that is refused leaves unwritten what it let in before it',
  'free space: paths are counted for each operation, however few pages there are',
  'free space: a file counts as ready before it is filled',
  'reservations: one that is refused wakes nobody',
  'reservations: an admission that frees space lets others past it',
  'M1 bytes are changed in place although a snapshot sees them',
  "M5 the extent of a page that changes is free at once, although the durable checkpoint's",
  'M7 the superblock is written before the data is synced',
  'M8 a version dies with the newest snapshot that sees it',
  'M12 a frame counts as clean before its block is written',
  'M16 the log is replayed from its end, not from the first commit that was not applied',
  'M17 the directory of a checkpoint is made of live entries',
  'M22 a group that a blocking commit has applied is applied again when its sync ends',
  'M26 commits that are queued are not validated against',
  'M41 commits are answered before the log is synced',
  'M42 the first committer does not win',
  'checkpoint: a failed sync of it is no failure of the store',
  'checkpoint: it does not learn of places that old versions get meanwhile',
  'commit: the sequences of a group that could not be written are not given back',
  'commit: when the sync fails those that wait are told that all is well',
  'trees: a drop is let in behind commits on their way',
  'trees: a dropped one is not found again when the store is opened',
  'trees: commits are let in behind a drop that is on its way',
  'trees: ids that the log names are given out again',
  'trees: the last page of a dropped one is kept',
];

const ALL = [...spaceMutants, ...commitMutants, ...logMutants, ...storeMutants, ...treeMutants];

export const explorerMutants: readonly Mutant[] = NAMES.map((name) => {
  const mutant = ALL.find((one) => one.name === name);
  if (mutant === undefined) throw new Error(`there is no mutant "${name}"`);
  return { ...mutant, name: `explorer: ${name}`, killer: explorer };
});
