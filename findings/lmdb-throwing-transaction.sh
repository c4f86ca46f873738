#!/usr/bin/env bash
# lmdb 3.5.6: a function handed to transaction() that throws after a put rejects its caller, and the put is committed all
# the same; transactionSync takes it back. One would guess that a transaction that throws is rolled back in both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --save-exact lmdb@3.5.6
cat > run.mjs <<'JS'
import { open } from 'lmdb';
const db = open({ path: 'store' });
const put = (key) => () => {
  db.put(key, 1);
  throw new Error('no');
};
await db.transaction(put('promised')).catch((error) => console.log('transaction rejects:', error.message));
try {
  db.transactionSync(put('blocking'));
} catch (error) {
  console.log('transactionSync throws:', error.message);
}
await db.flushed;
console.log('there afterwards:', ['promised', 'blocking'].filter((key) => db.get(key) !== undefined).join(', '));
await db.close();
JS
seen=$(node run.mjs 2>&1)
printf '%s\n' "$seen"
recorded='transaction rejects: no
transactionSync throws: no
there afterwards: promised'
[[ $seen == "$recorded" ]] || {
  printf 'the behaviour has changed; recorded was:\n%s\n' "$recorded" >&2
  exit 1
}
