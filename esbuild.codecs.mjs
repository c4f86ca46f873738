/*
 * The two codec packages as modules of our own: one file each, the WebAssembly inside, made synchronously. Neither
 * package can be used as it is published: lz4-wasm imports a `.wasm` file, which needs a bundler; zstd-codec starts
 * asynchronously, asks for Node modules and prints.
 *
 * 1. build/wasm/lz4.js: `instantiate()` makes an instance of lz4-wasm, so that one that trapped can be thrown away. Its
 *    published glue is used as it is, inside a function.
 * 2. build/zstd-codec.js: `open()` starts zstd-codec and answers its `Simple`. Its loader is replaced by one that
 *    instantiates at once and prints nothing; the asm.js fallback stays out. The file is a script but for its last line,
 *    the one export, so that src/core/zstd-file.ts can load it between two statements too.
 *
 * A package that looks otherwise than what was read when this was written stops the build.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

/** Names that tell zstd-codec where it runs, or lead it to `console.log = print` in a browser; to it there is nothing. */
const surroundings = ['process', 'window', 'document', 'importScripts', 'define'].concat([
  'print',
  'printErr',
  'read',
  'readbuffer',
  'scriptArgs',
  'quit',
]);

const lz4Notice = '/*! lz4-wasm, Copyright (c) 2020 Pascal Seitz, MIT: see LICENSE-codecs.txt */';
const zstdNotice =
  '/*! zstd-codec, Copyright (c) 2017 Yoshihito Hirakawa, MIT; zstd, Copyright (c) 2016-present, Facebook, Inc., BSD: see LICENSE-codecs.txt */';

function decoded(base64) {
  return `Uint8Array.from(atob('${base64}'), (c) => c.charCodeAt(0))`;
}

/** Cuts `pattern` out of a package's text, or stops. */
function cut(text, pattern, by, what) {
  const matches = [...text.matchAll(new RegExp(pattern, 'g'))];
  if (matches.length !== 1) throw new Error(`${what} has another form than the one known here`);
  return { text: text.replace(matches[0][0], () => by), found: matches[0] };
}

/** build/wasm/lz4.js */
function lz4Module() {
  const folder = dirname(require.resolve('lz4-wasm/package.json'));
  const glue = readFileSync(join(folder, 'lz4_wasm_bg.js'), 'utf8');
  const { text } = cut(glue, "import \\* as wasm from '\\./lz4_wasm_bg\\.wasm';", '', 'lz4-wasm');
  const names = [...text.matchAll(/^export function (\w+)/gm)].map(([, name]) => name);
  if (names.join() !== 'compress,decompress,__wbindgen_string_new')
    throw new Error('lz4-wasm exports others');
  const bytes = readFileSync(join(folder, 'lz4_wasm_bg.wasm')).toString('base64');
  return `${lz4Notice}
const bytes = ${decoded(bytes)};
let compiled;
export function instantiate() {
  compiled ??= new WebAssembly.Module(bytes);
${text.replaceAll(/^export function/gm, 'function').replace("(0, module.require)('util').TextDecoder", 'undefined')}
  const imports = { './lz4_wasm_bg.js': { __wbindgen_string_new } };
  const wasm = new WebAssembly.Instance(compiled, imports).exports;
  return { compress, decompress };
}
`;
}

/** Replaces parts of zstd-codec while esbuild reads it. */
const zstdParts = {
  name: 'zstd-codec-parts',
  setup(build) {
    let bytes = '';
    build.onResolve({ filter: /^(fs|path|crypto|stream)$/ }, ({ path }) => ({ path, namespace: 'nothing' }));
    build.onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: 'module.exports = {};' }));
    build.onLoad({ filter: /zstd-codec-binding-wasm\.js$/ }, ({ path }) => {
      const pattern = 'wasmBinaryFile="data:application/octet-stream;base64,([^"]+)"';
      const { text, found } = cut(readFileSync(path, 'utf8'), pattern, 'wasmBinaryFile=""', 'zstd-codec');
      bytes = found[1];
      return { contents: `${text}\nmodule.exports.bytes = ${decoded(bytes)};` };
    });
    build.onLoad({ filter: /zstd-codec[\\/]lib[\\/]module\.js$/ }, () => ({
      contents: `
        const factory = require('./zstd-codec-binding-wasm.js');
        exports.run = (ready) => {
          let failure;
          const quiet = () => undefined;
          const Module = {
            print: quiet,
            printErr: quiet,
            onRuntimeInitialized: () => ready(Module),
            instantiateWasm(imports, receive) {
              try {
                const instance = new WebAssembly.Instance(new WebAssembly.Module(factory.bytes), imports);
                receive(instance);
                return instance.exports;
              } catch (error) {
                failure = error;
                throw error;
              }
            },
          };
          try {
            factory(Module);
          } catch (error) {
            throw failure ?? error;
          }
          if (failure) throw failure;
        };`,
    }));
  },
};

async function zstdModule() {
  const esbuild = await import('esbuild');
  const contents = `
    import zstdCodec from 'zstd-codec';
    export function open() {
      let simple;
      zstdCodec.ZstdCodec.run((zstd) => { simple = new zstd.Simple(); });
      if (simple === undefined) throw new Error('zstd-codec did not start');
      return simple;
    }`;
  const { outputFiles } = await esbuild.build({
    stdin: { contents, resolveDir: dirname(new URL(import.meta.url).pathname) },
    bundle: true,
    format: 'iife',
    globalName: 'zstdCodec',
    platform: 'neutral',
    mainFields: ['main'],
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    define: Object.fromEntries([['__dirname', '""'], ...surroundings.map((name) => [name, 'undefined'])]),
    plugins: [zstdParts],
    write: false,
    logLevel: 'warning',
    logOverride: { 'suspicious-boolean-not': 'silent' },
  });
  return `${zstdNotice}\n${outputFiles[0].text}export const open = zstdCodec.open;\n`;
}

/** The text of each module by its path under build/. */
export async function codecModules() {
  const codec = '{ compress(bytes: Uint8Array): Uint8Array; decompress(sized: Uint8Array): Uint8Array }';
  const simple =
    '{ compress(bytes: Uint8Array, level?: number): Uint8Array | null; decompress(frame: Uint8Array): Uint8Array | null }';
  return {
    'wasm/lz4.js': lz4Module(),
    'wasm/lz4.d.ts': `export function instantiate(): ${codec};\n`,
    'zstd-codec.js': await zstdModule(),
    'zstd-codec.d.ts': `export function open(): ${simple};\n`,
  };
}
