/*
 * Small stores to damage, and the judge of what opens afterwards: whatever became of the bytes, the answer is what was
 * written, or CORRUPTION that says where; never another value, a silently missing key, or any other kind of failure.
 */
import { MemoryBackend } from '../../src/backend/memory.ts';
import { AegisError } from '../../src/base/errors.ts';
import { StorageEngine } from '../../src/engine/engine.ts';
import { type Files, filesOf } from './files.ts';

/** Keys as text, values as text of one character a byte. */
export type Content = ReadonlyMap<string, string>;

/** A place in a file; `to` is behind it. */
export interface Region {
  readonly file: string;
  readonly from: number;
  readonly to: number;
}

/** The commit of one key, where its group lies, and what was there before it. */
export interface TailCommit extends Region {
  readonly key: string;
  readonly before: Content;
}

/** A store as it lies on the disk, and what is in it. */
export interface Sample {
  readonly name: string;
  readonly files: Files;
  readonly content: Content;
  /** The last commits of a log that was live at a crash, a group each. */
  readonly tail: readonly TailCommit[];
  readonly pageSize: number;
}

/** What became of a damaged store: all is right; all but the last commits; some pages are unreadable; it does not open. */
export type Verdict = 'right' | 'shorter' | 'partial' | 'refused';

/** Keys a sample may have. */
const KEYS = 110;
const WAL_SIZE = '512KB';
/** Commits of a sample's tail. */
const TAIL = 12;

const decoder = new TextDecoder('latin1');
const text = (bytes: Uint8Array) => decoder.decode(bytes);

/** Lets other work run without waiting a millisecond for it. */
class QuickBackend extends MemoryBackend {
  readonly host = {
    now: () => 0,
    random: (target: Uint8Array) => void target.fill(7),
    later: (_ms: number, run: () => void) => {
      const handle = setImmediate(run);
      return () => clearImmediate(handle);
    },
  };
}

function quickBackendOf(files: ReadonlyMap<string, Uint8Array>): MemoryBackend {
  const backend = new QuickBackend();
  for (const [name, bytes] of files) backend.open(name, { create: true }).write([bytes], 0);
  return backend;
}

/** Puts and deletes of every kind of record: short, empty, as long as a leaf takes, chained. */
function valueFor(i: number, round: number): string {
  if (i % 41 === 0) return `chain ${i} ${round} `.repeat(450);
  if (i % 13 === 0) return '';
  return `value ${i} of round ${round} `.repeat(1 + (i % 5));
}

/** Writes some commits, one group each; remembers what it wrote. */
async function writeSome(engine: StorageEngine, content: Map<string, string>, round: number): Promise<void> {
  for (let i = round * 7; i < KEYS; i += 1 + round * 5) {
    const [key, other] = [
      `key ${String(i).padStart(4, '0')}`,
      `key ${String((i * 31) % KEYS).padStart(4, '0')}`,
    ];
    if (i % 17 === 5) {
      await engine.batch([
        { type: 'delete', key: other },
        { type: 'put', key, value: valueFor(i, round) },
      ]);
      content.delete(other);
    } else {
      await engine.put(key, valueFor(i, round));
    }
    content.set(key, valueFor(i, round));
  }
}

/** How far a log is covered when the machine dies. */
export type Coverage = 'closed' | 'checkpoint and log' | 'log only';

export async function makeSample(coverage: Coverage, compression: 'none' | 'lz4'): Promise<Sample> {
  const backend = new QuickBackend();
  const pageSize = 4096;
  const engine = await StorageEngine.open({
    backend,
    walEnabled: true,
    pageSize,
    compression,
    checkpointWalSize: WAL_SIZE,
  });
  const content = new Map<string, string>();
  await writeSome(engine, content, 0);
  if (coverage !== 'log only') await engine.checkpoint();
  await writeSome(engine, content, 1);
  const name = `${coverage}, ${compression}`;
  if (coverage === 'closed') {
    await engine.close();
    return { name, files: filesOf(backend), content, tail: [], pageSize };
  }
  const tail: TailCommit[] = [];
  for (let i = 0; i < TAIL; i++) {
    tail.push(await writeTail(backend, engine, content, `tail ${i}`, `one of the last commits, ${i}`));
  }
  const files = filesOf(backend);
  await engine.close();
  return { name, files, content, tail, pageSize };
}

/** Puts a new key, and remembers where that went. */
export async function writeTail(
  backend: MemoryBackend,
  engine: StorageEngine,
  content: Map<string, string>,
  key: string,
  value: string,
): Promise<TailCommit> {
  const before = { files: filesOf(backend), content: new Map(content) };
  await engine.put(key, value);
  content.set(key, value);
  return { key, before: before.content, ...difference(before.files, filesOf(backend)) };
}

/** Where the one place in a log lies that changed, in whole sectors. */
function difference(before: Files, after: Files): Region {
  for (const [file, bytes] of after) {
    if (file === 'data') continue;
    const old = before.get(file) ?? new Uint8Array(bytes.length);
    const changed = (at: number) => bytes[at] !== old[at];
    let from = 0;
    while (from < bytes.length && !changed(from)) from++;
    if (from === bytes.length) continue;
    let to = bytes.length;
    while (!changed(to - 1)) to--;
    return { file, from: from - (from % 512), to: Math.ceil(to / 512) * 512 };
  }
  throw new Error('a commit changes the log');
}

/** A copy of the files that may be changed. */
export function copyOf(files: Files): Files {
  return new Map([...files].map(([name, bytes]) => [name, bytes.slice()]));
}

function wrong(what: string): never {
  throw new Error(`damage went by: ${what}`);
}

/** Whether an error is CORRUPTION that says where; anything else is passed on. */
function isCorruption(error: unknown): boolean {
  if (!(error instanceof AegisError) || error.code !== 'CORRUPTION') throw error;
  if (error.file === undefined || error.offset === undefined) {
    throw new Error(`no place is named: ${error.message}`, { cause: error });
  }
  return true;
}

/**
 * How many of the last commits damage may cost unheard: those of groups that are damaged, as are all after them. A
 * whole group behind a damaged one says that the other was there.
 */
function mayMiss(sample: Sample, damaged: readonly Region[]): number {
  let count = 0;
  for (const { file, from, to } of [...sample.tail].reverse()) {
    if (!damaged.some((place) => place.file === file && place.from < to && place.to > from)) break;
    count++;
  }
  return count;
}

/**
 * Opens a store, reads everything in every way, and judges. `damaged`: all places that were changed. `maySay`: codes
 * that opening may answer as well.
 */
export async function judge(
  sample: Sample,
  files: Files,
  damaged: readonly Region[],
  { readOnly = false, maySay = [] as readonly string[] } = {},
): Promise<Verdict> {
  const backend = quickBackendOf(files);
  const engine = await openDamaged(backend, readOnly, maySay);
  if (engine === undefined) return 'refused';
  const missing = sample.tail
    .slice(sample.tail.length - mayMiss(sample, damaged))
    .find(({ key }) => !mayHave(engine, key));
  const content = missing?.before ?? sample.content;
  const unread = readAll(engine, content) + scanAll(engine, content);
  const report = await engine.verify();
  if (unread > 0 && report.ok) wrong(`${unread} reads met damage, and verify finds none`);
  for (const { message } of report.problems) if (message === '') wrong('verify has nothing to say');
  await engine.close().catch(isCorruption);
  if (unread > 0 || !report.ok) return 'partial';
  return missing ? 'shorter' : 'right';
}

async function openDamaged(
  backend: MemoryBackend,
  readOnly: boolean,
  maySay: readonly string[],
): Promise<StorageEngine | undefined> {
  const config = {
    backend,
    readOnly,
    walEnabled: true,
    bufferPoolSize: '256KB',
    checkpointWalSize: WAL_SIZE,
  };
  try {
    return await StorageEngine.open(config);
  } catch (error) {
    if (!(error instanceof AegisError && maySay.includes(error.code))) isCorruption(error);
    return undefined;
  }
}

function mayHave(engine: StorageEngine, key: string): boolean {
  try {
    return engine.has(key);
  } catch (error) {
    return isCorruption(error);
  }
}

/** Gets every key, and some that are not there; answers how many could not be read. */
function readAll(engine: StorageEngine, content: Content): number {
  let unread = 0;
  const read = (key: string) => {
    try {
      const value = engine.get(key);
      return value && text(value);
    } catch (error) {
      unread += Number(isCorruption(error));
      return content.get(key);
    }
  };
  for (const [key, value] of content) if (read(key) !== value) wrong(`${key} has another value or none`);
  for (const key of ['', 'key 0', 'key 0050x', 'z']) if (read(key) !== undefined) wrong(`${key} appeared`);
  return unread;
}

/** Scans forwards and backwards and counts, as far as each comes; answers how many did not come to the end. */
function scanAll(engine: StorageEngine, content: Content): number {
  let unread = 0;
  const keys = [...content.keys()].sort();
  for (const reverse of [false, true]) {
    const expected = reverse ? [...keys].reverse() : keys;
    let at = 0;
    try {
      for (const [key, value] of engine.scan({ reverse })) {
        if (text(key) !== expected[at]) wrong(`a scan has ${text(key)} where ${expected[at]} is due`);
        if (text(value) !== content.get(expected[at++] as string))
          wrong(`a scan has another value of ${text(key)}`);
      }
      if (at !== expected.length) wrong(`a scan ended after ${at} of ${expected.length} records`);
    } catch (error) {
      unread += Number(isCorruption(error));
    }
  }
  try {
    if (engine.count() !== keys.length) wrong('count counts something else');
  } catch (error) {
    unread += Number(isCorruption(error));
  }
  return unread;
}
