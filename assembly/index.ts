/*
 * What the host may call. Exports only: every function is described where it is written.
 * Names are nounVerb, so that the export list of the module reads as a table of contents.
 */
export * from './layout';
export * from './host';
export { areasClaim, areasRelease } from './memory/areas';
export { frameAddress, framesAdd, framesGrowth, memoryInit } from './memory/memory';
export { frameClean, frameDrop, frameNewest, framesDirtyAt, framesReclaim, framesUnpin } from './pool/frames';
export { pageEnd } from './pool/versions';
export { treeCut } from './tree/cut';
export { treeCreate, treeEnd } from './tree/btree';
export { overflowCapacity } from './page/limits';
export { overflowAbandon, overflowAppend, overflowBegin, overflowFree } from './tree/overflow';
export {
  recentAdd,
  recentSince,
  partBytes,
  partFlags,
  partRecords,
  partSeal,
  partSequence,
  recordEnd,
  recordKeyBytes,
  recordKind,
  recordSeal,
  recordSealLong,
  recordTree,
  recordValueBytes,
  recordsApply,
  recordsCount,
  recordsEnd,
  recordsAddRecent,
  recordsTouch,
  treePutTombstone,
  treeDelete,
  treeGet,
  treeGetGroup,
  treeProbe,
  treePut,
  treePutOverflow,
  treePutDropped,
} from './tree/operations';
export {
  pageRenew,
  peerCapacity,
  peerProtected,
  peerMerged,
  peerNext,
  peerPage,
  peerParent,
  peerUsed,
  treePeer,
  treeRepack,
} from './tree/repack';
export {
  blockCodec,
  blockOpen,
  blockSeal,
  blockSealPage,
  blockSealStored,
  blockVerify,
  pageLoad,
  pageLoadDecoded,
  pagePayload,
  payloadSame,
} from './blocks/block';
export {
  blockPadded,
  inspectBlock,
  inspectBuilt,
  inspectOverflowPage,
  inspectOverflowSlot,
  inspectChild,
  inspectDecoded,
  inspectEpoch,
  inspectFill,
  inspectFences,
  inspectKey,
  inspectKeyBytes,
  inspectPage,
  inspectSame,
  inspectShape,
  inspectValue,
} from './checks/inspect';
export { checksumOf } from './blocks/checksum';
export { lz4Compress, lz4Decompress } from './blocks/lz4';
export {
  groupAccept,
  groupConfigure,
  groupFence,
  groupFind,
  groupFirstSequence,
  groupFlags,
  groupFollows,
  groupHeaderCheck,
  groupLastSequence,
  groupLength,
  groupLinkHigh,
  groupLinkLow,
  groupLinkSet,
  groupLsn,
  groupMark,
  groupOpen,
  groupOpenSet,
  groupParts,
  groupPayloadHolds,
  groupPayloadLength,
  groupSeal,
  groupStructureCheck,
  segmentCheck,
  segmentFence,
  segmentFirstLsn,
  segmentSeal,
  segmentSize,
} from './log/record';
export { userHeaderCheck, userHeaderSeal, userSumAdd, userSumHolds, userSumSeal } from './blocks/user-block';
