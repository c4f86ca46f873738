#!/usr/bin/env bash
# unstorage 1.17.6 with its memory driver: text that reads like a literal of JSON does not come back as text from getItem. It is a
# number, a boolean, null or an object then; getItemRaw answers what was stored. One would guess that a string stays one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --save-exact unstorage@1.17.6
cat > run.mjs <<'JS'
import { createStorage } from 'unstorage';
const storage = createStorage();
for (const text of ['12', '1e3', 'true', 'null', '{"a":1}', 'plain']) {
  await storage.setItem('key', text);
  const [item, raw] = [await storage.getItem('key'), await storage.getItemRaw('key')];
  console.log(JSON.stringify(text), 'comes back as', typeof item, JSON.stringify(item) + ', raw as', typeof raw);
}
JS
seen=$(node run.mjs 2>&1)
printf '%s\n' "$seen"
recorded='"12" comes back as number 12, raw as string
"1e3" comes back as number 1000, raw as string
"true" comes back as boolean true, raw as string
"null" comes back as object null, raw as string
"{\"a\":1}" comes back as object {"a":1}, raw as string
"plain" comes back as string "plain", raw as string'
[[ $seen == "$recorded" ]] || {
  printf 'the behaviour has changed; recorded was:\n%s\n' "$recorded" >&2
  exit 1
}
