/**
 * `aegis-storage`: an embedded, transactional, ordered key-value store for every JavaScript runtime.
 */
export type {
  BackendFile,
  BackendHost,
  BackendOpenOptions,
  Lock,
  LockMode,
  StorageBackend,
} from './backend/backend.ts';
export { MemoryBackend } from './backend/memory.ts';
export type { BlockHeader, BlockOptions, BlockType } from './block.ts';
export { Block } from './block.ts';
export type { Bytes as Key, Bytes as Value } from './bytes-in.ts';
export type { Codec, CompressionType } from './codec/codec.ts';
export { loadCodec } from './codec/zstd.ts';
export type { CodecChoice, Progress, ResolvedConfig, StorageConfig } from './config.ts';
export { loadConfig } from './config-file.ts';
export type { RetryOptions, TransactionOptions } from './engine.ts';
export { StorageEngine } from './engine.ts';
export type { AegisErrorCode, AegisErrorDetails } from './errors.ts';
export { AegisError } from './errors.ts';
export { salvage } from './salvage.ts';
export { Snapshot, SnapshotTree } from './snapshot.ts';
export type { StorageStats } from './stats.ts';
export type { BlockId } from './store/block-id.ts';
export type { RangeOptions } from './store/range.ts';
export { Tree } from './tree.ts';
export type { CommitResult } from './txn/queue.ts';
export { Savepoint } from './txn/savepoint.ts';
export type { Entry } from './txn/scan.ts';
export { Scan } from './txn/scan.ts';
export type { IsolationLevel, TransactionState } from './txn/transaction.ts';
export { Transaction } from './txn/transaction.ts';
export { TransactionTree } from './txn/transaction-tree.ts';
export type { BatchDelete, BatchOperation, BatchPut } from './txn/writer.ts';
export type { BackupReport } from './upkeep/backup.ts';
export type { CheckpointData } from './upkeep/checkpoint.ts';
export type { CompactReport } from './upkeep/compact.ts';
export type { Loss } from './upkeep/loss.ts';
export type { SalvageReport } from './upkeep/salvage.ts';
export type { VerifyProblem, VerifyReport } from './upkeep/verify.ts';
