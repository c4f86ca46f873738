/**
 * What `stats()` tells. Counters run from the opening of the store; the rest is the present state.
 */

/** Counters and sizes of an open store. Sizes are bytes. */
export interface StorageStats {
  /** The buffer pool: pages in memory. */
  readonly pool: {
    /** Page frames that it may have: as many as were asked for and a few more, or what the machine gave. */
    readonly frames: number;
    /** Of these: free, or not taken yet. */
    readonly freeFrames: number;
    /** Of these: with bytes that lie nowhere else yet. */
    readonly dirtyFrames: number;
    /** Pages visited that were in a frame. */
    readonly hits: number;
    /** Pages that had to be read. */
    readonly misses: number;
    /** Pages given up for others. */
    readonly evictions: number;
  };
  /** Pages of the store. */
  readonly pages: {
    /** Bytes in a page. */
    readonly size: number;
    /** Pages in use by the store's trees. */
    readonly count: number;
  };
  /** Named trees. */
  readonly trees: number;
  /** What snapshots keep. */
  readonly versions: {
    /** Old page versions kept for snapshots and for the last checkpoint. */
    readonly count: number;
    /** Open transactions, scans and snapshots. */
    readonly openSnapshots: number;
    /** Commits since the oldest of them was made; 0 without one. One that somebody forgot shows as an age that only grows. */
    readonly oldestSnapshotAge: number;
  };
  /** The data file. */
  readonly data: {
    /** Bytes of the file. */
    readonly fileSize: number;
    /** Bytes of the file that blocks own. */
    readonly usedSize: number;
    /** Free bytes between them. */
    readonly freeSize: number;
    /** Blocks read from the file. */
    readonly blocksRead: number;
    /** Blocks written to the file. */
    readonly blocksWritten: number;
    /** Bytes of the blocks written. */
    readonly bytesWritten: number;
    /** Payload bytes of the blocks written so far, uncompressed, over the bytes they took. */
    readonly compressionRatio: number;
    /** Superblock slots (of two) that were torn or damaged when the store was opened; a writer has made them whole. */
    readonly damagedSlots: number;
  };
  /** The write-ahead log. */
  readonly log: {
    /** Whether commits go through it. */
    readonly enabled: boolean;
    /** Bytes of its files. */
    readonly diskSize: number;
    /** Bytes of log since the last checkpoint began. */
    readonly sinceCheckpoint: number;
    /** Groups written: each holds the commits that were written at once. */
    readonly groups: number;
    /** Syncs of its files. */
    readonly syncs: number;
  };
  /** Commits and transactions. */
  readonly transactions: {
    /** Commits applied, single operations included. */
    readonly commits: number;
    /** Transactions that are open. */
    readonly active: number;
    /** Commits refused with `CONFLICT`, whether or not `transaction` tried again. */
    readonly conflicts: number;
  };
  /** Checkpoints finished. */
  readonly checkpoints: number;
  /** Last commit that readers see. */
  readonly sequence: number;
}
