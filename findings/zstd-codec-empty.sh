#!/usr/bin/env bash
# zstd-codec 0.1.5: what Simple.compress makes of no bytes is a whole frame, which other decoders (fzstd 0.1.1)
# turn into no bytes again. Its own Simple.decompress answers null for it, its sign of a failure: a content size of 0 is
# taken for an error. One would guess that every frame it writes comes back.
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
  const frame = simple.compress(new Uint8Array(0), 3);
  console.log('bytes of the frame:', frame.length);
  console.log('fzstd:', decompress(frame).length, 'bytes');
  console.log('zstd-codec:', simple.decompress(frame));
});
JS
seen=$(node run.mjs 2>&1)
printf '%s\n' "$seen"
recorded='bytes of the frame: 9
fzstd: 0 bytes
zstd-codec: null'
[[ $seen == "$recorded" ]] || {
  printf 'the behaviour has changed; recorded was:\n%s\n' "$recorded" >&2
  exit 1
}
