/*
 * What the host may call. Exports only: every function is described where it is written.
 * Names are nounVerb, so that the export list of the module reads as a table of contents.
 */
export * from './layout';
export * from './host';
export { areasHold, areasRelease } from './areas';
export { framesAudit } from './frame-audit';
export { frameAddress, memoryInit } from './memory';
export { frameClean, frameDrop, frameNewest, framesDirtyAt, framesReclaim, framesUnpin } from './frames';
export { pageEnd } from './versions';
export { treeCut } from './cut';
export { treeCreate, treeEnd } from './btree';
export { chainPageCapacity } from './limits';
export { chainAbandon, chainAppend, chainBegin, chainFree } from './overflow';
export {
  notePut,
  noteNewer,
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
  recordsNote,
  recordsTouch,
  treeBury,
  treeDelete,
  treeGet,
  treeGetGroup,
  treeProbe,
  treePut,
  treePutChain,
  treePutDropped,
} from './operations';
export {
  pageRenew,
  peerCapacity,
  peerHeld,
  peerMerged,
  peerNext,
  peerPage,
  peerParent,
  peerUsed,
  treePeer,
  treeTighten,
} from './tighten';
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
} from './block';
export {
  blockPadded,
  inspectBlock,
  inspectBuilt,
  inspectChain,
  inspectChained,
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
} from './inspect';
export { checksumOf } from './checksum';
export { lz4Compress, lz4Decompress } from './lz4';
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
} from './record';
export { userHeaderCheck, userHeaderSeal, userSumAdd, userSumHolds, userSumSeal } from './user-block';
