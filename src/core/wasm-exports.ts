/**
 * Types of the core's exports, in the order of assembly/index.ts. What each does is described there; addresses,
 * lengths, counts, page numbers and statuses are numbers, epochs and sequences too (exact below 2^53).
 */

/** Functions of the core. */
export interface CoreExports {
  memoryInit(frames: number, first: number, storeIdLow: number, storeIdHigh: number): number;
  framesAdd(most: number): number;
  framesGrowth(): number;
  checksumOf(address: number, length: number, seed: number, result: number): void;

  // areas that are claimed (nothing, in the release build)
  areasClaim(areas: number): number;
  areasRelease(areas: number): void;

  // what a call left behind
  missPage(): number;
  missEpoch(): number;
  valueAddress(): number;
  valueLength(): number;
  valueFlags(): number;
  overflowTaken(): number;
  overflowNext(): number;
  overflowDropped(): number;
  overflowRest(): number;
  overflowForget(): void;
  mergesSet(on: boolean): void;
  damage(): number;
  damagePage(): number;
  scanCount(): number;
  scanBytes(): number;
  scanDone(): number;
  applyAt(): number;
  deletedCount(): number;
  blockSumLow(): number;
  blockSumHigh(): number;
  eventCount(): number;
  eventsClear(): void;

  // pool
  freeCount(): number;
  dirtyCount(): number;
  pinnedCount(): number;
  sharedResident(): number;
  oldResident(): number;
  touchCount(): number;
  frameAddress(frame: number): number;
  frameNewest(page: number): number;
  oldFrame(page: number, epoch: number): number;
  frameFrom(frame: number): number;
  frameNumber(frame: number): number;
  frameClean(frame: number): void;
  frameDrop(frame: number): void;
  framesDirtyAt(epoch: number, first: number, most: number): number;
  framesReclaim(wanted: number, writes: number): number;
  framesUnpin(): void;
  pageEnd(frame: number): void;

  // epochs and numbers
  epochTake(): number;
  epochCurrent(): number;
  epochStart(epoch: number): void;
  readerEpochSet(epoch: number): void;
  privateReaderEpochSet(epoch: number): void;
  numberPush(number: number, isPrivate: boolean): number;
  numberCount(isPrivate: boolean): number;

  // trees
  treeCreate(root: number): number;
  treeEnd(root: number): number;
  treeCut(root: number): number;
  treeGet(root: number, epoch: number, keyBytes: number): number;
  treeGetGroup(root: number, epoch: number, count: number): number;
  treeProbe(root: number, epoch: number, keyBytes: number): number;
  treePut(root: number, keyBytes: number, value: number, valueBytes: number): number;
  treePutOverflow(root: number, keyBytes: number, total: number): number;
  treePutDropped(root: number, keyBytes: number, first: number, rest: number): number;
  treePutTombstone(root: number, keyBytes: number): number;
  treeDelete(root: number, keyBytes: number): number;
  treeRange(root: number, epoch: number, start: number, end: number, flags: number, limit: number): number;

  // overflow chains
  overflowBegin(isPrivate: boolean, total: number): number;
  overflowAppend(address: number, length: number): number;
  overflowAbandon(total: number): void;
  overflowFree(): number;
  overflowPage(number: number, epoch: number, expected: number): number;
  overflowCapacity(): number;

  // log records
  recordSeal(at: number, kind: number, tree: number, keyBytes: number, valueBytes: number): number;
  recordSealLong(at: number, kind: number, tree: number, keyBytes: number, total: number): number;
  recordsCount(at: number, end: number): number;
  recordsEnd(at: number, count: number): number;
  recordEnd(at: number): number;
  recordKind(at: number): number;
  recordKeyBytes(at: number): number;
  recordValueBytes(at: number): number;
  recordTree(at: number): number;
  recordsApply(root: number, tree: number, at: number, end: number, tombstones: boolean): number;
  recordsAddRecent(notes: number, tree: number, at: number, end: number, sequence: number): number;
  recordsTouch(root: number, tree: number, at: number, end: number): number;
  recentAdd(notes: number, key: number, keyBytes: number, sequence: number): number;
  recentSince(notes: number, key: number, keyBytes: number, sequence: number): number;
  partSeal(at: number, end: number, flags: number, sequence: number, records: number): number;
  partBytes(at: number): number;
  partFlags(at: number): number;
  partSequence(at: number): number;
  partRecords(at: number): number;

  // repacking
  treePeer(root: number, keyBytes: number, level: number): number;
  treeRepack(root: number, keyBytes: number, level: number, protectedEpoch: number): number;
  pageRenew(page: number): number;
  peerPage(): number;
  peerParent(): number;
  peerUsed(): number;
  peerNext(): number;
  peerProtected(): number;
  peerMerged(): number;
  peerCapacity(): number;

  // blocks
  blockCodec(block: number): number;
  codecsSet(bits: number): void;
  damageSet(page: number, what: number): number;
  payloadAddress(): number;
  pagePayload(frame: number): number;
  payloadSame(raw: number): boolean;
  blockSealPage(frame: number, codec: number, target: number): number;
  blockSealStored(frame: number, codec: number, stored: number, target: number): number;
  blockSeal(
    kind: number,
    low: number,
    high: number,
    payload: number,
    raw: number,
    codec: number,
    target: number,
  ): number;
  blockOpen(
    block: number,
    available: number,
    kind: number,
    low: number,
    high: number,
    sumLow: number,
    sumHigh: number,
    target: number,
    expected: number,
  ): number;
  blockVerify(
    block: number,
    available: number,
    kind: number,
    low: number,
    high: number,
    sumLow: number,
    sumHigh: number,
  ): number;
  pageLoad(
    block: number,
    available: number,
    number: number,
    sumLow: number,
    sumHigh: number,
    end: number,
    expecting: boolean,
  ): number;
  pageLoadDecoded(block: number, number: number, end: number, expecting: boolean): number;

  // user blocks, and LZ4 on any bytes of up to 64 KiB
  userHeaderSeal(
    header: number,
    type: number,
    wanted: number,
    codec: number,
    raw: number,
    stored: number,
  ): void;
  userHeaderCheck(header: number, available: number): number;
  userSumAdd(address: number, length: number): void;
  userSumSeal(header: number): void;
  userSumHolds(header: number): boolean;
  lz4Compress(source: number, sourceLength: number, target: number, targetCapacity: number): number;
  lz4Decompress(source: number, sourceLength: number, target: number, targetLength: number): boolean;

  // inspection
  blockPadded(available: number): number;
  inspectBlock(available: number, page: number, sumLow: number, sumHigh: number): number;
  inspectDecoded(page: number): number;
  inspectBuilt(): number;
  inspectSame(frame: number): number;
  inspectPage(address: number, page: number): number;
  inspectShape(address: number): number;
  inspectFill(address: number): number;
  inspectEpoch(address: number): number;
  inspectChild(address: number, slot: number): number;
  inspectKey(address: number, slot: number): number;
  inspectKeyBytes(address: number, slot: number): number;
  inspectValue(address: number, slot: number): void;
  inspectOverflowSlot(address: number, from: number): number;
  inspectFences(address: number, lowBytes: number, highBytes: number): number;
  inspectOverflowPage(address: number, expected: number): number;

  // log groups
  groupConfigure(storeIdLow: number, storeIdHigh: number, fence: number): void;
  groupLinkSet(low: number, high: number): void;
  groupLinkLow(): number;
  groupLinkHigh(): number;
  groupSeal(address: number, payloadLength: number, lsn: number, mark: number): number;
  groupHeaderCheck(address: number): number;
  groupFind(address: number, length: number): number;
  groupLength(address: number): number;
  groupPayloadLength(address: number): number;
  groupLsn(address: number): number;
  groupMark(address: number): number;
  groupFence(address: number): number;
  groupFollows(address: number): number;
  groupPayloadHolds(address: number): number;
  groupStructureCheck(address: number): number;
  groupAccept(address: number): void;
  groupOpen(): number;
  groupOpenSet(bytes: number): void;
  groupParts(): number;
  groupFlags(): number;
  groupFirstSequence(): number;
  groupLastSequence(): number;
  segmentSeal(firstLsn: number, size: number): number;
  segmentCheck(address: number): number;
  segmentFirstLsn(address: number): number;
  segmentSize(address: number): number;
  segmentFence(address: number): number;
}
