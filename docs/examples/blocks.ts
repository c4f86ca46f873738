// Blocks: bytes with a type, a codec and a checksum; a store gives each an id, another place takes them as they are.
import { AegisError, Block, StorageEngine } from 'aegis-storage';

const engine = await StorageEngine.open();
const rows = Array.from({ length: 2000 }, (_, i) => `{"at":${i},"sensor":"attic","value":${20 + (i % 7)}}\n`);
const data = new TextEncoder().encode(rows.join(''));

const ids: number[] = [];
for (const compression of ['none', 'lz4', 'zstd'] as const) {
  const block = new Block(data, { type: 'timeseries' }).withCompression(compression);
  const id = await engine.writeBlock(block); // durable like every write, and never used for another block
  ids.push(id);
  console.log(compression, 'makes it smaller:', block.serialize().length < data.length / 4);
}

const [first, , last] = ids as [number, number, number];
const read = engine.readBlock(last);
console.log(read?.type, read?.compression, read?.data.length === data.length);

// A key says which block is meant; both change in the order you choose.
await engine.put('latest readings', String(last));
console.log('deleted:', await engine.deleteBlock(first), 'and again:', await engine.deleteBlock(first));
console.log('never written:', engine.readBlock(first));

// Outside a store: a single wrong bit is found.
const bytes = (read as Block).serialize();
bytes[bytes.length - 1]! ^= 1;
try {
  Block.deserialize(bytes);
} catch (error) {
  if (error instanceof AegisError) console.log(error.code);
}
await engine.close();

/* Output:
none makes it smaller: false
lz4 makes it smaller: true
zstd makes it smaller: true
timeseries zstd true
deleted: true and again: false
never written: undefined
CORRUPTION
*/
