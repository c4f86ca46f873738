/*
 * The largest value and the largest block come back as they were: 1 GiB - 1 in the long form (it wants some 6 GB of
 * memory), 16 MiB in the quick one.
 */
import { expect, test } from 'vitest';
import { Block, StorageEngine } from '../../src/index.ts';
import { long } from '../support/seed.ts';

const SIZE = long ? 2 ** 30 - 1 : 2 ** 24 - 1;

function patterned(): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  for (let at = 0; at < SIZE; at += 4097) bytes[at] = at & 255;
  return bytes;
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

test('contract: the largest value comes back as it was', { timeout: 600_000 }, async () => {
  const engine = await StorageEngine.open({ bufferPoolSize: '256MB' });
  const value = patterned();
  await engine.put('big', value);
  expect(same(engine.get('big')!, value)).toBe(true);
  expect(await engine.delete('big')).toBe(true);
  await engine.close();
});

test('contract: the largest block comes back as it was', { timeout: 600_000 }, async () => {
  const engine = await StorageEngine.open({ bufferPoolSize: '256MB' });
  const data = patterned();
  const id = await engine.writeBlock(new Block(data).withCompression('lz4'));
  expect(same(engine.readBlock(id)!.data, data)).toBe(true);
  await engine.close();
});
