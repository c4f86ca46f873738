/*
 * docs/format.md against the code: every byte table cuts what the engine's encoders write into the values they were
 * given; a reader that knows the tables only reads whole stores; the constants are those of assembly/layout.ts.
 *
 * That a table with anything changed is noticed is seen by changing them all, row by row.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { StorageConfig } from '../../src/config/config.ts';
import { Block } from '../../src/engine/block.ts';
import { type Files, filesOf } from '../support/files.ts';
import { openSmall } from '../support/small-store.ts';
import { Structure, type Table, tablesOf } from './document.ts';
import { type Commit, FormatReader, type Operation } from './reader.ts';
import { SAMPLES, smallGroup, valueBytes } from './structures.ts';

const root = join(import.meta.dirname, '../..');
const text = readFileSync(join(root, 'docs/format.md'), 'utf8');
const document = tablesOf(text);

const BYTES = 'offset size field meaning';
const CONSTANTS = 'constant value meaning';
/** What tests elsewhere hold: the files of a store, and what a crash leaves behind. */
const ELSEWHERE = ['file content', 'moment left recovery'];
/** Sections of layout.ts that say something about files. */
const SECTIONS = ['format', 'page kinds', 'blocks on a backend', 'user blocks', 'log'];

/** Structures that are written as part of a page only: a store that is read shows what they mean. */
const IN_PAGES: Readonly<Record<string, readonly string[]>> = {
  'Tree page': ['kind', 'level', 'count', 'records'],
  'Leaf record': ['key length', 'value word', 'key', 'value'],
  'Inner record': ['key length', 'child', 'key'],
  'Catalog value': ['id', 'root'],
  'Overflow page': ['kind', 'used', 'next', 'remaining', 'bytes'],
};

const BLOCK = 'what a block holds';
const SHORTER = 'abc'.repeat(4000);
const LONG = 'abc'.repeat(400_000);

const columns = (table: Table): string => table.columns.join(' ');

function structuresOf(tables: readonly Table[]): Map<string, Structure> {
  const byteTables = tables.filter((table) => columns(table) === BYTES);
  return new Map(byteTables.map((table) => [table.heading, new Structure(table)]));
}

/** What the encoders wrote and the tables do not say. */
function samplesAgainst(structures: ReadonlyMap<string, Structure>): string[] {
  return Object.entries(SAMPLES).flatMap(([heading, sample]) => {
    const structure = structures.get(heading);
    if (structure === undefined) return [`there is no table of ${heading}`];
    const { bytes, fields } = sample();
    const cut = structure.cut(bytes);
    const findings = cut.end === bytes.length ? [] : [`${heading} has ${bytes.length} bytes, not ${cut.end}`];
    for (const name of new Set([...Object.keys(fields), ...structure.fields])) {
      const [value, found] = [fields[name], cut.fields.get(name)];
      if (value === undefined) findings.push(`${heading}: no encoder writes ${name}`);
      else if (found === undefined) findings.push(`${heading}: ${name} is in no row`);
      else if (Buffer.compare(found, valueBytes(value, found.length)) !== 0 || isCut(value, found.length)) {
        findings.push(`${heading}: ${name} is not where the table says`);
      }
    }
    return findings;
  });
}

/** A number that a field has no room for. */
function isCut(value: bigint | Uint8Array, size: number): boolean {
  return typeof value === 'bigint' && value >> BigInt(8 * size) !== 0n;
}

interface Written {
  readonly files: Files;
  readonly commits: readonly Commit[];
  readonly isLong: boolean;
}

/** What a store must hold to show every structure; `isLong`: with values that fill directory chunks and log groups. */
async function storeFiles(config: Partial<StorageConfig>, isLong: boolean): Promise<Written> {
  const backend = new MemoryBackend();
  const db = await openSmall(backend, config);
  for (let i = 0; i < 60; i++) await db.put(`key/${i}`, `${i} `.repeat(i));
  await db.put('', 'the empty key');
  await db.put('long', isLong ? LONG : SHORTER);
  await db.tree('cities').put('bern', '134794');
  await db.tree('cities').put('basel', '173863');
  await db.tree('rivers').put('aare', '288');
  await db.writeBlock(new Block(Uint8Array.from(Buffer.from(BLOCK)), { type: 'document' }));
  await db.checkpoint();
  const commits: Commit[] = [];
  const commit = async (...operations: [key: string, value?: string][]): Promise<void> => {
    const tx = db.beginTransaction();
    for (const [key, value] of operations) value === undefined ? tx.delete(key) : tx.put(key, value);
    const { sequence } = await tx.commit();
    commits.push({ sequence, operations: operations.map(([key, value]) => operationOf(1, key, value)) });
  };
  await commit(['a', '1'], ['key/7'], ['z', '']);
  await commit(['b', 'three letters and more']);
  if (isLong) await commit(['c', 'twice a group '.repeat(160_000)]);
  await commit(['key/8']);
  await db.tree('lakes').put('thun', '48');
  const makes = { ...operationOf(5, 'lakes'), makes: 'makes' as const };
  commits.push({ sequence: db.stats().sequence, operations: [makes, operationOf(5, 'thun', '48')] });
  await db.dropTree('rivers');
  const drops = { ...operationOf(3, 'rivers'), makes: 'drops' as const };
  commits.push({ sequence: db.stats().sequence, operations: [drops] });
  const files = filesOf(backend);
  await db.close();
  return { files, commits, isLong };
}

function operationOf(tree: number, key: string, value?: string): Operation {
  const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
  return { tree, key: bytes(key), value: value === undefined ? undefined : bytes(value) };
}

const plain = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** What a store of the engine holds and a reader by these tables does not find. */
function storeAgainst(
  structures: ReadonlyMap<string, Structure>,
  { files, commits, isLong }: Written,
): FormatReader {
  for (const [heading, fields] of Object.entries(IN_PAGES)) {
    expect(structures.get(heading)?.fields).toEqual(fields);
  }
  const reader = new FormatReader(structures, files);
  const expected = Array.from({ length: 60 }, (_, i) => [`key/${i}`, `${i} `.repeat(i)]);
  expected.push(['', 'the empty key'], ['long', isLong ? LONG : SHORTER]);
  const found = reader.entries().map((entry) => entry.map(plain));
  expect(found).toEqual(expected.sort(([a], [b]) => (a! < b! ? -1 : 1)));
  const shown = (list: readonly Commit[]) =>
    list.map(({ sequence, operations }) => [
      sequence,
      ...operations.map(({ tree, key, value, makes }) => [tree, plain(key), value && plain(value), makes]),
    ]);
  const trees = [...reader.trees()].map(([name, { id, root }]) => [
    name,
    id,
    reader.entries(root).map((entry) => entry.map(plain)),
  ]);
  expect(trees).toEqual([
    [
      'cities',
      2,
      [
        ['basel', '173863'],
        ['bern', '134794'],
      ],
    ],
    ['rivers', 3, [['aare', '288']]],
    ['\xffblocks', 4, [['\0\0\0\0\0\0\0\x01', expect.stringContaining(BLOCK)]]],
  ]);
  expect(plain(reader.userBlock(1).get('payload')!)).toBe(BLOCK);
  expect(shown(reader.commits())).toEqual(shown(commits));
  return reader;
}

const small = await storeFiles({ compression: 'lz4' }, false);

test('format: every table is a byte table, the constants, or held by tests elsewhere', () => {
  const kinds = new Set(document.map(columns));
  expect([...kinds].sort()).toEqual([BYTES, CONSTANTS, ...ELSEWHERE].sort());
  const structures = structuresOf(document);
  expect([...structures.keys()].sort()).toEqual([...Object.keys(SAMPLES), ...Object.keys(IN_PAGES)].sort());
});

test('format: what the encoders write has every field where its row says', () => {
  expect(samplesAgainst(structuresOf(document))).toEqual([]);
});

test.each([
  ['none', 4096],
  ['lz4', 4096],
  ['lz4', 65_536],
  ['zstd', 4096],
] as const)(
  'format: a store (%s, pages of %i) is read with the document alone',
  async (compression, pageSize) => {
    const config = { compression, pageSize, bufferPoolSize: 32 * pageSize, checkpointWalSize: '64MB' };
    const reader = storeAgainst(structuresOf(document), await storeFiles(config, true));
    const { PAGE_LEAF, PAGE_INNER, PAGE_OVERFLOW, CODEC_LZ4, CODEC_NONE, CODEC_ZSTD } = layout;
    const codec = { none: CODEC_NONE, lz4: CODEC_LZ4, zstd: CODEC_ZSTD }[compression];
    for (const kind of [PAGE_LEAF, PAGE_OVERFLOW]) expect(reader.met).toContain(`page ${kind}`);
    if (pageSize === 4096)
      for (const met of [`page ${PAGE_INNER}`, 'chunk 1']) expect(reader.met).toContain(met);
    for (const kind of [1, 2, 3, 4, 5, 6]) expect(reader.met).toContain(`record ${kind}`);
    expect(reader.met).toContain(`codec ${codec}`);
  },
);

test('format: the files of a store are those that the document names', () => {
  const table = document.find((one) => columns(one) === 'file content')!;
  const names = table.rows.map(([file]) => file!.replaceAll('`', ''));
  const patterns = names.map((name) => new RegExp(`^${name.replace('N', '[1-9][0-9]*')}$`));
  for (const file of small.files.keys()) {
    expect(
      patterns.some((pattern) => pattern.test(file)),
      file,
    ).toBe(true);
  }
});

test('format: the constants are those of layout.ts, all that concern files', () => {
  const rows = document.filter((table) => columns(table) === CONSTANTS).flatMap((table) => table.rows);
  const documented = Object.fromEntries(
    rows.map(([name, value]) => [name!.replaceAll('`', ''), Number(value)]),
  );
  const source = readFileSync(join(root, 'assembly/layout.ts'), 'utf8');
  const names = SECTIONS.flatMap((section) => {
    const part = source.slice(source.indexOf(`// --- ${section} -`) + 7);
    return [...part.slice(0, part.indexOf('// ---')).matchAll(/export const (\w+)/g)].map(
      ([, name]) => name!,
    );
  });
  const known: Readonly<Record<string, unknown>> = { ...layout };
  expect(documented).toEqual(Object.fromEntries(names.map((name) => [name, known[name]])));
  const mentioned = [...text.matchAll(/`([A-Z]+_[A-Z_]+)`/g)].map(([, name]) => name!);
  const codes = ['UNSUPPORTED_VERSION'];
  expect(mentioned.filter((name) => !(name in documented) && !codes.includes(name))).toEqual([]);
});

test('format: the example of a group is what the encoders write', () => {
  const lines = /^```\n((?:[0-9a-f]{2} [^\n]*\n)+)```$/m.exec(text)![1]!.trimEnd().split('\n');
  const hex = lines.map((line) => /^(?:[0-9a-f]{2} )+/.exec(line)![0]).join('');
  expect(hex.trim().split(' ')).toEqual([...smallGroup()].map((byte) => byte.toString(16).padStart(2, '0')));
});

test('format: a table with one row changed is found out, whatever row it is', () => {
  expect(isSound(document)).toBe(true);
  const unnoticed: string[] = [];
  let tried = 0;
  for (const [index, table] of document.entries()) {
    if (columns(table) !== BYTES) continue;
    for (const [line, change] of changesOf(table)) {
      const changed = document.with(index, { ...table, rows: change });
      ++tried;
      if (isSound(changed)) unnoticed.push(`${table.heading}: ${line}`);
    }
  }
  expect(unnoticed).toEqual([]);
  expect(tried).toBeGreaterThan(200);
});

function isSound(tables: readonly Table[]): boolean {
  try {
    const structures = structuresOf(tables);
    if (samplesAgainst(structures).length > 0) return false;
    storeAgainst(structures, small);
    return true;
  } catch {
    return false;
  }
}

/** The table with each row taken out, moved, made longer or shorter, or changed with the next one. */
function* changesOf({ rows }: Table): Iterable<[what: string, rows: string[][]]> {
  const list = rows.map((row) => [...row]);
  for (const [index, [offset, size, field, meaning]] of list.entries()) {
    yield [`without ${field}`, list.toSpliced(index, 1)];
    yield [`${field} renamed`, list.with(index, [offset!, size!, `${field}s`, meaning!])];
    if (offset !== '')
      yield [`${field} moved`, list.with(index, [`${Number(offset) + 1}`, size!, field!, meaning!])];
    const next = list[index + 1];
    if (!/^\d+$/.test(size!) || next === undefined) continue;
    yield [`${field} longer`, list.with(index, [offset!, `${Number(size) + 1}`, field!, meaning!])];
    // A boundary that moves: both rows fit again, and only what they cut is wrong.
    const moved = list.with(index, [offset!, `${Number(size) - 1}`, field!, meaning!]);
    if (/^\d+$/.test(next[1]!)) {
      const wider = [`${Number(next[0]) - 1}`, `${Number(next[1]) + 1}`, next[2]!, next[3]!];
      yield [`${field} gives a byte to ${next[2]}`, moved.with(index + 1, wider)];
    }
    if (next[2] !== field) {
      const names = list.with(index, [offset!, size!, next[2]!, meaning!]);
      yield [
        `${field} and ${next[2]} exchanged`,
        names.with(index + 1, [next[0]!, next[1]!, field!, next[3]!]),
      ];
    }
  }
}
