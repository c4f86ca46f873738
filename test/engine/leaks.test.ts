/*
 * Leaks: engines opened and closed, openings that fail, and scans, snapshots and transactions that nobody closes, over
 * and over in a process of its own with an exposed collector. Descriptors stay as many as they were, memory flat.
 *
 * Memory is measured as the median of windows after the collector ran; the first half of them warms up. The control
 * keeps what it should let go, and the same measure must see it.
 */
import { spawn } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../support/place.ts';
import { bundleProgram } from '../support/programs.ts';
import { report } from '../support/report.ts';
import { long, seed, sized } from '../support/seed.ts';
import type { Sample } from './leaker.ts';

const CYCLES = Number(process.env['CYCLES'] ?? sized(240, 960, 100_000));
const CONTROL_CYCLES = sized(96, 320, 320);
/** Samples of a run. */
const SAMPLES = 16;
/**
 * Most KiB that the medians of the last two quarters differ by: the quick size is too short for a slope, so what it
 * asks is only that nothing large is kept.
 */
const GROWTH_MAX = long ? 1024 : 8192;
/** Snapshots of one cycle: the collector may still find the last one's on the stack. */
const LEFT_MAX = 3;
const TIMEOUT = long ? 7_200_000 : 300_000;

async function run(cycles: number, keep: boolean): Promise<Sample[]> {
  const folder = temporaryFolder();
  const program = await bundleProgram('test/engine/leaker.ts', folder);
  const args = ['--expose-gc', program, folder, String(cycles), String(SAMPLES), String(seed), String(keep)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  let errors = '';
  child.stdout.on('data', (text) => {
    output += String(text);
  });
  child.stderr.on('data', (text) => {
    errors += String(text);
  });
  const status = await new Promise((resolve) => child.once('close', resolve));
  expect([status, errors], `SEED=${seed}`).toEqual([0, '']);
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Sample);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

/** KiB that a measure grew by between the third and the last quarter. */
function growth(samples: readonly Sample[], of: (sample: Sample) => number): number {
  const quarter = samples.length >> 2;
  const values = samples.map(of);
  return Math.round((median(values.slice(-quarter)) - median(values.slice(-2 * quarter, -quarter))) / 1024);
}

test(
  'leaks: descriptors and memory stay as they are, however often something is left open',
  async () => {
    const samples = await run(CYCLES, false);
    const shown = `SEED=${seed}: ${JSON.stringify(samples)}`;
    expect(samples.length).toBe(SAMPLES);
    const descriptors = samples.map((sample) => sample.descriptors);
    expect(new Set(descriptors.slice(1)).size, shown).toBe(1);
    expect(
      growth(samples, ({ rss }) => rss),
      shown,
    ).toBeLessThanOrEqual(GROWTH_MAX);
    expect(
      growth(samples, ({ heap }) => heap),
      shown,
    ).toBeLessThanOrEqual(GROWTH_MAX);
    expect(
      growth(samples, ({ external }) => external),
      shown,
    ).toBeLessThanOrEqual(GROWTH_MAX);
    const left = Math.max(...samples.map(({ openSnapshots }) => openSnapshots));
    expect(left, shown).toBeLessThanOrEqual(LEFT_MAX);
    const control = await run(CONTROL_CYCLES, true);
    expect(control.at(-1)!.openSnapshots).toBeGreaterThan(LEFT_MAX);
    expect(control.at(-1)!.descriptors).toBeGreaterThan(control[0]!.descriptors);
    report(
      'leaks',
      {
        cycles: CYCLES,
        descriptors: `${median(descriptors)} at all times`,
        'KiB of growth (resident)': growth(samples, ({ rss }) => rss),
        'KiB (heap)': growth(samples, ({ heap }) => heap),
        'KiB (buffers and WebAssembly)': growth(samples, ({ external }) => external),
        'KiB of growth allowed': GROWTH_MAX,
        'snapshots left open at most': left,
        'snapshots left open by the control': control.at(-1)!.openSnapshots,
      },
      'npx vitest run test/engine/leaks.test.ts',
    );
  },
  TIMEOUT,
);
