#!/usr/bin/env bash
# lz4-wasm 0.9.2: importing the package by its name fails on Node, since package.json has nothing but "module", which only
# bundlers read, and its code imports a .wasm file as if that were a module. lz4-wasm-nodejs 0.9.2 holds the same code for
# Node. One would guess that a package of WebAssembly with types and an ES module can be imported.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --save-exact lz4-wasm@0.9.2 lz4-wasm-nodejs@0.9.2
cat > run.mjs <<'JS'
import { readFileSync } from 'node:fs';
const { main, exports, module } = JSON.parse(readFileSync('node_modules/lz4-wasm/package.json', 'utf8'));
console.log('main:', main, 'exports:', exports, 'module:', module);
await import('lz4-wasm').then(
  () => console.log('lz4-wasm: imported'),
  ({ code }) => console.log('lz4-wasm:', code),
);
const { default: lz4 } = await import('lz4-wasm-nodejs');
console.log('lz4-wasm-nodejs:', Buffer.from(lz4.decompress(lz4.compress(Buffer.from('same bytes')))).toString());
JS
seen=$(node run.mjs 2>&1)
printf '%s\n' "$seen"
recorded='main: undefined exports: undefined module: lz4_wasm.js
lz4-wasm: ERR_MODULE_NOT_FOUND
lz4-wasm-nodejs: same bytes'
[[ $seen == "$recorded" ]] || {
  printf 'the behaviour has changed; recorded was:\n%s\n' "$recorded" >&2
  exit 1
}
