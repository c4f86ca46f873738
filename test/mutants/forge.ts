/*
 * Makes programs for the mutants: a test file bundled with the engine, one source of it changed on the way. A source
 * in assembly/ is compiled anew, and the module takes the place of the built ones; compiled modules are kept in
 * build/mutants by what went into them.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';
import type { Mutant } from './mutant.ts';
import { mutated } from './mutant.ts';

const root = join(import.meta.dirname, '../..');
const cache = join(root, 'build/mutants');

/** Bundles a test file, with a mutation or without, into a program that runs those of its tests that match. */
export async function forge(file: string, mutant: Mutant | undefined, outfile: string): Promise<void> {
  const module = mutant?.file.startsWith('assembly/') ? await compiled(mutant) : undefined;
  await build({
    absWorkingDir: root,
    stdin: {
      contents: `import { begin } from 'vitest';\nimport './test/support/bytes-equal.ts';\nimport './test/${file}';\nawait begin();\n`,
      resolveDir: root,
    },
    outfile,
    bundle: true,
    ignoreAnnotations: true, // package.json says that no source has side effects; a test file has nothing else
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    alias: { vitest: join(root, 'test/mutants/stand-in.ts') },
    // Packages that load something by path stay where they are found.
    external: ['esbuild', 'assemblyscript', 'playwright-core'],
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
    define: { 'import.meta.dirname': JSON.stringify(join(root, 'test/mutants')) },
    plugins: [changing(mutant, module)],
    logLevel: 'error',
  });
}

function changing(mutant: Mutant | undefined, module: Uint8Array | undefined): Plugin {
  return {
    name: 'mutant',
    setup({ onLoad }) {
      // What a mutant's run counts is no figure of the engine.
      onLoad({ filter: /test\/support\/report\.ts$/ }, () => ({ contents: 'export function report() {}' }));
      if (mutant === undefined) return;
      if (module !== undefined) {
        const text = Buffer.from(module).toString('base64');
        const contents = `export const bytes = new Uint8Array(Buffer.from('${text}', 'base64'));`;
        onLoad({ filter: /build\/wasm\/(release|debug)\.js$/ }, () => ({ contents }));
        return;
      }
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (relative(root, path) !== mutant.file) return undefined;
        return { contents: mutated(mutant, readFileSync(path, 'utf8')), loader: 'ts' };
      });
    },
  };
}

/** The module of a mutant, compiled without the optimisations that take most of the time. */
async function compiled(mutant: Mutant): Promise<Uint8Array> {
  const hash = createHash('sha256').update(JSON.stringify(mutant.edits)).update(mutant.file);
  for (const name of readdirSync(join(root, 'assembly'), { recursive: true, encoding: 'utf8' }).sort()) {
    if (name.endsWith('.ts')) hash.update(readFileSync(join(root, 'assembly', name)));
  }
  const kept = join(cache, `${hash.digest('hex').slice(0, 24)}.wasm`);
  if (existsSync(kept)) return readFileSync(kept);
  const bytes = await compile(mutant);
  mkdirSync(cache, { recursive: true });
  writeFileSync(`${kept}.${process.pid}`, bytes);
  renameSync(`${kept}.${process.pid}`, kept);
  return bytes;
}

async function compile(mutant: Mutant): Promise<Uint8Array> {
  const { default: asc } = await import('assemblyscript/asc');
  const messages: string[] = [];
  let bytes: Uint8Array | undefined;
  const flags = ['--target', 'release', '--optimizeLevel', '1'];
  const { error } = await asc.main(['--config', 'asconfig.json', ...flags, '--baseDir', root], {
    stderr: { write: (text) => void messages.push(String(text)) },
    readFile: (name, folder) => {
      const path = join(folder, name);
      if (!existsSync(path)) return null;
      const source = readFileSync(path, 'utf8');
      return relative(root, path) === mutant.file ? mutated(mutant, source) : source;
    },
    writeFile: (name, contents) => {
      if (name.endsWith('.wasm') && typeof contents !== 'string') bytes = contents;
    },
  });
  if (error || bytes === undefined) {
    throw new Error(`mutant "${mutant.name}" does not compile\n${messages.join('')}`, { cause: error });
  }
  return bytes;
}
