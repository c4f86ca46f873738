import { defineConfig } from 'vitest/config';

// One seed for a whole run, printed by the global setup and handed to every worker: SEED=… repeats a run.
const seed = Number(process.env['SEED'] ?? 1);

/** What stands between a commit and its loss: commit, recovery, log, block store and lock. Every branch is run. */
const covered = [
  'src/txn/{commit,admission,queue,reservations,asynchronous-commits,free-space,writer}.ts',
  'src/maintenance/{creation,open-store,opened-store,recovery,find-store,directory-load,checkpoint,chunks,overlay}.ts',
  'src/wal/*.ts',
  'src/store/{blocks,extents,superblock,directory,overflow-pages}.ts',
  'src/backend/{lock,lock-holder,lock-socket,lock-ways}.ts',
];

/** What changes its process for good, or measures it, has a process of its own. */
const alone = [
  'test/hostile/**/*.test.ts',
  'test/backend/l*.test.ts',
  'test/cli/screen.test.ts',
  'test/engine/{leaks,places}.test.ts',
];
/** The longest, with a command of their own. */
const mutants = ['test/{mutants,coverage}/**/*.test.ts'];
const elsewhere = ['test/{runtimes,consumers}/**', 'test/types/versions/**', '**/node_modules/**'];

export default defineConfig({
  test: {
    // The others share what they import: it is loaded once, and stays compiled.
    projects: [
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: [...elsewhere, ...alone, ...mutants],
          isolate: false,
        },
      },
      { extends: true, test: { name: 'alone', include: alone } },
      { extends: true, test: { name: 'mutants', include: mutants } },
    ],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/bytes-equal.ts'],
    env: { SEED: String(seed) },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: '100%',
    reporters: ['default', './test/support/skip-reporter.ts', './test/coverage/branch-reporter.ts'],
    // Measured by `AEGIS_COVERAGE=1 npm test`, as .ci/run calls it: single test files have nothing to say about the whole.
    coverage: {
      enabled: process.env['AEGIS_COVERAGE'] !== undefined,
      provider: 'istanbul',
      include: covered,
      reportsDirectory: 'build/coverage',
      reporter: [['text', { skipFull: true }]],
      thresholds: { branches: 100, perFile: true },
    },
  },
});
