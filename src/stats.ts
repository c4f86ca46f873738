/**
 * What `stats()` tells. Counters run from the opening of the store; the rest is the present state.
 */

/** Counters and sizes of an open store. Sizes are bytes. */
export interface StorageStats {
  readonly pool: {
    /** Page frames, and how many are free or hold bytes that lie nowhere else. */
    readonly frames: number;
    readonly freeFrames: number;
    readonly dirtyFrames: number;
    /** Pages visited that were in a frame; pages that had to be read; pages given up for others. */
    readonly hits: number;
    readonly misses: number;
    readonly evictions: number;
  };
  readonly pages: {
    readonly size: number;
    /** Pages in use by the store's trees. */
    readonly count: number;
  };
  /** Named trees. */
  readonly trees: number;
  readonly versions: {
    /** Old page versions kept for snapshots and for the last checkpoint. */
    readonly count: number;
    /** Open transactions, scans and snapshots. */
    readonly openSnapshots: number;
    /** Commits since the oldest of them was made; 0 without one. One that somebody forgot shows as an age that only grows. */
    readonly oldestSnapshotAge: number;
  };
  readonly data: {
    readonly fileSize: number;
    /** Bytes of the file that blocks own, and free bytes between them. */
    readonly usedSize: number;
    readonly freeSize: number;
    readonly blocksRead: number;
    readonly blocksWritten: number;
    readonly bytesWritten: number;
    /** Payload bytes of the blocks written so far, uncompressed, over the bytes they took. */
    readonly compressionRatio: number;
    /** Superblock slots (of two) that were torn or damaged when the store was opened; a writer has made them whole. */
    readonly damagedSlots: number;
  };
  readonly log: {
    readonly enabled: boolean;
    readonly diskSize: number;
    /** Bytes of log since the last checkpoint began. */
    readonly sinceCheckpoint: number;
    readonly groups: number;
    readonly syncs: number;
  };
  readonly transactions: {
    /** Commits applied, single operations included. */
    readonly commits: number;
    readonly active: number;
    readonly conflicts: number;
  };
  readonly checkpoints: number;
  /** Last commit that readers see. */
  readonly sequence: number;
}
