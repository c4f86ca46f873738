/**
 * `aegis-storage`: an embedded, transactional, ordered key-value store for every JavaScript runtime.
 *
 * @module aegis-storage
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
export type { Bytes as Key, Bytes as Value } from './base/bytes-in.ts';
export type { AegisErrorCode, AegisErrorDetails } from './base/errors.ts';
export { AegisError } from './base/errors.ts';
export type { OwnBytes, Signal, SignalLike } from './base/lib-types.ts';
export type { Codec, CompressionType } from './codec/codec.ts';
export { loadCodec } from './codec/zstd.ts';
export type { CodecChoice, Progress, ResolvedConfig, StorageConfig } from './config/config.ts';
export { loadConfig } from './config/config-file.ts';
export type { BlockHeader, BlockOptions, BlockType } from './engine/block.ts';
export { Block } from './engine/block.ts';
export { StorageEngine } from './engine/engine.ts';
export { salvage } from './engine/salvage.ts';
export { Snapshot, SnapshotTree } from './engine/snapshot.ts';
export type { StorageStats } from './engine/stats.ts';
export type { RetryOptions, TransactionOptions } from './engine/transaction-options.ts';
export { Tree } from './engine/tree.ts';
export type { BackupReport } from './maintenance/backup.ts';
export type { CheckpointData } from './maintenance/checkpoint.ts';
export type { CompactReport } from './maintenance/compact.ts';
export type { Loss } from './maintenance/loss.ts';
export type { SalvageReport } from './maintenance/salvage.ts';
export type { VerifyProblem, VerifyReport } from './maintenance/verify.ts';
export type { BlockId } from './store/block-id.ts';
export type { RangeOptions } from './store/range.ts';
export type { BatchDelete, BatchOperation, BatchPut } from './txn/batch-list.ts';
export type { CommitResult } from './txn/queue.ts';
export { Savepoint } from './txn/savepoint.ts';
export type { Entry } from './txn/scan.ts';
export { Scan } from './txn/scan.ts';
export type { IsolationLevel, TransactionState } from './txn/transaction.ts';
export { Transaction } from './txn/transaction.ts';
export { TransactionTree } from './txn/transaction-tree.ts';
