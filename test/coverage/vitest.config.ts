/*
 * Runs tests on the instrumented core (instrument.ts): `npx vitest run --config test/coverage/vitest.config.ts`. Both
 * builds of the core are exchanged for it, whoever imports them; tests named after the release build are left out,
 * since their twins say "debug".
 */
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { folder, root } from './blocks.ts';

export default defineConfig({
  root,
  plugins: [
    {
      name: 'counted-core',
      enforce: 'pre',
      resolveId: (name: string) =>
        /build\/wasm\/(release|debug)\.js$/.test(name) ? join(folder, 'counted.js') : undefined,
    },
  ],
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/coverage/**', 'test/runtimes/**', '**/node_modules/**'],
    globalSetup: ['test/coverage/build-counted.ts'],
    setupFiles: ['test/coverage/count.ts'],
    env: { SEED: process.env['SEED'] ?? '1' },
    testNamePattern: /^(?!'?release)/,
    testTimeout: 600_000,
    hookTimeout: 600_000,
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['dot'],
  },
});
