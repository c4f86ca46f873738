/*
 * Mutants that the concurrent explorer must find out by itself, knowing nothing of what was taken away: those of other
 * components once more, each with another killer.
 */
import { commitMutants } from './commit-mutants.ts';
import { logMutants } from './log-mutants.ts';
import type { Killer, Mutant } from './mutant.ts';
import { spaceMutants } from './space-mutants.ts';

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
  'M1 bytes are changed in place although a snapshot sees them',
  "M5 the extent of a page that changes is free at once, although the durable checkpoint's",
  'M22 a group that a blocking commit has applied is applied again when its sync ends',
  'M26 commits that are queued are not validated against',
  'M41 commits are answered before the log is synced',
  'M42 the first committer does not win',
  'commit: when the sync fails those that wait are told that all is well',
];

export const explorerMutants: readonly Mutant[] = NAMES.map((name) => {
  const mutant = [...spaceMutants, ...commitMutants, ...logMutants].find((one) => one.name === name);
  if (mutant === undefined) throw new Error(`there is no mutant "${name}"`);
  return { ...mutant, name: `explorer: ${name}`, killer: explorer };
});
