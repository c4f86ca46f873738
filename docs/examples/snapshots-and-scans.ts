// A snapshot reads one state for as long as it is open; a scan has one of its own.
import { StorageEngine } from 'aegis-storage';

const engine = await StorageEngine.open();
await engine.batch(
  ['ant', 'bee', 'cat', 'dog', 'elk'].map((key) => ({ type: 'put' as const, key, value: 'old' })),
);

const before = engine.snapshot();
await engine.put('bee', 'new');
await engine.delete('cat');
console.log(
  'before:',
  before.getString('bee'),
  before.count(),
  'now:',
  engine.getString('bee'),
  engine.count(),
);
before.close(); // lets go of the old pages

const text = new TextDecoder();
const names = (keys: Iterable<Uint8Array>) => [...keys].map((key) => text.decode(key)).join(' ');
console.log('from b on:', names(engine.scan({ gte: 'b' }).keys()));
console.log('below d, last first:', names(engine.scan({ lt: 'd', reverse: true }).keys()));
console.log('the last two:', names(engine.scan({ reverse: true, limit: 2 }).keys()));

// A loop may write what it reads: the scan shows the moment it was made.
for (const key of engine.scan().keys()) await engine.put(`copy of ${text.decode(key)}`, '');
console.log('after the loop:', engine.count());

// Many records for one call: the fastest way through a range.
const scan = engine.scan({ prefix: 'copy of ' });
for (let some = scan.nextMany(3); some.length > 0; some = scan.nextMany(3)) console.log('took', some.length);
await engine.close();

/* Output:
before: old 5 now: new 4
from b on: bee dog elk
below d, last first: bee ant
the last two: elk dog
after the loop: 8
took 3
took 1
*/
