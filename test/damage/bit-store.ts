/*
 * Stores of at least 64 KiB whose every bit can be flipped in minutes: small pages, log files of a few KiB, and nothing
 * in any file that no part of the format owns (the zeros that a data file is filled ahead with are cut, as when the
 * machine dies before they are written). Every store has named trees, blocks, and a tree that was dropped and not given
 * back yet. And the judge of one damaged copy, which knows what must come out.
 */

import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import type { CompressionType } from '../../src/codec/codec.ts';
import { resolveConfig } from '../../src/config/config.ts';
import { openEngine, type StorageEngine } from '../../src/engine/engine.ts';
import { Block } from '../../src/index.ts';
import { backendOf, type Files, filesOf } from '../support/files.ts';
import { reclaimMemories } from '../support/memories.ts';
import { Plant } from '../support/plant.ts';
import { Random } from '../wal/random.ts';
import { Anatomy } from './anatomy.ts';
import { LentBackend } from './lent-backend.ts';

const SEGMENT_SIZE = 8192;
const KEYS = 64;
export const BIT_STORE_BYTES = 65_536;

/** Values by the name of the tree (of the default one: nothing), a zero, and the key; of blocks by `~`, a zero, and the id. */
export type Content = ReadonlyMap<string, Uint8Array>;

export interface BitStore {
  readonly name: string;
  readonly files: Files;
  readonly anatomy: Anatomy;
  /** What is in the store after the commits from the checkpoint's on, by sequence. */
  readonly states: ReadonlyMap<number, Content>;
  readonly lastSequence: number;
}

const config = resolveConfig({
  walEnabled: true,
  pageSize: 4096,
  bufferPoolSize: 16 * 4096,
  checkpointWalSize: '64MB',
});

/** Opens the engine as every store here is opened. */
export function openSmall(
  backend: MemoryBackend | LentBackend,
  options: { readOnly?: boolean; compression?: CompressionType; module?: Uint8Array<ArrayBuffer> } = {},
): Promise<StorageEngine> {
  const { readOnly = false, compression = 'lz4', module } = options;
  return openEngine({ ...config, backend, readOnly, compression }, module, SEGMENT_SIZE);
}

/** A memory backend whose stores have the same identity at every run, and each its own. */
class SaltedBackend extends MemoryBackend {
  readonly host;

  constructor(random: Random) {
    super();
    const later = (_ms: number, run: () => void) => {
      const handle = setImmediate(run);
      return () => clearImmediate(handle);
    };
    const fill = (target: Uint8Array) => void target.set(target.map(() => random.below(256)));
    this.host = { now: () => 0, random: fill, later };
  }
}

/** Text that compresses to about two thirds. */
function textOf(random: Random, length: number): string {
  let text = '';
  while (text.length < length) text += `${random.below(2 ** 30).toString(36)} record `;
  return text.slice(0, length);
}

/**
 * `live`: the machine died with commits in the log after the last checkpoint; `endsLong`: the last of them is in
 * several groups. Otherwise the store was closed.
 */
export async function makeBitStore(
  compression: CompressionType,
  live: boolean,
  endsLong = false,
): Promise<BitStore> {
  const random = new Random(live ? 11 : 12);
  const backend = new SaltedBackend(new Random((live ? 1 : 2) + { lz4: 4, none: 8, zstd: 16 }[compression]));
  const engine = await openSmall(backend, { compression });
  const content = new Map<string, Uint8Array>();
  const put = async (key: string, length: number, tree = ''): Promise<void> => {
    const value = Buffer.from(textOf(random, length), 'latin1');
    await (tree === '' ? engine : engine.tree(tree)).put(key, value);
    content.set(`${tree}\0${key}`, value);
  };
  const writeBlock = async (length: number): Promise<void> => {
    const data = Buffer.from(textOf(random, length), 'latin1');
    const id = await engine.writeBlock(new Block(data).withCompression('lz4'));
    content.set(`~\0${id}`, data);
  };
  const drop = async (tree: string): Promise<void> => {
    await engine.dropTree(tree);
    for (const key of content.keys()) if (key.startsWith(`${tree}\0`)) content.delete(key);
  };
  for (let i = 0; i < 24; i++) {
    await put(`note ${i}`, i === 7 ? 9000 : 150 + i * 9, 'notes');
    await put(`gone ${i}`, 400, 'gone');
    if (i % 8 === 3) await writeBlock(i * 300);
  }
  await put('of few', 20, 'small');
  const keyOf = (i: number) => `key ${String(i * 37).padStart(5, '0')}`;
  const lengthOf = (i: number) => (i % 9 === 4 ? 7000 + i * 40 : i % 13 === 0 ? 0 : 60 + i * 11);
  const filled = () => new Anatomy(trimmed(backend)).endSector * 512;
  for (let round = 0, i = 0; i < KEYS || filled() < BIT_STORE_BYTES; i++) {
    await put(keyOf(i), lengthOf(i % KEYS));
    if (i % 5 !== 4) continue;
    if (i % 20 === 19) {
      // Blocks of older checkpoints stay behind in free places.
      await put(keyOf(i - 7), lengthOf(++round));
      await engine.delete(keyOf(i - 3));
      content.delete(`\0${keyOf(i - 3)}`);
    }
    await engine.checkpoint();
  }
  await engine.checkpoint();
  const states = new Map<number, Content>();
  const note = () => void states.set(engine.stats().sequence, new Map(content));
  note();
  if (live) {
    for (const i of [3, 5, 90, 22]) {
      await put(keyOf(i), 40 + i * 8);
      note();
    }
    await engine.batch([
      { type: 'delete', key: keyOf(8) },
      { type: 'put', key: keyOf(91), value: 'of a batch' },
    ]);
    content.delete(`\0${keyOf(8)}`);
    content.set(`\0${keyOf(91)}`, Buffer.from('of a batch'));
    note();
    await put('first', 200, 'late');
    note();
    await writeBlock(500);
    note();
    await drop('gone');
    note();
    await put(keyOf(31), 9000);
    note();
    for (const i of [92, 93]) {
      await put(keyOf(i), 300);
      note();
    }
    if (endsLong) {
      await put(keyOf(40), 8200);
      note();
    }
  } else {
    await drop('gone');
    states.clear();
    note();
    await engine.close();
  }
  const files = live ? trimmed(backend) : filesOf(backend);
  if (live) await engine.close();
  if (!live && !hasDropped(files)) throw new Error('the dropped tree is not in the store');
  const name = `${live ? (endsLong ? 'live, ends long' : 'live') : 'closed'}, ${compression}`;
  const anatomy = new Anatomy(files);
  return { name, files, anatomy, states, lastSequence: Math.max(...states.keys()) };
}

/** Whether the catalog, one uncompressed or lz4 page, has a tree that is being given back. */
function hasDropped(files: Files): boolean {
  const plant = new Plant(backendOf(files));
  const { catalogRoot } = plant.superblock;
  // The slow reader of pages knows no zstd.
  if (plant.block(plant.place(catalogRoot))[5] === 2) return true;
  return plant.tree(catalogRoot).cells.some(({ key }) => key[0] === 0xff && key[1] === 0);
}

function trimmed(backend: MemoryBackend): Files {
  const files = filesOf(backend);
  const end = new Anatomy(files).endSector * 512;
  return files.set('data', files.get('data')!.slice(0, end));
}

/** What must come of a damaged store. */
export interface Expected {
  /** Opening must answer CORRUPTION; it may; it must not. */
  readonly refused: 'must' | 'may' | 'never';
  /** The state that must be found. */
  readonly content: Content;
  /** Whether some reads must meet damage, may, or must not. */
  readonly unread: 'may' | 'never';
  /** Whether verification must find something, may, or must not: no false alarm. */
  readonly alarm: 'must' | 'may' | 'never';
  /** Where the damage is, to be compared with what an error names; undefined: there is none. */
  readonly at:
    | { readonly file: string; readonly offset: number; readonly page?: number | undefined }
    | 'somewhere'
    | undefined;
  /** Whether a superblock slot is damaged: then the store says so, even when it has mended the slot. */
  readonly slotDamaged?: boolean;
  /** Codes beside CORRUPTION that opening may answer. */
  readonly codes?: readonly string[];
}

/** What came of it. */
export type Verdict = 'right' | 'shorter' | 'partial' | 'refused';

/** Errors that named a file and an offset, and those of them that named the very group, block and page. */
export interface Named {
  errors: number;
  exactly: number;
}

function wrong(what: string): never {
  throw new Error(`damage went by: ${what}`);
}

export interface JudgeOptions {
  readonly readOnly: boolean;
  readonly module?: Uint8Array<ArrayBuffer>;
  readonly fuel?: number;
}

/** Opens a damaged copy, reads it in every way, and throws unless what comes out is what must. */
export async function judgeFiles(
  store: BitStore,
  files: ReadonlyMap<string, Uint8Array>,
  expected: Expected,
  named: Named,
  { readOnly, module, fuel }: JudgeOptions,
): Promise<Verdict> {
  const backend = new LentBackend(files, fuel);
  const isDamage = (error: unknown, what: string): true => {
    if (!(error instanceof AegisError) || error.code !== 'CORRUPTION') throw error;
    if (error.file === undefined || error.offset === undefined) wrong(`no place is named: ${error.message}`);
    const { at } = expected;
    if (at && at !== 'somewhere') {
      named.errors++;
      if (error.file === at.file && error.offset === at.offset && error.page === at.page) named.exactly++;
    }
    if (expected.at === undefined) wrong(`${what} met damage where there is none: ${error.message}`);
    return true;
  };
  let engine: StorageEngine;
  try {
    engine = await openSmall(backend, { readOnly, ...(module ? { module } : {}) });
  } catch (error) {
    if (expected.refused === 'never') throw error;
    if (!(error instanceof AegisError && expected.codes?.includes(error.code))) isDamage(error, 'opening');
    if (!backend.isFree) wrong('the lock is held after a refusal');
    reclaimMemories();
    return 'refused';
  }
  if (expected.refused === 'must') wrong('the store was opened');
  if (engine.stats().data.damagedSlots !== Number(expected.slotDamaged ?? false))
    wrong('stats on superblock slots');
  const unread = readAll(engine, expected.content, isDamage);
  if (unread > 0 && expected.unread === 'never') wrong('something could not be read');
  const report = await engine.verify();
  if (unread > 0 && report.ok) wrong(`${unread} reads met damage, and verify finds none`);
  if (report.ok && expected.alarm === 'must') wrong('verify finds nothing');
  if (!report.ok && expected.alarm === 'never') wrong(`a false alarm: ${report.problems[0]?.message}`);
  for (const { message } of report.problems) if (message === '') wrong('verify has nothing to say');
  await engine.close().catch((error: unknown) => isDamage(error, 'closing'));
  if (!backend.isFree) wrong('the lock is held after closing');
  if (backend.strays.length > 0) wrong(`a file of no store was touched: ${backend.strays}`);
  reclaimMemories();
  backend.end();
  if (unread > 0 || !report.ok) return 'partial';
  return expected.content === store.states.get(store.lastSequence) ? 'right' : 'shorter';
}

type IsDamage = (error: unknown, what: string) => true;

const textFrom = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const isSame = (some: Uint8Array, others: Uint8Array) => Buffer.compare(some, others) === 0;

/** Gets every key and some absent ones, scans both ways, now and through a snapshot; answers what could not be read. */
function readAll(engine: StorageEngine, content: Content, isDamage: IsDamage): number {
  let unread = 0;
  const attempt = (what: string, read: () => void): void => {
    try {
      read();
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('damage went by')) throw error;
      unread += Number(isDamage(error, what));
    }
  };
  const snapshot = engine.snapshot();
  let turn = 0;
  const keysOf = new Map<string, string[]>([['', []]]);
  for (const [place, value] of content) {
    const [tree, key] = place.split('\0') as [string, string];
    keysOf.set(tree, [...(keysOf.get(tree) ?? []), key]);
    const reader = ++turn % 4 === 0 ? snapshot : engine;
    attempt('a get', () => {
      const found =
        tree === '~'
          ? engine.readBlock(Number(key))?.data
          : (tree === '' ? reader : reader.tree(tree)).get(key);
      if (found === undefined) wrong(`${tree} ${key} is missing`);
      if (!isSame(found, value)) wrong(`${tree} ${key} has another value`);
    });
  }
  keysOf.delete('~');
  attempt('the names of trees', () => {
    const names = ['', ...engine.trees()];
    if (names.join() !== [...keysOf.keys()].sort().join()) wrong(`the trees are ${names}`);
  });
  for (const key of ['', 'key 0', 'key 00777x', 'z']) {
    attempt('a get of nothing', () => void (engine.has(key) && wrong(`${key} appeared`)));
  }
  for (const [tree, unsorted] of keysOf) {
    const keys = unsorted.sort();
    for (const reverse of [false, true]) {
      const reader = reverse ? snapshot : engine;
      let at = reverse ? keys.length : 0;
      attempt('a scan', () => {
        for (const [key, value] of (tree === '' ? reader : reader.tree(tree)).scan({ reverse })) {
          const due = reverse ? keys[--at] : keys[at++];
          if (due === undefined || textFrom(key) !== due)
            wrong(`a scan has ${textFrom(key)} where ${due} is due`);
          if (!isSame(value, content.get(`${tree}\0${due}`)!)) wrong(`a scan has another value of ${due}`);
        }
        if (at !== (reverse ? 0 : keys.length)) wrong(`a scan ended at ${at} of ${keys.length} records`);
      });
    }
    attempt('a count', () => {
      const count = (tree === '' ? snapshot : snapshot.tree(tree)).count();
      if (count !== keys.length) wrong('count counts something else');
    });
  }
  snapshot.close();
  return unread;
}
