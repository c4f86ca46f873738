/* Commands that look at a store from outside: stat, verify, backup, compact, page and wal. */
import {
  cpSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/place.ts';
import { aegis } from './run.ts';
import { filled, Place } from './store.ts';

/** Records with keys in order, and values of which one is long. */
function recordsOf(count: number): Record<string, string> {
  const records: Record<string, string> = { long: 'x'.repeat(40_000) };
  for (let at = 0; at < count; ++at) records[`key-${String(at).padStart(6, '0')}`] = `value ${at * 7919}`;
  return records;
}

async function jsonOf(place: Place, ...words: string[]): Promise<Record<string, unknown>> {
  const { status, output, errors } = await place.run(['--json', ...words]);
  expect({ status, errors }).toEqual({ status: 0, errors: '' });
  return JSON.parse(output) as Record<string, unknown>;
}

interface PageJson {
  found: boolean;
  kind: string;
  level: number;
  slots: number;
  fill: number;
  children: number[];
  keys: unknown[];
  extent: { offset: number; size: number; bytes: string; codec: string; checksum: string };
  problems: string[];
}

/** Every page there is, as `page` tells it: numbers have gaps, so they are all asked for in one shell. */
async function allPages(place: Place, count: number): Promise<Map<number, PageJson>> {
  const pages = new Map<number, PageJson>();
  for (let first = 1; pages.size < count; first += 100) {
    const lines = Array.from({ length: 100 }, (_, at) => `page ${first + at}\n`);
    const { output } = await place.run(['--json', 'shell'], { stdin: lines });
    for (const line of output.trimEnd().split('\n')) {
      const page = JSON.parse(line) as PageJson & { page: number };
      if (page.found) pages.set(page.page, page);
    }
  }
  return pages;
}

test('cli: stat counts what is there, and page tells the same of every page', async () => {
  const place = await filled(recordsOf(400));
  const stat = await jsonOf(place, 'stat');
  const census = stat['census'] as {
    pages: Record<string, number>;
    height: number;
    records: number;
    leafFill: number;
    leafFills: number[];
  };
  expect(census.records).toBe(401);
  expect(census.height).toBe(1);
  expect(census.pages).toMatchObject({ inner: 1, overflow: 5, damaged: 0 });
  expect(census.leafFills.reduce((sum, leaves) => sum + leaves, 0)).toBe(census.pages['leaf']);
  const total = (stat['pages'] as { count: number }).count;
  const pages = await allPages(place, total);
  const leaves = [...pages.values()].filter(({ kind }) => kind === 'leaf');
  expect(leaves).toHaveLength(census.pages['leaf']!);
  expect(leaves.flatMap(({ keys }) => keys)).toHaveLength(401);
  const mean = leaves.reduce((sum, { fill }) => sum + fill, 0) / leaves.length;
  expect(census.leafFill).toBeCloseTo(mean, 3);
  expect(leaves.every(({ fill }) => fill > 0.2 && fill <= 1)).toBe(true);
  const overflow = [...pages.values()].filter(({ kind }) => kind === 'overflow');
  expect(overflow.map(({ fill }) => Math.floor(fill * 10)).sort()).toEqual([10, 10, 10, 10, 9]);
  const root = pages.get(1)!;
  expect(root.children).toHaveLength(leaves.length);
  expect(root.children.every((child) => pages.get(child)?.kind === 'leaf')).toBe(true);
  for (const { extent, problems } of pages.values()) {
    expect(problems).toEqual([]);
    const bytes = Buffer.alloc(extent.bytes.length / 2);
    readFileSync(join(place.folder, 'data')).copy(bytes, 0, extent.offset, extent.offset + bytes.length);
    expect(bytes.toString('hex')).toBe(extent.bytes);
    expect(extent.checksum).toMatch(/^[0-9a-f]{16}$/);
    expect(['lz4', 'none']).toContain(extent.codec);
  }
});

test('cli: stat and page are readable without colours, stat --quick reads no page', async () => {
  const place = await filled(recordsOf(200));
  const { output, status } = await place.run(['stat']);
  expect(status).toBe(0);
  expect(output).toMatch(/^ {2}records +201$/m);
  expect(output).toMatch(/^ {3}\d0 - +\d+ % {2} *\d+ {2}█+$/m);
  expect(output.includes('\u001b')).toBe(false);
  expect(output.split('\n').filter((line) => line.length > 100)).toEqual([]);
  expect(await jsonOf(place, 'stat', '--quick')).not.toHaveProperty('census');
  // A store that was closed has no log; one that crashed has what was not given back.
  expect(await jsonOf(place, 'stat')).toMatchObject({ log: { files: 0, diskSize: 0 } });
  expect(output).toMatch(/^LOG\n {2}size +0 B +0 files$/m);
  const crashed = new Place();
  await place.open(async (engine) => {
    await engine.put('more', 'x');
    cpSync(place.folder, crashed.folder, { recursive: true });
  });
  const files = readdirSync(crashed.folder).filter((name) => name.startsWith('log-'));
  const taken = files.reduce((sum, name) => sum + statSync(join(crashed.folder, name)).size, 0);
  expect(taken).toBeGreaterThan(0);
  expect(await jsonOf(crashed, 'stat')).toMatchObject({ log: { files: files.length, diskSize: taken } });
  expect((await crashed.run(['stat'])).output).toMatch(/^LOG\n {2}size +[\d.]+ [KM]B +1 file$/m);
  const page = await place.run(['page', '1']);
  expect(page.output).toMatch(/^PAGE 1 {2}(leaf|inner)$/m);
  expect(page.output).toMatch(/^ {2}0000 {2}41 45 47 42 /m);
});

test('cli: a page that is not in use is answered with 1, an impossible number with 2', async () => {
  const place = await filled({ k: 'v' });
  expect(await place.run(['page', '77'])).toMatchObject({
    status: 1,
    output: 'page 77 is not in use\n',
    errors: '',
  });
  expect(JSON.parse((await place.run(['--json', 'page', '77'])).output)).toEqual({ page: 77, found: false });
  for (const number of ['0', '-1', 'one', '1.5', '99999999999']) {
    const { status, errors } = await place.run(['page', '--', number]);
    expect(status, number).toBe(2);
    expect(errors).toMatch(/^aegis: a page number is a whole number from 1 to/);
  }
});

test('cli: verify answers 0 for a sound store, and 1 with a line for each damage', async () => {
  const place = await filled(recordsOf(1500));
  expect(await place.run(['verify'])).toMatchObject({
    status: 0,
    output: expect.stringMatching(/^ok: [\d,]+ pages, 1,501 records\n$/) as string,
  });
  expect(await jsonOf(place, 'verify')).toMatchObject({ ok: true, records: 1501, problems: [] });
  const root = JSON.parse((await place.run(['--json', 'page', '1'])).output) as PageJson;
  const child = JSON.parse(
    (await place.run(['--json', 'page', String(root.children[3])])).output,
  ) as PageJson;
  const data = openSync(join(place.folder, 'data'), 'r+');
  writeSync(data, Buffer.of(0xaa), 0, 1, child.extent.offset + 100);
  const { status, output, errors } = await place.run(['verify']);
  expect({ status, errors }).toEqual({ status: 1, errors: '' });
  const lines = output.trimEnd().split('\n');
  expect(lines.at(-1)).toMatch(/^damaged: \d+ problems?; [\d,]+ pages, [\d,]+ records$/);
  expect(lines[0]).toContain(`page ${root.children[3]}`);
  expect(lines[0]).toContain(`offset ${child.extent.offset}`);
  const inJson = await place.run(['--json', 'verify']);
  expect(inJson.status).toBe(1);
  expect(JSON.parse(inJson.output)).toMatchObject({ ok: false, problems: [{ page: root.children[3] }] });
  const damaged = await place.run(['--json', 'page', String(root.children[3])]);
  expect(damaged.status).toBe(1);
  expect((JSON.parse(damaged.output) as PageJson).problems).toHaveLength(1);
  const stat = await jsonOf(place, 'stat');
  expect(stat).toMatchObject({ census: { pages: { damaged: 1 } }, records: { default: null } });
  expect((await place.run(['stat'])).output).toMatch(/ {2}records +not countable: damaged\n/);
});

test('cli: verify answers 1 for a store that damage keeps from being opened', async () => {
  const place = await filled({ k: 'v' });
  const data = openSync(join(place.folder, 'data'), 'r+');
  for (let at = 100; at < 8192; at += 512) writeSync(data, Buffer.of(0xaa, 0x55), 0, 2, at);
  expect((await place.run(['get', 'k'])).errors).toMatch(/^aegis: CORRUPTION: /);
  const { status, output, errors } = await place.run(['verify']);
  expect({ status, errors }).toEqual({ status: 1, errors: '' });
  expect(output).toMatch(/^[^\n]*superblock[^\n]*\ndamaged: 1 problem; 0 pages, 0 records\n$/);
  expect(JSON.parse((await place.run(['--json', 'verify'])).output)).toMatchObject({
    ok: false,
    problemCount: 1,
  });
});

test('cli: backup makes a store of the same records, and never over another', async () => {
  const place = await filled(recordsOf(300));
  const target = join(temporaryFolder(), 'copy');
  expect(await jsonOf(place, 'backup', target)).toMatchObject({ records: 301 });
  const copy = await aegis(['-d', target, 'dump']);
  expect(copy.output).toBe((await place.run(['dump'])).output);
  const again = await place.run(['backup', target]);
  expect(again.status).toBe(3);
  expect(again.errors).toMatch(/^aegis: EXISTS: [^\n]+\n$/);
  const strangers = temporaryFolder();
  writeFileSync(join(strangers, 'letter'), 'dear reader');
  expect((await place.run(['backup', strangers])).errors).toMatch(/^aegis: NOT_A_STORE: /);
  expect(readdirSync(strangers)).toEqual(['letter']);
  expect((await place.run(['backup'])).status).toBe(2);
});

test('cli: long work shows a bar to whoever watches, and leaves the answer alone', async () => {
  const place = await filled(recordsOf(3000));
  const rows = (await place.run(['dump'])).bytes;
  for (const words of [
    ['verify'],
    ['backup', join(temporaryFolder(), 'copy')],
    ['load', '-'],
    ['load', '-', '--json'],
  ]) {
    const { status, errors, output } = await place.run(words, { errorTerminal: true, stdin: [rows] });
    expect(status, errors).toBe(0);
    expect(output.includes('\u001b')).toBe(false);
    if (words.includes('--json')) expect(errors).toBe('');
    else expect(errors).toMatch(words[0] === 'load' ? /3,001 records|\r/ : /█.* of \d+ pages/);
  }
});

test('cli: compact makes the file of a store small again', async () => {
  const records = recordsOf(6000);
  const place = await filled(records);
  await place.open(async (engine) => {
    const gone = Object.keys(records).filter((_, at) => at % 10 !== 0);
    await engine.batch(gone.map((key) => ({ type: 'delete', key })));
  });
  const { bytesBefore, bytesAfter } = (await jsonOf(place, 'compact')) as {
    bytesBefore: number;
    bytesAfter: number;
  };
  expect(bytesAfter).toBeLessThan(bytesBefore / 2);
  expect((await place.run(['count'])).output).toBe('601\n');
  expect((await place.run(['compact'])).output).toMatch(
    /^[\d.]+ KB before, [\d.]+ KB now: \d+ pages moved, \d+ freed\n$/,
  );
  expect((await place.run(['verify'])).status).toBe(0);
});

test('cli: wal lists what a crash has left to be replayed', async () => {
  const place = new Place();
  const crashed = new Place();
  await place.open(async (engine) => {
    await engine.put('a', '1');
    await engine.checkpoint();
    await engine.batch([
      { type: 'put', key: 'b', value: '22' },
      { type: 'delete', key: 'a' },
    ]);
    await engine.put('long', 'x'.repeat(3_000_000));
    cpSync(place.folder, crashed.folder, { recursive: true });
  });
  const wal = await jsonOf(crashed, 'wal', '--records');
  expect(wal).toMatchObject({ checkpointSequence: 1, lastSequence: 3, commits: 2, records: 3 });
  const groups = wal['list'] as {
    lsn: number;
    size: number;
    parts: { sequence: number; ends: boolean }[];
    records: { kind: string; key: string; valueSize: number }[];
  }[];
  expect(groups.reduce((sum, { size }) => sum + size, 0)).toBe(wal['bytes']);
  expect(groups[0]).toMatchObject({
    lsn: wal['checkpointLsn'],
    parts: [{ sequence: 2, records: 2, ends: true }],
  });
  expect(groups[0]?.records).toMatchObject([
    { kind: 'put', tree: 1, key: 'b', valueSize: 2 },
    { kind: 'delete', tree: 1, key: 'a', valueSize: 0 },
  ]);
  const rest = groups.slice(1).flatMap(({ records }) => records);
  expect(rest[0]).toMatchObject({ key: 'long', valueSize: 3_000_000 });
  const text = await crashed.run(['wal', '--records', '--limit', '1']);
  expect(text.output).toMatch(
    /^ {2}LSN \d+, \d+ B: 2 records of commit 2\n {4}put {2}"b" {2}2 B\n {4}delete {2}"a"\n/m,
  );
  expect(text.output).toMatch(/… \d+ more groups\n$/);
  expect((await crashed.run(['get', 'b'])).output).toBe('22\n');
  expect(await jsonOf(place, 'wal')).toMatchObject({ commits: 0, bytes: 0, list: [] });
});

test('cli: looking into a store changes and makes nothing', async () => {
  const place = await filled(recordsOf(100));
  const before = readFileSync(join(place.folder, 'data'));
  for (const words of [['stat'], ['verify'], ['page', '1'], ['wal']]) {
    expect((await place.run(words)).status, words[0]).toBe(0);
    const nowhere = new Place();
    const { status, errors } = await nowhere.run(words);
    expect(status).toBe(3);
    expect(errors).toMatch(/^aegis: NOT_FOUND: /);
    expect(existsSync(nowhere.folder)).toBe(false);
  }
  expect(readFileSync(join(place.folder, 'data'))).toEqual(before);
});
