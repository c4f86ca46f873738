#!/usr/bin/env bash
# unstorage 1.17.6 with its memory driver: a key ends at its first question mark, silently. Two keys that differ behind it are
# one, and the list of keys shows the shorter one. One would guess that a key is any text, or that this one is refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --save-exact unstorage@1.17.6
cat > run.mjs <<'JS'
import { createStorage } from 'unstorage';
const storage = createStorage();
await storage.setItem('page?id=1', 'one');
await storage.setItem('page?id=2', 'two');
console.log('first:', await storage.getItem('page?id=1'));
console.log('keys:', (await storage.getKeys()).join(' '));
JS
seen=$(node run.mjs 2>&1)
printf '%s\n' "$seen"
recorded='first: two
keys: page'
[[ $seen == "$recorded" ]] || {
  printf 'the behaviour has changed; recorded was:\n%s\n' "$recorded" >&2
  exit 1
}
