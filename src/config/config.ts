/**
 * The configuration of a store: its keys, their defaults, and what each may be. `resolveConfig` turns what a caller
 * gave into a whole, frozen configuration or refuses it.
 *
 * 1. Every key is checked by itself before anything happens. A refusal names the key, what was given and what is
 *    allowed; a key nobody knows is refused too, with the nearest known one.
 * 2. `undefined` is the same as leaving the key out.
 * 3. Defaults that depend on the backend are decided here and nowhere else.
 *
 * It loads no backend: the local one must stay out of what a browser loads.
 */
import type { StorageBackend } from '../backend/backend.ts';
import { AegisError, shown } from '../base/errors.ts';
import type { Codec, CompressionType } from '../codec/codec.ts';

/** Where a long operation stands. */
export interface Progress {
  /** What goes on. */
  readonly phase: 'recovery' | 'checkpoint' | 'backup' | 'verify' | 'compaction';
  /** How much of it is done, in the unit of `total`. */
  readonly done: number;
  /** How much there is. */
  readonly total: number;
}

/** Implementations to use instead of the built-in ones. */
export interface CodecChoice {
  /** LZ4 block format. */
  readonly lz4?: Codec | undefined;
  /** Zstandard frames. */
  readonly zstd?: Codec | undefined;
}

/**
 * What `StorageEngine.open` takes. Nothing has to be there, and undefined is the same as left out. Sizes are bytes, or
 * text such as `'64MB'` (powers of 1024).
 *
 * @example
 * import type { StorageConfig } from 'aegis-storage';
 *
 * const config: StorageConfig = { dataDirectory: './data', bufferPoolSize: '256MB' };
 * const store = await StorageEngine.open(config);
 * store.config.bufferPoolSize; // => 268435456
 * await store.close();
 */
export interface StorageConfig {
  /**
   * Where the store is kept: in memory, in a folder, or in a place of your own. Default `'memory'`; `'local'` when
   * `dataDirectory` is given.
   */
  backend?: 'memory' | 'local' | StorageBackend | undefined;
  /** Folder of a local store. Default `'./data'`. */
  dataDirectory?: string | undefined;
  /** Codec of page blocks. Default `'lz4'`; `'none'` in memory. */
  compression?: CompressionType | undefined;
  /** How hard the codec tries, 1 to 22. Default: the codec's own. */
  compressionLevel?: number | undefined;
  /** Other implementations of the same formats. Default: the built-in ones. */
  codecs?: CodecChoice | undefined;
  /**
   * Bytes in a page: 4096, 8192, 16384, 32768 or 65536; fixed when a store is created: one that is there keeps its own,
   * and `engine.config.pageSize` says which that is. Default 8192; 32768 with zstd.
   */
  pageSize?: number | undefined;
  /** Memory for pages: at least 16 of them, below 4 GiB. Default `'64MB'`. */
  bufferPoolSize?: number | string | undefined;
  /** Whether commits go through the log; without it they are durable at checkpoints only. Default true; false in memory. */
  walEnabled?: boolean | undefined;
  /** Whether a commit resolves only when it is on stable storage. Default true. */
  syncOnCommit?: boolean | undefined;
  /** With `syncOnCommit: false`, the most that a power cut may take, in milliseconds. Default 50. */
  walFlushInterval?: number | undefined;
  /** How much the log grows between checkpoints, at least `'512KB'`. Default `'64MB'`. */
  checkpointWalSize?: number | string | undefined;
  /** Open for reading only; never creates. Default false. */
  readOnly?: boolean | undefined;
  /** Make the store when there is none. Default true. */
  createIfMissing?: boolean | undefined;
  /** Answer `EXISTS` when there is a store already. Default false. */
  errorIfExists?: boolean | undefined;
  /**
   * Called now and then during recovery, checkpoint, backup, verification and compaction, outside of their steps: it may
   * use the store, or close it. What it throws is ignored.
   */
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** Settings that stay open when nobody gives them. */
type Undefaulted = 'compressionLevel' | 'codecs' | 'onProgress';

type Defaulted = {
  readonly [Name in keyof StorageConfig as Exclude<Name, Undefaulted>]-?: NonNullable<StorageConfig[Name]>;
};

/** The configuration of an open store (`engine.config`): every default is filled in, every size is in bytes. */
export interface ResolvedConfig extends Defaulted, Readonly<Pick<StorageConfig, Undefaulted>> {
  /** Memory for pages, in bytes. */
  readonly bufferPoolSize: number;
  /** How much the log grows between checkpoints, in bytes. */
  readonly checkpointWalSize: number;
}

type Key = keyof StorageConfig;

const PAGE_SIZES: readonly number[] = [4096, 8192, 16_384, 32_768, 65_536];
/** zstd's gain comes with length, and so does its cost per call: pages of 8 KiB would lose a quarter of it. */
const PAGE_SIZE_DEFAULTS: Readonly<Record<CompressionType, number>> = { none: 8192, lz4: 8192, zstd: 32_768 };
const POOL_PAGES_MIN = 16;
const POOL_SIZE_LIMIT = 2 ** 32; // all a WebAssembly memory can address
const WAL_SIZE_MIN = 512 * 1024; // two segments of the smallest size
const FLUSH_INTERVAL_MAX = 3_600_000; // ms
const LEVEL_MAX = 22; // zstd's
const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const BACKEND_METHODS = ['open', 'list', 'remove', 'syncDirectory', 'lock'] as const;
const HOST_METHODS = ['now', 'random', 'later'] as const;

/** Every key there is. */
export const KNOWN_KEYS: readonly Key[] = [
  'backend',
  'dataDirectory',
  'compression',
  'compressionLevel',
  'codecs',
  'pageSize',
  'bufferPoolSize',
  'walEnabled',
  'syncOnCommit',
  'walFlushInterval',
  'checkpointWalSize',
  'readOnly',
  'createIfMissing',
  'errorIfExists',
  'onProgress',
];

/**
 * Checks a configuration and fills in the defaults.
 *
 * @throws {AegisError} `INVALID_ARGUMENT` naming the key, `TOO_LARGE` for a pool of 4 GiB or more.
 */
export function resolveConfig(given: StorageConfig = {}): ResolvedConfig {
  const values = knownValues(given);
  const backend = backendOf(values.backend, values.dataDirectory === undefined ? 'memory' : 'local');
  const inMemory = backend === 'memory' || (typeof backend === 'object' && backend.name === 'memory');
  const compression = compressionOf(values.compression, inMemory ? 'none' : 'lz4');
  const pageSize = oneOf('pageSize', values.pageSize, PAGE_SIZES, PAGE_SIZE_DEFAULTS[compression]);
  const level = optional(values.compressionLevel, (value) =>
    integer('compressionLevel', value, 1, LEVEL_MAX),
  );
  const codecs = optional(values.codecs, codecsOf);
  const onProgress = optional(values.onProgress, progressOf);
  return Object.freeze({
    backend,
    dataDirectory: directoryOf(values.dataDirectory),
    compression,
    ...(level === undefined ? {} : { compressionLevel: level }),
    ...(codecs === undefined ? {} : { codecs }),
    pageSize,
    bufferPoolSize: poolSizeOf(values.bufferPoolSize, pageSize),
    walEnabled: flag('walEnabled', values.walEnabled, !inMemory),
    syncOnCommit: flag('syncOnCommit', values.syncOnCommit, true),
    walFlushInterval: intervalOf(values.walFlushInterval),
    checkpointWalSize: size('checkpointWalSize', values.checkpointWalSize ?? '64MB', WAL_SIZE_MIN),
    readOnly: flag('readOnly', values.readOnly, false),
    createIfMissing: flag('createIfMissing', values.createIfMissing, true),
    errorIfExists: flag('errorIfExists', values.errorIfExists, false),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}

/**
 * Reads a size: whole bytes, or text such as `'1.5GB'` with one of the units K, M and G (powers of 1024), with or
 * without B or iB. Text may name a fraction of a byte, which is dropped. Undefined when it is neither.
 */
export function parseSize(given: unknown): number | undefined {
  if (typeof given === 'number') return Number.isSafeInteger(given) && given >= 0 ? given : undefined;
  if (typeof given !== 'string') return undefined;
  const match = /^(\d+(?:\.\d+)?)\s*(?:B|([KMG])(?:i?B)?)?$/i.exec(given.trim());
  if (match === null) return undefined;
  const bytes = Math.floor(Number(match[1]) * UNITS[(match[2] ?? '').toUpperCase()]!);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

function knownValues(given: unknown): Partial<Record<Key, unknown>> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new AegisError('INVALID_ARGUMENT', `the configuration is one object, not ${shown(given)}`);
  }
  for (const key of Object.keys(given)) {
    if ((KNOWN_KEYS as readonly string[]).includes(key)) continue;
    const near = nearest(key, KNOWN_KEYS);
    const hint = near === undefined ? `known are ${KNOWN_KEYS.join(', ')}` : `did you mean "${near}"?`;
    throw new AegisError('INVALID_ARGUMENT', `${JSON.stringify(key)} is no configuration key; ${hint}`);
  }
  return given;
}

function refuse(key: string, given: unknown, allowed: string): never {
  throw new AegisError('INVALID_ARGUMENT', `${key} is ${shown(given)}; allowed is ${allowed}`);
}

function optional<T>(given: unknown, check: (given: unknown) => T): T | undefined {
  return given === undefined ? undefined : check(given);
}

function backendOf(given: unknown, otherwise: 'memory' | 'local'): ResolvedConfig['backend'] {
  if (given === undefined) return otherwise;
  const allowed = "'memory', 'local' or an object that implements StorageBackend";
  if (given === 'memory' || given === 'local') return given;
  if (typeof given !== 'object' || given === null) refuse('backend', given, allowed);
  const backend = given as Partial<StorageBackend>;
  const missing: string[] = BACKEND_METHODS.filter((method) => typeof backend[method] !== 'function');
  if (typeof backend.name !== 'string') missing.push('name');
  if (missing.length > 0) refuse('backend', given, `${allowed}; this one lacks ${missing.join(', ')}`);
  const { host } = backend;
  if (host !== undefined && HOST_METHODS.some((method) => typeof host?.[method] !== 'function')) {
    refuse('backend.host', host, 'an object with the functions now, random and later');
  }
  return backend as StorageBackend;
}

function directoryOf(given: unknown = './data'): string {
  if (typeof given === 'string' && given !== '' && !given.includes('\0')) return given;
  return refuse('dataDirectory', given, 'a path, not empty and without NUL');
}

function compressionOf(given: unknown, otherwise: CompressionType): CompressionType {
  return oneOf<CompressionType>('compression', given, ['none', 'lz4', 'zstd'], otherwise);
}

function codecsOf(given: unknown): NonNullable<StorageConfig['codecs']> {
  const allowed = 'an object with lz4 or zstd, each with the functions compress and decompress';
  if (typeof given !== 'object' || given === null) refuse('codecs', given, allowed);
  for (const [name, codec] of Object.entries(given) as [string, Partial<Codec> | null | undefined][]) {
    if (name !== 'lz4' && name !== 'zstd') refuse(`codecs.${name}`, codec, 'only lz4 and zstd');
    if (codec === undefined) continue;
    if (typeof codec?.compress !== 'function' || typeof codec.decompress !== 'function') {
      refuse(`codecs.${name}`, codec, 'an object with the functions compress and decompress');
    }
  }
  return Object.freeze({ ...given });
}

function poolSizeOf(given: unknown = '64MB', pageSize: number): number {
  const least = POOL_PAGES_MIN * pageSize;
  const bytes = size('bufferPoolSize', given, least, `${POOL_PAGES_MIN} pages of ${pageSize} bytes`);
  if (bytes < POOL_SIZE_LIMIT) return bytes;
  throw new AegisError('TOO_LARGE', `bufferPoolSize is ${shown(given)}; allowed is less than 4GB`);
}

function intervalOf(given: unknown = 50): number {
  if (typeof given === 'number' && given >= 0 && given <= FLUSH_INTERVAL_MAX) return given;
  return refuse('walFlushInterval', given, `a number of milliseconds from 0 to ${FLUSH_INTERVAL_MAX}`);
}

function progressOf(given: unknown): NonNullable<StorageConfig['onProgress']> {
  if (typeof given === 'function') return given as NonNullable<StorageConfig['onProgress']>;
  return refuse('onProgress', given, 'a function');
}

function flag(key: Key, given: unknown, otherwise: boolean): boolean {
  if (given === undefined) return otherwise;
  return typeof given === 'boolean' ? given : refuse(key, given, 'true or false');
}

function oneOf<T extends string | number>(key: Key, given: unknown, allowed: readonly T[], otherwise: T): T {
  if (given === undefined) return otherwise;
  const found = allowed.find((value) => value === given);
  return found ?? refuse(key, given, `one of ${allowed.map(shown).join(', ')}`);
}

function integer(key: Key, given: unknown, least: number, most: number): number {
  if (typeof given === 'number' && Number.isInteger(given) && given >= least && given <= most) return given;
  return refuse(key, given, `a whole number from ${least} to ${most}`);
}

function size(key: Key, given: unknown, least: number, leastShown = `${least}`): number {
  const bytes = parseSize(given);
  if (bytes !== undefined && bytes >= least) return bytes;
  const allowed = `whole bytes, at least ${leastShown}, as a number or as text like '64MB' (units B, K, M, G, KB, MB, GB, KiB, MiB, GiB)`;
  return refuse(key, given, allowed);
}

/** Letters that tell which word was begun. */
const BEGINNING_MIN = 3;

/**
 * The known word that a wrong one was probably meant to be: one that it begins, or else the nearest. Underscores,
 * hyphens and case make no difference.
 */
export function nearest<Word extends string>(wrong: string, known: readonly Word[]): Word | undefined {
  const plain = (word: string) => word.replace(/[_-]/g, '').toLowerCase().slice(0, 40);
  const near = known.map((word) => ({ word, distance: editDistance(plain(wrong), plain(word)) }));
  near.sort((a, b) => a.distance - b.distance);
  const [first] = near;
  const begun = known.find(
    (word) => plain(wrong).length >= BEGINNING_MIN && plain(word).startsWith(plain(wrong)),
  );
  if (begun !== undefined) return begun;
  return first && first.distance <= Math.max(2, first.word.length / 3) ? first.word : undefined;
}

/** How many letters have to be put in, taken out or changed to make one word the other. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 0; i < from.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < to.length; j++) {
      const change = row[j]! + (from[i] === to[j] ? 0 : 1);
      next.push(Math.min(change, row[j + 1]! + 1, next[j]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
