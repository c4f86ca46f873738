/*
 * The public declarations, held against what is promised of them: compiled by `npm run check`, never run. Each interface
 * here is the promise, written down once more and by hand; `Keeps` says that a class has exactly these members.
 */

import type * as lz4 from '../../src/codec/lz4-wasm.ts';
import type * as main from '../../src/index.ts';
import type * as local from '../../src/local.ts';
import type * as testing from '../../src/testing/index.ts';
import type { Alike, Differing, Extra, Fits, Holds, Keeps, Same } from './holds.ts';

// --- types ------------------------------------------------------------------------------------------------------

type Key = string | Uint8Array;
type Value = string | Uint8Array;
/** What is handed out is in memory that is not shared: `Blob`, `Response` and `crypto.subtle` take it. */
type OwnBytes = Uint8Array<ArrayBuffer>;
type Entry = [key: OwnBytes, value: OwnBytes];
type IsolationLevel = 'snapshot' | 'serializable';
type CompressionType = 'none' | 'lz4' | 'zstd';

interface RangeOptions {
  gt?: Key;
  gte?: Key;
  lt?: Key;
  lte?: Key;
  prefix?: Key;
  reverse?: boolean;
  limit?: number;
}

interface CommitResult {
  readonly lsn: number;
  readonly sequence: number;
}

type BatchOperation =
  | { type: 'put'; key: Key; value: Value; tree?: string }
  | { type: 'delete'; key: Key; tree?: string };

export type Types = Holds<
  [
    Same<main.Key, Key>,
    Same<main.Value, Value>,
    Same<main.OwnBytes, OwnBytes>,
    Alike<main.Entry, Entry>,
    Same<main.IsolationLevel, IsolationLevel>,
    Same<main.CompressionType, CompressionType>,
    Same<main.TransactionState, 'active' | 'committing' | 'committed' | 'aborted'>,
    Keeps<main.RangeOptions, RangeOptions>,
    Same<Extra<main.RangeOptions, RangeOptions>, never>,
    Keeps<main.CommitResult, CommitResult>,
    // Both directions: a literal of the contract is one of ours, and ours has nothing else.
    Fits<BatchOperation, main.BatchOperation>,
    Same<main.BatchOperation['type'], 'put' | 'delete'>,
    Fits<main.BatchOperation['tree'], string | undefined>,
  ]
>;

// --- configuration ----------------------------------------------------------------------------------------------

interface Progress {
  readonly phase: 'recovery' | 'checkpoint' | 'backup' | 'verify' | 'compaction';
  readonly done: number;
  readonly total: number;
}

interface Config {
  backend: 'memory' | 'local' | main.StorageBackend;
  dataDirectory: string;
  compression: CompressionType;
  compressionLevel: number;
  codecs: { lz4?: main.Codec; zstd?: main.Codec };
  pageSize: number;
  bufferPoolSize: number | string;
  walEnabled: boolean;
  syncOnCommit: boolean;
  walFlushInterval: number;
  checkpointWalSize: number | string;
  readOnly: boolean;
  createIfMissing: boolean;
  errorIfExists: boolean;
  onProgress: (progress: Progress) => void;
}

interface Codec {
  compress(source: Uint8Array, target: Uint8Array, level?: number): number;
  decompress(source: Uint8Array, target: Uint8Array): number;
}

export type Configuration = Holds<
  [
    Same<keyof main.StorageConfig, keyof Config>,
    // Whatever the contract allows can be given, and nothing has to be.
    Fits<Partial<Config>, main.StorageConfig>,
    Fits<Record<never, never>, main.StorageConfig>,
    Fits<Partial<main.StorageConfig>, main.StorageConfig>,
    // And what is allowed is what the contract allows, `undefined` aside.
    Fits<NonNullable<main.StorageConfig['backend']>, Config['backend']>,
    Fits<NonNullable<main.StorageConfig['compression']>, CompressionType>,
    Fits<NonNullable<main.StorageConfig['bufferPoolSize' | 'checkpointWalSize']>, number | string>,
    Keeps<main.Codec, Codec>,
    Keeps<main.Progress, Progress>,
    Same<typeof main.loadConfig, (tomlText: string) => main.StorageConfig>,
    Same<typeof main.StorageEngine.open, (config?: main.StorageConfig) => Promise<main.StorageEngine>>,
    // What is in force can be given again, and every default is filled in.
    Fits<main.StorageEngine['config'], main.StorageConfig>,
    Fits<
      main.StorageEngine['config'],
      Readonly<Omit<Required<Config>, 'compressionLevel' | 'codecs' | 'onProgress'>>
    >,
    Same<main.StorageEngine['config']['pageSize'], number>,
    Same<main.StorageEngine['config']['bufferPoolSize'], number>,
  ]
>;

// --- engine -----------------------------------------------------------------------------------------------------

/** What engines, trees, snapshots, transactions and their trees have in common. */
interface Reads {
  get(key: Key): OwnBytes | undefined;
  getString(key: Key): string | undefined;
  getMany(keys: readonly Key[]): (OwnBytes | undefined)[];
  has(key: Key): boolean;
  scan(range?: RangeOptions): main.Scan;
  count(range?: RangeOptions): number;
}

interface Writes {
  put(key: Key, value: Value): Promise<void>;
  delete(key: Key): Promise<boolean>;
  batch(operations: Iterable<main.BatchOperation>): Promise<void>;
  putSync(key: Key, value: Value): void;
  deleteSync(key: Key): boolean;
  batchSync(operations: Iterable<main.BatchOperation>): void;
}

interface Upkeep {
  beginTransaction(options?: main.TransactionOptions): main.Transaction;
  snapshot(): main.Snapshot;
  tree(name: string): main.Tree;
  trees(): string[];
  dropTree(name: string): Promise<boolean>;
  checkpoint(): Promise<main.CheckpointData>;
  compact(): Promise<main.CompactReport>;
  backup(target: string | main.StorageBackend): Promise<main.BackupReport>;
  verify(): Promise<main.VerifyReport>;
  stats(): main.StorageStats;
  close(): Promise<void>;
}

type Retrying = <T>(
  work: (tx: main.Transaction) => T | Promise<T>,
  options?: main.RetryOptions,
) => Promise<T>;

export type Engine = Holds<
  [
    Keeps<main.StorageEngine, Reads & Writes & Upkeep>,
    Same<
      Extra<main.StorageEngine, Reads & Writes & Upkeep>,
      'config' | 'transaction' | 'writeBlock' | 'readBlock' | 'deleteBlock' | typeof Symbol.asyncDispose
    >,
    Same<main.StorageEngine['transaction'], Retrying>,
    Fits<main.StorageEngine, AsyncDisposable>,
    Same<main.TransactionOptions['isolation'], IsolationLevel | undefined>,
    Same<main.TransactionOptions['readOnly'], boolean | undefined>,
    Same<main.RetryOptions['isolation'], IsolationLevel | undefined>,
    Same<main.RetryOptions['maxRetries'], number | undefined>,
    Same<main.RetryOptions['signal'], AbortSignal | undefined>,
    Keeps<main.Tree, Reads & Writes>,
    Same<Extra<main.Tree, Reads & Writes>, 'name'>,
  ]
>;

// --- scans, snapshots, transactions -----------------------------------------------------------------------------

interface ScanCalls {
  keys(): IterableIterator<OwnBytes>;
  values(): IterableIterator<OwnBytes>;
  nextMany(n: number): Entry[];
  close(): void;
}

interface OwnWrites {
  put(key: Key, value: Value): void;
  delete(key: Key): void;
  deleteRange(range: RangeOptions): void;
}

interface TransactionCalls {
  readonly id: number;
  readonly isolation: IsolationLevel;
  readonly state: 'active' | 'committing' | 'committed' | 'aborted';
  tree(name: string): main.TransactionTree;
  savepoint(): main.Savepoint;
  rollbackTo(savepoint: main.Savepoint): void;
  commit(options?: { sync?: boolean }): Promise<main.CommitResult>;
  commitSync(options?: { sync?: boolean }): main.CommitResult;
  abort(): void;
}

export type Readers = Holds<
  [
    Keeps<main.Scan, ScanCalls>,
    Fits<main.Scan, IterableIterator<Entry> & Disposable>,
    Keeps<main.Snapshot, Reads>,
    Same<main.Snapshot['close'], () => void>,
    Fits<main.Snapshot, Disposable>,
    Keeps<main.SnapshotTree, Reads>,
    Keeps<main.Transaction, Reads & OwnWrites & TransactionCalls>,
    Same<Extra<main.Transaction, Reads & OwnWrites & TransactionCalls>, typeof Symbol.dispose>,
    Fits<main.Transaction, Disposable>,
    Keeps<main.TransactionTree, Reads & OwnWrites>,
    Same<Extra<main.TransactionTree, Reads & OwnWrites>, 'name'>,
  ]
>;

// --- errors -----------------------------------------------------------------------------------------------------

type Code =
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'EXISTS'
  | 'NOT_A_STORE'
  | 'UNSUPPORTED_VERSION'
  | 'LOCKED'
  | 'CORRUPTION'
  | 'CONFLICT'
  | 'TRANSACTION_FINISHED'
  | 'CLOSED'
  | 'READ_ONLY'
  | 'TOO_LARGE'
  | 'OUT_OF_SPACE'
  | 'IO_ERROR'
  | 'STORE_FAILED'
  | 'COMMIT_UNKNOWN'
  | 'UNSUPPORTED';

export type Errors = Holds<
  [
    Same<main.AegisErrorCode, Code>,
    Same<main.AegisError['code'], Code>,
    Fits<main.AegisError, Error>,
    Same<main.AegisError['retryable'], boolean>,
    Fits<main.AegisError['file'], string | undefined>,
    Fits<main.AegisError['offset'], number | undefined>,
    Fits<main.AegisError['page'], number | undefined>,
    Fits<main.AegisError['errno'], string | undefined>,
    Fits<main.AegisError['operation'], string | undefined>,
    Fits<main.AegisError['pid'], number | undefined>,
  ]
>;

// --- backends ---------------------------------------------------------------------------------------------------

/** A backend written by somebody who read the contract and nothing else. */
interface Backend {
  readonly name: string;
  readonly host?: {
    now(): number;
    random(target: Uint8Array): void;
    later(ms: number, run: () => void): () => void;
  };
  open(file: string, options: { create: boolean; readOnly?: boolean }): File | Promise<File>;
  list(): string[] | Promise<string[]>;
  remove(file: string): void | Promise<void>;
  syncDirectory(): void | Promise<void>;
  lock(mode: 'exclusive' | 'shared'): main.Lock | Promise<main.Lock>;
}

interface File {
  size(): number;
  read(target: Uint8Array, position: number): number;
  write(parts: readonly Uint8Array[], position: number): void;
  sync(): Promise<void>;
  syncSync(): void;
  truncate(size: number): void;
  close(): void;
}

export type Backends = Holds<
  [
    Fits<Backend, main.StorageBackend>,
    Fits<main.StorageBackend, Backend>,
    Same<keyof main.StorageBackend, keyof Backend>,
    Same<Differing<main.BackendFile, File>, never>,
    Same<keyof main.BackendFile, keyof File>,
    Fits<{ release(): void }, main.Lock>,
    Fits<main.MemoryBackend, main.StorageBackend>,
    Fits<local.LocalBackend, main.StorageBackend>,
    Fits<testing.SimulatedBackend, main.StorageBackend>,
    Alike<ConstructorParameters<typeof local.LocalBackend>, [directory: string]>,
    Fits<typeof lz4.lz4Wasm, main.Codec>,
  ]
>;
