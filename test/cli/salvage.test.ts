/* aegis salvage: what it copies, what it says of the rest, and its exit status. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Block } from '../../src/engine/block.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { randomFrom } from '../support/codec-data.ts';
import { folderState } from '../support/files.ts';
import { temporaryFolder } from '../support/place.ts';
import { aegis } from './run.ts';
import { filled, Place } from './store.ts';

const random = randomFrom(7);
const noiseOf = (length: number) => Uint8Array.from({ length }, () => random(256));
const noise = noiseOf(20_000);

/** What no codec makes smaller, so that it is found in the file. */
const records = Object.fromEntries(
  Array.from({ length: 300 }, (_, i) => [`key ${String(i).padStart(3, '0')}`, noiseOf(200)]),
);

/** A folder, but for the note in `lock` of who reads. */
function stateOf(folder: string): unknown[] {
  return (folderState(folder) as { name: string }[]).filter(({ name }) => name !== 'lock');
}

/** Turns a bit of the first place in a file that holds these bytes. */
function damage(file: string, bytes: string): void {
  const data = readFileSync(file);
  const at = data.indexOf(bytes, 0, 'latin1');
  expect(at).toBeGreaterThan(0);
  data[at] = (data[at] as number) ^ 1;
  writeFileSync(file, data);
}

test('salvage: a sound store comes over whole, with status 0, and is not touched', async () => {
  const place = await filled(records);
  await place.open((engine) => engine.tree('named').put('key', 'value'));
  const target = join(temporaryFolder(), 'new');
  const before = stateOf(place.folder);
  const { status, output } = await place.run(['salvage', target]);
  expect([status, output]).toEqual([0, `301 records, 1 named trees, 0 blocks: ${target}; nothing is lost\n`]);
  expect(stateOf(place.folder)).toEqual(before);
  const copy = await StorageEngine.open({ backend: 'local', dataDirectory: target, readOnly: true });
  expect([copy.count(), copy.tree('named').getString('key')]).toEqual([300, 'value']);
  await copy.close();
});

test('salvage: where something is, or nothing to copy, nothing is written', async () => {
  const place = await filled(records);
  const state = stateOf(place.folder);
  const other = await filled({ key: 'value' });
  const taken = stateOf(other.folder);
  const again = await place.run(['salvage', other.folder]);
  expect([again.status, again.errors]).toEqual([3, expect.stringMatching(/^aegis: EXISTS: /)]);
  expect(stateOf(other.folder)).toEqual(taken);
  const itself = await place.run(['salvage', place.folder]);
  expect([itself.status, itself.errors]).toEqual([3, expect.stringMatching(/^aegis: EXISTS: /)]);
  const strangers = temporaryFolder();
  writeFileSync(join(strangers, 'letter'), 'Dear');
  expect((await place.run(['salvage', strangers])).errors).toMatch(/^aegis: NOT_A_STORE: /);
  expect(stateOf(strangers)).toHaveLength(1);
  const empty = temporaryFolder();
  const nothing = await aegis(['salvage', join(empty, 'none'), join(empty, 'new')]);
  expect([nothing.status, nothing.errors]).toEqual([3, expect.stringMatching(/^aegis: NOT_FOUND: /)]);
  expect(stateOf(empty)).toEqual([]);
  await place.open(async () => {
    const locked = await place.run(['salvage', join(empty, 'new')]);
    expect([locked.status, locked.errors]).toEqual([3, expect.stringMatching(/^aegis: LOCKED: /)]);
  });
  expect(stateOf(empty)).toEqual([]);
  expect((await place.run(['salvage'])).status).toBe(2);
  expect((await aegis(['salvage', 'a', 'b', 'c'])).status).toBe(2);
  expect(stateOf(place.folder)).toHaveLength((state as unknown[]).length);
});

test('salvage: what is lost is listed with its keys, file and offset, and the status is 1', async () => {
  const place = await filled(records);
  const [block] = await place.open((engine) =>
    Promise.all([engine.writeBlock(new Block(noise)), engine.tree('a').put('b', 'c')]),
  );
  const file = join(place.folder, 'data');
  damage(file, 'key 150');
  damage(file, 'AEGU');
  const target = join(temporaryFolder(), 'new');
  const { status, output } = await aegis(['salvage', place.folder, target]);
  const lines = output.split('\n');
  expect(lines[0]).toMatch(
    /^lost: keys from key 1\d\d? up to, but without, key \d+: page \d+: .+ \(file data, offset \d+\)$/,
  );
  expect(lines[1]).toMatch(new RegExp(`^lost: block ${block}: page \\d+: .+ \\(file data, offset \\d+\\)$`));
  expect(lines[2]).toMatch(/^\d+ records, 1 named trees, 0 blocks: .*; lost: 2, listed above$/);
  expect([status, lines.length]).toEqual([1, 4]);
  const json = await aegis(['--json', 'salvage', place.folder, join(temporaryFolder(), 'new')]);
  expect(json.status).toBe(1);
  const report = JSON.parse(json.output) as {
    lost: { range?: { gte: string; lt: string } }[];
    records: number;
  };
  expect(report.lost).toMatchObject([
    { what: 'keys', file: 'data', range: { gte: expect.stringMatching(/^key 1/) } },
    { what: 'blocks', ids: [block, block] },
  ]);
  const { gte, lt } = report.lost[0]!.range as { gte: string; lt: string };
  expect(report.records).toBe(Object.keys(records).filter((key) => key < gte || key >= lt).length + 1);
});

test('salvage: what is lost is said in words: everything, single keys, trees, commits', async () => {
  const place = await filled({ short: 'y', long: noise });
  await place.open((engine) => engine.tree('named').put('key', 'value'));
  const from = (name: string) => join(place.folder, name);
  const said = async (of = place): Promise<string> =>
    (await of.run(['salvage', join(temporaryFolder(), 'new')])).output.split(/: |\n/).slice(0, 2).join(': ');
  const sound = readFileSync(from('data'));
  const cuts = (bytes: Uint8Array): void => {
    damage(from('data'), Buffer.from(bytes).toString('latin1'));
  };
  cuts(noise.subarray(0, 20));
  expect(await said()).toBe('lost: key long');
  writeFileSync(from('data'), sound);
  damage(from('data'), 'shorty');
  expect(await said()).toBe('lost: all keys');
  writeFileSync(from('data'), sound);
  damage(from('data'), '\x05\0\x08\0\0\0named');
  expect(await said()).toBe('lost: all trees');
  writeFileSync(from('data'), sound);
  damage(from('data'), '\x03\0\x05\0\0\0keyvalue');
  expect(await said()).toBe('lost: all keys of tree named');
  writeFileSync(from('data'), sound);
  // A log that the checkpoint knows of; a store that was closed has none.
  const crashed = new Place();
  await place.open(async (engine) => {
    await engine.put('more', 'z');
    await engine.checkpoint();
    cpSync(place.folder, crashed.folder, { recursive: true });
  });
  rmSync(join(crashed.folder, 'log-1'));
  expect(await said(crashed)).toBe('lost: the last commits');
});
