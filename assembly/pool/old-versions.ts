/*
 * Old versions in frames, which snapshots still read: found by page and epoch.
 *
 * Thousands of versions of one page may be held, so each place of their hash table is a tree, ordered by page and first
 * epoch: a treap (Seidel & Aragon, 1996) whose priorities are a hash of the frame, with its links in the frame table.
 *
 * Invariants
 *   1. A version's page number and first epoch do not change while it is here.
 *   2. Versions of one page have disjoint epochs: the one an epoch sees is the last that begins with it or before.
 */
import {
  OLD_BUCKETS,
  bucketOf,
  frameAddress,
  frameEnd,
  frameEntry,
  pageEpoch,
  pageNumber,
} from '../memory/memory';

function leftOf(frame: u32): usize {
  return frameEntry(frame);
}

function rightOf(frame: u32): usize {
  return frameEntry(frame) + 28;
}

function priority(frame: u32): u32 {
  let mixed = frame * 0x85ebca6b;
  mixed = (mixed ^ (mixed >> 13)) * 0xc2b2ae35;
  return mixed ^ (mixed >> 16);
}

/** Whether the version in one frame comes before that in another. */
function isBefore(a: u32, b: u32): bool {
  const one = frameAddress(a);
  const other = frameAddress(b);
  const page = pageNumber(one);
  return page != pageNumber(other) ? page < pageNumber(other) : pageEpoch(one) < pageEpoch(other);
}

/** Frame of the old version of a page that an epoch sees, or 0. */
export function frameOld(page: u32, epoch: u64): u32 {
  let frame = load<u32>(bucketOf(OLD_BUCKETS, page));
  let last: u32 = 0; // the last version, in the order of the tree, that is not behind what is looked for
  while (frame != 0) {
    const address = frameAddress(frame);
    const number = pageNumber(address);
    if (number < page || (number == page && pageEpoch(address) <= epoch)) {
      last = frame;
      frame = load<u32>(rightOf(frame));
    } else {
      frame = load<u32>(leftOf(frame));
    }
  }
  return last != 0 && pageNumber(frameAddress(last)) == page && epoch < frameEnd(last) ? last : 0;
}

/** Takes a version in. */
export function oldVersionInsert(page: u32, frame: u32): void {
  const own = priority(frame);
  let link = bucketOf(OLD_BUCKETS, page);
  let node = load<u32>(link);
  while (node != 0 && priority(node) >= own) {
    link = isBefore(frame, node) ? leftOf(node) : rightOf(node);
    node = load<u32>(link);
  }
  store<u32>(link, frame);
  // Split the rest of the subtree into the two sides of the new node.
  let left = leftOf(frame);
  let right = rightOf(frame);
  while (node != 0) {
    if (isBefore(node, frame)) {
      store<u32>(left, node);
      left = rightOf(node);
      node = load<u32>(left);
    } else {
      store<u32>(right, node);
      right = leftOf(node);
      node = load<u32>(right);
    }
  }
  store<u32>(left, 0);
  store<u32>(right, 0);
}

/** Takes a version out. */
export function oldVersionRemove(page: u32, frame: u32): void {
  let link = bucketOf(OLD_BUCKETS, page);
  for (let node = load<u32>(link); node != frame; node = load<u32>(link)) {
    assert(node != 0, 'a resident old version is in its tree');
    link = isBefore(frame, node) ? leftOf(node) : rightOf(node);
  }
  let left = load<u32>(leftOf(frame));
  let right = load<u32>(rightOf(frame));
  while (left != 0 && right != 0) {
    if (priority(left) >= priority(right)) {
      store<u32>(link, left);
      link = rightOf(left);
      left = load<u32>(link);
    } else {
      store<u32>(link, right);
      link = leftOf(right);
      right = load<u32>(link);
    }
  }
  store<u32>(link, left != 0 ? left : right);
}
