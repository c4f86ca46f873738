/* The command `blocks`: the list, the data of one, and what was never written. */
import { expect, test } from 'vitest';
import { resolveConfig } from '../../src/config/config.ts';
import { Block } from '../../src/engine/block.ts';
import { openEngineCore } from '../../src/engine/open.ts';
import { Tree } from '../../src/engine/tree.ts';
import { BLOCKS_NAME } from '../../src/store/tree-name.ts';
import { filled, type Place } from './store.ts';

/** Puts serialised blocks under their ids, as the engine keeps them. */
async function withBlocks(place: Place, blocks: Readonly<Record<number, Uint8Array>>): Promise<void> {
  const engineCore = await openEngineCore(resolveConfig({ backend: 'local', dataDirectory: place.folder }));
  const tree = new Tree(engineCore, BLOCKS_NAME);
  for (const [id, bytes] of Object.entries(blocks)) {
    const key = new Uint8Array(8);
    new DataView(key.buffer).setBigUint64(0, BigInt(id));
    await tree.put(key, bytes);
  }
  await engineCore.close();
}

const text = new Uint8Array(5000).fill(120);
const binary = Uint8Array.from({ length: 300 }, (_, at) => (at * 89) & 255);

test('cli: blocks lists ids, types, codecs and sizes, and writes the data of one', async () => {
  const place = await filled({ k: 'v' });
  expect(await place.run(['blocks'])).toMatchObject({ status: 0, output: '', errors: '' });
  await withBlocks(place, {
    1: new Block(binary, { type: 'index' }).serialize(),
    300: new Block(text).withCompression('lz4').serialize(),
    2: new Block(text).withCompression('zstd', 19).serialize(),
    5000000000: new Block(new Uint8Array(0)).serialize(),
  });
  const { output } = await place.run(['blocks']);
  expect(output).toMatch(
    /^ +id {2}type +codec +data +stored {2}checksum\n +1 {2}index +none +300 B +300 B {2}[0-9a-f]{16}\n/,
  );
  const json = (await place.run(['--json', 'blocks'])).output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  expect(json).toMatchObject([
    { id: 1, type: 'index', codec: 'none', rawSize: 300 },
    { id: 2, type: 'table', codec: 'zstd', rawSize: 5000 },
    { id: 300, type: 'table', codec: 'lz4', rawSize: 5000 },
    { id: 5_000_000_000, rawSize: 0 },
  ]);
  expect((await place.run(['blocks', '1'])).bytes).toEqual(Buffer.from(binary));
  expect((await place.run(['blocks', '2'])).bytes).toEqual(Buffer.from(text));
  expect((await place.run(['blocks', '300'])).bytes).toEqual(Buffer.from(text));
  expect(JSON.parse((await place.run(['blocks', '1', '--json'])).output)).toMatchObject({
    id: 1,
    found: true,
    data: Buffer.from(binary).toString('base64'),
  });
  expect((await place.run(['stat'])).output).toMatch(/ {2}blocks +4\n/);
  expect((await place.run(['trees'])).output).toBe('');
  expect((await place.run(['dump'])).output).toBe('{"key":"k","value":"v"}\n');
});

test('cli: blocks shows what writeBlock has written, under the ids it gave', async () => {
  const place = await filled({ k: 'v' });
  const [first, second] = await place.open(async (engine) => {
    const gone = await engine.writeBlock(new Block(text));
    const stays = await engine.writeBlock(new Block(binary, { type: 'log' }).withCompression('zstd'));
    await engine.deleteBlock(gone);
    return [gone, stays];
  });
  expect((await place.run(['blocks', String(first)])).status).toBe(1);
  expect((await place.run(['blocks', String(second)])).bytes).toEqual(Buffer.from(binary));
  expect(JSON.parse((await place.run(['--json', 'blocks'])).output)).toMatchObject({
    id: second,
    type: 'log',
  });
  expect((await place.run(['shell'], { stdin: [`blocks ${second}\n`] })).bytes).toEqual(Buffer.from(binary));
});

test('cli: a block never written is answered with 1, an impossible id with 2, damage with 3', async () => {
  const place = await filled({ k: 'v' });
  const damaged = new Block(binary).serialize();
  damaged[100] = (damaged[100] ?? 0) ^ 1;
  await withBlocks(place, { 7: damaged });
  for (const id of ['1', '8', '0', String(Number.MAX_SAFE_INTEGER)]) {
    expect(await place.run(['blocks', id])).toMatchObject({ status: 1, output: '', errors: '' });
    expect(JSON.parse((await place.run(['--json', 'blocks', id])).output)).toEqual({
      id: Number(id),
      found: false,
    });
  }
  for (const id of ['one', '1.5', '-1', '0x10', '9007199254740993']) {
    expect((await place.run(['blocks', '--', id])).errors, id).toMatch(
      /^aegis: a block id is a whole number, not "/,
    );
  }
  const { status, errors, output } = await place.run(['blocks', '7']);
  expect({ status, output }).toEqual({ status: 3, output: '' });
  expect(errors).toMatch(/^aegis: CORRUPTION: block 7: a block: the checksum does not hold\n$/);
  const list = await place.run(['blocks']);
  expect(list.status).toBe(1);
  expect(list.output).toMatch(/ 7 {2}a block: the checksum does not hold\n$/);
});
