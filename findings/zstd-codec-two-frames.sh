#!/usr/bin/env bash
# zstd-codec 0.1.5: two frames one after the other are a valid zstd stream that stands for both contents, as the format
# says and other decoders have it (fzstd 0.1.1). Simple.decompress answers null for the pair. One would guess both contents,
# or those of the first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --save-exact zstd-codec@0.1.5 fzstd@0.1.1
cat > run.mjs <<'JS'
import { createRequire } from 'node:module';
import { decompress } from 'fzstd';
const { ZstdCodec } = createRequire(import.meta.url)('zstd-codec');
ZstdCodec.run((zstd) => {
  const simple = new zstd.Simple();
  const text = (bytes) => bytes && new TextDecoder().decode(bytes);
  const frames = ['first ', 'second'].map((one) => simple.compress(new TextEncoder().encode(one), 3));
  const both = Buffer.concat(frames);
  console.log('each alone:', frames.map((one) => text(simple.decompress(one))).join('|'));
  console.log('fzstd:', text(decompress(both)));
  console.log('zstd-codec:', simple.decompress(new Uint8Array(both)));
});
JS
seen=$(node run.mjs 2>&1)
printf '%s\n' "$seen"
recorded='each alone: first |second
fzstd: first second
zstd-codec: null'
[[ $seen == "$recorded" ]] || {
  printf 'the behaviour has changed; recorded was:\n%s\n' "$recorded" >&2
  exit 1
}
