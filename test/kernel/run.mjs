/*
 * The tests that only a real kernel can judge: `node test/kernel/run.mjs [cuts|fsync|full-disk] [--long]`, as root on
 * Linux, after `npm run build`. What cannot run here is skipped with one line, or is a failure when
 * AEGIS_REQUIRE_ALL=1; the last line counts, and the exit status is 0 only if nothing failed.
 *
 * SEED chooses every order and pause; when the kernel does what it does is its own affair, so a seed repeats the kind
 * of a run and not its moments.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { keepFigures } from '../support/figures.mjs';
import * as cuts from './cuts.mjs';
import * as fsync from './fsync.mjs';
import * as fullDisk from './full-disk.mjs';
import { Child, endWithParent, enterNamespaces, missing, place } from './system.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const areas = [
  { name: 'cuts', row: cuts.ROW, needs: cuts.needs, test: cuts.cuts },
  { name: 'fsync', row: fsync.ROW, needs: fsync.needs, test: fsync.fsyncFailures },
  { name: 'full-disk', row: fullDisk.ROW, needs: fullDisk.needs, test: fullDisk.fullDisks },
];
const requireAll = process.env.AEGIS_REQUIRE_ALL === '1';
const words = process.argv.slice(2);
const wanted = words.filter((word) => word !== '--long');
const size = words.includes('--long') || process.env.AEGIS_LONG !== undefined ? 'long' : 'quick';
const seed = Number(process.env.SEED ?? 1);
const chosen = areas.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const unknown = wanted.find((word) => !areas.some(({ name }) => name === word));
const main = join(root, 'build/index.js');

if (unknown !== undefined) {
  console.error(`${unknown} is none of ${areas.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
if (!existsSync(main)) {
  console.error('build/index.js is not there: npm run build');
  process.exit(1);
}

const present = chosen.map((area) => ({ ...area, reason: missing(area.needs.programs, area.needs.files) }));
// In namespaces of our own everything is done; outside, only what finds nothing to do.
if (place === undefined && present.some(({ reason }) => reason === undefined)) {
  process.exit(await enterNamespaces());
}
if (place !== undefined) endWithParent();

const counts = { passed: 0, failed: 0, skipped: 0 };

function skip(row, reason) {
  if (requireAll) counts.failed++;
  else counts.skipped++;
  console.log(requireAll ? `✗ ${row}: ${reason}` : `- ${row}: skipped, ${reason}`);
}

async function attempt(area, row, test) {
  const started = performance.now();
  const took = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  try {
    const figures = await test();
    counts.passed++;
    keepFigures({ row, size, seed, figures, command: `node test/kernel/run.mjs ${area}` });
    console.log(`✓ ${row} (${took()})`);
  } catch (error) {
    const absent = /unknown filesystem type|failed to setup loop device/.exec(error.message)?.[0];
    if (absent !== undefined) return skip(row, absent);
    counts.failed++;
    console.log(`✗ ${row} (${took()}, SEED=${seed} node test/kernel/run.mjs ${area}): ${error.stack}`);
  }
}

async function bundled() {
  const outfile = join(place, 'program.mjs');
  await build({
    absWorkingDir: root,
    entryPoints: ['test/kernel/program.ts'],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'warning',
    logOverride: { 'suspicious-boolean-not': 'silent' }, // in zstd-codec, as it is published
  });
  return outfile;
}

/** As test/wal/random.ts: numbers that a seed repeats. */
function randomFrom(start) {
  let state = (Math.imul(start, 2_654_435_761) + 1) >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    below: (limit) => Math.floor(next() * limit),
    chance: (probability) => next() < probability,
  };
}

const program = present.some(({ reason }) => reason === undefined) ? await bundled() : undefined;
for (const [index, { name, row, reason, test }] of present.entries()) {
  if (reason !== undefined) {
    skip(row, reason);
    continue;
  }
  const kit = {
    place,
    size,
    seed,
    random: randomFrom(seed * 8 + index),
    package: pathToFileURL(main).href,
    start: (...prefix) => new Child(...prefix, process.execPath, program),
  };
  try {
    await test(kit, (title, body) => attempt(name, title, body));
  } catch (error) {
    counts.failed++;
    console.log(`✗ ${row}: ${error.stack}`);
  }
}
console.log(`kernel: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed > 0 ? 1 : 0);
