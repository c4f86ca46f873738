/*
 * Runs tests of the core on its instrumented build and says how much of it ran; the blocks that did not are listed in
 * build/counted/missed.txt. No more may be missed than today: whoever adds a block adds a test that runs it.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { report } from '../support/report.ts';
import { long } from '../support/seed.ts';
import { type Block, folder, readBlocks, readRan, root } from './blocks.ts';

/** What runs in the quick form; the long one adds the slower tests. */
const quick = [
  ...[
    'block',
    'hosted',
    'operations',
    'frames',
    'payload',
    'lz4',
    'range',
    'tree',
    'versions',
    'audit',
    'repack',
  ].map((one) => `core/${one}`),
  ...[
    'codec/block',
    'wal/record',
    'wal/scan',
    'model/group-commit',
    'maintenance/recovery',
    'maintenance/verify-damage',
    'maintenance/page-report',
    'maintenance/compact.test',
    'maintenance/compact-obstacles',
    'txn/ranges',
    'trees/drop',
    'engine/commit-paths',
    'txn/conflicts',
    'damage/applying',
  ],
];
const full = [...quick, 'core', 'maintenance/verify'];

/** One seed always: what a random test reaches depends on it. */
const SEED_MEASURED = '1';

/** Functions and blocks that the quick form may leave out. */
const FUNCTIONS_MISSED = 0;
const BLOCKS_MISSED = 14;

const command = 'npx vitest run test/coverage';

function runTests(): string {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const files = (long ? full : quick).map((name) => `test/${name}`);
  const { AEGIS_LONG: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [vitest, 'run', '--config', 'test/coverage/vitest.config.ts', ...files],
    { cwd: root, encoding: 'utf8', env: { ...env, SEED: SEED_MEASURED, AEGIS_FULL: '1' } },
  );
  return status === 0 ? '' : stdout + stderr;
}

function shown({ file, line, kind, function: name, text }: Block): string {
  return `${file}:${line} ${kind} [${name}] ${text}`;
}

test('assembly: no more functions and blocks are never run than today', { timeout: 3_600_000 }, () => {
  expect(runTests()).toBe('');
  const blocks = readBlocks();
  const ran = readRan();
  const isFunction = ({ kind }: Block): boolean => kind === 'function';
  const missed = blocks.filter((_, index) => !ran.has(index));
  const missedFunctions = missed.filter(isFunction);
  const functions = blocks.filter(isFunction).length;
  report(
    'block coverage (WebAssembly)',
    {
      functions: `${functions - missedFunctions.length} of ${functions}`,
      blocks: `${blocks.length - missed.length} of ${blocks.length}`,
    },
    command,
  );
  writeFileSync(join(folder, 'missed.txt'), missed.map((block) => `${shown(block)}\n`).join(''));
  expect(missedFunctions.length, missedFunctions.map(shown).join('\n')).toBeLessThanOrEqual(FUNCTIONS_MISSED);
  expect(missed.length, missed.map(shown).join('\n')).toBeLessThanOrEqual(BLOCKS_MISSED);
});
