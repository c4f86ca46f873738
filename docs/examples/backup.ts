// A backup while the store is written: the copy is one committed state, and a store like any other.
import { MemoryBackend, StorageEngine } from 'aegis-storage';

const engine = await StorageEngine.open();
for (let i = 0; i < 500; i++) await engine.put(`key ${i}`, 'value');

const target = new MemoryBackend(); // or a folder: engine.backup('/var/backup/monday')
const running = engine.backup(target);
const late = Array.from({ length: 200 }, (_, i) => engine.put(`late ${i}`, 'value'));
const report = await running; // durable, read again and verified
await Promise.all(late);
console.log('records in the copy, at the least 500:', report.records >= 500);

const copy = await StorageEngine.open({ backend: target, readOnly: true });
console.log('of the first 500:', copy.count({ prefix: 'key ' }), 'sound:', (await copy.verify()).ok);
console.log('in the store:', engine.count());
await copy.close();
await engine.close();

/* Output:
records in the copy, at the least 500: true
of the first 500: 500 sound: true
in the store: 700
*/
