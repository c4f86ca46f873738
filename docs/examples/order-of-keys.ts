// Keys are ordered by their bytes. Text of numbers is not in the order of the numbers; these bytes are.
import { StorageEngine } from 'aegis-storage';

/** A whole number from 0 on as eight bytes, the highest first. */
function numberKey(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}
const numberOf = (key: Uint8Array) => Number(new DataView(key.buffer, key.byteOffset).getBigUint64(0));

const text = await StorageEngine.open();
const bytes = await StorageEngine.open();
for (const value of [9, 10, 100, 1]) {
  await text.put(String(value), '');
  await bytes.put(numberKey(value), '');
}
const decoder = new TextDecoder();
console.log('as text: ', [...text.scan().keys()].map((key) => decoder.decode(key)).join(' '));
console.log('as bytes:', [...bytes.scan().keys()].map(numberOf).join(' '));
console.log('from 10: ', [...bytes.scan({ gte: numberKey(10) }).keys()].map(numberOf).join(' '));
await text.close();
await bytes.close();

/* Output:
as text:  1 10 100 9
as bytes: 1 9 10 100
from 10:  10 100
*/
