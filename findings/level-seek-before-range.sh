#!/usr/bin/env bash
# abstract-level 3.1.1 with memory-level 3.1.0 and classic-level 3.0.0: an iterator over a range that seeks to a target before
# that range ends at once and answers nothing more, although all of the range lies behind the target. One would guess that
# it goes to the first key of the range.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --save-exact memory-level@3.1.0 classic-level@3.0.0 abstract-level@3.1.1
cat > run.mjs <<'JS'
import { ClassicLevel } from 'classic-level';
import { MemoryLevel } from 'memory-level';
for (const db of [new MemoryLevel(), new ClassicLevel('store')]) {
  await db.batch(['a', 'c', 'd'].map((key) => ({ type: 'put', key, value: key })));
  for (const target of ['b', 'c']) {
    const iterator = db.keys({ gte: 'c' });
    iterator.seek(target);
    console.log(db.constructor.name, 'from c on, after seek to', target + ':', (await iterator.all()).join(' ') || 'nothing');
    await iterator.close();
  }
  await db.close();
}
JS
seen=$(node run.mjs 2>&1)
printf '%s\n' "$seen"
recorded='MemoryLevel from c on, after seek to b: nothing
MemoryLevel from c on, after seek to c: c d
ClassicLevel from c on, after seek to b: nothing
ClassicLevel from c on, after seek to c: c d'
[[ $seen == "$recorded" ]] || {
  printf 'the behaviour has changed; recorded was:\n%s\n' "$recorded" >&2
  exit 1
}
