// The codec of a store can change at any time: new blocks have the new one, `compact` rewrites the others.
import { MemoryBackend, StorageEngine } from 'aegis-storage';

const backend = new MemoryBackend();
const record = (i: number) =>
  JSON.stringify({
    id: i,
    kind: 'reading',
    sensor: `attic/${i % 7}`,
    ok: i % 50 > 0,
    value: (i * 37) % 1000,
  });

const first = await StorageEngine.open({ backend, compression: 'none' });
await first.batch(
  Array.from({ length: 5000 }, (_, i) => ({ type: 'put' as const, key: `reading/${i}`, value: record(i) })),
);
await first.close();

const second = await StorageEngine.open({ backend, compression: 'zstd', compressionLevel: 3 });
console.log('still there:', second.count(), second.getString('reading/4711') === record(4711));
const { bytesBefore, bytesAfter } = await second.compact();
console.log('a third of the size, or less:', bytesAfter < bytesBefore / 3);
await second.close();

// No setting is needed to read it: a store says itself which codecs its blocks have.
const third = await StorageEngine.open({ backend, readOnly: true });
console.log('read back:', third.getString('reading/4711') === record(4711));
await third.close();

/* Output:
still there: 5000 true
a third of the size, or less: true
read back: true
*/
