/*
 * Checks programs of users against the declarations of the package, which are checked too (`skipLibCheck: false`), with
 * every version of TypeScript in this folder's package.json, or with those that are named (`node run.mjs 5.0`): with and
 * without the DOM, with and without @types/node.
 *
 * `npm run build` must have run before; the last line counts, and the exit status is 0 only if nothing failed.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../..');
const { dependencies } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
const present = Object.keys(dependencies).flatMap((name) => /^typescript-(.*)$/.exec(name)?.[1] ?? []);
const named = process.argv.slice(2);
const versions = named.length === 0 ? present : named;

/** Whether a version is this one or newer. */
const since = (version, first) => version.localeCompare(first, 'en', { numeric: true }) >= 0;

const nodenext = { module: 'nodenext', moduleResolution: 'nodenext' };
const bundler = { module: 'esnext', moduleResolution: 'bundler' };
const dom = ['dom', 'dom.iterable'];
const everywhere = ['everywhere.ts', 'signals.ts', 'web.ts'];

/** What a program may have around it, and which programs are written for that. */
const surroundings = [
  { name: 'nothing', resolution: nodenext, lib: ['es2022'], types: [], files: () => ['everywhere.ts'] },
  {
    name: 'Node',
    resolution: nodenext,
    lib: ['es2022'],
    types: ['node'],
    files: () => ['everywhere.ts', 'signals.ts'],
  },
  { name: 'the DOM', resolution: bundler, lib: ['es2022', ...dom], types: [], files: () => everywhere },
  {
    name: 'all there is',
    resolution: nodenext,
    lib: ['esnext', ...dom],
    types: ['node'],
    files: (version) => (since(version, '5.2') ? [...everywhere, 'using.ts'] : everywhere),
  },
];

/** What one version has against the programs; undefined: nothing. */
function check(place, version, { name, lib, types, files, resolution }) {
  const project = join(place, `${version} with ${name}.json`);
  const compilerOptions = {
    ...resolution,
    lib,
    types,
    target: 'es2022',
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false,
  };
  writeFileSync(project, JSON.stringify({ compilerOptions, files: files(version) }));
  const tsc = join(place, `node_modules/typescript-${version}/bin/tsc`);
  return new Promise((resolve) => {
    execFile(process.execPath, [tsc, '-p', project], (error, stdout, stderr) => {
      resolve(error ? `${stdout}${stderr}`.trim() || error.message : undefined);
    });
  });
}

/** The programs, and beside them the package as it is installed: what lies around this folder must not help them. */
function makePlace() {
  const place = mkdtempSync(join(tmpdir(), 'aegis-types-'));
  for (const name of ['everywhere.ts', 'signals.ts', 'web.ts', 'using.ts'])
    cpSync(join(here, name), join(place, name));
  writeFileSync(join(place, 'package.json'), '{"type": "module"}');
  mkdirSync(join(place, 'node_modules/aegis-storage/build'), { recursive: true });
  for (const name of ['package.json', 'build/types']) {
    cpSync(join(root, name), join(place, 'node_modules/aegis-storage', name), { recursive: true });
  }
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(place, 'node_modules', name)), { recursive: true });
    symlinkSync(join(here, 'node_modules', name), join(place, 'node_modules', name));
  }
  return place;
}

let passed = 0;
let failed = 0;
const place = makePlace();
try {
  for (const version of versions) {
    const findings = await Promise.all(surroundings.map((around) => check(place, version, around)));
    for (const [index, finding] of findings.entries()) {
      if (finding === undefined) ++passed;
      else ++failed;
      console.log(`TypeScript ${version} with ${surroundings[index].name}: ${finding ?? 'checks'}`);
    }
  }
} finally {
  rmSync(place, { recursive: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
