#!/usr/bin/env bash
# memory-level 3.1.0: a value put as a Buffer (encoding buffer) is kept as that very object, after the promise of put has
# resolved too. Whoever fills the buffer anew changes what is stored, and two keys put from one buffer end with one value.
# classic-level 3.0.0, with the same interface, has copied it by then. One would guess that a store has its own bytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --save-exact memory-level@3.1.0 classic-level@3.0.0
cat > run.mjs <<'JS'
import { ClassicLevel } from 'classic-level';
import { MemoryLevel } from 'memory-level';
for (const db of [new MemoryLevel({ valueEncoding: 'buffer' }), new ClassicLevel('store', { valueEncoding: 'buffer' })]) {
  const scratch = Buffer.alloc(5);
  for (const word of ['first', 'other']) {
    scratch.write(word);
    await db.put(word, scratch);
  }
  const values = [await db.get('first'), await db.get('other')];
  console.log(db.constructor.name + ':', values.map(String).join(' '));
  await db.close();
}
JS
seen=$(node run.mjs 2>&1)
printf '%s\n' "$seen"
recorded='MemoryLevel: other other
ClassicLevel: first other'
[[ $seen == "$recorded" ]] || {
  printf 'the behaviour has changed; recorded was:\n%s\n' "$recorded" >&2
  exit 1
}
