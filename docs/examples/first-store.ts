// A store in a folder: write, close, open again, read.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StorageEngine } from 'aegis-storage';

const dataDirectory = join(mkdtempSync(join(tmpdir(), 'aegis-example-')), 'store');

const engine = await StorageEngine.open({ backend: 'local', dataDirectory });
await engine.put('city/ch/bern', '134794'); // resolved: it is on stable storage
await engine.put('city/ch/basel', '173863');
await engine.put('city/fr/lyon', '522250');
await engine.close();

const again = await StorageEngine.open({ backend: 'local', dataDirectory });
console.log('bern has', again.getString('city/ch/bern'));
console.log('is paris there?', again.has('city/fr/paris'));

const text = new TextDecoder();
for (const [key, value] of again.scan({ prefix: 'city/ch/' })) {
  console.log(text.decode(key), '=', text.decode(value));
}
await again.close();
rmSync(dataDirectory, { recursive: true });

/* Output:
bern has 134794
is paris there? false
city/ch/basel = 173863
city/ch/bern = 134794
*/
