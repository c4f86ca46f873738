/*
 * Builds the package: `node esbuild.config.mjs` everything, `--wasm-only` the WebAssembly modules alone (asc takes
 * `--wasm` for itself).
 *
 * 1. asc compiles assembly/ twice: release (checks on data and cheap asserts) and debug (expensive checks too).
 * 2. Each module becomes build/wasm/<target>.js, an ES module that holds the bytes as text, so that a bundle is one
 *    file and an instance starts synchronously in every runtime.
 *    So does each codec package (esbuild.codecs.mjs).
 * 3. esbuild bundles the entry points with shared chunks, so that AegisError is one class whoever throws it, and
 *    once more for browsers (esbuild.browser.mjs), where the local backend only answers that it is not there.
 *    The packages they use are bundled too, so that who installs this one installs no other, and no start pays for
 *    more files; their licences are in LICENSE-cli.txt.
 *    zstd is a file of its own (build/zstd-codec.js) that both share, and that no bundle for browsers has unless
 *    `aegis-storage/zstd` is imported.
 * 4. With `--bench`, the benchmarks instead of the package: bench/*.ts into build/bench/, their peers left outside.
 * 5. tsc writes the declarations (without checking: that is `npm run check`).
 *
 * Three promises are checked here because nothing else sees the bundles: the main entry reaches no `node:` module
 * before a local store is opened, the browser bundle reaches none at all, and no package is bundled without its licence.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildForBrowsers, decoded } from './esbuild.browser.mjs';
import { codecModules } from './esbuild.codecs.mjs';

const root = dirname(fileURLToPath(import.meta.url));
const wasmTargets = ['release', 'debug'];
const entryPoints = {
  index: 'src/index.ts',
  local: 'src/local.ts',
  zstd: 'src/zstd.ts',
  testing: 'src/testing/index.ts',
  'lz4-wasm': 'src/codec/lz4-wasm.ts',
  cli: 'src/cli/index.ts',
};

/** The one copy of zstd; sources name it as seen from src/core. */
const zstdFile = 'build/zstd-codec.js';
const zstdFromSources = `../../${zstdFile}`;

/** Compiles both WebAssembly targets and makes the codec modules, or only what is older than its sources. */
export async function buildWasm({ onlyStale = false } = {}) {
  const sources = newestChange([
    join(root, 'assembly'),
    join(root, 'asconfig.json'),
    fileURLToPath(import.meta.url),
  ]);
  replaceFile(join(root, 'build/.npmignore'), ''); // else npm pack obeys build/.gitignore and packs nothing
  const targets = wasmTargets.filter((target) => !onlyStale || changedAt(wasmFile(target, 'js')) <= sources);
  for (const target of targets) await compileWasm(target);
  await buildCodecs(onlyStale);
  return targets;
}

async function buildCodecs(onlyStale) {
  const sources = newestChange(['esbuild.codecs.mjs', 'package-lock.json'].map((name) => join(root, name)));
  if (onlyStale && changedAt(join(root, zstdFile)) > sources) return;
  for (const [name, text] of Object.entries(await codecModules()))
    replaceFile(join(root, 'build', name), text);
}

async function compileWasm(target) {
  const { default: asc } = await import('assemblyscript/asc');
  const output = new Map();
  const messages = [];
  const { error } = await asc.main(['--config', 'asconfig.json', '--target', target, '--baseDir', root], {
    stderr: { write: (text) => messages.push(text) },
    writeFile: (name, contents) => output.set(name.split('/').pop(), contents),
  });
  if (error) throw new Error(`asc --target ${target} failed\n${messages.join('')}`, { cause: error });
  const bytes = output.get(`${target}.wasm`);
  for (const [name, contents] of output) replaceFile(join(root, 'build/wasm', name), contents);
  replaceFile(wasmFile(target, 'd.ts'), 'export const bytes: Uint8Array<ArrayBuffer>;\n');
  replaceFile(wasmFile(target, 'js'), `export const bytes = ${decoded(bytes)};\n`);
}

function wasmFile(target, extension) {
  return join(root, 'build/wasm', `${target}.${extension}`);
}

/** Writes through a rename: whoever reads at the same time sees the old file or the new one. */
function replaceFile(file, contents) {
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}.tmp`;
  writeFileSync(draft, contents);
  renameSync(draft, file);
}

function changedAt(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0;
}

function newestChange(paths) {
  let newest = 0;
  for (const path of paths) {
    const inside =
      existsSync(path) && statSync(path).isDirectory()
        ? readdirSync(path).map((name) => join(path, name))
        : [];
    newest = Math.max(newest, changedAt(path), inside.length > 0 ? newestChange(inside) : 0);
  }
  return newest;
}

async function buildBundles() {
  const esbuild = await import('esbuild');
  const present = Object.fromEntries(
    Object.entries(entryPoints).filter(([, source]) => existsSync(join(root, source))),
  );
  const shared = {
    absWorkingDir: root,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    outdir: 'build',
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    mainFields: ['module', 'main'],
    external: ['node:*'],
    legalComments: 'eof',
    metafile: true,
    write: false,
    logLevel: 'warning',
    plugins: [withNodeModules, withoutZstd],
  };
  const main = await esbuild.build({
    ...shared,
    entryPoints: present,
  });
  writeOutputs(main);
  if (present.cli) chmodSync(join(root, 'build/cli.js'), 0o755);
  if (!present.index) return;
  requireNoNode('build/index.js', main.metafile, ['import-statement', 'require-call']);

  await compareConstants();
  const local = await localExports(esbuild, shared);
  const browser = await buildForBrowsers(esbuild, wasmFile('release', 'wasm'), {
    ...shared,
    entryPoints: {
      browser: present.index,
      'browser-core': 'build/wasm/release.js', // apart, and so at the beginning of bundles: amid code it costs more
      'browser-local': present.local,
      'browser-zstd': present.zstd,
    },
    minify: true,
    plugins: [withNodeModules, withoutZstd, withoutLocal(local)],
  });
  writeOutputs(browser);
  requireLicences([main, browser]);
  dropStaleChunks([main, browser]);
  for (const entry of ['build/browser.js', 'build/browser-local.js', 'build/browser-zstd.js']) {
    requireNoNode(entry, browser.metafile, ['import-statement', 'require-call', 'dynamic-import']);
  }
}

function writeOutputs(result) {
  for (const { path, text } of result.outputFiles) {
    const zstd = relative(dirname(path), join(root, zstdFile));
    const placed = text.replaceAll(zstdFromSources, zstd.startsWith('.') ? zstd : `./${zstd}`);
    replaceFile(path, placed.replace(/\bimport\((?=\w+\))/, leftAlone));
  }
}

/** An import that no bundler is to follow, nor to warn of; esbuild drops these words where it minifies. */
const leftAlone = 'import(/* webpackIgnore: true */ /* @vite-ignore */ ';

function dropStaleChunks(results) {
  const folder = join(root, 'build/chunks');
  const current = new Set(results.flatMap(({ outputFiles }) => outputFiles.map(({ path }) => path)));
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    if (!current.has(join(folder, name))) rmSync(join(folder, name));
  }
}

/** Follows the imports of one output file and refuses any way to a `node:` module. */
function requireNoNode(entry, metafile, kinds) {
  const seen = new Set([entry]);
  for (const file of seen) {
    for (const { path, kind } of metafile.outputs[file]?.imports ?? []) {
      if (!kinds.includes(kind)) continue;
      if (path.startsWith('node:')) throw new Error(`${entry} reaches ${path} through ${file}`);
      seen.add(path);
    }
  }
}

/**
 * Packages in CommonJS ask for modules of Node by `require`, which an ES module has not: here they get them from the
 * process. Only the command line's packages do.
 */
const withNodeModules = {
  name: 'with-node-modules',
  setup(build) {
    build.onResolve({ filter: /./ }, ({ path, kind }) =>
      kind === 'require-call' && isBuiltin(path) ? { path, namespace: 'node-module' } : undefined,
    );
    build.onLoad({ filter: /./, namespace: 'node-module' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

/** Keeps zstd out of every bundle; `writeOutputs` makes its path right. */
const withoutZstd = {
  name: 'without-zstd',
  setup(build) {
    build.onResolve({ filter: /\/zstd-codec\.js$/ }, () => ({ path: zstdFromSources, external: true }));
  },
};

/** Refuses a bundled package whose licence would not be in the tarball. */
function requireLicences(results) {
  const inputs = results.flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const packages = inputs.flatMap((path) => path.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1] ?? []);
  const texts = ['LICENSE-cli.txt', 'LICENSE-codecs.txt'].map((name) =>
    readFileSync(join(root, name), 'utf8'),
  );
  for (const name of new Set(packages)) {
    const isNamed = texts.some((text) => text.split('\n').some((line) => line.startsWith(`${name}: `)));
    if (!isNamed) throw new Error(`${name} is bundled, and its licence is in no LICENSE file`);
  }
}

const localSource = /\/backend\/local(\.ts)?$/;

/** Starts the core, which compares its constants with the code's; bundles for browsers do not. */
async function compareConstants() {
  const { StorageEngine } = await import(pathToFileURL(join(root, 'build/index.js')).href);
  const store = await StorageEngine.open();
  await store.close();
}

async function localExports(esbuild, shared) {
  const source = 'src/backend/local.ts';
  if (!existsSync(join(root, source))) return [];
  const { metafile } = await esbuild.build({ ...shared, entryPoints: [source] });
  return Object.values(metafile.outputs).flatMap((output) =>
    output.entryPoint === source ? output.exports : [],
  );
}

/** Replaces the local backend by functions of the same names that say a browser has none. */
function withoutLocal(names) {
  const functions = names.map((name) => `export function ${name}() { return refuse(); }`);
  const contents = `
    import { AegisError } from './base/errors.ts';
    function refuse() { throw new AegisError('UNSUPPORTED', 'the local backend needs Node, Deno or Bun'); }
    ${functions.join('\n')}`;
  return {
    name: 'without-local-backend',
    setup(build) {
      build.onResolve({ filter: localSource }, ({ path }) => ({ path, namespace: 'without-local-backend' }));
      build.onLoad({ filter: /.*/, namespace: 'without-local-backend' }, () => ({
        contents,
        resolveDir: join(root, 'src'),
      }));
    },
  };
}

/** Benchmarks run from build/bench/ on any Node; what they compare with stays in bench/node_modules. */
async function buildBench() {
  const esbuild = await import('esbuild');
  const bench = join(root, 'bench');
  const require = createRequire(join(bench, 'package.json'));
  const peers = {
    name: 'bench-peers',
    setup(build) {
      build.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
        if (kind === 'entry-point' || path.startsWith('node:')) return undefined;
        return { path: relative(join(root, 'build/bench'), require.resolve(path)), external: true };
      });
    },
  };
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: readdirSync(bench).flatMap((name) => (name.endsWith('.ts') ? [join(bench, name)] : [])),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    outdir: 'build/bench',
    sourcemap: true,
    logLevel: 'warning',
    logOverride: { 'suspicious-boolean-not': 'silent' }, // in zstd-codec, as it is published
    plugins: [peers],
  });
}

function buildTypes() {
  rmSync(join(root, 'build/types'), { recursive: true, force: true }); // what was left by names that are gone
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const flags = [
    '--noCheck',
    '--noEmit',
    'false',
    '--declaration',
    '--emitDeclarationOnly',
    '--outDir',
    'build/types',
  ];
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.json', ...flags], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('tsc could not write the declarations');
}

async function main() {
  const wasmOnly = process.argv.includes('--wasm-only');
  await buildWasm({ onlyStale: !wasmOnly });
  if (wasmOnly) return;
  if (process.argv.includes('--bench')) return buildBench();
  await buildBundles();
  buildTypes();
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`${relative(root, fileURLToPath(import.meta.url))}: ${error.message}\n`);
    process.exitCode = 1;
  }
}
