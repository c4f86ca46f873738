/*
 * What bundles for browsers have otherwise than those for Node, so that they are small.
 *
 * 1. Where a source has a neighbour `*.browser.ts`, that one is bundled.
 * 2. The core's module is compressed, and inflated when it is loaded.
 * 3. What the module exports has short names, as this bundle's code calls it, and what the code does not call is gone.
 *    So are the constants of the layout: `npm run build` compares them before.
 * 4. Each part that is loaded later names all that is loaded first. What only some parts need would otherwise lie in
 *    files of its own, and several small files compress worse than one.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';
import binaryen from 'binaryen';

const index = join(dirname(fileURLToPath(import.meta.url)), 'src/index.ts').replaceAll('\\', '/');

/** Bundles for browsers: first to learn the short names, then with a module that has them. */
export async function buildForBrowsers(esbuild, wasmFile, { plugins, ...options }) {
  const module = readFileSync(wasmFile);
  const exported = WebAssembly.Module.exports(new WebAssembly.Module(module));
  const names = exported.flatMap(({ kind, name }) => (kind === 'function' ? [name] : []));
  const build = (bytes, mangleCache) =>
    esbuild.build({
      ...options,
      mangleProps: new RegExp(`^(${names.join('|')})$`),
      mangleCache,
      plugins: [...plugins, forBrowsers(bytes)],
    });
  const { mangleCache } = await build(module, {});
  return build(renamed(module, mangleCache), mangleCache);
}

function forBrowsers(module) {
  return {
    name: 'for-browsers',
    setup(build) {
      build.onResolve({ filter: /^\..*\.ts$/ }, ({ path, resolveDir }) => {
        const other = join(resolveDir, path.replace(/ts$/, 'browser.ts'));
        return existsSync(other) ? { path: other } : undefined;
      });
      build.onResolve({ filter: /^\..*\.ts$/ }, ({ path, resolveDir, kind }) =>
        kind === 'dynamic-import' ? { path: join(resolveDir, path), pluginData: 'part' } : undefined,
      );
      build.onLoad({ filter: /\.ts$/ }, ({ path, pluginData }) => {
        if (pluginData !== 'part') return undefined;
        const contents = `${readFileSync(path, 'utf8')}\nexport { MemoryBackend, StorageEngine } from '${index}';`;
        return { contents, loader: 'ts', resolveDir: dirname(path) };
      });
      build.onLoad({ filter: /[\\/]wasm[\\/]release\.js$/ }, ({ path }) => {
        const packed = deflateRawSync(module, { level: 9 });
        const contents = `import { inflateSync } from 'fflate';
          export const bytes = /* @__PURE__ */ inflateSync(${decoded(packed)}, { out: new Uint8Array(${module.length}) });`;
        return { contents, resolveDir: dirname(path) };
      });
    },
  };
}

/** The module with the names that the code has for its exports, and nothing that has none. */
function renamed(bytes, names) {
  const module = binaryen.readBinary(bytes);
  try {
    for (let index = module.getNumExports() - 1; index >= 0; --index) {
      const { name, value } = binaryen.getExportInfo(module.getExportByIndex(index));
      module.removeExport(name);
      if (names[name]) module.addFunctionExport(value, names[name]);
    }
    module.runPasses(['remove-unused-module-elements']);
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

/** An expression for bytes, as text that every bundler and every page leaves as it is. */
export function decoded(bytes) {
  return `/* @__PURE__ */ Uint8Array.from(atob('${Buffer.from(bytes).toString('base64')}'), (c) => c.charCodeAt(0))`;
}
