import { defineConfig } from 'vitest/config';

// One seed for a whole run, printed by the global setup and handed to every worker: SEED=… repeats a run.
const seed = Number(process.env['SEED'] ?? 1);

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/runtimes/**', '**/node_modules/**'],
    globalSetup: ['test/support/global-setup.ts'],
    env: { SEED: String(seed) },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    reporters: ['default', './test/support/skip-reporter.ts'],
  },
});
