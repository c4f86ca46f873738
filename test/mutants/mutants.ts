/* All mutants. */

import { backupMutants } from './backup-mutants.ts';
import { cliMutants } from './cli-mutants.ts';
import { codecMutants } from './codec-mutants.ts';
import { commitMutants } from './commit-mutants.ts';
import { compactMutants } from './compact-mutants.ts';
import { damageMutants } from './damage-mutants.ts';
import { doorMutants } from './door-mutants.ts';
import { explorerMutants } from './explorer-mutants.ts';
import { logFileMutants } from './log-file-mutants.ts';
import { logMutants } from './log-mutants.ts';
import type { Mutant } from './mutant.ts';
import { runtimeMutants } from './runtime-mutants.ts';
import { salvageMutants } from './salvage-mutants.ts';
import { savepointMutants } from './savepoint-mutants.ts';
import { spaceMutants } from './space-mutants.ts';
import { storeMutants } from './store-mutants.ts';
import { treeMutants } from './tree-mutants.ts';

export const mutants: readonly Mutant[] = [
  ...storeMutants,
  ...treeMutants,
  ...spaceMutants,
  ...logMutants,
  ...logFileMutants,
  ...commitMutants,
  ...doorMutants,
  ...damageMutants,
  ...backupMutants,
  ...salvageMutants,
  ...savepointMutants,
  ...codecMutants,
  ...compactMutants,
  ...runtimeMutants,
  ...cliMutants,
  ...explorerMutants,
];
