/*
 * What a user installs: the files that package.json names, built, and the tarball that npm would make of them. `npm run
 * build` must have run before.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type BuildOptions, build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = new URL('../', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as Record<string, unknown>;

/** A folder in which the tarball is installed, and nothing else. */
let place = '';
/** What is in the tarball, and its size. */
let packed: { size: number; files: { path: string }[] };

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'aegis-package-'));
  const answer = npm('pack', '--json', '--ignore-scripts', '--pack-destination', place);
  [packed] = JSON.parse(answer) as [typeof packed & { filename: string }];
  const folder = join(place, 'node_modules/aegis-storage');
  mkdirSync(folder, { recursive: true });
  const tarball = join(place, (packed as unknown as { filename: string }).filename);
  execFileSync('tar', ['-xzf', tarball, '--strip-components=1', '-C', folder]);
});

afterAll(() => rmSync(place, { recursive: true, force: true }));

function npm(...words: string[]): string {
  return execFileSync('npm', words, {
    cwd: fileURLToPath(root),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    shell: process.platform === 'win32',
  });
}

function filesNamed(value: unknown): string[] {
  if (typeof value === 'string') return /^(\.\/)?build\/[^*]+\.\w+$/.test(value) ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(filesNamed) : [];
}

/** Imports a built file; the source stands for its types. */
async function built<T>(name: string): Promise<T> {
  return (await import(new URL(`build/${name}.js`, root).href)) as T;
}
type Main = typeof import('../src/index.ts');
type Local = typeof import('../src/local.ts');

/** Runs a program beside the installed package; answers what it said. */
function run(name: string, text: string, ...flags: string[]): { status: number | null; said: string } {
  writeFileSync(join(place, name), text);
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, name], {
    cwd: place,
    encoding: 'utf8',
  });
  return { status, said: `${stdout}${stderr}` };
}

/** Bundles a program for browsers. */
async function bundle(text: string, options: BuildOptions = {}) {
  const result = await build({
    stdin: { contents: text, resolveDir: place },
    bundle: true,
    minify: true,
    platform: 'browser',
    format: 'esm',
    logLevel: 'silent',
    ...options,
    metafile: true,
    write: false,
  });
  expect(result.warnings).toEqual([]);
  return result;
}

/** A program bundled for browsers by a bundler that does not split; answers the text of the one file. */
async function bundled(text: string): Promise<string> {
  const { outputFiles } = await bundle(text);
  expect(outputFiles.length).toBe(1);
  return outputFiles[0]!.text;
}

/** A program bundled by a bundler that splits: its files, the entry first, and which of them are loaded with that. */
async function split(text: string, folder: string): Promise<{ files: BundledFile[]; entry: string }> {
  const { outputFiles, metafile } = await bundle(text, { splitting: true, outdir: join(place, folder) });
  const outputs = new Map(
    Object.entries(metafile.outputs).map(([path, output]) => [join(process.cwd(), path), output]),
  );
  const entry = outputFiles.find(({ path }) => outputs.get(path)!.entryPoint === '<stdin>')!.path;
  const first = new Set([entry]);
  for (const path of first) {
    for (const { kind, path: other } of outputs.get(path)!.imports) {
      if (kind === 'import-statement') first.add(join(process.cwd(), other));
    }
  }
  mkdirSync(join(place, folder));
  for (const { path, contents } of outputFiles) writeFileSync(path, contents);
  const files = outputFiles.map(({ path, text }) => ({ path, text, isFirst: first.has(path) }));
  return { files, entry };
}

interface BundledFile {
  path: string;
  text: string;
  /** Whether it is loaded with the program, and not when it is asked for. */
  isFirst: boolean;
}

async function imported<T>(name: string, text: string): Promise<T> {
  const file = join(place, name);
  writeFileSync(file, text);
  return (await import(pathToFileURL(file).href)) as T;
}

const ENGINE_AND_MEMORY = "export { MemoryBackend, StorageEngine } from 'aegis-storage';";
const ALL = "export * from 'aegis-storage';";

test('package: every built file that package.json names is there', () => {
  const files = filesNamed(manifest);
  expect(files.length).toBeGreaterThan(7);
  expect(files.filter((file) => !existsSync(join(place, 'node_modules/aegis-storage', file)))).toEqual([]);
});

test('package: who installs it installs nothing else, and nothing runs', () => {
  const kinds = ['dependencies', 'optionalDependencies', 'peerDependencies', 'bundleDependencies'];
  expect(kinds.filter((kind) => manifest[kind] !== undefined)).toEqual([]);
  const scripts = Object.keys(manifest['scripts'] as object);
  expect(scripts.filter((name) => /^(pre|post)?(install|prepare)$/.test(name))).toEqual([]);
});

test('package: the tarball has what is used and documented, and one zstd', () => {
  const paths = packed.files.map(({ path }) => path);
  const allowed =
    /^(build\/([\w-]+\.js|chunks\/[\w-]+\.js|types\/.*\.d\.ts)|docs\/.*\.(md|ts)|(CHANGELOG|README)\.md|LICENSE(-\w+\.txt)?|package\.json)$/;
  expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
  for (const name of ['LICENSE', 'LICENSE-cli.txt', 'LICENSE-codecs.txt', 'CHANGELOG.md']) {
    expect(paths).toContain(name);
  }
  const large = packed.files.filter((file) => (file as unknown as { size: number }).size > 600_000);
  expect(large.map(({ path }) => path)).toEqual(['build/zstd-codec.js']);
  expect(packed.size).toBeLessThan(850_000);
});

test('package: the declarations name no file outside the package', () => {
  const text = readFileSync(new URL('build/types/src/index.d.ts', root), 'utf8');
  expect(text).not.toMatch(/build\/wasm|node_modules/);
});

test('package: the declarations say nothing that TypeScript 5.0 cannot read', () => {
  const types = new URL('build/types/', root);
  const files = readdirSync(types, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.d.ts'),
  );
  const code = (name: string) =>
    readFileSync(new URL(name, types), 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '');
  const generic = /\b(Uint8Array|DataView|\w+Array)<ArrayBuffer|\bArrayBufferView<|reference lib=/;
  expect(files.length).toBeGreaterThan(100);
  expect(files.filter((name) => generic.test(code(name)))).toEqual([]);
});

test('package: every entry throws the same AegisError', async () => {
  const { AegisError, StorageEngine } = await built<Main>('index');
  const { LocalBackend } = await built<Local>('local');
  const open = async () => new LocalBackend(place).open('absent', { create: false });
  await expect(open()).rejects.toBeInstanceOf(AegisError);
  await expect(StorageEngine.open({ pageSize: 1 })).rejects.toBeInstanceOf(AegisError);
});

test('package: the command line runs where nothing else is installed', () => {
  const cli = join(place, 'node_modules/aegis-storage/build/cli.js');
  const aegis = (...words: string[]) =>
    execFileSync(process.execPath, [cli, '-d', 'store', ...words], { cwd: place, encoding: 'utf8' });
  writeFileSync(join(place, 'rows.csv'), 'key,value\na,"1,5"\n');
  aegis('load', 'rows.csv');
  expect(aegis('get', 'a')).toBe('1,5\n');
  expect(aegis('--version')).toBe(`${manifest['version'] as string}\n`);
});

// --- CommonJS -------------------------------------------------------------------------------------------------

const useStore = `
  const engine = await StorageEngine.open({ backend: new LocalBackend('by-require'), compression: 'zstd' });
  await engine.put('a', 'b');
  console.log(engine.getString('a'), new Block(new Uint8Array(999)).withCompression('zstd').header.codec);
  await engine.close();`;

test('package: require gives it to CommonJS where the runtime can, without a warning', (context) => {
  const { features } = process as unknown as { features: { require_module?: boolean } };
  if (!features.require_module) context.skip('this Node requires no ES module');
  const required = `const { Block, StorageEngine } = require('aegis-storage');
    const { LocalBackend } = require('aegis-storage/local');
    require('aegis-storage/zstd');
    (async () => {${useStore}})();`;
  expect(run('required.cjs', required)).toEqual({ status: 0, said: 'b zstd\n' });
});

test('package: a dynamic import gives it to CommonJS in every Node, and zstd between two statements', () => {
  const dynamic = `(async () => {
    const { Block, StorageEngine } = await import('aegis-storage');
    const { LocalBackend } = await import('aegis-storage/local');
    console.log(new Block(new Uint8Array(999)).withCompression('zstd').header.codec);
    ${useStore}
  })();`;
  const isKnown = process.allowedNodeEnvironmentFlags.has('--no-experimental-require-module');
  const flags = isKnown ? ['--no-experimental-require-module'] : [];
  expect(run('dynamic.cjs', dynamic, ...flags)).toEqual({ status: 0, said: 'zstd\nb zstd\n' });
});

// --- browsers -------------------------------------------------------------------------------------------------

test('package: a bundle for browsers is small, and names nothing of Node and no zstd', async () => {
  const text = await bundled(ENGINE_AND_MEMORY);
  expect(gzipSync(text, { level: 9 }).length).toBeLessThan(84_000);
  expect(['node:', 'ZstdCodec'].filter((word) => text.includes(word))).toEqual([]);
});

test('package: what a bundler that splits loads first is smaller, and makes stores without the rest', async () => {
  const { files, entry } = await split(ENGINE_AND_MEMORY, 'split');
  const first = files.filter(({ isFirst }) => isFirst);
  const size = first.reduce((sum, { text }) => sum + gzipSync(text, { level: 9 }).length, 0);
  expect(size).toBeLessThan(71_500);

  const { MemoryBackend, StorageEngine } = (await import(pathToFileURL(entry).href)) as Main;
  for (const { path, isFirst } of files) if (!isFirst) rmSync(path);
  const own = new MemoryBackend();
  const engine = await StorageEngine.open({ backend: own });
  await engine.put('k', 'v'.repeat(10_000));
  const refusal = { code: 'IO_ERROR', message: expect.stringContaining('cannot be loaded') as string };
  await expect(engine.verify()).rejects.toMatchObject(refusal);
  await expect(engine.compact()).rejects.toMatchObject(refusal);
  const backend = new MemoryBackend();
  await expect(engine.backup(backend)).rejects.toMatchObject(refusal);
  expect(backend.list()).toEqual([]);
  expect(engine.stats().versions.openSnapshots).toBe(0);
  expect(engine.getString('k')).toHaveLength(10_000);
  await engine.close();
  const open = () => StorageEngine.open({ backend: own });
  await expect(open()).rejects.toMatchObject(refusal);
  await expect(open()).rejects.toMatchObject(refusal); // and not LOCKED
});

test('package: the rest is loaded when it is asked for, also by a bundle that was not split', async () => {
  const { entry } = await split(ALL, 'whole');
  const several = (await import(pathToFileURL(entry).href)) as Main;
  const single = await imported<Main>('single.mjs', await bundled(ALL));
  for (const { MemoryBackend, salvage, StorageEngine } of [several, single]) {
    const engine = await StorageEngine.open();
    await engine.put('k', 'v'.repeat(100_000));
    await engine.checkpoint();
    await engine.delete('k');
    const backend = new MemoryBackend();
    const [verified, compacted, copied] = await Promise.all([
      engine.verify(),
      engine.compact(),
      engine.put('k', 'v').then(() => engine.backup(backend)),
    ]);
    expect([verified.problems, copied.records]).toEqual([[], 1]);
    expect(compacted.bytesAfter).toBeLessThan(compacted.bytesBefore);
    const closed = engine.close();
    await expect(engine.compact()).rejects.toMatchObject({ code: 'CLOSED' });
    await closed;
    const copy = await StorageEngine.open({ backend });
    expect(copy.getString('k')).toBe('v');
    await copy.close();
    const { records, lost } = await salvage({ backend }, new MemoryBackend());
    expect([records, lost]).toEqual([1, []]);
  }
});

test('package: a bundle without zstd says what to import, of stores that ask for it and stores that hold it', async () => {
  const without = await imported<Main>('without.mjs', await bundled(ALL));
  const withZstd = await imported<Main>('with.mjs', await bundled(`import 'aegis-storage/zstd'; ${ALL}`));
  const message = expect.stringContaining("import 'aegis-storage/zstd'") as string;
  const refusal = { code: 'UNSUPPORTED', message };
  const data = new Uint8Array(1000);

  const backend = new withZstd.MemoryBackend();
  const engine = await withZstd.StorageEngine.open({ backend, compression: 'zstd' });
  await engine.put('k', 'v');
  await engine.close();
  const block = new withZstd.Block(data).withCompression('zstd'); // and nothing had to be loaded for it
  expect(block.header.codec).toBe('zstd');

  const { StorageEngine, Block, loadCodec } = without;
  await expect(StorageEngine.open({ compression: 'zstd' })).rejects.toMatchObject(refusal);
  await expect(StorageEngine.open({ backend })).rejects.toMatchObject(refusal);
  await expect(loadCodec('zstd')).rejects.toMatchObject(refusal);
  expect(() => new Block(data).withCompression('zstd').serialize()).toThrow(expect.objectContaining(refusal));
  expect(() => Block.deserialize(block.serialize())).toThrow(expect.objectContaining(refusal));
  const again = await withZstd.StorageEngine.open({ backend });
  expect(again.getString('k')).toBe('v');
  await again.close();
});

test('package: the browser bundle has a memory store and says that it has no local one', async () => {
  const { StorageEngine } = await built<Main>('browser');
  const db = await StorageEngine.open();
  await db.put('k', 'v');
  expect(db.getString('k')).toBe('v');
  await db.close();
  await expect(StorageEngine.open({ backend: 'local' })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  await expect(StorageEngine.open({ dataDirectory: 'x' })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
});

test('package: the files for browsers find zstd where they are served as they are', async () => {
  const { StorageEngine } = await built<Main>('browser');
  const db = await StorageEngine.open({ compression: 'zstd' });
  await db.put('k', 'v'.repeat(1000));
  expect(db.config.compression).toBe('zstd');
  await db.close();
});

test('package: what a browser gets as the local backend says that there is none, as an error of the package', async () => {
  const { AegisError } = await built<Main>('browser');
  const { LocalBackend } = await built<Local>('browser-local');
  let error: unknown;
  try {
    new LocalBackend('folder');
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(AegisError);
  expect(error).toMatchObject({ code: 'UNSUPPORTED' });
});
