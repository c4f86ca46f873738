// Not every commit has to wait for the disk. Here only the marks between chunks do.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StorageEngine } from 'aegis-storage';

const dataDirectory = mkdtempSync(join(tmpdir(), 'aegis-example-'));
const engine = await StorageEngine.open({
  backend: 'local',
  dataDirectory,
  syncOnCommit: false, // a commit resolves when it is written to the log: the death of this process loses nothing
  walFlushInterval: 100, // a power cut may take what came in the last 100 ms
});

for (let chunk = 1; chunk <= 3; chunk++) {
  for (let i = 0; i < 200; i++) await engine.put(`chunk ${chunk}/${i}`, 'data');
  const tx = engine.beginTransaction();
  tx.put('done', String(chunk));
  // This one waits for stable storage, and so everything before it is there as well.
  await tx.commit({ sync: true });
}
const { commits } = engine.stats().transactions;
console.log('commits:', commits, 'chunks done:', engine.getString('done'));
console.log('fewer syncs than commits:', engine.stats().log.syncs < commits);
await engine.close();
rmSync(dataDirectory, { recursive: true });

/* Output:
commits: 603 chunks done: 3
fewer syncs than commits: true
*/
