// Deleted records leave free space in the file, which later ones use. `compact` gives it back.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StorageEngine } from 'aegis-storage';

const dataDirectory = mkdtempSync(join(tmpdir(), 'aegis-example-'));
const engine = await StorageEngine.open({ backend: 'local', dataDirectory, compression: 'none' });
await engine.batch(
  Array.from({ length: 5000 }, (_, i) => ({ type: 'put' as const, key: `key ${i}`, value: 'x'.repeat(500) })),
);
await engine.checkpoint();
await engine.transaction((tx) => tx.deleteRange({ gte: 'key 1', lt: 'key 9' }));

const { bytesBefore, bytesAfter } = await engine.compact();
console.log('records:', engine.count());
console.log('the file is less than a third of what it was:', bytesAfter < bytesBefore / 3);
await engine.close();
rmSync(dataDirectory, { recursive: true });

/* Output:
records: 112
the file is less than a third of what it was: true
*/
