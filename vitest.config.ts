import { defineConfig } from 'vitest/config';

// One seed for a whole run, printed by the global setup and handed to every worker: SEED=… repeats a run.
const seed = Number(process.env['SEED'] ?? 1);

/** What stands between a commit and its loss: commit, recovery, log, block store and lock. Every branch is run. */
const covered = [
  'src/txn/{commit,admission,queue,reservations,asynchronous-commits,free-space,writer}.ts',
  'src/maintenance/{creation,recovery,find-store,directory-load,checkpoint,chunks,overlay}.ts',
  'src/wal/*.ts',
  'src/store/{blocks,extents,superblock,directory,overflow-pages}.ts',
  'src/backend/{lock,lock-holder,lock-socket,lock-ways}.ts',
];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/runtimes/**', '**/node_modules/**'],
    globalSetup: ['test/support/global-setup.ts'],
    setupFiles: ['test/support/bytes-equal.ts'],
    env: { SEED: String(seed) },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: '100%',
    reporters: ['default', './test/support/skip-reporter.ts', './test/coverage/branch-reporter.ts'],
    // Measured by `npm test` alone (--coverage): a run of single test files has nothing to say about the whole.
    coverage: {
      provider: 'istanbul',
      include: covered,
      reportsDirectory: 'build/coverage',
      reporter: [['text', { skipFull: true }]],
      thresholds: { branches: 100, perFile: true },
    },
  },
});
