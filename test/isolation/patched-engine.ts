/*
 * The engine with a bug put into its source: texts that stand exactly once in a file of src/ are replaced by others
 * while the bundler reads them. So a bug that no longer applies is an error and never a silent pass.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import type * as config from '../../src/config/config.ts';
import type * as engine from '../../src/engine/engine.ts';
import type { OpenEngine } from './random-history.ts';

const root = join(import.meta.dirname, '../..');
const entry = "export * from './src/engine/engine.ts'; export * from './src/config/config.ts';";

export interface Patch {
  /** File below src/. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Builds an engine with some texts replaced, into a folder. */
export async function patchedEngine(
  patches: readonly Patch[],
  folder: string,
  name: string,
): Promise<OpenEngine> {
  const outfile = join(folder, `${name.replaceAll(/\W+/g, '-')}.mjs`);
  const applied = new Set<Patch>();
  await build({
    absWorkingDir: root,
    stdin: { contents: entry, resolveDir: root, loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    outfile,
    logLevel: 'warning',
    logOverride: { 'suspicious-boolean-not': 'silent' }, // in zstd-codec, as it is published
    plugins: [replacing(patches, applied)],
  });
  const unused = patches.filter((patch) => !applied.has(patch));
  if (unused.length > 0) throw new Error(`${name}: ${unused.map(({ file }) => file)} is not in the engine`);
  const module: typeof engine & typeof config = await import(/* @vite-ignore */ pathToFileURL(outfile).href);
  return (given) => module.openEngine(module.resolveConfig(given), undefined);
}

function replacing(patches: readonly Patch[], applied: Set<Patch>): Plugin {
  return {
    name: 'replacing',
    setup(bundler) {
      bundler.onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, async ({ path }) => {
        let contents = await readFile(path, 'utf8');
        for (const patch of patches) {
          if (path !== join(root, 'src', patch.file)) continue;
          const parts = contents.split(patch.from);
          if (parts.length !== 2) {
            throw new Error(
              `${patch.file} has this ${parts.length - 1} times, must have it once:\n${patch.from}`,
            );
          }
          contents = parts.join(patch.to);
          applied.add(patch);
        }
        return { contents, loader: 'ts' };
      });
    },
  };
}
